"""Systems as units of systemd, where that runs: each is an instance of one template, started and stopped as a service.

The unit calls the command itself, which finds by its control group that it is in there, and does the work then.
"""

from __future__ import annotations

import os
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.files import control_groups, fs
from jailssh.host import install, process
from jailssh.systems.settings import System

_CONTROL = "/run/systemd/system.control"
"""Where ``systemctl set-property --runtime`` keeps what it sets."""
_TEMPLATE = "jailssh-system@.service"
_WAITS = 7200.0
_ASKS = 20.0
_OUR_MEMORY, _OUR_TASKS = 64 << 20, 16
BY_FORCE = "ended by force"
"""What the status of a unit says then."""


def unit_of(name: str) -> str:
    """Return the unit of a system."""
    return _TEMPLATE.replace("@", f"@{name}")


def are_used() -> bool:
    """True where systemd runs as the first process, and has the template."""
    if not process.has_systemd():
        return False
    with open("/proc/1/comm", encoding="utf-8", errors="replace") as stream:
        if stream.read() != "systemd\n":
            return False
    return _show("x", "LoadState") == "loaded"


def is_inside(name: str) -> bool:
    """True if this process is in the unit of a system: started by it, so as to do its work."""
    return any(unit_of(name) in path.split("/") for path in control_groups.own().values())


def is_active(name: str) -> bool:
    """True while the unit of a system is started, runs, or is stopped."""
    return _show(name, "ActiveState") not in ("inactive", "failed", "")


def start(name: str) -> None:
    """Start the unit; it runs then.  :class:`HostError` with what it said."""
    _run("start", name)


def stop(name: str) -> bool:
    """Stop the unit, and wait for that; False if its processes had to be killed."""
    _run("stop", name)
    by_itself = _show(name, "StatusText") != BY_FORCE
    process.run(["systemctl", "--quiet", "reset-failed", unit_of(name)], check=False, timeout=_ASKS)
    return by_itself


def _run(action: str, name: str) -> None:
    done = process.run(["systemctl", "--quiet", action, unit_of(name)], check=False, timeout=_WAITS)
    if done.code:
        why = _show(name, "StatusText") or process.last_line(done.stderr) or f"systemctl {action} has failed"
        hint = f"journalctl -u {unit_of(name)}"
        raise HostError(f"system {name}", why, hint=hint)


def enable(system: System) -> None:
    """Have systemd start the system with the host, or not, as its file says; :class:`HostError`."""
    enabled = _show(system.name, "UnitFileState") == "enabled"
    if enabled != system.autostart:
        action = "enable" if system.autostart else "disable"
        process.run(["systemctl", "--quiet", action, unit_of(system.name)], timeout=_ASKS)


def forget(name: str) -> None:
    """Leave nothing of the unit of a system that is removed."""
    process.run(["systemctl", "--quiet", "disable", unit_of(name)], check=False, timeout=_ASKS)
    folder = f"{unit_of(name)}.d"
    if os.path.isdir(f"{_CONTROL}/{folder}"):
        top = fs.open_dir(_CONTROL)
        try:
            fs.remove_tree(top, folder)
        finally:
            os.close(top)
        install.reload_units()


def hold(system: System) -> None:
    """Hold the unit to what the system's file says, and what stops it needs; :class:`HostError`."""
    values = {
        "MemoryMax": _most(system.memory, _OUR_MEMORY), "MemorySwapMax": "0" if system.memory >= 0 else "infinity",
        "TasksMax": _most(system.tasks, _OUR_TASKS), "CPUQuota": f"{system.cpu}%" if system.cpu >= 0 else "",
    }  # fmt: skip
    # By name: in any other order systemd takes its own files for changed ones.
    words = [f"{key}={values[key]}" for key in sorted(values)]
    process.run(["systemctl", "--quiet", "set-property", "--runtime", unit_of(system.name), *words], timeout=_ASKS)


def _most(value: int, room: int) -> str:
    return str(value + room) if value >= 0 else "infinity"


def tell(text: str) -> None:
    """Tell systemd how the unit is that we are in (sd_notify(3)); where it does not listen, nobody is told."""
    from systemd import daemon  # elsewhere the command must work where the binding cannot be loaded

    with suppress(OSError):
        daemon.notify(text)


def log(name: str) -> str:
    """Return what the unit has said: the console of its system."""
    argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--all", f"--unit={unit_of(name)}"]
    return process.run(argv, timeout=_ASKS * 3).stdout


def _show(name: str, key: str) -> str:
    argv = ["systemctl", "show", f"--property={key}", "--value", unit_of(name)]
    return process.run(argv, check=False, timeout=_ASKS).stdout.strip()
