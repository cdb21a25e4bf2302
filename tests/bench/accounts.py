"""``jailssh adduser --from`` and ``deluser --from`` of a thousand accounts, and ``migrate`` of two hundred of Jailkit.

Beside newusers(8) and useradd(8), which are measured on fewer accounts and scaled.  That is in their favour: they
become slower with each account.
"""

from __future__ import annotations

import time

from tests.bench.figures import Goal, Row
from tests.bench.site import PREFIX, Site

ACCOUNTS, MORE, FEW, ALONE = 1_000, 3_000, 100, 5
BEYOND_MS, GROWTH, GROWTH_OF_ONE = 30_000.0, 1.2, 1.5
MIGRATED, MIGRATE_MS = 200, 20_000.0
_ADD = f"{PREFIX}/bin/jailssh adduser --jail sftp-only --yes"
# What migrate reads of a jail of Jailkit's; nobody enters it here.
_JAIL = r"""
mkdir -p /srv/jk/etc/jailkit /srv/jk/usr/sbin /srv/jk/home
printf '[DEFAULT]\npaths = /usr/bin\nexecutables = /usr/bin/rsync, /usr/lib/openssh/sftp-server\numask = 022\n' \
    >/srv/jk/etc/jailkit/jk_lsh.ini
cp /bin/true /srv/jk/usr/sbin/jk_lsh
test -e /usr/sbin/jk_chrootsh || cp /bin/false /usr/sbin/jk_chrootsh
printf 'root:x:0:\n' >/srv/jk/etc/group
printf 'root:x:0:0:root:/root:/bin/sh\n' >/srv/jk/etc/passwd
for n in $(seq {count}); do
    u=$((20000 + n))
    echo "jk$n:x:$u:$u::/srv/jk/./home/jk$n:/usr/sbin/jk_chrootsh" >>/etc/passwd
    echo "jk$n:x:$u:$u::/home/jk$n:/usr/sbin/jk_lsh" >>/srv/jk/etc/passwd
    echo "jk$n:x:$u:" | tee -a /srv/jk/etc/group >>/etc/group
    echo "jk$n:*:19000:0:99999:7:::" >>/etc/shadow
    install -d -m 700 -o $u -g $u /srv/jk/home/jk$n
done
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows of adding and taking out, of shadow's own programs, and of more accounts at once."""
    _list(site, "first", ACCOUNTS)
    _list(site, "more", MORE)
    alone, tool_alone = _each(site, _ADD, "alone"), _each(site, "useradd -m", "walone")
    added = _once(site, f"{PREFIX}/bin/jailssh adduser --from /srv/first.csv --jail sftp-only --yes")
    names = "".join(f"n{number}:*::::/home/n{number}:/bin/sh\n" for number in range(FEW))
    site.host.write("/srv/newusers", names)
    newusers = _once(site, "newusers /srv/newusers") * (ACCOUNTS / FEW)
    useradd = _once(site, f"for n in $(seq {FEW}); do useradd -m w$n; done") * (ACCOUNTS / FEW)
    gone = _once(site, f"{PREFIX}/bin/jailssh deluser --from /srv/first.csv --yes --remove-home")
    more = _once(site, f"{PREFIX}/bin/jailssh adduser --from /srv/more.csv --jail sftp-only --yes")
    beside, tool_beside = _each(site, _ADD, "beside"), _each(site, "useradd -m", "wbeside")
    more_gone = _once(site, f"{PREFIX}/bin/jailssh deluser --from /srv/more.csv --yes --remove-home")
    _once(site, _JAIL.format(count=MIGRATED))
    migrated = _once(site, f"{PREFIX}/bin/jailssh migrate jailkit --apply --yes")
    back = _once(site, f"{PREFIX}/bin/jailssh migrate --undo --yes")
    growth = (more / MORE) / (added / ACCOUNTS)
    beyond = added - min(newusers, useradd)
    beyond_one = (beside - tool_beside) / (alone - tool_alone)
    return [
        Row(f"accounts: adduser of {ACCOUNTS}", added, "ms", goals=(
            Goal(f"adduser of {ACCOUNTS}: ms beyond newusers and useradd", beyond, BEYOND_MS),)),
        Row(f"accounts: newusers, {FEW}, for {ACCOUNTS}", newusers, "ms"),
        Row(f"accounts: useradd, {FEW}, for {ACCOUNTS}", useradd, "ms"),
        Row(f"accounts: deluser of {ACCOUNTS}", gone, "ms", goals=(
            Goal(f"deluser of {ACCOUNTS} (ms)", gone, BEYOND_MS),)),
        Row(f"accounts: adduser of {MORE}", more, "ms", goals=(
            Goal("adduser: time per account", growth, GROWTH),)),
        Row(f"accounts: deluser of {MORE}", more_gone, "ms", goals=(
            Goal("deluser: time per account", (more_gone / MORE) / (gone / ACCOUNTS), GROWTH),)),
        Row("accounts: adduser of one", alone, "ms"),
        Row(f"accounts: adduser of one beside {MORE}", beside, "ms", goals=(
            Goal("adduser of one: time beyond useradd", beyond_one, GROWTH_OF_ONE),)),
        Row(f"accounts: useradd of one beside {MORE}", tool_beside, "ms"),
        Row(f"accounts: migrate of {MIGRATED} of Jailkit", migrated, "ms", goals=(
            Goal(f"migrate of {MIGRATED} (ms)", migrated, MIGRATE_MS),)),
        Row(f"accounts: migrate --undo of {MIGRATED}", back, "ms"),
    ]  # fmt: skip


def _list(site: Site, name: str, count: int) -> None:
    site.host.write(f"/srv/{name}.csv", "name\n" + "".join(f"{name}{number}\n" for number in range(count)))


def _each(site: Site, command: str, name: str) -> float:
    """Return how many milliseconds it takes to add one account, the least of some."""
    return min(_once(site, f"{command} {name}{number}") for number in range(ALONE))


def _once(site: Site, command: str) -> float:
    """Return how many milliseconds a command takes that is too long to repeat."""
    start = time.monotonic()
    site.host.run(["sh", "-ec", f"{command} >/dev/null"], check=True, timeout=1200)
    return (time.monotonic() - start) * 1000
