"""Plans and installations that the login program must refuse: one line, one record, nothing executed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.root import login_lab
from tests.root.login_lab import OTHER_UID, PLANS, UID, Lab, assert_ended, assert_refused, plan, record

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

GOOD = plan()


def changed(old: bytes, new: bytes) -> bytes:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


CONTENT = {
    "empty": b"",
    "one byte": b"\0",
    "another file": b"root:x:0:0::/root:/bin/sh\n",
    "cut in a record": GOOD[: len(GOOD) // 2],
    "without its last byte": GOOD[:-1],
    "without its end": GOOD[: -len(b"end\0")],
    "with something behind": GOOD + b"x\0",
    "of another version": changed(b"jailssh-plan\x001\0", b"jailssh-plan\x002\0"),
    "of another uid": plan(OTHER_UID, home="/home/v"),
    "of root": changed(f"\0{UID}\0".encode(), b"\x000\0"),
    "with an unknown verb": changed(b"\0dev\0", b"\0devs\0"),
    "with .. in a path": changed(b"\0image\0/var/lib/", b"\0image\0/var/../"),
    "without a filter": plan(filters=[]),
    "huge": GOOD + b"\0" * (1 << 20),
}


@pytest.mark.parametrize("what", CONTENT)
def test_a_plan(set_uid_lab: Lab, what: str) -> None:
    set_uid_lab.publish(CONTENT[what])
    assert_refused(set_uid_lab.login("probe exit 0"), "plan-bad")


def test_a_plan_of_3_gb(set_uid_lab: Lab) -> None:
    os.truncate(set_uid_lab.publish(GOOD), 3 << 30)
    assert_refused(set_uid_lab.login("probe exit 0"), "plan-bad")


@pytest.mark.parametrize("what", ["of another machine", "that is no filter", "of half an instruction"])
def test_a_filter(every_lab: Lab, what: str) -> None:
    row = {
        "of another machine": record("seccomp", "pdp11", "060000000000ff7f"),
        "that is no filter": record("seccomp", os.uname().machine, "ffffffffffffffff"),
        "of half an instruction": record("seccomp", os.uname().machine, "060000000000ff7f0600"),
    }[what]
    every_lab.publish(plan(filters=[row]))
    assert_refused(every_lab.login("probe exit 0"), "plan-bad" if "half" in what else "seccomp")


def group_writable(path: pathlib.Path) -> None:
    path.chmod(0o620)


def owned(path: pathlib.Path) -> None:
    os.chown(path, UID, UID)


def linked_twice(path: pathlib.Path) -> None:
    os.link(path, path.with_name("2"))


def replaced(make: Callable[[pathlib.Path], object]) -> Callable[[pathlib.Path], None]:
    def replace(path: pathlib.Path) -> None:
        path.rename(path.with_name("2"))
        make(path)

    return replace


FILES = {
    "group-writable": group_writable,
    "owned by the account": owned,
    "linked twice": linked_twice,
    "a symbolic link": replaced(lambda path: path.symlink_to("2")),
    "a fifo": replaced(os.mkfifo),
    "a directory": replaced(os.mkdir),
    "a device": replaced(lambda path: os.mknod(path, 0o020600, os.makedev(1, 3))),
}


@pytest.mark.parametrize("what", FILES)
def test_a_plan_that_is(every_lab: Lab, what: str) -> None:
    path = every_lab.publish(plan())
    FILES[what](path)
    try:
        assert_refused(every_lab.login("probe exit 0"), "plan-bad")
    finally:
        path.with_name("2").unlink(missing_ok=True)
        if path.is_dir():
            path.rmdir()


@contextlib.contextmanager
def mode(path: pathlib.Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o7777
    path.chmod(bits)
    yield
    path.chmod(before)


@pytest.mark.parametrize("bits", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("place", [PLANS, "/var/lib/jailssh", "/var/lib"])
def test_a_directory_that_others_can_change(every_lab: Lab, place: str, bits: int) -> None:
    with mode(every_lab.path(place), bits):
        assert_refused(every_lab.login("probe exit 0"), "plan-bad")
    assert every_lab.login("probe exit 0").code == 0


def test_no_plan_and_no_daemon(every_lab: Lab) -> None:
    every_lab.path(f"{PLANS}/{UID}").unlink()
    row = assert_refused(every_lab.login("probe exit 0"), "plan-missing")
    assert "jailsshd" in row["MESSAGE"]
    assert row["JAILSSH_UID"] == str(UID)


@pytest.mark.parametrize("what", ["missing", "a symbolic link", "that others can change"])
def test_an_image(every_lab: Lab, what: str) -> None:
    image = every_lab.path(login_lab.IMAGE)
    aside = image.with_name("aside")
    if what == "that others can change":
        with mode(image, 0o777):
            assert_refused(every_lab.login("probe exit 0"), "image")
        return
    image.rename(aside)
    try:
        if what == "a symbolic link":
            image.symlink_to("aside")
        assert_refused(every_lab.login("probe exit 0"), "image")
    finally:
        image.unlink(missing_ok=True)
        aside.rename(image)


def no_new_privs() -> None:
    assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0


def test_a_caller_that_forbids_new_privileges(every_lab: Lab) -> None:
    row = assert_refused(every_lab.login("probe exit 0", prepare=no_new_privs), "misinstalled")
    assert "set-uid root" in row["MESSAGE"]


def test_a_program_without_its_privilege(every_lab: Lab) -> None:
    program, privileged = every_lab.path("/srv/plain"), every_lab.program
    shutil.copyfile(every_lab.path(privileged), program)
    program.chmod(0o755)
    every_lab.program = "/srv/plain"
    try:
        assert_refused(every_lab.login("probe exit 0"), "misinstalled")
    finally:
        every_lab.program = privileged


@pytest.mark.needs("strace")
def test_a_traced_caller_gains_nothing(set_uid_lab: Lab) -> None:
    command = ["strace", "-o", "/dev/null", set_uid_lab.program, "-c", "probe exit 0"]
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
    process = set_uid_lab.host.popen([*drop, *command])
    out, err = process.communicate(timeout=20)
    assert_refused(login_lab.Done(process.returncode, out, err, set_uid_lab.records()), "misinstalled")


def test_root(every_lab: Lab) -> None:
    process = every_lab.host.popen([every_lab.program, "-c", "probe exit 0"])
    out, err = process.communicate(timeout=20)
    assert_refused(login_lab.Done(process.returncode, out, err, every_lab.records()), "root")


@pytest.mark.needs("userns")
def test_root_of_a_user_namespace(every_lab: Lab) -> None:
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
    for maps in (["--map-root-user"], ["--map-current-user"]):
        process = every_lab.host.popen([*drop, "unshare", *maps, "-m", every_lab.program, "-c", "probe exit 0"])
        out, err = process.communicate(timeout=20)
        done = login_lab.Done(process.returncode, out, err, every_lab.records())
        assert_refused(done, "root" if maps == ["--map-root-user"] else "misinstalled")


@pytest.mark.parametrize(
    "words",
    [["-c"], ["-c", "probe", "x"], ["-l"], ["--help"], ["-x", "probe"], ["", ""], ["-c", "probe", "-c", "probe"]],
)
def test_arguments_that_no_login_uses(set_uid_lab: Lab, words: list[str]) -> None:
    argv = [b"jailssh-login", *(word.encode() for word in words)]
    assert_refused(set_uid_lab.login(argv=argv), "arguments")


def test_two_accounts_have_their_own_plans(every_lab: Lab) -> None:
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        done = every_lab.login("probe facts ids surroundings", uid=uid)
        assert done.facts["uid"] == f"{uid},{uid},{uid},{uid}"
        assert done.facts["cwd"] == home
        assert {row["JAILSSH_UID"] for row in done.records} == {str(uid)}


def test_journal_required(every_lab: Lab) -> None:
    every_lab.publish(plan(logging="require"))
    assert_ended(every_lab.login("probe exit 7"), 7)
    for path in ("/run/systemd/journal", "/run/systemd/journal/socket"):
        journal = every_lab.path(path)
        aside = journal.with_name("aside")
        journal.rename(aside)
        try:
            done = every_lab.start("probe exit 7").process.communicate(timeout=20)
            assert done[0] == b""
            assert done[1].count(b"\n") == 1
            assert b"reference" in done[1]
        finally:
            aside.rename(journal)
    # By the way of syslog, which leads to journald here; each with the reference that its user was told.
    found = every_lab.records()
    assert found
    assert all(row["SYSLOG_FACILITY"] == "10" and "login refused (journal)" in row["MESSAGE"] for row in found)


def test_journal_not_required(every_lab: Lab) -> None:
    journal = every_lab.path("/run/systemd/journal/socket")
    aside = journal.with_name("aside")
    journal.rename(aside)
    try:
        process = every_lab.start("probe exit 7").process
        assert process.communicate(timeout=20) == (b"", b"")
        assert process.returncode == 7
    finally:
        aside.rename(journal)
    assert every_lab.records() == []


def test_a_full_journal_is_no_way_around(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(plan(logging="require"))
    daemon = next(str(pid) for pid, line in set_uid_lab.host.pids().items() if "systemd-journald" in line)
    set_uid_lab.host.run(["kill", "-STOP", daemon], check=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as noise, contextlib.suppress(BlockingIOError):
            noise.setblocking(False)
            noise.connect(str(set_uid_lab.path("/run/systemd/journal/socket")))
            while True:
                noise.send(b"MESSAGE=noise\nSYSLOG_IDENTIFIER=noise\n")
        session = set_uid_lab.start("probe exit 7")
        session.pids(2)
    finally:
        set_uid_lab.host.run(["kill", "-CONT", daemon], check=True)
    assert_ended(session.wait(), 7)


def test_the_plan_of_another_name(every_lab: Lab) -> None:
    """The account's uid was another's when the plan was made: what sshd says of the login is another name."""
    name = GOOD.split(b"\0")[4].decode()
    assert every_lab.login("probe exit 0", env=[f"USER={name}".encode(), f"LOGNAME={name}".encode()]).code == 0
    for env in ([b"USER=newcomer", b"LOGNAME=newcomer"], [f"USER={name}".encode(), b"LOGNAME=newcomer"]):
        row = assert_refused(every_lab.login("probe exit 0", env=env), "name")
        assert row["JAILSSH_USER"] == "newcomer"
        assert f"plan is for {name}, login is of newcomer" in row["MESSAGE"]


@pytest.mark.parametrize(
    ("groups", "fits"),
    [
        ([("member", 6000)], True),
        ([("member", UID)], True),
        ([("member", 6000), ("outsider", 6001)], True),
        ([("member", 6001)], False),
        ([("member", 6000), ("member", 6001)], False),
        ([("outsider", 6000)], False),
        ([("member", 6000), ("outsider", UID)], False),
    ],
)
def test_a_plan_for_a_session_with_other_groups(every_lab: Lab, groups: list[tuple[str, int]], fits: bool) -> None:
    """Who is in a jail by a group has lost it since, or got another: the plan is made anew, or nobody comes in."""
    every_lab.publish(plan(groups=[record(verb, gid) for verb, gid in groups]))
    try:
        done = every_lab.login("probe exit 0")
        if fits:
            assert done.code == 0
        else:
            assert_refused(done, "plan-missing")
    finally:
        every_lab.publish(GOOD)


@pytest.mark.parametrize("name", ["", "new comer", "new\ncomer", "..", "x" * 3000])
def test_a_name_that_no_account_has(set_uid_lab: Lab, name: str) -> None:
    row = assert_refused(set_uid_lab.login("probe exit 0", env=[f"LOGNAME={name}".encode()]), "name")
    assert "JAILSSH_USER" not in row
    assert row["MESSAGE"].endswith("login is of another")
