"""One more user of a jail that exists: the daemon's time, the disk, and how long the first login takes."""

from __future__ import annotations

import statistics

from tests.bench.figures import Goal, Row
from tests.bench.site import LOGIN, PREFIX, STATE, Account, Site
from tests.bench.timing import Program, Timer, undisturbed

DAEMON_MS = 5.0
DISK_KIB = 16.0
FIRST_LOGIN_MS = 60.0
ACCOUNTS = 12
_WARM = 10


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows; the accounts have no plan before their first login, the image is there."""
    host = site.host
    accounts = [Account(f"bench-new{number}", f"/home/bench-new{number}") for number in range(ACCOUNTS)]
    for account in accounts:
        site.jailssh("adduser", account.name, "--jail", "bench", "--on-demand", "--yes")
    with undisturbed():
        daemon = host.popen([f"{PREFIX}/libexec/jailssh/jailsshd"])
    host.wait_for("/run/jailssh/jailsshd.sock", daemon)
    logins = [_logins(site, account) for account in accounts]
    made = {record["JAILSSH_USER"]: record for record in host.journal(JAILSSH_EVENT="plan-compiled")}
    spent = [int(made[account.name]["JAILSSH_DURATION_USEC"]) / 1e3 for account in accounts]
    host.run(["kill", *map(str, _daemons(site))], check=True)
    # The daemon's first request has it read the configuration and look at the image, so it is a row of its own.
    first = [first - statistics.median(warm) for first, warm in logins]
    usual = statistics.median(spent[1:])
    later = statistics.median(first[1:])
    disk = _disk_kib(site, accounts)
    return [
        Row("plan for one more user", usual, "ms", min(spent), goals=(Goal("daemon time (ms)", usual, DAEMON_MS),)),
        Row("plan, first request of the daemon", spent[0], "ms"),
        Row("plan on the disk", disk, "KiB", goals=(Goal("plan on the disk (KiB)", disk, DISK_KIB),)),
        Row(
            "first login beyond a warm one",
            later,
            "ms",
            min(first),
            goals=(Goal("first login beyond a warm one (ms)", later, FIRST_LOGIN_MS),),
        ),
        Row(
            "first login, first request of the daemon",
            first[0],
            "ms",
            goals=(Goal("first login, first request of the daemon (ms)", first[0], FIRST_LOGIN_MS),),
        ),
    ]


def _logins(site: Site, account: Account) -> tuple[float, list[float]]:
    """Return the milliseconds of the first login and of some after it."""
    program = Program(account.name, [LOGIN, "-c", "true"], account.name, account.environment(LOGIN))
    timer = Timer(site.host, program)
    try:
        timer.start(1 + _WARM)
        first, *warm = timer.finish(1 + _WARM)
        return first, warm
    finally:
        timer.close()


def _daemons(site: Site) -> list[int]:
    """Return the pids of the daemon as the scratch host counts."""
    return [pid for pid, command in site.host.pids().items() if "jailsshd" in command and "nsenter" not in command]


def _disk_kib(site: Site, accounts: list[Account]) -> float:
    """Return the largest of the plans' disk usage."""
    uids = [site.host.run(["id", "-u", account.name], check=True).stdout.strip() for account in accounts]
    files = [f"{STATE}/plan.v1/{uid}" for uid in uids]
    blocks = site.host.run(["stat", "-c", "%b %B", *files], check=True).stdout.splitlines()
    return max(int(count) * int(size) / 1024 for count, size in map(str.split, blocks))
