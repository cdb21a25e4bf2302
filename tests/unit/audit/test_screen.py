"""What of a recording may reach a terminal: whatever is in it, and however it is cut into events."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jailssh.audit.screen import Harmless, Lines

# What may be left: text, moves, colours, erasing, modes of the screen, character sets.
PASSES = re.compile(
    r"\x1b(?:\[[0-9;:]*[@A-HJKLMPSTXZ`abdefmrsu]|\[\??[0-9;]+[hl]|[()*+][0AB]|[78DEHM])|[\b-\r\x0e\x0f]"
    r"|[^\x00-\x1f\x7f-\x9f]"
)
PIECES = st.lists(
    st.sampled_from([*"\x1b\x1b\x1b[]P^_?>;012345679mhlcntqp\\\x05\x07\x18\x90\x9b\x9c\x9d\r\n\b ab(é"]), max_size=24
).map("".join)


@given(PIECES, st.integers(0, 24))
def test_only_what_shows_something_is_left(text: str, cut: int) -> None:
    whole = Harmless().feed(text)
    parts = Harmless()
    assert parts.feed(text[:cut]) + parts.feed(text[cut:]) == whole
    assert PASSES.sub("", whole) == ""
    Lines().feed(text)


@pytest.mark.parametrize(
    ("written", "passes"),
    [
        ("a\x1b[1;31mred\x1b[0m\r\n", "a\x1b[1;31mred\x1b[0m\r\n"),
        ("\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l", "\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l"),
        ("\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1b[?6n\x1bZ\x05", ""),  # it would answer, as if somebody had typed
        ("\x1b[21t\x1b[14t\x1b[5i\x1b[1$p\x1b[!p\x1bc", ""),  # titles, printing, modes, reset
        ("\x1b]52;c;cm0gLXJmIC8=\x07x\x1b]0;title\x1b\\y\x9d0;title\x9cz", "xy0;titlez"),  # clipboard, title
        ("\x1bP+q544e\x1b\\a\x1b_x\x1b\\b\x1b^x\x1b\\c\x1bXx\x1b\\d", "abcd"),
        ("\x1b[?1000;25h\x1b[?2004h\x1b[?1003h", "\x1b[?25h"),  # mouse reports and bracketed paste
        ("\x1b]0;no end", ""),
        ("\x1b[1\x1b[2J", "\x1b[2J"),
        ("\x1b]8;;http://a\x07link\x1b]8;;\x07", "link"),
    ],
)
def test_known_sequences(written: str, passes: str) -> None:
    assert Harmless().feed(written) == passes


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("abc\rX\r\n", ["Xbc"]),
        ("abc\rX\x1b[K\r\n", ["X"]),
        ("lx\b \bs\r\n", ["ls"]),
        ("\ttab\x1b[5Gx\r\n", ["    x   tab"]),
        ("\x1b[32mgreen\x1b[0m\r\n", ["green"]),
        ("x\x1b[99999999C\x1b[99999999@y\r\n", ["x"]),
    ],
)
def test_lines_of_text(written: str, lines: list[str]) -> None:
    assert Lines().feed(written) == lines
