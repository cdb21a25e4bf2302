"""jk_init.ini as Jailkit's own reader takes it, and what is said where that reader stops or is silent."""

from __future__ import annotations

import configparser
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jailssh.core.errors import JailsshError, ManyErrors
from jailssh.core.names import HostPath, JailPath
from jailssh.jailspec.devices import DeviceType
from jailssh.jailspec.errors import Note, SpecError
from jailssh.jailspec.jkinit import parse_ini
from jailssh.jailspec.load import Source, SourceKind, list_sections
from jailssh.jailspec.merge import Spec, read_spec
from jailssh.jailspec.sections import REPAIRS, SHIPPED
from jailssh.jailspec.statements import (
    Copy,
    Data,
    Device,
    Directory,
    GroupEntry,
    HostDevice,
    Need,
    Origin,
    Section,
    Statement,
    Symlink,
    Tree,
    UserEntry,
    claim,
)
from tests.unit.spec_tools import notes, read

O = Origin("")  # noqa: E741
NAMES = """
    apache apacheutils basicshell cvs editors extendedshell extshellplusnet git interactiveshell jk_lsh limitedshell
    logbasics midnightcommander netbasics netutils openvpn perl ping procmail rsync scp sftp ssh terminfo uidbasics
    vncserver xauth xclients
""".split()  # noqa: SIM905


def ini(text: str | bytes, *sections: str, files: dict[str, str] | None = None) -> Spec:
    """Read sections of an ini file, ``i``."""
    return read({"i": text, **(files or {})}, *(files or {}), ini="i", sections=sections or ("s",))


def item(source: str, **more: bool) -> Copy:
    more = {"optional": True, "recursive": True, **more}
    return Copy(HostPath(source), origin=O, **more)  # type: ignore[arg-type]


def ini_errors(text: str, *sections: str) -> list[SpecError]:
    with pytest.raises(JailsshError) as caught:
        ini(text, *sections)
    found = caught.value.errors if isinstance(caught.value, ManyErrors) else [caught.value]
    return [error for error in found if isinstance(error, SpecError)]


def test_keys_and_deprecated_names_in_jk_init_s_order() -> None:
    found = ini(
        """\
[s]
comment: a comment
Directories = /d
regularfiles = /r
executables = bash
libraries = /usr/lib/lib*.so
paths = /p, sh
paths_w_owner = /o, /o*
paths_w_setuid = /bin/su
emptydirs = /svr
users = root, 33
groups = root
need_logsocket = 1
need_proc = yes
devices = /dev/null, /dev/loop300
"""
    )
    assert list(found.statements) == [
        item("/p"),
        item("sh", search=True),
        item("/usr/lib/lib*.so", glob=True),
        item("bash", search=True),
        item("/r"),
        item("/d"),
        Copy(HostPath("/o"), owner="keep", optional=True, recursive=True, origin=O),
        Copy(HostPath("/o*"), owner="keep", optional=True, recursive=True, glob=True, origin=O),
        Copy(HostPath("/bin/su"), owner="keep", setuid=True, optional=True, recursive=True, origin=O),
        Directory(JailPath("/svr"), origin=O),
        Device(JailPath("/dev/null"), DeviceType.CHAR, 1, 3, 0o666, origin=O),
        HostDevice(JailPath("/dev/loop300"), optional=True, origin=O),
        UserEntry("root", optional=True, origin=O),
        UserEntry("33", optional=True, origin=O),
        GroupEntry("root", optional=True, origin=O),
        Need("logsocket", origin=O),
        Need("proc", origin=O),
    ]
    assert found.notes == ()


def test_places() -> None:
    found = ini("[s]\npaths = /a,  /b,\n    /c\n").statements
    assert [(each.origin.line, each.origin.column, each.origin.text) for each in found] == [
        (2, 9, "/a"),
        (2, 14, "/b"),
        (3, 5, "/c"),
    ]


def test_included_sections_come_first_and_once() -> None:
    text = "[a]\nincludesections = b, c\npaths = /a\n[b]\npaths = /b\nincludesections=c\n[c]\npaths = /c\n"
    assert list(ini(text, "a", "b").statements) == [item("/c"), item("/b"), item("/a")]


def test_a_cycle_is_an_error_that_names_it() -> None:
    (error,) = ini_errors("[a]\nincludesections = b\n[b]\nincludesections = c\n[c]\nincludesections = a\n", "a")
    assert error.why == "the section includes itself: a → b → c → a"
    assert error.origin.place == "i:6:19"
    assert error.origin.chain == ("section a", "i:2:19", "i:4:19")


def test_default_section_is_inherited() -> None:
    found = ini("[DEFAULT]\npaths = /x\ndevices = /dev/null\n[s]\npaths = /a\n")
    assert list(found.statements) == [item("/a"), Device(JailPath("/dev/null"), DeviceType.CHAR, 1, 3, 0o666, origin=O)]


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ("paths = /a,\n", ["/a"], "a comma without an entry"),
        ("paths = /a,,/b\n", ["/a", "/b"], "a comma without an entry"),
        ("paths =\n", [], "an empty list"),
        ("paths = php /usr/lib/php\n", ["php", "/usr/lib/php"], "taken as 2 entries"),
        ("paths = /a # hi\n", ["/a"], "'# hi' taken as a comment"),
        ("paths = /a\n  /b\n", ["/a", "/b"], "without a comma at its end"),
        ("paths = /a%b\n", ["/a%b"], "'%' stands for nothing"),
        ("paths = /%(nosuch)s/a\n", ["/%(nosuch)s/a"], "'%(nosuch)s' stands for nothing"),
        ("paths = /a\npaths = /b\n", ["/b"], "'paths' again, after line 2; the last counts"),
        ("paths = bin/x\n", [], "neither an absolute path nor a program's name"),
        ("frobnicate = 1\n", [], "jk_init knows no key 'frobnicate'"),
        ("need_logsocket = 0\n", [], "'0' means no"),
        ("includesections = nosuch\n", [], "no section 'nosuch'; left out"),
        ("paths = /a\n[t]\n[s]\ndevices = /dev/null\n", ["/a", None], "[s] again, after line 1; both are taken"),
    ],
)
def test_what_jk_init_trips_over_is_noted(text: str, expected: list[str | None], said: str) -> None:
    found = ini("[s]\n" + text)
    assert [getattr(each, "source", None) for each in found.statements] == expected
    (note,) = notes(found)
    assert said in note
    assert note.startswith("i:")


def test_interpolation() -> None:
    found = ini("[DEFAULT]\nbase = /opt\n[s]\npaths = %(base)s/a%%, %(BASE)s/b\n")
    assert list(found.statements) == [item("/opt/a%"), item("/opt/b")]
    assert found.notes == ()


def test_interpolation_is_bounded() -> None:
    keys = "".join(f"k{number} = {f'%(k{number + 1})s' * 50}\n" for number in range(20))
    began = time.monotonic()
    (error,) = ini_errors(f"[s]\n{keys}k20 = /x\npaths = /%(k0)s\n", "s")
    assert "longer than a path may be" in error.why
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("paths = /a\n[s]\n", 1, "a line before the first [section]"),
        ("[s]\nno delimiter\n", 2, "neither [section] nor 'key = value'"),
        ("[s]\n= x\n", 2, "neither [section] nor 'key = value'"),
        ("[s]\npaths = /a/../b\n", 2, "has '..'"),
        ("[s]\npaths_w_owner = su\n", 2, "path 'su' is not absolute"),
        ("[s]\nemptydirs = svr\n", 2, "directory 'svr' is not absolute"),
    ],
)
def test_errors_have_their_place(text: str, line: int, why: str) -> None:
    (error,) = ini_errors(text)
    assert error.origin.line == line
    assert why in error.why


def test_a_section_named_in_a_spec() -> None:
    files = {"t": "section s\n/own/\n"}
    found = ini("[s]\npaths = /a\n", "s", files=files)
    assert list(found.statements) == [item("/a"), Directory(JailPath("/own"), origin=O)]
    assert found.statements[0].origin.chain == ("t:1:9",)


def test_a_spec_beats_a_section_in_any_order() -> None:
    for text in ("section devbasics\n/dev/null => /x override\n", "/dev/null => /x\nsection devbasics\n"):
        found = read({"t": text})
        (null,) = [each for each in found.statements if (claim(each) or ("",))[0] == "/dev/null"]
        assert claim(null) == ("/dev/null", "hard link")


def test_a_profile_stays_a_section() -> None:
    found = read({"t": "section sftp-only\n"}, profiles=("sftp-only",))
    assert list(found.statements) == [Section("sftp-only", origin=O)]


def test_repairs_of_the_administrator_s_sections() -> None:
    found = ini("[perl]\npaths = perl, /usr/share/perl\n[basicshell]\npaths = bash\n", "perl", "basicshell")
    assert item("perl", search=True) in found.statements
    assert Tree(HostPath("/usr/lib/*/perl"), optional=True, glob=True, origin=O) in found.statements
    assert Data("locale", origin=O) in found.statements
    assert Device(JailPath("/dev/null"), DeviceType.CHAR, 1, 3, 0o666, origin=O) in found.statements
    assert notes(found) == [
        "i:1:1: section perl repaired: " + REPAIRS["perl"][0].why,
        *(f"i:3:1: section basicshell repaired: {repair.why}" for repair in REPAIRS["basicshell"]),
    ]


def test_the_administrator_s_word_beats_a_repair() -> None:
    found = ini("[basicshell]\nemptydirs = /dev/fd\n", "basicshell")
    (directory,) = [each for each in found.statements if (claim(each) or ("",))[0] == "/dev/fd"]
    assert isinstance(directory, Directory)


def test_all_of_jailkit_s_names_are_shipped() -> None:
    assert set(NAMES) < set(SHIPPED)
    assert set(REPAIRS) < set(SHIPPED)
    assert [name for name, comment in list_sections(lambda _: b"") if not comment] == []


def shipped(name: str) -> Spec:
    return read({}, sections=(name,))


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_section_reads_without_a_word(name: str) -> None:
    found = shipped(name)
    assert found.statements
    assert [note for note in found.notes if not note.verbose] == []


def test_an_interactive_shell_has_what_it_needs() -> None:
    found = shipped("interactiveshell").statements
    paths = {claimed[0]: each for each in found if (claimed := claim(each))}
    for name in ("null", "zero", "urandom", "tty", "ptmx"):
        device = paths[JailPath(f"/dev/{name}")]
        assert isinstance(device, Device)
        assert device.mode == 0o666
    assert isinstance(paths[JailPath("/dev/pts")], Directory)
    assert isinstance(paths[JailPath("/dev/fd")], Symlink)
    tmp = paths[JailPath("/tmp")]
    assert isinstance(tmp, Directory)
    assert tmp.mode == 0o1777
    assert {each.name for each in found if isinstance(each, Data)} >= {"locale", "terminfo", "nss"}
    programs = {str(each.source): each.optional for each in found if isinstance(each, Copy) and each.search}
    assert programs["bash"] is programs["ls"] is programs["find"] is False
    assert programs["vim"] is True


def test_git_has_its_helpers() -> None:
    found = shipped("git").statements
    trees = {each.source for each in found if isinstance(each, Tree)}
    assert trees >= {"/usr/lib/git-core", "/usr/share/git-core", "/usr/lib/*/perl", "/usr/share/perl5"}
    assert Copy(HostPath("/usr/bin/git*"), optional=True, glob=True, origin=O) in found
    assert Data("ca-certificates", origin=O) in found


def test_no_shipped_section_has_set_id_programs() -> None:
    every = [each for name in SHIPPED for each in shipped(name).statements]
    assert [each for each in every if getattr(each, "setuid", False)] == []


@pytest.mark.needs("jailkit")
def test_the_installed_file_reads_as_python_reads_it() -> None:
    path = Path("/etc/jailkit/jk_init.ini")
    parser = configparser.ConfigParser()
    parser.read(path)
    listed = list_sections(lambda name: Path(name).read_bytes(), jk_init=str(path))
    assert listed == [(name, parser.get(name, "comment", fallback="")) for name in sorted(parser.sections())]
    for name in parser.sections():
        wanted = {item.strip() for item in parser.get(name, "paths", fallback="").split(",") if item.strip()}
        source = Source(SourceKind.SECTION, name)
        found = read_spec([source], lambda name: Path(name).read_bytes(), jk_init=str(path))
        own = [each for each in found.statements if isinstance(each, Copy) and not each.origin.chain[1:]]
        own = [each for each in own if each.origin.file == str(path) and not each.setuid]
        assert {each.source for each in own} == {item.rstrip("/") for item in wanted}


_LINE = st.sampled_from(
    [
        *("[a]", "[b]", "[DEFAULT]", "[c] rest", "# c", "; c", "", "paths = /x, /y", "Paths : /q", "  /z,", "\t, /w"),
        *("users: root", "groups =", "comment = a = b : c", "devices=/dev/null", "includesections = b"),
    ]
)


@settings(max_examples=300, deadline=1000)
@given(st.lists(_LINE, max_size=12))
def test_the_same_sections_and_values_as_configparser(lines: list[str]) -> None:
    text = "\n".join(lines)
    errors: list[SpecError] = []
    found_notes: list[Note] = []
    parsed = parse_ini(text.encode(), "i", errors, found_notes)
    peer = configparser.RawConfigParser(strict=False)
    try:
        peer.read_string(text)
    except configparser.Error:
        assert errors
        return
    assert errors == []
    assert [name for name, _ in parsed.names()] == sorted(peer.sections())
    for name in peer.sections():
        found: list[Statement] = parsed.statements(name, (), errors)
        raw = peer.get(name, "paths", fallback="").replace("\n", ",")
        wanted = [path.strip() for path in raw.split(",") if path.strip()]
        assert [each.source for each in found if isinstance(each, Copy)] == wanted


@settings(max_examples=200, deadline=1000)
@given(st.binary(max_size=300), st.text(alphabet="[]=:%(s),#; \n\tpathsk/", max_size=200))
def test_any_bytes_give_statements_or_spec_errors(data: bytes, text: str) -> None:
    for content in (data, b"[s]\npaths = " + text.encode()):
        try:
            ini(content, "s")
        except ManyErrors as many:
            assert all(isinstance(error, SpecError) for error in many.errors)
        except SpecError:
            pass
