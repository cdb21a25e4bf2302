"""What a login inherits, from descriptors to signals: none of it may reach or hinder the jail."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence

import pytest

from tests.root import login_lab
from tests.root.login_lab import (
    CAN_RAISE_LIMITS,
    UID,
    Done,
    Lab,
    assert_ended,
    assert_refused,
    descriptors,
    limit,
    plan,
    record,
)

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

SANE = ["SSH_CONNECTION=192.0.2.1 4000 192.0.2.2 22", "PATH=/bin", "HOME=/home/u"]


def closing(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)], ids=str)
def test_closed_descriptors(every_lab: Lab, closed: Sequence[int]) -> None:
    note = every_lab.path("/home/u/written")
    done = every_lab.login("probe write /home/u/written written", prepare=closing(*closed))
    assert_ended(done, 0)
    assert note.read_text() == "written"  # and not in a file that took the place of a closed descriptor
    note.unlink()
    if 1 not in closed:
        facts = every_lab.login("probe facts fds", prepare=closing(*closed)).facts
        assert [entry[:2] for entry in facts.all("fd")] == ["0|", "1|", "2|"]


def open_many() -> None:
    """Leave 500 descriptors open, of every kind that could lead out of a jail."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    kept = [root, os.open("/", os.O_PATH), os.open("/srv", os.O_PATH | os.O_DIRECTORY), os.memfd_create("x", 0)]
    kept += [end.detach() for end in socket.socketpair()] + list(os.pipe()) + [os.pidfd_open(os.getpid())]
    kept += [os.dup(kept[number % 4]) for number in range(491)]
    for fd in kept:
        os.set_inheritable(fd, True)
    os.dup2(root, 1999, True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 2000))


def test_open_descriptors(every_lab: Lab) -> None:
    facts = every_lab.login("probe facts fds", prepare=open_many).facts
    assert [entry.split("|")[0] for entry in facts.all("fd")] == ["0", "1", "2"]


def directories(pid: int) -> list[str]:
    return [fd for fd in os.listdir(f"/proc/{pid}/fd") if os.path.isdir(f"/proc/{pid}/fd/{fd}")]


def test_open_descriptors_do_not_stay_outside(every_lab: Lab) -> None:
    session = every_lab.start("probe sleep 60", prepare=open_many)
    outer, first, _ = session.pids(3)
    for pid in (outer, first):
        # Directories of the host were opened for the jail; what talks to jailed processes keeps none, once ready.
        end = time.monotonic() + 10
        while directories(pid) and time.monotonic() < end:
            time.sleep(0.01)
        assert not directories(pid)
        held = descriptors(pid)
        # The outer half has one of its own, by whose name root knows the session.
        assert not [name for name in held if name.startswith(("/srv", "/memfd")) and "/memfd:jailssh " not in name]
        assert len(held) < 16
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


def test_no_arguments_at_all(every_lab: Lab) -> None:
    # Linux 5.18 and newer give a process without arguments an empty first one.
    done = every_lab.login(argv=[])
    assert done.code in (126, 127)
    assert done.out == b""
    assert done.events() == (["denied"] if done.code == 126 else [])


@pytest.mark.parametrize("name", [b"", b"%n%s%n", b"x" * 100_000, b"-" + b"y" * 4096, b"\xff\n\x1b[2J"])
def test_the_programs_own_name_means_nothing(set_uid_lab: Lab, name: bytes) -> None:
    done = set_uid_lab.login(argv=[name, b"-c", b"probe exit 7"])
    assert_ended(done, 7)
    assert "%n" not in str(done.records)


LARGE = b"v" * (128 * 1024 - 32)


@pytest.mark.parametrize(
    "env",
    [
        [b"LARGE=" + LARGE, b"TERM=" + LARGE, b"LC_ALL=" + LARGE],
        [b"N%d=x" % number for number in range(1000)],
        [b"LC_%d=x" % number for number in range(1000)],
        [b"", b"=", b"=x", b"NOVALUE", b"TERM", b"A B=c", b"A\nB=c", b"\xff=\xff"],
    ],
    ids=["128 KiB", "1000", "1000 that look good", "odd"],
)
def test_an_odd_environment(every_lab: Lab, env: Sequence[bytes]) -> None:
    done = every_lab.login("probe env", env=env)
    assert sorted(done.facts.all("env")) == sorted(SANE)
    assert done.records[0]["JAILSSH_PEER"] == "192.0.2.1 4000 192.0.2.2 22"


def test_many_good_variables_are_bounded(every_lab: Lab) -> None:
    names = [f"LC_{a}{b}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
    found = every_lab.login("probe env", env=[f"{name}=C".encode() for name in names]).facts.all("env")
    assert {entry.partition("=")[0] for entry in found} < {*names, "PATH", "HOME", "SSH_CONNECTION"}
    assert len(found) < 40


# USER and LOGNAME are the account's own: another name is refused.
SMUGGLED = {
    "LD_PRELOAD": "/home/u/evil.so", "LD_LIBRARY_PATH": "/home/u", "LD_AUDIT": "/home/u/evil.so", "LD_DEBUG": "all",
    "GLIBC_TUNABLES": "glibc.malloc.mxfast=glibc.malloc.mxfast=A", "MALLOC_CHECK_": "3", "GCONV_PATH": "/home/u",
    "LOCPATH": "/home/u", "NLSPATH": "/home/u/%N", "PATH": "/home/u/bin", "IFS": "/", "BASH_ENV": "/home/u/evil",
    "ENV": "/home/u/evil", "SHELLOPTS": "xtrace", "BASH_FUNC_x%%": "() { id; }", "HOME": "/", "USER": "u",
    "LOGNAME": "u", "SHELL": "/home/u/sh", "TZ": "/etc/shadow", "TMPDIR": "/home/u", "INPUTRC": "/etc/shadow",
    "TERMINFO": "/home/u", "TERM": "../../home/u/x", "LC_ALL": "../../home/u/loc", "LANG": "en_US/../..",
    "LESSOPEN": "|id %s", "PERL5OPT": "-Mevil", "PYTHONPATH": "/home/u", "GIT_SSH_COMMAND": "id", "NOTIFY_SOCKET": "@x",
    "SSH_ORIGINAL_COMMAND": "probe exit 3", "SSH_AUTH_SOCK": "/tmp/x", "XDG_RUNTIME_DIR": "/run/user/0",
    "JAILSSH_USER": "root", "RESOLV_HOST_CONF": "/etc/shadow", "POSIXLY_CORRECT": "1",
}  # fmt: skip


def test_smuggled_variables(every_lab: Lab) -> None:
    done = every_lab.login("probe env", env=[f"{name}={value}".encode() for name, value in SMUGGLED.items()])
    assert sorted(done.facts.all("env")) == sorted(SANE)
    assert done.records[0]["JAILSSH_USER"] == "u"


def test_good_variables_pass(every_lab: Lab) -> None:
    good = ["TERM=xterm-256color", "LANG=de_DE.UTF-8", "LC_TIME=C", "COLORTERM=truecolor", "GIT_PROTOCOL=version=2"]
    found = every_lab.login("probe env", env=[entry.encode() for entry in good]).facts.all("env")
    assert sorted(found) == sorted([*SANE, *good])


def test_a_variable_given_twice_cannot_replace_the_plans(every_lab: Lab) -> None:
    every_lab.publish(plan(middle=[record("env", "LANG", "C.UTF-8")]))
    env = [b"LANG=POSIX", b"LANG=../x", b"HOME=/a", b"HOME=/b"]
    found = every_lab.login("probe env", env=env).facts.all("env")
    assert next(entry for entry in found if entry.startswith("LANG=")) == "LANG=C.UTF-8"
    assert not [entry for entry in found if entry.startswith("HOME=") or ".." in entry]


BIG = resource.RLIM_INFINITY
LIMITS = {
    "NOFILE 0": (resource.RLIMIT_NOFILE, 0, "rlimit.nofile"),
    "NOFILE 3": (resource.RLIMIT_NOFILE, 3, "rlimit.nofile"),
    "FSIZE 0": (resource.RLIMIT_FSIZE, 0, "rlimit.fsize"),
    "NPROC 0": (resource.RLIMIT_NPROC, 0, "rlimit.nproc"),
    "NPROC 1": (resource.RLIMIT_NPROC, 1, "rlimit.nproc"),
    "AS 8 MiB": (resource.RLIMIT_AS, 8 << 20, "rlimit.as"),
    "DATA 1 MiB": (resource.RLIMIT_DATA, 1 << 20, "rlimit.data"),
    "STACK 64 KiB": (resource.RLIMIT_STACK, 64 << 10, "rlimit.stack"),
    "SIGPENDING 0": (resource.RLIMIT_SIGPENDING, 0, "rlimit.sigpending"),
    "MEMLOCK 0": (resource.RLIMIT_MEMLOCK, 0, "rlimit.memlock"),
    "CPU 5 s": (resource.RLIMIT_CPU, 5, "rlimit.cpu"),
}


def ended_before_it_began(done: Done, what: str) -> bool:
    """True if musl's start, which looks at descriptors 0-2 of a set-uid program, could not: it ends the process."""
    if what != "NOFILE 0" or done.code not in (-signal.SIGSEGV, 128 + signal.SIGSEGV):
        return False
    assert (done.out, done.err, done.records) == (b"", b"", [])
    return True


@pytest.mark.parametrize("what", LIMITS)
def test_low_soft_limits_do_not_hinder_a_login(every_lab: Lab, what: str) -> None:
    which, low, key = LIMITS[what]
    hard = resource.getrlimit(which)[1]
    done = every_lab.login("probe facts limits", prepare=limit(which, low, hard))
    if ended_before_it_began(done, what):
        return
    assert done.facts[key] == f"{low}:{hard}"  # the account keeps the limits that it came with


@pytest.mark.parametrize("what", LIMITS)
def test_low_hard_limits_never_half_a_login(set_uid_lab: Lab, what: str) -> None:
    which, low, _ = LIMITS[what]
    done = set_uid_lab.login("probe exit 7", prepare=limit(which, low))
    if ended_before_it_began(done, what):
        return
    if done.code == 7 or CAN_RAISE_LIMITS:
        assert_ended(done, 7)
    elif "NOFILE" in what:  # not even a descriptor for the journal
        assert (done.code, done.out, done.err.count(b"\n"), done.records) == (125, b"", 1, [])
    else:
        assert_refused(done, "target" if "FSIZE" in what else "setup")


def test_unlimited_limits(every_lab: Lab) -> None:
    def unlimited() -> None:
        for which in (resource.RLIMIT_STACK, resource.RLIMIT_CORE):
            with contextlib.suppress(ValueError, PermissionError):
                resource.setrlimit(which, (resource.getrlimit(which)[1],) * 2)

    facts = every_lab.login("probe facts limits", prepare=unlimited).facts
    assert facts["rlimit.core"] == "0:0"


def test_the_plans_limits_lower_and_never_raise(every_lab: Lab) -> None:
    every_lab.publish(plan(middle=[record("rlimit", "nofile", 100), record("rlimit", "fsize", 1 << 40)]))
    facts = every_lab.login("probe facts limits", prepare=limit(resource.RLIMIT_FSIZE, 1 << 20)).facts
    assert facts["rlimit.nofile"] == "100:100"
    assert facts["rlimit.fsize"] == f"{1 << 20}:{1 << 20}"


def ignore_and_block() -> None:
    """Ignore and block all that can be, as a careless or hostile parent would."""
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))


def test_signals_are_as_after_boot(every_lab: Lab) -> None:
    facts = every_lab.login("probe facts signals", prepare=ignore_and_block).facts
    assert (facts["signal.ignored"], facts["signal.blocked"]) == (str(int(signal.SIGXFSZ)), "")
    assert facts.all("timer") == ["0.000000"] * 3


def test_ignored_sigchld_does_not_lose_the_exit_status(every_lab: Lab) -> None:
    assert_ended(every_lab.login("probe exit 7", prepare=ignore_and_block), 7)


def timers(first: float = 0.02) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))  # so that this process lives until the call
    for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(which, first, 0.02)


def test_timers_end_no_login(every_lab: Lab) -> None:
    # One that fires between the call and the first instruction still counts; what is asked is that the command lives.
    done = every_lab.login("probe sleep 0.1", prepare=timers)
    assert done.code in (0, 128 + signal.SIGALRM)
    assert every_lab.login("probe sleep 0.9", prepare=lambda: timers(0.6)).code == 0
    assert every_lab.login("probe facts signals", prepare=lambda: timers(30)).facts.all("timer") == ["0.000000"] * 3


@pytest.mark.parametrize("mask", [0, 0o777])
def test_umask(every_lab: Lab, mask: int) -> None:
    done = every_lab.login("probe facts surroundings", prepare=lambda: os.umask(mask))
    assert done.facts["umask"] == "027"
    tried = every_lab.login("probe try all", prepare=lambda: os.umask(mask)).facts.tries()
    assert tried["create:/dev/probe-file"] != "ok"
    assert tried["create:/home/probe-file"] != "ok"


def deleted_directory() -> None:
    os.mkdir("/tmp/gone")
    os.chdir("/tmp/gone")
    os.rmdir("/tmp/gone")


@pytest.mark.parametrize("enter", [deleted_directory, lambda: os.chdir("/proc/self/fd"), lambda: os.chdir("/srv")])
def test_working_directory(every_lab: Lab, enter: Callable[[], None]) -> None:
    assert every_lab.login("probe facts surroundings", prepare=enter).facts["cwd"] == "/home/u"


def test_niceness_and_personality(set_uid_lab: Lab) -> None:
    def odd() -> None:
        os.nice(10)
        ctypes.CDLL(None).personality(0x0420000)  # READ_IMPLIES_EXEC, UNAME26: set-id programs keep the latter

    assert set_uid_lab.login("probe facts power", prepare=odd).facts["personality"] == "0"


def test_the_forced_command(every_lab: Lab) -> None:
    # sshd runs the forced command by the login shell, and both are this program.
    asked = b"SSH_ORIGINAL_COMMAND=probe exit 3"
    program = b"/usr/local/libexec/jailssh/jailssh-login"
    assert_ended(every_lab.login(argv=[b"jailssh-login", b"-c", program], env=[asked]), 3)
    done = every_lab.login(argv=[b"jailssh-login", b"-c", program])
    assert (done.code, done.events()) == (126, ["denied"])
    assert done.err == b"jailssh: login succeeded, but no shell is allowed; this account allows: probe\n"


def test_power_cannot_be_lent_by_a_hard_link_or_copy(set_uid_lab: Lab) -> None:
    other = set_uid_lab.path("/srv/other-name")
    os.link(set_uid_lab.path(set_uid_lab.program), other)
    program, set_uid_lab.program = set_uid_lab.program, "/srv/other-name"
    try:
        facts = set_uid_lab.login("probe facts ids").facts
        assert facts["uid"] == f"{UID},{UID},{UID},{UID}"
    finally:
        set_uid_lab.program = program
        other.unlink()


def test_a_crash_leaves_no_core(set_uid_lab: Lab) -> None:
    session = set_uid_lab.start("probe sleep 60", prepare=limit(resource.RLIMIT_CORE, BIG))
    outer = session.pids(3)[0]
    with open(f"/proc/{outer}/limits") as limits:
        assert next(line.split()[4] for line in limits if line.startswith("Max core file size")) == "0"
    os.kill(outer, signal.SIGKILL)
    assert session.wait().code == -signal.SIGKILL
