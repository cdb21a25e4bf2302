"""PAM: which stacks refuse who is in a jail, and what a trial adds to it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from jailssh.checks import pam
from jailssh.checks.pam import Facts, Service, Trial
from jailssh.integrity.scene import Scene
from jailssh.services import pam_account
from jailssh.services.pam_account import PamLine

WANTED = (("[success=1 default=ignore]", "pam_succeed_if.so", "quiet", "uid", "ne", "0"), ("requisite", "pam_deny.so"))
WORDS = tuple(tuple(word for part in line for word in part.split()) for line in WANTED)


def line(control: str, module: str, *arguments: str, phase: str = "account", optional: bool = False) -> PamLine:
    return PamLine("/etc/pam.d/x", phase, control, module, optional, arguments)


PROFILE = tuple(line(control, module, *rest) for control, module, *rest in WANTED)
UNIX = line("[success=1 new_authtok_reqd=done default=ignore]", "pam_unix.so")
SOFT = line("required", "pam_nologin.so")
SUFFICIENT = line("sufficient", "pam_localuser.so")
JUMP = line("[success=2 default=ignore]", "pam_localuser.so")
DENY = line("requisite", "pam_deny.so")
YES, NO, SILENT = Trial("al", "PAM_SUCCESS"), Trial("al", "PAM_PERM_DENIED"), Trial("al", "")

ROWS = [
    ("cron", (*PROFILE, UNIX), None, []),
    ("cron", (SOFT, *PROFILE, UNIX), NO, []),
    ("cron", (UNIX,), None, ["JSH-402"]),
    ("cron", (UNIX, *PROFILE[:1]), None, ["JSH-402"]),
    ("cron", (UNIX, *reversed(PROFILE)), None, ["JSH-402"]),
    ("cron", (UNIX,), NO, ["JSH-402"]),  # One account, here and now: pam_access, pam_time may let others in.
    ("cron", (UNIX,), Trial("al", "PAM_ACCT_EXPIRED"), ["JSH-402"]),
    ("cron", (SOFT, DENY, UNIX), NO, []),  # Its lines refuse everybody.
    ("cron", (SOFT, DENY), None, []),
    ("cron", (SUFFICIENT, DENY), NO, ["JSH-402"]),
    ("cron", (JUMP, DENY), NO, ["JSH-402"]),
    ("cron", (*PROFILE, UNIX), YES, ["JSH-402"]),
    ("cron", (SUFFICIENT, *PROFILE), None, ["JSH-403"]),
    ("cron", (JUMP, *PROFILE), NO, ["JSH-403"]),
    ("cron", (*PROFILE, SUFFICIENT), None, []),
    ("cron", (*PROFILE, UNIX), SILENT, ["JSH-409"]),
    ("cron", (UNIX,), SILENT, ["JSH-409", "JSH-402"]),
    ("sshd", (*PROFILE, UNIX), YES, []),
    ("sshd", (*PROFILE, UNIX), NO, ["JSH-408"]),
    ("sshd", (*PROFILE, UNIX), Trial("al", "PAM_ACCT_EXPIRED"), []),
    ("sshd", (*PROFILE, UNIX), SILENT, ["JSH-409"]),
    ("let", (UNIX,), YES, []),
]


FILES = [
    ("# was: \\\naccount required pam_deny.so\n", ["pam_deny.so"]),
    ("account required pam_permit.so # was: \\\naccount required pam_deny.so\n", ["pam_permit.so", "pam_deny.so"]),
    ("account required \\\n pam_deny.so\n", ["pam_deny.so"]),
    ("account required \\ \n pam_deny.so\n", ["pam_deny.so"]),
    ("account required pam_permit.so \\\n# was\n\naccount required pam_deny.so\n", ["pam_permit.so"]),
    ("account required pam_deny.so \\\n", []),  # PAM takes nothing of the file then.
]


@pytest.mark.parametrize(("text", "expected"), FILES)
def test_lines_that_go_on(tmp_path: Path, text: str, expected: list[str]) -> None:
    """As libpam of Debian 12 answers."""
    (tmp_path / "x").write_text(text)
    assert [each.module for each in pam_account.stack(str(tmp_path / "x"))] == expected


@pytest.mark.parametrize(("name", "lines", "trial", "expected"), ROWS)
def test_a_service(name: str, lines: tuple[PamLine, ...], trial: Trial | None, expected: list[str]) -> None:
    service = Service(name, f"/etc/pam.d/{name}", lines, trial=trial)
    found = list(pam.judge(Facts(WORDS, (service,), through=frozenset({"let"}))))
    assert [each.kind.id for each in found] == expected


def test_without_the_profile_one_cause_is_told_once() -> None:
    services = tuple(Service(name, "", (UNIX,), trial=YES) for name in ("cron", "atd", "login"))
    found = list(pam.judge(Facts(WORDS, services, ("common-account is edited; hint: mend it",))))
    assert [(each.kind.id, each.what, each.remedy) for each in found] == [
        ("JSH-401", "common-account is edited", "mend it")
    ]


def test_a_user_manager_at_each_login_needs_both() -> None:
    session = (line("optional", "pam_systemd.so", phase="session"),)
    sshd = Service("sshd", "", (*PROFILE, UNIX), session)
    for manager, expected in (((UNIX,), ["JSH-402", "JSH-404"]), ((*PROFILE, UNIX), [])):
        found = pam.judge(Facts(WORDS, (sshd, Service("systemd-user", "", manager))))
        assert [each.kind.id for each in found] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), []),
        (("user_readenv=0",), []),
        (("user_readenv=1", "envfile=/etc/default/locale"), ["JSH-405"]),
        (("user_readenv=1", "user_envfile=.env"), ["JSH-406"]),
    ],
)
def test_variables_from_the_home(arguments: tuple[str, ...], expected: list[str]) -> None:
    session = (line("required", "pam_env.so", *arguments, phase="session"),)
    found = pam.judge(Facts(WORDS, (Service("sshd", "", PROFILE, session),)))
    assert [each.kind.id for each in found] == expected


def test_a_module_that_is_missing_is_told() -> None:
    (found,) = pam.judge(Facts(WORDS, (), missing=(("/etc/pam.d/x", "pam_gone.so"),)))
    assert (found.kind.id, found.object) == ("JSH-407", "PAM module pam_gone.so")


@pytest.mark.parametrize("name", ["common-account", "sshd~", "sshd.dpkg-old", "system-auth", "other.rpmnew"])
def test_parts_and_copies_are_no_services(name: str) -> None:
    assert pam.is_service(name) is False


@pytest.mark.parametrize("name", ["passwd", "chsh", "useradd", "lightdm-greeter"])
def test_what_starts_nothing_is_left_out(name: str) -> None:
    assert pam.is_service(name) is False


@pytest.mark.parametrize("name", ["cron", "su", "su-l", "login", "systemd-user", "vsftpd", "other", "cockpit"])
def test_what_may_start_something_is_looked_at(name: str) -> None:
    assert pam.is_service(name) is True


def test_a_trial_is_kept_as_long_as_what_its_modules_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pam, "_MODULE_FILES", (f"{tmp_path}/security/*",))
    access = line("required", "pam_access.so", f"accessfile={tmp_path}/access.conf")
    heard, unheard = (line(control, "pam_exec.so", "/bin/x") for control in ("required", "[default=ignore]"))
    first = pam.rests_on([access, unheard], 1.0)
    assert pam.rests_on([access, unheard], 2.0) == first
    (tmp_path / "access.conf").write_text("-:ALL:ALL\n")
    second = pam.rests_on([access, unheard], 2.0)
    assert second != first
    (tmp_path / "security").mkdir()
    (tmp_path / "security/access.conf").write_text("-:ALL:ALL\n")
    assert pam.rests_on([access, unheard], 2.0) != second
    for other in (heard, line("required", "pam_sss.so"), line("required", "pam_time.so")):
        assert pam.rests_on([access, other], 1.0) != pam.rests_on([access, other], 2.0)


@pytest.mark.parametrize(
    ("lines", "closed"),
    [
        ((SOFT, *PROFILE), True),
        ((SUFFICIENT, *PROFILE), False),
        ((JUMP, *PROFILE), False),
        ((DENY,), True),
        ((UNIX,), False),
    ],
)
def test_what_other_checks_may_rely_on(
    monkeypatch: pytest.MonkeyPatch, lines: tuple[PamLine, ...], closed: bool
) -> None:
    config = SimpleNamespace(main=SimpleNamespace(pam_services=()))
    monkeypatch.setattr(pam, "_wanted", lambda _scene: WORDS)
    monkeypatch.setattr(pam, "_service", lambda name: Service(name, "", lines))
    monkeypatch.setattr(pam_account, "service_file", str)
    assert pam.refuses(cast(Scene, SimpleNamespace(configuration=config)), "cron") is closed


@pytest.mark.parametrize(
    ("files", "asks"),
    [
        ({}, False),
        ({"sssd.conf": "[sssd]\nservices = nss, pam\n"}, True),
        ({"sssd.conf": "[pam]\npam_initgroups_scheme = always\n"}, False),
        ({"sssd.conf": "[pam]\npam_initgroups_scheme = no_session\n"}, True),
        ({"sssd.conf": "[sssd]\n", "conf.d/10.conf": "[pam]\npam_initgroups_scheme = always\n"}, False),
        ({"sssd.conf": "[sssd]\n", "conf.d/.10.conf": "[pam]\npam_initgroups_scheme = always\n"}, True),
        ({"sssd.conf": "no section\n"}, False),
    ],
)
def test_whom_sssd_asks_about(
    files: dict[str, str], asks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pam, "SSSD_FILES", tuple(f"{tmp_path}{name[9:]}" for name in pam.SSSD_FILES))
    (tmp_path / "conf.d").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert pam.asks_by_cache() is asks
    assert [each.kind.id for each in pam.judge(Facts((), (), by_cache=asks))] == ["JSH-413"] * asks
