"""The profile for web developers, and services of the host that a jail reaches by their sockets and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program", "procps")

NAME = "webdev"
CLOSED = "closed"
# Tells who asks, as a database that trusts the kernel about it does.
SERVER = """
import os, socket, struct, sys
os.umask(0)
for path in sys.argv[1:]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    if os.fork() == 0:
        while True:
            client, _ = server.accept()
            uid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            client.sendall(str(uid).encode())
            client.close()
sys.stdout.write("ready\\n")
sys.stdout.flush()
os.wait()
"""
ASK = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(9).decode())"
MYSQL, OTHER = "/run/mysqld/mysqld.sock", "/run/other/other.sock"


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[World]:
    world.host.write(f"/etc/jailssh/jails/{CLOSED}.conf", "extends = hosting\nnetwork = none\nlinger = no\n")
    world.adduser(NAME, "hosting")
    world.adduser(CLOSED, CLOSED)
    server = world.host.popen(["python3", "-c", SERVER, MYSQL, OTHER])
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    yield world
    server.kill()
    for name in (NAME, CLOSED):
        world.jailssh("deluser", name, "--remove-home", "--now", "--yes")
    world.host.run(["rm", f"/etc/jailssh/jails/{CLOSED}.conf"], check=True)
    world.host.run(["rm", "-r", "/run/mysqld", "/run/other"], check=True)


@pytest.mark.parametrize("account", [NAME, CLOSED])
def test_a_named_service_is_reached_and_knows_who_asks(served: World, account: str) -> None:
    for path in (MYSQL, f"/var{MYSQL}"):
        done = served.client.ssh(account, f"python3 -c '{ASK}' {path}")
        assert (done.code, done.stdout.strip()) == (0, str(served.uid(account))), done


def test_no_other_service_is_seen_and_nothing_can_be_put_beside_a_socket(served: World) -> None:
    done = served.client.ssh(CLOSED, f"ls /run; python3 -c '{ASK}' {OTHER}; touch /run/mysqld/x; rm -f {MYSQL}; true")
    assert "other" not in done.stdout
    assert "FileNotFoundError" in done.stderr and "touch: " in done.stderr and "rm: " in done.stderr
    assert served.exists(MYSQL)


def test_a_service_that_is_away_stops_no_login(served: World) -> None:
    assert served.client.ssh(CLOSED, "ls /run/postgresql").code == 0


def test_the_settings_of_languages_and_a_network_with_names(served: World) -> None:
    look = (
        "cat /etc/resolv.conf /etc/nsswitch.conf; ls /etc/ssl/certs | head -n 1; df /tmp; ulimit -Hn; ls -d /proc/self"
    )
    done = served.client.ssh(NAME, look)
    assert (done.code, done.stderr) == (0, "") and "524288" in done.stdout and "\n8192\n" in done.stdout
    assert "hosts:" in done.stdout


@pytest.mark.parametrize(("value", "why"), [
    ("msql", "'msql' is not one of memcached, mysql, postgresql, redis and not a directory below /run"),
    ("127.0.0.1:6379", "a service without a socket in a file is reached with network = host"),
    ("/run/docker", "'/run/docker' has sockets that give power over this host"),
    ("/run/../etc", "not a directory below /run"),
    ("/run", "not a directory below /run"),
])  # fmt: skip
def test_what_cannot_be_a_service_is_refused_with_its_line(world: World, value: str, why: str) -> None:
    path = "/etc/jailssh/jails/wrong.conf"
    world.host.write(path, f"plugins = shell\nservices = {value}\n")
    done = world.jailssh("config", "check", check=False)
    world.host.run(["rm", path], check=True)
    assert done.code == 1 and f"{path}:2" in done.stderr and why in done.stderr, done
