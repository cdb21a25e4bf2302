"""The PAM profile as pam-auth-update(8) of Debian reads it."""

from __future__ import annotations

import re

from jailssh.services.pam import account_lines
from tests.abilities import REPO

LINES = account_lines((REPO / "packaging/pam/pam-profile.in").read_text())


def test_no_word_stands_twice_in_a_line() -> None:
    """It compares the words of what is in force with those it wrote, and takes a second one for an edit: that word is
    added to every line with the same control and module when the next package brings a profile."""
    for line in LINES:
        module = next(word for word in line if word.endswith(".so") or word == "@MODULE@")
        words = line[line.index(module) + 1 :]
        assert len(words) == len(set(words)), line


def test_each_jump_leads_to_a_line_or_right_behind_the_last() -> None:
    for at, line in enumerate(LINES):
        for jump in re.findall(r"=(\d+)", line[0] + line[1]):
            assert at + 1 + int(jump) <= len(LINES), line


def test_it_ends_in_a_refusal() -> None:
    assert LINES[-1] == ["requisite", "pam_deny.so"]
