"""Completion, asked of the shells themselves: verbs, actions, options, and names that are found in files."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.cli.main import VERBS
from tests.abilities import REPO
from tests.harness.documents import documents

__all__ = ["documents"]

BASH = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_jailssh
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = "source $argv[1]; complete -C $argv[2]"
# A terminal in which compadd, by which every function of zsh adds what it offers, prints it.
ZSH = r"""
zmodload zsh/zpty
zpty terminal zsh -f -i
tell() { zpty -w terminal "$1" }
tell "PROMPT= RPROMPT= fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -D -u"
tell 'compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
    local -a hits; builtin compadd -A hits "$@"; (( $#hits )) && print -rl -- \<HIT\>$^hits\<END\>; (( $#hits ))
}'
tell "finish() { print '<DO''NE>' }; comppostfuncs=(finish); bindkey '^I' complete-word; print '<REA''DY>'"
zpty -r terminal out '*<READY>*'
zpty -n -w terminal "$2"$'\t'
zpty -r terminal out '*<DONE>*'
print -r -- "$out"
"""


def ask_bash(documents: Path, line: str, cwd: Path) -> set[str]:
    script = documents / "share/bash-completion/completions/jailssh"
    # What is typed last may be empty.
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    command = ["bash", "--norc", "-uc", BASH, "bash", script, *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


def ask_fish(documents: Path, line: str, cwd: Path) -> set[str]:
    script = documents / "share/fish/vendor_completions.d/jailssh.fish"
    command = ["fish", "--no-config", "-c", FISH, script, line]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20)
    assert done.stderr == ""
    return {each.split("\t")[0] for each in done.stdout.splitlines()}


def ask_zsh(documents: Path, line: str, cwd: Path) -> set[str]:
    command = ["zsh", "-f", "-c", ZSH, "zsh", documents / "share/zsh/site-functions", line]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    hits = {each.split("<HIT>")[1] for each in done.stdout.split("<END>") if "<HIT>" in each}
    # A list of values is offered without those that are typed already.
    before = line.split(" ")[-1].rpartition(",")[0]
    return {f"{before},{hit}" for hit in hits} if before else hits


SHELLS = [pytest.param(ask, marks=pytest.mark.needs(shell), id=shell) for shell, ask in (
    ("bash", ask_bash), ("fish", ask_fish), ("zsh", ask_zsh),
)]  # fmt: skip
Ask = Callable[[Path, str, Path], set[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory for --root with accounts, jails, keys and images, and names that must not be evaluated."""
    root = tmp_path / "root"
    for name in (
        "etc/jailssh/users/alice.conf",
        "etc/jailssh/users/bob.conf",
        "etc/jailssh/users/$(touch evaluated).conf",
        "etc/jailssh/users/`touch evaluated`.conf",
        "etc/jailssh/users/a;touch evaluated.conf",
        "etc/jailssh/jails/web.conf",
        "etc/jailssh/keys.d/git/carol.pub",
        "etc/jailssh/keys.d/git/dave.pub",
        "var/lib/jailssh/images/web/history.json",
        "var/lib/jailssh/images/.pool/0123456789abcdef0123/usr",
        "var/lib/jailssh/images/.pool/0123456789abcdef0123-fed.json",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize("ask", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ad", {"adduser"}),
        ("keys ", {"add", "remove", "list", "print"}),
        ("keys rem", {"remove"}),
        ("adduser --key", {"--key", "--key-commands"}),
        ("keys add git x --gr", {"--group"}),
        ("image verify --rep", {"--repair"}),
        ("--ro", {"--root"}),
        ("--root ROOT deluser ", {"alice", "bob"}),
        ("--root ROOT kick alice b", {"bob"}),
        ("--root ROOT adduser x --jail we", {"web"}),
        ("--root ROOT adduser x --jail sftp-", {"sftp-only", "sftp-ro", "sftp-dropbox"}),
        ("--root ROOT adduser x --jail sftp,we", {"sftp,web"}),
        ("--root ROOT keys remove git ", {"carol", "dave"}),
        ("--root ROOT explain git --key ", {"carol", "dave"}),
        ("--root ROOT image rollback ", {"web"}),
        ("--root ROOT image rollback web ", {"0123456789abcdef0123"}),
        ("adduser x --key-commands ", {"drop", "leave-out"}),
        ("build --format s", {"squashfs"}),
        ("config ch", {"check"}),
        ("adduser roo", {"root"}),
    ],
)
def test_offered(documents: Path, tmp_path: Path, root: Path, ask: Ask, line: str, offered: set[str]) -> None:
    assert ask(documents, f"jailssh {line}".replace("ROOT", str(root)), tmp_path) == offered
    assert not list(tmp_path.rglob("evaluated"))


@pytest.mark.parametrize("ask", SHELLS)
def test_every_verb_is_offered(documents: Path, tmp_path: Path, ask: Ask) -> None:
    assert ask(documents, "jailssh ", tmp_path) == set(VERBS)


@pytest.mark.parametrize("ask", SHELLS)
def test_what_the_client_would_send_is_not_completed(documents: Path, tmp_path: Path, ask: Ask) -> None:
    assert ask(documents, "jailssh explain alice -- ad", tmp_path) == set()


def test_the_table_of_values_is_used() -> None:
    code = (
        "import values\nfrom command_line import verbs\nfound = set()\n"
        "for verb in verbs():\n"
        "    for command in (verb, *verb.actions):\n"
        "        for each in command.arguments:\n"
        "            last = each.flags[0] if each.flags else each.metavar\n"
        "            found |= {each.metavar, ' '.join((*command.words, last))}\n"
        "print(values.used() - found, set(values._KINDS.values()) - values.KINDS)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=REPO / "packaging/documents", capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("set() set()\n", "")
