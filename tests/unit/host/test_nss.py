"""How often a name service is asked that does not answer."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from jailssh.host import nss, nss_helper


def test_patience() -> None:
    now = [0.0]
    patience = nss.Patience(lambda: now[0])
    assert not patience.tried()
    for _ in range(nss.PATIENCE):
        assert patience.may_ask(False)
        patience.note(False, late=True)
    assert patience.tried()
    assert [patience.may_ask(False), patience.may_ask(True)] == [False, True]
    patience.note(True, late=False)
    assert not patience.may_ask(False)
    now[0] += nss.PAUSE
    assert [patience.may_ask(False) for _ in range(3)] == [True, False, False]
    now[0] += nss.PAUSE
    assert patience.may_ask(False)
    patience.note(False, late=False)
    assert all(patience.may_ask(False) for _ in range(10))
    assert not patience.tried()


def test_words_of_a_line() -> None:
    assert nss_helper._words(" files [SUCCESS=merge] sss [!UNAVAIL=return] systemd\n") == ["files", "sss", "systemd"]
    assert nss_helper._words(" files [NOTFOUND=return") == ["files"]
    assert nss_helper._words("") == []


def test_names_of_local_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group, switch = tmp_path / "group", tmp_path / "nsswitch.conf"
    monkeypatch.setattr(nss_helper, "GROUPS", str(group))
    monkeypatch.setattr(nss_helper, "SWITCH", str(switch))
    group.write_text("one:x:5:a,b\ntwo:x:5:\n+nis:x:6:\n#no:x:7:\nbad:x:y:\n:x:8:\nshort:x:9\n\nlast:x:10:")
    switch.write_text("group: files systemd\n")
    services = nss_helper.Services()
    found = {gid: services.local_group(gid) for gid in range(4, 12)}
    # As getgrgid(3): the first line counts, and what is no line of a group is none.
    assert {gid: name for gid, name in found.items() if name} == {5: "one", 10: "last"}
    group.write_text("two:x:5:\n")
    assert services.local_group(5) == "two"
    group.unlink()
    group.write_text("six:x:5:\n")
    assert services.local_group(5) == "six"
    # Where something else is asked first, that says it.
    switch.write_text("group: sss files\n")
    assert services.local_group(5) is None


PASSWD = (
    "# who\nroot:x:0:0:root:/root:/bin/sh\nann:x:1001:1001:Ann, B:/home/ann:\n\n"
    "ann:x:1002:5::/:/bin/no\nbob:x:1001:5::/b:/s"
)
GROUP = "root:x:0:\nann:x:1001:bob,,ann\nmany:x:07:ann,root\nmany:x:8:bob\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ACCOUNTS", "GROUPS", "SWITCH"):
        monkeypatch.setattr(nss_helper, name, str(tmp_path / name))
    monkeypatch.setattr(nss_helper, "_SETTLED_NS", 0)
    (tmp_path / "ACCOUNTS").write_text(PASSWD)
    (tmp_path / "GROUPS").write_text(GROUP)
    (tmp_path / "SWITCH").write_text("passwd: files\ngroup: files [SUCCESS=merge]\n")
    return tmp_path


def test_files_are_read_as_a_whole_for_many_questions(files: Path) -> None:
    services = nss_helper.Services()
    assert [services.files() is None for _ in range(nss_helper.FEW + 1)] == [True] * nss_helper.FEW + [False]
    ask = nss_helper.account
    assert ask(services, "ann") == ["ann", "1001", "1001", "Ann, B", "/home/ann", "", "1001", "ann", "7", "many",
                                    "1001", "ann"]  # fmt: skip
    assert ask(services, 1001) == ask(services, "ann")
    assert ask(services, "bob") == ["bob", "1001", "5", "", "/b", "/s", "5", "5", "5", "5", "8", "many", "1001", "ann"]
    assert [ask(services, key) for key in ("", "nobody-here", 1003, -1, 1 << 40)] == [None] * 5
    assert nss_helper.group(services, "nothing") is None
    # Members are a sum of what several services say, which only the C library knows.
    with pytest.raises(AttributeError):
        monkeyed = pytest.MonkeyPatch()
        monkeyed.delattr(grp, "getgrnam")
        try:
            nss_helper.group(services, "many")
        finally:
            monkeyed.undo()
    (files / "SWITCH").write_text("passwd: files\ngroup: files\n")
    assert [nss_helper.group(services, "root") for _ in range(nss_helper.FEW + 1)]
    assert nss_helper.group(services, "many") == ["many", "7", "ann", "root"]
    # What changes counts from the next question on.
    (files / "ACCOUNTS").write_text(PASSWD.replace("ann:x:1001", "eve:x:1001"))
    assert services.files() is None
    assert [services.files() is None for _ in range(nss_helper.FEW)] == [True] * (nss_helper.FEW - 1) + [False]
    found = services.files()
    assert found is not None
    assert found.users[1001][0] == "eve"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ACCOUNTS", PASSWD + "\n+::::::\n"), ("ACCOUNTS", PASSWD + "\n-eve:x:1:1:::\n"),
        ("ACCOUNTS", PASSWD + "\nshort:x:1:1::\n"), ("ACCOUNTS", PASSWD + "\nlong:x:1:1::::\n"),
        ("ACCOUNTS", PASSWD + "\n eve:x:1:1:::\n"), ("ACCOUNTS", PASSWD + "\neve:x:-1:1:::\n"),
        ("ACCOUNTS", PASSWD + "\neve:x:4294967296:1:::\n"), ("ACCOUNTS", PASSWD + "\neve:x::1:::\n"),
        ("ACCOUNTS", PASSWD + "\r\n"), ("ACCOUNTS", PASSWD + "\ne\0e:x:1:1:::\n"), ("ACCOUNTS", PASSWD + "\n:x:1:1:::"),
        ("GROUPS", GROUP + "two:x:9:ann, bob\n"), ("GROUPS", GROUP + "two:x:9\n"), ("GROUPS", GROUP + "+\n"),
        ("SWITCH", "passwd: sss files\ngroup: files\n"),
        ("SWITCH", "passwd: files [NOTFOUND=return] sss\ngroup: files\n"),
        ("SWITCH", "passwd: files\ngroup: compat\n"), ("SWITCH", "passwd: files\ngroup: files\ninitgroups: files\n"),
        ("SWITCH", ""),
    ],
)  # fmt: skip
def test_files_that_only_the_c_library_understands(files: Path, name: str, text: str) -> None:
    (files / name).write_bytes(text.encode())
    services = nss_helper.Services()
    assert [services.files() for _ in range(3 * nss_helper.FEW)] == [None] * 3 * nss_helper.FEW


def test_files_that_have_just_changed_are_not_kept(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nss_helper, "_SETTLED_NS", 3600 * 10**9)
    assert nss_helper.read_files() is None


def test_files_are_understood_as_by_the_c_library() -> None:
    found = nss_helper.read_files()
    assert found is not None, "this machine's files have lines that are left to the C library"
    services = nss_helper.Services()
    for row in pwd.getpwall():
        first = pwd.getpwnam(row.pw_name)
        assert found.users[row.pw_name][:2] == [first.pw_name, str(first.pw_uid)]
        gids = {first.pw_gid, *found.inside.get(row.pw_name, ())}
        more = nss_helper.must_know_groups(services, row.pw_name, first.pw_gid) or set()
        assert gids | more == set(os.getgrouplist(row.pw_name, first.pw_gid))
