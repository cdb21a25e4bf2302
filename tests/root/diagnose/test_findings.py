"""What config check notes of shared accounts, without calling it a mistake."""

from __future__ import annotations

import os

import pytest

from tests.root.site_lab import Site, site

__all__ = ["site"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("git"), pytest.mark.needs("sshd")]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43


@pytest.mark.parametrize(
    ("limits", "noted"),
    [
        ("sessions = 3", True),
        ("sessions = 3\nsessions_per_key = 3", True),
        ("sessions = 3\nsessions_per_key = 2", False),
        ("sessions_per_key = 9", False),
        ("", False),
    ],
)
def test_a_key_that_can_take_all_sessions(site: Site, limits: str, noted: bool) -> None:
    path = site.put("jails/own.conf", f"plugins = sftp\n[limits]\n{limits}\n")
    site.put("users/nobody.conf", "uid = 65534\njail = own\n")
    assert site.run("config", "check").stderr == ""  # an account of one person
    os.makedirs(f"{site.layout.key_rings}/nobody")
    site.put("keys.d/nobody/ann.pub", f"{KEY}\n")
    done = site.run("config", "check")
    note = f"note: {path}:3: sessions: one key of nobody can use all 3 and lock out the others\n"
    hint = "hint: set sessions_per_key to a lower number in the jail's [limits]\n"
    assert (done.returncode, done.stderr) == (0, note + hint if noted else "")
