"""Text of others, shown to people: nothing in it acts on what stands around it."""

from __future__ import annotations

import unicodedata

import pytest

from jailssh.core.names import escape


@pytest.mark.parametrize("char", ["\x1b", "\n", "\x7f", "\x85", "\x9b", "\udcff"])
def test_control_characters_and_what_is_no_text_are_escaped(char: str) -> None:
    assert escape(f"a{char}b") == f"a\\x{ord(char) & 0xFF:02x}b"


def test_nothing_turns_the_direction_of_the_text_behind_it_or_ends_a_line() -> None:
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    marks = {"\u200e", "\u200f", "\u061c"}
    found = [chr(code) for code in range(0x10000) if unicodedata.bidirectional(chr(code)) in turning]
    for char in (*found, *marks, "\u2028", "\u2029"):
        assert escape(f"a{char}b") == f"a\\u{ord(char):04x}b"
    assert len(found) == 9


def test_other_text_stays() -> None:
    for text in ("plain", "na\u00efve \u05d0\u05d1 \u0645 \U0001f600"):
        assert escape(text) == text
    assert escape("x" * 9, 5) == "xxxxx\u2026"
