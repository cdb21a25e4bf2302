"""What one login does stays in it: no mount on the host, no wait for others, no names of theirs, no share of the kernel
that another would miss."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import signal
from collections.abc import Iterator

import pytest

from tests.root import login_lab
from tests.root.login_lab import IMAGE, OTHER_UID, UID, Lab, Session, assert_ended, plan

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
