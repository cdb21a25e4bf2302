"""A scratch host on which whole systems are made, of a few programs and an init, and what is done with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.probe import put_probe

STATE = "/var/lib/jailssh/systems"
CONFIG = "/etc/jailssh/systems"
SOURCE = "/srv/source"
PROGRAMS = (
    "sh", "cat", "ls", "sleep", "mount", "mknod", "id", "ip", "ipcmk", "readlink", "head", "tr", "unshare", "hostname",
    "grep", "stat", "ln", "mv", "mkdir", "umount",
)  # fmt: skip
# As an init is: it goes on until it is told to stop, by itself when it is called again.
INIT = """#!/bin/sh
if [ "$1" = 0 ]; then [ -e /deaf ] || kill -USR1 1; exit 0; fi
[ -e /slow ] && sleep 2
trap 'exit 0' USR1
trap '' TERM
echo "booted $(hostname)"
while :; do sleep 0.2; done
"""
PASSWD = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
MAKE = f"""set -e
mkdir -p {SOURCE} && cd {SOURCE}
mkdir -p usr/bin usr/sbin usr/lib etc dev proc sys run tmp root home/alice
for name in bin sbin lib lib64; do [ -e "$name" ] || ln -s usr/$name $name; done
mkdir -p usr/lib64
for program in {" ".join(PROGRAMS)}; do
    path=$(PATH=/usr/bin:/usr/sbin:/bin:/sbin command -v $program)
    cp -L "$path" usr/bin/$program
    for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        mkdir -p ".$(dirname "$library")"; cp -Ln "$library" ".$library"
    done
done
chown -R 1000:1000 home/alice; chmod 1777 tmp
cp /srv/probe usr/bin/probe
"""


@pytest.fixture(scope="package")
def host(staged_prefix: str, probe: Path) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        put_probe(scratch, probe)
        # The files of an overlay cannot be shown as those of other ids.
        scratch.run(["sh", "-c", f"mkdir -p {STATE} {CONFIG} && mount -t tmpfs -o mode=700 x {STATE}"], check=True)
        groups = "for at in $(find /sys/fs/cgroup -maxdepth 1 -type d); do mount -o remount,bind,rw $at; done; true"
        scratch.run(["sh", "-c", groups], check=True)
        scratch.run(["sh", "-c", MAKE], check=True)
        scratch.write(f"{SOURCE}/usr/sbin/init", INIT, 0o755)
        scratch.write(f"{SOURCE}/etc/passwd", PASSWD)
        scratch.write(f"{SOURCE}/etc/group", "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n")
        yield scratch


def system(host: ScratchHost, *words: str) -> Finished:
    return host.run(["jailssh", "system", *words])


def inside(host: ScratchHost, name: str, command: str, *options: str) -> Finished:
    return system(host, "exec", name, *options, "--", "sh", "-c", command)


def listed(host: ScratchHost) -> dict[str, dict[str, Any]]:
    rows = json.loads(host.run(["jailssh", "system", "list", "--json"], check=True).stdout)
    return {row["name"]: row for row in rows}


def nothing_left(host: ScratchHost, name: str) -> None:
    assert host.run(["find", "/sys/fs/cgroup", "-path", f"*/jailssh-systems/{name}"]).stdout == ""
    assert "jailssh" not in host.run(["ip", "route"]).stdout
    assert name not in host.run(["ls", "/run/jailssh/trees"]).stdout
    assert f"{STATE}/{name}" not in host.run(["cat", "/proc/self/mountinfo"]).stdout


@pytest.fixture
def made(host: ScratchHost, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"s{abs(hash(request.node.name)) % 10**8}"
    done = system(host, "create", name, "--from", SOURCE)
    assert (done.code, done.stdout) == (0, f"system {name} made\n"), done
    yield name
    host.run(["rm", "-f", f"{STATE}/{name}/tree/deaf"])
    system(host, "stop", name)
    assert system(host, "remove", name, "--yes").code == 0
    nothing_left(host, name)


@pytest.fixture
def runs(host: ScratchHost, made: str) -> str:
    assert system(host, "start", made) == Finished(0, f"system {made} started\n", "")
    return made
