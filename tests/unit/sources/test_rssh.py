"""Accounts whose login shell is rssh."""

from __future__ import annotations

import pytest

from jailssh.sources import rssh
from jailssh.sources.found import Effect, Fate
from tests.unit.sources.shells import one, survives, texts

PATH = "/etc/rssh.conf"
SHELL = "/usr/bin/rssh"
STOCK = """\
# This is the default rssh config file
logfacility = LOG_USER
allowscp
allowsftp
#allowrsync
umask = 022
# chrootpath = "/usr/local/my chroot"
#user = rudy:077:00010:  # the path is optional
"""
JAILED = {"/srv/jail/home/kim": (0o40750, 1001, 1001), "/home/kim": (0o40750, 1001, 1001)}

CASES: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("the stock file", STOCK, {"plugins": "sftp scp"}),
    ("no case, blanks, comments", "AllowSCP#x\n \tALLOWSFTP # y\r\n", {"plugins": "sftp scp"}),
    ("sftp alone", "allowsftp\n", {"plugins": "sftp"}),
    ("scp alone", "allowscp\n", {"plugins": "scp"}),
    ("rsync", "allowrsync\n", {"plugins": "rsync"}),
    ("two digits", "user = kim:027:10:\n", {"plugins": "sftp", "umask": "027"}),
    ("five digits", "user=kim:022:10001:\n", {"plugins": "scp rsync"}),
    ("six digits", "user=kim:077:000100\n", {"plugins": "sftp", "umask": "077"}),
    ("quotes", "user = \"kim:077:00011:\"  # ours\n", {"plugins": "sftp scp", "umask": "077"}),
    ("quotes within", "user = kim:'077':\"00011\"\n", {"plugins": "sftp scp", "umask": "077"}),
    ("the first line counts", "user=kim:022:00010:\nuser=kim:022:11111:\n", {"plugins": "sftp"}),
    ("what stands before a user line does not", "allowscp\nallowrsync\nuser=kim:022:00010:\n", {"plugins": "sftp"}),
    ("errors behind the line are not read", "user=kim:022:00010:\nnonsense\n", {"plugins": "sftp"}),
    ("another one's line", "allowsftp\nuser=other:x:y\n", {"plugins": "sftp"}),
    ("the last umask", "umask = 077\numask = 0027\nallowsftp\n", {"plugins": "sftp", "umask": "027"}),
)  # fmt: skip


@pytest.mark.parametrize(("text", "top"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_allowed_becomes_plugins(text: str, top: dict[str, object]) -> None:
    """The file is read as rssh reads it."""
    found = one(rssh, SHELL, {PATH: text})
    assert found.fate is Fate.MIGRATE, texts(found)
    said = {**found.settings[""], "plugins": " ".join(sorted(str(found.settings[""]["plugins"]).split()))}
    assert said == {**top, "plugins": " ".join(sorted(str(top["plugins"]).split()))}
    assert found.settings.get("rsync") == ({"read": ("~",), "write": ("~",)} if "rsync" in str(top) else None)


REFUSED: tuple[tuple[str, str | None, str], ...] = (
    ("no file", None, "there is no rssh.conf"),
    ("nothing allowed", "umask = 022\n", "nothing is allowed"),
    ("no digit set", "user=kim:022:00000:\n", "nothing is allowed"),
    ("a keyword", "allowscp\nallowssh\n", f"{PATH}:2 rssh does not know the keyword 'allowssh'"),
    ("more on the line", "allowscp yes\n", f"{PATH}:1 'yes' stands where the line should end"),
    ("no equal sign", "umask 022\nallowscp\n", f"{PATH}:1 '=' is missing"),
    ("a umask", "umask = 08\nallowscp\n", f"{PATH}:1 '08' is no umask"),
    ("an open quote", "user = \"kim:022:00011\n", f"{PATH}:1 a quote is not closed"),
    ("three digits", "allowscp\nuser = kim:022:011:\n", f"{PATH}:2 '011' is not a row"),
    ("a blank in a path", "user = kim:022:00011:/srv/my jail\n", f"{PATH}:1 'jail' stands where"),
    ("too few fields", "user = kim:022\n", f"{PATH}:1 a user line is"),
    ("too many fields", "user = kim:022:00011:/srv/a:b\n", f"{PATH}:1 ':' is not expected"),
    ("no newline at the end", "allowscp", f"{PATH}:1 the line is too long"),
    ("a long line", "allowscp\n" + "#" * 1024 + "\n", f"{PATH}:2 the line is too long"),
    ("rows of different lengths", "user=other:022:000100:\nuser=kim:022:00011:\n", "different numbers of digits"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "why"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_rssh_refuses_is_refused(text: str | None, why: str) -> None:
    """The line is named."""
    found = one(rssh, SHELL, {} if text is None else {PATH: text})
    assert found.fate is Fate.REFUSED and not found.settings
    assert why in texts(found)


def test_a_home_in_the_chroot_is_shown_where_the_chroot_has_it() -> None:
    """The path in passwd is the host's, that of clients the chroot's."""
    found = one(rssh, SHELL, {PATH: "user=kim:022:00011:/srv/jail/\n"}, home="/srv/jail/home/kim", dirs=JAILED)
    assert (found.home, found.inside) == ("", "/home/kim")
    assert found.where == f"{PATH}:1" and "a jail shows the home alone" in texts(found, Effect.LOST)


def test_a_home_outside_is_looked_for_in_the_chroot() -> None:
    """It is taken where it is the account's."""
    found = one(rssh, SHELL, {PATH: "chrootpath = '/srv/jail'\nallowsftp\n"}, dirs=JAILED)
    assert (found.home, found.inside) == ("/srv/jail/home/kim", "/home/kim")
    assert "a session begins in /home/kim" in texts(found, Effect.CHANGED)
    other = {"/srv/jail/home/kim": (0o40750, 1002, 1002)}
    assert one(rssh, SHELL, {PATH: "chrootpath = '/srv/jail'\nallowsftp\n"}, dirs=other).fate is Fate.LEAVE


def test_an_empty_path_is_no_chroot() -> None:
    """Whatever chrootpath says."""
    found = one(rssh, SHELL, {PATH: "chrootpath = /srv/jail\nuser=kim:022:00010:\n"})
    assert (found.fate, found.home, found.inside) == (Fate.MIGRATE, "", "")
    assert "nothing but their modes" in texts(found, Effect.CLOSED)


@pytest.mark.parametrize("root", ["srv/jail", "/srv/../home", "/srv/\udcff"])
def test_a_chroot_that_cannot_be_named_is_left(root: str) -> None:
    """Nobody guesses at it."""
    assert one(rssh, SHELL, {PATH: f"user=kim:022:00010:{root}\n"}).fate is Fate.LEAVE


def test_what_has_no_plugin_is_said() -> None:
    """With what is left of it, and where nothing is, the account stays."""
    found = one(rssh, SHELL, {PATH: "allowsftp\nallowcvs\nallowrdist\nallowsvnserve\n"})
    assert {text.split(":")[0].split()[-1] for text in texts(found, Effect.LOST).split("\n")} == {
        "cvs", "rdist", "svnserve"}  # fmt: skip
    assert one(rssh, SHELL, {PATH: "allowcvs\n"}).fate is Fate.LEAVE


def test_scp_alone_says_that_sftp_comes_with_it() -> None:
    """It is more than rssh let through."""
    assert "list, rename and remove" in texts(one(rssh, SHELL, {PATH: "allowscp\n"}), Effect.CHANGED)


def test_the_file_of_an_rssh_below_usr_local() -> None:
    """The one of its own prefix is read first."""
    files = {PATH: "allowscp\n", "/usr/local/etc/rssh.conf": "allowsftp\n"}
    assert one(rssh, "/usr/local/bin/rssh", files).settings[""]["plugins"] == "sftp"
    assert one(rssh, SHELL, files).settings[""]["plugins"] == "scp"


def test_sshd_may_decide_before_the_shell() -> None:
    """Then the shell's file does not count."""
    for name, value in (("forcecommand", "internal-sftp"), ("chrootdirectory", "/srv/x")):
        found = one(rssh, SHELL, {PATH: "allowscp\n"}, settings={"kim": {name: value}})
        assert found.fate is Fate.LEAVE and value in texts(found)


def test_damaged_files() -> None:
    """They give nothing more."""
    survives(rssh, SHELL, PATH, STOCK)
