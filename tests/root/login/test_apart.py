"""What one login does stays in it: no mount on the host, no wait for others, no names of theirs, no share of the kernel
that another would miss."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import signal
import struct
from collections.abc import Callable, Iterator

import pytest

from jailssh.core.closed import Network
from jailssh.plan import ops
from jailssh.policy import seccomp
from jailssh.policy.bpf import Condition, Denial, Test, compile_filter
from jailssh.policy.rules import UNBOUNDED, Rule
from tests.root import login_lab
from tests.root.login_lab import IMAGE, OTHER_UID, UID, Lab, Session, assert_ended, plan, record
from tests.root.other_kernel import OUTER, Answer, other_kernel
from tests.root.refusal_lab import with_rule

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab


def end(session: Session) -> None:
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


@contextlib.contextmanager
def no_pin(lab: Lab) -> Iterator[None]:
    """A copy in the place of the image, to which nobody has logged in yet."""
    lab.host.run(["sh", "-ec", f"mv {IMAGE} {IMAGE}.old; cp -a {IMAGE}.old {IMAGE}"], check=True)
    try:
        yield
    finally:
        lab.host.run(["sh", "-ec", f"rm -r {IMAGE}; mv {IMAGE}.old {IMAGE}"], check=True)


@pytest.fixture
def shared(every_lab: Lab) -> Iterator[Lab]:
    """A host as systemd makes it: every mount is shared."""
    every_lab.host.run(["mount", "--make-rshared", "/"], check=True)
    with no_pin(every_lab):
        yield every_lab
    every_lab.host.run(["mount", "--make-rprivate", "/"], check=True)


def test_mounts_of_a_login_are_not_on_the_host(shared: Lab) -> None:
    for _ in range(2):  # the first login of all, which makes the pin, and one that finds it
        session = shared.start("probe sleep 60")
        session.pids(3)
        # The cover over ~/.ssh would take the account's keys from sshd.
        assert shared.path("/home/u/.ssh/authorized_keys").read_text() == "a key\n"
        end(session)


def test_mounts_of_the_host_are_not_in_a_login(shared: Lab) -> None:
    later = shared.make_dir("/home/u/later", 0o755, UID)
    session = shared.start("probe sleep 60")
    command = session.pids(3)[2]
    try:
        shared.host.run(["mount", "-t", "tmpfs", "later", "/home/u/later"], check=True)
        assert " /home/u/later " not in pathlib.Path(f"/proc/{command}/mountinfo").read_text()
    finally:
        end(session)
        shared.host.run(["umount", "/home/u/later"], check=True)
        later.rmdir()


def test_a_held_lock_keeps_nobody_waiting(set_uid_lab: Lab) -> None:
    assert_ended(set_uid_lab.login("probe exit 0"), 0)  # makes the directory
    lock = os.open(set_uid_lab.path("/run/jailssh"), os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with no_pin(set_uid_lab):
            assert_ended(set_uid_lab.login("probe exit 0"), 0)
    finally:
        os.close(lock)


@pytest.mark.parametrize("proc", [False, True])
def test_names_of_sockets(set_uid_lab: Lab, proc: bool) -> None:
    # /proc/self/net/unix shows every socket of the network namespace, whoever made it.
    spaces, sessions = [], []  # both alive, since the number of a namespace that is gone is given again
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        set_uid_lab.publish(plan(uid, home=home, proc=proc), uid)
        session = set_uid_lab.start("probe sleep 60", uid=uid)
        sessions.append(session)
        spaces.append(os.readlink(f"/proc/{session.pids(3)[2]}/ns/net"))
    for session in sessions:
        end(session)
    own = spaces[0] != spaces[1]
    assert own or not proc


def namespaces(lab: Lab, kind: str) -> tuple[str, str]:
    """Return this namespace of a session of each of the accounts, both alive."""
    assert lab.login("probe exit 0").code == 0  # it pins what can be shared, for which others do not wait
    sessions = [lab.start("probe sleep 60", uid=uid) for uid in (UID, OTHER_UID)]
    found = [os.readlink(f"/proc/{session.pids(3)[2]}/ns/{kind}") for session in sessions]
    for session in sessions:
        end(session)
    return found[0], found[1]


@pytest.mark.needs("landlock-scope")
def test_a_network_is_shared_where_no_code_of_users_runs(set_uid_lab: Lab) -> None:
    one, other = namespaces(set_uid_lab, "net")
    assert one == other != os.readlink(f"/proc/{set_uid_lab.host.init_pid}/ns/net")


# A program of the user's own can take any name of a socket from the other logins.
RUN_CODE: dict[str, Callable[[], bytes]] = {
    "a program in the home": lambda: plan(home_exec="exec"),
    "a shell": lambda: plan(pty=True),
    "a command of any name": lambda: with_rule(
        Rule("lab.any", "lab", "/bin/probe", ("*",), operands=(0, UNBOUNDED, "text"))
    ),
}


@pytest.mark.parametrize("what", RUN_CODE)
def test_no_network_is_shared_where_code_runs(set_uid_lab: Lab, what: str) -> None:
    set_uid_lab.publish(RUN_CODE[what]())
    one, other = namespaces(set_uid_lab, "net")
    assert one != other


def test_no_network_is_shared_without_a_scope(set_uid_lab: Lab) -> None:
    other = set_uid_lab.start("probe sleep 60", uid=OTHER_UID)
    with other_kernel(set_uid_lab, [Answer("landlock_create_ruleset", errno.EOPNOTSUPP, who=OUTER)]):
        one = set_uid_lab.start("probe sleep 60")
        found = [os.readlink(f"/proc/{session.pids(3)[2]}/ns/net") for session in (one, other)]
        for session in (one, other):
            end(session)
    assert found[0] != found[1]


def test_a_host_name_is_shared_and_nobody_changes_it(every_lab: Lab) -> None:
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        every_lab.publish(plan(uid, home=home, proc=True, hostname="one"), uid)
    one, other = namespaces(every_lab, "uts")
    assert one == other != os.readlink(f"/proc/{every_lab.host.init_pid}/ns/uts")
    assert every_lab.login("probe try sethostname").facts["try.sethostname"] == "EPERM"
    for name in ("hostname", "domainname"):
        tried = every_lab.login(f"probe try open /proc/sys/kernel/{name} rw").facts["try.open"]
        assert tried in ("ENOENT", "EACCES", "EROFS")
    assert every_lab.login("probe facts", uid=OTHER_UID).facts["hostname"] == "one"
    every_lab.publish(plan(OTHER_UID, home="/home/v", hostname="two"), OTHER_UID)
    one, other = namespaces(every_lab, "uts")
    assert one != other
    assert every_lab.login("probe facts", uid=OTHER_UID).facts["hostname"] == "two"
    assert every_lab.login("probe facts").facts["hostname"] == "one"


def test_a_host_name_that_no_pin_can_have(every_lab: Lab) -> None:
    every_lab.path("/run/jailssh").mkdir(mode=0o755, exist_ok=True)
    assert_ended(every_lab.login("probe exit 0"), 0)  # makes the directory of the pins
    every_lab.path("/run/jailssh/ns/uts-three").mkdir()
    every_lab.publish(plan(proc=True, hostname="three"))
    assert every_lab.login("probe facts").facts["hostname"] == "three"
    session = every_lab.start("probe sleep 60")
    assert os.readlink(f"/proc/{session.pids(3)[2]}/ns/uts") != os.readlink(f"/proc/{every_lab.host.init_pid}/ns/uts")
    end(session)


IPC_CALLS = {"shmget", "shmat", "shmctl", "semget", "semop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
             "mq_open", "mq_unlink"}  # fmt: skip


def test_an_ipc_namespace_is_shared_where_nobody_can_reach_it(every_lab: Lab) -> None:
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        every_lab.publish(plan(uid, home=home, ipc=False), uid)
    one, other = namespaces(every_lab, "ipc")
    assert one == other != os.readlink(f"/proc/{every_lab.host.init_pid}/ns/ipc")
    said = every_lab.login("actor ipc").out.decode().split()
    assert dict(line.split("=") for line in said) == dict.fromkeys(IPC_CALLS, "ENOSYS")
    every_lab.publish(plan(ipc=True))  # a jail that has it is not where the others are
    one, other = namespaces(every_lab, "ipc")
    assert one != other
    said = every_lab.login("actor ipc").out.decode().split()
    assert {"shmget=ok", "semget=ok", "msgget=ok", "mq_open=ok"} <= set(said)


def _denying(*tests: Condition, but: str = "") -> ops.Record:
    """Return a filter that denies all of IPC, except the call ``but``, which it denies where ``tests`` hold."""
    lib = seccomp._library()
    numbers = {name: lib.resolve_syscall(lib.Arch.NATIVE, name) for name in (*IPC_CALLS, "ipc", "semtimedop")}
    denials = {
        number: [Denial(errno.EPERM, tests if name == but else ())] for name, number in numbers.items() if number >= 0
    }
    if not tests and but:
        del denials[numbers[but]]
    architecture = struct.unpack_from("=I", seccomp.filter_for(Network.NONE)[1], 12)[0]
    return record("seccomp", os.uname().machine, compile_filter(architecture, denials, x32=False).hex())


@pytest.mark.parametrize("but", sorted({*IPC_CALLS, "semtimedop"}))
def test_an_ipc_namespace_is_not_shared_where_one_call_reaches_it(set_uid_lab: Lab, but: str) -> None:
    for tests in ((), (Condition(Test.HAS, 0, (1,)),), (Condition(Test.NOT, 1, (0,)),)):
        for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
            set_uid_lab.publish(plan(uid, home=home, filters=[_denying(*tests, but=but)]), uid)
        one, other = namespaces(set_uid_lab, "ipc")
        assert one != other, tests


def test_an_ipc_namespace_is_not_shared_where_calls_are_logged(set_uid_lab: Lab) -> None:
    answer, fails, logs = 0x06, 0x00050000 | errno.EPERM, 0x7FFC0000  # linux/bpf_common.h, linux/seccomp.h
    machine, program = _denying().args
    denied, logged = (struct.pack("=HBBI", answer, 0, 0, value).hex() for value in (fails, logs))
    assert denied in program
    logging = record("seccomp", machine, program.replace(denied, logged))
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        set_uid_lab.publish(plan(uid, home=home, filters=[logging]), uid)
    one, other = namespaces(set_uid_lab, "ipc")
    assert one != other


def test_an_ipc_namespace_is_shared_by_the_filter_alone(set_uid_lab: Lab) -> None:
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        set_uid_lab.publish(plan(uid, home=home, filters=[_denying()]), uid)
    one, other = namespaces(set_uid_lab, "ipc")
    assert one == other


def test_the_pin_of_an_older_version_is_not_entered(every_lab: Lab) -> None:
    # Its root lacks what covers are made from.  This one is of another kind, and would be refused.
    with no_pin(every_lab):
        st = every_lab.path(IMAGE).stat()
        at = f"/run/jailssh/ns/{st.st_dev:x}-{st.st_ino:x}"
        every_lab.host.run(["sh", "-ec", f"touch {at}; mount --bind /proc/self/ns/mnt {at} || true"], check=True)
        assert_ended(every_lab.login("probe exit 0"), 0)
        pins = every_lab.host.run(["ls", "/run/jailssh/ns"], check=True).stdout.split()
    assert f"tree-{st.st_dev:x}-{st.st_ino:x}" in pins


def test_what_a_jail_can_take_of_the_kernel(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(plan(pty=True))
    session = set_uid_lab.start("probe sleep 60")
    first = pathlib.Path(f"/proc/{session.pids(3)[1]}")
    few = re.compile(r"^Max pending signals +256 +256 ", re.MULTILINE)
    set_uid_lab.host.wait_until(
        lambda: bool(few.search((first / "limits").read_text())), "the limit on waiting signals"
    )
    mounts = (first / "mountinfo").read_text()
    end(session)
    assert re.search(r" - devpts .*,max=64$", mounts, re.MULTILINE), mounts


def test_a_terminal_that_is_output_alone(every_lab: Lab) -> None:
    # As in "su - u </dev/null": the terminal is the caller's, and whoever can write to it can read what is typed there.
    every_lab.publish(plan(pty=True))
    master, terminal = os.openpty()
    try:
        done = every_lab.login(None, stderr=terminal)
    finally:
        os.close(master)
        os.close(terminal)
    assert (done.code, done.out, done.events()) == (126, b"", ["denied"])
    assert done.records[0]["JAILSSH_REASON"] == "no-terminal"
