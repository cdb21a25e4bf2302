"""Accounts that sshd_config confines by a forced command or a chroot."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from jailssh.plan.view import RESERVED
from jailssh.sources import sshd_blocks, sshd_match
from jailssh.sources.authorized_keys import expand
from jailssh.sources.found import Effect, Fate, Found, Person
from jailssh.sources.sshd_match import Fits
from tests.unit.jails_found import builds
from tests.unit.source_tools import AHost

KIM = Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/usr/sbin/nologin", groups=("kim", "sftponly"))
FILE = "/etc/ssh/sshd_config"
OWN, ROOT, TEAM = (0o40755, 1001, 1001), (0o40755, 0, 0), (0o42775, 0, 2000)
BLOCK = "Subsystem sftp internal-sftp\nMatch Group sftponly\n  ChrootDirectory {}\n  ForceCommand {}\n"
SFTP = {"passwordauthentication": "no", "allowtcpforwarding": "no"}


def found(
    chroot: str = "none",
    command: str = "none",
    dirs: Mapping[str, tuple[int, int, int]] | None = None,
    *,
    person: Person = KIM,
    config: str = "",
    links: Mapping[str, str] | None = None,
    **settings: str,
) -> Found | None:
    """Return what is found of an account for which sshd says this."""
    text = config or BLOCK.format(chroot, command)
    files = {FILE: text, "/etc/group": "kim:x:1001:\nsftponly:x:2000:kim\nother:x:2001:\nbroken\n"}
    values = {**SFTP, "chrootdirectory": chroot, "forcecommand": command, **settings}
    every = sshd_blocks.find(AHost([person], files, dirs or {}, links or {}, settings={"": values}))
    return every[0] if every else None


CHROOTS: tuple[tuple[str, str, dict[str, tuple[int, int, int]], tuple[str, str, str | None], str], ...] = (
    # One directory of the account's own: it stays where it is for the client.
    ("%h", "internal-sftp", {"/home/kim/upload": OWN}, ("/home/kim/upload", "/upload", "/"), "too"),
    ("/srv/sftp/%u", "internal-sftp -d /upload", {"/srv/sftp/kim/upload": OWN},
     ("/srv/sftp/kim/upload", "/upload", None), "too"),
    ("/srv/%U", "internal-sftp -d upload/in", {"/srv/1001/upload": OWN, "/srv/1001/upload/in": OWN},
     ("/srv/1001/upload", "/upload", "~/in"), "too"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/home/kim": OWN, "/srv/sftp/home": ROOT},
     ("/srv/sftp/home/kim", "/home/kim", None), "too"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/in": OWN, "/srv/sftp/pub": ROOT},
     ("/srv/sftp", "", None), "later is seen"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/in": OWN, "/srv/sftp/etc": ROOT},
     ("/srv/sftp/in", "/in", "/"), "not in the jail: /etc"),
    # Nobody's home is where those of others are.
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/kim": OWN, "/srv/sftp/lee": (0o40700, 1002, 1002)},
     ("/srv/sftp/kim", "/kim", "/"), "not in the jail: /lee"),
    ("/home", "internal-sftp -d /kim", {"/home/kim": OWN, "/home/lee": (0o40700, 1002, 1002)},
     ("", "/kim", None), "not in the jail: /lee"),
    ("/srv/%%", "internal-sftp", {"/srv/%/in": OWN}, ("/srv/%/in", "/in", "/"), "too"),
    # Directories alone: they are where they were.
    ("%h", "internal-sftp", {"/home/kim/a": OWN, "/home/kim/b": OWN}, ("", "", None), "later is seen"),
    ("/srv/sftp", "internal-sftp -d b", {"/srv/sftp/a": OWN, "/srv/sftp/b": OWN},
     ("/srv/sftp", "", "/b"), "later is seen"),
    # All else: the whole of it is the home, and paths change.
    ("%h", "internal-sftp", {"/home/kim/a": OWN, "/home/kim/home": OWN}, ("", "", None), "/home/kim/x"),
    ("/srv/sftp", "internal-sftp -d b", {"/srv/sftp/usr": OWN, "/srv/sftp/b": OWN},
     ("/srv/sftp", "", "~/b"), "/srv/sftp/x"),
    ("/srv/sftp", "internal-sftp -d /none", {"/srv/sftp/a": OWN, "/srv/sftp/b": OWN},
     ("/srv/sftp", "", None), "no directory"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/team": TEAM}, ("/srv/sftp", "", None), "later is seen"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/in": (0o40777, 0, 0)}, ("/srv/sftp", "", None), "later is seen"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/in": OWN, "/srv/sftp/x": (0o40770, 0, 7777)},
     ("/srv/sftp", "", None), "later is seen"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/etc": OWN}, ("/srv/sftp", "", None), "/srv/sftp/x"),
    ("/srv/sftp", "internal-sftp", {"/srv/sftp/pub": ROOT}, ("/srv/sftp", "", None), "later is seen"),
)  # fmt: skip


@pytest.mark.parametrize(("chroot", "command", "dirs", "place", "said"), CHROOTS)
def test_a_chroot_becomes_a_home(
    chroot: str, command: str, dirs: dict[str, tuple[int, int, int]], place: tuple[str, str, str | None], said: str
) -> None:
    """At the same path where the account has one directory there, else whole."""
    root = expand(chroot, KIM)
    result = found(chroot, command, {root: ROOT, **dirs})
    assert result is not None and result.fate is Fate.MIGRATE, result
    assert (result.home, result.inside, result.settings.get("sftp", {}).get("start")) == place
    assert result.settings[""]["plugins"] == "sftp" and result.where == f"{FILE}:3"
    assert any(said in remark.text for remark in result.remarks), result.remarks
    at_top = result.settings.get("directories") == {"write": "~ as /"}
    assert at_top is (said in ("later is seen", "no directory"))
    builds(result)


def test_a_chroot_with_files_is_no_other_one() -> None:
    dirs = {"/home/kim": ROOT, "/home/kim/a": OWN, "/home/kim/b": OWN}
    settings = {**SFTP, "chrootdirectory": "%h", "forcecommand": "internal-sftp"}
    for name, at_top, said in (("readme", False, "/home/kim/x"), (".profile", True, "not in the jail: /.profile")):
        files = {FILE: BLOCK.format("%h", "internal-sftp"), f"/home/kim/{name}": ""}
        (result,) = sshd_blocks.find(AHost([KIM], files, dirs, {}, settings={"": settings}))
        assert ("directories" in result.settings) is at_top
        assert any(said in remark.text for remark in result.remarks), result.remarks


def test_a_directory_of_a_group_keeps_the_group() -> None:
    """Without it nobody could write there from a jail."""
    result = found("/srv/sftp", "internal-sftp -u 002", {"/srv/sftp": ROOT, "/srv/sftp/team": TEAM})
    assert result is not None
    assert result.settings[""]["supplementary_groups"] == ("sftponly",)
    assert result.settings["sftp"] == {"umask": "002"}


def test_flags_of_sftp() -> None:
    """They are those of the plugin."""
    result = found("%h", "internal-sftp -R -P remove -l VERBOSE", {"/home/kim/a": ROOT})
    assert result is not None
    assert result.settings["sftp"] == {"read_only": "yes", "deny_requests": ("remove",)}
    assert result.commands


STAYS: tuple[tuple[dict[str, object], Fate, str], ...] = (
    ({"chroot": "sftp", "command": "internal-sftp"}, Fate.REFUSED, "not an absolute path"),
    ({"chroot": "/srv/none", "command": "internal-sftp"}, Fate.REFUSED, "no directory"),
    ({"chroot": "/srv/s", "command": "internal-sftp", "dirs": {"/srv/s": OWN}}, Fate.REFUSED, "root alone"),
    ({"chroot": "/srv/s", "command": "internal-sftp", "dirs": {"/srv/s": (0o40775, 0, 0)}}, Fate.REFUSED, "root alone"),
    ({"chroot": "/srv/s/a", "command": "internal-sftp", "dirs": {"/srv/s": (0o40777, 0, 0), "/srv/s/a": ROOT}},
     Fate.REFUSED, "root alone"),
    ({"chroot": "/run/s", "command": "internal-sftp", "dirs": {"/run/s": ROOT}}, Fate.LEAVE, "below /run"),
    ({"chroot": "/srv", "command": "internal-sftp", "dirs": {"/srv/a": ROOT}}, Fate.LEAVE, "more than the account"),
    ({"chroot": "/srv/l", "command": "internal-sftp", "dirs": {"/srv/s": ROOT}, "links": {"/srv/l": "l"}},
     Fate.REFUSED, "links"),
    ({"chroot": "/srv/s", "command": "/bin/rbash", "dirs": {"/srv/s": ROOT}}, Fate.LEAVE, "program of the chroot"),
    ({"chroot": "/srv/s", "dirs": {"/srv/s": ROOT}}, Fate.LEAVE, "programs of its own"),
    ({"chroot": "/", "command": "none"}, Fate.LEAVE, "nothing is confined"),
    ({"chroot": "/srv/s", "command": "internal-sftp -u 9", "dirs": {"/srv/s": ROOT}}, Fate.REFUSED, "no umask"),
    ({"command": "/usr/local/bin/menu"}, Fate.REFUSED, "runs no command"),
    ({"config": "Match User kim Address 10.0.0.0/8\nForceCommand internal-sftp\n"}, Fate.LEAVE, "some connections"),
    ({"config": "Match User kim LocalPort 2222\nChrootDirectory none\nMatch all\nChrootDirectory /srv/s\n",
      "chroot": "/srv/s"}, Fate.LEAVE, "some connections"),
    ({"config": "Match exec \"test %u = kim\" User k*\nForceCommand internal-sftp\n"}, Fate.LEAVE, "some connections"),
    ({"command": "internal-sftp", "person": Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/bin/sh",
                                                   groups=("sftponly", "sudo"))}, Fate.LEAVE, "group sudo"),
)  # fmt: skip


@pytest.mark.parametrize(("case", "fate", "why"), STAYS)
def test_what_is_left_or_refused_today(case: dict[str, object], fate: Fate, why: str) -> None:
    """With the reason, and without settings."""
    result = found(**case)  # type: ignore[arg-type]
    assert result is not None and (result.fate, result.settings) == (fate, {})
    assert any(why in remark.text for remark in result.remarks), result.remarks


def test_a_chroot_without_a_shell_is_for_sftp() -> None:
    """sshd's own server is all that is left there."""
    result = found("/srv/s", "none", {"/srv/s": ROOT, "/srv/s/in": OWN}, subsystem="sftp internal-sftp -u 027")
    assert result is not None and result.fate is Fate.MIGRATE
    assert result.settings["sftp"] == {"umask": "027", "start": "/"}
    assert not result.commands  # a key's own command counts there


def test_links_to_a_chroot_are_followed() -> None:
    """sshd does, and a home must not have one in its path."""
    result = found("/srv/l", "internal-sftp", {"/srv/s": ROOT, "/srv/s/a": ROOT}, links={"/srv/l": "../srv/./s"})
    assert result is not None and result.home == "/srv/s"


def test_a_forced_command_without_a_chroot() -> None:
    """It is judged as one of a key, and a forwarding is said."""
    person = Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/bin/sh")
    result = found("none", "borg serve --append-only", person=person, allowtcpforwarding="Yes")
    assert result is not None and result.settings["borg"] == {"paths": ("~",), "append_only": "yes"}
    assert any(remark.effect is Effect.CLOSED and "forwarded" in remark.text for remark in result.remarks)


def test_accounts_that_no_line_means() -> None:
    """Those without any, of ours, and system accounts that are not named."""
    system = Person("www", 33, 33, group="www", home="/var/www", shell="/bin/sh")
    assert found() is None
    assert found("none", "/usr/libexec/jailssh/jailssh-login") is None
    assert found("none", "internal-sftp", config="ForceCommand internal-sftp\n", person=system) is None
    named = found("none", "internal-sftp", config="Match User www\nForceCommand internal-sftp\n", person=system)
    assert named is not None and named.fate is Fate.LEAVE


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("User kim", Fits.YES),
        ("User=kim", Fits.YES),
        ('user "ki?,x"', Fits.YES),
        ("User k*,!kim", Fits.NO),
        ("User !other", Fits.NO),
        ("Group a,sftponly", Fits.YES),
        ("Group *,!sftponly", Fits.NO),
        ("Group nobody", Fits.NO),
        ("User kim Group nobody", Fits.NO),
        ("User kim Address *,!10.0.0.1", Fits.SOMETIMES),
        ("User lee Address 10.0.0.1", Fits.NO),
        ("LocalPort 22 # x", Fits.SOMETIMES),
        ("all", Fits.YES),
        ("User", Fits.NO),
        ("Nonsense x", Fits.SOMETIMES),
        ("", Fits.YES),
    ],
)  # fmt: skip
def test_match(text: str, fits: Fits) -> None:
    """Patterns as sshd reads them."""
    rows = sshd_match.lines_for(KIM, "forcecommand", [(FILE, 1, f"Match {text}"), (FILE, 2, "ForceCommand x")])
    assert [row.fits for row in rows] == ([] if fits is Fits.NO else [fits])


def test_a_block_of_an_included_file_ends_with_the_file() -> None:
    """And one around an Include holds for what is included."""
    lines = [(FILE, 1, "Include a"), ("/a", 1, "Match User lee"), (FILE, 2, "ForceCommand one"),
             (FILE, 3, "Match User lee"), (FILE, 4, "Include b"), ("/b", 1, "Match all"), ("/b", 2, "ForceCommand two"),
             (FILE, 5, "forcecommand=three"), (FILE, 6, "\udcff\0"), (FILE, 7, "Match")]  # fmt: skip
    assert [row.value for row in sshd_match.lines_for(KIM, "forcecommand", lines)] == ["one"]


def test_directories_of_the_jail_are_those_of_the_plan() -> None:
    """A home below one of them cannot be shown."""
    assert frozenset(RESERVED) == sshd_blocks.SYSTEM
