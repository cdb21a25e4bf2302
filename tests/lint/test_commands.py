"""The command lines that documents show are understood by the command: no page names a verb or option that is gone."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from jailssh.console.main import parse
from jailssh.core.errors import UsageError
from tests.abilities import REPO
from tests.lint.tree import below, name

PAGES = [*below(suffix=".md"), *below("packaging", suffix=".in"), *below("packaging", suffix=".mdoc")]
PAGES = [path for path in PAGES if path.suffix == ".md" or name(path).startswith("packaging/man/")]


def whole(path: Path) -> list[str]:
    """Return the command lines of jailssh in the page's blocks of code."""
    text = path.read_text()
    pattern = r"^```\w*\n(.*?)^```$" if path.suffix == ".md" else r"^\.Bd -literal.*?\n(.*?)^\.Ed$"
    lines = [line for block in re.findall(pattern, text, re.DOTALL | re.MULTILINE) for line in block.splitlines()]
    commands = [re.split(r"\s{2,}#|;|\s\|", re.sub(r"^\s*(?:\w*[$#] )?", "", line))[0] for line in lines]
    return [line.strip() for line in commands if line.startswith("jailssh ")]


def mentioned(path: Path) -> list[str]:
    """Return the command lines within the text, which may leave out what is required."""
    text = path.read_text()
    if path.suffix == ".md":
        return re.findall(r"`(jailssh [a-z][^`\n]*)`", text)
    lines = re.findall(r"^\.Ql (jailssh .*?)(?: [.,;:])?$", text, re.MULTILINE)
    return [line.replace(r"\-", "-") for line in lines]


def words_of(line: str) -> list[str]:
    return [word for word in shlex.split(line)[1:] if word not in ("…", "...")]


@pytest.mark.parametrize("path", [path for path in PAGES if whole(path)], ids=name)
def test_commands_are_understood(path: Path) -> None:
    for line in whole(path):
        words = words_of(line)
        assert parse(words)[1].verb == words[0], line


@pytest.mark.parametrize("path", [path for path in PAGES if mentioned(path)], ids=name)
def test_commands_in_the_text_are_understood(path: Path) -> None:
    for line in mentioned(path):
        try:
            parse(words_of(line))
        except UsageError as error:
            assert "arguments are required" in error.why or "missing verb" in error.why, line


def test_what_a_user_is_told_is_what_is_said() -> None:
    # What stands behind the last colon or "this" depends on the account.
    product = [*below("jailssh", suffix=".py"), *below("jailssh", suffix=".c"), *below("plugins", suffix=".py")]
    sources = "\n".join(path.read_text() for path in product)
    shown = re.findall(r"^jailssh: (.*)$", "".join(path.read_text() for path in PAGES), re.MULTILINE)
    assert len(shown) >= 2
    for line in shown:
        ends = [line.rpartition(": ")[0], line.rpartition(" this ")[0]]
        told = line.removeprefix("command not allowed; ")
        assert line in sources or any(end and end.removeprefix("command not allowed; ") in sources for end in ends), (
            told
        )
    assert '"jailssh: command not allowed; %s' in sources


def test_the_table_of_jails_has_each_shipped_one() -> None:
    table = re.findall(r"^\| (`.*?) \|", (REPO / "README.md").read_text(), re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`([\w-]+)`", row)}
    assert named == {path.stem for path in (REPO / "jailssh/profiles").glob("*.conf")}


def test_pages_are_read() -> None:
    assert len({line for path in PAGES for line in whole(path)}) >= 10
    assert len({line for path in PAGES for line in mentioned(path)}) > 20
    assert "jailssh setup" in whole(REPO / "README.md")
    assert "jailssh apply" in mentioned(REPO / "packaging/man/jailssh.8.in")
