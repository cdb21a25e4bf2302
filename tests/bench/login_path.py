"""The login path as a process: from its start to the end of ``/bin/true``, beside Jailkit and bubblewrap.

Each starts as the account's own uid, as sshd starts it.  All end in the same program; jailssh and bubblewrap show the
same image, home and files.
"""

from __future__ import annotations

import ctypes
import os

from tests.bench.figures import Goal, Row, ratio, timed_rows
from tests.bench.site import FLOOR, LOGIN, TRUE, Site, inside
from tests.bench.timing import Program, time_programs

LIMITS = {"jailssh": {"jailkit": 0.65, "bwrap": 0.33, "floor": 1.35}}
FEW, MANY = 20, 2000
GROWTH = 1.1
ROUNDS = 4
_JK_CHROOTSH = "/usr/sbin/jk_chrootsh"
_PASSWD, _GROUP = "/srv/bench.passwd", "/srv/bench.group"
_EXTRA = "/run/bench-mounts"
_MS_BIND, _MNT_DETACH = 4096, 2


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows for one login at a time and two at once, with few and with many mounts on the host."""
    programs = _programs(site)
    _detach_others(site)
    few: dict[str, list[float]] = {}
    many: dict[str, list[float]] = {}
    parallel: dict[str, list[float]] = {}
    low = high = 0
    for _ in range(ROUNDS):  # in turns, so that a noisy moment of the machine is not one condition's alone
        low = _fill_up(site, FEW)
        _collect(few, time_programs(site.host, programs, runs // ROUNDS))
        _collect(parallel, time_programs(site.host, programs, runs // ROUNDS, parallel=2))
        high = _fill_up(site, MANY)
        _collect(many, time_programs(site.host, [_rarely(program) for program in programs], runs // ROUNDS))
        _take_away(site)
    growth = Goal(f"login: jailssh with {high} mounts / {low} mounts", ratio(many["jailssh"], few["jailssh"]), GROWTH)
    rows = timed_rows(f"login, {high} mounts", many)
    rows = [
        Row(r.name, r.median, r.unit, r.least, r.ratios, (growth,)) if r.name.endswith(": jailssh") else r for r in rows
    ]
    return [
        *timed_rows(f"login, {low} mounts", few, LIMITS),
        *timed_rows("login, 2 at once", parallel, LIMITS),
        *rows,
    ]


def _programs(site: Site) -> list[Program]:
    jailed, jailkit, plain, ports = site.jailed, site.jailkit, site.plain, site.ports
    image = site.image()
    site.host.run([LOGIN, "-c", "true"], user=jailed.name, env=jailed.environment(LOGIN), check=True)  # makes the pins
    ids = site.host.run(["id", "-u", jailed.name], check=True).stdout.strip()
    site.host.write(_PASSWD, f"root:x:0:0:root:/:/bin/false\n{jailed.name}:x:{ids}:{ids}::{jailed.home}:/bin/false\n")
    site.host.write(_GROUP, f"root:x:0:\n{jailed.name}:x:{ids}:\n")
    bwrap = ["/usr/bin/bwrap", "--unshare-all", "--ro-bind", image, "/", "--tmpfs", "/run", "--tmpfs", "/home"]
    bwrap += ["--tmpfs", "/tmp", "--file", "3", "/run/passwd", "--file", "4", "/run/group", "--dev", "/dev"]
    bwrap += ["--bind", jailed.home, jailed.home, "--chdir", jailed.home, "/usr/bin/true"]
    kit = [_JK_CHROOTSH, "-c", TRUE]
    return [
        Program("plain", [TRUE], plain.name, plain.environment("/bin/sh")),
        Program("sh -c", ["/bin/sh", "-c", "true"], plain.name, plain.environment("/bin/sh")),
        Program("jailkit", kit, jailkit.name, jailkit.environment(_JK_CHROOTSH)),
        Program("bwrap", bwrap, jailed.name, jailed.environment("/bin/sh"), files=(_PASSWD, _GROUP)),
        Program("floor", [FLOOR, *site.pins(), "--", TRUE], jailed.name, {}),
        Program("jailssh", [LOGIN, "-c", "true"], jailed.name, jailed.environment(LOGIN)),
        Program("jailssh, forward = inside", [LOGIN, "-c", "true"], ports.name, ports.environment(LOGIN)),
    ]


def _rarely(program: Program) -> Program:
    """Let bubblewrap, which then takes a tenth of a second, come less often."""
    every = 8 if program.name == "bwrap" else 1
    return Program(program.name, program.command, program.user, program.env, program.files, every)


def _collect(all_spent: dict[str, list[float]], spent: dict[str, list[float]]) -> None:
    for name, values in spent.items():
        all_spent.setdefault(name, []).extend(values)


def _detach_others(site: Site) -> None:
    """Take away mounts of the machine that nothing here needs, since it may have more than a usual host."""
    points = [line.split()[4] for line in site.host.read("/proc/self/mountinfo").decode().splitlines()]
    spare = [point for point in points if point.startswith(("/sys/", "/mnt/", "/media/"))]

    def act(libc: ctypes.CDLL) -> bool:
        for point in reversed(spare):
            libc.umount2(os.fsencode(point), _MNT_DETACH)  # may have gone with its parent
        return True

    inside(site.host, act, "unmount what is not needed")


def _fill_up(site: Site, total: int) -> int:
    """Add mounts until there are ``total``, if there are less; return how many there are."""
    wanted = total - site.mounts() - 1

    def act(libc: ctypes.CDLL) -> bool:
        path = _EXTRA.encode()
        os.makedirs(path, exist_ok=True)
        if libc.mount(b"bench", path, b"tmpfs", 0, None) != 0:
            return False
        return all(_bind(libc, b"%b/%d" % (path, number)) for number in range(wanted))

    if wanted >= 0:
        inside(site.host, act, f"make {wanted} mounts")
    return site.mounts()


def _bind(libc: ctypes.CDLL, path: bytes) -> bool:
    os.mkdir(path)
    return bool(libc.mount(b"/srv", path, None, _MS_BIND, None) == 0)


def _take_away(site: Site) -> None:
    """Unmount all that was added: both tmpfs, with everything below them."""

    def act(libc: ctypes.CDLL) -> bool:
        while libc.umount2(_EXTRA.encode(), _MNT_DETACH) == 0:
            pass
        return True

    inside(site.host, act, "unmount what was added")
