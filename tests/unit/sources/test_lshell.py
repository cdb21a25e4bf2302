"""Accounts whose login shell is lshell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from jailssh.sources import lshell
from jailssh.sources.found import Effect, Fate, Found
from tests.unit.sources.shells import KIM, one, survives, texts

PATH = "/etc/lshell.conf"
SHELL = "/usr/bin/lshell"
PROGRAMS = {f"/usr/bin/{name}": "" for name in ("ls", "git", "rsync", "vim", "scp", "ping")}
GROUPS = "kim:x:1001:\nusers:x:100:kim\nstaff:x:50:kim\n"
GLOBAL = "[global]\nlogpath : /var/log/lshell/\nloglevel : 2\n"
STOCK = f"""\
# lshell.py configuration file
{GLOBAL}
[default]
allowed         : ['ls','echo','cd','ll']
forbidden       : [';', '&', '|','`','>','<', '$(', '${{']
sudo_commands   : ['ls', 'more']
warning_counter : 2
aliases         : {{'ll':'ls -l'}}
intro           : "== My shell ==\\nType '?' for help"
timer           : 600
"""
NEEDED = "forbidden : []\nwarning_counter : -1\n"


def found(text: str, files: Mapping[str, str] | None = None) -> Found:
    """Return what is found with this file, and others in its directory."""
    more = {f"/etc/lshell.d/{name}": each for name, each in (files or {}).items()}
    person = replace(KIM, groups=("kim", "users", "staff"))
    return one(lshell, SHELL, {PATH: text, "/etc/group": GROUPS, **PROGRAMS, **more}, person=person)


def test_the_stock_file() -> None:
    """The programs are those that this host has; the rest is said."""
    result = found(STOCK)
    assert result.fate is Fate.MIGRATE, texts(result)
    assert result.settings == {
        "": {"plugins": "shell"}, "shell": {"tools": "no", "commands": "no", "programs": ("ls",)},
        "limits": {"idle_timeout": "600"},
    }  # fmt: skip
    assert result.where == f"{PATH}:7" and result.uses == ("shell",)
    lost = texts(result, Effect.LOST)
    assert f"{PATH}:9 sudo_commands" in lost and f"{PATH}:11 aliases" in lost and f"{PATH}:12 intro" in lost
    assert f"{PATH}:8 ; & |" in texts(result, Effect.CHANGED)


MERGED: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("a user's section", "[default]\nallowed: ['ls']\n[kim]\nallowed: ['git']\n", {"programs": ("git",)}),
    ("a group's", "[default]\nallowed: ['ls']\n[grp:users]\nallowed: ['git']\n", {"programs": ("git",)}),
    ("the user's beats the group's", "[kim]\nallowed: ['ls']\n[grp:users]\nallowed: ['git']\n", {"programs": ("ls",)}),
    ("another user's", "[default]\nallowed: ['ls']\n[lee]\nallowed: ['git']\n", {"programs": ("ls",)}),
    ("plus", "[default]\nallowed: ['ls']\n[kim]\nallowed: + ['git', 'vim']\n", {"programs": ("ls", "git", "vim")}),
    ("minus", "[default]\nallowed: ['ls', 'git']\n[kim]\nallowed: -['ls']\n", {"programs": ("git",)}),
    ("both", "[default]\nallowed: ['ls', 'git']\n[kim]\nallowed: +['vim'] - [ 'ls' ]\n", {"programs": ("git", "vim")}),
    ("a list and more", "[kim]\nallowed: ['ls'] + ['git']\n", {"programs": ("ls", "git")}),
    ("all", "[default]\nallowed: 'all'\n", {"tools": "yes"}),
    ("all but", "[default]\nallowed: 'all' - ['ping']\n", {"tools": "yes"}),
    ("all, then a list", "[default]\nallowed: 'all'\n[kim]\nallowed: ['ls']\n", {"programs": ("ls",)}),
    ("names without case", "[DEFAULT]\nALLOWED: ['ls']\n[kim]\n", {"programs": ("ls",)}),
    ("lines go on", "[kim]\nallowed: ['ls',\n  'git']\n", {"programs": ("ls", "git")}),
    ("a comment behind", "[kim]\nallowed: ['ls'] # more\n", {"programs": ("ls",)}),
    ("[global] wins", "[kim]\nallowed: ['ls']\n[global]\nallowed: ['git']\n", {"programs": ("git",)}),
    ("overssh", "[kim]\nallowed: ['ls']\novershh: 1\noverssh: ['rsync']\n",
     {"programs": ("ls", "rsync"), "commands": None}),
    ("sudo, alias, missing", "[kim]\nallowed: ['ls', 'sudo', 'nosuch', 'ls -l', '-R', '../x']\n",
     {"programs": ("ls",)}),
)  # fmt: skip


@pytest.mark.parametrize(("text", "own"), [case[1:] for case in MERGED], ids=[case[0] for case in MERGED])
def test_sections_are_merged(text: str, own: dict[str, object]) -> None:
    """As lshell does it."""
    text = text if "[global]" in text else GLOBAL + text
    result = found(f"{text}\n[grp:kim]\n{NEEDED}")
    assert result.fate is Fate.MIGRATE, texts(result)
    assert {"tools": "no", "commands": "no"} | own == {"commands": None, **result.settings["shell"]} | {
        "commands": result.settings["shell"].get("commands")}  # fmt: skip


TRANSFERS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("sftp : 1\n", "shell sftp", {}),
    ("sftp : True\nscp: '1'\n", "shell", {}),
    ("scp : 1 # or 0\n", "shell scp", {}),
    ("scp : 1\nscp_upload : 0\n", "shell scp", {"upload": "no"}),
    ("scp : 1\nscp_download : 0\nsftp : 1\n", "shell sftp scp", {"download": "no"}),
    ("winscp : 1\nscp_download : 0\n", "shell scp", {}),
    ("overssh : ['scp']\n", "shell scp", {}),
)


@pytest.mark.parametrize(("text", "plugins", "own"), TRANSFERS)
def test_transfers(text: str, plugins: str, own: dict[str, object]) -> None:
    """By number one, and nothing like it."""
    result = found(f"{GLOBAL}[default]\nallowed: []\n{NEEDED}{text}")
    assert result.settings[""]["plugins"] == plugins, texts(result)
    assert result.settings.get("scp", {}) == own


ENDS: tuple[tuple[str, Fate, str], ...] = (
    ("[default]\nallowed: []\n", Fate.REFUSED, "no section [global]"),
    (f"{GLOBAL}[default]\nallowed: []\n", Fate.REFUSED, "forbidden is missing"),
    (f"{GLOBAL}[default]\nallowed: [\n{NEEDED}", Fate.REFUSED, f"{PATH}:5 has"),
    (f"{GLOBAL}[default]\nallowed: __import__('os').system('id')\n{NEEDED}", Fate.REFUSED, "no literal of Python"),
    (f"{GLOBAL}[default]\nallowed: [1]\n{NEEDED}", Fate.REFUSED, f"{PATH}:5 is not a list of texts"),
    (f"{GLOBAL}[default]\nallowed: {'[' * 5000}\n{NEEDED}", Fate.REFUSED, "no literal of Python"),
    (f"{GLOBAL}[default]\nallowed: []\nallowed: []\n{NEEDED}", Fate.REFUSED, "lshell stops at"),
    (f"{GLOBAL}[default]\noverssh: 'all' - ['x']\nallowed: []\n{NEEDED}", Fate.REFUSED, "overssh = 'all'"),
    (f"nonsense\n{GLOBAL}", Fate.REFUSED, "lshell stops at"),
    (f"{GLOBAL}[kim]\npasswd: 'x'\nallowed: []\n{NEEDED}", Fate.LEAVE, "a password of its own"),
    (f"{GLOBAL}[kim]\npath: ['/home/kim'] - ['/home/kim/x']\nallowed: []\n{NEEDED}", Fate.LEAVE, "the whole home"),
    (f"{GLOBAL}[kim]\nhome_path: '/home'\nallowed: []\n{NEEDED}", Fate.LEAVE, "holds the homes"),
    (f"{GLOBAL}[kim]\nscp: 1\nscp_upload: 0\nscp_download: 0\nallowed: []\n{NEEDED}", Fate.LEAVE,
     "both of its directions"),
    (f"{GLOBAL}include_dir: lshell.d/\n[kim]\nallowed: []\n{NEEDED}", Fate.LEAVE, "whatever directory"),
    (f"{GLOBAL}[default]\nallowed: []\n{NEEDED}[grp:users]\nscp: 1\n[grp:staff]\nscp: 0\n", Fate.LEAVE, "their order"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "fate", "why"), ENDS)
def test_what_is_refused_or_left(text: str, fate: Fate, why: str) -> None:
    """With the line where there is one."""
    result = found(text)
    assert result.fate is fate and why in texts(result) and not result.settings


def test_include_dir_is_the_beginning_of_names() -> None:
    """A ``*`` is put behind it; later files change earlier sections."""
    text = f"{GLOBAL}include_dir: /etc/lshell.d/*.conf\nmax_sessions_per_user: 3\n[default]\nallowed: ['ls']\n{NEEDED}"
    result = found(text, {"kim.conf": "[kim]\nallowed: + ['git']\n[global]\nallowed: 'all'\n", "x.old": "[\n"})
    assert result.settings["limits"] == {"max_sessions": "3"}
    assert result.settings["shell"]["programs"] == ("ls", "git") and result.where == "/etc/lshell.d/kim.conf:2"


def test_paths_home_and_umask() -> None:
    """Directories outside of the home are lost."""
    text = f"{GLOBAL}[kim]\npath: ['/etc', '/home/kim/x', '/nosuch']\nhome_path: '/srv/%u'\numask: 0027\nallowed: []\n"
    result = one(
        lshell, SHELL, {PATH: text + NEEDED}, dirs={"/etc": (0o40755, 0, 0), "/srv/kim": (0o40755, 1001, 1001)}
    )
    assert result.home == "/srv/kim" and result.settings[""]["umask"] == "027"
    assert "/etc: a jail shows the home alone" in texts(result, Effect.LOST) and "/nosuch" not in texts(result)


def test_internal_sftp_does_not_ask_lshell() -> None:
    """So what it forbids was not forbidden."""
    text = f"{GLOBAL}[kim]\nallowed: []\n{NEEDED}"
    result = one(lshell, SHELL, {PATH: text}, settings={"": {"subsystem": "sftp internal-sftp"}})
    assert "without asking it" in texts(result, Effect.CLOSED)


def test_directories_of_programs_must_be_roots() -> None:
    """A user could put programs there."""
    text = f"{GLOBAL}[kim]\nallowed: []\nallowed_cmd_path: ['/opt/bin', '/home/kim/bin']\n{NEEDED}"
    dirs = {"/opt/bin": (0o40755, 0, 0), "/home/kim/bin": (0o40755, 1001, 1001), "/opt/bin/tool": (0o100755, 0, 0)}
    result = one(lshell, SHELL, {PATH: text, "/opt/bin/tool": "", "/home/kim/bin/x": ""}, dirs=dirs)
    assert result.settings["shell"]["programs"] == ("/opt/bin/tool",)
    assert "/home/kim/bin" in texts(result, Effect.LOST)


def test_damaged_files() -> None:
    """They give nothing more."""
    survives(lshell, SHELL, PATH, STOCK)
