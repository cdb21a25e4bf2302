"""Other ways to run something as an account in a jail: what follows from the facts, row by row."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from jailssh.checks import homes, jobs, processes, servers, sockets
from jailssh.checks.homes import Home
from jailssh.checks.jobs import Job, Starter
from jailssh.checks.sockets import Socket
from jailssh.integrity.finding import Finding
from jailssh.services import processes as running
from jailssh.services import unit_users
from jailssh.services.processes import ProcessSeen


def ids(findings: Iterable[Finding]) -> list[str]:
    return [each.kind.id for each in findings]


JOBS = [
    (Job(Starter.CRON, "/var/spool/cron/crontabs/al", "al", runs=True), "JSH-501"),
    (Job(Starter.CRON, "/var/spool/cron/crontabs/al", "al"), "JSH-502"),
    (Job(Starter.AT, "/var/spool/cron/atjobs/a1", "al", runs=True), "JSH-501"),
    (Job(Starter.AT, "/var/spool/cron/atjobs/a1", "al"), "JSH-502"),
    (Job(Starter.LINGER, "/var/lib/systemd/linger/al", "al", runs=True), "JSH-501"),
    (Job(Starter.LINGER, "/var/lib/systemd/linger/al", "al"), "JSH-502"),
    (Job(Starter.INCRON, "/var/spool/incron/al", "al", runs=True), "JSH-503"),
    (Job(Starter.INCRON, "/var/spool/incron/al", "al"), "JSH-502"),
    (Job(Starter.MANAGER, "process 7", "al", runs=True), "JSH-504"),
    (Job(Starter.UNIT, "/etc/systemd/system/x.service", "al", runs=True), "JSH-505"),
    (Job(Starter.SYSTEM_CRON, "/etc/cron.d/x", "al"), "JSH-506"),
]


@pytest.mark.parametrize(("job", "expected"), JOBS)
def test_a_job_is_what_starts_it_and_whether_it_runs(job: Job, expected: str) -> None:
    (found,) = jobs.judge([job])
    assert (found.kind.id, found.account, found.path) == (expected, "al", job.path)
    assert "NAME" not in found.remedy
    assert "UNIT" not in found.remedy


def test_incron_goes_by_the_list_that_is_there() -> None:
    both = jobs.Allowed(frozenset({"al"}), frozenset({"al", "bo"}))
    assert [both("al"), both("bo")] == [True, False]
    deny = jobs.Allowed(None, frozenset({"bo"}))
    assert [deny("al"), deny("bo"), jobs.Allowed(None, None)("bo")] == [True, False, True]


def test_which_files_cron_reads() -> None:
    names = ("job", "job.cron", ".hidden", "job~", "job.rpmsave", "job.dpkg-old", "#job#")
    assert [name for name in names if jobs.is_read(name, cronie=False)] == ["job"]
    assert [name for name in names if jobs.is_read(name, cronie=True)] == ["job", "job.cron", "job.dpkg-old"]


def test_the_accounts_of_a_system_crontab() -> None:
    text = (
        "# 1 2 3 4 5 no job\nSHELL=/bin/sh\nPATH=/a b c d e f g\n*/5 * * * * al run\n@daily bo run it\n\n17 * * * *\n"
    )
    # A variable with so many words would be taken for a job by cron, too, if its first word were a time.
    assert [name for name in jobs.users_of_crontab(text) if name in ("al", "bo", "no")] == ["al", "bo"]
    assert jobs.users_of_crontab("* * * * * al \x1b[31m\n* * * * * al again\n") == ["al"]


def test_the_accounts_of_units(tmp_path: Path) -> None:
    first, second = tmp_path / "etc", tmp_path / "usr"
    (first / "multi.wants").mkdir(parents=True)
    (second / "own.service.d").mkdir(parents=True)
    (first / "own.service").write_text("[Service]\nUser = al\n")
    (second / "own.service").write_text("[Service]\nUser=hidden\n")
    (second / "own.service.d/x.conf").write_text("[Service]\nUser=\\\n 1007\n")
    (second / "sync@.service").write_text("[Service]\nUser=%i\n")
    (second / "plain.service").write_text("[Service]\nDynamicUser=yes\n")
    (first / "multi.wants/sync@bo.service").symlink_to(second / "sync@.service")
    (second / "dead.service").symlink_to("/nonexistent")
    folders = (str(first), str(second))
    rows = unit_users.users(unit_users.files(folders))
    units = unit_users.instances(folders, str(tmp_path / "no"))
    found = sorted((Path(path).name, user) for path, user in unit_users.of_accounts(rows, units))
    assert found == [("sync@bo.service", "bo"), ("x.conf", "1007")]


DROP_INS = [
    ({"web.service": "al", "web.service.d/override.conf": "web"}, ["web"]),
    ({"web.service": "al", "web.service.d/override.conf": ""}, []),
    ({"web.service": "web", "web.service.d/1.conf": "bo", "web.service.d/2.conf": "al"}, ["al"]),
    ({"s@.service": "%i", "s@al.service.d/override.conf": "web"}, ["web"]),
    ({"s@.service": "%i", "s@bo.service.d/override.conf": "web"}, ["al", "web"]),
    ({"s@.service": "x", "s@.service.d/override.conf": "%i"}, ["al"]),
    ({"s@.service": "%i", "s@al.service": "web"}, ["web"]),
    ({"s@.service": "web-%i"}, ["web-al"]),
]


@pytest.mark.parametrize(("files", "expected"), DROP_INS)
def test_the_last_user_of_a_unit_counts(tmp_path: Path, files: dict[str, str], expected: list[str]) -> None:
    """As systemd 252 has it; ``systemctl edit UNIT`` writes override.conf."""
    for name, user in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[Service]\nUser={user}\n")
    rows = unit_users.users(unit_users.files((str(tmp_path),)))
    found = list(unit_users.of_accounts(rows, ["s@al.service"]))
    assert sorted(user for _, user in found) == expected
    assert {unit_users.unit_of(path) for path, user in found if user == "al"} <= {"web.service", "s@al.service"}


def test_the_cure_of_a_drop_in_names_its_unit() -> None:
    path = "/etc/systemd/system/web.service.d/user.conf"
    found = list(jobs.judge([Job(Starter.UNIT, path, "al", runs=True)]))
    assert "systemctl edit web.service," in found[0].cure


@pytest.mark.parametrize(
    ("unit", "specifier", "user"),
    [("sync@web-dev", "%i", "web-dev"), (r"sync@web\x2ddev", "%I", "web-dev"), (r"sync@a\x2db", "%i", r"a\x2db"),
     ("sync@srv-al", "%I", "srv/al"), ("sync-of-al@x", "%j", "al"), ("sync-al", "%j", "al"), ("al", "%j", "al")],
)  # fmt: skip
def test_what_a_specifier_stands_for(tmp_path: Path, unit: str, specifier: str, user: str) -> None:
    """As systemd 252 has it, for which srv/al is no user then."""
    head, at, _ = unit.partition("@")
    (tmp_path / f"{head}{at}.service").write_text(f"[Service]\nUser={specifier}\n")
    rows = unit_users.users(unit_users.files((str(tmp_path),)))
    found = list(unit_users.of_accounts(rows, [f"{unit}.service"] if at else []))
    assert found == [(f"{tmp_path}/{unit}.service", user)]


def home(*found: str, crowded: bool = False) -> Home:
    rows = tuple((path.rstrip("~"), not path.endswith("~")) for path in found)
    return Home("al", "j", "/home/al", rows, crowded)


HOMES = [
    ([], {}, []),
    ([".forward~", ".mailfilters~"], {}, []),  # The empty ones are the covers' own.
    ([".forward"], {}, ["JSH-512"]),
    ([".pam_environment"], {}, ["JSH-512"]),
    ([".k5login", ".k5identity", ".k5users"], {}, ["JSH-513"] * 3),
    ([".rhosts", ".shosts"], {}, ["JSH-515"] * 2),
    ([".rhosts"], {"readers": frozenset({".rhosts"})}, ["JSH-513"]),
    ([".ssh/rc", ".ssh/environment"], {}, ["JSH-515"] * 2),
    ([".bashrc", ".profile", ".config/systemd"], {}, []),
    ([".bashrc", ".config/systemd"], {"managers": True}, ["JSH-514"]),
    ([".forward+x", "public_html", ".pam_mount.conf.xml", ".google_authenticator"], {}, []),
    ([".forward+x"], {"readers": frozenset({".forward+*"})}, ["JSH-511"]),
    (["public_html"], {"readers": frozenset({"public_html"})}, ["JSH-511"]),
    ([".google_authenticator"], {"readers": frozenset({".google_authenticator"})}, ["JSH-511"]),
]


@pytest.mark.parametrize(("found", "more", "expected"), HOMES)
def test_what_lies_in_a_home(found: list[str], more: dict[str, frozenset[str]], expected: list[str]) -> None:
    facts = homes.Facts((home(*found),), **more)  # type: ignore[arg-type]
    assert ids(homes.judge(facts)) == expected


def test_what_is_not_set_aside_has_another_cure() -> None:
    names = ("public_html", ".google_authenticator", ".forward+x")
    facts = homes.Facts((home(*names),), readers=frozenset((*names, ".forward+*")))
    told = [each.remedy for each in homes.judge(facts)]
    assert len(told) == 3
    assert ["check --fix" in cure for cure in told] == [False, False, True]


def test_a_crowded_home_and_hosts_that_are_trusted_are_told() -> None:
    facts = homes.Facts((home(crowded=True),), ("/etc/hosts.equiv",))
    assert ids(homes.judge(facts)) == ["JSH-516", "JSH-517"]


def seen(pid: int, program: str, *, here: bool = True) -> ProcessSeen:
    return ProcessSeen(pid, 1001, 1001, "name", program, here)


def test_processes_are_one_finding_for_each_account() -> None:
    many = tuple(seen(pid, "/bin/x\x1b[31m") for pid in range(9))
    facts = processes.Facts({"al": many}, {"bo": (seen(3, "/bin/y", here=False),)}, {"al": "j"})
    first, second = processes.judge(facts)
    assert (first.kind.id, second.kind.id) == ("JSH-521", "JSH-522")
    assert first.what.startswith("9 processes")
    assert first.what.endswith("and more")
    assert "0,1,2,3,4" in first.remedy


PROFTPD = [
    ("", True, False),
    ("RequireValidShell on\n", False, False),
    ("# RequireValidShell off\n", False, False),
    ("RequireValidShell off\n", False, True),
    ("ServerName x\n", True, True),
    ("AuthOrder mod_auth_pam.c* mod_auth_unix.c\n", True, False),
    ("AuthOrder mod_auth_pam.c mod_auth_unix.c\n", True, True),
    ("AuthOrder mod_auth_pam.c*\nAuthPAM off\nRequireValidShell off\n", False, True),
]


@pytest.mark.parametrize(("text", "listed", "expected"), PROFTPD)
def test_proftpd_asks_pam_alone(text: str, listed: bool, expected: bool) -> None:
    assert bool(list(servers.about_proftpd(text, listed=listed))) is expected


PLACES = [
    ("PHP-FPM pool", "[www]\nuser = al\nlisten.owner = www-data\n;user = bo\n", {"al"}),
    ("PHP-FPM pool", 'user="al"\n', {"al"}),
    ("PHP-FPM pool", "[global]\npid = x\n[al]\nuser = $pool\n [bo]\n; user = x\nuser = www-$pool\n", {"al", "www-bo"}),
    ("Apache suexec", "<VirtualHost *>\n  SuexecUserGroup al www\n #SuexecUserGroup bo www\n AssignUserID #1007 g\n",
     {"al", "1007"}),
    ("uWSGI", "[uwsgi]\nuid = al\nuid=bo\n", {"al", "bo"}),
    ("uWSGI", "<uid>al</uid>\nuid: bo\n", {"al", "bo"}),
    ("supervisor", "[program:x]\nuser=al ; comment\n", {"al"}),
    ("D-Bus service", "[D-BUS Service]\nName=x\nUser=al\n", {"al"}),
    ("inetd", "#x stream tcp nowait bo /x\nfinger stream tcp nowait.5 al /usr/sbin/fingerd\nf dgram udp wait bo:g x\n",
     {"al", "bo"}),
    ("xinetd", "service x\n{\n\tuser\t= al\n}\n", {"al"}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "text", "expected"), PLACES)
def test_who_runs_what_of_a_service(place: str, text: str, expected: set[str]) -> None:
    assert set(servers.accounts_of(text, place)) == expected


def test_servers_are_told_each_once() -> None:
    facts = servers.Facts(
        (("postfix forward_path", "why", "cure"),), (("proftpd", "why"),),
        (servers.Service("PHP-FPM pool", "/etc/php/x", "al", "j"),), ("/usr/sbin/in.rshd",), "/x/jailssh-login",
        commands=(("postfix", "why", "cure"),),
    )  # fmt: skip
    assert ids(servers.judge(facts)) == ["JSH-531", "JSH-537", "JSH-532", "JSH-534", "JSH-535", "JSH-533"]
    assert ids(servers.judge(servers.Facts())) == []


def socket(path: str, service: str = "", *, everybody: bool = False, group: bool = True, uid: int = 0) -> Socket:
    return Socket(path, uid, 998, everybody, group, service)


SOCKETS = [
    (socket("/run/docker.sock", "Docker"), []),
    (socket("/run/docker.sock", "Docker", everybody=True), [("JSH-542", "")]),
    (socket("/run/libvirt/libvirt-sock", "libvirt", everybody=True), []),
    (socket("/run/x.sock", everybody=True), [("JSH-543", "")]),
    (socket("/run/x.sock", everybody=True, uid=33), []),
    (socket("/run/dbus/system_bus_socket", everybody=True), []),
    (socket("/run/shown/x.sock", everybody=True), [("JSH-541", ""), ("JSH-543", "")]),
    (Socket("/run/docker.sock", 0, 50, False, True, "Docker"), [("JSH-542", "al")]),
    (Socket("/run/docker.sock", 0, 50, False, False, "Docker"), []),
]


@pytest.mark.parametrize(("each", "expected"), SOCKETS)
def test_sockets(each: Socket, expected: list[tuple[str, str]]) -> None:
    groups = {"al": frozenset({1001, 50}), "bo": frozenset({1002})}
    facts = sockets.Facts((each,), groups, {"j": ("/srv", "/run/shown")}, {"al": "j", "bo": "j"})
    assert [(found.kind.id, found.account) for found in sockets.judge(facts)] == expected


def test_configuration_that_others_can_write_is_told(tmp_path: Path) -> None:
    path = tmp_path / "app.ini"
    path.write_text("uid = al\n")
    path.chmod(0o666)
    (place,) = (place for place in servers.PLACES if place.service == "uWSGI")
    rows, unsafe = servers._named([(place, [str(path), str(tmp_path / "gone"), str(tmp_path)])])
    assert rows == []
    assert list(unsafe) == [str(path)]
    (found,) = servers.judge(servers.Facts(unsafe=tuple(unsafe.items())))
    assert (found.kind.id, found.path) == ("JSH-536", str(path))


def test_a_list_of_incron_that_others_can_write_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "incron.allow"
    path.write_text("bo\n")
    path.chmod(0o666)
    assert jobs.incron_lists((str(path), str(tmp_path / "deny")))("al") is True


def test_a_manager_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a mount namespace of its own an account can name any program so."""
    program = "/usr/lib/systemd/systemd"
    mine = ProcessSeen(os.getpid(), 1000, 1000, "systemd", program, True)
    monkeypatch.setattr(running, "is_root_s_child", lambda _process: True)
    assert running.is_manager(mine) is False
    monkeypatch.setattr(running, "_SYSTEMD", (os.readlink("/proc/self/exe"),))
    real = ProcessSeen(os.getpid(), 1000, 1000, "systemd", running._SYSTEMD[0], True)
    assert running.is_manager(real) is True
    monkeypatch.setattr(running, "is_root_s_child", lambda _process: False)
    assert running.is_manager(real) is False
