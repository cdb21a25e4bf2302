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
        ("max_sessions = 3", True),
        ("max_sessions = 3\nmax_sessions_per_key = 3", True),
        ("max_sessions = 3\nmax_sessions_per_key = 2", False),
        ("max_sessions_per_key = 9", False),
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
    note = f"note: {path}:3: max_sessions: one key of nobody can use all 3 and lock out the others\n"
    hint = "hint: set max_sessions_per_key to a lower number in the jail's [limits]\n"
    assert (done.returncode, done.stderr) == (0, note + hint if noted else "")


def test_former_names_of_settings_are_told_once_for_each_file(site: Site) -> None:
    jail = site.put("jails/own.conf", "plugins = sftp\nhide = /usr/games\n[limits]\nsessions = 3\nidle_timeout = 30m\n")
    users = [site.put(f"users/{name}.conf", f"uid = {uid}\njail = own\n[limits]\nsessions = 2\n")
             for name, uid in (("mail", 8), ("nobody", 65534))]  # fmt: skip
    main = site.put("jailssh.conf", "min_uid = 5\nrefuse_groups = sudo\n")
    places = [f"{main}:2: 'refuse_groups' is now 'deny_groups'", f"{jail}:2: 'hide' is now 'inaccessible_paths'",
              f"{jail}:4: 'sessions' is now 'max_sessions'"]  # fmt: skip
    places += [f"{user}:4: 'sessions' is now 'max_sessions'" for user in users]
    hint = "hint: rename it: the next release no longer reads the old name"
    done = site.run("config", "check")
    assert (done.returncode, done.stderr.splitlines()) == (0, [line for at in places for line in (f"note: {at}", hint)])
    shown = site.run("config", "show", "--user", "mail").stdout
    assert f"# {users[0]}:4" in next(line for line in shown.splitlines() if line.startswith("[limits] max_sessions "))
