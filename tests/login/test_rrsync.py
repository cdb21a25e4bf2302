"""The rsync plugin beside rsync's own rrsync: nothing is allowed that it denies, and what it allows more is named.

rrsync runs as it is, in one child, with its last step taken away; both judge the same command lines, those that real
clients send and thousands made of their pieces.  Quoting is left out: rrsync takes quotes for letters of a name.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.plan import codec
from jailssh.plugin.api import Jail, Value
from jailssh.sources import forced
from jailssh.sources.found import Person
from jailssh_plugins.rsync.plugin import plugin
from tests.abilities import REPO, RRSYNC
from tests.login.driver import Driver, joined
from tests.login.jails import ALICE, plan_with
from tests.login.rsync_commands import PULLED, PUSHED
from tests.unit.source_tools import AHost

pytestmark = pytest.mark.needs("rrsync", "gcc", "sanitizers")

CASES = 4200
PLAIN: dict[str, Value] = {
    "read": (), "write": (), "delete": True, "overwrite": True, "follow_links": False, "munge": False, "confine": False,
    "probe": False,
}  # fmt: skip


def knows(flag: str) -> bool:
    """Return whether this version of rrsync has the flag: that of rsync 3.2.7, with which Debian 12 came, has fewer."""
    return f"'{flag}'" in RRSYNC.read_text()


# rrsync's flags -> our settings, with DIR for the directory.
ALL_MODES: dict[str, dict[str, Value]] = {
    "": {"read": "DIR", "write": "DIR"},
    "-ro": {"read": "DIR"},
    "-wo": {"write": "DIR"},
    "-no-del": {"read": "DIR", "write": "DIR", "delete": False},
    "-no-overwrite": {"read": "DIR", "write": "DIR", "overwrite": False},
    "-wo -no-del -no-overwrite -munge": {"write": "DIR", "delete": False, "overwrite": False, "munge": True},
}
MODES = {flags: rows for flags, rows in ALL_MODES.items() if RRSYNC.exists() and all(map(knows, flags.split()))}
# What rrsync allows and the plugin denies: the name in the plugin's README, our reason, what did not fit.
STRICTER = (
    ("`true`", "command-not-allowed", "command true"),
    ("a path from the top of the directory, or a directory named `~`", "path-outside", "path [/~]"),
    ("`--log-file`", "option-not-allowed", "option --log-file"),
    ("`--files-from` with a list on this host", "value-not-allowed", "value .*(txt|sub|new)"),
    ("`--files-from` when copying to this host", "option-not-allowed", "option --files-from"),
    ("removing what was copied from this host", "option-not-allowed", "option --(remove-|delete-missing-args)"),
    ("an option of the other direction", "option-not-allowed", "option --[A-Za-z0-9-]+"),
    ("`--max-delete` without `delete`", "option-not-allowed", "option --max-delete"),
    ("`--suffix`, `--append`, `--inplace`, `--force` without `overwrite`", "option-not-allowed",
     "option --(suffix|append|inplace|force)"),
    ("a number out of range", "value-not-allowed", "value -?[0-9.e]+$"),
    ("a value with other characters than the option has", "value-not-allowed", "value"),
    ("a value for an option that takes none", "value-not-allowed", "option --[A-Za-z0-9-]+="),
    ("`--server` or `--sender` twice", "option-not-allowed", "option --(server|sender)"),
    ("no path, or several when copying to this host", "operand-count", ""),
    ("an empty path", "path-empty", ""),
    ("a name that begins with `~` of another account", "path-of-other-user", ""),
    ("characters that a shell would act on", "shell-metacharacter", ""),
    ("control characters", "control-character", ""),
)  # fmt: skip
# What the plugin allows although rrsync denies it, since the grammar has no words for it and nothing is gained by it.
LOOSER = (
    ("`..` in a value that names no file", r"--(log-format|suffix|info|iconv|skip-compress|compress-choice|"
     r"checksum-choice|usermap|groupmap)[= ](\S*/)?\.\.(/\S*)?( |$)"),
    ("`-B` or `-@` at the end of other letters", r" -[A-Za-z]+[B@]\d*( |$)"),
)  # fmt: skip
# What rrsync of rsync 3.2.7 has no flag or answer for, and how a version that has it can be known.
NEWER = {
    "`true`": "command == 'true'",
    "`--suffix`, `--append`, `--inplace`, `--force` without `overwrite`": "'-no-overwrite'",
}
RUN = """
import contextlib, io, json, os, sys
source, folder, *always = sys.argv[1:]
code = compile(open(source).read(), source, "exec")
class Executed(BaseException):
    pass
def executed(*words):
    raise Executed
os.execlp = executed
answers = []
for flags, command in json.load(sys.stdin):
    sys.argv = ["rrsync", *always, "-no-lock", *flags.split(), folder]
    os.environ["SSH_ORIGINAL_COMMAND"] = command
    allowed, said = False, io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            exec(code, {"__name__": "__main__", "__file__": source})
    except Executed:
        allowed = True
    except SystemExit as end:
        allowed = not end.code
        if "No such file or directory" in said.getvalue() or "does not exist:" in said.getvalue():
            allowed = None  # nothing to say: it would be served if it were there
    except Exception:
        pass
    answers.append(allowed)
    os.closerange(3, 100)
print(json.dumps(answers))
"""
Judged = tuple[str, str, bool | None, str]
NUMBERS = ("0", "1", "16", "60", "1024", "4096", "-1", "-2", "1e9", "99999999999", "0x10", "256", "")
WORDS = ("md5", "zstd", "gz/jpg", "X", "a b", "%i", ".bak", "*:root", "UTF-8", "é", "-", ".", "e", "a;b", "$x")
PATHS = ("sub", "sub/", "a.txt", "./sub", ".", "sub/in", "/sub", "/etc", "DIR", "DIR/sub", "../x", "sub/../a.txt",
         "..", "DIR/../x", "/", "*.txt", "new", "-x", "sub//in", "~/x", "~root", "a;id", "a|b", "a\x01b")  # fmt: skip
SHORTS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_-"


def long_options() -> list[str]:
    """Return every long option that rrsync has heard of, and others."""
    table = re.search(r"^long_opts = \{\n(.*?)^\}", RRSYNC.read_text(), re.DOTALL | re.MULTILINE)
    assert table
    known = re.findall(r"'([a-zA-Z0-9-]+)'", table[1])
    return [*known, "config", "rsh", "delet", "serv", "secluded-args", "block-siz", "rsync-path", "zz", "drop-D", ""]


def made(chance: random.Random, folder: str, longs: list[str]) -> str:
    """Return a command line made of pieces that clients and attackers send."""
    pull = chance.random() < 0.5
    words = ["rsync", "--server"] + ["--sender"] * pull
    if chance.random() < 0.6:
        words += chance.choice(PULLED if pull else PUSHED).split()
    for _ in range(chance.randrange(3)):
        name = "--" + chance.choice(longs)
        value = chance.choice(chance.choice((NUMBERS, WORDS, PATHS)))
        words += chance.choice(([name], [f"{name}={value}"], [name, value]))
    if chance.random() < 0.3:
        cluster = "-" + "".join(chance.choice(SHORTS) for _ in range(chance.randrange(1, 5)))
        words.append(cluster + chance.choice(("", "e.iLsfxCIvu", "e31.L", "e_", "e.a_b", "e", "1", "1024")))
    if chance.random() < 0.95:
        words.append(".")
    words += [chance.choice(PATHS) for _ in range(chance.choice((1, 1, 1, 1, 0, 2)))]
    if chance.random() < 0.05:
        words.insert(chance.randrange(2, len(words) + 1), chance.choice(("--", ".", "--daemon", "-s", "x", "--sender")))
    # A blank within a value is sent behind a backslash.
    return " ".join(word.replace("DIR", folder).replace(" ", "\\ ") for word in words)


def lines(folder: str) -> Iterator[tuple[str, str]]:
    """Yield mode and command: what real clients send in each mode, then made ones."""
    chance, longs = random.Random(20), long_options()
    for mode in MODES:
        yield mode, "true"
        yield mode, "rsync --server -tB700 -e.L . sub"
        yield mode, "rsync --server --sender -e.L --suffix=x --backup-dir= . sub"
        yield from ((mode, f"rsync --server {options} . sub") for options in PUSHED)
        yield from ((mode, f"rsync --server --sender {options} . sub") for options in PULLED)
        yield from ((mode, made(chance, folder, longs)) for _ in range(CASES // len(MODES)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory both are about; what it holds again below its own path is for rrsync, which begins there."""
    folder = str(tmp_path_factory.mktemp("served").resolve())
    for inside in ("sub/in", f"{folder}/sub/in", "etc", "old", "prev", "home/alice/backup"):
        os.makedirs(f"{folder}/{inside.lstrip('/')}")
    for name in ("a.txt", "new"):
        Path(folder, name).write_text("x")
    return folder


def ours(driver: Driver, room: Path, folder: str, mode: str, commands: list[str]) -> list[tuple[str, str]]:
    given = {name: (folder,) if value == "DIR" else value for name, value in MODES[mode].items()}
    jail = Jail("j", ("rsync",), {"rsync": "/usr/bin/rsync"}.get)
    plan = room / "plan"
    plan.write_bytes(codec.encode(plan_with(list(plugin.account(jail, ALICE, {**PLAIN, **given}).rules))))
    answers = driver.parts("match", [joined(["", "c", command]) for command in commands], plan)
    return [(reason, detail) for reason, detail, *_ in answers]


@pytest.fixture(scope="module")
def judged(driver: Driver, tmp_path_factory: pytest.TempPathFactory, folder: str) -> list[Judged]:
    """Mode, command, whether rrsync allows it, and ours: ``""`` for allowed, else reason and detail."""
    room = tmp_path_factory.mktemp("plans")
    cases = [(mode, command) for mode, command in lines(folder) if "\0" not in command]
    # Without -absolute it takes every path for one below the directory, and so it holds itself once more.
    child = [sys.executable, "-c", RUN, str(RRSYNC), folder, *(["-absolute"] if knows("-absolute") else [])]
    done = subprocess.run(child, input=json.dumps(cases), capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    theirs = dict(zip(cases, json.loads(done.stdout), strict=True))
    out = []
    for mode in MODES:
        commands = [command for of, command in cases if of == mode]
        for command, (reason, detail) in zip(commands, ours(driver, room, folder, mode, commands), strict=True):
            out.append((mode, command, theirs[mode, command], f"{reason}: {detail}" if reason else ""))
    return out


def test_both_judge_enough(judged: list[Judged]) -> None:
    assert len(judged) > 4000
    assert sum(theirs is True for _, _, theirs, _ in judged) > 500
    assert sum(not mine for _, _, _, mine in judged) > 400


def test_nothing_is_allowed_that_rrsync_denies(judged: list[Judged]) -> None:
    looser = {pattern: 0 for _, pattern in LOOSER}
    wrong = []
    for mode, command, theirs, mine in judged:
        if mine or theirs is not False:
            continue
        named = [pattern for pattern in looser if re.search(pattern, command)]
        wrong += [] if named else [(mode, command)]
        looser.update((pattern, looser[pattern] + 1) for pattern in named)
    assert wrong == []
    assert all(looser.values()), looser


def test_what_rrsync_allows_and_the_plugin_denies_is_in_its_readme(judged: list[Judged]) -> None:
    readme = (REPO / "plugins/rsync/README.md").read_text()
    assert [name for name, *_ in (*STRICTER, *LOOSER) if f"| {name} |" not in readme] == []
    unnamed, used = [], set()
    for mode, command, theirs, mine in judged:
        if not theirs or not mine:
            continue
        names = [name for name, reason, text in STRICTER if re.match(f"{reason}: {text}", mine)]
        used.update(names)
        if not names:
            unnamed.append((mode, command, mine))
    assert unnamed == []
    text = RRSYNC.read_text()
    expected = {name for name, _, _ in STRICTER if NEWER.get(name, "") in text}
    assert expected - used == set()


@pytest.mark.parametrize("flags", ALL_MODES)
def test_migrate_makes_the_settings_that_are_compared(flags: str) -> None:
    """So what is held here of them is held of the jails that come of such keys."""
    kim = Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/bin/sh")
    judged = forced.judge(f"rrsync {flags} /srv/d".replace("  ", " "), kim, AHost())
    made = dict(judged.settings["rsync"])
    assert made.pop("probe") == "yes", "rsnapshot and others ask for that first"
    words = {True: "yes", False: "no"}
    assert made == {
        name: ("/srv/d",) if value == "DIR" else words[bool(value)] for name, value in ALL_MODES[flags].items()
    }
