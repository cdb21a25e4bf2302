"""What recording costs a busy terminal: the same output in a jail that records and in one that does not."""

from __future__ import annotations

import json
import statistics

from tests.bench.figures import Goal, Row
from tests.bench.site import LOGIN, Site

LINES = 100_000
_LIMIT = 0.02
_TURNS = 9
_PLAIN, _RECORDED = "bench-term", "bench-recorded"
_JAIL = "plugins = shell\nroot = live\n"
# As sshd does: a terminal for the login program, whose other end is read as fast as it gives something.
_DRIVER = """
import fcntl, json, os, pwd, pty, resource, sys, termios, time
login, turns, command, *users = sys.argv[1:]
def once(name):
    who = pwd.getpwnam(name)
    master, slave = pty.openpty()
    os.fchown(slave, who.pw_uid, -1)
    begun, moved, before = time.perf_counter(), 0, resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in 0, 1, 2:
            os.dup2(slave, fd)
        os.initgroups(name, who.pw_gid)
        os.setgid(who.pw_gid)
        os.setuid(who.pw_uid)
        os.closerange(3, 20)
        home = who.pw_dir
        os.execve(login, [login, "-c", command],
                  {"USER": name, "LOGNAME": name, "HOME": home, "SHELL": login, "TERM": "xterm"})
    os.close(slave)
    try:
        while block := os.read(master, 65536):
            moved += len(block)
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(master)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [time.perf_counter() - begun, moved, cpu]
found = {name: [] for name in users}
for _ in range(int(turns)):
    for name in users:
        found[name].append(once(name))
print(json.dumps(found))
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the throughput with and without, in turns, and how much less the first is."""
    for name, more in ((_PLAIN, ""), (_RECORDED, "record = output\nrecord_size = 4G\n")):
        site.host.write(f"/etc/jailssh/jails/{name}.conf", _JAIL + more)
        site.jailssh("adduser", name, "--jail", name, "--yes")
    # Lines as a log or a compiler prints them.
    command = f"seq -f 'line %.0f of what a busy terminal shows, some seventy bytes of it.....' {LINES}"
    words = [LOGIN, str(_TURNS), command, _PLAIN, _RECORDED]
    done = site.host.run(["python3", "-c", _DRIVER, *words], check=True, timeout=900)
    found = json.loads(done.stdout)
    mib = {name: [moved / seconds / (1 << 20) for seconds, moved, _ in each] for name, each in found.items()}
    # Of neighbours: the machine is not the same all the time.
    lost = statistics.median(1 - one / other for one, other in zip(mib[_RECORDED], mib[_PLAIN], strict=True))
    # What else runs on the machine does not count in it.
    cpu = {
        name: statistics.median(spent / moved * (1 << 30) for _, moved, spent in each) for name, each in found.items()
    }
    goal = Goal("recording: part of a busy terminal's throughput", lost, _LIMIT)
    return [
        Row("terminal, busy", statistics.median(mib[_PLAIN]), "MiB/s", min(mib[_PLAIN])),
        Row("terminal, busy, recorded", statistics.median(mib[_RECORDED]), "MiB/s", min(mib[_RECORDED]), goals=(goal,)),
        Row("terminal, busy: processor time of a GiB", cpu[_PLAIN], "s"),
        Row("terminal, busy, recorded: processor time of a GiB", cpu[_RECORDED], "s"),
    ]
