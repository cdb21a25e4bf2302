"""What jails log, from a sender to the one who takes it: the relay beside jk_socketd, both with the same two ends."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.figures import Goal, Row
from tests.bench.site import PREFIX, Site

MESSAGES = 90_000
"""As many as jk_socketd passes before its highest rate is reached."""
SOCKETS = 5000
ONE_US = 1e6 / 20_000
WAIT_US = 50_000.0
MEMORY_MIB = 40.0
ENDS = f"{PREFIX}/libexec/logs"
_DRIVER = Path(__file__).resolve().parent / "logs_driver.py"
# A /dev of its own: jk_socketd writes to /dev/log and nowhere else.
_ROOM = (
    "ulimit -n 20000; echo 512 > /proc/sys/net/unix/max_dgram_qlen; mount -t tmpfs none /run; "
    "mkdir /run/dev; cp -a /dev/null /dev/zero /dev/urandom /run/dev; mount --move /run/dev /dev 2>/dev/null || "
    'mount --bind /run/dev /dev; exec python3 - "$@"'
)


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows."""
    words = [f"{PREFIX}/libexec/jailssh/jailssh-relay", ENDS, str(MESSAGES), str(SOCKETS)]
    done = site.host.run(
        ["unshare", "--mount", "--net", "--propagation=private", "sh", "-c", _ROOM, "sh", *words],
        input=_DRIVER.read_text(), check=True, timeout=180,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    ours, theirs = found["relay"], found["jk_socketd"]
    assert ours["found"] == theirs["found"] == MESSAGES, found
    name = f"log, {SOCKETS:,} sockets: a message"
    time = (Goal(f"{name} (µs)", ours["us"], ONE_US), Goal(f"{name} / jk_socketd", ours["us"] / theirs["us"], 0.5))
    return [
        Row(name, ours["us"], "µs", ratios={"jailkit": ours["us"] / theirs["us"]}, goals=time),
        Row("log: processor time of a message", ours["cpu"], "µs", ratios={"jailkit": ours["cpu"] / theirs["cpu"]},
            goals=(Goal("log: processor time of a message (µs)", ours["cpu"], ONE_US),)),
        Row("log: the longest that a sender waits", ours["wait"], "µs",
            goals=(Goal("log: the longest wait (µs)", ours["wait"], WAIT_US),)),
        Row(f"log: memory with {SOCKETS:,} sockets", ours["memory"], "MiB",
            goals=(Goal("log: memory (MiB)", ours["memory"], MEMORY_MIB),)),
    ]  # fmt: skip
