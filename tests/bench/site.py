"""The host that is measured: a scratch host with jailssh, Jailkit, journald, sshd, and the accounts.

What is entered (the images, Jailkit's jail) lies on the machine's own disk and not in the scratch host's overlays: a
room below /var/tmp is mounted into the scratch host as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jailssh.core.errors import JailsshError
from jailssh.host.process import find_program
from jailssh.scratch.host import ScratchHost

_REPO = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
PREFIX = "/usr/local"
LOGIN = f"{PREFIX}/libexec/jailssh/jailssh-login"
STATE = "/var/lib/jailssh"
JAILKIT = "/srv/jailkit"
TIMER = "/usr/local/libexec/timer"
FLOOR = "/usr/local/libexec/floor"
TRUE = "/bin/true"

_NR_OPEN_TREE, _NR_MOVE_MOUNT = 428, 429  # the same on every architecture
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _CLONE_NEWNS, _AT_FDCWD = 1, 4, 0x20000, -100
_JK_LSH = f"[DEFAULT]\npaths = /bin, /usr/bin\nexecutables = {TRUE}\nallow_word_expansion = 0\numask = 022\n"


@dataclass(frozen=True)
class Account:
    """An account of the scratch host."""

    name: str
    home: str

    def environment(self, shell: str) -> dict[str, str]:
        """Return what sshd would give to the login shell of the account."""
        return {"USER": self.name, "LOGNAME": self.name, "HOME": self.home, "SHELL": shell}


@dataclass(frozen=True)
class Site:
    """The scratch host with what is measured in it; ``jailed`` is in jailssh's jail, ``jailkit`` in Jailkit's.

    ``ports``: in one like jailssh's, with ``forward = inside``.
    """

    host: ScratchHost
    room: Path
    jailed: Account
    jailkit: Account
    plain: Account
    ports: Account

    def jailssh(self, *words: str) -> None:
        """Run the installed command, which must succeed."""
        self.host.run([f"{PREFIX}/bin/jailssh", *words], check=True, timeout=300)

    def image(self) -> str:
        """Return the path of the image that the jailed account uses."""
        return self.host.run(["readlink", "-f", f"{STATE}/images/bench/current"], check=True).stdout.strip()

    def pins(self) -> list[str]:
        """Return the namespaces that logins of the jailed account share, once there was one; that of mounts is last."""
        known = self.host.run(["stat", "-c", "%d %i", self.image()], check=True).stdout.split()
        device, inode = map(int, known)
        return [f"/run/jailssh/ns/{name}" for name in ("net", "ipc", "uts-jail", f"tree-{device:x}-{inode:x}")]

    def facts(self) -> dict[str, str]:
        """Return what figures depend on: kernel, processors, file system below the jails, and what else is running."""
        kind = self.host.run(["stat", "-f", "-c", "%T", self.image(), JAILKIT], check=True).stdout.split()
        return {
            "kernel": os.uname().release,
            "processors": str(os.cpu_count()),
            "images on": "/".join(sorted(set(kind))),
            "load": f"{os.getloadavg()[0]:.0f}",
        }

    def mounts(self) -> int:
        """Return how many mounts the scratch host has."""
        return len(self.host.read("/proc/self/mountinfo").splitlines())


@contextlib.contextmanager
def open_site() -> Iterator[Site]:
    """Install everything into a room on the disk, start the scratch host, make the accounts; nothing remains."""
    with tempfile.TemporaryDirectory(prefix="jailssh-bench-", dir="/var/tmp") as name:
        room = Path(name)
        room.chmod(0o755)
        for folder in ("state", "jailkit"):
            (room / folder).mkdir(mode=0o755)
        prefix = _install(room / "stage")
        with ScratchHost(install={str(prefix): PREFIX}) as host:
            host.start_journald()
            host.start_sshd()
            attach(host, room / "state", STATE)
            attach(host, room / "jailkit", JAILKIT)
            yield _accounts(host, room)


def _install(stage: Path) -> Path:
    """Install jailssh with the benchmark's plugin, and the timer; return the prefix."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    _run(["make", "-s", "install", f"PREFIX={PREFIX}", f"DESTDIR={stage}"], env)
    prefix = stage / PREFIX.lstrip("/")
    packages = prefix / "lib/jailssh/python"
    shutil.copyfile(_HERE / "plugin.py", packages / "jailssh_bench.py")
    facts = packages / "jailssh_bench-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: jailssh-bench\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[jailssh.plugins]\nbench = jailssh_bench:plugin\n")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]
    for name in ("timer", "logs", "init"):
        _run(["gcc", *flags, "-o", str(prefix / f"libexec/{name}"), str(_HERE / f"{name}.c")], env)
    # By the login program's own C library, which starts faster than another does.
    compiler = "musl-gcc" if find_program("musl-gcc") else "gcc"
    floor = prefix / f"libexec/{os.path.basename(FLOOR)}"
    _run([compiler, *flags, "-o", str(floor), str(_HERE / "floor.c")], env)
    floor.chmod(0o4755)
    return prefix


def _run(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=_REPO, env=env, umask=0o022, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JailsshError(" ".join(command), (done.stdout + done.stderr).strip()[-2000:])


def inside(host: ScratchHost, act: Callable[[ctypes.CDLL], bool], what: str) -> None:
    """Call ``act`` in a process of its own in the mount namespace of the scratch host; it returns False on failure."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(f"/proc/{host.init_pid}/ns/mnt", os.O_RDONLY)
    pid = os.fork()
    if pid == 0:
        good = False
        with contextlib.suppress(OSError):
            good = libc.setns(namespace, _CLONE_NEWNS) == 0 and act(libc)
        os._exit(0 if good else 1)
    failed = os.waitpid(pid, 0)[1] != 0
    os.close(namespace)
    if failed:
        raise JailsshError(what, "failed")


def attach(host: ScratchHost, source: Path, target: str) -> None:
    """Mount a directory of the machine's disk in the scratch host, writable."""
    host.run(["mkdir", "-p", target], check=True)
    libc = ctypes.CDLL(None, use_errno=True)
    tree = libc.syscall(_NR_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE)

    def act(libc: ctypes.CDLL) -> bool:
        where = os.fsencode(target)
        return bool(libc.syscall(_NR_MOVE_MOUNT, tree, b"", _AT_FDCWD, where, _MOVE_MOUNT_F_EMPTY_PATH) == 0)

    inside(host, act, f"mount {source} on {target}")
    os.close(tree)


def _accounts(host: ScratchHost, room: Path) -> Site:
    site = Site(
        host,
        room,
        Account("bench-jailed", "/home/bench-jailed"),
        Account("bench-jailkit", f"{JAILKIT}/./home/bench-jailkit"),
        Account("bench-plain", "/home/bench-plain"),
        Account("bench-ports", "/home/bench-ports"),
    )
    host.run(["useradd", "--create-home", "--shell", "/bin/sh", site.plain.name], check=True)
    host.run(["mkdir", "-p", "/etc/jailssh/jails"], check=True)
    host.write("/etc/jailssh/jailssh.conf", "third_party_plugins = bench\n")
    host.write("/etc/jailssh/jails/bench.conf", f"plugins = bench\nenter = {site.plain.name}\n")
    host.write("/etc/jailssh/jails/bench-ports.conf", "plugins = bench\nforward = inside\n")
    site.jailssh("setup", "--yes")
    site.jailssh("adduser", site.jailed.name, "--jail", "bench", "--yes")
    site.jailssh("adduser", site.ports.name, "--jail", "bench-ports", "--yes")
    site.jailssh("apply")
    _set_up_jailkit(host, site.jailkit.name)
    return site


def _set_up_jailkit(host: ScratchHost, name: str) -> None:
    """Build Jailkit's jail with jk_init's section jk_lsh and put an account into it with jk_jailuser."""
    host.run(["jk_init", "-j", JAILKIT, "jk_lsh"], check=True)
    host.run(["jk_cp", "-j", JAILKIT, TRUE], check=True)
    host.write(f"{JAILKIT}/etc/jailkit/jk_lsh.ini", _JK_LSH)
    host.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    host.run(["jk_jailuser", "-m", "-j", JAILKIT, "-s", "/usr/sbin/jk_lsh", name], check=True)
