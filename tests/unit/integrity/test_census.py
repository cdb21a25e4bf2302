"""Who is in a jail: what is kept of it, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.core.names import is_number
from jailssh.host import accounts, process
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.integrity import census, scene
from jailssh.integrity.census import Census, jailed, names_elsewhere, take, uids_elsewhere
from jailssh.integrity.kept import Kept
from jailssh.jail.configuration import Configuration, NotJailedError

CENSUS = Census((("al", "x", "1001", "1001", "", "/home/al", ""),), (), {})


class _Answering:
    """A configuration that says one thing after the other, as long as there are any."""

    def __init__(self, layout: Layout, *answers: JailsshError | tuple[str, ...]) -> None:
        self.layout = layout
        self.answers = list(answers)

    def user_names(self) -> list[str]:
        return ["al"]

    def groups(self) -> tuple[str, ...]:
        return ()

    def jails_for(self, _account: Any) -> tuple[str, ...]:
        answer = self.answers.pop(0)
        if isinstance(answer, JailsshError):
            raise answer
        return answer

    def ask(self) -> tuple[str, ...] | None:
        """Return the account's jails as a run of its own sees them, None for none."""
        kept = Kept(self.layout)
        person = jailed(cast(Configuration, self), CENSUS, kept, "stamp", []).get("al")
        kept.save()
        return person.jails if person else None


def layout_in(place: Path) -> Layout:
    (place / "var/lib/jailssh").mkdir(parents=True)
    return Layout(root=str(place))


def test_an_error_is_asked_about_again(tmp_path: Path) -> None:
    asked = _Answering(layout_in(tmp_path), ConfigError("plugin x", "cannot be loaded"), ("x",))
    assert asked.ask() is None
    assert asked.ask() == ("x",)
    assert asked.ask() == ("x",), "what is known is kept"


def test_that_somebody_is_in_no_jail_is_kept(tmp_path: Path) -> None:
    asked = _Answering(layout_in(tmp_path), NotJailedError("account al", "is in no jail"))
    assert asked.ask() is None
    assert asked.ask() is None


@pytest.mark.parametrize(
    ("switch", "passwd", "expected"),
    [
        ("", "", ()),
        ("passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\n", "", ()),
        ("passwd: files sss # ldap\n", "", ("sss",)),
        ("passwd: files\ngroup: files [NOTFOUND=return !UNAVAIL=return] ldap\n", "", ("ldap",)),
        ("passwd: compat\n", "", ()),
        ("passwd: compat\n", "+@staff::::::\n", ("nis",)),
        ("passwd: compat\npasswd_compat: ldap\n", "al:x:1:1::/:/bin/sh\n+\n", ("ldap",)),
        ("passwd: files\n", "+\n", ()),
    ],
)
def test_who_else_knows_accounts(tmp_path: Path, switch: str, passwd: str, expected: tuple[str, ...]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nsswitch.conf").write_text(switch)
    (tmp_path / "etc/passwd").write_text(passwd)
    seen = take(Layout(root=str(tmp_path)))
    assert (seen.sources, seen.alone) == (expected, not expected)


def test_accounts_of_homed_are_persons(tmp_path: Path) -> None:
    (tmp_path / "etc/userdb").mkdir(parents=True)
    (tmp_path / "etc/nsswitch.conf").write_text("passwd: files systemd\n")
    (tmp_path / "etc/userdb/al.user").write_text("{}")
    assert take(Layout(root=str(tmp_path))).sources == ("systemd",)


def test_each_source_is_asked_for_the_names_of_a_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    """getpwuid(3) gives the first name alone, which is that of the files."""
    asked = []

    def run(argv: list[str], **_: Any) -> Any:
        asked.append(argv)
        return process.Completed("eve:*:1001:5::/home/eve:/bin/sh\nodd\nbo:*:7:7::/:/bin/sh\n", "", 2)

    monkeypatch.setattr(process, "run", run)
    assert names_elsewhere(Census((), (), {}, ("sss",)), [1001, 1002, 1001]) == {1001: ["eve"]}
    assert asked == [["getent", "-s", "passwd:sss", "passwd", "1001", "1002"]]
    assert names_elsewhere(CENSUS, [1001]) == {}
    assert len(asked) == 1


@pytest.mark.parametrize("gecos", ["A\rB", "A\u2028B"])
def test_what_people_have_in_their_lines_of_the_files_hides_nobody(tmp_path: Path, gecos: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(f"eve:x:1001:1001:{gecos}:/home/eve:/bin/sh\n".encode())
    assert [row[0] for row in take(Layout(root=str(tmp_path))).passwd] == ["eve"]


@pytest.mark.parametrize("gecos", ["A\u2028B", "A\x85", "A\x0b\x1c"])
def test_what_people_have_in_a_directory_hides_nobody(monkeypatch: pytest.MonkeyPatch, gecos: str) -> None:
    rows = f"eve:x:1001:1001:{gecos}:/home/eve:/bin/sh\n"
    monkeypatch.setattr(process, "run", lambda *_, **__: process.Completed(rows, "", 0))
    assert names_elsewhere(Census((), (), {}, ("sss",)), [1001]) == {1001: ["eve"]}


def test_members_are_read_as_by_the_c_library() -> None:
    """Blanks before a name are passed over, those behind it are its own; ``id al`` has both groups."""
    passwd = tuple((name, "x", uid, uid, "", "/", "") for name, uid in (("al", "1001"), ("bo", "1002")))
    seen = Census(passwd, (("docker", "x", "998", "bo, al"), ("disk", "x", "6", "\tal ,,al")), {})
    assert seen.entries["al"].groups == (("1001", 1001), ("docker", 998), ("disk", 6))
    assert seen.entries["bo"].groups == (("1002", 1002), ("docker", 998))
    assert seen.members == {"docker": {"al", "bo"}, "disk": {"al", "al "}}


def test_a_password_in_the_line_of_passwd_counts_before_that_of_shadow() -> None:
    """With ``bo::`` in /etc/passwd su(1) asks bo for none, whatever shadow says."""
    passwd = tuple((name, field, "1", "1", "", "/", "") for name, field in (("al", "x"), ("bo", ""), ("cy", "x")))
    shadow = {name: (name, "!", "", "", "", "", "", "", "") for name in ("al", "bo")}
    assert Census(passwd, (), shadow).hashes == {"al": "!", "bo": ""}


def test_each_source_is_asked_for_the_uids_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "al:*:70001:5::/home/al:/bin/sh\nodd\nbo:*:7:7::/:/bin/sh\nal:*:x:7::/:/bin/sh\n"
    monkeypatch.setattr(process, "run", lambda *_, **__: process.Completed(rows, "", 2))
    # A number would be taken for a uid.
    assert uids_elsewhere(Census((), (), {}, ("sss",)), ["al", "cy", "1001"]) == {"al": [70001]}
    assert uids_elsewhere(CENSUS, ["al"]) == {}


def test_numbers_of_other_scripts_are_none(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    rows = [
        "a:x:\u00b2:1::/:/bin/sh",
        "b:x:\u0663:1::/:/bin/sh",
        f"c:x:{'9' * 5000}:1::/:/bin/sh",
        "d:x:4:1::/:/bin/sh",
    ]
    (tmp_path / "etc/passwd").write_text("\n".join(rows) + "\n")
    assert list(take(Layout(root=str(tmp_path))).entries) == ["d"]
    assert [is_number(text) for text in ("", "0", "12", "\u00b2", "\u0663", "-1", " 1")] == [False, True, True] + [
        False
    ] * 4


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("passwd", "al:x:1001:1001::/home/al:/bin/sh\n"),
        ("group", "al:x:1001:\nteam:x:7:al\n"),
        ("shadow", "al:*:19000:0:99999:7::1:\n"),
        ("nsswitch.conf", "passwd: files sss\n"),
    ],
)
def test_files_that_are_as_before_are_not_taken_apart_again(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "etc").mkdir()
    said = {"passwd": "al:x:1001:1001::/home/al:/bin/no\n", "group": "al:x:1001:\n", "shadow": "al:*:19000:0:9:7:::\n",
            "nsswitch.conf": "passwd: files\n"}  # fmt: skip
    for name, each in said.items():
        (tmp_path / "etc" / name).write_text(each)
    layout = Layout(root=str(tmp_path))
    before = take(layout)
    # Written anew, with the same bytes.
    (tmp_path / "etc" / file).write_text(said[file])
    assert take(layout) is before
    (tmp_path / "etc" / file).write_text(text)
    after = take(layout)
    assert after is not before and after != before
    (tmp_path / "etc" / file).write_text(said[file])
    assert take(layout) is before


class _NameService:
    """What is asked of the name service, which knows one account that no file has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str | int] = []
        monkeypatch.setattr(accounts, "find", self.find)
        monkeypatch.setattr(accounts, "find_uid", self.find)
        monkeypatch.setattr(accounts, "group_id", self.find)
        monkeypatch.setattr(accounts, "all_passwords", dict)

    def find(self, who: str | int) -> AccountEntry | None:
        self.asked.append(who)
        more = AccountEntry("more", 1009, 1009, group="more", home="/home/more", shell="", gecos="", groups=())
        return more if who in ("more", 1009) else None


def test_accounts_are_counted_once_and_nobody_is_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = (("al", "x", "1001", "1001", "", "/home/al", ""), ("al", "x", "1009", "1009", "", "/root", ""))
    known = Census(twice, (("g", "x", "7", "al"), ("g", "x", "8", "")), {})
    service = _NameService(monkeypatch)
    monkeypatch.setattr(census, "take", lambda _layout: known)
    host = scene.counted(Layout())
    assert host is not None
    by_name, by_uid = host.find_account("al"), host.find_account(1001)
    assert by_name is not None and by_name == by_uid and by_name.groups == (("1001", 1001), ("g", 7))
    assert host.group_id("g") == 7
    assert not service.asked
    # The second line of a name is what the name service makes of it, and so is what the files do not have.
    found = host.find_account(1009)
    assert found is not None and found.name == "more"
    assert host.find_account("nobody-here") is None and host.group_id("none") is None
    assert service.asked == [1009, "nobody-here", "none"]
    assert host.expiry("al") is None
    monkeypatch.setattr(census, "take", lambda _layout: Census(twice, (), {}, ("sss",)))
    assert scene.counted(Layout()) is None
    assert scene.counted(Layout("/srv/other")) is None


def test_who_is_in_no_file_is_asked_for_only_where_systemd_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Census((("al", "x", "1001", "1001", "", "/home/al", ""),), (("g", "x", "7", "al"),), {})
    service = _NameService(monkeypatch)
    given = {"passwd": "more:*:1009:1009::/:/\n", "group": "more:*:1009:\nodd\n"}
    monkeypatch.setattr(census, "take", lambda _layout: known)
    monkeypatch.setattr(census, "_databases", lambda _root: {"passwd": ["files", "systemd"], "group": ["systemd"]})

    def getent(argv: list[str], **_: object) -> process.Completed:
        assert argv == ["getent", "-s", f"{argv[3]}:systemd", argv[3]]
        return process.Completed(given[argv[3]], "", 0)

    monkeypatch.setattr(process, "run", getent)
    host = scene.whole(Layout())
    assert host is not None
    assert [bool(host.find_entry(who)) for who in ("al", 1001, "none", 1002)] == [True, True, False, False]
    assert (host.group_id("g"), host.group_id("none")) == (7, None)
    assert not service.asked
    assert [bool(host.find_entry(who)) for who in ("more", 1009)] == [True, True]
    host.group_id("more")
    assert service.asked == ["more", 1009, "more"]

    def away(argv: list[str], **_: object) -> process.Completed:
        raise HostError("getent", "no answer")

    monkeypatch.setattr(process, "run", away)
    assert scene.whole(Layout()) is None
    monkeypatch.setattr(census, "_databases", lambda _root: {"passwd": ["files"]})
    assert scene.whole(Layout()) is not None
    assert scene.whole(Layout("/srv/other")) is None
    monkeypatch.setattr(census, "take", lambda _layout: Census((), (), {}, ("sss",)))
    assert scene.whole(Layout()) is None
