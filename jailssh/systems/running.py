"""Systems that run: started, known by the process that is their init, entered and stopped."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass

from jailssh.core.closed import Network
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape, is_clean_absolute
from jailssh.entering import kept
from jailssh.entering.capabilities import NAMES
from jailssh.entering.kept import Kept, Kind
from jailssh.files import fs
from jailssh.files.beneath import open_beneath
from jailssh.files.homes import mounts_below
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.plan.ops import Record
from jailssh.plan.run_ops import RunPlan, in_order
from jailssh.policy.seccomp import filter_for_system
from jailssh.services import joining
from jailssh.systems import create, groups, network, ranges, units
from jailssh.systems.settings import Reach, System

LOG = "console.log"
INIT = "/sbin/init"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What would reach beyond its namespaces if it reached anything: of no use to a system, and no loss.
_NOT_KEPT = frozenset(
    ("sys_module", "sys_rawio", "sys_time", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend",
     "audit_read", "perfmon", "bpf", "checkpoint_restore", "linux_immutable")
)  # fmt: skip
_STOP_OF_SYSTEMD = signal.SIGRTMIN + 3
_ASKS, _LAST_WORDS = 3.0, 5.0
LONGEST_END = 30
"""Seconds that it takes at most to end a system whose init has had its time."""
DEVICES: Mapping[str, tuple[int, int]] = {
    "null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0),
}  # fmt: skip
"""The devices of the host that every system has; its terminals are its own."""
_FORBIDDEN = frozenset(("mem", "kmem", "port", "kmsg"))
_MOST_PASSWD = 1 << 20
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\Z")


@dataclass(frozen=True)
class User:
    """An account of a system, as its own files have it."""

    _: KW_ONLY
    name: str
    uid: int
    gid: int
    home: str
    login_shell: str
    groups: tuple[int, ...]


@contextmanager
def _tree(layout: Layout, name: str, path: str = "") -> Iterator[int | None]:
    """Open a directory of a system's tree, which its root may have changed to anything; None where there is none."""
    top = fs.open_dir(f"{create.folder_of(layout, name)}/{create.TREE}")
    fd = None
    try:
        with suppress(OSError):
            fd = open_beneath(top, path)
        yield fd
    finally:
        os.close(top)
        if fd is not None:
            os.close(fd)


def held(layout: Layout, name: str) -> Kept | None:
    """Return the record of a system that runs, else None."""
    found = kept.find(layout, name)
    if found is None or not kept.is_held(found):
        return None
    if found.kind != Kind.SYSTEM:
        raise UsageError(f"system {name}", f"is the name of a {found.kind}")
    return found


def runs(layout: Layout, name: str) -> bool:
    """True if there is a system of that name that runs; a session may have the name of one that does not."""
    with suppress(UsageError):
        return held(layout, name) is not None
    return False


def check_devices(layout: Layout, name: str) -> None:
    """Raise :class:`HostError` where a device that a system must have is missing, or its tree has one that it must not.

    Those of the tree are covered and of no use; but who has put one there meant to use it.
    """
    for device, numbers in DEVICES.items():
        path = f"/dev/{device}"
        info = os.stat(path) if os.path.exists(path) else None
        if info is None or not stat.S_ISCHR(info.st_mode):
            raise HostError(f"device '{path}'", "MUST be available in the jail")
        if (os.major(info.st_rdev), os.minor(info.st_rdev)) != numbers:
            raise HostError(f"device '{path}'", "is another device on this host")
    with _tree(layout, name, "dev") as fd:
        if fd is None:
            raise HostError(f"system {name}", "has no directory /dev")
        for each in os.scandir(fd):
            mode = each.stat(follow_symlinks=False).st_mode
            if stat.S_ISBLK(mode) or (each.name in _FORBIDDEN and stat.S_ISCHR(mode)):
                raise HostError(f"device '/dev/{escape(each.name)}'", "MUST NOT be available in the jail")


def _is_systemd(layout: Layout, name: str) -> bool:
    for folder in ("usr/sbin", "sbin"):
        with _tree(layout, name, folder) as fd:
            if fd is not None:
                with suppress(OSError):
                    return os.path.basename(os.readlink("init", dir_fd=fd)) == "systemd"
    return False


def _powers() -> list[Record]:
    return [Record("keep-cap", (name, str(NAMES.index(name)))) for name in NAMES if name not in _NOT_KEPT]


def _common(layout: Layout, system: System, reach: Reach) -> list[Record]:
    architecture, program = filter_for_system(ipc=system.ipc, raw=system.raw_sockets)
    return [
        Record("jail", ("system",)),
        Record("net", (Network.HOST if reach == Reach.HOST else Network.LOOPBACK,)),
        Record("tree", (f"{create.folder_of(layout, system.name)}/{create.TREE}", "rw")),
        Record("init"),
        *_powers(),
        Record("seccomp", (architecture, program.hex())),
    ]


def plan_of(layout: Layout, system: System, base: int, folders: list[str], *, in_unit: bool = False) -> RunPlan:
    """Return the plan that starts a system whose root has the id ``base``.

    ``in_unit``: systemd takes its console, and removes its groups.
    """
    tmpfs = ("tmpfs", "/run", "", "mode=0755,size=20%,nr_inodes=800k", "/run", "must")
    records = [
        *_common(layout, system, system.network),
        Record("home", ("/",)),
        Record("pty", ("no",)),
        Record("hostname", (system.hostname,)),
        Record("dev"),
        Record("proc"),
        *(() if in_unit else (Record("log-file", (f"{create.folder_of(layout, system.name)}/{LOG}",)),)),
        *(Record("control-group", (folder,)) for folder in folders),
        Record("new-users"),
        *(Record(verb, ("0", str(base), str(ranges.SIZE))) for verb in ("uid-map", "gid-map")),
        Record("new-fs", tmpfs),
        Record("env", ("container", "jailssh")),
        Record("env", ("PATH", _PATH)),
        Record("env", ("TERM", "dumb" if in_unit else "vt220")),
        Record("argument", (INIT,)),
    ]
    return RunPlan(uid=0, gid=0, name="root", records=in_order(records))


def check(layout: Layout, system: System) -> int:
    """Return the first id of a system that can be started as things are; else :class:`HostError`."""
    if held(layout, system.name) is not None:
        raise HostError(f"system {system.name}", "runs already", hint=f"jailssh system stop {system.name}")
    base = ranges.read(create.folder_of(layout, system.name))
    check_devices(layout, system.name)
    network.check(system)
    return base


def start(layout: Layout, system: System, *, in_unit: bool = False) -> Kept:
    """Start a system; its init runs then.  :class:`HostError`, and nothing is left, where it cannot be.

    ``in_unit``: this process is in a unit of systemd's for it, which the groups and the limits are.
    """
    name = system.name
    with kept.locked(layout):
        settle(layout, name)  # what has ended without us may still have its address
        base = check(layout, system)
        write_names(layout, system)
        folders = _groups(system, base, in_unit=in_unit)
        plan = plan_of(layout, system, base, folders, in_unit=in_unit).encode()
        made: list[Kept] = []

        def register(pid: int) -> None:
            facts = {"hostname": system.hostname, "address": " ".join(system.address), "groups": " ".join(folders),
                     "network": system.network}  # fmt: skip
            made.append(kept.register(layout, name, Kind.SYSTEM, pid, facts))
            network.attach(system, pid, made[0].id, base)

        done = False
        try:
            done = joining.hold(layout.run_program, plan, register) == 0 and bool(made)
        finally:
            if not done:
                kept.forget(layout, name)
                groups.remove(name)
        if not done:
            raise HostError(f"system {name}", "could not be started", hint=_covered())
        return made[0]


def _covered() -> str:
    """Return a hint where the kernel may let nobody mount a /proc or /sys of their own (user_namespaces(7))."""
    points = [each for place in ("/proc", "/sys") for each in mounts_below(place)[1:]]
    known = ("/proc/sys/fs/", "/sys/fs/", "/sys/kernel/", "/sys/firmware/")
    covers = [point for point in points if not point.startswith(known)]
    return f"in this container {escape(covers[0])} is covered, so that no other can be mounted" if covers else ""


def _groups(system: System, base: int, *, in_unit: bool) -> list[str]:
    groups.remove(system.name)
    if not in_unit:
        return groups.make(system, base)
    units.hold(system)
    return groups.make_in_unit(system, base)


def groups_of(now: Kept) -> list[str]:
    """Return the control groups of a system, that of version 2 first."""
    return now.facts.get("groups", "").split(" ")


def watcher_of(now: Kept) -> int:
    """Return the number of the process outside whose end is that of a system; :class:`HostError`."""
    try:
        # The name of the process stands there first, and is its own: it ends at a newline alone.
        with open(f"/proc/{now.pid}/status", encoding="ascii", errors="replace", newline="\n") as stream:
            return next(int(line.split()[1]) for line in stream if line.startswith("PPid:"))
    except (OSError, StopIteration) as error:
        raise HostError(f"system {now.name}", "has ended", hint=f"jailssh system logs {now.name}") from error


def write_names(layout: Layout, system: System) -> None:
    """Write the host name of a system into its tree, and name servers if its file has any; :class:`HostError`.

    Its init gives itself the name that it finds there.
    """
    with _tree(layout, system.name, "etc") as fd:
        if fd is None:
            raise HostError(f"system {system.name}", "has no directory /etc")
        texts = {"hostname": f"{system.hostname}\n"}
        if system.resolver:
            texts["resolv.conf"] = "".join(f"nameserver {address}\n" for address in system.resolver)
        for file, text in texts.items():
            try:
                fs.atomic_write_at(fd, file, text.encode())
            except OSError as error:
                path = f"{create.folder_of(layout, system.name)}/{create.TREE}/etc/{file}"
                raise fs.failed("write", path, error) from error


def stop(layout: Layout, system: System) -> bool:
    """Stop a system: its init is asked, then all its processes are told, then killed.  False if it had to be.

    Nobody waits for the registry while its init takes its time.
    """
    name = system.name
    now = held(layout, name)
    if now is None:
        settle_alone(layout, name)
        now = held(layout, name)  # who was just starting it had the registry
    if now is None:
        raise HostError(f"system {name}", "does not run")
    by_signal = _is_systemd(layout, name)
    with kept.opened(now) as fd:
        until = time.monotonic() + system.stop_time
        while fd is not None and (rest := until - time.monotonic()) > 0:
            if by_signal:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, _STOP_OF_SYSTEMD)
            else:
                _ask(layout, system, now)
            # One that has just begun may not listen yet: it is asked again.
            if process.wait_ended([fd], min(rest, _ASKS)):
                break
    with kept.locked(layout):
        by_itself = not kept.is_held(now)
        if not by_itself:
            groups.tell_to_end(groups_of(now)[0], now.pid)
            kept.end(layout, now, patience=_LAST_WORDS)
            _detach(now)
        settle(layout, name)
    return by_itself


def _ask(layout: Layout, system: System, now: Kept) -> None:
    """Have an init that is not systemd change to the runlevel in which nothing runs."""
    root = User(name="root", uid=0, gid=0, home="/", login_shell="/bin/sh", groups=())
    plan = joined(layout, system, now, root, [INIT, "0"], {"PATH": _PATH}, terminal=False, folder="/").encode()
    child = os.fork()
    if child == 0:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in range(3):
                os.dup2(null, fd)
            joining.become(layout.run_program, plan)
        finally:
            os._exit(1)
    end = time.monotonic() + _LAST_WORDS
    while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < end:
        time.sleep(0.02)


def settle_alone(layout: Layout, name: str) -> None:
    """Do what :func:`settle` does, with the registry held for it."""
    with kept.locked(layout):
        settle(layout, name)


def settle(layout: Layout, name: str) -> None:
    """Take away what is left of a system that has ended; of one that runs, nothing.  The registry is held."""
    if held(layout, name) is None:
        groups.remove(name)
        _detach(kept.find(layout, name))
        kept.forget(layout, name)
        fs.remove_file(f"{create.folder_of(layout, name)}/{create.CHANGING}")  # its file counts when it starts again


def _detach(gone: Kept | None) -> None:
    if gone is not None and gone.facts.get("address"):
        network.detach(gone.id)


def joined(
    layout: Layout, system: System, now: Kept, user: User, command: list[str], env: Mapping[str, str], *,
    terminal: bool, folder: str,
) -> RunPlan:  # fmt: skip
    """Return the plan of a command in a system that runs."""
    # It has what it was started with, whatever its file says by now.
    reach = Reach(now.facts.get("network") or Reach.NONE)
    records = [
        *_common(layout, system, reach),
        Record("home", (folder,)),
        Record("pty", ("yes" if terminal else "no",)),
        *(Record("group", (str(gid),)) for gid in user.groups),
        *(Record("env", pair) for pair in env.items()),
        now.joins,
        *(Record("argument", (word,)) for word in command),
    ]
    return RunPlan(uid=user.uid, gid=user.gid, name="root", records=in_order(records))


def user_of(layout: Layout, name: str, account: str) -> User:
    """Return an account of a system by its own /etc/passwd and /etc/group; :class:`UsageError` where it has none."""
    rows = [line.split(":") for line in _lines(layout, name, "passwd")]
    for row in rows:
        if len(row) == 7 and row[0] == account and _USER.match(account):
            if not (_is_id(row[2]) and _is_id(row[3])):
                break
            members = [line.split(":") for line in _lines(layout, name, "group")]
            gids = {int(m[2]) for m in members if len(m) == 4 and account in m[3].split(",") and _is_id(m[2])}
            home = row[5] if is_clean_absolute(row[5]) else "/"
            return User(name=account, uid=int(row[2]), gid=int(row[3]), home=home, login_shell=row[6] or "/bin/sh",
                        groups=tuple(sorted(gids))[:_MOST_GROUPS])  # fmt: skip
    raise UsageError(f"user {escape(account)[:80]!r}", f"does not exist in the system {name}")


_MOST_GROUPS = 64


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < ranges.SIZE


def _lines(layout: Layout, name: str, file: str) -> list[str]:
    with _tree(layout, name, "etc") as folder:
        if folder is None:
            return []
        try:
            fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=folder)
        except OSError:
            return []
    with open(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        return stream.read(_MOST_PASSWD).decode("utf-8", "replace").splitlines()
