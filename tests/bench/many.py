"""The verbs that look at every account, with a thousand and with ten thousand of them in four jails.

The accounts are written into the files of the host; adduser of so many is measured in :mod:`tests.bench.accounts`.
"""

from __future__ import annotations

import time

from tests.bench.builds import peak
from tests.bench.figures import Goal, Row
from tests.bench.site import PREFIX, Site

FEW, MANY, LINES = 1_000, 10_000, 100_000
NEW_MS, NEW_MIB = 30_000.0, 150.0
AGAIN_MS = {FEW: 1_000.0, MANY: 6_000.0}
CHECK_MS, LIST_MS, CSV_MS, GROWTH = 10_000.0, 2_000.0, 60_000.0, 1.2
_JAILSSH = f"{PREFIX}/bin/jailssh"
_PEOPLE = r"""
import os, sys
first, last, login = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
jails = ("sftp-only", "sftp-ro", "scp-sftp", "rsync-pull")
names = [f"crowd{number}" for number in range(first, last)]
with open("/etc/passwd", "a") as passwd, open("/etc/group", "a") as group, open("/etc/shadow", "a") as shadow:
    for number, name in enumerate(names, first):
        uid = 400_000 + number
        passwd.write(f"{name}:x:{uid}:{uid}::/home/{name}:{login}\n")
        group.write(f"{name}:x:{uid}:\n")
        shadow.write(f"{name}:*:19000:0:99999:7:::\n")
        with open(f"/etc/jailssh/users/{name}.conf", "w") as stream:
            stream.write(f"uid = {uid}\njail = {jails[number % len(jails)]}\n")
        os.mkdir(f"/home/{name}", 0o700)
        os.chown(f"/home/{name}", uid, uid)
with open("/etc/group") as stream:
    rows = [line.rstrip("\n") for line in stream]
more = ",".join(names)
with open("/etc/group", "w") as stream:
    for row in rows:
        stream.write((row + ("" if row.endswith(":") else ",") + more if row.startswith("jailssh:") else row) + "\n")
"""
_GONE = r"""
sed -i '/^crowd[0-9]/d' /etc/passwd /etc/group /etc/shadow
sed -i 's/,*crowd[0-9]*//g; s/^\(jailssh:.*\):,/\1:/' /etc/group
find /etc/jailssh/users -name 'crowd*.conf' -delete
find /home -maxdepth 1 -name 'crowd*' -exec rmdir {} +
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows of both numbers, of how the time of an account grows, and of a list that is only judged."""
    rows: list[Row] = []
    spent: dict[tuple[str, int], float] = {}
    login = f"{PREFIX}/libexec/jailssh/jailssh-login"
    first = 0
    for last in (FEW, MANY):
        site.host.run(["python3", "-c", _PEOPLE, str(first), str(last), login], check=True, timeout=300)
        begun = time.monotonic()
        memory = peak(site, ["apply"])
        spent["new", last] = (time.monotonic() - begun) * 1000
        goals = (Goal(f"apply: {last} accounts, memory (MiB)", memory, NEW_MIB),)
        made = (Goal(f"apply: {last - first} new accounts (ms)", spent["new", last], NEW_MS),) if last == MANY else ()
        rows += [Row(f"apply: {last} accounts, {last - first} of them new", spent["new", last], "ms", goals=made),
                 Row(f"apply: {last} accounts, memory", memory, "MiB", goals=goals)]  # fmt: skip
        for name, words in (("again", "apply"), ("config check", "config check"), ("list", "list")):
            spent[name, last] = _once(site, f"{_JAILSSH} {words}")
        rows += [Row(f"{name}: {last} accounts", spent[name, last], "ms", goals=_goals(name, last, spent))
                 for name in ("again", "config check", "list")]  # fmt: skip
        first = last
    names = "".join(f"judged{number}\n" for number in range(LINES))
    site.host.write("/srv/judged.csv", f"name\n{names}root\n")
    judged = _once(site, f"! {_JAILSSH} adduser --from /srv/judged.csv --jail sftp-only --yes 2>/srv/judged")
    goal = Goal(f"adduser: {LINES} lines judged (ms)", judged, CSV_MS)
    site.host.run(["sh", "-c", _GONE], check=True, timeout=300)
    site.host.run([_JAILSSH, "apply"], check=True, timeout=1200)
    return [*rows, Row(f"adduser: {LINES} lines judged, beside {MANY} accounts", judged, "ms", goals=(goal,))]


def _goals(name: str, count: int, spent: dict[tuple[str, int], float]) -> tuple[Goal, ...]:
    text, value = f"{name}: {count} accounts (ms)", spent[name, count]
    if name == "again":
        found = [Goal(text, value, AGAIN_MS[count])]
    else:
        found = [Goal(text, value, CHECK_MS if name == "config check" else LIST_MS)] if count == MANY else []
    if count == MANY:
        growth = (value / MANY) / (spent[name, FEW] / FEW)
        found.append(Goal(f"{name}: time per account, {MANY} beside {FEW}", growth, GROWTH))
    return tuple(found)


def _once(site: Site, command: str) -> float:
    begun = time.monotonic()
    site.host.run(["sh", "-ec", f"{command} >/dev/null"], check=True, timeout=1200)
    return (time.monotonic() - begun) * 1000
