"""The manual pages: well formed, and every verb, option, setting, event and reason has its place in one of them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.config import settings
from jailssh.config.files import read_main, read_user
from jailssh.config.jails import extend, read_jail
from jailssh.config.reader import read_document
from jailssh.console.main import VERBS, main, parse, verb_module
from jailssh.core.home_readers import HOME_READERS
from jailssh.core.journal_fields import FIELDS, MESSAGE_IDS, REASONS
from jailssh.jail.profiles import shipped_profiles
from jailssh.plugin.api import Grant, Right
from jailssh.plugin.registry import load_registry
from tests.abilities import REPO
from tests.harness.documents import documents
from tests.unit.spec_tools import read

__all__ = ["documents"]

SOURCES = REPO / "packaging/man"
FILLED = sorted(path.name.removesuffix(".in") for path in SOURCES.glob("*.in"))
VERB_PAGES = [f"jailssh-{verb}.8" for verb in VERBS]
PAGES = [*FILLED, *VERB_PAGES]
# Whatever mandoc says but these: pages of ours that are not installed, and tables whose lines are long.
PASSED_OVER = re.compile(r"referenced manual not found|longer than 80 bytes|mandoc.db lacks|Sh FIELDS instead of FILES")


def page_file(folder: Path, name: str) -> Path:
    return folder / f"share/man/man{name[-1]}" / name


def source(folder: Path, name: str) -> str:
    return page_file(folder, name).read_text()


def terms(text: str) -> set[str]:
    """Return what is defined: the words of all lines ``.It``."""
    return {word for line in re.findall(r"^\.It (.*)", text, re.MULTILINE) for word in line.split()}


def section(text: str, name: str) -> str:
    """Return what stands below a subsection."""
    found = re.search(rf"^\.Ss {re.escape(name)}\n(.*?)(?=^\.S[hs] |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {name}"
    return found[1]


def test_nothing_is_made_beside_these(documents: Path) -> None:
    made = {path.name for path in (documents / "share/man").rglob("*") if path.is_file()}
    assert made == {*FILLED, *VERB_PAGES}
    assert {path.stem for path in (SOURCES / "verbs").iterdir()} == set(VERBS)


@pytest.mark.needs("mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_well_formed(documents: Path, name: str) -> None:
    command = ["mandoc", "-Tlint", "-W", "style", str(page_file(documents, name))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert [line for line in done.stdout.splitlines() if not PASSED_OVER.search(line)] == []


@pytest.mark.needs("mandoc")
def test_a_mistake_would_be_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.8"
    bad.write_text(
        ".Dd November 28, 2026\n.Dt BAD 8\n.Os\n.Sh NAME\n.Nm bad\n.Nd bad\n.Sh DESCRIPTION\n.Bl -tag\n.It a\n"
    )
    done = subprocess.run(["mandoc", "-Tlint", "-W", "style", bad], capture_output=True, text=True, timeout=20)
    assert [line for line in done.stdout.splitlines() if not PASSED_OVER.search(line)] != []


@pytest.mark.parametrize("name", PAGES)
def test_every_mark_was_filled_and_every_page_named_exists(documents: Path, name: str) -> None:
    text = source(documents, name)
    assert re.findall(r"^@.*@$", text, re.MULTILINE) == []
    named = {f"{page}.{number}" for page, number in re.findall(r'Xr "?(jail[\w.-]+)"? (\d)', text)}
    assert named - set(PAGES) == set()
    assert len(section_words(text, "DESCRIPTION")) >= 8, "hardly a description"


def section_words(text: str, name: str) -> list[str]:
    found = re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found
    return [word for line in found[1].splitlines() if not line.startswith(".") for word in line.split()]


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def options(capsys: pytest.CaptureFixture[str], verb: str) -> Iterator[str]:
    """Yield the long options of ``--help``, of the verb and of its actions, as a user sees them."""
    own = help_of(capsys, verb)
    actions = re.findall(r"^    (\w+) ", own, re.MULTILINE) if " ACTION " in own else []
    for text in (own, *(help_of(capsys, verb, action) for action in actions)):
        yield from re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb(documents: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    defined = terms(source(documents, f"jailssh-{verb}.8")) | terms(source(documents, "jailssh.8"))
    found = list(options(capsys, verb))
    assert {"--help", "--root", "--json"} <= set(found)
    assert [option for option in found if option.removeprefix("-") not in defined] == []


def test_every_verb(documents: Path) -> None:
    page = source(documents, "jailssh.8")
    assert [verb for verb in VERBS if f".It Xr jailssh-{verb} 8" not in page] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_of_a_verb(documents: Path, verb: str) -> None:
    examples = verb_module(verb).EXAMPLES
    text = source(documents, f"jailssh-{verb}.8")
    assert examples
    for example in examples:
        assert example in text
        program, *words = shlex.split(example)
        assert program == "jailssh"
        assert parse(words)[1].verb == verb


def test_every_setting(documents: Path) -> None:
    main, jail = source(documents, "jailssh.conf.5"), source(documents, "jailssh-jail.5")
    assert {row.name for row in settings.MAIN} <= terms(section(main, "jailssh.conf"))
    assert {row.name for row in settings.USER} <= terms(section(main, "users/NAME.conf"))
    assert {row.name for row in settings.JAIL if not row.section} <= terms(section(jail, "Settings"))
    assert {row.name for row in settings.JAIL if row.section == "limits"} <= terms(section(jail, "Limits"))
    listed = {row.name for row in settings.JAIL if row.section == "directories"}
    assert listed <= terms(section(jail, "Directories of the host"))
    assert {row.section for row in settings.JAIL} == {"", "limits", "directories"}


def test_every_shipped_jail(documents: Path) -> None:
    names = {path.stem for path in (REPO / "jailssh/profiles").glob("*.conf")}
    assert names
    assert names <= terms(section(source(documents, "jailssh-jail.5"), "Shipped jails"))


@pytest.mark.parametrize("name", sorted(load_registry().plugins))
def test_every_option_of_a_plugin(documents: Path, name: str) -> None:
    text = section(source(documents, "jailssh-plugins.7"), name)
    assert {option.name for option in load_registry().get(name).options} <= terms(text)


def test_every_field_event_and_reason(documents: Path) -> None:
    page = source(documents, "jailssh-journal.7")
    assert set(FIELDS) <= terms(page)
    assert set(REASONS) <= terms(page)
    for event, message_id in MESSAGE_IDS.items():
        assert message_id in section(page, event)


def test_every_file_of_a_home(documents: Path) -> None:
    page = terms(section(source(documents, "jailssh-security.7"), "Programs that read a home"))
    assert [row.path for row in HOME_READERS if page.isdisjoint({f"~/{row.path}", f"~/{row.path}/"})] == []


def blocks(text: str) -> list[str]:
    """Return what the page shows literally."""
    found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.DOTALL | re.MULTILINE)
    return [block.replace(r"\e", "\\") for block in found]


def configurations(text: str) -> list[str]:
    """Return the page's examples of configuration files."""
    return [block for block in blocks(text) if re.search(r"^[a-z_]+ = ", block, re.MULTILINE)]


def test_examples_of_the_main_file_and_of_an_account(documents: Path) -> None:
    classes, groups, limits, by_key = set(), 0, set(), 0
    for block in configurations(source(documents, "jailssh.conf.5")):
        if "users/alice.conf" in block:
            limits |= set(read_user(block, "example", "alice").access)
        elif "jail = backups" in block:
            by_key = len(read_user(block, "example", "backup").by_key)
        elif block.startswith("[groups]"):
            groups += len(read_user(f"uid = 1000\njail = git-hosting\n{block}", "example", "git").groups)
        else:
            classes |= set(read_main(block, "example").bandwidth)
    assert (classes, groups, limits, by_key) == ({"slow"}, 1, {"expires", "hours"}, 3)


def test_examples_of_jails(documents: Path) -> None:
    registry = load_registry()
    jails = [
        read_jail(
            "example",
            extend(read_document(block, "example"), shipped_profiles()),
            registry.options,
            registry.plugins,
        )
        for block in configurations(source(documents, "jailssh-jail.5"))
    ]
    site = ("rsync", "scp", "sftp", "shell")
    names = [("sftp", "shell"), ("sftp",), site[:3], ("git", "sftp"), site, ("sftp",), ("shell",)]
    assert [jail.plugins for jail in jails] == names
    assert jails[3].env == (("LANG", "C.UTF-8"),)


def test_examples_of_specs(documents: Path) -> None:
    whole, small = blocks(source(documents, "jailspec.5"))
    spec = read({"t.jailspec": whole, "common/base.jailspec": "/srv/base\n"}, "t.jailspec")
    assert len(spec.statements) > 25
    assert len(read({"t.jailspec": small}).statements) > 5


def test_a_table_of_rights_is_shown(documents: Path) -> None:
    rights = [block for block in blocks(source(documents, "jailssh-plugins.7")) if "@developers" in block]
    assert len(rights) == 1
    text = "plugins = git\n[git]\nroots = /srv/git\nrights = " + ", ".join(
        f'"{line}"' for line in rights[0].strip().splitlines()
    )
    jail = read_jail("example", read_document(text, "example"), load_registry().options)
    lines = jail.options["git"]["rights"]
    assert isinstance(lines, tuple)
    assert Right.of(lines[0]) == Right(Grant.READ, "website", ("@all",))
    assert len(lines) == 5
