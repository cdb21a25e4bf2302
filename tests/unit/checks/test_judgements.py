"""The judgement of each check: facts in, ids out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from jailssh.checks import accounts, chroot, configuration, images, sshd
from jailssh.checks.chroot import PathSeen
from jailssh.checks.images import Behind
from jailssh.checks.sshd import Case
from jailssh.checks.table import CHECKS
from jailssh.console.main import verb_module, verb_parser
from jailssh.core.errors import UsageError
from jailssh.integrity.finding import FAMILIES, Finding, Kind
from jailssh.services.sshd_connections import DEFAULT
from jailssh.upkeep.audit import MOUNT_POINT, POOL, Damage, DamageKind

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"


KINDS = [kind for check in (*CHECKS, chroot.CHECK) for kind in check.kinds]


def ids(found: Iterable[Finding]) -> list[str]:
    return sorted(finding.kind.id for finding in found)


def account(**changes: object) -> accounts.Facts:
    right = {"jail": "sftp-only", "shell": LOGIN, "login_program": LOGIN, "plan": "right", "plan_name": "alice"}
    return accounts.Facts("alice", 1000, **{**right, **changes})  # type: ignore[arg-type]


ACCOUNTS: list[tuple[dict[str, object], list[str]]] = [
    ({}, []),
    ({"shell": "/bin/bash"}, ["JSH-201"]),
    ({"jailed": False}, ["JSH-202"]),
    ({"others": ("toor",)}, ["JSH-203"]),
    ({"plan_name": "bob"}, ["JSH-204"]),
    ({"plan": "absent", "plan_name": ""}, ["JSH-205"]),
    ({"plan": "absent", "plan_name": "", "local": False}, []),
    ({"other_uids": (70001,)}, ["JSH-209"]),
    ({"plan": "damaged", "plan_name": ""}, ["JSH-206"]),
    ({"plan": "stale"}, ["JSH-207"]),
    ({"plan": "error"}, []),
    ({"plan": "left", "jailed": False}, ["JSH-208"]),
    ({"strong": ("docker", "disk")}, ["JSH-211", "JSH-211"]),
    ({"sudo": "(root) ALL"}, ["JSH-212"]),
    ({"polkit": ("/etc/polkit-1/rules.d/1.rules",)}, ["JSH-213"]),
    ({"within": ("/etc/subuid: bob",)}, ["JSH-214"]),
    ({"ranges": True}, ["JSH-215"]),
    ({"password": "$y$j9T$abc"}, ["JSH-216"]),
    ({"password": "!$y$j9T$abc"}, []),
    ({"password": "*"}, []),
    ({"password": ""}, ["JSH-217"]),
    ({"last_change": "0"}, ["JSH-218"]),
    ({"expires": 19000, "today": 20000}, ["JSH-219"]),
    ({"expires": 21000, "today": 20000}, []),
]


@pytest.mark.parametrize(("changes", "expected"), ACCOUNTS)
def test_accounts(changes: dict[str, object], expected: list[str]) -> None:
    assert ids(accounts.judge([account(**changes)])) == expected


def damage(kind: DamageKind, why: str = "", where: str = "0123456789abcdef0123") -> images.Facts:
    row = (Damage(where, "/usr/bin/x", kind, why), f"/pool/{where}/usr/bin/x", "")
    return images.Facts((row,), (), (), {"0123456789abcdef0123": ("sftp-only",)})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (damage(DamageKind.CONTENT), ["JSH-101"]),
        (damage(DamageKind.STATUS), ["JSH-102"]),
        (damage(DamageKind.MISSING), ["JSH-103"]),
        (damage(DamageKind.EXTRA), ["JSH-104"]),
        (damage(DamageKind.MANIFEST), ["JSH-105"]),
        (damage(DamageKind.IMAGE, where="jail git"), ["JSH-106"]),
        (damage(DamageKind.UNREADABLE, MOUNT_POINT), ["JSH-107"]),
        (damage(DamageKind.UNREADABLE, "input/output error"), []),  # could not be looked at, which is no finding
        (damage(DamageKind.CONTENT, where=POOL), ["JSH-101"]),
        (images.Facts((), (("g", "/x", "has a set-id bit"),), (), {}), ["JSH-108"]),
        (images.Facts((), (), (Behind("git", "g"),), {}), ["JSH-109"]),
        (images.Facts((), (), (Behind("git", "g", "no space"),), {}), ["JSH-110"]),
        (images.Facts((), (), (), {}, (("/gone", ("a", "b")),)), ["JSH-106"]),
    ],
)
def test_images(facts: images.Facts, expected: list[str]) -> None:
    assert ids(images.judge(facts)) == expected


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("forcecommand", "JSH-301"),
        ("disableforwarding", "JSH-302"),
        ("permittunnel", "JSH-302"),
        ("permituserrc", "JSH-303"),
        ("chrootdirectory", "JSH-304"),
        ("authorizedkeysfile", "JSH-305"),
        ("exposeauthinfo", "JSH-306"),
        ("acceptenv", "JSH-306"),
        ("ignorerhosts", "JSH-307"),
    ],
)
def test_every_account_of_a_case_is_named(keyword: str, expected: str) -> None:
    case = Case(("alice", "bob"), ("git",), ((keyword, "is wrong", DEFAULT),), ())
    found = list(sshd.judge(sshd.Facts((case,), ("f:1: Match user x",))))
    assert [each.kind.id for each in found] == [expected, expected]
    assert [each.account for each in found] == ["alice", "bob"]
    assert "f:1" in found[0].what


@pytest.mark.parametrize(
    ("keyword", "earlier", "cure"),
    [
        ("forcecommand", ("f:1: Match user x",), "remove the earlier line"),
        ("forcecommand", (), "jailssh setup"),
        ("usepam", (), "UsePAM yes"),
        ("acceptenv", ("f:1: Match user x",), "remove it from the AcceptEnv line"),
    ],
)
def test_the_cure_fits_the_line(keyword: str, earlier: tuple[str, ...], cure: str) -> None:
    case = Case(("alice",), ("git",), ((keyword, "is wrong", DEFAULT),), ())
    assert next(iter(sshd.judge(sshd.Facts((case,), earlier)))).remedy.startswith(cure)


def test_sshd_that_does_not_start_says_nothing_of_accounts() -> None:
    case = Case(("alice",), ("git",), (("forcecommand", "", DEFAULT),), ())
    assert ids(sshd.judge(sshd.Facts((case,), (), broken="bad line"))) == ["JSH-312"]


def test_what_sshd_is_weaker_in() -> None:
    case = Case(("alice",), ("git",), (), ("UsePAM is off",), "/usr/bin/keys")
    assert ids(sshd.judge(sshd.Facts((case,), (), no_include="no"))) == ["JSH-308", "JSH-309", "JSH-313"]


FILE, DIRECTORY, CHARACTER, BLOCK, LINK = 0o100644, 0o040755, 0o020666, 0o060660, 0o120777
PATHS: list[tuple[PathSeen, list[str]]] = [
    (PathSeen("bin/x", FILE, 0, 0), []),
    (PathSeen("bin", DIRECTORY, 0, 0), []),
    (PathSeen("bin", DIRECTORY | 0o002, 0, 0), ["JSH-151"]),
    (PathSeen("bin", DIRECTORY | 0o020, 0, 50), ["JSH-151"]),
    (PathSeen("tmp", 0o041777, 0, 0), []),
    (PathSeen("tmp", 0o040777, 0, 0), ["JSH-151"]),
    (PathSeen("bin/su", 0o104755, 0, 0), ["JSH-152"]),
    (PathSeen("bin/su", 0o104755, 7, 7), ["JSH-152", "JSH-158"]),
    (PathSeen("bin/w", 0o102755, 0, 5), ["JSH-152"]),
    (PathSeen("bin/x", FILE, 0, 0, differs="the content differs"), ["JSH-153"]),
    (PathSeen("bin/x", 0o100666, 0, 0), ["JSH-154"]),
    (PathSeen("bin/x", FILE, 0, 0, strange="security.capability"), ["JSH-155"]),
    (PathSeen("dev/null", CHARACTER, 0, 0, (1, 3)), []),
    (PathSeen("dev/mem", CHARACTER, 0, 0, (1, 1)), ["JSH-156"]),
    (PathSeen("dev/sda", BLOCK, 0, 0, (8, 0)), ["JSH-156"]),
    (PathSeen("bin/x", FILE, 1000, 0), ["JSH-158"]),
    (PathSeen("lib", LINK, 0, 0, link="x here, y on the host"), ["JSH-162"]),
    (PathSeen("home/u/x", 0o100666, 1000, 1000, home=True), []),
    (PathSeen("home/u/su", 0o104755, 0, 0, home=True), ["JSH-152"]),
]


@pytest.mark.parametrize(("seen", "expected"), PATHS)
def test_paths_of_a_chroot(seen: PathSeen, expected: list[str]) -> None:
    assert ids(chroot.judge(chroot.Facts("/srv/j", seen=[seen]))) == expected


def test_accounts_of_a_chroot() -> None:
    facts = chroot.Facts("/srv/j")
    facts.accounts = [("root", "0", "0", "/root"), ("alice", "1000", "1000", "/home/alice"), ("bob", "9", "9", "/"),
                      ("carl", "5", "5", "/home/carl")]  # fmt: skip
    facts.host = {"alice": ("1000", "1000", "/srv/j/./home/alice"), "carl": ("6", "6", "/home/carl")}
    facts.inside = [
        ("alice", "/srv/j/./home/alice", "/usr/sbin/jk_chrootsh"),
        ("dora", "/srv/j/./home/dora", "/bin/sh"),
    ]
    found = list(chroot.judge(facts))
    # bob is not on the host; carl has another uid and another home; dora has another shell and is not in the jail.
    assert ids(found) == ["JSH-160"] * 3 + ["JSH-161"] * 2
    assert not any("alice" in finding.object for finding in found)


def test_configuration() -> None:
    rows = [(configuration.ERROR, "", ("a", "b", "c")), (configuration.NOTE, "alice", ("a", "b", ""))]
    assert ids(configuration.judge(rows)) == ["JSH-701", "JSH-703"]


def test_each_id_stands_once_and_in_its_family() -> None:
    kinds = [kind for check in (*CHECKS, chroot.CHECK) for kind in check.kinds]
    assert len({kind.id for kind in kinds}) == len(kinds)
    assert {kind.id[4] for kind in kinds} <= set(FAMILIES)


@pytest.mark.parametrize(
    "kind", [kind for check in (*CHECKS, chroot.CHECK) for kind in check.kinds], ids=lambda k: k.id
)
def test_each_kind_says_what_to_do(kind: Kind) -> None:
    for text in (kind.title, kind.why, kind.cure):
        assert text.strip() == text != ""
        assert text.isascii()
    assert kind.title[0].islower() or kind.title.split()[0].isupper() or kind.title.startswith("PAM")
    assert kind.why.endswith(".")


VERB = re.compile(r"jailssh ([a-z]+)(?: ([a-z]+))?")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_each_cure_names_a_verb_that_there_is(kind: Kind) -> None:
    for verb, action in VERB.findall(kind.cure):
        try:
            verb_parser(verb, verb_module(verb)).parse_args([action] if action else [])
        except UsageError as error:
            # What it acts on may be missing; what it does must be there.
            assert "invalid choice" not in error.why and "does not exist" not in error.why


def test_every_fix_is_of_a_kind_of_its_check() -> None:
    for check in CHECKS:
        assert set(check.fixes) <= {kind.id for kind in check.kinds}
