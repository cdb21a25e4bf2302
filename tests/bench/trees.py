"""``run`` and ``enter``: ``/bin/true`` in a tree beside systemd-nspawn, schroot and bubblewrap, and beside a login.

``run`` by the processor time of all processes, as nspawn and schroot spend theirs in helpers and wait for other
services besides; ``enter`` by the clock, as logins are.  schroot is left out where it is not installed.
"""

from __future__ import annotations

import json
import shutil
import statistics

from tests.bench import systems
from tests.bench.figures import Goal, Row, ratio, timed_rows
from tests.bench.site import LOGIN, PREFIX, TRUE, Site, attach
from tests.bench.timing import Program, time_programs

LIMITS = {
    ("jailssh run", "nspawn"): 1.0,
    ("jailssh run", "schroot"): 0.5,
    ("jailssh-run", "bwrap, the same mounts"): 0.5,
}
ENTER = 1.1
_TREE = "/srv/bench-tree"
_NSPAWN, _SCHROOT = "/usr/bin/systemd-nspawn", "/usr/bin/schroot"
_GROUPS, _WRITABLE = "/sys/fs/cgroup", "xargs -n 1 mount -o remount,bind,rw"
_ENTER = f"{PREFIX}/bin/jailssh-enter"
_DRIVER = f"""
import argparse, ctypes, json, os, random, sys
sys.path.insert(0, "{PREFIX}/lib/jailssh/python")
from jailssh.entering import run
from jailssh.host.paths import Layout
commands, runs = json.loads(sys.argv[1]), int(sys.argv[2])
parser = argparse.ArgumentParser()
run.add_arguments(parser)
with open("/run/bench-plan", "wb") as stream:
    stream.write(run.plan_of(parser.parse_args(["{_TREE}", "{TRUE}"]), Layout()).encode())
same = ["--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--proc", "/proc"]
for name in sorted(os.listdir("/proc")):
    if not name.isdecimal() and not os.path.islink("/proc/" + name):
        same += ["--ro-bind", "/proc/" + name, "/proc/" + name]
commands["bwrap, the same mounts"][-1:-1] = same
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # who is left by its parent is ours to wait for, and its time ours to count
null = os.open("/dev/null", os.O_RDWR)
spent = {{name: [] for name in commands}}
for turn in range(runs + 1):
    for name in random.sample(sorted(commands), len(commands)):
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
        actions.append((os.POSIX_SPAWN_OPEN, 3, "/run/bench-plan", os.O_RDONLY, 0))
        pid = os.posix_spawn(commands[name][0], commands[name], {{"PATH": "/usr/bin:/bin"}}, file_actions=actions)
        total = 0
        while True:
            try:
                ended, status, used = os.wait4(-1, 0)
            except ChildProcessError:
                break
            assert ended != pid or status == 0, (name, status)
            total += used.ru_utime + used.ru_stime
        spent[name].append(total * 1000)
print(json.dumps({{name: values[1:] for name, values in spent.items()}}))
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return a row for each program that runs a command in a tree, a login, who enters the same jail, and systems."""
    return [*_run(site, max(20, runs // 4)), *_enter(site, runs), *systems.measure(site)]


def _run(site: Site, runs: int) -> list[Row]:
    tree = site.room / "tree"
    tree.mkdir(mode=0o755)
    attach(site.host, tree, _TREE)
    script = f"cp -a {site.image()}/. {_TREE}; cd {_TREE}; mkdir -p usr proc dev sys run tmp var etc root; chmod 755 ."
    site.host.run(["sh", "-c", script], check=True)
    bwrap = ["/usr/bin/bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"]
    bwrap += ["--bind", _TREE, "/", "--dev", "/dev"]
    commands = {
        "jailssh run": [f"{PREFIX}/bin/jailssh", "run", _TREE, TRUE],
        "jailssh-run": [f"{PREFIX}/libexec/jailssh/jailssh-run"],
        "bwrap": [*bwrap, "--proc", "/proc", TRUE],
        "bwrap, the same mounts": [*bwrap, TRUE],
    }
    if shutil.which(_NSPAWN):
        # It moves its processes between control groups of its own, which a scratch host shows read-only.
        site.host.run(["sh", "-c", f"grep ' {_GROUPS}' /proc/mounts | cut -d' ' -f2 | {_WRITABLE}"])
        commands["nspawn"] = [_NSPAWN, "-q", "-a", "--register=no", "--keep-unit", "-D", _TREE, TRUE]
    if shutil.which(_SCHROOT):
        site.host.write("/etc/schroot/chroot.d/bench", f"[bench]\ntype=directory\ndirectory={_TREE}\nroot-users=root\n")
        commands["schroot"] = [_SCHROOT, "-c", "bench", "-d", "/", TRUE]
    argv = ["/usr/bin/python3", "-I", "-c", _DRIVER, json.dumps(commands), str(runs)]
    spent = json.loads(site.host.run(argv, check=True, timeout=900).stdout)
    rows = []
    for name, values in spent.items():
        of = {peer: ratio(values, spent[peer]) for (mine, peer) in LIMITS if mine == name and peer in spent}
        goals = tuple(Goal(f"run: {name} / {peer}", value, LIMITS[name, peer]) for peer, value in of.items())
        ratios = {"bwrap": ratio(values, spent["bwrap"])} if name != "bwrap" else {}
        rows.append(Row(f"run: processor time: {name}", statistics.median(values), "ms", min(values), ratios, goals))
    return rows


def _enter(site: Site, runs: int) -> list[Row]:
    programs = [
        Program("login", [LOGIN, "-c", "true"], site.jailed.name, site.jailed.environment(LOGIN)),
        Program("enter", [_ENTER, "bench", "-c", "true"], site.plain.name, site.plain.environment("/bin/sh")),
    ]
    spent = time_programs(site.host, programs, runs)
    login, enter = timed_rows("enter", spent)
    goal = Goal("enter: enter / login", ratio(spent["enter"], spent["login"]), ENTER)
    return [login, Row(enter.name, enter.median, enter.unit, enter.least, enter.ratios, (goal,))]
