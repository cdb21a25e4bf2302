"""Debian's own daemons, each as a service that `launch --unit` printed: started, used, reloaded, stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.booted import BootedTree

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

TREE = "/srv/daemons"
SHOWN = "--ro --bind /usr::ro --bind /etc::ro --tmpfs /tmp --tmpfs /run"
POSTGRES = "$(echo /usr/lib/postgresql/*/bin)"
READY = f"""
mkdir -p {TREE} && cd {TREE}
mkdir -p usr etc proc dev tmp run root srv var/lib/redis var/lib/nginx var/lib/postgresql var/cache/bind var/log/nginx
for link in bin sbin lib lib64; do ln -sfn usr/$link $link; done
cat >/etc/nginx/jail.conf <<'END'
pid /tmp/nginx.pid; daemon off; error_log stderr;
events {{}}
http {{ access_log off; server {{ listen 80; location / {{ return 200 "one"; }} }} }}
END
cat >/etc/bind/jail.conf <<'END'
options {{ directory "/var/cache/bind"; listen-on {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none;
  session-keyfile "/tmp/session.key"; recursion no;
  dnssec-validation no; }};
zone "jail.test" {{ type primary; file "/etc/bind/jail.zone"; }};
controls {{ }};
END
cat >/etc/bind/jail.zone <<'END'
$TTL 60
@ SOA ns hostmaster 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.1
END
install -d -o postgres -g postgres -m 700 /srv/cluster
"""
CLUSTER = f"{SHOWN} -u postgres --bind /srv/cluster:/var/lib/postgresql {TREE} --"
# name: options, command, who uses it, what that prints, what is changed for the reload, what is printed then.
DAEMONS: dict[str, tuple[str, str, str, str, str, str]] = {
    "nginx": (
        f"{SHOWN} -u www-data --keep-cap net_bind_service --tmpfs /var/lib/nginx {TREE}",
        "/usr/sbin/nginx -c /etc/nginx/jail.conf",
        "curl -sf --max-time 5 http://127.0.0.1/", "one", "sed -i s/one/two/ /etc/nginx/jail.conf", "two",
    ),
    "redis": (
        f"--notify {SHOWN} -u redis --bind /var/lib/redis {TREE}",
        "/usr/bin/redis-server --port 6390 --dir /var/lib/redis --supervised systemd --daemonize no",
        "redis-cli -p 6390 incr a >/dev/null && redis-cli -p 6390 ping", "PONG", "true", "PONG",
    ),
    "postgres": (
        f"--notify {SHOWN} -u postgres --bind /srv/cluster:/var/lib/postgresql {TREE}",
        f"{POSTGRES}/postgres -D /var/lib/postgresql/data -p 5499 -k /tmp",
        "runuser -u postgres -- psql -h 127.0.0.1 -p 5499 -Atc 'show work_mem' postgres", "4MB",
        "echo work_mem = 8MB >>/srv/cluster/data/postgresql.conf", "8MB",
    ),
    "bind": (
        f"{SHOWN} -u bind --keep-cap net_bind_service --bind /var/cache/bind {TREE}",
        "/usr/sbin/named -f -c /etc/bind/jail.conf",
        "dig +short +time=2 +tries=1 @127.0.0.1 www.jail.test a", "192.0.2.1",
        "sed -i 's/192.0.2.1/192.0.2.2/; s/ 1 60/ 2 60/' /etc/bind/jail.zone", "192.0.2.2",
    ),
}  # fmt: skip

SESSION = f"jailssh run --session kept {SHOWN} {TREE}"

PROGRAMS = {"nginx": "nginx", "redis": "redis-server", "postgres": "postgres", "bind": "named"}


@pytest.fixture(scope="module")
def ready(tree: BootedTree) -> Iterator[BootedTree]:
    tree.sh(READY)
    tree.sh(f"jailssh run {CLUSTER} {POSTGRES}/initdb -D /var/lib/postgresql/data")
    yield tree
    tree.sh(f"rm -rf {TREE} /srv/cluster /etc/systemd/system/jail-*.service; systemctl daemon-reload")


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_as_a_service(ready: BootedTree, name: str) -> None:
    options, command, use, before, change, after = DAEMONS[name]
    unit = f"/etc/systemd/system/jail-{name}.service"
    ready.sh(f"jailssh launch --unit jail-{name} {options} -- {command} >{unit} && systemd-analyze verify {unit}")
    ready.sh(f"systemctl daemon-reload && systemctl start jail-{name}")
    try:
        ready.wait(lambda: ready.run(use).stdout.strip() == before, f"{name} to answer", 20)
        main = ready.sh(f"systemctl show -p MainPID --value jail-{name}").strip()
        assert ready.sh(f"cat /proc/{main}/comm").strip() == "jailssh-run"
        # The daemon is in a tree of its own, with nothing but what it was given.
        beside = ready.sh(f"pgrep -P $(pgrep -d, -P {main})").split()
        inside = next(pid for pid in beside if ready.sh(f"cat /proc/{pid}/comm").strip() == PROGRAMS[name])
        assert ready.sh(f"cat /proc/{inside}/root/proc/1/comm").strip() == "jailssh-run"
        kept = "0000000000000400" if "net_bind" in options else "0000000000000000"
        assert ready.sh(f"grep -h -e CapEff -e CapBnd /proc/{inside}/status | cut -f2").split() == [kept] * 2
        ready.sh(f"{change} && systemctl reload jail-{name}")
        ready.wait(lambda: ready.run(use).stdout.strip() == after, f"{name} to have read its settings again", 20)
        assert ready.sh(f"systemctl show -p MainPID --value jail-{name}").strip() == main
    finally:
        ready.run(f"systemctl stop jail-{name}")
    assert ready.sh(f"systemctl show -p Result --value jail-{name}").strip() == "success"
    assert not {PROGRAMS[name], "jailssh-run"} & {*ready.sh("ps -eo comm").split()}


@pytest.mark.parametrize(("slice_", "own"), [("user.slice", True), ("system.slice", False)])
def test_a_session_outlives_the_login_that_began_it(ready: BootedTree, slice_: str, own: bool) -> None:
    """And keeps the limits of whatever else has begun it."""
    begun = f"systemd-run --quiet --scope --unit=begins --slice={slice_}"
    ready.sh(f"{begun} {SESSION} -- sh -c '(sleep 4321 >/dev/null 2>&1 &) ; echo'")
    try:
        pid = ready.sh("pgrep -xf 'sleep 4321'").strip()
        # Those of systemd's own hierarchies; the others follow when it next looks at them.
        groups = ready.sh(f"grep -E '^[0-9]+:(name=systemd)?:' /proc/{pid}/cgroup")
        assert ("/system.slice/jailssh-session-kept.scope" in groups, "begins.scope" in groups) == (own, not own), (
            groups
        )
        ready.run("systemctl stop begins.scope")
        assert ready.run(f"kill -0 {pid}").returncode == (0 if own else 1)
        assert ready.run(f"{SESSION} -- true").returncode == (0 if own else 125)
    finally:
        ready.sh("jailssh session end kept")
    assert ready.sh("systemctl list-units --all --no-legend 'jailssh-session-*'") == ""
