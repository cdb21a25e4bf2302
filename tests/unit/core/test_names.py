"""Text of others, shown to people: nothing in it acts on what stands around it."""

from __future__ import annotations

import subprocess
import unicodedata
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.core.names import escape, pasted
from jailssh.files import homes, moving


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


HOSTILE = "/home/m/$(touch x);'`id`\"\\ \n\x1b[2J \u202e&"


@pytest.mark.parametrize("path", ["/home/ann/a-b_c.d", "/srv/na\u00efve", "/a b", "/x;y", "/'", "/$HOME", HOSTILE])
def test_a_path_is_one_word_of_what_is_typed(path: str) -> None:
    said = subprocess.run(["sh", "-c", f"printf '%s\\n' {pasted(path)}"], capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == (f"{escape(path)}\n", "")
    assert pasted("/home/ann/a-b_c.d") == "/home/ann/a-b_c.d"


def test_a_mount_of_any_name_in_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (homes, moving):
        monkeypatch.setattr(module, "mounts_below", lambda _: ["/home/m/x", HOSTILE])
    for look in (lambda: homes.check_home("/home/m"), lambda: moving.check("/home/m", f"{tmp_path}/new", 1)):
        with pytest.raises(HostError) as found:
            look()
        assert all(line.isprintable() for line in found.value.lines())
        assert found.value.hint.removesuffix(", or omit --remove-home") == f"umount {pasted(HOSTILE)}"
