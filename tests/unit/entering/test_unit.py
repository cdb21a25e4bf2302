"""Words in a line of a service: systemd reads them back as they are."""

from __future__ import annotations

import argparse
import shlex

import pytest

from jailssh.entering import unit

PLAIN = argparse.Namespace(keep_cap=[], new_network_ns=False, bind=[], overlay=None, notify=False)


def line_of(word: str) -> str:
    text = unit.service("x", "/usr/bin/jailssh", ["launch", "/srv/t", "--", word], PLAIN)
    return next(line for line in text.splitlines() if line.startswith("ExecStart="))


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("a/b.c:d,e=f+g@h-i", "a/b.c:d,e=f+g@h-i"),
        ("", '""'),
        ("a b", '"a b"'),
        ("$HOME", '"$$HOME"'),
        ("100%", '"100%%"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("a\nExecStartPre=/bin/x", '"a\\x0aExecStartPre=/bin/x"'),
        (";", '";"'),
        ("'", '"\'"'),
    ],
)
def test_a_word_stays_one_word(word: str, written: str) -> None:
    assert line_of(word) == f"ExecStart=/usr/bin/jailssh launch /srv/t -- {written}"


def test_what_is_needed_is_said() -> None:
    given = argparse.Namespace(
        keep_cap=["net_bind_service"], new_network_ns=True, bind=["/srv/a b:/x:ro"], overlay="/srv/o", notify=True
    )
    text = unit.service("x", "/usr/bin/jailssh", shlex.split("launch /srv/t -- true"), given)
    assert "Type=notify\n" in text
    assert 'RequiresMountsFor="/srv/a b" /srv/o\n' in text
    assert {"CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"} <= set(text.partition("CapabilityBoundingSet=")[2].split())
