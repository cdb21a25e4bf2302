"""A Debian of its own, booted with systemd as process 1: for what a scratch host has no services for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "openssh-client", "cron", "at", "exim4-daemon-light",
    "procmail", "python3", "sudo",
)  # fmt: skip
_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def suite() -> str:
    """Return this machine's release: the installation is made for its Python."""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert found, "this machine's release has no name"
    return found[1]


def mirror() -> str:
    """Return where this machine gets its packages."""
    text = "".join(Path(path).read_text() for path in _SOURCES if os.path.exists(path))
    found = re.search(r"^(?:URIs: *|deb +(?:\[[^]]*\] +)?)(\S+)", text, re.MULTILINE)
    assert found, "no source of packages"
    return found[1]


class BootedTree:
    """A tree with jailssh installed, running; :meth:`close` ends it and removes all of it."""

    def __init__(self, prefix: str) -> None:
        # Not below /tmp, which may be mounted nosuid.
        self.folder = tempfile.mkdtemp(prefix="jailssh-booted-", dir="/var/tmp")
        self.tree = f"{self.folder}/tree"
        self._machine: subprocess.Popen[bytes] | None = None
        self._leader = 0
        try:
            self._make(prefix)
            self._boot()
        except BaseException:
            self.close()
            raise

    def _make(self, prefix: str) -> None:
        argv = ["mmdebstrap", "--quiet", "--variant=important", f"--include={','.join(PACKAGES)}"]
        subprocess.run([*argv, suite(), self.tree, mirror()], check=True, timeout=400, stdin=subprocess.DEVNULL)
        subprocess.run(["cp", "-a", f"{prefix}/.", f"{self.tree}/usr/local"], check=True)
        Path(self.tree, "etc/hostname").write_text("booted\n")
        Path(self.tree, "etc/hosts").write_text("127.0.0.1 localhost booted\n")

    def _boot(self) -> None:
        # With nspawn's own filter, by which keyctl(2) and others answer EPERM.
        argv = ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--private-network", "-D", self.tree,
                "-M", "jailssh-booted", "-b"]  # fmt: skip
        with open(f"{self.folder}/console", "wb") as console:
            self._machine = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        self.wait(self._has_leader, "the first process")
        self.wait(lambda: self.run("systemctl is-system-running").stdout.strip() in ("running", "degraded"), "the boot")

    def _has_leader(self) -> bool:
        assert self._machine is not None
        assert self._machine.poll() is None, Path(f"{self.folder}/console").read_text(errors="replace")
        text = Path(f"/proc/{self._machine.pid}/task/{self._machine.pid}/children").read_text().split()
        self._leader = int(text[0]) if text else 0
        return bool(text)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Poll until ``condition`` is true."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {timeout:g} s"
            time.sleep(0.3)

    def run(self, script: str, *, check: bool = False, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root in the tree, in all of its namespaces."""
        argv = [
            "nsenter",
            "-t",
            str(self._leader),
            "-a",
            "env",
            "-i",
            f"PATH={_PATH}",
            "HOME=/root",
            "sh",
            "-c",
            script,
        ]
        done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=150, check=False)
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done

    def sh(self, script: str) -> str:
        """Run a script that must succeed; return what it printed."""
        return self.run(script, check=True).stdout

    def close(self) -> None:
        """Power it off, kill what is left of it, remove it."""
        if self._machine is not None:
            if self._leader and self._machine.poll() is None:
                self.run("systemctl --force --force poweroff")
            try:
                self._machine.wait(20)
            except subprocess.TimeoutExpired:
                self._machine.kill()
                self._machine.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
