"""A thousand idle sftp sessions at once, and the memory of each: the login program's processes, and sftp-server's."""

from __future__ import annotations

import json
import subprocess

from tests.bench.figures import Goal, Row
from tests.bench.site import LOGIN, Site

COUNT = 1000
LIMIT_KIB = 600.0
_NAME = "bench-idle"
_JAIL = "plugins = sftp\n[limits]\nnproc = 10000\ntasks = none\nmemory = none\n"
# Each has spoken the protocol's first words, as a client that then does nothing.
_DRIVER = """
import glob, json, subprocess, struct, sys
login, count = sys.argv[1], int(sys.argv[2])
hello = struct.pack(">IBI", 5, 1, 3)
held = []
for _ in range(count):
    one = subprocess.Popen([login, "-c", "internal-sftp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    held.append(one)
    one.stdin.write(hello)
    one.stdin.flush()
for one in held:
    size, kind = struct.unpack(">IB", one.stdout.read(5))
    assert kind == 2, kind
    one.stdout.read(size - 1)
print("ready", flush=True)
sys.stdin.read()
"""
_MEMORY = """
import collections, glob, json
found = collections.defaultdict(list)
for folder in glob.glob("/proc/[0-9]*"):
    try:
        name = open(folder + "/comm").read().strip()
        if name in ("jailssh-login", "sftp-server"):
            lines = open(folder + "/smaps_rollup").read().splitlines()
            found[name].append(sum(float(x.split()[1]) for x in lines if x.startswith("Pss:")))
    except OSError:
        pass
print(json.dumps(found))
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return KiB (Pss) of a session by who has them."""
    site.host.write(f"/etc/jailssh/jails/{_NAME}.conf", _JAIL)
    site.jailssh("adduser", _NAME, "--jail", _NAME, "--yes")
    env = {"USER": _NAME, "LOGNAME": _NAME, "HOME": f"/home/{_NAME}", "SHELL": LOGIN}
    words = ["sh", "-c", 'ulimit -n 4096; exec "$@"', "sh", "python3", "-c", _DRIVER, LOGIN, str(COUNT)]
    starter = site.host.popen(words, user=_NAME, env=env, stdin=subprocess.PIPE)
    try:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"ready\n"
        found = json.loads(site.host.run(["python3", "-c", _MEMORY], check=True, timeout=120).stdout)
    finally:
        starter.kill()
        starter.communicate()
    servers = found.get("sftp-server", [])
    assert len(servers) == COUNT, len(servers)
    ours = sum(found["jailssh-login"]) / COUNT
    name = f"idle sftp session, one of {COUNT:,}"
    return [
        Row(
            f"{name}: the login program", ours, "KiB", goals=(Goal(f"{name}: KiB beyond sftp-server", ours, LIMIT_KIB),)
        ),
        Row(f"{name}: its processes beside sftp-server", len(found["jailssh-login"]) / COUNT, ""),
        Row(f"{name}: sftp-server", sum(servers) / COUNT, "KiB"),
    ]
