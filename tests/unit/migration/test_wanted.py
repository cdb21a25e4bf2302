"""Jails for what other programs confine: shared where they are the same, none where one is shipped."""

from __future__ import annotations

import dataclasses

import pytest

from jailssh.config.reader import read_document
from jailssh.jail.profiles import shipped_profiles
from jailssh.migration.wanted import Wanted, as_text, wanted
from jailssh.sources.found import Effect, Fate, Found, Remark, Settings

SFTP: Settings = {"": {"plugins": ("sftp",)}}
OWN: Settings = {"": {"plugins": ("sftp", "rsync"), "umask": "027"}, "rsync": {"write": ("~/in",)}}


def found(name: str, settings: Settings = OWN, **more: object) -> Found:
    return dataclasses.replace(Found(name, "rssh", "/etc/rssh.conf:1", settings=settings), **more)  # type: ignore[arg-type]


def plan(*rows: Found, **how: object) -> Wanted:
    return wanted(rows, shipped_profiles(), how.pop("present", {}), how.pop("inside", {}), **how)  # type: ignore[arg-type]


def test_what_is_the_same_shares_a_jail() -> None:
    done = plan(found("a"), found("b"), found("c", {**OWN, "": {"plugins": ("rsync", "sftp"), "umask": "027"}}))
    assert done.jails == dict.fromkeys("abc", "rssh-a")
    assert list(done.texts) == ["rssh-a"]


def test_what_differs_does_not() -> None:
    other = {**OWN, "rsync": {"write": ("~/out",)}}
    done = plan(found("a", called="rssh-jail"), found("b", other, called="rssh-jail"))
    assert done.jails == {"a": "rssh-jail", "b": "rssh-jail-2"}


def test_a_shipped_jail_is_used() -> None:
    done = plan(found("a", SFTP), found("b", {"": {"plugins": ("scp", "sftp")}}))
    assert done.jails == {"a": "sftp-only", "b": "scp-sftp"} and not done.texts


def test_a_jail_that_is_there_is_used_again() -> None:
    text = plan(found("a", called="mine")).texts["mine"]
    done = plan(found("a"), present={"mine": read_document(text, "mine.conf")})
    assert done.jails == {"a": "mine"} and not done.texts


def test_a_name_is_no_plugin_s_and_no_jail_s() -> None:
    taken = {"old": read_document("plugins = sftp\n", "old.conf")}
    assert plan(found("a", called="old"), present=taken).jails == {"a": "old-2"}
    assert plan(found("a", called="rsync")).jails == {"a": "rsync-2"}
    assert plan(found("a", called="sftp-ro")).jails == {"a": "sftp-ro-2"}


@pytest.mark.parametrize(("fate", "named", "goes"), [
    (Fate.MIGRATE, (), True), (Fate.LEAVE, (), False), (Fate.LEAVE, ("a",), False), (Fate.REFUSED, (), False),
    (Fate.REFUSED, ("a",), True),
])  # fmt: skip
def test_who_goes(fate: Fate, named: tuple[str, ...], goes: bool) -> None:
    done = plan(found("a", fate=fate), refused=named)
    assert [each.account for each in done.found] == (["a"] if goes else [])
    assert [each.account for each in done.left] == ([] if goes else ["a"])


def test_an_account_goes_once_and_never_out_of_a_jail() -> None:
    done = plan(found("a"), found("a", SFTP, source="sshd"), found("b"), inside={"b": ("shell",)})
    assert done.jails == {"a": "rssh-a"}
    assert [(each.account, each.remarks[-1].text) for each in done.left] == [
        ("a", "goes with rssh, which confines it as well"), ("b", "is in jail shell already"),
    ]  # fmt: skip


@pytest.mark.parametrize("settings", [
    {"": {"plugins": ("sftp",)}, "sftp": {"start": "/x\n[limits]\nnproc = 9"}},
    {"": {"plugins": ("command",)}, "command": {"commands": ("echo \"a\" 'b'",)}},
    {"": {"plugins": ("sftp",)}, "sftp": {"start": "/x\0"}},
    {"": {"plugins": ("sftp",)}, "env": {"A\nB": "x"}},
    {"": {"plugins": ("sftp",)}, "env": {"A = 1 #": "x"}},
    {"": {"plugins": ("sftp",)}, "x]\n[limits": {"a": "x"}},
    {"": {"plugins": ("sftp",)}, "sftp": {"start": "/\udcff"}},
])  # fmt: skip
def test_what_a_user_wrote_makes_no_lines_of_a_jail_file(settings: Settings) -> None:
    done = plan(found("a", settings))
    assert not done.found and not done.texts
    assert "cannot hold" in done.left[0].remarks[-1].text


def test_a_jail_file_reads_back_as_it_was_meant() -> None:
    settings: Settings = {
        "": {"plugins": ("command", "sftp")},
        "command": {"commands": ("cat <path:~/a>", 'echo "x y", z', "ls # -l")},
        "env": {"A": "b, c # d"},
    }
    remark = Remark(Effect.LOST, "/etc/x:1", "text")
    document = read_document(as_text(found("a", settings, remarks=(remark,))), "x.conf")
    assert document.entries["command"]["commands"].raw == settings["command"]["commands"]
    assert document.entries["env"]["A"].raw == "b, c # d"
