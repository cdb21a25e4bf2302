"""What doctor concludes from facts: no host is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from jailssh.core.errors import HostError
from jailssh.core.journal_fields import COMMAND, EVENT, PEER, REASON, SESSION, UID, USER, Event
from jailssh.doctor import account, home, keys, limits, mounts, pam, past, security, server
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault, Result, Step
from jailssh.doctor.walk import STEPS, walk
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry, PasswordAges
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from jailssh.plan.compile import Access
from jailssh.services import sshd
from jailssh.services.pam_account import PamAnswer, PamLine, asks_for_more
from tests.harness.source import REPO

ENTRY = AccountEntry(
    "alice", 1001, 1001, group="alice", home="/home/alice", shell="/x", gecos="", groups=(("alice", 1001),)
)
AGES = PasswordAges(locked=False, changed=20000, most=99999, inactive=None, expires=None)
STATE = account.StateFacts("alice", AGES, 20500, True)


def whys(found: list[Fault]) -> list[str]:
    return [fault.why for fault in found]


def test_a_shared_uid_is_a_note() -> None:
    (found,) = account.judge_name(account.NameFacts("alice", ENTRY, None, ("bob",)))
    assert (found.wrong, found.why) == (False, "shares uid 1001 with bob: a uid has one jail")


def test_a_name_that_the_service_writes_otherwise() -> None:
    (found,) = account.judge_name(account.NameFacts("Alice", ENTRY))
    assert (found.why, found.cure) == ("is called 'alice' by the name service", "jailssh doctor alice")


@pytest.mark.parametrize(
    ("ages", "uses_pam", "why"),
    [
        (AGES, True, None),
        (replace(AGES, expires=20501), True, None),
        (replace(AGES, expires=20500), True, "expired on 2026-02-16 (shadow)"),
        (replace(AGES, changed=0), True, "must change its password at the next login, which a jail does not allow"),
        (replace(AGES, most=500), True, None),
        (replace(AGES, most=499), True, "password expired on 2026-02-15, and a jail does not allow to change it"),
        (replace(AGES, changed=None, most=1), True, None),
        (replace(AGES, locked=True), True, None),
        (replace(AGES, locked=True), False,
         "password is locked with '!', and without UsePAM sshd refuses its keys too"),
        (replace(AGES, expires=0, changed=0), True, "expired on 1970-01-01 (shadow)"),
    ],
)  # fmt: skip
def test_the_state_of_a_password(ages: PasswordAges, uses_pam: bool, why: str | None) -> None:
    found = account.judge_state(replace(STATE, ages=ages, uses_pam=uses_pam))
    assert whys(found)[:1] == ([] if why is None else [why])


def test_a_day_that_no_calendar_has() -> None:
    found = account.judge_state(replace(STATE, ages=replace(AGES, expires=2**62), today=2**63))[0]
    assert found.why == f"expired on day {2**62} (shadow)"


def test_shell_of_a_directory_is_set_there() -> None:
    (found,) = account.judge_shell(account.ShellFacts("alice", "/bin/sh", "/jail", local=False))
    assert found.cure == "set it in the directory service (SSSD: override_shell)"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, ""),
        ({"denyusers": ["bob"]}, ""),
        ({"denyusers": ["bob", "al?ce"]}, "DenyUsers al?ce"),
        # From one host alone: a login from elsewhere works.
        ({"denyusers": ["alice@10.0.0.1"]}, ""),
        ({"allowusers": ["alice@10.0.0.1"]}, ""),
        ({"allowusers": ["bob@10.0.0.1"]}, "AllowUsers bob@10.0.0.1"),
        ({"allowusers": ["bob al*"]}, ""),
        # sshd has no classes of characters.
        ({"allowusers": ["[a]lice"]}, "AllowUsers [a]lice"),
        ({"denygroups": ["staff"]}, "DenyGroups staff"),
        ({"allowgroups": ["wheel adm"]}, "AllowGroups wheel adm"),
        ({"allowgroups": ["*"]}, ""),
        ({"allowusers": ["bob"], "denygroups": ["staff"]}, "AllowUsers bob"),
    ],
)
def test_lists_of_sshd(values: dict[str, list[str]], why: str) -> None:
    assert sshd.kept_out(values, "alice", ("alice", "staff")) == why


METHODS = server.AnswerFacts("alice", {"pubkeyauthentication": ["yes"]}, (), answers=False, revoked="")


@pytest.mark.parametrize(
    ("values", "answers", "wrong"),
    [
        ({}, False, False),
        ({"authenticationmethods": ["publickey"]}, False, False),
        ({"authenticationmethods": ["publickey,password publickey"]}, False, False),
        ({"authenticationmethods": ["publickey,password"], "passwordauthentication": ["yes"]}, False, True),
        ({"authenticationmethods": ["publickey,password"], "passwordauthentication": ["yes"]}, True, False),
        ({"authenticationmethods": ["publickey,keyboard-interactive:pam"], "kbdinteractiveauthentication": ["yes"]},
         True, False),
        ({"pubkeyauthentication": ["no"], "passwordauthentication": ["yes"]}, False, True),
        ({"maxsessions": ["0"]}, False, True),
    ],
)  # fmt: skip
def test_methods(values: dict[str, list[str]], answers: bool, wrong: bool) -> None:
    facts = replace(METHODS, values={**METHODS.values, **values}, answers=answers)
    assert any(fault.wrong for fault in server.judge_methods(facts)) == wrong


@pytest.mark.parametrize(
    ("auth", "more"),
    [
        (("pam_unix.so", "pam_deny.so", "pam_permit.so"), False),
        (("pam_unix.so", "pam_google_authenticator.so"), True),
        (("pam_sss.so", "/lib/security/pam_unix.so"), True),
        ((), False),
    ],
)
def test_what_pam_asks_for(auth: tuple[str, ...], more: bool) -> None:
    lines = [PamLine("sshd", "auth", "required", module, optional=False) for module in auth]
    other = PamLine("sshd", "session", "required", "pam_google_authenticator.so", optional=False)
    assert asks_for_more([*lines, other]) == more


def test_password_alone_is_a_note() -> None:
    values = {"pubkeyauthentication": ["no"], "passwordauthentication": ["yes"]}
    (found,) = server.judge_methods(replace(METHODS, values=values, answers=True))
    assert (found.wrong, found.why) == (False, "PubkeyAuthentication is off: keys do not count, only the password")


def test_a_socket_unit_listens_for_sshd() -> None:
    facts = server.RunningFacts(0, (22, 2222), frozenset((25, 2222)), systemd=True)
    assert server.judge_running(facts) == []
    (found,) = server.judge_running(replace(facts, open=frozenset((25,))))
    assert (found.why, found.cure) == ("no process listens on port 22, 2222", "systemctl enable --now ssh")


def test_no_host_keys() -> None:
    (found,) = server.judge_answer(HostError("sshd -T", "sshd: no hostkeys available -- exiting."))
    assert found.cure == "ssh-keygen -A"


BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"
FILE = keys.KeyFile(
    "/etc/jailssh/keys/alice", True, f"ssh-ed25519 {BLOB} a\n", "",
    (keys.Place("/etc/jailssh/keys/alice", 0, 0o100644), keys.Place("/etc/jailssh/keys", 0, 0o40755)),
)  # fmt: skip
KEYS = keys.KeyFacts(
    "alice", 1001, (FILE,), strict=True, algorithms=frozenset(("ssh-ed25519", "rsa-sha2-512")), other_ways=False,
    tickets=False, now="20260101000000", shared=False,
)  # fmt: skip
RSA = "AAAAB3NzaC1yc2EAAAADAQABAAAAgQ=="


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"restrict,pty ssh-ed25519 {BLOB} a\n", ""),
        (f"\r\n# x\n\tssh-ed25519 {BLOB}\r\n", ""),
        # One that works is enough.
        (f"frob\nssh-ed25519 {BLOB}\n", ""),
        (f'expiry-time="20260101" ssh-ed25519 {BLOB}\n', "every key in it has expired (expiry-time)"),
        (f'expiry-time="20260102" ssh-ed25519 {BLOB}\n', ""),
        (f'expiry-time="20250101Z" ssh-ed25519 {BLOB}\n', ""),
        ("", "contains no key"),
        (f"ssh-rsa {RSA}\n", ""),
        ("ssh-ed25519\n", "contains no key that sshd can read: line 1 is not one"),
        (f"ssh-rsa {BLOB}\n", "contains no key that sshd can read: line 1 is not one"),
        ("\nssh-ed25519 AAAA$$ \x1b[31m\udcff\n", "contains no key that sshd can read: line 2 is not one"),
    ],
)
def test_lines_of_keys(text: str, why: str) -> None:
    found = keys.judge(replace(KEYS, files=(replace(FILE, text=text),)))
    assert whys(found) == ([why] if why else [])


@pytest.mark.parametrize(
    ("has", "why"),
    [
        ({"directory": f'from="192.0.2.1" ssh-ed25519 {BLOB}\n'}, ""),
        ({"directory": ""}, "contains no key"),
        ({"directory": f'expiry-time="20260101" ssh-ed25519 {BLOB}\n'}, "every key in it has expired (expiry-time)"),
        ({"directory": "", "unanswered": "Error looking up public keys"},
         "gives no keys of alice: Error looking up public keys"),
    ],
)  # fmt: skip
def test_keys_of_a_directory(has: dict[str, str], why: str) -> None:
    facts = replace(KEYS, files=(replace(FILE, text=None),), **has)  # type: ignore[arg-type]
    assert whys(keys.judge(facts)) == ([why] if why else [])
    # A key in the file is enough, and what the directory lacks is told.
    (told,) = keys.judge(replace(facts, files=(FILE,))) or (None,)
    assert (told.why if told else "") == why
    assert told is None or not told.wrong


def test_places_of_keys() -> None:
    def judged(*chain: keys.Place, strict: bool = True) -> list[str]:
        return whys(keys.judge(replace(KEYS, files=(replace(FILE, chain=chain),), strict=strict)))

    first, above = FILE.chain
    bad = "others can write to it (mode 0775), so sshd takes no key below it (StrictModes)"
    assert judged(first, replace(above, mode=0o40775)) == [bad]
    assert judged(first, replace(above, mode=0o40775), strict=False) == []
    assert judged(replace(first, uid=1001), above) == []
    assert judged(replace(first, uid=1002), above) == ["belongs to uid 1002, so sshd takes no key in it (StrictModes)"]


def test_a_group_of_the_account_alone_may_write_where_debian_s_sshd_lets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "debian_version").touch()
    members = ["alice"]
    monkeypatch.setattr(keys, "_DEBIAN", str(tmp_path / "debian_version"))
    monkeypatch.setattr(accounts, "members", lambda _group: members)
    place = keys.Place("/home/alice/.ssh", 1001, 0o40775, ENTRY.gid)

    def judged(place: keys.Place) -> list[str]:
        file = replace(FILE, chain=(place,))
        return whys(keys.judge(replace(KEYS, files=(file,), own_group=keys._own_group(ENTRY))))

    assert judged(place) == []
    assert len(judged(replace(place, gid=5))) == len(judged(replace(place, mode=0o40757))) == 1
    members.append("bob")
    assert len(judged(place)) == 1
    members.remove("bob")
    (tmp_path / "debian_version").unlink()
    assert len(judged(place)) == 1


def test_what_is_wrong_with_keys_is_a_note_where_another_way_is_left() -> None:
    bad = replace(FILE, text=None, trouble="permission denied")
    (found,) = keys.judge(replace(KEYS, files=(bad,), other_ways=True))
    assert not found.wrong
    (found,) = keys.judge(replace(KEYS, files=(bad, replace(FILE, path="/home/alice/.ssh/authorized_keys"))))
    assert not found.wrong
    assert keys.judge(replace(KEYS, files=(), other_ways=True)) == []


def test_without_a_key_tickets_may_let_in() -> None:
    (found,) = keys.judge(replace(KEYS, files=(), tickets=True))
    assert not found.wrong
    assert found.why.endswith("no password that sshd takes: nobody logs in without a ticket of Kerberos")
    (found,) = keys.judge(replace(KEYS, files=()))
    assert found.wrong
    (found,) = keys.judge(replace(KEYS, files=(), shared=True))
    assert (found.wrong, found.cure) == (True, "jailssh keys add alice NAME FILE")


PAM = pam.PamFacts(
    "alice", 3.0, "/etc/pam.d/sshd", PamAnswer(0, "PAM_SUCCESS", ()), hangs=False, crashed="", modules=(), missing=(),
    empty=False, rules=(),
)  # fmt: skip


def test_what_pam_says() -> None:
    assert pam.judge(None) == pam.judge(PAM) == []
    denied = replace(PAM, answer=PamAnswer(6, "PAM_PERM_DENIED", ("go \x1b[31maway",)))
    (found,) = pam.judge(replace(denied, modules=(("/etc/pam.d/sshd", "pam_access.so"),), rules=("/etc/a.conf",)))
    assert found.why == "a module denies the account (PAM_PERM_DENIED): go \\x1b[31maway"
    assert found.cure == "look at: pam_access.so in /etc/pam.d/sshd; rules: /etc/a.conf"
    (found,) = pam.judge(replace(PAM, answer=PamAnswer(99, "99", ())))
    assert found.why == "a module fails (99)"
    # One that is missing and not needed keeps nobody out.
    lost = (("/etc/pam.d/sshd", "pam_frob.so"),)
    (found,) = pam.judge(replace(PAM, missing=lost))
    assert not found.wrong
    (found,) = pam.judge(replace(denied, missing=lost))
    assert found.wrong
    assert found.what == "/etc/pam.d/sshd"


def test_the_rules_are_those_of_the_modules_that_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isfile", lambda path: path.startswith("/etc/security/"))
    assert pam._rules([("/etc/pam.d/sshd", "pam_nologin.so")]) == ()
    both = [("/etc/pam.d/sshd", "pam_time.so"), ("/etc/pam.d/sshd", "/lib/security/pam_access.so")]
    assert pam._rules(both) == ("/etc/security/access.conf", "/etc/security/time.conf")


@pytest.mark.parametrize(
    ("path", "point"),
    [("/home/alice", "/home"), ("/homes/alice", "/"), ("/home", "/home"), ("/srv/a/b", "/srv/a")],
)
def test_mount_points_by_whole_names(path: str, point: str) -> None:
    assert mounts.mount_of(path, ["/", "/home", "/srv", "/srv/a"]) == point


def test_flags_of_mounts() -> None:
    fact = mounts.MountFact("jail git", "/srv/git", frozenset(("read-only",)), frozenset(("noexec",)), "/srv")
    assert mounts.judge([fact]) == []
    (found,) = mounts.judge([replace(fact, state=frozenset(("read-only", "noexec")))])
    assert (found.what, found.why) == ("jail git", "/srv/git is on /srv, which is mounted read-only")
    (found,) = mounts.judge([replace(fact, state=frozenset(("missing",)))])
    assert (found.what, found.why) == ("jail git", "'/srv/git' is not a directory")


HOME = home.HomeFacts("alice", 1001, "/home/alice", needed=True, writable=True, owner=1001, mode=0o700)


def test_homes() -> None:
    assert home.judge(HOME) == []
    (found,) = home.judge(replace(HOME, full="disk quota exceeded"))
    assert (found.wrong, found.why) == (True, "/home/alice: disk quota exceeded")
    # Who only reads does not need space.
    assert home.judge(replace(HOME, full="disk quota exceeded", writable=False)) == []
    (found,) = home.judge(replace(HOME, exists=False, needed=False))
    assert not found.wrong
    (found,) = home.judge(replace(HOME, unreachable="no answer within 3 seconds", mounted_at="/home"))
    assert found.cure == "umount --lazy /home && mount /home"


def test_limits_are_told_once_for_all_keys_and_by_name_for_some() -> None:
    access = Access(expires=10)
    cures = {"expired": "later", "hours": "h", "sessions": "s", "sessions-of-key": "k"}
    one = limits.LimitFacts("git", "ann", access, 20, 0, 0, 0, 0, cures)
    (found,) = limits.judge([one, replace(one, key="bob")])
    assert (found.what, found.cure) == ("limits of git", "later")
    (found,) = limits.judge([one, replace(one, key="bob", now=5)])
    assert found.what == "limits of git, key ann"
    assert limits.judge([replace(one, access=Access(sessions=2), sessions=1)]) == []
    (found,) = limits.judge([replace(one, access=Access(key_sessions=2), key_sessions=2)])
    assert (found.why, found.cure) == ("all 2 sessions of the key are in use", "jailssh kick git; or k")


def test_security_modules_are_notes() -> None:
    found = security.judge(security.SecurityFacts("enforcing", "system_u:object_r:bin_t:s0", ("sshd (enforce)",)))
    assert [(fault.what, fault.wrong) for fault in found] == [("SELinux", False), ("AppArmor", False)]
    assert security.judge(security.SecurityFacts("", "", ())) == []


def record(event: Event, **fields: str) -> JournalRecord:
    return JournalRecord("", 1.8e9, {EVENT: event, UID: "1001", "_UID": "1001", **fields})


def test_the_last_logins() -> None:
    denied = record(Event.DENIED, **{REASON: "path-outside", COMMAND: "scp -t /\x1b[31m", SESSION: "ab", PEER: "::1 1"})
    found = past.judge(past.PastFacts("alice", False, (denied,), "path-outside", ("to allow it, set:", "  [scp] a")))
    assert found[0].wrong
    assert found[0].why.endswith(
        "was denied: command 'scp -t /\\x1b[31m': a path is outside the allowed directories (path-outside)"
    )
    assert found[0].cure == "to allow it, set: [scp] a"
    assert [(fault.wrong, fault.cure) for fault in found[1:]] == [(False, "jailssh explain --from-journal ab")]
    # Of many only some are told, the newest first; a word that is no reason, or no session, is not believed.
    many = [record(Event.REFUSED, **{REASON: f"x{number}", SESSION: "a; rm -r /"}) for number in range(9)]
    found = past.judge(past.PastFacts("alice", False, tuple(many)))
    assert [fault.why.rpartition(": ")[2] for fault in found] == ["x8", "x7", "x6"]
    assert {fault.cure for fault in found} == {""}


def test_logins_of_who_had_the_uid_before_are_not_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [
        record(Event.REFUSED, **{REASON: word, USER: name}) for word, name in (("a", "bob"), ("b", "alice"), ("c", ""))
    ]
    monkeypatch.setattr("jailssh.host.journal.read", lambda *_a, **_k: seen)
    monkeypatch.setattr("jailssh.host.process.find_program", lambda name: name)
    monkeypatch.setattr(past, "_has_journal", lambda _root: True)
    case = SimpleNamespace(name="alice", entry=SimpleNamespace(uid=1001), layout=SimpleNamespace(root=""), seconds=1.0)
    assert [one.get(REASON) for one in past.collect(cast("Case", case)).logins] == ["b", "c"]


def test_what_could_not_be_looked_at_is_told_and_ends_nothing() -> None:
    def fails(_case: Case) -> None:
        raise HostError("journal", "is \x1b[31mcorrupt")

    def breaks(_case: Case) -> None:
        raise PermissionError(13, "Permission denied", "/etc/x")

    steps = (
        Step("one", fails, lambda _facts: []),
        Step("two", lambda _case: 1, lambda _facts: [], ("one",)),
        Step("three", breaks, lambda _facts: []),
        Step("four", lambda _case: 1, lambda _facts: [Fault("a\nb", "is\x07", "rm \udcff")]),
    )
    found = walk(Case(Layout(), "alice"), everything=True, steps=steps)
    assert found.steps == {
        "one": Result.UNKNOWN, "two": Result.SKIPPED, "three": Result.UNKNOWN, "four": Result.WRONG}  # fmt: skip
    assert [str(fault.why) for fault in found.unknown] == ["is \\x1b[31mcorrupt", "permission denied"]
    assert found.wrong[0].lines() == ["wrong: a\\x0ab: is\\x07", "  hint: rm \\xff"]


def test_the_table_is_in_order() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    for number, step in enumerate(STEPS):
        assert set(step.needs) <= set(names[:number]), step.name


def test_nothing_is_imported_that_no_look_needs() -> None:
    code = "import sys; sys.path[:0] = ['build/python', 'build/dependencies']; import jailssh.doctor.walk;"
    code += "print([name for name in ('pam', 'paramiko', 'rich', 'jailssh.diagnose.explain') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
