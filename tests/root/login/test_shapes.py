"""What holds for the command of every shape of rule while it runs, and what the jail's first process holds to."""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule, rule_records
from tests.root import login_lab
from tests.root.login_lab import UID, Lab, Session, assert_ended, plan, record
from tests.root.relay_lab import limited
from tests.root.terminal_lab import Terminal

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

LIMITS = {"as": 1 << 30, "core": 1 << 20, "cpu": 77, "data": 1 << 29, "fsize": 12345, "memlock": 4096, "nofile": 55,
          "nproc": 66, "stack": 1 << 22}  # fmt: skip
NAMES = {"as": "address space", "core": "core file size", "cpu": "cpu time", "data": "data size", "fsize": "file size",
         "memlock": "locked memory", "nofile": "open files", "nproc": "processes", "stack": "stack size"}  # fmt: skip
SHAPES = {
    "plain": Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("sleep", "60")),
    "pre_command": Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("sleep", "60"),
                        pre_command=("/bin/probe", "exit", "0")),
    "stderr_to_journal": Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("sleep", "60"),
                              stderr_to_journal=True),
    "both": Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("sleep", "60"), stderr_to_journal=True,
                 pre_command=("/bin/probe", "exit", "0")),
    "noexec": Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("sleep", "60"), noexec=True),
    "what comes first": Rule("lab.run", "lab", "/bin/none", ("run",), pre_command=("/bin/probe", "sleep", "60")),
}  # fmt: skip


def shaped(rule: Rule, *more: object, limits: dict[str, int] = LIMITS, **how: object) -> bytes:
    """Return a plan with limits and one more rule."""
    rows = [*more, *(record("rlimit", name, value) for name, value in limits.items())]
    found = codec.decode(limited(*rows, **how))  # type: ignore[arg-type]
    return codec.encode(replace(found, records=(*found.records, *(record(*row) for row in rule_records(rule)))))


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    found = re.findall(r"^Max (.+?) {2,}(\S+) +(\S+)", text, re.MULTILINE)
    return {name: (soft, hard) for name, soft, hard in found}


def assert_held(pid: int, first: int, *more: bytes) -> None:
    """Check a command and the jail's first process, by what the kernel says about them."""
    held, own = limits_of(pid), limits_of(first)
    for name, value in LIMITS.items():
        wanted = 0 if name == "core" else value
        assert held[NAMES[name]] == (str(wanted), str(wanted)), name
        if name not in ("cpu", "nofile", "nproc"):  # which are for what it starts
            assert own[NAMES[name]] == (str(wanted), str(wanted)), name
    status = dict(re.findall(r"^(\w+):\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    assert (status["Uid"], status["Gid"]) == ("\t".join([str(UID)] * 4),) * 2
    assert (status["NoNewPrivs"], status["Seccomp"], status["Groups"].strip()) == ("1", "2", "")
    assert int(status["Seccomp_filters"]) >= 2
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert int(status["SigIgn"], 16) == 1 << signal.SIGXFSZ - 1
    assert {status["SigBlk"], status["SigCgt"]} <= {"0" * 16}
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    expected = [b"PATH=/bin", b"HOME=/home/u", b"SSH_CONNECTION=192.0.2.1 4000 192.0.2.2 22", *more, b""]
    assert environment == expected


def end(session: Session) -> None:
    session.signal(signal.SIGKILL)
    session.wait()


def sleeps(session: Session) -> bool:
    with suppress(OSError):
        return b"\0sleep\0" in pathlib.Path(f"/proc/{session.pids(3)[2]}/cmdline").read_bytes()
    return False


def over(pid: int) -> bool:
    return state(pid) in ("Z", "")


@pytest.mark.parametrize("relayed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_running_command(every_lab: Lab, shape: str, relayed: bool) -> None:
    how: dict[str, Any] = {"middle": [record("env", "PATH", "/bin"), record("env", "HOME", "/home/u")]}
    every_lab.publish(shaped(SHAPES[shape], *([record("bandwidth", 10**9)] if relayed else []), **how))
    session = every_lab.start("run")
    every_lab.host.wait_until(lambda: sleeps(session), "the command")
    _, first, command = session.pids(3)
    assert_held(command, first)
    end(session)


def test_a_command_on_a_terminal(every_lab: Lab) -> None:
    rule = Rule("lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("sleep", "60"))
    how: dict[str, Any] = {"middle": [record("env", "PATH", "/bin"), record("env", "HOME", "/home/u")]}
    every_lab.publish(shaped(rule, pty=True, **how))
    terminal = Terminal(every_lab)
    session = terminal.start("run")
    every_lab.host.wait_until(lambda: sleeps(session), "the command")
    _, first, command = session.pids(3)
    assert_held(command, first, b"TERM=xterm")
    end(session)
    os.close(terminal.master)
    os.close(terminal.slave)


def test_an_answer_starts_nothing(every_lab: Lab) -> None:
    every_lab.publish(
        shaped(Rule("lab.run", "lab", "/", ("run",), builtin_reply=(0, "")), limits={"nproc": 0, "nofile": 1})
    )
    assert_ended(every_lab.login("run"), 0)


def test_a_limit_on_processes_is_for_what_the_command_starts(every_lab: Lab) -> None:
    for nproc in (0, 1, 2):
        rule = Rule(
            "lab.run", "lab", "/bin/probe", ("run",), argv_prefix=("exit", "7"), pre_command=("/bin/probe", "exit", "0")
        )
        every_lab.publish(shaped(rule, limits={"nproc": nproc, "cpu": 1, "nofile": 3}))
        assert_ended(every_lab.login("run"), 7)


def test_the_time_is_kept_where_the_outer_half_is_stopped(every_lab: Lab) -> None:
    every_lab.publish(limited(record("duration", 1)))
    for command in ("probe sleep 60", "actor signals"):  # which takes SIGHUP and goes on
        begin = time.monotonic()
        session = every_lab.start(command)
        outer, first, _ = session.pids(3)
        os.kill(outer, signal.SIGSTOP)
        jail = os.pidfd_open(first)
        every_lab.host.wait_until(partial(over, first), "the end of the jail")
        assert 3 < time.monotonic() - begin < 25
        os.close(jail)
        os.kill(outer, signal.SIGCONT)
        session.wait()


def state(pid: int) -> str:
    with suppress(FileNotFoundError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return ""


LIBC = ctypes.CDLL(None, use_errno=True)
ADD_KEY, USER_KEYRING = 248, -4


def keys_of(uid: int) -> int:
    found = re.search(rf"^ *{uid}: +\d+ (\d+)/", pathlib.Path("/proc/key-users").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


@pytest.fixture
def no_keys_left() -> Iterator[None]:
    """An account that has as many keys as it may have; they end with the process that holds them."""
    end = time.monotonic() + 30
    while keys_of(UID) > 10:  # those of the test before go after their process, when the kernel comes to it
        assert time.monotonic() < end, "keys of before do not go"
        time.sleep(0.05)
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgid(UID)
        os.setuid(UID)
        LIBC.syscall(250, 1, None)  # a session keyring of its own
        number = 0
        while LIBC.syscall(ADD_KEY, b"user", b"k%d" % number, b"x", 1, -3) > 0:
            number += 1
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    yield
    os.write(go[1], b"x")
    os.waitpid(pid, 0)
    for fd in (*ready, *go):
        os.close(fd)


def test_a_session_makes_no_key_of_the_account_s(every_lab: Lab) -> None:
    every_lab.publish(plan())
    before = keys_of(UID)
    sessions = [every_lab.start("probe sleep 60") for _ in range(5)]
    for session in sessions:
        session.pids(3)
    assert keys_of(UID) <= before
    for session in sessions:
        end(session)


def test_an_account_without_any_key_left(every_lab: Lab, no_keys_left: None) -> None:
    every_lab.publish(plan())
    assert keys_of(UID) >= int(pathlib.Path("/proc/sys/kernel/keys/maxkeys").read_text()) - 1
    assert_ended(every_lab.login("probe exit 7"), 7)


@pytest.mark.parametrize("how", [{"home_exec": "exec"}, {"pty": True}, {"proc": True}])
def test_who_runs_code_has_an_own_network_namespace(set_uid_lab: Lab, how: dict[str, object]) -> None:
    set_uid_lab.publish(plan(**how))  # type: ignore[arg-type]
    sessions = [set_uid_lab.start("probe sleep 60") for _ in range(2)]
    spaces = {os.readlink(f"/proc/{session.pids(3)[2]}/ns/net") for session in sessions}
    for session in sessions:
        end(session)
    assert len(spaces) == 2


GIVEN = [
    b"TZ=Europe/Vienna", b"CI=1", b"CI_JOB=a b;$(c)", b"ci_x=1", b"CIX=1", b"EDITOR=vi", b"CI_UP=a/../b",
    b"CI_LONG=" + b"x" * 1024, b"CI_LONGER=" + b"x" * 1025, b"CI_CONTROL=a\nb", b"CI_UTF=\xc3\xa4", b"CI_=",
    b"HOME=/x", b"PATH=/x", b"CI_PATH=/x", b"CI-X=1", b"LD_PRELOAD=/x", b"LC_ALL=C", b"CI_JOB=second",
]  # fmt: skip
PASSED = [b"LC_ALL=C", b"TZ=Europe/Vienna", b"CI_JOB=a b;$(c)", b"EDITOR=vi", b"CI_LONG=" + b"x" * 1024, b"CI_="]


def accepting(*names: str) -> bytes:
    return limited(*(record("accept-env", name) for name in names))


def passed(lab: Lab, *given: bytes) -> list[bytes]:
    lines = lab.login("probe env", env=given).out.splitlines()
    found = [line.removeprefix(b"env=") for line in lines]
    own = (b"PATH=/bin", b"HOME=/home/u", b"SSH_CONNECTION=")
    return [line.replace(rb"\x20", b" ") for line in found if not line.startswith(own)]


def test_variables_that_the_jail_accepts(every_lab: Lab) -> None:
    every_lab.publish(accepting("CI_*", "EDITOR", "TZ", "HOME"))
    assert passed(every_lab, *GIVEN) == PASSED
    every_lab.publish(plan())
    assert passed(every_lab, *GIVEN) == [b"LC_ALL=C"]


NEVER = [
    "LD_PRELOAD",
    "LD_X",
    "ld_preload",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_CHECK_",
    "NIS_PATH",
    "NLSPATH",
    "RES_OPTIONS",
    "RESOLV_HOST_CONF",
    "TZDIR",
    "PATH",
    "CDPATH",
    "IFS",
    "ENV",
    "BASH_ENV",
    "BASH_FUNC_x",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "PERL5OPT",
    "PERLLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
    "GIT_SSH",
    "GIT_CONFIG_COUNT",
    "RSYNC_RSH",
    "SSH_ORIGINAL_COMMAND",
    "SSH_AUTH_SOCK",
    "JAILSSH_KEY",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "SHELLX",
]


def test_variables_that_no_jail_accepts(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(accepting(*NEVER, *(f"{letter}*" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm_")))
    # Of another account than the plan's these two would be refused.
    own = {"USER": "u", "LOGNAME": "u"}
    given = [f"{name}={own.get(name, 'x')}".encode() for name in NEVER if name != "SSH_ORIGINAL_COMMAND"]
    assert passed(set_uid_lab, *given, b"TZ=x") == [b"TZ=x"]
