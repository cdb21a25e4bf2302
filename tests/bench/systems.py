"""Whole systems: many small ones at once, and a Debian from its start to the login prompt, beside systemd-nspawn.

The Debian is one of the tests of level ``system``; without mmdebstrap there is none, and without systemd-nspawn nothing
to compare with.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

from tests.bench.figures import Goal, Row, ratio, timed_row
from tests.bench.site import PREFIX, STATE, Site, attach
from tests.system import packaged
from tests.system.booted import own_suite

MANY = 50
LISTED = 300.0
"""Milliseconds that it may take to list them."""
BESIDE = 1024.0
"""KiB that may be needed outside of a system for it."""
PROMPT = 1.1
_RUNS = 5
_SMALL, _DEBIAN = "/srv/bench-small", "bench-debian"
_WORD = "login: "
_GROUPS = "grep ' /sys/fs/cgroup' /proc/mounts | cut -d' ' -f2 | xargs -n 1 mount -o remount,bind,rw; true"
_START = f"""
import subprocess, time
log = "{STATE}/systems/{_DEBIAN}/console.log"
open(log, "w").close()
begin = time.monotonic()
subprocess.run(["{PREFIX}/bin/jailssh", "system", "start", "{_DEBIAN}"], stdout=subprocess.DEVNULL, check=True)
while "{_WORD}" not in open(log, errors="replace").read():
    time.sleep(0.01)
print(time.monotonic() - begin)
"""
_PRIVATE = """
import json, sys
found = []
for pid in sys.argv[1:]:
    with open(f"/proc/{pid}/smaps_rollup") as stream:
        found.append(sum(int(line.split()[1]) for line in stream if line.startswith(("Pss:", "SwapPss:"))))
print(json.dumps(found))
"""


def measure(site: Site) -> list[Row]:
    """Return rows for listing many systems, what each needs outside of it, and the start of a Debian."""
    site.host.run(["sh", "-c", _GROUPS], check=True)
    rows = _many(site)
    if shutil.which("mmdebstrap") and shutil.which("systemd-nspawn"):
        rows += _debian(site)
    return rows


def _many(site: Site) -> list[Row]:
    names = [f"small{number}" for number in range(MANY)]
    made = f"mkdir -p {_SMALL}; cd {_SMALL}; mkdir -p dev etc proc run sys sbin; cp {PREFIX}/libexec/init sbin/init"
    site.host.run(["sh", "-c", made], check=True)
    for name in names:
        site.jailssh("system", "create", name, "--from", _SMALL)
    begin = time.monotonic()
    site.jailssh("system", "start", *names)
    started = (time.monotonic() - begin) * 1000
    listed = []
    for _ in range(_RUNS):
        begin = time.monotonic()
        site.jailssh("system", "list")
        listed.append((time.monotonic() - begin) * 1000)
    pids = site.host.run(["pgrep", "-x", "jailssh-run"], check=True).stdout.split()
    beside = json.loads(site.host.run(["/usr/bin/python3", "-I", "-c", _PRIVATE, *pids], check=True).stdout)
    assert len(beside) == MANY, beside
    begin = time.monotonic()
    site.jailssh("system", "stop", *names)
    stopped = (time.monotonic() - begin) * 1000
    for name in names:
        site.jailssh("system", "remove", name, "--yes")
    usual = statistics.median(beside)
    goal = Goal("system: memory outside of one (KiB)", usual, BESIDE)
    return [
        Row(f"system: start of {MANY} small ones", started, "ms"),
        timed_row(f"system: list with {MANY} that run", listed, LISTED),
        Row(f"system: stop of {MANY}", stopped, "ms"),
        Row("system: memory outside of one", usual, "KiB", min(beside), goals=(goal,)),
    ]


def _debian(site: Site) -> list[Row]:
    archive = packaged.archive(own_suite(), str(site.room / "mmdebstrap.log"))
    tree = site.room / "debian"
    tree.mkdir(mode=0o755)
    subprocess.run(["tar", "-C", tree, "-xpf", archive], check=True)
    attach(site.host, tree, "/srv/bench-debian")
    site.jailssh("system", "create", _DEBIAN, "--from", "/srv/bench-debian")
    ours, theirs = [], []
    for _ in range(_RUNS + 1):
        ours.append(float(site.host.run(["/usr/bin/python3", "-I", "-c", _START], check=True).stdout) * 1000)
        site.jailssh("system", "stop", _DEBIAN)
        theirs.append(_nspawn(tree) * 1000)
    site.jailssh("system", "remove", _DEBIAN, "--yes")
    ours, theirs = ours[1:], theirs[1:]
    goal = Goal("system: start to login prompt / nspawn -b", ratio(ours, theirs), PROMPT)
    return [
        Row("system: start to login prompt", statistics.median(ours), "ms", min(ours), goals=(goal,)),
        Row("system: the same by nspawn -b", statistics.median(theirs), "ms", min(theirs)),
    ]


def _nspawn(tree: Path) -> float:
    """Return the seconds that systemd-nspawn takes to the prompt of the system in a tree, and stop it."""
    argv = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--private-network", "-D", str(tree), "-b"]
    begin = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    said = b""
    while _WORD.encode() not in said:
        said += os.read(terminal, 1 << 16)
    taken = time.monotonic() - begin
    first = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True).stdout.split()[0]
    os.kill(int(first), signal.SIGRTMIN + 4)
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:  # the other end is closed
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return taken
