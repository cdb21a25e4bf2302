"""Which accounts' changes are told as one, and which never are.

The lines are those that plans and publishing make: where their words change, these tests show what does not hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from jailssh.core.closed import Shown
from jailssh.core.names import HostPath
from jailssh.host.accounts import AccountEntry
from jailssh.host.nss import UnansweredError
from jailssh.plan import codec
from jailssh.plan.compile import Access, JailSettings, LogRate, RosterKey, compile_plan, compile_roster
from jailssh.plugin.api import Account, Bind, PluginResult
from jailssh.policy.rules import Rule
from jailssh.publish.account_plan import difference
from jailssh.publish.alike import Alike, grouped
from jailssh.publish.plan_files import AccountPlans
from jailssh.publish.publish import PlanChange

IMAGE, FILTER = HostPath("/var/lib/jailssh/images/.pool/1"), ("x86_64", b"\0" * 8)
JAIL = JailSettings("box", log=LogRate(base=1 << 10, peak=1 << 20, interval=5))
FREE = Access()


@dataclasses.dataclass(frozen=True)
class Person:
    """An account with what is its own: its number, home, group, directories (host's path, whether writable), limits."""

    name: str
    uid: int
    home: str = ""
    group: str = ""
    binds: tuple[tuple[str, bool], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    access: Access = FREE

    @property
    def account(self) -> Account:
        home = self.home or f"/home/{self.name}"
        gid = self.uid if self.group in ("", self.name) else 100
        return Account(self.name, self.uid, gid, self.group or self.name, home)

    def plan(self, *, home: Shown = Shown.WRITABLE) -> codec.Plan:
        account = self.account
        rule = Rule("copy.in", "copy", "/usr/bin/copy", ("copy",), argv_insert=(account.home, self.name))
        binds = tuple(Bind(path, writable) for path, writable in self.binds)
        settings = dataclasses.replace(JAIL, env=self.env, access=self.access)
        return compile_plan(account, settings, (PluginResult((rule,), "copy", home=home, binds=binds),), IMAGE, FILTER)

    def change(
        self, *, before: codec.Plan | None = None, jail: str = "box", home: Shown = Shown.WRITABLE
    ) -> PlanChange:
        lines = codec.diff(before, self.plan(home=home))
        return PlanChange(self.uid, self.name, jail, tuple(lines))

    @property
    def entry(self) -> AccountEntry:
        of = self.account
        return AccountEntry(of.name, of.uid, of.gid, group=of.group, home=of.home, shell="", gecos="", groups=())


def told(changes: Sequence[PlanChange], *people: Person) -> list[list[str]]:
    """Return the names of those who are told as one; ``people`` are those whom the host knows."""
    entries = {each.name: each.entry for each in people}
    return [each.names() for each in grouped(changes, entries.get)]


def of(*people: Person) -> list[list[str]]:
    """As :func:`told`, of new accounts of one jail."""
    return told([each.change() for each in people], *people)


def test_accounts_that_differ_in_nothing_but_their_own_are_one() -> None:
    ann, ben = Person("ann", 1001), Person("ben", 1002)
    assert "+ /run/jailssh/log/1001 of the host at" in "\n".join(ann.change().lines)
    assert of(ann, ben) == [["ann", "ben"]]
    # The home need not have the name.
    assert of(Person("ann", 1001, "/srv/www/one"), Person("ben", 1002, "/srv/www/two")) == [["ann", "ben"]]
    # What the jail shows to each by name.
    assert of(
        Person("ann", 1001, binds=(("/srv/in/ann", True),)), Person("ben", 1002, binds=(("/srv/in/ben", True),))
    ) == [["ann", "ben"]]


def test_the_lines_are_those_of_the_first_and_nothing_is_lost() -> None:
    people = [Person(f"p{number}", 2000 + number) for number in range(30)]
    (alike,) = grouped([each.change() for each in people], {each.name: each.entry for each in people}.get)
    assert alike.first == people[0].change()
    assert [change.uid for change in alike.changes] == [each.uid for each in people]


def test_of_what_changes_later_the_home_is_known_from_the_host() -> None:
    ann, ben = Person("ann", 1001, "/srv/www/one"), Person("ben", 1002, "/srv/www/two")
    changes = [each.change(before=each.plan(), home=Shown.READ_ONLY) for each in (ann, ben)]
    assert changes[0].lines[0].startswith("- /srv/www/one of the host at /srv/www/one, writable")
    assert told(changes, ann, ben) == [["ann", "ben"]]
    # Whose home is not known has none of its own.
    assert told(changes, ann) == [["ann"], ["ben"]]
    assert told(changes, ann, Person("ben", 1003, "/srv/www/two")) == [["ann"], ["ben"]]


OTHERS: dict[str, Callable[[Person], Person]] = {
    "another directory": lambda one: dataclasses.replace(one, binds=(("/srv/more", True),)),
    "a directory of the first": lambda one: dataclasses.replace(one, binds=(("/srv/in/ann", True),)),
    "another environment": lambda one: dataclasses.replace(one, env=(("COLOUR", "red"),)),
    "the name of the first": lambda one: dataclasses.replace(one, env=(("USER", "ann"),)),
    "another limit": lambda one: dataclasses.replace(one, access=Access(sessions=3)),
    "other addresses": lambda one: dataclasses.replace(one, access=Access(addresses=("10.0.0.1",))),
    "another last day": lambda one: dataclasses.replace(one, access=Access(expires=1_800_000_000)),
    "a home that is elsewhere": lambda one: dataclasses.replace(one, home=f"/srv/{one.name}"),
    "another group": lambda one: dataclasses.replace(one, group="users"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_who_gets_something_else_is_told_apart(what: str) -> None:
    ann, ben = Person("ann", 1001), Person("ben", 1002)
    other = OTHERS[what](Person("zoe", 1003))
    assert of(ann, ben, other) == [["ann", "ben"], ["zoe"]]
    assert of(other, ann, ben) == [["zoe"], ["ann", "ben"]]


# Two accounts whose names are words in what is shown to them, and in which they differ.
WORDS = {
    "the top itself": (
        Person("in", 1001, binds=(("/in", True),)), Person("out", 1002, binds=(("/out", True),))),
    "how it is shown": (
        Person("writable", 1001, binds=(("/srv", True),)), Person("read-only", 1002, binds=(("/srv", False),))),
    "a value": (
        Person("red", 1001, env=(("COLOUR", "red"),)), Person("blue", 1002, env=(("COLOUR", "blue"),))),
    "one of several words": (
        Person("in", 1001, binds=(("/srv/x/in put", True),)), Person("out", 1002, binds=(("/srv/x/out put", True),))),
    "the first part of a list": (
        Person("in", 1001, binds=(("/srv/x/in,a", True),)), Person("out", 1002, binds=(("/srv/x/out,a", True),))),
    "no path of the host": (
        Person("ann", 1001, env=(("AT", "x/srv/ann"),)), Person("ben", 1002, env=(("AT", "x/srv/ben"),))),
    "the beginning of a name": (
        Person("a", 1001, binds=(("/srv/a1", True),)), Person("b", 1002, binds=(("/srv/b1", True),))),
    "the end of a name": (
        Person("a", 1001, binds=(("/srv/1a", True),)), Person("b", 1002, binds=(("/srv/1b", True),))),
    "the middle of a name": (
        Person("a", 1001, binds=(("/srv/x-a-x", True),)), Person("b", 1002, binds=(("/srv/x-b-x", True),))),
}  # fmt: skip


@pytest.mark.parametrize("what", WORDS)
def test_a_name_that_is_a_word_of_something_else_is_no_name(what: str) -> None:
    one, other = WORDS[what]
    assert of(one, other) == [[one.name], [other.name]]
    # Nor where the host does not know them.
    assert told([one.change(), other.change()]) == [[one.name], [other.name]]


def test_names_that_stand_everywhere_are_told_as_others_are() -> None:
    # Each of them is in words, paths or programs of its own lines.
    names = ("a", "run", "home", "etc", "box", "of", "host", "user", "at", "u", "n", "h", "x86_64", "r-e.d")
    people = [Person(name, 3000 + number) for number, name in enumerate(names)]
    assert of(Person("ann", 1001), *people) == [["ann", *names]]
    # Of those that are in paths beside their own nobody can tell which is theirs.
    paths = [Person("copy", 4001), Person("jailssh", 4002), Person("bin", 4003), Person("nologin", 4004)]
    assert of(Person("ann", 1001), *paths) == [["ann"], ["copy"], ["jailssh"], ["bin"], ["nologin"]]


def test_a_uid_that_is_a_number_of_something_else_is_no_uid() -> None:
    one, other = Person("ann", 1001, access=Access(sessions=1001)), Person("ben", 1002, access=Access(sessions=1002))
    assert of(one, other) == [["ann"], ["ben"]]


def test_another_group_later() -> None:
    own, users = ([Person(name, uid, group=group) for name, uid in (("ann", 1001), ("ben", 1002), ("zoe", 1003))]
                  for group in ("", "users"))  # fmt: skip
    left = [now.change(before=was.plan()) for now, was in zip(own[:2], users[:2], strict=True)]
    joined = own[2].change(before=users[2].plan()), users[2].change(before=own[2].plan())
    assert left[0].lines == joined[0].lines == joined[1].lines != ()
    assert told([*left, joined[0]], *own) == [["ann", "ben", "zoe"]]
    assert told([*left, joined[1]], *own[:2], users[2]) == [["ann", "ben"], ["zoe"]]


def test_homes_in_other_homes() -> None:
    # The home of one is the directory of all; that of another lies in it.
    outer, inner = Person("ann", 1001, "/srv/www"), Person("ben", 1002, "/srv/www/ben")
    assert of(outer, inner) == [["ann"], ["ben"]]
    shown = (("/srv/www/ben/in", True),)
    both = [dataclasses.replace(each, binds=shown) for each in (outer, inner)]
    assert of(*both) == [["ann"], ["ben"]]
    near = Person("ann", 1001, "/srv/www/a", binds=(("/srv/www/a old", True),))
    nearer = Person("ben", 1002, "/srv/www/b", binds=(("/srv/www/b old", True),))
    assert of(near, nearer) == [["ann"], ["ben"]]
    # A home that only begins as another one does is not in it.
    near = Person("ann", 1001, "/srv/www/a", binds=(("/srv/www/ab", True),))
    nearer = Person("ben", 1002, "/srv/www/b", binds=(("/srv/www/bb", True),))
    assert of(near, nearer) == [["ann"], ["ben"]]


def test_directories_in_the_home() -> None:
    def change(name: str, uid: int, home: str, folder: str) -> PlanChange:
        return Person(name, uid, home, binds=((f"{home}/{folder}", True),)).change(home=Shown.READ_ONLY)

    ann, ben = Person("ann", 1001, "/srv/www/a"), Person("ben", 1002, "/srv/www/b")
    same = [change("ann", 1001, "/srv/www/a", "in"), change("ben", 1002, "/srv/www/b", "in")]
    assert "+ /srv/www/b/in of the host at /srv/www/b/in, writable" in "\n".join(same[1].lines)
    assert told(same, ann, ben) == [["ann", "ben"]]
    assert told([same[0], change("ben", 1002, "/srv/www/b", "out")], ann, ben) == [["ann"], ["ben"]]


def test_a_home_that_is_shared_is_each_ones_own() -> None:
    assert of(Person("ann", 1001, "/srv/www/site"), Person("ben", 1002, "/srv/www/site")) == [["ann", "ben"]]


def test_what_lines_do_not_tell_is_told_by_itself() -> None:
    long = "x" * 200
    one, other = Person("ann", 1001, env=(("A", f"{long}1"),)), Person("ben", 1002, env=(("A", f"{long}2"),))
    assert {line for line in one.change().lines if " A=" in line} == {
        line for line in other.change().lines if " A=" in line
    }
    assert of(one, other) == [["ann"], ["ben"]]


def test_shared_accounts_are_told_by_themselves() -> None:
    def change(person: Person, blob: str, old: AccountPlans | None = None) -> tuple[PlanChange, AccountPlans]:
        plan = person.plan()
        roster = compile_roster(person.account, JAIL, [RosterKey("bob", plan.serial, blob)])
        made = AccountPlans(roster, {plan.serial: plan})
        return PlanChange(person.uid, person.name, "box", tuple(difference(old, made))), made

    people = Person("git", 1001), Person("hg", 1002)
    blobs = ("A" * 24, "B" * 24)
    new = [change(person, blob) for person, blob in zip(people, blobs, strict=True)]
    assert "+ key bob:" in new[0][0].lines
    assert told([each for each, _ in new], *people) == [["git"], ["hg"]]
    others = [change(person, blob, was) for person, blob, (_, was) in zip(people, reversed(blobs), new, strict=True)]
    assert others[0][0].lines == others[1][0].lines == ("~ key bob: other keys or principals",)
    assert told([each for each, _ in others], *people) == [["git"], ["hg"]]
    # Each came to its keys, or has none any more.
    came = [
        change(person, blob, AccountPlans(person.plan(), {}))[0] for person, blob in zip(people, blobs, strict=True)
    ]
    gone = [PlanChange(person.uid, person.name, "box", ("- key bob",)) for person in people]
    more = [PlanChange(person.uid, person.name, "box", ("+ key bob:", "  + umask 022")) for person in people]
    files = [PlanChange(person.uid, person.name, "box", ("~ /etc/jailssh/keys/x: 1 lines added, 0 removed",))
             for person in people]  # fmt: skip
    back = [PlanChange(each.uid, each.name, "box", tuple(difference(was, AccountPlans(each.plan(), {}))))
            for each, (_, was) in zip(people, new, strict=True)]  # fmt: skip
    assert back[0].lines[0] == "- the plans of the keys bob"
    for those in (came, gone, more, files, back):
        assert told(those, *people) == [["git"], ["hg"]]


def test_those_who_are_gone_are_one() -> None:
    folder = "/var/lib/jailssh/gone"
    changes = [
        PlanChange(uid, name, "", ("- the plan", f"- users.conf: set aside in {folder}/{name}-{uid}-{when}"))
        for uid, name, when in ((1001, "ann", "20260101T000000Z"), (1002, "ben", "20260101T000000Z"),
                                (1003, "zoe", "20260101T000001Z"))
    ]  # fmt: skip
    assert told(changes) == [["ann", "ben"], ["zoe"]]
    nameless = [PlanChange(uid, "", "", ("- the plan",)) for uid in (1001, 1002)]
    assert told(nameless) == [["uid 1001", "uid 1002"]]
    # Without a uid it is not known who that is.
    unknown = [PlanChange(0, name, "", ("- something",)) for name in ("ann", "ben")]
    assert told(unknown) == [["ann"], ["ben"]]


def test_one_account_counts_once() -> None:
    ann = Person("ann", 1001)
    twice = PlanChange(1001, "ann", "box", ("- may enter it",))
    assert told([twice, twice], ann) == [["ann"]]
    assert told([twice, twice, dataclasses.replace(twice, uid=1002, name="ben")], ann) == [["ann", "ben"]]


def test_the_order_is_by_jail_and_then_as_given() -> None:
    people = [Person(f"p{number}", 2000 + number) for number in range(6)]
    jails = ("web", "box", "", "web", "box", "web")
    changes = [each.change(jail=jail) for each, jail in zip(people, jails, strict=True)]
    changes[5] = dataclasses.replace(changes[5], lines=("- umask 022",))
    assert told(changes, *people) == [["p2"], ["p1", "p4"], ["p0", "p3"], ["p5"]]


def test_where_the_name_service_does_not_answer_each_is_told_by_itself() -> None:
    people = [Person(f"p{number}", 2000 + number) for number in range(5)]
    asked: list[str] = []

    def find(name: str) -> AccountEntry | None:
        asked.append(name)
        if name == "p2":
            raise UnansweredError("account p2", "no answer")
        return people[int(name[1:])].entry

    found: list[Alike] = grouped([each.change() for each in people], find)
    assert [each.names() for each in found] == [["p0", "p1"], ["p2"], ["p3"], ["p4"]]
    # Nor is it waited for again.
    assert asked == ["p0", "p1", "p2"]


def test_nobody_is_asked_for_who_is_alone_in_a_jail() -> None:
    changes = [Person(name, uid).change(jail=name) for name, uid in (("ann", 1001), ("ben", 1002))]
    assert [each.names() for each in grouped(changes, lambda name: pytest.fail(name))] == [["ann"], ["ben"]]
