"""A laboratory for the login program: the real binary with real power on a scratch host, called as an account would.

Four flavours of it: set-uid root, file capabilities alone, and each of them on a kernel that lacks what older ones do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pytest
from systemd import journal

from jailssh.core.closed import Network
from jailssh.plan import codec, ops
from jailssh.plan.proc_files import FOLDER, proc_files
from jailssh.policy import rules, seccomp
from jailssh.scratch.host import ScratchHost
from tests.harness.probe import Facts
from tests.harness.said import denial_of
from tests.root.login_starter import Listened, Start

NEEDS = pytest.mark.needs("root", "gcc", "static-libc", "login-program", "filecaps", "journald")
# The kernel counts processes and keys by uid, across namespaces: each process that runs tests has uids of its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
UID = 4242 + 1000 * _WORKER
OTHER_UID = 4343 + 1000 * _WORKER
IMAGE = "/var/lib/jailssh/images/lab"
PLANS = "/var/lib/jailssh/plan.v1"
MESSAGE = "this account allows: probe"
# All that the program needs when it is not set-uid root; and what lets it work under a caller's hard limits, where the
# machine itself has that power.
CAPABILITIES = "cap_setuid,cap_setgid,cap_setpcap,cap_sys_admin,cap_sys_chroot,cap_mknod"
_STATUS = pathlib.Path("/proc/self/status").read_text()
CAN_RAISE_LIMITS = bool(int(_STATUS.split("CapBnd:\t")[1].split()[0], 16) >> 24 & 1)
FLAVOURS = ("setuid", "filecaps", "setuid-old-kernel", "filecaps-old-kernel")
# Missing before Linux 5.3, 5.6, 5.9, 5.12 and 5.13; these numbers are the same on every architecture.
_NEW_CALLS = {"clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442} | {
    f"landlock_{number}": number for number in (444, 445, 446)
}
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_REFERENCE = re.compile(rb"jailssh: cannot start this session; .* reference ([0-9a-f]{8})\n")

Prepare = Callable[[], object]


def filter_of(calls: Sequence[str], error: int) -> bytes:
    """Return a seccomp program by which ``calls`` answer ``error`` (seccomp(2), linux/bpf_common.h)."""
    load, equal, answer = 0x20, 0x15, 0x06
    known = {"keyctl": _KEYCTL[os.uname().machine], **_NEW_CALLS}
    program = [struct.pack("HBBI", load, 0, 0, 0)]
    for place, name in enumerate(calls):
        program.append(struct.pack("HBBI", equal, len(calls) - place, 0, known[name]))
    program.append(struct.pack("HBBI", answer, 0, 0, 0x7FFF0000))
    program.append(struct.pack("HBBI", answer, 0, 0, 0x00050000 | error))
    return b"".join(program)


def _text(value: Any) -> str:
    """Return a field's value; of one that was sent several times a line each, since no value has lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def record(verb: str, *args: object) -> ops.Record:
    """Return a plan record."""
    return ops.Record(verb, tuple(str(arg) for arg in args))


def _rules(pty: bool) -> list[rules.Rule]:
    found = [
        rules.Rule(f"lab.{name}", "lab", f"/bin/{name}", (name,), operands=(0, 900, "text"))
        for name in ("probe", "actor", "missing")
    ]
    if pty:
        found.append(
            rules.Rule(
                "lab.login", "lab", "/bin/probe", (), argv0="-probe", argv_prefix=("facts",), interactive_login=True
            )
        )
    return found


def plan(
    uid: int = UID,
    *,
    home: str = "/home/u",
    source: str | None = None,
    pty: bool = False,
    proc: bool = False,
    logging: str = "allow",
    home_exec: str = "noexec",
    must: str = "must",
    middle: Sequence[ops.Record] = (),
    filters: Sequence[ops.Record] | None = None,
    hostname: str = "labjail",
    ipc: bool = True,
    net: Network = Network.NONE,
    system: bool = False,
    linger: bool = False,
    groups: Sequence[ops.Record] = (),
) -> bytes:
    """Return the encoded plan of an account; ``middle`` are more records of the phases 40 to 50, in order.

    ``system``: /proc shows what programs read; ``linger``: the jail is kept; ``groups``: for sessions with these alone.
    """
    name = pathlib.PurePath(home).name
    machine, program = seccomp.filter_for(net, ipc=ipc)
    records = [
        record("jail", "lab"), record("home", home), record("message", MESSAGE), record("journal", logging),
        *groups, record("net", net), record("hostname", hostname), record("pty", "yes" if pty else "no"),
        *([record("linger")] if linger else []), record("image", IMAGE),
        record("tmpfs", "/run", 65536, "0755", "ro", "noexec"),
        record("tmpfs", "/tmp", 1 << 26, "1777", "rw", "noexec"),
        record("tmpfs", "/home", 65536, "0755", "ro", "noexec"),
        record("dir", home),
        *([record("dir", FOLDER)] if system else []),
        record("file", "/run/passwd", f"root:x:0:0::/:/bin/false\n{name}:x:{uid}:{uid}::{home}:/bin/sh\n"),
        record("file", "/run/group", f"{name}:x:{uid}:\n"),
        *(record("proc-file", *file) for file in (proc_files(1 << 30, 2) if system else ())),
        record("dev"),
        *([record("proc")] if proc or system else []),
        record("bind", source or home, home, "rw", home_exec, "user", must),
        record("mask", f"{home}/.ssh"),
        *(middle or [record("umask", "027"), record("env", "PATH", "/bin"), record("env", "HOME", home)]),
        *([record("seccomp", machine, program.hex())] if filters is None else filters),
    ]  # fmt: skip
    for rule in _rules(pty):
        records += [record(*row) for row in rules.rule_records(rule)]
    parsed = codec.Plan(uid, uid, name, f"{uid:016x}", tuple(records))
    return codec.encode(parsed) if filters is None else encode_unchecked(parsed)


def encode_unchecked(parsed: codec.Plan) -> bytes:
    """Encode a plan that codec.encode would not let out."""
    head = (ops.MAGIC, ops.VERSION, parsed.uid, parsed.gid, parsed.name, parsed.serial, len(parsed.records))
    tokens = [*map(str, head), *(word for row in parsed.records for word in (row.verb, *row.args))]
    return b"".join(token.encode() + b"\0" for token in [*tokens, ops.END])


@dataclass(frozen=True)
class Done:
    """How a login ended: exit code (``-N``: signal), its output, and the records that came since the last look."""

    code: int
    out: bytes
    err: bytes
    records: list[dict[str, str]]

    @property
    def facts(self) -> Facts:
        """What the probe printed, after a check that the command itself ended well."""
        assert (self.code, self.err) == (0, b""), (self.code, self.err, self.records)
        return Facts(self.out.decode().replace("\r\n", "\n"))

    def events(self) -> list[str]:
        """Return the records' events in order."""
        return [row["JAILSSH_EVENT"] for row in self.records]


@dataclass
class Session:
    """A login that runs; ``process`` waits for the stand-in of sshd, which waits for the login program."""

    lab: Lab
    process: subprocess.Popen[bytes]

    def pids(self, count: int) -> list[int]:
        """Return the pids of outer half, first process and command, once there are ``count`` or the session is over."""
        over, what = self.process.poll, f"{count} processes of the session"
        self.lab.host.wait_until(lambda: over() is not None or len(self._chain()) > count + 1, what)
        return self._chain()[2 : count + 2]

    def sshd(self) -> int:
        """Return the pid of the login program's parent."""
        self.lab.host.wait_until(lambda: len(self._chain()) > 1, "the stand-in of sshd")
        return self._chain()[1]

    def _chain(self) -> list[int]:
        chain = [self.process.pid]
        with contextlib.suppress(OSError, IndexError):
            while True:
                children = pathlib.Path(f"/proc/{chain[-1]}/task/{chain[-1]}/children").read_text().split()
                chain.append(int(children[0]))
        return chain

    def signal(self, number: int) -> None:
        """Send a signal to the login program, as sshd or the account would."""
        os.kill(self.pids(1)[0], number)

    def kill(self) -> None:
        """End what is left of a session of which a test lost hold."""
        if self.process.poll() is None:
            for pid in reversed(self._chain()):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
            self.process.communicate()

    def wait(self, input: bytes | None = None, timeout: float = 20) -> Done:
        """Wait for the end."""
        try:
            out, err = self.process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return Done(self.process.returncode, out or b"", err or b"", self.lab.records())


class Lab:
    """One flavour of the login program on a scratch host of its own."""

    def __init__(
        self, flavour: str, host: ScratchHost, login: pathlib.Path, tools: Sequence[pathlib.Path], starter: pathlib.Path
    ) -> None:
        self.flavour, self.host, self.starter = flavour, host, starter
        self.program = f"/srv/{login.name}"
        self.filter = filter_of(tuple(_NEW_CALLS), errno.ENOSYS) if flavour.endswith("old-kernel") else b""
        self.kernel: Listened | None = None  # what answers calls of the next login
        self._namespaces = [os.open(f"/proc/{host.init_pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
                            for name in ("mnt", "pid", "net", "ipc", "uts")]  # fmt: skip
        self._marks = 0
        self.sessions: list[Session] = []
        host.wait_until(lambda: any(self.path("/run/log/journal").glob("*/system.journal")), "journald writes")
        self._cursor = ""
        self.install(login)
        self._make_image(tools)
        for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
            self.make_home(home, uid)
            self.publish(plan(uid, home=home), uid)

    def path(self, path: str) -> pathlib.Path:
        """Return the name by which the machine sees a path of the scratch host."""
        return pathlib.Path(f"/proc/{self.host.init_pid}/root{path}")

    def install(self, login: pathlib.Path) -> None:
        """Put the login program in its place, with the power of the flavour."""
        target = self.path(self.program)
        target.unlink(missing_ok=True)
        target.write_bytes(login.read_bytes())
        if self.flavour.startswith("setuid"):
            target.chmod(0o4755)
        else:
            target.chmod(0o755)
            more = ",cap_sys_resource" if CAN_RAISE_LIMITS else ""
            self.host.run(["setcap", f"{CAPABILITIES}{more}=ep", self.program], check=True)

    def _make_image(self, tools: Sequence[pathlib.Path]) -> None:
        self.make_dir(PLANS, 0o700)
        for name in ("dev", "proc", "tmp", "home", "run", "bin", "etc"):
            self.make_dir(f"{IMAGE}/{name}", 0o755)
        for name in ("passwd", "group"):
            self.path(f"{IMAGE}/etc/{name}").symlink_to(f"../run/{name}")
        for tool in tools:
            self.path(f"{IMAGE}/bin/{tool.name}").write_bytes(tool.read_bytes())
            self.path(f"{IMAGE}/bin/{tool.name}").chmod(0o755)

    def make_dir(self, path: str, mode: int, uid: int = 0) -> pathlib.Path:
        """Make a directory with its parents, which are root's and 0755."""
        self.host.run(["install", "-d", "-m", f"{mode:o}", "-o", str(uid), "-g", str(uid), path], check=True)
        return self.path(path)

    def make_home(self, path: str, uid: int) -> pathlib.Path:
        """Make a home as useradd(8) does, with an authorized key."""
        home = self.make_dir(path, 0o700, uid)
        self.make_dir(f"{path}/.ssh", 0o700, uid)
        (home / ".ssh/authorized_keys").write_text("a key\n")
        return home

    def publish(self, data: bytes, uid: int = UID) -> pathlib.Path:
        """Put a plan where the login program looks for it."""
        path = self.path(f"{PLANS}/{uid}")
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def start(
        self,
        command: str | bytes | None = None,
        *,
        uid: int = UID,
        argv: Sequence[bytes] | None = None,
        env: Sequence[bytes] = (),
        prepare: Prepare | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> Session:
        """Call the login program as the account ``uid``; ``prepare`` runs as the account right before."""
        if argv is None:
            text = command.encode() if isinstance(command, str) else command
            argv = [b"-jailssh-login", *([] if text is None else [b"-c", text])]
        envp = [b"SSH_CONNECTION=192.0.2.1 4000 192.0.2.2 22", *env]
        begin = Start(str(self.starter), uid, self.program, argv, envp, self.filter, self.kernel, self._namespaces)
        if prepare:
            process = subprocess.Popen(
                ["login"],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                close_fds=False,
                preexec_fn=lambda: begin.in_child(prepare),
            )
        else:
            process = begin.by_program((stdin, stdout, stderr))
        self.sessions.append(Session(self, process))
        return self.sessions[-1]

    def login(self, command: str | bytes | None = None, *, input: bytes | None = None, **how: Any) -> Done:
        """Call the login program and wait for its end; see :meth:`start`."""
        if input is not None:
            how["stdin"] = subprocess.PIPE
        return self.start(command, **how).wait(input)

    def records(self) -> list[dict[str, str]]:
        """Return the records of the login program since the last call."""
        self._marks += 1
        mark = f"mark {self._marks}"
        # journald takes one datagram after the other, so what was sent before the mark stands before it.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            text = f"MESSAGE={mark}\nSYSLOG_IDENTIFIER=lab\n".encode()
            journald.sendto(text, str(self.path("/run/systemd/journal/socket")))
        end = time.monotonic() + 10
        while (found := self._since_last(mark)) is None:
            assert time.monotonic() < end, "journald writes nothing"
            time.sleep(0.001)
        return found

    def _since_last(self, mark: str) -> list[dict[str, str]] | None:
        """Return what stands between the last mark and this one, None while this one is not there."""
        found: list[dict[str, str]] = []
        with journal.Reader(path=str(self.path("/run/log/journal"))) as reader:
            for name in ("jailssh", "lab"):
                reader.add_match(SYSLOG_IDENTIFIER=name)
            if self._cursor:
                reader.seek_cursor(self._cursor)
                reader.get_next()  # the last mark itself
            for entry in reader:
                if entry["MESSAGE"] == mark:
                    self._cursor = entry["__CURSOR"]
                    return found
                found.append({key: _text(value) for key, value in entry.items() if not key.startswith("_")})
        return None

    def processes(self, *uids: int) -> list[str]:
        """Return the processes of accounts on the scratch host, inside and outside of jails."""
        lines = [f"\nUid:\t{uid}\t" for uid in uids or (UID,)]
        found = []
        for entry in self.path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    status = (entry / "status").read_text()
                    if any(line in status for line in lines) and "\nState:\tZ" not in status:
                        found.append(status.split()[1] + " " + entry.name)
        return found

    def assert_nothing_left(self, *uids: int) -> None:
        """Fail when a process of the accounts is still there after a moment."""
        end = time.monotonic() + 15
        while (left := self.processes(*(uids or (UID, OTHER_UID)))) and time.monotonic() < end:
            time.sleep(0.002)
        assert left == []


def descriptors(pid: int) -> list[str]:
    """Return what the descriptors of a process are of, but for those that it closes meanwhile."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


def assert_refused(done: Done, reason: str) -> dict[str, str]:
    """Fail unless the login was refused as the design says; return the record."""
    assert (done.code, done.out) == (125, b""), done
    line = _REFERENCE.fullmatch(done.err)
    assert line, done.err
    assert done.events() == ["refused"], done.records
    row = done.records[0]
    assert (row["JAILSSH_REASON"], row["JAILSSH_EXIT"], row["PRIORITY"]) == (reason, "125", "4"), row
    assert row["JAILSSH_SESSION"].startswith(line[1].decode())
    return row


def assert_denied(done: Done, reason: str) -> dict[str, str]:
    """Fail unless the command was denied as the design says; return the record."""
    assert (done.code, done.out) == (126, b""), done
    denial_of(done.err.decode("ascii"), MESSAGE)
    assert done.events() == ["denied"], done.records
    row = done.records[0]
    assert (row["JAILSSH_REASON"], row["JAILSSH_EXIT"], row["PRIORITY"]) == (reason, "126", "5"), row
    return row


def assert_ended(done: Done, code: int) -> dict[str, str]:
    """Fail unless a command ran and ended with ``code``; return the record of the end."""
    assert done.code == code, done
    assert done.events() == ["session-start", "session-end"], done
    assert done.records[1]["JAILSSH_EXIT"] == str(code)
    return done.records[1]


def limit(which: int, soft: int, hard: int | None = None) -> Prepare:
    """Return what sets a resource limit before the login program starts."""
    return lambda: resource.setrlimit(which, (soft, soft if hard is None else hard))


def compiled(name: str, directory: pathlib.Path) -> pathlib.Path:
    """Compile a program of the lab's into ``directory``, once."""
    program = directory / name
    source = pathlib.Path(__file__).with_name(f"login_{name}.c")
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-static"]
    if not program.exists():
        subprocess.run(["gcc", *flags, "-o", str(program), str(source)], check=True)
    return program


_labs: dict[str, Lab] = {}


def _lab(request: pytest.FixtureRequest, flavour: str) -> Lab:
    if flavour not in _labs:
        host = ScratchHost().__enter__()
        request.config.add_cleanup(host.close)
        host.start_journald()
        room = request.getfixturevalue("tmp_path_factory").getbasetemp()
        tools = [request.getfixturevalue("probe"), compiled("actor", room)]
        _labs[flavour] = Lab(flavour, host, request.getfixturevalue("login_build"), tools, compiled("starter", room))
    return _labs[flavour]


@pytest.fixture(params=FLAVOURS)
def every_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab, for each flavour; plans and homes are put back, and no process may be left, after each test."""
    yield from _one_test(_lab(request, request.param))


@pytest.fixture
def set_uid_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab of the flavour that is installed by default."""
    yield from _one_test(_lab(request, "setuid"))


def _one_test(lab: Lab) -> Iterator[Lab]:
    lab.records()
    yield lab
    for session in lab.sessions:
        session.kill()
    lab.sessions.clear()
    lab.assert_nothing_left()
    for uid, home in ((UID, "/home/u"), (OTHER_UID, "/home/v")):
        lab.path(home).chmod(0o700)
        lab.publish(plan(uid, home=home), uid)
