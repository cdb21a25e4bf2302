"""What the numbers and words in a plan mean, in words that people use.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jailssh.core.names import DAYS, binary_size, pluralize
from jailssh.policy.value_class import parse_class

_EVERY_DAY = 127
_MOST = 120
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_MODES = {
    "ro": "read-only",
    "rw": "writable",
    "exec": "programs can run",
    "noexec": "programs cannot run",
    "must": "required",
    "optional": "if it exists",
    "make": "created if missing",
}
_LIMITS: Mapping[str, tuple[str, str]] = {
    "as": ("address space of a process", "size"),
    "core": ("core dump", "size"),
    "cpu": ("CPU time of a process", "span"),
    "data": ("data of a process", "size"),
    "fsize": ("size of a written file", "size"),
    "memlock": ("locked memory", "size"),
    "nofile": ("open files of a process", ""),
    "nproc": ("processes of the account", ""),
    "stack": ("stack of a process", "size"),
}


def span(seconds: int) -> str:
    """Return a time in seconds as a jail file has it: ``1h30m``."""
    out = ""
    for unit, length in _UNITS:
        number, seconds = divmod(seconds, length)
        out += f"{number}{unit}" if number else ""
    return out or "0s"


def days(bits: int) -> str:
    """Return days of the week, a bit for each with Monday the lowest: ``mon-fri``, ``sat sun``, ``daily``."""
    if bits == _EVERY_DAY:
        return "daily"
    words: list[str] = []
    run: list[str] = []
    for number in range(len(DAYS) + 1):
        if bits >> number & 1:
            run.append(DAYS[number])
        elif run:
            words += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else run
            run = []
    return " ".join(words)


def clock(minute: int) -> str:
    """Return a minute of the day: ``18:00``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def moment(seconds: int) -> str:
    """Return seconds since 1970 as a date and time of UTC: ``2027-01-15 08:00 UTC``."""
    from datetime import UTC, datetime, timedelta  # for people alone

    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC"
    except OverflowError:
        return f"{seconds} seconds after 1970"


def ahead(seconds: int) -> str:
    """Return how far local time is ahead of UTC: ``UTC+02:00``, ``UTC-04:30``, ``UTC``."""
    hours, rest = divmod(abs(seconds), 3600)
    text = f"{'-' if seconds < 0 else '+'}{hours:02}:{rest // 60:02}" + (f":{rest % 60:02}" if rest % 60 else "")
    return f"UTC{text}" if seconds else "UTC"


def local_time(offsets: Sequence[tuple[int, int]]) -> str:
    """Return in one line what (since, seconds ahead of UTC) say of local time; there is at least one."""
    clocks = " or ".join(dict.fromkeys(ahead(seconds) for _, seconds in offsets))
    changes = [since for since, _ in offsets[1:]]
    if not changes:
        return f"local time is {clocks}"
    first, last = moment(changes[0]), moment(changes[-1])
    dates = f"at {first}" if len(changes) == 1 else f"from {first} to {last}"
    return f"local time is {clocks}: {pluralize(len(changes), 'change')} {dates}"


def limit(name: str, value: str) -> str:
    """Return what a limit of setrlimit(2) says."""
    text, spec = _LIMITS[name]
    return f"{text}: at most {format(Shown(value), spec)}"


class Shown(str):
    """An argument of a record, which a format specification turns into words; without one it is shown shortened."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        """Return it as :data:`_SPECS` says."""
        return _SPECS[spec](self)


def _short(text: str) -> str:
    return repr(str(text if len(text) <= _MOST else f"{text[:40]}… ({len(text)} characters)"))[1:-1]


_SPECS: Mapping[str, Callable[[str], str]] = {
    "": _short,
    "span": lambda text: span(int(text)),
    "size": lambda text: binary_size(int(text)),
    "days": lambda text: days(int(text)),
    "clock": lambda text: clock(int(text)),
    "moment": lambda text: moment(int(text)),
    "count": lambda text: pluralize(int(text), "session"),
    "mode": lambda text: _MODES[text],
    "class": lambda text: parse_class(text).describe(),
}
