"""``jailssh check`` over many accounts that share five jails, beside jk_check over as many jails of Jailkit's.

Accounts are written into the scratch host's files at once; a thousand calls of adduser would take minutes.  jk_check is
measured on fifty jails and scaled: it looks at each by itself, and in what it reads it is alike for all of them.
"""

from __future__ import annotations

import statistics

from tests.bench.builds import peak, timed
from tests.bench.figures import Goal, Row, timed_row
from tests.bench.site import PREFIX, STATE, Site, attach

ACCOUNTS, MORE = 1_000, 3_000
KITS = 50
COLD_MS, WARM_MS, JAILKIT, GROWTH, MEMORY_MIB = 5_000.0, 500.0, 0.05, 1.2, 150.0
_JAILS = ("sftp-only", "sftp-ro", "scp-sftp", "rsync-pull", "shell")
_SECTIONS = ("sftp", "scp", "rsync", "basicshell", "jk_lsh")
_CHECK = ("/bin/sh", "-c", f"{PREFIX}/bin/jailssh check >/srv/found 2>&1; test $? -le 1")
_WHERE = "/srv/kits"
_FIRST_UID = 200_000
_PEOPLE = r"""
first=$1; last=$2; shift 2
login=$(getent passwd | awk -F: '$7 ~ /jailssh-login$/ { print $7; exit }')
number=$first
while [ $number -lt $last ]; do
    uid=$((UID0 + number)); name=many$number
    echo "$name:x:$uid:$uid::/home/$name:$login" >>/etc/passwd
    echo "$name:x:$uid:" >>/etc/group
    echo "$name:*:19000:0:99999:7:::" >>/etc/shadow
    eval jail=\${$((number % $# + 1))}
    printf 'uid = %s\njail = %s\n' $uid $jail >/etc/jailssh/users/$name.conf
    install -d -m 700 -o $uid -g $uid /home/$name
    number=$((number + 1))
done
members=$(seq -s , -f many%g 0 $((last - 1)))
sed -i "s/^jailssh:\([^:]*:[^:]*\):.*/jailssh:\1:$members/" /etc/group
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows of a first run, of one without a change, of jk_check, of more accounts, and of the memory."""
    _people(site, 0, ACCOUNTS)
    cold = [_cold(site) for _ in range(3)]
    warm = timed(site, _CHECK, 10)
    memory = peak(site, ["check", "--full"])
    kits = _jailkit(site) * (ACCOUNTS / KITS)
    _people(site, ACCOUNTS, MORE)
    more = _cold(site)
    usual = statistics.median(cold)
    growth = (more / MORE) / (usual / ACCOUNTS)
    beside = usual / kits
    goals = (Goal(f"check / jk_check over {ACCOUNTS} jails", beside, JAILKIT),)
    return [
        timed_row(f"check: {ACCOUNTS} accounts, first run", cold, COLD_MS),
        timed_row(f"check: {ACCOUNTS} accounts, nothing changed", warm, WARM_MS),
        Row(f"check: jk_check, {KITS} jails, for {ACCOUNTS}", kits, "ms", ratios={"jailkit": beside}, goals=goals),
        Row(f"check: {MORE} accounts, first run", more, "ms", goals=(Goal("check: time per account", growth, GROWTH),)),
        Row("check: peak memory", memory, "MiB", goals=(Goal("check: peak memory (MiB)", memory, MEMORY_MIB),)),
    ]


def _people(site: Site, first: int, last: int) -> None:
    script = _PEOPLE.replace("UID0", str(_FIRST_UID))
    site.host.run(["sh", "-c", script, "sh", str(first), str(last), *_JAILS], check=True, timeout=300)
    site.host.run([f"{PREFIX}/bin/jailssh", "apply"], check=True, timeout=900)


def _cold(site: Site) -> float:
    site.host.run(["rm", "-rf", f"{STATE}/check"], check=True)
    (spent,) = timed(site, _CHECK)
    return spent


def _jailkit(site: Site) -> float:
    """Return the milliseconds of jk_check over some jails that hold what ours do; they are copies of one."""
    room = site.room / "kits"
    room.mkdir(mode=0o755)
    attach(site.host, room, _WHERE)
    site.host.run(["/usr/sbin/jk_init", "-j", f"{_WHERE}/0", *_SECTIONS], check=True, timeout=300)
    script = 'for n in $(seq 1 $(($2 - 1))); do cp -a "$1/0" "$1/$n"; done; for n in $(seq 0 $(($2 - 1))); do'
    script += ' echo "kit$n:x:$((300000 + n)):100::$1/$n/./home/kit:/usr/sbin/jk_chrootsh"; done >>/etc/passwd'
    site.host.run(["sh", "-c", script, "sh", _WHERE, str(KITS)], check=True, timeout=600)
    try:
        (spent,) = timed(site, ("/bin/sh", "-c", "/usr/sbin/jk_check >/srv/kits-found 2>&1; true"))
    finally:
        site.host.run(["sed", "-i", "/^kit[0-9]/d", "/etc/passwd"], check=True)
    return spent
