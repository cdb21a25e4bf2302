"""Many people of a group log in for the first time at once: no plan, no image; each is served, by one build."""

from __future__ import annotations

import json

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.fixtures import PREFIX

pytestmark = pytest.mark.needs("root", "sshd", "journald")

PEOPLE = 100
LOGIN = f"{PREFIX}/libexec/jailssh/jailssh-login"
# As sshd does it: by the forced command, as the account.
LOGINS = f"""
import grp, json, os, sys, time
gid = grp.getgrnam("pool").gr_gid
first, count = int(sys.argv[1]), int(sys.argv[2])
begun, children = time.monotonic(), {{}}
for uid in range(first, first + count):
    said = os.open(f"/tmp/said-{{uid}}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    pid = os.fork()
    if not pid:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        os.execve("{LOGIN}", ["-jailssh-login", "-c", "/usr/lib/openssh/sftp-server"], {{"USER": f"m{{uid - first}}"}})
    os.close(said)
    children[pid] = uid
codes = {{}}
while children:
    pid, status = os.wait()
    codes[children.pop(pid)] = os.waitstatus_to_exitcode(status)
took = time.monotonic() - begun
said = {{uid: open(f"/tmp/said-{{uid}}").read() for uid, code in codes.items() if code}}
print(json.dumps([took, said]))
"""


@pytest.fixture
def host(installed_host: ScratchHost) -> ScratchHost:
    run = installed_host.run
    run(["groupadd", "pool"], check=True)
    run(["mkdir", "-p", "/etc/jailssh/jails"], check=True)
    installed_host.write("/etc/jailssh/jails/pool.conf", "extends = sftp-only\ngroups = pool\n")
    run([f"{PREFIX}/bin/jailssh", "setup", "--yes"], check=True)
    gid = run(["sh", "-c", "getent group pool | cut -d: -f3"], check=True).stdout.strip()
    rows = "".join(f"m{n}:x:{61000 + n}:{gid}::/home/m{n}:{LOGIN}\n" for n in range(PEOPLE))
    run(["sh", "-c", "cat >>/etc/passwd"], input=rows, check=True)
    making = 'for n in $(seq 0 "$1"); do install -d -m 700 -o $((61000 + n)) -g pool /home/m$n; done'
    run(["sh", "-c", making, "sh", str(PEOPLE - 1)], check=True)
    installed_host.popen([f"{PREFIX}/libexec/jailssh/jailsshd"], stderr=-3)
    installed_host.wait_for("/run/jailssh/jailsshd.sock")
    return installed_host


@pytest.mark.alone
def test_all_are_served_by_one_build(host: ScratchHost) -> None:
    done = host.run(["/usr/bin/python3", "-c", LOGINS, "61000", str(PEOPLE)], check=True)
    took, refused = json.loads(done.stdout)
    assert refused == {}
    assert took < 10  # 0.5 s on an idle machine
    built = [row for row in host.journal(JAILSSH_EVENT="image-built") if row["JAILSSH_JAIL"] == "pool"]
    assert len(built) == 1
    assert len(host.journal(JAILSSH_EVENT="plan-compiled", JAILSSH_JAIL="pool")) == PEOPLE
    assert len(host.journal(JAILSSH_EVENT="session-end", JAILSSH_JAIL="pool")) == PEOPLE
    print(f"{PEOPLE} first logins: {took:.2f} s")
