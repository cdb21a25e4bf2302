"""Import of jk_check.ini: what was meant is kept, what Jailkit made of it is not."""

from __future__ import annotations

import datetime

import pytest

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.integrity import suppressions
from jailssh.jailkit import jk_check

TODAY = datetime.date(2026, 11, 28)
SHIPPED = """
[/home/testchroot]
ignorepathoncompare = /home/testchroot/home, /home/testchroot/etc/passwd
ignorewritableforgroup = /home/testchroot/home
ignoresetuidexecuteforuser = /home/testchroot/usr/bin/su
"""


def test_a_file_as_it_is_shipped() -> None:
    found = jk_check.read(SHIPPED, "f")
    assert not found.warnings
    assert ("JSH-153", "/home/testchroot/home", "/home/testchroot") in found.rows
    assert ("JSH-152", "/home/testchroot/usr/bin/su", "/home/testchroot") in found.rows
    errors: list[JailsshError] = []
    kept = suppressions.read(found.as_text(TODAY).encode(), "f", errors)
    assert not errors
    assert len(kept) == len(found.rows)
    assert {each.until for each in kept} == {datetime.date(2027, 11, 28)}


def test_a_jail_that_is_not_there() -> None:
    found = jk_check.read(SHIPPED, "f", lambda _: False)
    assert (found.rows, len(found.warnings)) == ((), 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ignorepatheverywhere =", "left out everything"),
        ("ignorepathoncompare = /srv/j/a,", "left out everything"),
        ("ignorepathoncompare = relative", "not a plain absolute path"),
        ("ignorepathoncompare = /srv/j/[x]", "not a plain absolute path"),
        ("other = /x", "unknown key"),
    ],
)
def test_what_is_left_away_is_told(line: str, why: str) -> None:
    found = jk_check.read(f"[/srv/j]\n{line}\n", "f")
    assert [why in warning for warning in found.warnings] == [True]
    assert "" not in {path for _, path, _ in found.rows}


def test_a_percent_sign_is_one() -> None:
    assert jk_check.read("[/srv/j]\nignorepathoncompare = /srv/j/%x\n", "f").rows[0][1] == "/srv/j/%x"


@pytest.mark.parametrize("text", ["ignorepathoncompare = /x\n", "[/j]\n[/j]\n", "[/j\n", "[/j]\nx\n"])
def test_what_no_reader_takes(text: str) -> None:
    with pytest.raises(ConfigError):
        jk_check.read(text, "f")


@pytest.mark.parametrize(("text", "expected"), [(SHIPPED, True), ("[alice]\npaths = /usr/bin\n", False), ("", False)])
def test_which_file_it_is(text: str, expected: bool) -> None:
    assert jk_check.is_one(text) is expected
