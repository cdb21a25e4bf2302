"""Every refusal of the login program is met: on another kernel, or on a host that is not as it should be.

And where a kernel or a container lacks something that a login does without, the jail is the same.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from collections.abc import Iterator

import pytest

from tests.harness.executed import Executed
from tests.harness.sysctl import SUID_DUMPABLE, kernel_setting
from tests.root import login_lab, refusal_lab
from tests.root.login_lab import UID, Lab, plan
from tests.root.other_kernel import COMMAND, INNER, OUTER, Answer, other_kernel
from tests.root.refusal_lab import SETTING as SETTINGS
from tests.root.refusal_lab import meet, unpin
from tests.root.refusal_rows import ROWS, SERVED, Row, Served

pytestmark = login_lab.NEEDS
set_uid_lab, executed = login_lab.set_uid_lab, refusal_lab.executed


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name(), marks=pytest.mark.needs(*row.needs)) for row in ROWS])
def test_a_refusal(set_uid_lab: Lab, executed: Executed, row: Row) -> None:
    meet(set_uid_lab, executed, row)


POWERLESS = {
    "Uid": [str(UID)] * 4, "Gid": [str(UID)] * 4, "Groups": [], "NoNewPrivs": ["1"], "Seccomp": ["2"],
    **{f"Cap{name}": ["0" * 16] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")},
}  # fmt: skip


def status_of(pid: int) -> dict[str, list[str]]:
    rows = [line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
    return {name: value.split() for name, value in rows}


def mounts_of(pid: int) -> dict[str, set[str]]:
    """Return the options of each mount that a process sees, with how it is propagated (proc_pid_mountinfo(5))."""
    rows = [line.split(" - ")[0].split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    return {row[4]: {*row[5].split(","), *(field.split(":")[0] for field in row[6:])} for row in rows}


@pytest.mark.parametrize("served", SERVED, ids=lambda served: served.what)
def test_what_a_login_does_without(set_uid_lab: Lab, served: Served) -> None:
    lab = set_uid_lab
    unpin(lab) if served.fresh else lab.login("probe exit 0")
    lab.publish(plan(proc=served.proc, ipc=served.ipc, net=served.net))
    with other_kernel(lab, served.answers) as kernel:
        session = lab.start("probe sleep 60")
        command = session.pids(3)[2]
        lab.host.wait_until(lambda: os.readlink(f"/proc/{command}/exe").endswith("/probe"), "the command")
        status, mounts = status_of(command), mounts_of(command)
        for name in ("net", "mnt", "pid", "ipc", "uts", "cgroup"):
            host = os.readlink(f"/proc/{lab.host.init_pid}/ns/{name}")
            assert os.readlink(f"/proc/{command}/ns/{name}") != host, name
        session.signal(signal.SIGTERM)
        assert session.wait().code == 128 + signal.SIGTERM
    assert all(kernel.given)
    assert {name: status[name] for name in POWERLESS} == POWERLESS
    assert {"nosuid", "nodev", "noexec"} <= mounts["/home/u"]
    assert {"ro", "nosuid", "nodev"} <= mounts["/"]
    assert "ro" in mounts["/home/u/.ssh"]
    assert all("nosuid" in options and not options & {"shared", "master"} for options in mounts.values())
    unpin(lab)


# Some of each step, from the first to the last.
STEPS = ("getrandom", "connect", "fstat", "open_tree", "socketpair", "setns", "keyctl", "clone", "sethostname",
         "move_mount", "capset", "uname", "seccomp", "landlock_create_ruleset", "signalfd4", "setsid", "execve",
         "wait4")  # fmt: skip
CHANGES = (Answer("setresgid", None, (-1, 0, 0)), Answer("setresgid", None, (UID, UID, UID)), Answer("setfsgid", None),
           Answer("setresuid", None, (-1, 0, 0)), Answer("setresuid", None, (UID, UID, UID)),
           Answer("setfsuid", None))  # fmt: skip
NOT_DUMPABLE = Answer("prctl", None, (4, 0))


@pytest.fixture
def makes_dumpable() -> Iterator[None]:
    """A host on which each change of ids makes a process traceable (proc_sys_fs(5))."""
    with kernel_setting(SUID_DUMPABLE, "1"):
        yield


@pytest.mark.alone
def test_at_no_step_is_a_process_the_users_to_trace(set_uid_lab: Lab, makes_dumpable: None) -> None:
    owners: set[tuple[str, int]] = set()

    def look(pid: int, who: str, _: Answer) -> None:
        owners.add((who, os.stat(f"/proc/{pid}/environ").st_uid))  # the user's, where it is dumpable: proc(5)

    with other_kernel(set_uid_lab, [Answer(call, None) for call in STEPS], look) as kernel:
        assert set_uid_lab.login("probe exit 7").code == 7
    assert sum(bool(given) for given in kernel.given) > len(STEPS) - 4, list(zip(STEPS, kernel.given, strict=True))
    assert owners == {(OUTER, 0), (INNER, 0), (COMMAND, 0)}


@pytest.mark.parametrize("planned", [True, False])
def test_after_each_change_of_ids_it_becomes_undumpable(set_uid_lab: Lab, planned: bool) -> None:
    lab, changed, met = set_uid_lab, set[int](), set[Answer]()

    def look(pid: int, _: str, answer: Answer) -> None:
        met.add(answer)
        if answer in changes:
            changed.add(pid)
        elif answer == NOT_DUMPABLE:
            changed.discard(pid)
        else:
            assert pid not in changed, answer

    back = Answer("setresuid", None, (-1, 0, -1), OUTER, nth=1)  # with a plan it is the proof of the drop that asks so
    changes = [*CHANGES] if planned else [*CHANGES, back]
    steps = [Answer(call, None) for call in (*STEPS, "sendto")]
    setting = contextlib.nullcontext() if planned else SETTINGS["no plan"](lab)
    with setting, other_kernel(lab, [*changes, NOT_DUMPABLE, *steps], look):
        assert lab.login("probe exit 7").code == (7 if planned else 125)
    assert len(met & set(changes)) >= (4 if planned else 2)
