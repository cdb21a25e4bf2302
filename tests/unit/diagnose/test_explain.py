"""explain without a host: made-up plans, configurations and journal records, and the real matcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.core.errors import ConfigError, HostError, JailsshError, UsageError
from jailssh.core.names import JailPath
from jailssh.diagnose import explain
from jailssh.diagnose.trials import Remedy, Trials
from jailssh.host import journal, matcher
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration
from jailssh.plan import codec, ops
from jailssh.plan.places import paths_of, place_of, rule_environment
from tests.login import jails
from tests.unit.explain_tools import (
    ENTRY,
    PUSH,
    Journalctl,
    configure,
    layout,
    needs_matcher,
    publish,
    record,
    run_explain,
)

__all__ = ["configure", "layout"]

# Places and paths.


def test_a_path_lands_in_the_deepest_mount_and_the_last_at_one_place() -> None:
    rows = [
        ("jail", "j"), ("home", "/home/alice"), ("message", "m"), ("net", "none"), ("pty", "no"), ("image", "/i"),
        ("tmpfs", "/home", "65536", "755", "ro", "noexec"), ("tmpfs", "/tmp", "9", "1777", "rw", "exec"), ("dev",),
        ("bind", "/srv/git", "/srv/git", "ro", "noexec", "root", "optional"),
        ("bind", "/home/alice", "/home/alice", "rw", "noexec", "user", "must"), ("mask", "/home/alice/.ssh"),
        ("seccomp", "x", "0" * 16), ("rule", "r", "p", "/bin/x"), ("word", "x"), ("operands", "0", "0", "text"),
    ]  # fmt: skip
    records = tuple(ops.Record(verb, tuple(args)) for verb, *args in rows)
    plan = codec.Plan(1000, 1000, "alice", "0" * 16, records)
    codec.check_plan(plan)
    assert str(place_of(plan, JailPath("/home/alice/x"))) == "/home/alice/x: home, read-write"
    assert place_of(plan, JailPath("/home/alice/.ssh/id")).what == "hidden"
    assert place_of(plan, JailPath("/home/alice/.sshx")).what == "home"
    assert str(place_of(plan, JailPath("/srv/git/x"))) == "/srv/git/x: /srv/git of this host (if it exists), read-only"
    assert place_of(plan, JailPath("/home/bob")).what == "only the path to other mounts"
    tmp, usr = place_of(plan, JailPath("/tmp/x")), place_of(plan, JailPath("/usr/bin"))
    assert (tmp.rights, tmp.executable) == ("read-write", True)
    assert (usr.what, usr.rights) == ("the jail's image", "read-only")
    assert place_of(plan, JailPath("/dev/null")).what == "the jail's own devices"


@pytest.mark.parametrize(
    ("argv", "paths"),
    [
        ("rsync --server --sender -logDtpre.iLsfxC . x /srv/y", ["/home/alice/x", "/srv/y"]),
        ("rsync --server -e.iLs --temp-dir=/home/alice/t --backup-dir rel . ~/x/", ["/home/alice/t", "/home/alice/x"]),
        ("rsync --server -B 1024 --suffix . --delete . .", ["/home/alice"]),
        ("rsync --server -B1024 --suffix=/no -vn . //srv//./z/", ["/srv/z"]),
    ],
)
def test_paths_among_the_words_of_a_command(argv: str, paths: list[str]) -> None:
    words = argv.split()
    rule = "rsync.pull" if "--sender" in words else "rsync.push"
    assert paths_of(jails.plan_of("all"), rule, words) == paths


def test_a_rule_without_paths_has_none_and_its_environment_takes_the_path() -> None:
    plan = jails.plan_of("all")
    assert paths_of(plan, "sftp.server", ["sftp-server", "/etc/passwd"]) == []
    found = rule_environment(plan, "git.upload-pack", JailPath("/srv/git/x"))
    assert found["GIT_CONFIG_NOSYSTEM"] == "1"
    assert "/srv/git/x/.git" in found.values()
    assert rule_environment(plan, "nothing", JailPath("")) == {}


def test_the_matcher_s_fields_are_read_back() -> None:
    found = matcher.read_verdict("allow\0r\0p\0/bin/x\0\0x\0a\nb\0\0")
    assert (found.rule, found.path, found.argv) == ("r", "", ("x", "a\nb", ""))
    found = matcher.read_verdict("deny\0word-missing\0\0\0word x\0a\0")
    assert (found.allowed, found.reason, found.rule, found.words) == (False, "word-missing", "", ("a",))


def test_without_the_matcher_it_is_the_host_that_lacks_something(layout: Layout) -> None:
    with pytest.raises(HostError, match="not installed"):
        matcher.judge(layout, b"", None)


# explain.


@needs_matcher
def test_explain_an_allowed_command(configure: Callable[..., Trials], layout: Layout) -> None:
    publish(layout, configure("own"))
    found = explain.explain(layout, ENTRY, "rsync --server -e.iLs . 'in/a b'")
    assert found.allowed
    assert found.facts["argv"] == ["rsync", "--server", "-e.iLs", ".", "in/a b"]
    assert found.lines == [
        "allowed by rule rsync.push of plugin rsync",
        "runs /usr/bin/rsync: rsync --server -e.iLs . 'in/a b'",
        "with HOME=/",
        "/home/alice/in/a b: /home/alice/in of this host, read-write",
    ]
    assert found.facts["paths"][0] == {
        "path": "/home/alice/in/a b", "what": "/home/alice/in of this host", "rights": "read-write", "executable": False
    }  # fmt: skip
    json.dumps(found.facts)


@needs_matcher
@pytest.mark.parametrize(
    ("command", "reason", "said"),
    [
        (PUSH.format("--delete", "in"), "option-not-allowed",
         ["nearest rule: rsync.push", "option '--delete'", "[rsync] delete = yes  (now: no, ", "own.conf:7)"]),
        (PUSH.format("-v", "/srv/x"), "path-outside",
         ["allowed directories: /home/alice/in", "rejected: path '/srv/x'\n", "[rsync] write = ~/in, /srv"]),
        ("borg serve", "command-not-allowed",
         ["takes 'borg'; to allow it with plugin borg, set:", "plugins = borg git rsync", "is a guess"]),
        ("report --days 7", "command-not-allowed",
         ["no plugin takes 'report'", "a line of the plugin command allows it", 'commands = "report --days 7"  (new)']),
        ("nowhere x", "command-not-allowed", ["nowhere is not a program on this host"]),
        ("id;ls", "shell-metacharacter", ["rejected: character ';'\n", "no setting allows it", "(plugin shell)"]),
        ("git-receive-pack /srv/x", "not-served",
         ["pushing is not allowed", "plugin git can allow it, but [git] read: /srv is"]),
        ("rsync --daemon", "word-missing", ["plugin rsync takes such commands, but no setting allows this one"]),
        (None, "not-interactive", ["to allow it with plugin shell, set:", "the allow-list has no effect"]),
    ],
)  # fmt: skip
def test_explain_a_denial(
    configure: Callable[..., Trials], layout: Layout, command: str | None, reason: str, said: list[str]
) -> None:
    publish(layout, configure("own"))
    found = explain.explain(layout, ENTRY, command)
    text = "\n".join(found.lines)
    assert (found.allowed, found.facts["reason"]) == (False, reason)
    assert [part for part in said if part not in text] == [], text


@needs_matcher
def test_explain_beside_the_administrator_s_own_lines(configure: Callable[..., Trials], layout: Layout) -> None:
    publish(layout, configure("own", own='plugins = command\n[command]\ncommands = "head -n <int:1:5>", "id"\n'))
    advice = explain.explain(layout, ENTRY, "head -n 9").facts["advice"]
    assert advice[0].startswith(
        "a line of the plugin command cannot allow it: rules command.1.head and command.3.head: both claim"
    )
    advice = explain.explain(layout, ENTRY, "wc -c").facts["advice"]
    assert advice[:2] == ["no plugin takes 'wc'", "a line of the plugin command allows it:"]
    assert '  [command] commands = "head -n <int:1:5>", id, "wc -c"  (now: ' in advice[2]


@needs_matcher
def test_explain_follows_plan_and_configuration(configure: Callable[..., Trials], layout: Layout) -> None:
    with pytest.raises(JailsshError, match="does not exist yet"):
        configure("own")
        explain.explain(layout, ENTRY, None)
    publish(layout, configure("own"))
    configure("scp")
    assert explain.explain(layout, ENTRY, "scp -t x").facts["advice"] == [
        "the configuration allows it; to publish it: jailssh apply"
    ]
    Path(layout.users, "alice.conf").unlink()
    assert "no longer in a jail" in explain.explain(layout, ENTRY, "scp -t x").lines[-1]
    Path(layout.plans, "1000").unlink()
    with pytest.raises(JailsshError, match="is not in a jail"):
        explain.explain(layout, ENTRY, None)


@needs_matcher
def test_explain_with_a_broken_configuration_still_says_the_decision(
    configure: Callable[..., Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(layout, configure("own"))

    def broken(_: Layout) -> Configuration:
        raise ConfigError("own.conf:1", "unknown setting x")

    monkeypatch.setattr(explain, "load_configuration", broken)
    found = explain.explain(layout, ENTRY, "id")
    assert found.facts["reason"] == "command-not-allowed"
    assert "the configuration is wrong" in found.lines[-1]


# The journal.


def test_a_record_of_journalctl() -> None:
    row = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1700000000500000", "JAILSSH_UID": "1000", "_UID": "1000",
           "JAILSSH_COMMAND": list(b"a\\x0ab \xc3\\x80 \\x41 \xff"), "JAILSSH_RULE": ["two", "values"]}  # fmt: skip
    found = journal.parse(row)
    assert (found.cursor, found.time, found.genuine, found.cut_short) == ("s=1", 1700000000.5, True, False)
    assert found.command() == b"a\nb \xc3\x80 \\x41 \xff".decode("utf-8", "surrogateescape")
    assert found.get("JAILSSH_RULE") == ""
    assert journal.parse({"JAILSSH_UID": "1000"}).command() is None
    assert record("x" * 4096).cut_short


def test_nothing_in_a_record_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = json.dumps({**record("id", JAILSSH_UID="0", _UID="0").fields})
    wanted = [record(f"x {end}{forged}{end}").fields for end in ("\u2028", "\u2029", "\x85")]
    # As journalctl(1) writes it: what can be printed as it is.
    said = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in wanted)
    monkeypatch.setattr(journal, "_journalctl", lambda *_: said)
    assert [one.fields for one in journal.read({})] == wanted


@pytest.mark.parametrize(("sender", "genuine"), [("0", True), ("1000", True), ("1001", False), ("", False)])
def test_only_root_and_the_account_itself_are_believed(sender: str, genuine: bool) -> None:
    assert record("x", _UID=sender).genuine is genuine


def test_a_login_is_found_by_id_reference_and_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = record("x"), record("y", JAILSSH_SESSION="3f9a1c0766aa0002")
    forged = record("z", JAILSSH_SESSION="ffffffff00000000", _UID="1001")
    monkeypatch.setattr(journal, "_journalctl", Journalctl(one, two, forged))
    for which in ("3f9a1c0755aa0001", "3f9a1c075", one.cursor):
        assert [each.command() for each in journal.find_login(which)] == ["x"]
    for which, why in (
        ("3f9a1c07", "is ambiguous"),
        ("ffffffff", "no record"),
        ("00000000", "no record"),
        ("s=2", "cursor"),
    ):
        with pytest.raises(JailsshError, match=why):
            journal.find_login(which)
    for which in ("3f9a1c0", "--root", "3F9A1C07", ""):
        with pytest.raises(UsageError):
            journal.find_login(which)


def test_times_are_exact_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_journalctl", Journalctl(*(record("x", time=10 + n / 4) for n in range(8))))
    found = journal.read({"JAILSSH_UID": "1000"}, since=10.5, until=11.25)
    assert [one.time for one in found] == [10.5, 10.75, 11.0, 11.25]


@needs_matcher
@pytest.mark.parametrize(
    ("one", "code", "said"),
    [
        (record("id;ls", "shell-metacharacter"), 3, ["(shell-metacharacter: ", "requested: id;ls", "character ';'"]),
        (record(None, "not-interactive"), 3, ["requested: an interactive login", "with plugin shell, set:"]),
        (record("rsync --server -e.i . in", "path-leaves-root"), 0, ["depends on the login itself: symbolic links"]),
        (record("scp -t x", JAILSSH_PLAN="0" * 16), 3, ["the plan has changed since; result now:"]),
        (record("x" * 4096), 3, ["only the beginning of the command"]),
        (record(None, "source", JAILSSH_EVENT="refused", MESSAGE="login refused (source): /srv\t"), 1,
         ["refused (source: ", "login refused (source): /srv\\x09"]),
        (record("x", JAILSSH_UID="1001", _UID="0"), 3, ["uid 1001 (account no longer exists)"]),
    ],
)  # fmt: skip
def test_explain_from_the_journal(
    configure: Callable[..., Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], one: JournalRecord, code: int, said: list[str],
) -> None:  # fmt: skip
    plan = publish(layout, configure("own"))
    one = JournalRecord(one.cursor, one.time, {"JAILSSH_PLAN": plan.serial, **one.fields})
    monkeypatch.setattr(journal, "_journalctl", Journalctl(one))
    assert run_explain(layout, monkeypatch, "--from-journal", "3f9a1c07") == code
    out = capsys.readouterr().out
    assert [part for part in said if part not in out] == [], out
    assert run_explain(layout, monkeypatch, "--json", "--from-journal", "3f9a1c07") == code
    assert json.loads(capsys.readouterr().out)["record"]["session"] == "3f9a1c0755aa0001"


def test_explain_takes_an_account_or_a_record(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in ([], ["alice", "--from-journal", "3f9a1c07"], ["--from-journal", "3f9a1c07", "--", "id"]):
        with pytest.raises(UsageError):
            run_explain(layout, monkeypatch, *argv)


@needs_matcher
def test_a_backslash_of_the_user_makes_no_nul(configure: Callable[[str], Trials]) -> None:
    """A command has none, and no program can be asked about one."""
    asked = record("id \\x00 \\x01")
    assert asked.command() == "id \\x00 \x01"
    assert not configure("own").judge(Remedy(), asked.command()).allowed


@needs_matcher
@pytest.mark.parametrize("field", ["EVENT", "PEER", "KEY", "RULE", "PLAN", "ENTERED", "REFERENCE", "COMMAND"])
def test_nothing_in_a_record_reaches_the_terminal(
    configure: Callable[[str], Trials], layout: Layout, monkeypatch: pytest.MonkeyPatch, field: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    publish(layout, configure("own"))
    forged = record("x", "address", MESSAGE="\x1b[2J")
    fields = {**forged.fields, f"JAILSSH_{field}": "\x1b]0;x\x07\x9b2J\u202e"}
    monkeypatch.setattr(journal, "_journalctl", Journalctl(JournalRecord(forged.cursor, forged.time, fields)))
    run_explain(layout, monkeypatch, "--from-journal", "3f9a1c0755aa0001")
    assert capsys.readouterr().out.replace("\n", "").isprintable()
