"""Completion, asked of the shells themselves: verbs, actions, options, and names that are found in files."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.console.main import VERBS
from tests.abilities import REPO
from tests.harness.documents import documents

__all__ = ["documents"]


def fill(root: Path) -> Path:
    """Make a directory for --root with accounts, jails, keys, images, and names that must not be evaluated."""
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


# Each shell is started once and answers all lines, told apart by a line of the line itself behind this sign.
SIGN = "=="
BASH = r"""
source "$1"
while IFS=$'\x1f' read -r line words; do
    IFS=$'\x1f' read -ra COMP_WORDS <<<"$words"
    unset 'COMP_WORDS[-1]'
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _jailssh
    printf '%s\n' "==$line" "${COMPREPLY[@]}"
done
"""
FISH = """
source $argv[1]
while read -l line
    echo "==$line"
    complete -C $line
end
"""
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
# Both lists of functions are emptied by each completion.
tell "finish() { print '<DO''NE>' }; start() { comppostfuncs=(finish) }"
tell "bindkey '^I' complete-word; print '<REA''DY>'"
zpty -r terminal out '*<READY>*'
while read -r line; do
    tell "compprefuncs=(start); print '<REA''DY>'"
    zpty -r terminal out '*<READY>*'
    zpty -n -w terminal "${line%.}"$'\t'
    zpty -r terminal out '*<DONE>*'
    print -r -- "==${line%.}"
    print -r -- "$out" | grep -o '<HIT>.*<END>' | sed 's/<HIT>//; s/<END>.*//'
    zpty -n -w terminal $'\x15'
done
"""
OFFERED = (
    ("ad", {"adduser"}),
    ("keys ", {"add", "remove", "fetch", "list", "print"}),
    ("keys rem", {"remove"}),
    ("adduser --key", {"--key", "--key-commands", "--key-from"}),
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
)
LINES = ("", *(line for line, _ in OFFERED), "explain alice -- ad")
Answers = dict[str, set[str]]


def _run(command: list[str | Path], lines: list[str], cwd: Path) -> Answers:
    typed = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(command, cwd=cwd, input=typed, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    answers: Answers = {}
    for text in done.stdout.splitlines():
        if text.startswith(SIGN):
            answers[text.removeprefix(SIGN)] = set()
        elif text:
            answers[list(answers)[-1]].add(text)
    return answers


def ask_bash(documents: Path, lines: list[str], cwd: Path) -> Answers:
    script = documents / "share/bash-completion/completions/jailssh"
    # What is typed last may be empty, which only a word behind it keeps.
    last = {line: [""] if line.endswith(" ") else [] for line in lines}
    words = ["\x1f".join([line, *shlex.split(line), *last[line], "."]) for line in lines]
    return _run(["bash", "--norc", "-uc", BASH, "bash", script], words, cwd)


def ask_fish(documents: Path, lines: list[str], cwd: Path) -> Answers:
    script = documents / "share/fish/vendor_completions.d/jailssh.fish"
    answers = _run(["fish", "--no-config", "-c", FISH, script], lines, cwd)
    return {line: {each.split("\t")[0] for each in offered} for line, offered in answers.items()}


def ask_zsh(documents: Path, lines: list[str], cwd: Path) -> Answers:
    # read takes blanks at the end away.
    typed = [f"{line}." for line in lines]
    answers = _run(["zsh", "-f", "-c", ZSH, "zsh", documents / "share/zsh/site-functions"], typed, cwd)
    for line, hits in answers.items():
        # A list of values is offered without those that are typed already.
        before = line.split(" ")[-1].rpartition(",")[0]
        answers[line] = {f"{before},{hit}" for hit in hits} if before else hits
    return answers


Ask = Callable[[Path, list[str], Path], Answers]
SHELLS: list[tuple[str, Ask]] = [("bash", ask_bash), ("fish", ask_fish), ("zsh", ask_zsh)]


@pytest.fixture(scope="module", params=[pytest.param(a, id=s, marks=pytest.mark.needs(s)) for s, a in SHELLS])
def answers(request: pytest.FixtureRequest, documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What the shell offers for each of LINES."""
    folder = tmp_path_factory.mktemp("completion")
    root = fill(folder / "root")
    ask: Ask = request.param
    found = ask(documents, [f"jailssh {line}".replace("ROOT", str(root)) for line in LINES], folder)
    assert not list(folder.rglob("evaluated"))
    return {line.replace(str(root), "ROOT").removeprefix("jailssh "): offered for line, offered in found.items()}


@pytest.mark.parametrize(("line", "offered"), OFFERED)
def test_offered(answers: Answers, line: str, offered: set[str]) -> None:
    assert answers[line] == offered


def test_every_verb_is_offered(answers: Answers) -> None:
    assert answers[""] == set(VERBS)


def test_what_the_client_would_send_is_not_completed(answers: Answers) -> None:
    assert answers["explain alice -- ad"] == set()


@pytest.mark.needs("shellcheck")
def test_the_script_for_bash_is_clean(documents: Path) -> None:
    script = documents / "share/bash-completion/completions/jailssh"
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shellcheck
    done = subprocess.run([shellcheck, "--shell=bash", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == ""


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
