"""A jail entered by its name: the program called as jailssh-enter, by an account or by whoever forges what it can."""

from __future__ import annotations

import ctypes
import os
import pathlib
import resource
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.root import login_lab
from tests.root.login_lab import (
    MESSAGE,
    NEEDS,
    OTHER_UID,
    PLANS,
    UID,
    Done,
    Lab,
    assert_ended,
    limit,
    plan,
    record,
)
from tests.root.terminal_lab import Terminal

pytestmark = NEEDS
set_uid_lab = login_lab.set_uid_lab
GROUP = 6000  # what the lab's sessions are in
JAIL = "lab"
_OTHER = "not allowed to enter this jail"


def publish(lab: Lab, data: bytes, uid: int = UID, jail: str = JAIL) -> pathlib.Path:
    path = lab.path(f"{PLANS}/{uid}@{jail}")
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def enter(lab: Lab, command: str | None = None, *, jail: bytes = JAIL.encode(), **how: Any) -> Done:
    argv = [b"jailssh-enter", jail, *([] if command is None else [b"-c", command.encode()])]
    return lab.login(argv=argv, **how)


@pytest.fixture
def lab(set_uid_lab: Lab) -> Lab:
    """The lab with nobody in a jail by a login, and one account that may enter one."""
    for name in set_uid_lab.path(PLANS).iterdir():
        name.unlink()
    publish(set_uid_lab, plan())
    return set_uid_lab


def test_a_command_runs_and_is_recorded_as_an_entry(lab: Lab) -> None:
    done = enter(lab, "probe facts")
    assert done.events() == ["session-start", "session-end"]
    for row in done.records:
        assert (row["JAILSSH_ENTERED"], row["JAILSSH_JAIL"], row["JAILSSH_USER"]) == (JAIL, JAIL, "u")
        assert "JAILSSH_PEER" not in row  # anybody can say SSH_CONNECTION
    assert not any(name.startswith("SSH_") for name in done.facts.environment())


def descriptors(done: Done) -> list[str]:
    return ["|".join(row.split("|")[:2]) for row in done.facts.all("fd")]


def test_a_login_is_not_an_entry_and_an_entry_no_login(lab: Lab) -> None:
    assert lab.login("probe facts").records[0]["JAILSSH_REASON"] == "plan-missing"
    lab.publish(plan())
    (path,) = lab.path(PLANS).glob("*@*")
    path.unlink()
    row = lab.login("probe facts").records[0]
    assert "JAILSSH_ENTERED" not in row
    assert_not_listed(enter(lab, "probe facts"))


def assert_not_listed(done: Done, jail: str = JAIL) -> None:
    assert (done.code, done.out, done.err) == (126, b"", f"jailssh: this account is {_OTHER}\n".encode()), done
    (row,) = done.records
    assert (row["JAILSSH_EVENT"], row["JAILSSH_REASON"], row["JAILSSH_ENTERED"]) == ("denied", "not-listed", jail)


def test_who_is_not_listed_hears_the_same_whether_the_jail_is_there(lab: Lab) -> None:
    assert_not_listed(enter(lab, "probe facts", uid=OTHER_UID))
    assert_not_listed(enter(lab, "probe facts", uid=OTHER_UID, jail=b"none"), "none")
    assert_not_listed(enter(lab, "probe facts", jail=b"none"), "none")


@pytest.mark.parametrize(
    "argv",
    [
        (b"",), (b"-x",), (b"--",), (b"../lab",), (b"lab/../lab",), (b"a..b",), (b"/",), (b".",), (b"..",), (b".lab",),
        (b"LAB",), (b"lab\n",), (b"l\xc3\xa4b",), (b"lab@lab",), (b"a+b",), (b"a" * 65,), (b"a" * 100_000,), (),
        (b"lab", b"probe"), (b"lab", b"-x", b"probe"), (b"lab", b"-c"), (b"lab", b"--", b"probe"),
        (b"lab", b"-c", b"probe facts", b"more"), (b"-c", b"probe facts"), (b"-u", b"v", b"lab"),
    ],
)  # fmt: skip
def test_arguments_that_are_no_way_in(lab: Lab, argv: Sequence[bytes]) -> None:
    done = lab.login(argv=[b"jailssh-enter", *argv])
    assert (done.code, done.out) == (125, b"")
    assert [row["JAILSSH_REASON"] for row in done.records] == ["arguments"]


@pytest.mark.parametrize("name", [b"/usr/bin/jailssh-enter", b"../jailssh-enter", b"/jailssh-enter"])
def test_the_name_may_have_a_directory(lab: Lab, name: bytes) -> None:
    assert_ended(lab.login(argv=[name, b"lab", b"-c", b"probe exit 3"]), 3)


@pytest.mark.parametrize("name", [b"-jailssh-enter", b"jailssh-enter/", b"jailssh-enter ", b"enter", b""])
def test_a_name_that_is_another_is_a_login(lab: Lab, name: bytes) -> None:
    done = lab.login(argv=[name, b"lab"])
    assert [row["JAILSSH_REASON"] for row in done.records] == ["arguments"]
    assert "JAILSSH_ENTERED" not in done.records[0]


def test_a_forged_environment_gets_nothing_in(lab: Lab) -> None:
    env = [b"SSH_ORIGINAL_COMMAND=actor x", b"SSH_USER_AUTH=/tmp/sshauth.aaaaaaaaaaaaaaa", b"LD_PRELOAD=/x",
           b"TERM=vt9", b"SSH_CONNECTION=10.0.0.1 1 10.0.0.2 22", b"JAILSSH_KEY=k", b"USER=u", b"PATH=/evil",
           b"HOME=/"]  # fmt: skip
    assert enter(lab, "probe facts", env=env).facts.environment() == {"TERM": "vt9", "PATH": "/bin", "HOME": "/home/u"}
    done = enter(lab, "probe facts", env=[b"LOGNAME=v"])
    assert (done.code, done.records[0]["JAILSSH_REASON"]) == (125, "name")


def test_nothing_of_the_callers_goes_in(lab: Lab) -> None:
    """A directory as standard input, and one far above the limit of descriptors."""

    def prepare() -> None:
        root = os.open("/", os.O_RDONLY)
        os.dup2(root, 200)
        os.dup2(root, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    assert descriptors(enter(lab, "probe facts", prepare=prepare)) == ["0|pipe", "1|pipe", "2|pipe"]


def test_input_and_output_pass_and_closed_streams_do_not_matter(lab: Lab) -> None:
    assert enter(lab, "probe cat", input=b"through\n" * 30000).out == b"through\n" * 30000

    def close() -> None:
        for fd in (0, 1, 2):
            os.close(fd)

    assert enter(lab, "probe exit 4", prepare=close).code == 4


def test_what_a_caller_leaves_behind_in_its_process_stops_nothing(lab: Lab) -> None:
    """Signals that are blocked and ignored, a directory that is gone, no room for signals, a umask of 0777."""

    def prepare() -> None:
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
        for number in set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
            signal.signal(number, signal.SIG_IGN if number % 2 else signal.SIG_DFL)
        for which in (resource.RLIMIT_SIGPENDING, resource.RLIMIT_MSGQUEUE):
            resource.setrlimit(which, (0, 0))
        os.umask(0o777)
        os.nice(19)

    assert_ended(enter(lab, "probe exit 3", prepare=prepare), 3)


@pytest.mark.parametrize("how", ["no new privileges", "user namespace"])
def test_without_the_power_of_root_nothing_runs(lab: Lab, how: str) -> None:
    """Nor by the plans that the caller's own mounts would show, as root in a namespace of the caller's."""

    def prepare() -> None:
        libc = ctypes.CDLL(None)
        if how == "user namespace":
            assert libc.unshare(0x10000000 | 0x00020000) == 0
        else:
            assert libc.prctl(38, 1, 0, 0, 0) == 0

    done = enter(lab, "probe exit 3", prepare=prepare)
    assert (done.code, done.out) == (125, b"")


@pytest.mark.parametrize(
    "which", [resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK]
)
def test_a_limit_of_the_callers_at_zero(lab: Lab, which: int) -> None:
    """It stops nothing of the way in, and holds for the command."""
    done = enter(lab, "probe exit 0", prepare=limit(which, 0, resource.getrlimit(which)[1]))
    assert_ended(done, 0)


@pytest.mark.parametrize("verb", ["member", "outsider"])
def test_a_session_of_a_group(lab: Lab, verb: str) -> None:
    for gid, is_in in ((GROUP, True), (6001, False)):
        publish(lab, plan(groups=[record(verb, gid)]))
        done = enter(lab, "probe exit 5")
        if is_in == (verb == "member"):
            assert_ended(done, 5)
        else:
            assert_not_listed(done)


@pytest.mark.parametrize(
    ("how", "detail"),
    [
        ("other jail", "plan of another jail"),
        ("other uid", "plan of another user"),
        ("mode", "Operation not permitted"),
        ("link", "Symbolic link loop"),
        ("second name", "Invalid argument"),
        ("cut", "plan is truncated or too large"),
    ],
)
def test_a_plan_that_is_not_as_it_must_be(lab: Lab, how: str, detail: str) -> None:
    path = lab.path(f"{PLANS}/{UID}@{JAIL}")
    if how == "other jail":
        publish(lab, plan(), jail="web")
    elif how == "other uid":
        publish(lab, plan(OTHER_UID, home="/home/v"))
    elif how == "mode":
        path.chmod(0o622)
    elif how == "link":
        path.rename(path.with_name("else"))
        path.symlink_to("else")
    elif how == "second name":
        path.with_name("else").hardlink_to(path)
    else:
        path.write_bytes(plan()[:-1])
    done = enter(lab, "probe facts", jail=b"web" if how == "other jail" else JAIL.encode())
    assert (done.code, done.out) == (125, b"")
    (row,) = done.records
    assert row["JAILSSH_REASON"] == "plan-bad" and detail in row["MESSAGE"], row


def test_without_a_command_it_is_the_shell_or_what_is_allowed(lab: Lab) -> None:
    done = enter(lab)
    assert (done.code, done.err) == (126, f"jailssh: jail has no shell; {MESSAGE}\n".encode())
    assert done.records[0]["JAILSSH_REASON"] == "not-interactive"
    done = enter(lab, "id")
    assert (done.code, done.err) == (126, f"jailssh: command not allowed; {MESSAGE}\n".encode())


def test_a_terminal_is_one_of_the_jails_own_and_a_mixture_is_pipes(lab: Lab) -> None:
    publish(lab, plan(pty=True))
    terminal = Terminal(lab)
    terminal.start(None, argv=[b"jailssh-enter", b"lab"])
    done = terminal.wait()
    assert (done.code, done.facts["isatty"], done.facts["tty.control"]) == (0, "1,1,1", "ok"), done
    terminal.close()
    master, slave = os.openpty()
    for which in ("stdin", "stderr"):
        ends: dict[str, Any] = {which: slave}
        done = enter(lab, "probe facts", **ends)
        assert (done.code, descriptors(replace(done, err=b""))[:2]) == (0, ["0|pipe", "1|pipe"])
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_killed_halfway_nothing_is_left(lab: Lab, which: int) -> None:
    """The outer half, the jail's first process, the command."""
    session = lab.start(argv=[b"jailssh-enter", b"lab", b"-c", b"probe sleep 60"], stdin=subprocess.DEVNULL)
    os.kill(session.pids(3)[which], signal.SIGKILL)
    assert session.wait().code != 0
    lab.assert_nothing_left()
