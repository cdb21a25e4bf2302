"""What refusals are met with: plans, things that are wrong on the host, and what is asked of each refusal.

Status 125, one line that tells nothing but a reference, one record with the reason, and that nothing but the login
program itself was executed, as the kernel saw it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import pty
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from jailssh.core.closed import Network
from jailssh.host.process import start_time
from jailssh.plan import codec
from jailssh.policy.rules import Rule, check_rules, rule_records
from tests.harness.certificates import key_line
from tests.harness.executed import Executed, can_watch
from tests.harness.sysctl import SUID_DUMPABLE, kernel_setting
from tests.root import key_lab, login_lab
from tests.root.linger_lab import RECORDS, end_keepers, forget_keepers, record_text
from tests.root.login_lab import PLANS, UID, Done, Lab, plan, record
from tests.root.other_kernel import other_kernel
from tests.root.refusal_rows import Row
from tests.root.relay_lab import FAST, limited

HOME = "/home/u"
RECORDINGS = "/var/lib/jailssh/recordings"
RUN = Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("exit", "0"))


def with_rule(rule: Rule) -> bytes:
    check_rules([rule])
    parsed = codec.decode(plan())
    return codec.encode(replace(parsed, records=(*parsed.records, *(record(*row) for row in rule_records(rule)))))


PLAN: dict[str, Callable[[], bytes]] = {
    "usual": plan,
    "shared": plan,  # put by its setting
    "journal required": lambda: plan(logging="require"),
    "group": lambda: limited(record("group", 5000)),
    "counted": lambda: limited(record("sessions", 3)),
    "another machine": lambda: plan(filters=[record("seccomp", "pdp11", "060000000000ff7f")]),
    "no filter": lambda: plan(filters=[record("seccomp", os.uname().machine, "ffffffffffffffff")]),
    "relayed": lambda: limited(FAST),
    "nice": lambda: limited(record("nice", 19)),
    "terminal": lambda: plan(pty=True),
    "recorded": lambda: limited(record("record", RECORDINGS, 1 << 20, "no"), pty=True),
    "proc": lambda: plan(proc=True),
    "system": lambda: plan(system=True),
    "loopback": lambda: plan(net=Network.LOOPBACK),
    "account": lambda: plan(net=Network.ACCOUNT),
    "linger": lambda: plan(linger=True),
    "member": lambda: plan(groups=[record("member", 6000)]),
    "log": lambda: with_rule(replace(RUN, stderr_to_journal=True)),
    "at home": lambda: with_rule(replace(RUN, relative_to=HOME, path_roots=(HOME,), operands=(1, 1, "path"))),
    "alone": lambda: with_rule(replace(RUN, noexec=True)),
    "keep": lambda: with_rule(replace(RUN, create_only=True)),
    "within": lambda: with_rule(replace(RUN, accessible_directories=((HOME, True),))),
    "first": lambda: with_rule(replace(RUN, pre_command=("/bin/probe", "exit", "0"))),
    "first that fails": lambda: with_rule(replace(RUN, pre_command=("/bin/probe", "exit", "3"))),
}


def no_new_privs() -> None:
    assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0


@contextlib.contextmanager
def moved(path: pathlib.Path) -> Iterator[None]:
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


@contextlib.contextmanager
def lying_daemon(lab: Lab) -> Iterator[None]:
    """Something at the daemon's address that says it has made a plan."""
    path = lab.path("/run/jailssh/jailsshd.sock")
    lab.make_dir("/run/jailssh", 0o755)
    with moved(lab.path(f"{PLANS}/{UID}")), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()

        listener.settimeout(20)

        def answer() -> None:
            with contextlib.suppress(TimeoutError), listener.accept()[0] as client:
                client.sendall(b"ok\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            thread.join()
            path.unlink()


@contextlib.contextmanager
def full_tmp(lab: Lab) -> Iterator[None]:
    lab.host.run(["sh", "-ec", "mount -t tmpfs -o size=64k none /tmp; cat /dev/zero >/tmp/full 2>/dev/null || true"])
    try:
        yield
    finally:
        lab.host.run(["umount", "/tmp"], check=True)


@contextlib.contextmanager
def shared(lab: Lab, *, number: int = 0, alice: str | None = key_lab.ALICE) -> Iterator[None]:
    """A shared account; sshd tells of this key, and the key's plan is that with the serial ``alice``."""
    with key_lab.cleaned(lab):
        key_lab.put_all(lab)
        if number:
            key_lab.tell(lab, key_line(number))
        if alice is None:
            lab.path(f"{PLANS}/{UID}.{key_lab.ALICE}").unlink()
        else:
            key_lab.put(lab, f"{UID}.{key_lab.ALICE}", key_lab.own_plan(alice))
        yield


@contextlib.contextmanager
def shared_with_full_tmp(lab: Lab) -> Iterator[None]:
    with shared(lab), full_tmp(lab):
        yield


@contextlib.contextmanager
def entered(lab: Lab, jail: str) -> Iterator[None]:
    """What lies under the name of the plan for entering this jail is that of the jail lab."""
    path = lab.publish(plan())
    path.rename(f"{path}@{jail}")
    try:
        yield
    finally:
        pathlib.Path(f"{path}@{jail}").unlink()


def another_plan(lab: Lab) -> AbstractContextManager[None]:
    lab.publish(plan(login_lab.OTHER_UID, home="/home/v"))
    return contextlib.nullcontext()


@contextlib.contextmanager
def a_keeper(lab: Lab) -> Iterator[None]:
    assert lab.login("probe exit 0").code == 0
    yield


@contextlib.contextmanager
def a_record_of_init(lab: Lab) -> Iterator[None]:
    with a_keeper(lab):
        path = lab.path(f"{RECORDS}/{UID}.")
        path.write_text(record_text(1, start_time(lab.host.init_pid), f"{UID:016x}"))
        yield


@contextlib.contextmanager
def recordings(lab: Lab, inodes: int = 0, *, full: bool = False) -> Iterator[None]:
    """A directory for recordings, on a file system of its own with so many inodes; ``full``: files stay empty."""
    options = f"nr_inodes={inodes},mode=700" + (",size=4k" if full else "")
    fill = f"; head -c 4k /dev/zero >{RECORDINGS}/full" if full else ""
    lab.host.run(["sh", "-ec", f"mkdir -p {RECORDINGS}; mount -t tmpfs -o {options} none {RECORDINGS}{fill}"])
    try:
        yield
    finally:
        lab.host.run(["sh", "-ec", f"umount {RECORDINGS}; rmdir {RECORDINGS}"], check=True)


SETTING: dict[str, Callable[[Lab], AbstractContextManager[None]]] = {
    "no plan": lambda lab: moved(lab.path(f"{PLANS}/{UID}")),
    "a plan of another": another_plan,
    "the plan of another jail": lambda lab: entered(lab, "other"),
    "a daemon that lies": lying_daemon,
    "a full /tmp": shared_with_full_tmp,
    "recordings": recordings,
    "full recordings": lambda lab: recordings(lab, 1),
    "recordings without space": lambda lab: recordings(lab, full=True),
    "a keeper": a_keeper,
    "a record of the host's init": a_record_of_init,
    "no file of sshd's": shared,
    "an unknown key": lambda lab: shared(lab, number=9),
    "a plan of another key": lambda lab: shared(lab, number=1, alice=key_lab.BOB),
    "no plan of the key": lambda lab: shared(lab, number=1, alice=None),
}
PREPARE: dict[str, Callable[[], object]] = {"no new privileges": no_new_privs}
OF_SSHD = f"SSH_USER_AUTH={key_lab.AUTH}".encode()
LINE = re.compile(rb"jailssh: cannot start this session; give your administrator reference ([0-9a-f]{8}|none)\r?\n")


@pytest.fixture(scope="module")
def executed() -> Iterator[Executed]:
    if not can_watch():
        pytest.skip("no tracefs with sched_process_exec here: nobody can tell what was executed")
    watch = Executed(threading.get_native_id())
    yield watch
    watch.close()


def login(lab: Lab, row: Row) -> Done:
    how: dict[str, Any] = {"uid": row.uid, "env": row.env, "prepare": PREPARE.get(row.setting)}
    if row.plan == "shared" and row.setting:
        how["env"] = (OF_SSHD,)
    if row.setting == "other arguments":
        return lab.login(argv=[b"jailssh-login", b"-x"])
    if row.setting == "the plan of another jail":
        return lab.login(argv=[b"jailssh-enter", b"other"])
    if row.plan not in ("terminal", "recorded"):
        return lab.login(row.command, **how)
    master, slave = pty.openpty()
    try:
        os.set_blocking(master, False)
        done = lab.start(row.command, stdin=slave, stdout=slave, stderr=slave, **how).wait()
        return replace(done, err=os.read(master, 4096))
    finally:
        os.close(master)
        os.close(slave)


def unpin(lab: Lab) -> None:
    lab.host.run(["sh", "-c", "umount -l /run/jailssh/ns 2>/dev/null; true"])


def assert_told(done: Done, row: Row) -> None:
    """Fail unless the user was told one line with the reference of the record."""
    line = LINE.fullmatch(done.err)
    assert line, done
    assert (line[1] == b"none") == (row.early and row.reason != "journal"), done.err


def assert_recorded(done: Done, row: Row) -> None:
    """Fail unless the records are as the row says, the last of them the refusal, with its reason."""
    what = rf"login refused \({row.reason}\): (?:{row.says or re.escape(row.text())})"
    if row.early:  # by the way of syslog, which leads to the journal here
        (found,) = done.records
        assert re.search(what, found["MESSAGE"]), found
        return
    assert tuple(done.events()) == row.events, done.records
    found = done.records[-1]
    assert re.match(rf"(?:u(?: \(alice\))?: )?{what}", found["MESSAGE"]), found
    assert (found["JAILSSH_REASON"], found["JAILSSH_EXIT"], found["PRIORITY"]) == (row.reason, "125", "4")
    line = LINE.fullmatch(done.err)
    assert line and found["JAILSSH_SESSION"].startswith(line[1].decode())


def meet(lab: Lab, executed: Executed, row: Row) -> None:
    """Meet the refusal of ``row``; fail unless it is as it should be."""
    unpin(lab) if row.fresh else lab.login("probe exit 0")
    lab.publish(PLAN[row.plan]())
    forget_keepers(lab)
    # With 1 the program acts as the user in no process of its own; only tests that are alone may set it so.
    traceable = SUID_DUMPABLE.read_text().strip() == "1"
    usual = kernel_setting(SUID_DUMPABLE, "0") if traceable else contextlib.nullcontext()
    plain = shared(lab) if row.plan == "shared" else contextlib.nullcontext()
    with usual, SETTING[row.setting](lab) if row.setting in SETTING else plain:
        lab.records()
        executed.take()
        with other_kernel(lab, row.answers, lambda *_: time.sleep(row.late)) as kernel:
            done = login(lab, row)
        end_keepers()
        if row.uid:
            lab.assert_nothing_left(row.uid)
        ran = [program for program in executed.take() if program != str(lab.starter)]
    assert all(kernel.given), list(zip(row.answers, kernel.given, strict=True))
    assert (done.code, done.out or b"") == (125, b""), done
    assert ran == [lab.program, *row.ran]
    assert_told(done, row)
    assert_recorded(done, row)
