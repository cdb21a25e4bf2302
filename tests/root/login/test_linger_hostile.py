"""What lingers in a jail against the logins that come: it can signal them and no more, whenever it tries."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule, rule_records
from tests.harness.sysctl import SUID_DUMPABLE, kernel_setting
from tests.root import login_lab
from tests.root.linger_lab import (
    background,
    keepers,
    kept_plan,
    one_test,
    pids_of,
    spaces_of,
)
from tests.root.login_lab import IMAGE, Lab, record
from tests.root.other_kernel import OUTER, Answer, other_kernel

pytestmark = login_lab.NEEDS
set_uid_lab = login_lab.set_uid_lab
REPORT = "/tmp/report"


@pytest.fixture
def lab(set_uid_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from one_test(set_uid_lab, tmp_path_factory.getbasetemp())


def attack(lab: Lab, how: str) -> None:
    assert lab.login(f"lingerer attack {how}").code in (0, 128 + signal.SIGKILL)  # it may kill what has started it
    (keeper,) = keepers()
    lab.host.wait_until(lambda: os.path.exists(f"/proc/{keeper}/root/tmp/attacks"), "the attack")


def reported(lab: Lab) -> str:
    (keeper,) = keepers()
    with open(f"/proc/{keeper}/root{REPORT}") as file:
        return file.read()


def test_an_attack_reports_what_it_reaches(lab: Lab) -> None:
    """A program of another directory is taken for the login program: it is as easy to reach as any other."""
    folder = lab.make_dir(f"{IMAGE}/sbin", 0o755)
    (folder / "other").write_bytes(lab.path(f"{IMAGE}/bin/probe").read_bytes())
    (folder / "other").chmod(0o755)
    parsed = codec.decode(kept_plan())
    other = [
        record(*row)
        for row in rule_records(Rule("lab.other", "lab", "/sbin/other", ("other",), operands=(0, 9, "text")))
    ]
    lab.publish(codec.encode(replace(parsed, records=(*parsed.records, *other))))
    attack(lab, "look")
    lab.start("other sleep 20").pids(2)
    lab.host.wait_until(lambda: "/sbin/other" in reported(lab), "the report")
    found = reported(lab)
    assert all(f"/{name} of " in found for name in ("mem", "environ", "fd", "maps", "root", "ns/mnt", "exe"))
    lab.host.run(["rm", "-r", f"{IMAGE}/sbin"], check=True)


@pytest.mark.parametrize("how", ["look", "stop"])
def test_no_login_can_be_traced_or_read(lab: Lab, how: str) -> None:
    attack(lab, how)
    for _ in range(80):
        assert lab.login("probe exit 7").code == 7
    assert reported(lab) == ""


def test_a_login_that_is_killed_is_not_served_in_another_way(lab: Lab) -> None:
    attack(lab, "kill")
    (keeper,) = keepers()
    codes = []
    for _ in range(80):
        done = lab.login("probe exit 7")
        codes.append(done.code)
        assert done.out == b""
        ends = [row["JAILSSH_EXIT"] for row in done.records if row["JAILSSH_EVENT"] == "session-end"]
        assert ends == [str(done.code)], done
    assert {*codes} <= {7, 128 + signal.SIGKILL}, codes
    assert codes.count(128 + signal.SIGKILL) > 0
    assert reported(lab) == ""
    assert keepers() == [keeper]  # which it cannot kill


STEPS = ("openat", "openat2", "setns", "clone", "capset", "setgroups", "setresuid", "prctl", "seccomp", "dup3", "close",
         "recvfrom", "sendto", "signalfd4", "setsid", "execve", "wait4")  # fmt: skip


def moments(lab: Lab) -> list[tuple[Answer, int]]:
    """Return the calls that a login makes to a jail that is there, from the first that it makes for it."""
    met: dict[Answer, int] = {}
    answers = [Answer(call, None) for call in STEPS]

    def count(_pid: int, _who: str, answer: Answer) -> None:
        met[answer] = met.get(answer, 0) + 1

    with other_kernel(lab, answers, count):
        assert lab.login("probe exit 7").code == 7
    return [(answer, number) for answer, most in met.items() for number in range(1, most + 1)]


def has_namespaces(pid: int) -> bool:
    """False for a process that ends, also one that waits for what was in its pid namespace."""
    with contextlib.suppress(OSError):
        return bool(os.readlink(f"/proc/{pid}/ns/mnt"))
    return False


def in_jails_alone(lab: Lab) -> bool:
    """True unless a process of the account's that has executed anything is in a namespace of the host's."""
    host = spaces_of(lab.host.init_pid)
    for pid in pids_of():
        with contextlib.suppress(OSError):
            if "login" not in os.readlink(f"/proc/{pid}/exe") and {*spaces_of(pid).values()} & {*host.values()}:
                return False
    return True


def test_the_keeper_is_killed_at_any_moment_of_a_login(lab: Lab) -> None:
    background(lab)
    served = 0
    for answer, number in moments(lab):
        if not keepers():
            background(lab)
        (keeper,) = keepers()

        def kill(_pid: int, _who: str, _answer: Answer, victim: int = keeper) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            lab.host.wait_until(lambda: not has_namespaces(victim), "its end")
            assert in_jails_alone(lab)

        with other_kernel(lab, [replace(answer, nth=number)], kill):
            done = lab.login("probe exit 7")
        assert done.code in (7, 125, 128 + signal.SIGKILL), (answer, number, done)
        assert (done.code == 125) == (done.events() == ["refused"]), done
        assert done.out == b""
        served += done.code == 7
    assert served > 0


@pytest.mark.parametrize("call", ["setns", "clone"])
def test_a_keeper_that_dies_on_the_way_is_replaced(lab: Lab, call: str) -> None:
    background(lab)
    (old,) = keepers()

    def kill(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(old, signal.SIGKILL)
        lab.host.wait_until(lambda: not has_namespaces(old), "its end")

    with other_kernel(lab, [Answer(call, None, who=OUTER, nth=1)], kill) as kernel:
        assert lab.login("probe exit 7").code == 7
    assert all(kernel.given)
    lab.host.wait_until(lambda: old not in keepers(), "nobody to have the old one any more")
    assert len(keepers()) == 1


@pytest.mark.alone
def test_at_no_step_is_a_process_the_users_to_trace(lab: Lab) -> None:
    owners: set[tuple[str, int]] = set()

    def look(pid: int, who: str, _: Answer) -> None:
        owners.add((who, os.stat(f"/proc/{pid}/environ").st_uid))  # the user's, where it is dumpable: proc(5)

    # Between the changes of ids in its drop it has power, and so is nobody's to trace: ptrace(2).
    steps = [Answer(step, None) for step in STEPS if step not in ("setgroups", "setresuid", "prctl", "close")]
    with kernel_setting(SUID_DUMPABLE, "1"):  # each change of ids makes a process traceable (proc_sys_fs(5))
        for _ in range(2):  # who makes the jail, and who finds it
            with other_kernel(lab, steps, look) as kernel:
                assert lab.login("probe exit 7").code == 7
            assert sum(bool(given) for given in kernel.given) > len(steps) - 4
    assert {owner for _, owner in owners} == {0}
    assert len(owners) == 3


def test_as_many_processes_as_there_can_be(lab: Lab) -> None:
    more = [record("rlimit", "nproc", 40), record("umask", "027"), record("env", "HOME", "/home/u")]
    lab.publish(kept_plan(middle=more))
    count, why = lab.login("lingerer bomb").out.split()
    assert int(count) > 20
    assert why == b"EAGAIN"
    assert lab.login("lingerer background").out == b"-1\n"  # as its limit says
    assert lab.login("probe exit 7").code == 7  # a login is no process of theirs
    assert len(keepers()) == 1
