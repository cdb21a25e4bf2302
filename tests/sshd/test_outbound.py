"""``network = outbound``: what a login reaches of the outside, and of the host nothing; pasta as its unit starts it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping

import pytest

from jailssh.image.network import RESOLVERS
from tests.harness.outside import CLOSED, DEVICE, SERVE, TOPOLOGY, TRY, WORKS, asked
from tests.root.setup_lab import Administered

pytestmark = [pytest.mark.needs("root", "sshd", "login-program", "pasta")]

UID, OWNER = 4711, 61999
UNIT = "/usr/local/lib/systemd/system/jailssh-outbound@.service"
ROOM = """
mkdir -p /dev/net /run/user/0/netns
mknod -m 666 /dev/net/tun c 10 200
touch /run/user/0/netns/net /run/user/0/netns/user
"""


class Host(Administered):
    def try_all(self, places: Mapping[str, tuple[str | int, ...]] | None = None, device: str = "") -> dict[str, str]:
        """Return who answers a login at each place."""
        self.scratch.write("/home/ann/places.json", asked(places, device))
        found: dict[str, str] = json.loads(self.login("python3 try.py"))
        return found

    def ssh(self, *words: str) -> str:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
        usual = [word for each in options for word in ("-o", each)]
        return self.scratch.run(["ssh", *usual, "-i", "/root/k", "-l", "ann", *words]).stdout

    def login(self, command: str) -> str:
        return self.ssh("127.0.0.1", command)

    def start(self) -> None:
        """Do what the unit does, in the same order."""
        self.sh(f"mkdir -p /run/jailssh/outbound/{UID}; chown {OWNER} /run/jailssh/outbound/{UID}")
        self.sh(f"/usr/local/libexec/jailssh/jailsshd outbound {UID}")
        for kind, pin in (("net", f"{UID}"), ("user", f"{UID}.user")):
            target = f"/run/user/0/netns/{kind}"
            self.sh(f"umount -q {target}; mount --bind /run/jailssh/net/{pin} {target}")
        unit = self.scratch.read(UNIT).decode().replace("\\\n", " ")
        found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert found
        power = f"setpriv --reuid={OWNER} --regid={OWNER} --clear-groups --no-new-privs --inh-caps=-all"
        self.sh(f"setsid {power} {found[1]} </dev/null >/root/pasta 2>&1 & echo $! >/root/pid")
        for _ in range(100):
            if DEVICE in self.sh(f"nsenter --net=/run/jailssh/net/{UID} ip route"):
                return
            time.sleep(0.05)
        raise AssertionError(self.sh("cat /root/pasta"))

    def kill(self) -> None:
        self.sh("kill -9 $(cat /root/pid); while kill -0 $(cat /root/pid) 2>/dev/null; do sleep 0.05; done")

    def spaces(self) -> str:
        return self.sh(f"stat -c %i /run/jailssh/net/{UID}").strip()


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with Host.made(staged_prefix) as host:
        host.sh(ROOM + TOPOLOGY)
        host.scratch.write("/etc/jailssh/jails/web.conf", "plugins = shell, sftp\nroot = live\nnetwork = outbound\n")
        host.ok("setup", "--yes")
        host.scratch.start_sshd()
        host.sh(f"useradd -m -u {UID} ann")
        done = host.jailssh("adduser", "ann", "--jail", "web", "--key", "/root/k.pub", "--yes")
        assert (done.code != 0, "ann: network = outbound: needs systemd" in done.stderr) == (True, True), done.stderr
        for name, script in (("serve", SERVE), ("try", TRY)):
            host.scratch.write(f"/root/{name}.py", script)
        host.scratch.write("/home/ann/try.py", TRY)
        for where, name in (("nsenter --net=/run/netns/outside", "outside"), ("", "host")):
            for port in (80, 53):
                host.sh(f"setsid {where} python3 /root/serve.py {name} {port} >/root/{name}{port} 2>&1 &")
                host.scratch.wait_for(f"/root/{name}{port}")
        yield host


def test_without_its_unit_nothing_is_reached_and_apply_says_why(host: Host) -> None:
    done = host.jailssh("apply")
    assert done.code != 0
    assert "account ann: network = outbound: needs systemd" in done.stderr
    assert host.try_all() == CLOSED
    # All else of the jail is tried.
    assert json.loads(host.ok("selftest", "--jail", "web", "--json"))
    said = host.login("cat /etc/resolv.conf; cut -d: -f1 /proc/net/dev").split()
    assert said[:6] == ["nameserver", RESOLVERS[4], "nameserver", RESOLVERS[6], "search", "example.org"] or (
        said[:6] == ["search", "example.org", "nameserver", RESOLVERS[4], "nameserver", RESOLVERS[6]]
    )
    assert DEVICE not in said


def test_what_a_login_reaches_with_it(host: Host) -> None:
    before = host.spaces()
    host.start()
    assert host.spaces() != before  # which belongs to nobody but root
    assert host.try_all() == WORKS
    # Bound to the interface a socket passes routes that lead nowhere, so those alone would close nothing.
    assert host.try_all(device=DEVICE) == WORKS
    # Nor is loopback a way to anything, in a network that forwards, as it does where the host does.
    host.sh(f"nsenter --net=/run/jailssh/net/{UID} sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'")
    assert host.try_all(device="lo") == CLOSED
    # What is the host's own is looked at anew: by its unit, at once.
    assert host.try_all({"new": ("tcp", "10.9.0.77", 80)}) == {"new": ""}
    host.sh(
        "setsid /usr/local/libexec/jailssh/jailsshd outbound >/root/guard 2>&1 & echo $! >/root/guardpid; sleep 0.7"
    )
    host.sh("ip address add 10.9.0.77/24 dev near; ip address add 2001:db8::77/64 dev near nodad; sleep 0.7")
    new = {"new": ("tcp", "10.9.0.77", 80), "new by IPv6": ("tcp", "2001:db8::77", 80), "out": ("tcp", "10.9.0.1", 80)}
    assert host.try_all(new) == {"new": "", "new by IPv6": "", "out": "outside"}
    host.sh("kill $(cat /root/guardpid); ip address del 10.9.0.77/24 dev near; ip address del 2001:db8::77/64 dev near")
    assert host.sh("cat /root/guard") == ""


def test_nothing_reaches_it_and_it_has_no_power(host: Host) -> None:
    # Neither the host nor the outside; pasta listens for nothing but answers.
    assert "pasta" not in host.sh("ss -Htlnp | grep -v python3 | grep -v sshd || true")
    pid = host.sh("cat /root/pid").strip()
    said = host.sh(f"grep -E 'CapEff|Uid|NoNew' /proc/{pid}/status").split()
    assert said[1] == str(OWNER)
    assert host.sh(f"readlink /proc/{pid}/ns/user").strip() != host.sh("readlink /proc/self/ns/user").strip()
    # Who is in the network has no power over it, whatever it makes for itself.
    tries = "ip route add default dev lo; nft flush ruleset; unshare -Ur nft flush ruleset; ip link set out down"
    host.login(f"{{ {tries}; }} >/dev/null 2>&1; true")
    assert host.try_all() == WORKS


def test_pasta_that_is_killed_and_comes_back(host: Host) -> None:
    before = host.spaces()
    host.kill()
    assert host.try_all() == CLOSED
    assert host.try_all(device=DEVICE) == CLOSED
    host.start()
    assert host.spaces() == before
    assert host.try_all() == WORKS


def test_its_network_lets_no_account_in_that_has_expired(host: Host) -> None:
    # That day means something else for accounts that sshd forwards for, who have such a network too.
    assert host.login("echo in") == "in\n"
    host.sh("chage -E 1970-01-03 ann")
    assert host.login("echo in") == ""
    host.sh("chage -E -1 ann")


def test_nothing_is_left_of_it(host: Host) -> None:
    host.ok("deluser", "ann", "--keep-account", "--yes")
    assert host.sh(f"ls /run/jailssh/net | grep '^{UID}' || true") == ""
    assert f"{UID}" not in host.sh("cat /proc/self/mountinfo | grep nsfs | grep -v /run/user || true")
    host.kill()
