"""The runs of the audit: one JSON file for each, numbered, so that their order needs no clock.

A run is what ``check --json`` says, with what became of each finding since the run before.  Files are root's alone and
written at once; one that is damaged is told and passed over.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host.paths import Layout

FORMAT = 1
_NAME = re.compile(r"([0-9]{8})-([0-9]{8}T[0-9]{6}Z)\.json\Z")
_LIMIT = 64 << 20
_DAY = 86400.0


@dataclass(frozen=True)
class Run:
    """One run: its number, when it was (as in the name of its file), and its file."""

    number: int
    moment: str
    path: str


def folder(layout: Layout) -> str:
    """Return where the runs are."""
    return f"{layout.state}/audit"


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold what numbers are given under: of two runs at once the second is compared with the first."""
    fs.ensure_dir(folder(layout), 0o700, trusted_root=layout.root or None)
    with fs.lock(f"{folder(layout)}/.lock", trusted_root=layout.root or None):
        yield


def runs(layout: Layout) -> list[Run]:
    """Return all runs, the oldest first."""
    try:
        names = os.listdir(folder(layout))
    except FileNotFoundError:
        return []
    found = [(match, name) for name in names if (match := _NAME.match(name))]
    return sorted(
        (Run(int(match[1]), match[2], f"{folder(layout)}/{name}") for match, name in found),
        key=lambda run: run.number,
    )


def read(layout: Layout, run: Run) -> dict[str, Any]:
    """Return the facts of a run; :class:`HostError` for one that is damaged or not root's alone."""
    data = fs.read_trusted(run.path, _LIMIT, trusted_root=layout.root or None)
    try:
        facts = parsed(data)
        if facts["format"] != FORMAT:
            raise ValueError
    except (ValueError, KeyError) as error:
        raise HostError(run.path, "is damaged", hint=f"rm {run.path}") from error
    return facts


def parsed(data: bytes) -> dict[str, Any]:
    """Return the facts of a run, as ``check --json`` prints them; :class:`ValueError` for anything else."""
    try:
        facts: dict[str, Any] = json.loads(data)
        if not all(isinstance(one["fingerprint"], str) for one in facts["findings"]):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("no run of the checks") from error
    return facts


def readable(layout: Layout, errors: list[JailsshError], most: int | None = None) -> list[dict[str, Any]]:
    """Return the facts of the last ``most`` runs (None: all), the oldest first; damaged ones are told in ``errors``.

    The last two are whole; of those before, findings are only counted and compared, so nothing else is held of them.
    """
    found: list[dict[str, Any]] = []
    for facts in _each(layout, errors, most):
        if len(found) > 1:
            found[-2] = _brief(found[-2])
        found.append(facts)
    return found


def look_back(layout: Layout, errors: list[JailsshError], most: int) -> list[dict[str, Any]]:
    """Return what a new run is compared with: all findings of the last ``most`` runs but one, and that one, whole."""
    last: dict[str, Any] | None = None
    earlier: set[str] = set()
    for facts in _each(layout, errors, most):
        earlier |= {each["fingerprint"] for each in last["findings"]} if last else set()
        last = facts
    return [{"findings": [{"fingerprint": each} for each in sorted(earlier)]}, last] if last else []


def _each(layout: Layout, errors: list[JailsshError], most: int | None) -> Iterator[dict[str, Any]]:
    for run in runs(layout)[-most:] if most else runs(layout):
        try:
            yield read(layout, run)
        except JailsshError as error:
            errors.append(error)


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    rows = [{key: sys.intern(str(each.get(key, ""))) for key in ("fingerprint", "severity")}
            for each in facts["findings"]]  # fmt: skip
    return {**facts, "findings": rows, "suppressed": []}


def keep(layout: Layout, facts: dict[str, Any]) -> Run:
    """Write a run under the next number; call under the lock.  :class:`HostError` where there is no room."""
    last = runs(layout)
    number = last[-1].number + 1 if last else 1
    moment = str(facts["when"]).replace("-", "").replace(":", "")
    run = Run(number, moment, f"{folder(layout)}/{number:08d}-{moment}.json")
    data = json.dumps({**facts, "format": FORMAT, "number": number}, indent=1, sort_keys=True)
    fs.atomic_write(run.path, data.encode(), 0o600)
    return run


def prune(layout: Layout, now: float, seconds: float) -> int:
    """Remove runs older than that many seconds, but never the last one; return how many.

    A file's own time counts, not the clock's of then: after a jump of the clock the files of the wrong time go when
    they are old by the right one.
    """
    gone = 0
    for run in runs(layout)[:-1]:
        try:
            age = now - os.lstat(run.path).st_mtime
        except FileNotFoundError:
            continue
        if age > seconds:
            fs.remove_file(run.path)
            gone += 1
    return gone


def pick(layout: Layout, word: str | None) -> Run:
    """Return the run that is meant: its number, a negative one counted from the last, or the last."""
    found = runs(layout)
    if not found:
        raise UsageError("audit", "there is no run yet", hint="jailssh audit run")
    if word is None:
        return found[-1]
    if re.fullmatch(r"-?[0-9]{1,8}", word, re.ASCII):
        number = int(word)
        if number < 0 and -number <= len(found):
            return found[number]
        for run in found:
            if run.number == number:
                return run
    raise UsageError(
        f"run {escape(word, 60)}", "does not exist", hint=f"{found[0].number} to {found[-1].number}, or -1"
    )
