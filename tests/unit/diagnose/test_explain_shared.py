"""explain and learn for an account whose keys have names: each key by its own plan; the limits that are in force."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jailssh.config.rights import Table
from jailssh.core.errors import UsageError
from jailssh.core.names import JailPath
from jailssh.diagnose import explain, reasons, suggest
from jailssh.diagnose.trials import Remedy, Trials
from jailssh.host import journal, matcher
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from jailssh.plan import codec, ops
from jailssh.users import learning
from jailssh.users.learning import Learning
from tests.unit.explain_tools import (
    ENTRY,
    Journalctl,
    configure,
    layout,
    name_keys,
    publish,
    publish_keys,
    record,
    run_explain,
    run_learn,
)

__all__ = ["configure", "layout"]

pytestmark = pytest.mark.needs("login-program")

TABLE = "/etc/jailssh/rights/git"
FORGE = f"plugins = git\n[git]\nroots = /srv/forge\nrights = {TABLE}\n"
LINES = b"read site @readers\nwrite site carol\nread public @all\ncreate bob/* bob\n"
FETCH, PUSH = "git-upload-pack '{}'", "git-receive-pack '{}'"
LATER = 4102444800  # 2100-01-01


@pytest.fixture
def forge(configure: Callable[..., Trials], layout: Layout) -> Trials:
    """alice's account is shared by four people, of whom two are readers and three write code."""
    trials = configure("own", FORGE, {TABLE: Table(TABLE, LINES)})
    name_keys(layout, "bob carol dave eve", "readers = bob, carol\ncode = bob, carol, dave")
    return trials


def by(key: str, *commands: str, reason: str = "command-not-allowed", **fields: Any) -> list[JournalRecord]:
    more: dict[str, Any] = {"JAILSSH_KEY": key} if key else {}
    return [record(command, reason, **more, **fields) for command in commands]


def found_for(trials: Trials, *records: JournalRecord) -> suggest.Suggestion:
    return suggest.suggest(trials, suggest.group(records))


# learn.


def test_each_command_is_judged_by_the_key_that_sent_it(forge: Trials) -> None:
    command = FETCH.format("site")
    found = found_for(forge, *by("bob", command, command), *by("dave", command), *by("carol", PUSH.format("site")))
    assert [(each.key, each.count) for each in found.allowed] == [("bob", 2), ("carol", 1)]
    assert [change.raw for change in found.remedy.changes] == [("read site dave",)]
    assert found.needed["git", "rights"][0].key == "dave"
    lines = suggest.fragment(forge, found)
    assert lines[-2:] == [f"# additional lines of {TABLE}, which this file names:", "#   read site dave"]
    assert any(line.startswith("# requested once by dave, ") for line in lines)


def test_the_fewest_lines_and_the_group_as_the_other_way(forge: Trials) -> None:
    found = found_for(
        forge, *by("bob", FETCH.format("tool"), PUSH.format("tool.git")), *by("carol", FETCH.format("tool.git")),
        *by("dave", PUSH.format("tool"), FETCH.format("tool")), *by("eve", FETCH.format("tool")),
    )  # fmt: skip
    assert [change.raw for change in found.remedy.changes] == [("write tool bob dave", "read tool carol eve")]
    # No group has both carol and eve.
    assert [(each.line, each.instead_of, each.others) for each in found.for_groups] == [
        ("write tool @code", "write tool bob dave", ("carol",))
    ]
    text = "\n".join(suggest.fragment(forge, found))
    said = "or for the group code, which also gives it to carol: write tool @code (instead of: write tool bob dave)"
    assert f"#   {said}" in text
    assert "@all" not in text
    # Both ways were tried with the matcher, and neither gives more than that.
    for change in found.remedy.changes:
        for raw, carol in ((change.raw, False), (("write tool @code", "read tool carol eve"), True)):
            remedy = Remedy(changes=(suggest._with(found.remedy, change, raw).changes))
            for key, pushes in (("bob", True), ("carol", carol), ("dave", True), ("eve", False)):
                mine = forge.of(key)
                assert mine is not None
                assert mine.judge(remedy, FETCH.format("tool")).allowed
                assert mine.judge(remedy, PUSH.format("tool")).allowed is pushes, key


def test_a_whole_group_and_the_smallest_one(forge: Trials) -> None:
    found = found_for(forge, *by("carol", FETCH.format("doc")), *by("bob", FETCH.format("doc")))
    assert [str(each) for each in found.for_groups] == [
        "or for the group readers, which are all its keys: read doc @readers (instead of: read doc carol bob)"
    ]


def test_what_holds_for_all_keys_says_so(forge: Trials) -> None:
    found = found_for(forge, *by("bob", "uptime"), *by("dave", "uptime", "head -n 2"))
    assert found.impossible == []
    lines = suggest.fragment(forge, found)
    assert lines[lines.index('commands = uptime, "head -n 2"') - 1] == (
        "# this applies to every key of alice, not only to those above"
    )
    assert {each.key for each in found.needed["command", "commands"]} == {"bob", "dave"}
    assert "this applies to every key" not in "\n".join(
        suggest.fragment(forge, found_for(forge, *by("bob", FETCH.format("x"))))
    )  # fmt: skip


def test_nothing_is_suggested_for_who_is_not_there_and_for_limits(forge: Trials) -> None:
    command = FETCH.format("x")
    found = found_for(
        forge, *by("gone", command), *by("", command), *by("bob", PUSH.format("public"), reason="hours"),
        *by("dave", PUSH.format("site"), reason="no-such-repository"),
        *by("bob", PUSH.format("bob/x"), reason="repository-exists"),
        JournalRecord("s=2", 1.7e9, {**record(None, "sessions").fields, "JAILSSH_KEY": "bob"}),
    )  # fmt: skip
    why = [(each.key, text) for each, text in found.impossible]
    assert why[:3] == [
        ("gone", "the account no longer has this key"),
        ("", "the account is shared, and the record has no key name"),
        ("bob", "the account does not allow logins at this time; this is a limit, not a rule"),
    ]
    assert [key for key, _ in why[3:]] == ["bob", "bob"]
    assert "a file with the name of the repository already exists" in why[3][1]
    assert "session limit of the account is reached; this is a limit" in why[4][1]
    # What the matcher, by the text alone, denies too has a remedy.
    assert [change.raw for change in found.remedy.changes] == [("write site dave",)]


@pytest.mark.needs("root")
def test_learn_of_one_key(
    forge: Trials, layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(journal, "_journalctl", Journalctl(
        *by("bob", FETCH.format("x")), *by("dave", FETCH.format("x"), FETCH.format("y")))
    )  # fmt: skip
    learning.write(layout, Learning(1000, "alice", 1, LATER))

    def suggested(*argv: str) -> Any:
        assert run_learn(layout, monkeypatch, 2e9, "alice", "--suggest", "--json", *argv) == 0
        return json.loads(capsys.readouterr().out)

    found = suggested("--key", "bob")
    assert (found["key"], found["settings"][0]["value"], found["for_groups"]) == ("bob", ["read x bob"], [])
    found = suggested()
    assert found["settings"][0]["value"] == ["read x bob dave", "read y dave"]
    assert [each["line"] for each in found["for_groups"]] == ["read x @code"]
    assert {each["key"] for each in found["settings"][0]["asked"]} == {"bob", "dave"}
    run_learn(layout, monkeypatch, 2e9, "alice", "--suggest", "--key", "dave")
    out = capsys.readouterr().out
    assert out.startswith("# denied to alice, key dave, from ")
    with pytest.raises(UsageError, match="is not a named key of alice") as caught:
        suggested("--key", "bobb")
    assert caught.value.hint == "did you mean 'bob'?"
    with pytest.raises(UsageError, match="--key requires --suggest"):
        run_learn(layout, monkeypatch, 2e9, "alice", "--key", "bob")


@pytest.mark.needs("root")
def test_an_account_that_is_not_shared_has_no_keys_to_learn(
    configure: Callable[..., Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_for(configure("own"), *by("bob", "uptime"))
    assert "the account no longer has this key" in found.impossible[0][1]
    learning.write(layout, Learning(1000, "alice", 1, LATER))
    with pytest.raises(UsageError, match="alice is not a shared account"):
        run_learn(layout, monkeypatch, 2e9, "alice", "--suggest", "--key", "bob")


# explain.


def test_the_mount_is_the_keys_own(forge: Trials, layout: Layout) -> None:
    publish_keys(layout, forge, "bob", "carol")

    def places(key: str, command: str) -> list[tuple[str, str]]:
        found = explain.explain(layout, ENTRY, command, key)
        assert found.allowed
        assert f"{found.facts['paths'][0]['path']}: " in "\n".join(found.lines)
        return [(place["path"], place["rights"]) for place in found.facts["paths"]]

    assert places("carol", FETCH.format("site")) == [("/srv/forge/site", "read-write")]
    assert places("carol", PUSH.format("site.git")) == [("/srv/forge/site.git", "read-write")]
    assert places("carol", FETCH.format("public")) == [("/srv/forge/public", "read-only")]
    assert places("bob", FETCH.format("site")) == [("/srv/forge/site", "read-only")]
    denied = explain.explain(layout, ENTRY, PUSH.format("site"), "bob")
    assert not denied.allowed
    assert f"  {TABLE}: write site bob  (additional line)" in denied.lines


def test_what_runs_first_and_what_is_answered(forge: Trials, layout: Layout) -> None:
    publish_keys(layout, forge, "bob", "carol")
    found = explain.explain(layout, ENTRY, PUSH.format("bob/new"), "bob")
    assert found.lines[-1] == (
        "the repository does not exist yet; in a login, rule git.create creates it with: "
        "/usr/libexec/jailssh/jailssh-repos ensure /srv/forge/bob/new.git"
    )
    found = explain.explain(layout, ENTRY, PUSH.format("site"), "carol")
    assert found.lines[-1].startswith("but the repository does not exist, so a login is denied")
    found = explain.explain(layout, ENTRY, "git-lfs-authenticate x", "carol")
    assert found.facts["reason"] == "not-served"
    assert found.lines[1].startswith("message to the user: Git LFS is not available here")


def test_a_rule_that_logs_one_that_answers_and_one_with_a_first() -> None:
    rows = [("rule", "r", "p", "/bin/r"), ("word", "r"), ("operands", "1", "1", "new-repository"),
            ("first", "/bin/make"), ("first", "%p"), ("log",), ("alone",), ("rule", "a", "p", "/bin/a"), ("word", "a"),
            ("operands", "0", "0", "text"), ("answer", "0", "nothing to do")]  # fmt: skip
    records = tuple(ops.Record(verb, tuple(args)) for verb, *args in rows)
    plan = codec.Plan(1000, 1000, "alice", "0" * 16, records)
    verdict = matcher.Verdict(
        True, rule="r", plugin="p", program=JailPath("/bin/r"), path=JailPath("/srv/a b"), argv=("r", "/srv/a b")
    )
    facts, lines = explain._allowed(plan, verdict, [])
    assert lines == [
        "allowed by rule r of plugin p", "runs first: /bin/make '/srv/a b'", "runs /bin/r: r '/srv/a b'",
        "logs file operations to the journal", "cannot execute other programs after its start",
    ]  # fmt: skip
    assert (facts["first"], facts["log"], facts["answer"]) == (["/bin/make", "/srv/a b"], True, None)
    assert facts["alone"] is True
    facts, lines = explain._allowed(plan, matcher.Verdict(True, rule="a", plugin="p"), [])
    assert lines[1:] == ["runs nothing; the rule answers: nothing to do"]
    assert (facts["first"], facts["log"], facts["answer"]) == ([], False, "nothing to do")


LIMITED = ("max_sessions = 2\naddresses = 192.0.2.0/24\nhours = mon-fri 08:00-18:00\nmax_duration = 8h\n"
           "idle_timeout = 30m\nbandwidth = 512K\nnice = 5\nmax_sessions_per_key = 1\n")  # fmt: skip


def limited(configure: Callable[..., Trials], layout: Layout, of_account: str) -> Trials:
    trials = configure("own", f"plugins = sftp\n[limits]\n{LIMITED}")
    with Path(layout.users, "alice.conf").open("a") as file:
        file.write(f"[limits]\n{of_account}\n")
    return trials


def at(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr(explain, "time", SimpleNamespace(time=lambda: now))


def test_the_limits_in_force_are_those_of_the_account(
    configure: Callable[..., Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(layout, limited(configure, layout, "max_sessions = 7\nexpires = 2026-01-31"))
    at(monkeypatch, 1_700_000_000 + 12 * 3600)  # a Wednesday, before noon
    found = explain.explain(layout, ENTRY, "internal-sftp")
    assert found.lines[found.lines.index("limits:") :] == [
        "limits:",
        "  max_sessions: at most 7 of the account at a time",
        "  max_sessions_per_key: at most 1 of one key at a time",
        "  addresses: from 192.0.2.0/24 only",
        "  hours: mon-fri 08:00-18:00 only, local time",
        "  expires: 2026-01-31 is the last day",
        "  max_duration: a session ends after 8h",
        "  idle_timeout: a session ends after 30m without traffic",
        "  bandwidth: 512 KiB per second in each direction",
        "  nice: 5",
    ]
    assert (found.facts["limits"]["nice"], found.facts["limited_now"]) == ("5", None)


@pytest.mark.parametrize(
    ("now", "reason", "said"),
    [
        (1_800_000_000, "expired", ["fri 2027-01-15 ", "account expired; last valid day: 2026-01-31",
                                    "[limits] expires = 2026-01-31  ({users}/alice.conf:4): change it there, then: "]),
        (1_700_000_000 + 3 * 86400, "hours",
         ["fri 2023-11-17 22:13: login not allowed at this time",
          '[limits] hours = "mon-fri 08:00-18:00"  ({jails}/own.conf:5): change it there, or for this account alone in '
          "{users}/alice.conf, section [limits], then: jailssh apply"]),
    ],
)  # fmt: skip
def test_a_limit_that_denies_now_is_noted(
    configure: Callable[..., Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch,
    now: int, reason: str, said: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("jailssh.jail.definition.local_offsets", lambda _: ((0, 0),))
    publish(layout, limited(configure, layout, "expires = 2026-01-31"))
    at(monkeypatch, now)
    found = explain.explain(layout, ENTRY, "internal-sftp")
    assert found.allowed
    assert found.facts["limited_now"]["reason"] == reason
    text = "\n".join(found.lines[-2:])
    missing = [part for part in said if part.format(users=layout.users, jails=layout.jails) not in text]
    assert missing == [], text


# The reasons that only a record tells.

END = {"JAILSSH_EVENT": "session-end"}
REFUSED = {"JAILSSH_EVENT": "refused"}
PEER = {"JAILSSH_PEER": "203.0.113.9 4000 192.0.2.1 22"}
OWN = "{jails}/own.conf"
REASONS: list[tuple[str, str | None, dict[str, str], list[str]]] = [
    ("name", None, REFUSED, ["for an account with another name", "jailssh apply --gone", "jailssh adduser alice"]),
    ("key-unknown", None, REFUSED, ["without a named key", "jailssh keys add alice NAME FILE", ": not recorded"]),
    ("key-ambiguous", None, REFUSED, ["several keys in one login", "{rings}/alice/NAME.pub, a line each"]),
    ("maintenance", None, {}, ["allowed no new logins then", "jailssh unlock --no-new-logins"]),
    ("not-listed", None, {}, ["not in 'enter' of that jail", "put alice into 'enter'"]),
    ("sessions", None, {}, ["[limits] max_sessions = 7  ({users}/alice.conf:4): change it there", ": not recorded"]),
    ("sessions-of-key", None, {}, [f"[limits] max_sessions_per_key = 1  ({OWN}:10): change it there, then: jail"]),
    ("address", "internal-sftp", PEER, ["came from 203.0.113.9\n", f"[limits] addresses = 192.0.2.0/24  ({OWN}:4)"]),
    ("hours", "internal-sftp", {}, ["at tue 2023-11-14 22:13\n", f'hours = "mon-fri 08:00-18:00"  ({OWN}:5)']),
    ("expired", "internal-sftp", {}, ["at tue 2023-11-14 22:13\n", "[limits] expires is empty in the"]),
    ("duration", "internal-sftp", END, ["its maximum duration", f"[limits] max_duration = 8h  ({OWN}:6): change it"]),
    ("idle", "internal-sftp", END, ["without traffic\n", f"[limits] idle_timeout = 30m  ({OWN}:7): change it there"]),
    ("no-such-repository", "git-upload-pack x", {}, ["it is not a git repository", "git init --bare, as alice"]),
    ("repository-exists", "git-receive-pack x", {}, ["is already in use", "move it away"]),
    ("repository-name", "git-receive-pack x/-y", {}, ["begins with a dot or a dash", "rename the repository"]),
    ("not-served", "git-lfs-authenticate x", {}, ["denies such commands", "nothing to do, unless"]),
    ("first-failed", "git-receive-pack x", REFUSED, ["as the account, failed", "check that alice can write"]),
]  # fmt: skip


def test_every_such_reason_is_here() -> None:
    told = {reason for reason, *_ in REASONS}
    assert told == set(reasons._HAPPENED) == {*reasons.LIMITS, *reasons._CURE}


@pytest.mark.parametrize(("reason", "command", "fields", "said"), REASONS, ids=[row[0] for row in REASONS])
def test_what_a_record_tells(
    configure: Callable[..., Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], reason: str, command: str | None, fields: dict[str, Any], said: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("jailssh.jail.definition.local_offsets", lambda _: ((0, 0),))
    plan = publish(layout, limited(configure, layout, "max_sessions = 7"))
    rows = [record(command, reason, JAILSSH_PLAN=plan.serial, **fields)]
    if fields == END:
        start = {name: value for name, value in rows[0].fields.items() if name != "JAILSSH_REASON"}
        rows.insert(0, JournalRecord("s=0", 1.69e9, {**start, "JAILSSH_EVENT": "session-start"}))
    monkeypatch.setattr(journal, "_journalctl", Journalctl(*rows))
    code = run_explain(layout, monkeypatch, "--from-journal", "3f9a1c07")
    out = capsys.readouterr().out
    wanted = [part.format(users=layout.users, jails=layout.jails, rings=layout.key_rings) for part in said]
    assert [part for part in wanted if part not in out] == [], out
    assert "depends on the login itself" not in out
    assert run_explain(layout, monkeypatch, "--json", "--from-journal", "3f9a1c07") == code
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["happened"]) == 2
    assert facts["record"]["ended"] == (reason if fields == END else None)
    if fields == REFUSED:
        assert (code, facts["now"]) == (1, None)
    elif reason in reasons.WITHOUT_COMMAND:
        assert (code, facts["now"]) == (3, None)
    else:
        assert code == (0 if command == "internal-sftp" else 3)


def test_a_record_of_a_key_that_has_gone_is_told(
    forge: Trials, layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_keys(layout, forge, "bob")
    monkeypatch.setattr(journal, "_journalctl", Journalctl(*by("mallory", FETCH.format("site"), reason="hours")))
    assert run_explain(layout, monkeypatch, "--from-journal", "3f9a1c07") == 3
    out = capsys.readouterr().out
    assert "of alice, key mallory: denied (hours: " in out
    assert "account alice does not have this key" in out
