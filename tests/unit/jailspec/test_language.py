"""The jailspec language: quoting, attributes and the statements that jailtime lacks."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jailssh.core.errors import JailsshError, ManyErrors
from jailssh.core.names import HostPath, JailPath, is_clean_absolute
from jailssh.jailspec.devices import DeviceType
from jailssh.jailspec.errors import SpecError
from jailssh.jailspec.lexer import tokenize
from jailssh.jailspec.load import Source, SourceKind, load
from jailssh.jailspec.paths import expand_braces
from jailssh.jailspec.statements import (
    Content,
    Copy,
    Data,
    Device,
    Directory,
    GroupEntry,
    Hardlink,
    Need,
    Origin,
    Package,
    Run,
    Statement,
    Symlink,
    Tree,
    UserEntry,
    claim,
)
from tests.unit.spec_tools import errors, notes, read, spec

O = Origin("")  # noqa: E741


def only(text: str) -> Statement:
    (statement,) = spec(text).statements
    return statement


def copied(text: str) -> Copy:
    statement = only(text)
    assert isinstance(statement, Copy)
    return statement


def words(line: str) -> list[str]:
    return [word.text for word in tokenize(line, O)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r"/a\ b\\c", ["/a b\\c"]),
        (r'"/a b" "\x41\n\"\t"', ["/a b", 'A\n"\t']),
        ("'/a \"b\\n' /c", ['/a "b\\n', "/c"]),
        ('/it\'s /a"b"', ["/it's", '/a"b"']),
        (r"/a\b /c", ["/a\\b", "/c"]),
        ("/a#b /c #d", ["/a#b", "/c"]),
        (r"/a \#b", ["/a", "#b"]),
        ("/a->/b", ["/a", "->", "/b"]),
        ('"/a"=>"/b"', ["/a", "=>", "/b"]),
        (r"/a\->/b", ["/a->/b"]),
        ("/{a, b}/ c", ["/{a, b}/", "c"]),
        ("/{a /b", ["/{a", "/b"]),
        ("exclude='*.x y' z", ["exclude=*.x y", "z"]),
        ('"" x', ["", "x"]),
        (r'"\xc3\xa9"', ["é"]),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "column", "why"),
    [
        ('/a "b', 4, "not closed"),
        ('/a "b"c', 7, "a blank is missing after the closing quote"),
        (r'"\q"', 2, "unknown escape"),
        (r'"\x4"', 2, "unknown escape"),
        ('"a\\', 3, "unknown escape"),
    ],
)
def test_bad_quoting(line: str, column: int, why: str) -> None:
    with pytest.raises(SpecError, match=why) as caught:
        tokenize(line, O)
    assert caught.value.origin.column == column


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("/{a,b{c,d}}x", ["/ax", "/bcx", "/bdx"]),
        ("/{a}/{}", ["/{a}/{}"]),
        (r"/{a\,b,c}", ["/a,b", "/c"]),
        (r"/\{a,b\}", ["/{a,b}"]),
        ("/{log,opt/x}", ["/log", "/opt/x"]),
    ],
)
def test_braces(word: str, expected: list[str]) -> None:
    (token,) = tokenize(word, O)
    assert [text for text, _ in expand_braces(token, O, lone=False)] == expected


def test_a_lone_member_of_a_directory() -> None:
    assert [claim(each) for each in spec("/srv/{ a }/\n/x{}/\n").statements] == [
        ("/srv/a", "directory"),
        ("/x{}", "directory"),
    ]


@pytest.mark.alone
@pytest.mark.parametrize("text", ["/" + "{a,b}" * 20, "/" + "{a,b}" * 100, "/" + "{" * 5000 + "}" * 5000])
def test_braces_are_bounded(text: str) -> None:
    began = time.monotonic()
    (error,) = errors(text)
    assert "brace" in error.why
    assert time.monotonic() - began < 2


def test_patterns() -> None:
    assert copied("/usr/bin/[") == Copy(HostPath("/usr/bin/["), origin=O)
    assert copied("/usr/[ab]") == Copy(HostPath("/usr/[ab]"), glob=True, origin=O)
    assert copied(r"/usr/\*x*") == Copy(HostPath("/usr/[*]x*"), glob=True, origin=O)
    assert copied('"/usr/*"') == Copy(HostPath("/usr/*"), origin=O)
    assert "several files cannot have one target" in errors("/bin/* /x")[0].why
    assert "several files cannot have one target" in errors("/bin/{a,b} /x")[0].why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a /b 640 owner=www-data:adm", Copy(HostPath("/a"), JailPath("/b"), 0o640, "www-data:adm", origin=O)),
        ("/a optional", Copy(HostPath("/a"), optional=True, origin=O)),
        ("/a 4755 setuid owner=keep", Copy(HostPath("/a"), None, 0o4755, "keep", setuid=True, origin=O)),
        ("/a /b override", Copy(HostPath("/a"), JailPath("/b"), override=True, origin=O)),
        ("/a owner=root", Copy(HostPath("/a"), origin=O)),
        ("/a /b\\ c", Copy(HostPath("/a"), JailPath("/b c"), origin=O)),
        ('/a "/optional"', Copy(HostPath("/a"), JailPath("/optional"), origin=O)),
        ("/d/ 2775 owner=1000:1000", Directory(JailPath("/d"), 0o2775, "1000:1000", origin=O)),
        ("/tmp/ 1777", Directory(JailPath("/tmp"), 0o1777, origin=O)),
        (
            "/dev/x b 7 300 660 owner=root:disk",
            Device(JailPath("/dev/x"), DeviceType.BLOCK, 7, 300, 0o660, "root:disk", origin=O),
        ),
        ("/dev/y c 240 1048575", Device(JailPath("/dev/y"), DeviceType.CHAR, 240, 1048575, 0o600, origin=O)),
        ("/dev/log s", Device(JailPath("/dev/log"), DeviceType.SOCKET, mode=0o644, origin=O)),
        ("/a -> optional", Symlink(JailPath("/a"), "optional", origin=O)),
        ("/a -> b c override", Symlink(JailPath("/a"), "b c", override=True, origin=O)),
        ("/a => /b override", Hardlink(JailPath("/a"), JailPath("/b"), override=True, origin=O)),
        ("tree /usr/share/vim", Tree(HostPath("/usr/share/vim"), origin=O)),
        (
            "tree /usr/share/vim/ /v exclude=*.txt exclude='doc/a b' optional",
            Tree(HostPath("/usr/share/vim"), JailPath("/v"), ("*.txt", "doc/a b"), optional=True, origin=O),
        ),
        ("tree /usr/lib/*/perl", Tree(HostPath("/usr/lib/*/perl"), glob=True, origin=O)),
        ('content /etc/motd "hello\\n" 600', Content(JailPath("/etc/motd"), "hello\n", 0o600, origin=O)),
        ("content /etc/empty ''", Content(JailPath("/etc/empty"), "", origin=O)),
        ("package libc6:amd64 exclude=*.h", Package("libc6:amd64", ("*.h",), origin=O)),
        ("program [ setuid optional", Copy(HostPath("["), search=True, setuid=True, optional=True, origin=O)),
        ("user www-data optional", UserEntry("www-data", optional=True, origin=O)),
        ("group 33", GroupEntry("33", origin=O)),
        ("data locale", Data("locale", origin=O)),
        ("need proc", Need("proc", origin=O)),
    ],
)
def test_statements(text: str, expected: Statement) -> None:
    assert only(text + "  # said so\n") == expected


def test_several_names() -> None:
    assert spec("program a b\npackage git perl\nuser root 0\n").statements == (
        Copy(HostPath("a"), search=True, origin=O),
        Copy(HostPath("b"), search=True, origin=O),
        Package("git", origin=O),
        Package("perl", origin=O),
        UserEntry("root", origin=O),
        UserEntry("0", origin=O),
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_of_many_lines(end: str) -> None:
    text = end.join(["content /etc/x <<END 640 owner=a", "# no comment", "  /bin/sh", "", "END", "/d/", ""])
    content, directory = spec(text).statements
    assert content == Content(JailPath("/etc/x"), "# no comment\n  /bin/sh\n\n", 0o640, "a", origin=O)
    assert directory.origin.line == 6


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("/a /b optinal", "unknown attribute 'optinal'", "'optional'?"),
        ("/a /b onwer=x", "unknown attribute 'onwer=x'", "owner="),
        ("/a /b owner=", "no owner", "owner=USER"),
        ("/a /b owner=a/b", "no owner", "owner=USER"),
        ("/a optional optional", "'optional' twice", ""),
        ("/d/ setuid", "a directory has no attribute 'setuid'", "owner, override"),
        ("/a -> b owner=x", "a link has no attribute 'owner'", "override"),
        ("/a /b /c", "one path too many", "quote"),
        ("/etc/ /x", "a directory cannot be the source of a copy", "tree"),
        ("/a ../x", "'../x' is not an octal mode and not an absolute path", ""),
        ("/a /../x", "has '..'", ""),
        ("/../a", "has '..'", ""),
        ("/a ->", "a path is missing beside the arrow", "NAME -> TEXT"),
        ("-> /a", "a path is missing beside the arrow", ""),
        ("a -> /b", "link 'a' is not absolute", ""),
        ('/a -> "\\n"', "control characters", ""),
        ("/ -> /b", "the jail's root cannot be a link", ""),
        ("/ 700", "the jail's root is always 0755", ""),
        ('"/a\\nb"', "control characters", ""),
        ("/dev/x c 4096 0", "the major number is out of range", "4095"),
        ("/dev/x c 1 1048576", "the minor number is out of range", "1048575"),
        ("/dev/x p 1", "incomplete", "p and s need no numbers"),
        ("/dev/x c", "incomplete", ""),
        ("tree", "tree needs a directory", ""),
        ("tree /a /b /c", "tree needs a directory", ""),
        ("tree a", "source 'a' is not absolute", ""),
        ("tree /a/* /b", "several trees cannot have one target", ""),
        ("tree /a exclude=", "exclude needs a pattern", ""),
        ("content /a", "content needs a path and a text", "<<END"),
        ("content /a b", "the text must be quoted", ""),
        ("content /a <<", "<< needs a word", ""),
        ("content /a <<END\nx\n", "not ended by a line END", ""),
        ("package Git", "'Git' is no package name", ""),
        ("program /bin/sh", "no bare program name", "a path needs no keyword"),
        ("program", "program needs a name", ""),
        ("user -x", "'-x' is no account name", ""),
        ("need luck", "unknown need 'luck'", "logsocket"),
        ("section nosuch", "no section 'nosuch'", "known:"),
        ("section basicshel", "no section 'basicshel'", "'basicshell'?"),
        ("pakage git", "'pakage' is neither", "'package'?"),
        ("/a\0b", "a NUL byte", ""),
        ("run a\0b", "a NUL byte", ""),
        ("include x", "x: No such file or directory", ""),
        ("include t.jailspec", "the file includes itself: t.jailspec → t.jailspec", ""),
    ],
)
def test_errors(text: str, why: str, hint: str) -> None:
    (error,) = errors(text)
    assert why in error.why
    assert hint in error.hint
    assert error.origin.line == 1


def test_error_lines() -> None:
    files = {"main": "include sub\n", "sub": "\n  /d/ 9\n"}
    with pytest.raises(SpecError) as caught:
        read(files, "main")
    assert caught.value.lines() == [
        "jailssh: sub:2:7: invalid directory mode: 9",
        "  statement: /d/ 9",
        "  included from main:1:1",
        "hint: octal digits, at most 7777",
    ]


def test_what_is_dropped_is_noted() -> None:
    found = spec("/a 4755\n/d/ 4755\n/a /b c\n")
    assert [claim(each) for each in found.statements] == [("/a", "file"), ("/d", "directory"), ("/b c", "file")]
    assert [getattr(each, "mode", None) for each in found.statements] == [0o755, 0o755, None]
    assert [text.partition(": ")[0] for text in notes(found)] == ["t.jailspec:1:1", "t.jailspec:2:1", "t.jailspec:3:1"]


def test_the_reader_s_refusal_is_an_error_of_the_line() -> None:
    def refuse(path: str) -> bytes:
        raise JailsshError("/tmp/x", "others can write to its directory", hint="move it")

    (error,) = load([Source(SourceKind.FILE, "/tmp/x")], refuse).errors
    assert error.why == "/tmp/x: others can write to its directory"
    assert error.hint == "move it"


def test_includes_are_bounded() -> None:
    files = {f"{number}": f"include {number + 1}\ninclude {number + 1}\n" for number in range(20)}
    began = time.monotonic()
    with pytest.raises(JailsshError, match=r"nested deeper|errors"):
        read({**files, "20": "/a/\n"}, "0")
    assert time.monotonic() - began < 10


# Every old file means what it meant: the shapes that jailtime's users have, none of the additions.
_OLD = st.lists(
    st.sampled_from(
        [
            "/bin/bash",
            "/lib/x86_64-linux-gnu/libc-2.24.so /lib/libc.so.6",
            "/usr/lib/mc/extfs.d/rpms+",
            "/a/b 755",
            "/srv/{x,y/z}/",
            "/tmp/",
            "/bin/sh -> /bin/dash",
            "/opt/lib/a.so -> a.so.1",
            "/opt/sbin/x -> ../libexec/y",
            "/dev/zero c 1 5",
            "run chmod 1777 tmp",
            "run useradd -R $PWD -d /var/x 'a b' # c",
        ]
    ),
    unique=True,
)


@given(_OLD)
def test_old_files_need_no_change(lines: list[str]) -> None:
    found = spec("\n".join(lines))
    assert found.notes == ()
    count = len(lines) + ("/srv/{x,y/z}/" in lines)
    assert len(found.statements) + len(found.runs) == count
    assert all(isinstance(run, Run) for run in found.runs)


_PIECES = st.sampled_from(
    [
        *"abc /{},*?[]\\\"'#=\n\r\t-><0175\x00\ufeff",
        *("->", "=>", "/bin/x", " 755", "c 1 3", "\nEND\n", "content /x ", "<<END", "owner=", "exclude=", " optional"),
        *(" override", "tree ", "include ", "run ", "section git", "user root", "package aa"),
    ]
)


@settings(max_examples=400, deadline=2000)
@given(st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=60).map(lambda pieces: "".join(pieces).encode())))
def test_any_bytes_give_statements_or_spec_errors(data: bytes) -> None:
    try:
        found = spec(data)
    except ManyErrors as many:
        assert all(isinstance(error, SpecError) for error in many.errors)
        assert many.lines()
        return
    except SpecError as error:
        assert error.lines()
        return
    claims = [claimed for claimed in map(claim, found.statements) if claimed]
    assert len({path for path, _ in claims}) == len(claims)
    assert all(is_clean_absolute(path) for path, _ in claims)


@settings(max_examples=300, deadline=1000)
@given(st.text(max_size=500))
def test_the_tokenizer_raises_only_spec_errors(line: str) -> None:
    try:
        found = tokenize(line, O)
    except SpecError:
        return
    assert all(len(word.text) == len(word.active) for word in found)


@pytest.mark.parametrize("unit", ["'", '"', "\\", "{", "}", "[", "->", "a=", " ", "#", "{,", "/{a", "/x' "])
def test_time_grows_with_the_length(unit: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(JailsshError):
        spec("/" + unit * 50_000)
    assert time.monotonic() - began < 5
