"""A Debian of its own, booted with systemd as process 1: for what a scratch host has no services for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.abilities import REPO
from tests.harness.removing import remove

SUITES = ("bookworm", "trixie")
# Read here, since the tests themselves see an environment without it.
ALL = os.environ.get("JAILSSH_SYSTEM") == "all"
MAIL_SERVERS = {"exim4": "exim4-daemon-light", "postfix": "postfix"}
_SERVICES = (
    "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "openssh-client", "cron", "at", "procmail", "sudo",
    "ca-certificates", "libnss-systemd", "vsftpd", "ftp", "passt", "nftables",
    "curl", "man-db",
)  # fmt: skip
# What tests/system/test_tools_booted.py tries, in a tree and in jails; what brings hundreds of packages along, in
# make test-system alone.
LANGUAGES = ("php-cli", "php-mbstring", "php-curl", "ruby", "lua5.4", "tcl", "tmux", "wget", "jq", "sqlite3")
LARGE_LANGUAGES = (
    "composer", "nodejs", "npm", "postgresql-client", "mariadb-client", "default-jre-headless", "borgbackup",
    "mercurial", "vim", "mc", "emacs-nox",
)  # fmt: skip
# What tests/system/test_launch_booted.py starts; none of them runs as a service of its own.
DAEMONS = ("nginx-light", "redis-server", "postgresql", "bind9", "bind9-dnsutils")
_ASIDE = "nginx redis-server postgresql named"
# What tests/system/ldap.py makes a directory service of: the server, and two that ask it for the name service.
DIRECTORY = ("slapd", "ldap-utils", "sssd-ldap", "libnss-sss", "libpam-sss", "sssd-tools", "nslcd", "libnss-ldapd")
_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
# Comes with mmdebstrap, and asks dpkg-architecture(1).
NO_SYNC = "/usr/share/mmdebstrap/hooks/eatmydata"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What pip of this machine gets its packages with.
_TRUST = ("/etc/resolv.conf", "/etc/ssl/certs", "/etc/pip.conf")
_VARIABLES = re.compile(r"(PIP_|SSL_|REQUESTS_CA_|CURL_CA_).*|(?i:https?_proxy|no_proxy|all_proxy)")
_CGROUPS = "/sys/fs/cgroup"
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "blkio")
# Where systemd keeps its units: beside controllers of the old kind, or in the one hierarchy for all.
_UNITS = ("systemd", "unified", "")
# Where the installation is made, in the tree.
_ROOM = "/var/tmp/room"


def languaged() -> list[str]:
    """Return the releases whose languages are tried in booted trees: all, or but this machine's own.

    What that has is tried in a tree and an image by tests/root/tree/test_languages.py.
    """
    return [suite for suite in SUITES if ALL or suite != own_suite()]


def own_suite() -> str:
    """Return this machine's release: what was built here runs in a tree of it."""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert found, "this machine's release has no name"
    return found[1]


def _joining(groups: Iterable[str]) -> str:
    """Return what puts a shell into these control groups."""
    return "\n".join(f"echo $$ >{group}/cgroup.procs" for group in groups)


def mirror() -> str:
    """Return where this machine gets its packages."""
    text = "".join(Path(path).read_text() for path in _SOURCES if os.path.exists(path))
    found = re.search(r"^(?:URIs: *|deb +(?:\[[^]]*\] +)?)(\S+)", text, re.MULTILINE)
    assert found, "no source of packages"
    return found[1]


def listed(name: str) -> list[str]:
    """Return the Debian packages of a list of the project's."""
    lines = (REPO / f"packaging/packages-{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def debootstrap(argv: list[str], log: str) -> None:
    """Run mmdebstrap, whose words go to the file ``log``."""
    with open(log, "wb") as stream:
        done = subprocess.run(
            argv, check=False, timeout=900, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )  # fmt: skip
    assert done.returncode == 0, Path(log).read_text(errors="replace")[-4000:]


class BootedTree:
    """A tree with jailssh installed as an administrator does it, running; :meth:`close` ends it and removes all of it.

    The files of this source tree are there as well, at the same path; what is changed in them stays in the tree.
    """

    # What of this machine the tree shows when it is booted.
    _shown: tuple[str, ...] = (f"--overlay={REPO}::{REPO}",)

    def __init__(self, suite: str) -> None:
        # Not below /tmp, which may be mounted nosuid.
        self.folder = tempfile.mkdtemp(prefix="jailssh-booted-", dir="/var/tmp")
        self.suite = suite
        self.tree = f"{self.folder}/tree"
        self._name = f"jailssh-{suite}-{os.getpid()}"
        self._machine: subprocess.Popen[bytes] | None = None
        self._leader = 0
        try:
            self._make()
            self._install()
            self._boot()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        packages = [*_SERVICES, *listed("build"), *listed("demo"), *DAEMONS]
        if self.suite in languaged():
            packages += [*LANGUAGES, *(LARGE_LANGUAGES if ALL else ())]
        argv = ["mmdebstrap", "--quiet", "--variant=important", f"--include={','.join(packages)}"]
        # Nothing of it outlives a power cut: dpkg need not wait for the disk, neither for files nor for what it notes.
        argv += ["--dpkgopt=force-unsafe-io", f"--hook-dir={NO_SYNC}"]
        argv.append(f'--customize-hook=chroot "$1" systemctl disable {_ASIDE}')
        # Of two mail servers one can be installed, and a directory service is in everybody's way: their packages wait
        # in the tree, which has no network.
        later = {f"/root/mail/{name}": package for name, package in MAIL_SERVERS.items()}
        for cache, wanted in {**later, "/root/directory": " ".join(DIRECTORY)}.items():
            get = f"apt-get -q -y --no-install-recommends --download-only -o Dir::Cache::archives={cache} install"
            argv.append(f'--customize-hook=mkdir -p "$1{cache}" && chroot "$1" {get} {wanted}')
        argv.append('--customize-hook=chroot "$1" sh -ec "cd /root; apt-get -q download jailkit"')
        debootstrap([*argv, self.suite, self.tree, mirror()], f"{self.folder}/log")
        self._name_it()
        self._exempt_itself()

    def _exempt_itself(self) -> None:
        # All clients are on this host, and many logins are refused: from OpenSSH 9.8 on, sshd would soon refuse every
        # connection from there for a while.  The packaged tree has sshd as it comes.
        if b"persourcepenaltyexemptlist" in Path(self.tree, "usr/sbin/sshd").read_bytes():
            Path(self.tree, "etc/ssh/sshd_config.d/00-clients.conf").write_text(
                "PerSourcePenaltyExemptList 127.0.0.0/8,::1/128\n"
            )

    def _name_it(self) -> None:
        Path(self.tree, "etc/hostname").write_text("booted\n")
        Path(self.tree, "etc/hosts").write_text("127.0.0.1 localhost booted\n")
        # By which a mail server names this host, and knows mail for it.
        Path(self.tree, "etc/mailname").write_text("localhost\n")

    def _install(self) -> None:
        # With the machine's network, for the dependencies: they are those of the tree's Python.
        argv = ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "-D", self.tree, "-M", self._name]
        argv += [f"--bind-ro={path}" for path in (*_TRUST, str(REPO)) if os.path.exists(path)]
        argv += [f"--setenv={name}={value}" for name, value in os.environ.items() if _VARIABLES.fullmatch(name)]
        done = subprocess.run(
            [*argv, "make", "-C", str(REPO), f"ROOM={_ROOM}", "install"], check=False, timeout=400,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]

    def _boot(self) -> None:
        # With nspawn's own filter, by which keyctl(2) and others answer EPERM.
        argv = ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--private-network", "-D", self.tree,
                "-M", self._name, *self._shown, "-b"]  # fmt: skip
        controlled = self._own_groups(_CONTROLLERS)
        # Two that had a group in common would have units of one name in common: each would find processes there that
        # it does not see, and groups gone that it has just made.
        own = [*controlled, *self._own_groups(_UNITS)]
        with open(f"{self.folder}/console", "wb") as console:
            self._machine = subprocess.Popen(
                ["sh", "-ec", f'{_joining(own)}\nexec "$@"', "sh", *argv],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
        self._leader = 0
        self.wait(self._has_leader, "the first process")
        self.wait(self._is_up, "the boot", 120)
        if controlled:
            self._open_groups()

    def reboot(self) -> None:
        """Switch it off and on, as its administrator does; what was on its file system is there, what ran is not."""
        assert self._machine is not None
        self.run("systemctl poweroff")
        self._machine.wait(90)
        self._boot()

    def _own_groups(self, hierarchies: tuple[str, ...]) -> list[str]:
        """Make a group for the tree in each of these hierarchies that there is: a container gets none by itself."""
        places = [os.path.join(_CGROUPS, name) for name in hierarchies]
        groups = [os.path.join(path, self._name) for path in places if os.path.exists(f"{path}/cgroup.procs")]
        for group in groups:
            os.makedirs(group, exist_ok=True)
        return groups

    @contextmanager
    def preferred(self) -> Iterator[None]:
        """Let what runs in the tree have the processors before what runs beside it, in the block.

        Where there is one hierarchy for all the tree has no group of its own, and competes as it always does.
        """
        shares = Path(f"{_CGROUPS}/cpu/{self._name}/cpu.shares")
        before = shares.read_text() if shares.exists() else ""
        if before:
            shares.write_text("100000")
        try:
            yield
        finally:
            if before:
                shares.write_text(before)

    def _open_groups(self) -> None:
        """Let the tree's systemd use them: as on a machine, and as where there is one hierarchy for all."""
        self.sh(
            f"for each in {' '.join(_CONTROLLERS)}; do ! test -d {_CGROUPS}/$each ||"
            f" mount -o remount,bind,rw {_CGROUPS}/$each; done; systemctl daemon-reexec"
        )
        self.wait(self._is_up, "the second start of systemd")

    def _is_up(self) -> bool:
        return self.run("systemctl is-system-running").stdout.strip() in ("running", "degraded")

    def _has_leader(self) -> bool:
        """Look for the child that is the tree's process 1: nspawn has another one before."""
        assert self._machine is not None
        assert self._machine.poll() is None, Path(f"{self.folder}/console").read_text(errors="replace")
        for pid in Path(f"/proc/{self._machine.pid}/task/{self._machine.pid}/children").read_text().split():
            with suppress(OSError):
                numbers = re.search(r"^NSpid:\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
                program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
                if numbers and numbers[1].split()[-1] == "1" and len(numbers[1].split()) > 1 and program == "systemd":
                    self._leader = int(pid)
        return self._leader != 0

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Poll until ``condition`` is true; what the tree has logged is told where it does not become so."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {timeout:g} s\n{self._log()}"
            time.sleep(0.1)

    def _log(self) -> str:
        log = self.run("journalctl --no-pager -n 60; mailq").stdout if self._leader else ""
        return log + Path(f"{self.folder}/console").read_text(errors="replace")[-2000:]

    def run(
        self, script: str, *, check: bool = False, input: str = "", timeout: float = 150
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root in the tree, in all of its namespaces."""
        done = subprocess.run(
            self._argv(script),
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}\n{self._log()}"
        return done

    def popen(self, script: str) -> subprocess.Popen[str]:
        """Start such a script."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._argv(script), stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def _argv(self, script: str) -> list[str]:
        enter = ["nsenter", "-t", str(self._leader), "-a", "env", "-i", f"PATH={_PATH}", "HOME=/root"]
        return ["sh", "-ec", f'{_joining(self._init_groups())}\nexec "$@"', "sh", *enter, "sh", "-c", script]

    def _init_groups(self) -> list[str]:
        """Return the tree's groups of process 1: systemd says nothing of processes in a group that it does not see."""
        rows = [line.split(":", 2) for line in Path(f"/proc/{self._leader}/cgroup").read_text().splitlines()]
        unified = os.path.join(_CGROUPS, "unified")
        one = unified if os.path.isdir(unified) else _CGROUPS
        places = {"name=systemd": os.path.join(_CGROUPS, "systemd"), "": one}
        return [places[name] + path for _, name, path in rows if name in places]

    def sh(self, script: str) -> str:
        """Run a script that must succeed; return what it printed."""
        return self.run(script, check=True).stdout

    def make(self, goal: str) -> str:
        """Run a goal of the Makefile in the tree, which has what it needs from the installation."""
        return self.sh(f"make -s -C {REPO} ROOM={_ROOM} {goal}")

    def userdel(self, *names: str) -> None:
        """Remove accounts, with homes and all that runs as them: the next one to be made gets their uid."""
        for name in names:
            self.run(f"systemctl stop user@$(id -u {name}).service; pkill -KILL -U {name}; userdel -rf {name}")

    def use_mail_server(self, name: str) -> None:
        """Have this mail server instead of the other one."""
        state = self.run(f"systemctl is-active {name}").stdout
        if state.strip() != "active":
            get = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install"
            self.sh(f"{get} /root/mail/{name}/*.deb && systemctl start {name}")

    def wait_for_mail(self) -> None:
        """Wait until what was sent has been delivered, or given back: nothing is queued."""
        self.wait(lambda: self.sh("mailq").strip() in ("", "Mail queue is empty"), "the delivery of mail", 120)

    def close(self) -> None:
        """Kill it, which waits for no disk as its power switch would, and remove it."""
        if self._machine is not None:
            if self._leader and self._machine.poll() is None:
                os.kill(self._leader, signal.SIGKILL)
            try:
                self._machine.wait(20)
            except subprocess.TimeoutExpired:
                self._machine.kill()
                self._machine.wait()
        for name in (*_CONTROLLERS, *_UNITS):
            for group, _, _ in os.walk(os.path.join(_CGROUPS, name, self._name), topdown=False):
                os.rmdir(group)
        remove(self.folder)
