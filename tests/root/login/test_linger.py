"""Jails that outlive their logins: what goes on, what is shared, and what ends."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from jailssh.host.process import start_time
from tests.harness.certificates import key_line
from tests.harness.probe import Facts
from tests.root import login_lab
from tests.root.key_lab import ALICE, cleaned, key, put, roster, tell
from tests.root.key_lab import login as key_login
from tests.root.linger_lab import (
    NAMESPACES,
    RECORDS,
    SERIALS,
    background,
    grant,
    keepers,
    kept_plan,
    numbers_of,
    on_host,
    one_test,
    pids_of,
    record_text,
    runs_login,
    spaces_of,
)
from tests.root.login_lab import OTHER_UID, UID, Lab, assert_ended, assert_refused, descriptors, plan
from tests.root.terminal_lab import wait_for

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab


@pytest.fixture
def lab(set_uid_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from one_test(set_uid_lab, tmp_path_factory.getbasetemp())


@pytest.fixture
def each_lab(every_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    files = every_lab.flavour.startswith("filecaps")
    if files:  # the namespaces of a process that is not dumpable are asked for
        grant(every_lab, "cap_sys_ptrace")
    yield from one_test(every_lab, tmp_path_factory.getbasetemp())
    if files:
        grant(every_lab)


def is_there(lab: Lab, inside: int) -> bool:
    done = lab.login(f"lingerer send {inside} 0")
    assert done.code == 0, done
    return done.out == b"ok\n"


def test_what_is_in_the_background_goes_on(each_lab: Lab) -> None:
    inside, outside = background(each_lab)
    (keeper,) = keepers()
    assert is_there(each_lab, inside)
    assert_ended(each_lab.login("lingerer write /tmp/shared text"), 0)
    assert each_lab.login("lingerer show /tmp/shared").out == b"text"
    assert each_lab.login(f"lingerer send {inside} 15").out == b"ok\n"
    assert not numbers_of(outside)
    assert keepers() == [keeper]


def test_names_of_sockets_are_those_of_one_jail(lab: Lab) -> None:
    listener = lab.start("actor listen @name")
    wait_for(listener, b"ready\n")
    assert lab.login("probe try connect-unix @name").facts["try.connect-unix"] == "ok"
    lab.publish(kept_plan(OTHER_UID, home="/home/v"), OTHER_UID)
    assert lab.login("probe try connect-unix @name", uid=OTHER_UID).facts["try.connect-unix"] == "ECONNREFUSED"


def test_without_the_capability_that_it_takes_it_is_refused(lab: Lab) -> None:
    grant(lab)
    lab.path(lab.program).chmod(0o755)
    try:
        row = assert_refused(lab.login("probe exit 0"), "kernel")
        assert "cannot enter the namespaces of the jail: " in row["MESSAGE"]
    finally:
        lab.host.run(["setcap", "-r", lab.program], check=True)
        lab.path(lab.program).chmod(0o4755)


def test_namespaces(each_lab: Lab) -> None:
    _, outside = background(each_lab)
    (keeper,) = keepers()
    host, kept, left = spaces_of(each_lab.host.init_pid), spaces_of(keeper), spaces_of(outside)
    assert all(host[name] != kept[name] for name in NAMESPACES)
    sessions = [each_lab.start("probe sleep 60") for _ in range(2)]
    found = [spaces_of(session.pids(3)[2]) for session in sessions]
    for spaces in (left, *found):
        assert all(spaces[name] == kept[name] for name in NAMESPACES if name != "cgroup"), spaces
    assert len({spaces["cgroup"] for spaces in (kept, left, *found)}) == 4  # each login's own
    each_lab.publish(kept_plan(OTHER_UID, home="/home/v"), OTHER_UID)
    assert each_lab.login("probe exit 0", uid=OTHER_UID).code == 0
    (other,) = keepers(OTHER_UID)
    assert {*spaces_of(other).values()} & {*host.values(), *kept.values()} == {kept["uts"]}  # of one host name
    for session in sessions:
        pid = session.pids(1)[0]
        outer = spaces_of(pid)
        links = descriptors(pid)
        assert not [
            link for link in links if link.startswith(("mnt:", "net:", "pid:", "/")) and "/memfd:jailssh " not in link
        ]
        assert (outer["pid"], outer["mnt"], outer["net"]) == (host["pid"], kept["mnt"], kept["net"])
        session.signal(signal.SIGTERM)
        assert session.wait().code == 128 + signal.SIGTERM


@pytest.mark.parametrize("kind", ["net", "ipc"])
def test_nothing_of_a_jail_that_lingers_is_shared(lab: Lab, kind: str) -> None:
    """Not even what others share, as this one could by its rules and its filter."""
    found = []
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        lab.publish(kept_plan(uid, home=home, proc=False, ipc=False), uid)
        assert lab.login("probe exit 0", uid=uid).code == 0
        (keeper,) = keepers(uid)
        found.append(spaces_of(keeper)[kind])
    assert found[0] != found[1]


def test_each_key_has_a_jail_of_its_own(lab: Lab) -> None:
    """People who share an account do not share processes, though they have one plan."""
    with cleaned(lab):
        put(lab, f"{UID}.{ALICE}", kept_plan(serial=ALICE))
        put(lab, str(UID), roster(key("alice", ALICE, 1), key("bob", ALICE, 3)))
        for number in (1, 3):
            tell(lab, key_line(number))
            assert key_login(lab).code == 7
        assert len(keepers()) == 2
        assert sorted(path.name for path in lab.path(RECORDS).iterdir()) == [f"{UID}.alice", f"{UID}.bob"]


def test_the_keeper_has_no_power_and_no_descriptor(each_lab: Lab) -> None:
    background(each_lab)
    (keeper,) = keepers()
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{keeper}/status").read_text().splitlines())
    assert (status["Uid"], status["Gid"]) == ("\t".join([str(UID)] * 4),) * 2
    assert {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb", "Bnd")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"], status["Groups"].strip()) == ("1", "2", "")
    assert os.listdir(f"/proc/{keeper}/fd") == []
    assert os.stat(f"/proc/{keeper}/environ").st_uid == 0  # not dumpable: root's, proc(5)
    assert os.path.samestat(os.stat(f"/proc/{keeper}/root"), each_lab.path(login_lab.IMAGE).stat())
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGCHLD):
        assert each_lab.login(f"lingerer send 1 {number.value}").out == b"ok\n"  # the kernel drops it
    assert keepers() == [keeper]
    assert "\nState:\tS" in pathlib.Path(f"/proc/{keeper}/status").read_text()


USUAL = ("uid", "gid", "cap.effective", "cap.permitted", "cap.inheritable", "cap.bounding", "cap.ambient",
         "no_new_privs", "seccomp", "securebits", "keepcaps", "personality", "hostname", "umask")  # fmt: skip


def test_a_process_of_a_kept_jail_is_as_any_other(each_lab: Lab) -> None:
    each_lab.publish(plan(proc=True))
    usual = each_lab.login("probe facts").facts
    each_lab.publish(kept_plan())
    background(each_lab)
    kept = each_lab.login("probe facts").facts
    assert {name: kept[name] for name in USUAL} == {name: usual[name] for name in USUAL}
    assert kept.numbers("groups") == usual.numbers("groups")
    assert [row.split("|")[0] for row in kept.all("fd")] == ["0", "1", "2"]

    def mounts(facts: Facts) -> list[tuple[str, frozenset[str]]]:
        return sorted((mount.path, frozenset(mount.flags)) for mount in facts.mounts())

    each_lab.publish(plan(proc=True))
    usual = each_lab.login("probe facts mounts").facts
    each_lab.publish(kept_plan())
    assert mounts(each_lab.login("probe facts mounts").facts) == mounts(usual)


def test_the_end_of_the_keeper_is_that_of_its_jail(lab: Lab) -> None:
    mounts = pathlib.Path(f"/proc/{lab.host.init_pid}/mountinfo")
    _, outside = background(lab)
    before = mounts.read_text()
    session = lab.start("probe sleep 60")
    session.pids(3)
    (keeper,) = keepers()
    os.kill(keeper, signal.SIGKILL)
    assert session.wait().code == 128 + signal.SIGKILL
    lab.assert_nothing_left()
    assert not numbers_of(outside)
    assert mounts.read_text() == before
    assert_ended(lab.login("probe exit 3"), 3)  # the record is of a keeper that has ended
    assert len(keepers()) == 1


def test_a_keeper_ends_some_seconds_after_the_last_process(lab: Lab) -> None:
    inside, _ = background(lab)
    (keeper,) = keepers()
    time.sleep(18)  # more than it would stay alone
    assert keepers() == [keeper]
    lab.login(f"lingerer send {inside} 15")
    before = time.monotonic()
    lab.host.wait_until(lambda: not keepers(), "the end of the keeper", 25)
    assert time.monotonic() - before > 8
    lab.assert_nothing_left()


def test_the_end_of_the_account_is_the_end_of_its_jail(lab: Lab) -> None:
    lab.publish(kept_plan(expires=int(time.time()) + 3))
    background(lab)
    lab.host.wait_until(lambda: not pids_of(), "the end of the jail", 30)


def test_another_plan_is_another_jail(lab: Lab) -> None:
    inside, outside = background(lab)
    (old,) = keepers()
    lab.publish(kept_plan(serial=SERIALS[1]))
    assert not is_there(lab, inside)
    (new,) = {*keepers()} - {old}
    assert numbers_of(outside)  # goes on in its own
    background(lab)
    assert sorted(keepers()) == sorted([old, new])


def test_the_record(lab: Lab) -> None:
    background(lab)
    (keeper,) = keepers()
    path = lab.path(f"{RECORDS}/{UID}.")
    info, above = path.stat(), path.parent.stat()
    assert (info.st_uid, info.st_mode & 0o777, above.st_uid, above.st_mode & 0o777) == (0, 0o600, 0, 0o700)
    assert path.read_text().split() == [str(on_host(lab, keeper)), str(start_time(keeper)), SERIALS[0]]


STALE = ("another start", "another serial", "nobody", "rubbish", "a path", "nothing", "longer", "others may write",
         "the account's")  # fmt: skip


@pytest.mark.parametrize("what", STALE)
def test_a_record_that_is_of_no_keeper(lab: Lab, what: str) -> None:
    inside, outside = background(lab)
    (keeper,) = keepers()
    path, pid, start = lab.path(f"{RECORDS}/{UID}."), on_host(lab, keeper), start_time(keeper) or 0
    texts = {
        "another start": record_text(pid, start + 1, SERIALS[0]), "another serial": record_text(pid, start, SERIALS[1]),
        "nobody": record_text(0, 0, SERIALS[0]), "rubbish": "x" * 49, "a path": f"../proc/{pid}".ljust(49),
        "nothing": "", "longer": record_text(pid, start, SERIALS[0]) + "x",
    }  # fmt: skip
    if what in texts:
        path.write_text(texts[what])
    elif what == "others may write":
        path.chmod(0o620)
    else:
        os.chown(path, UID, UID)
    assert not is_there(lab, inside)
    assert numbers_of(outside)
    assert len(keepers()) == 2


@pytest.mark.parametrize("what", ["a link", "a directory", "a directory of others"])
def test_where_no_record_can_be_kept_the_login_is_refused(lab: Lab, what: str) -> None:
    lab.login("probe exit 0")
    path = lab.path(f"{RECORDS}/{UID}.")
    if what == "a directory of others":
        path.parent.chmod(0o777)
    else:
        path.unlink()
        path.symlink_to("elsewhere") if what == "a link" else path.mkdir()
    assert_refused(lab.login("probe exit 0"), "setup")
    path.parent.chmod(0o700)
    assert not path.with_name("elsewhere").exists()


def test_a_record_of_a_process_that_is_in_no_jail(lab: Lab) -> None:
    background(lab)
    # As if root's record were wrong: whose number it is has another root than the plan says.
    lab.path(f"{RECORDS}/{UID}.").write_text(record_text(1, start_time(lab.host.init_pid), SERIALS[0]))
    row = assert_refused(lab.login("probe exit 0"), "image")
    assert "root of the kept jail is not its image" in row["MESSAGE"]


def test_first_logins_at_once(lab: Lab) -> None:
    sessions = [lab.start("probe exit 7") for _ in range(12)]
    assert [session.process.communicate(timeout=60) for session in sessions] == [(b"", b"")] * 12
    assert [session.process.returncode for session in sessions] == [7] * 12
    before = sorted(keepers())
    assert lab.login("probe exit 0").code == 0
    assert sorted(keepers()) == before


@pytest.mark.parametrize("how", ["usual", "deaf"])
@pytest.mark.parametrize("whom", ["the client", "the outer half", "sshd"])
def test_what_is_in_the_foreground_ends_with_its_session(lab: Lab, whom: str, how: str) -> None:
    ours, theirs = os.pipe()
    session = lab.start(f"lingerer foreground {how}", stdout=theirs)
    os.close(theirs)
    assert os.read(ours, 20)
    inside = [pid for pid in pids_of() if len(numbers_of(pid)) > len(numbers_of(lab.host.init_pid))]
    command = [pid for pid in inside if not runs_login(pid)]
    (outer,) = {*pids_of()} - {*inside}
    assert len(command) == 2
    if whom == "sshd":
        os.kill(session.sshd(), signal.SIGKILL)
    elif whom == "the outer half":
        os.kill(outer, signal.SIGKILL)
    os.close(ours)
    lab.host.wait_until(lambda: pids_of() == keepers(), f"the end of {pids_of()}", 30)


def test_what_ignores_sighup_goes_on(lab: Lab) -> None:
    ours, theirs = os.pipe()
    lab.start("lingerer nohup", stdout=theirs)
    os.close(theirs)
    inside = int(os.read(ours, 20))
    os.close(ours)
    lab.host.wait_until(lambda: len(pids_of()) == 2, "the end of the session", 30)
    assert is_there(lab, inside)


def test_a_terminal_is_hung_up_and_the_rest_goes_on(lab: Lab) -> None:
    lab.publish(kept_plan(pty=True))
    master, terminal = os.openpty()
    session = lab.start("lingerer foreground usual", stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    assert os.read(master, 20)
    os.close(master)
    assert session.wait().code in (128 + signal.SIGHUP, 128 + signal.SIGKILL)
    lab.host.wait_until(lambda: pids_of() == keepers(), "the end of the command", 30)
