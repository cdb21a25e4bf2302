"""Value classes: what is one, and what it says."""

from __future__ import annotations

import pytest

from jailssh.policy.value_class import Kind, ValueClass, bounds, choices, parse_class


@pytest.mark.parametrize(
    ("text", "parsed", "described"),
    [
        ("flag", ValueClass(kind=Kind.FLAG), "no value"),
        ("int:-1:10", ValueClass(kind=Kind.INT, least=-1, most=10), "a number from -1 to 10"),
        ("size:2048", ValueClass(kind=Kind.SIZE, most=2048), "a size up to 2 KiB"),
        ("size:1", ValueClass(kind=Kind.SIZE, most=1), "a size up to 1 byte"),
        ("pattern:db-*", ValueClass(kind=Kind.PATTERN, pattern="db-*"), "a text like db-*"),
        ("pattern:a:b", ValueClass(kind=Kind.PATTERN, pattern="a:b"), "a text like a:b"),
        ("enum:a,b-c", ValueClass(kind=Kind.ENUM, choices=("a", "b-c")), "one of a, b-c"),
        ("new-repository", ValueClass(kind=Kind.NEW_REPOSITORY), "a repository that does not exist yet"),
        ("capabilities", ValueClass(kind=Kind.CAPABILITIES), "the client's capabilities"),
    ],
)
def test_a_class(text: str, parsed: ValueClass, described: str) -> None:
    assert parse_class(text) == parsed
    assert parsed.describe() == described


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "flag:", "flag\n", "Flag", "word:x", "path:/srv", "int", "int:", "int:1", "int:1:", "int::1",
        "int:1:2:3", "int:+1:2", "int: 1:2", "int:٣:9", "int:1234567890:1", "int:1:12345678901", "int:1:2\n", "size",
        "size:", "size:-1", "size:1K", "size:٣", f"size:{'9' * 19}", "enum", "enum:", "enum:a b", "enum:ä", "enum:a\n",
        f"enum:{'a' * 1025}",
        "pattern", "pattern:", "pattern:a/b", "pattern:a b", f"pattern:{'a' * 256}", "repositories", "int:1:2 ",
    ],
)  # fmt: skip
def test_no_class(text: str) -> None:
    with pytest.raises(ValueError, match="is not a value class"):
        parse_class(text)


def test_each_kind_has_words() -> None:
    assert [kind for kind in Kind if not ValueClass(kind=kind, choices=("a",)).describe()] == []


def test_what_is_listed_and_what_is_bounded() -> None:
    assert [choices(text) for text in ("enum:a,b", "enum:", "enum", "int:1:2", "word")] == [
        ("a", "b"),
        ("",),
        (),
        (),
        (),
    ]
    assert bounds("int:-1:9223372036854775807") == (-1, 9223372036854775807)
    assert [bounds(text) for text in ("int", "int:1", "enum:a", "uint")] == [None] * 4
