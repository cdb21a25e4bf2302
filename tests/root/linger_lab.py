"""Kept jails in the laboratory of the login program: their plan, their keepers, and what runs in them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from jailssh.plan import codec
from jailssh.policy.rules import Rule, check_rules, rule_records
from tests.root.login_lab import CAN_RAISE_LIMITS, CAPABILITIES, IMAGE, OTHER_UID, UID, Lab, plan, record

RECORDS = "/run/jailssh/linger"
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
SERIALS = ("1" * 16, "2" * 16)


def kept_plan(uid: int = UID, *, serial: str = SERIALS[0], expires: int = 0, **how: Any) -> bytes:
    """Return the plan of a jail that is kept, in which the actor runs; ``how`` as for the lab's plan."""
    rule = Rule("lab.linger", "lab", "/bin/lingerer", ("lingerer",), operands=(0, 9, "text"))
    check_rules([rule])
    parsed = codec.decode(plan(uid, linger=True, **{"proc": True, **how}))
    rows = tuple(record(*row) for row in rule_records(rule))
    first = next(place for place, row in enumerate(parsed.records) if row.verb == "rule")
    until = (record("expires", expires),) if expires else ()
    records = (*parsed.records[:first], *until, *parsed.records[first:], *rows)
    return codec.encode(replace(parsed, serial=serial, records=records))


def record_text(pid: int, start: int | None, serial: str) -> str:
    """Return the record of a keeper: its pid and start time as the login program sees them, and the plan's serial."""
    return f"{pid:<10} {start:<20} {serial}\n"


def prepare(lab: Lab, directory: pathlib.Path) -> None:
    """Put the actor into the image, once."""
    source, program = pathlib.Path(__file__).with_name("linger_actor.c"), directory / "lingerer"
    if not program.exists():
        flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"]
        subprocess.run(["gcc", *flags, "-o", str(program), str(source)], check=True)
    target = lab.path(f"{IMAGE}/bin/lingerer")
    if not target.exists():
        target.write_bytes(program.read_bytes())
        target.chmod(0o755)


def numbers_of(pid: int) -> list[int]:
    """Return the numbers of a process from our pid namespace down to its own; none without one that runs."""
    with contextlib.suppress(OSError):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        if "\nState:\tZ" not in status:
            return [int(number) for number in status.split("\nNSpid:")[1].split("\n")[0].split()]
    return []


def _status(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/status").read_text()
    return ""


def pids_of(uid: int = UID) -> list[int]:
    """Return the processes of an account, as we see them."""
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in numbers if f"\nUid:\t{uid}\t" in _status(pid) and numbers_of(pid)]


def on_host(lab: Lab, pid: int) -> int:
    """Return the number that a process has on the scratch host."""
    return numbers_of(pid)[len(numbers_of(lab.host.init_pid)) - 1]


def runs_login(pid: int) -> bool:
    """True for a process that has executed nothing but the login program."""
    with contextlib.suppress(OSError):
        return "login" in os.readlink(f"/proc/{pid}/exe")
    return False


def keepers(uid: int = UID) -> list[int]:
    """Return the keepers of an account: the first of their pid namespaces, in sessions of their own."""
    found = []
    for pid in pids_of(uid):
        with contextlib.suppress(OSError, IndexError):
            if numbers_of(pid)[-1] == 1 and _status(pid).split("\nNSsid:")[1].split("\n")[0].split()[-1] == "1":
                found.append(pid)
    return found


def background(lab: Lab) -> tuple[int, int]:
    """Leave something in the background; return its pid within the jail and as we see it."""
    done = lab.login("lingerer background")
    assert (done.code, done.err) == (0, b""), done
    inside = int(done.out)
    outside = [pid for pid in pids_of() if numbers_of(pid)[-1:] == [inside]]
    return inside, outside[0]


def spaces_of(pid: int) -> dict[str, str]:
    """Return the namespaces of a process."""
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}


def end_keepers() -> None:
    """Kill all keepers of the lab's accounts."""
    for uid in (UID, OTHER_UID):
        for pid in keepers(uid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def grant(lab: Lab, *more: str) -> None:
    """Give the login program of a flavour with file capabilities its usual ones and ``more``."""
    names = [CAPABILITIES, *(["cap_sys_resource"] if CAN_RAISE_LIMITS else []), *more]
    lab.host.run(["setcap", f"{','.join(names)}=ep", lab.program], check=True)


def forget_keepers(lab: Lab) -> None:
    """Remove the records, so that the next login makes a jail anew."""
    lab.host.run(["rm", "-rf", RECORDS], check=True)


def one_test(lab: Lab, directory: pathlib.Path) -> Iterator[Lab]:
    """Yield the lab with a jail that is kept; nothing of it is left afterwards."""
    prepare(lab, directory)
    lab.publish(kept_plan())
    forget_keepers(lab)
    yield lab
    # First what is kept: it may hold the output of a session that a test lost hold of, whose end is waited for.
    end_keepers()
    for session in lab.sessions:
        session.kill()
    end_keepers()
    lab.assert_nothing_left()
