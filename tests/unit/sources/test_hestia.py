"""Accounts that HestiaCP confines."""

from __future__ import annotations

from jailssh.sources import hestia
from jailssh.sources.found import Effect, Fate, Found
from tests.unit.sources.shells import one, texts

SHELL = "/usr/sbin/jailbash"
HOME = {"/home/kim": (0o40711, 1001, 1001)}
SSHD = """\
Subsystem sftp internal-sftp

# Hestia SFTP Chroot
Match User sftp_dummy99,kim
    ChrootDirectory /srv/jail/%u
    X11Forwarding no
    AllowTCPForwarding no
    ForceCommand internal-sftp -d /home/%u
"""
SAYS = {"chrootdirectory": "/srv/jail/%u", "forcecommand": "internal-sftp -d /home/%u"}


def test_jailbash_is_a_shell_with_the_network() -> None:
    """And with the programs of a web host that are there."""
    found = one(hestia, SHELL, {"/usr/bin/php": "", "/usr/bin/rsync": ""}, dirs={**HOME, "/run/mysqld": (0, 0, 0)})
    assert found.fate is Fate.MIGRATE
    assert found.settings == {
        "": {"plugins": "shell sftp", "network": "host"}, "shell": {"programs": ("php", "rsync")}}  # fmt: skip
    assert "[shell] programs" in texts(found, Effect.LOST) and "127.0.0.1" in texts(found, Effect.CHANGED)


def test_homes_of_a_jailkit_of_before() -> None:
    """A path with ``/./`` may have outlived its jail."""
    stale = one(hestia, SHELL, home="/srv/jail/kim/./home/kim", dirs=HOME)
    assert (stale.home, stale.inside) == ("/home/kim", "") and "Jailkit" in texts(stale, Effect.CHANGED)
    whole = one(hestia, SHELL, home="/srv/jail/kim/./home/kim", dirs={"/srv/jail/kim/home/kim": (0o40711, 1001, 1001)})
    assert (whole.home, whole.inside) == ("/srv/jail/kim/home/kim", "")
    gone = one(hestia, SHELL, home="/srv/jail/kim/./home/kim", dirs={"/home": (0o40711, 0, 0)})
    assert gone.fate is Fate.REFUSED and "does not exist" in texts(gone)


def sftp(**changed: str) -> Found:
    """Return an account in a chroot of Hestia's."""
    dirs = {**HOME, "/srv/jail/kim/home/kim": (0o40711, 1001, 1001)}
    files = {"/etc/ssh/sshd_config": SSHD, "/etc/cron.d/hestia-sftp": "@reboot root sleep 60\n"}
    return one(hestia, "/usr/sbin/nologin", files, dirs=dirs, settings={"kim": {**SAYS, **changed}})


def test_chroots_for_sftp_become_the_home_itself() -> None:
    """The one that is mounted into the chroot; Hestia's line has to go."""
    found = sftp()
    assert found.fate is Fate.MIGRATE and found.settings == {"": {"plugins": "sftp"}}
    assert (found.home, found.inside, found.where) == ("", "", "/etc/ssh/sshd_config:3")
    assert [row[:2] for row in found.gone] == [("/etc/ssh/sshd_config", 4)]
    assert "/etc/cron.d/hestia-sftp writes Hestia's chroots" in texts(found)


def test_flags_of_internal_sftp_are_kept() -> None:
    """As for any forced command."""
    found = sftp(forcecommand="internal-sftp -R -u 027 -d /home/%u/web")
    assert found.settings["sftp"] == {"read_only": "yes", "umask": "027", "start": "~/web"}
    assert sftp(forcecommand="internal-sftp -x").fate is Fate.REFUSED
