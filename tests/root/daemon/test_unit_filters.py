"""The services can do their work under the system call filters and the capabilities of their units.

systemd is not needed: what ``SystemCallFilter=`` names is asked of systemd-analyze(1), and a process gets just that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.root.publish_lab import install_entry_points

SOURCE = Path(__file__).resolve().parents[3]
UNITS = SOURCE / "packaging/systemd"
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("systemd-analyze")]

# The confined program is another: what libseccomp has learned about the kernel before must not help it.
CONFINE = """
import os, sys
try:
    import seccomp
except ImportError:
    import pyseccomp as seccomp
program = seccomp.SyscallFilter(seccomp.ERRNO(1))
for name in sys.argv.pop().split(","):
    if seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) >= 0:
        program.add_rule(seccomp.ALLOW, name)
program.load()
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
# What jailsshd does for a login without a plan, and what the update service runs.
PUBLISH = """
import sys
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.publish.publish import publish_plan
from jailssh.plugin.api import Account
layout = Layout(root=sys.argv[1])
account = Account("alice", 61001, 61001, "alice", "/home/alice")
print(publish_plan(load_configuration(layout), account).changed)
"""
UPDATE = """
import sys
from jailssh.console.main import main
sys.exit(main(["--root", sys.argv[1], "update", "--all", "--settle", "0"]))
"""


def setting(unit: str, name: str) -> list[str]:
    lines = (UNITS / unit).read_text().splitlines()
    return [word for line in lines if line.startswith(f"{name}=") for word in line.partition("=")[2].split()]


def calls(names: list[str]) -> set[str]:
    """Return the system calls that the names stand for; sets may hold sets."""
    found: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        done = subprocess.run(
            ["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
        )
        lines = [line.strip() for line in done.stdout.splitlines()[1:]]
        found |= calls([line for line in lines if line and not line.startswith("#")])
    return found


def run_as(unit: str, script: str, root: Path) -> subprocess.CompletedProcess[str]:
    capabilities = [name.removeprefix("CAP_").lower() for name in setting(unit, "CapabilityBoundingSet")]
    bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    allowed = ",".join(sorted(calls(setting(unit, "SystemCallFilter"))))
    command = ["setpriv", "--no-new-privs", f"--bounding-set={bounding}", sys.executable, "-c", CONFINE, script]
    env = {**os.environ, "PYTHONPATH": f"{root.parent}/site:{SOURCE}"}
    return subprocess.run([*command, root, allowed], env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    install_entry_points(tmp_path / "site")
    (tmp_path / "site/jailssh_plugins").symlink_to(SOURCE / "plugins")
    users = tmp_path / "root/etc/jailssh/users"
    users.mkdir(parents=True)
    (users / "alice.conf").write_text("uid = 61001\njail = sftp-only\n")
    return tmp_path / "root"


def test_jailsshd_builds_and_publishes(root: Path) -> None:
    done = run_as("jailsshd.service.in", PUBLISH, root)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert (root / "var/lib/jailssh/plan.v1/61001").stat().st_size > 1000


def test_the_update_builds(root: Path) -> None:
    assert run_as("jailsshd.service.in", PUBLISH, root).returncode == 0
    done = run_as("jailssh-update.service.in", UPDATE, root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_filter_is_made_without_seccomp(root: Path) -> None:
    """A unit that may not call seccomp(2) can make plans all the same: the filter is put together here."""
    allowed = ",".join(sorted(calls(["@system-service"]) - {"seccomp"}))
    env = {**os.environ, "PYTHONPATH": f"{root.parent}/site:{SOURCE}"}
    command: list[str | Path] = [sys.executable, "-c", CONFINE, PUBLISH, root, allowed]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
