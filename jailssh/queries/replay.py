"""``jailssh replay``: recordings of sessions at a terminal: listed, played, searched, as text or for other players."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime

from jailssh.audit.recordings import Code, Listed, Recorded, Recording, listed, path_of, paths_of
from jailssh.audit.screen import RESET, Harmless, Lines
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError, UsageError
from jailssh.core.names import binary_size, escape, pluralize

EXAMPLES = (
    "jailssh replay",
    "jailssh replay 5f0c --speed 4 --idle 2",
    "jailssh replay 5f0c --text",
    "jailssh replay --account alice --search 'rm -rf'",
)
_LONGEST_STEP = 86400.0


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A line in which something was found: ``at`` in seconds since the beginning of the session."""

    session: str
    account: str
    at: float
    line: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("session", nargs="?", metavar="SESSION", help="session or file; without one: list recordings")
    parser.add_argument("--account", metavar="NAME", default="", help="recordings of this account only")
    parser.add_argument("--speed", metavar="N", type=_factor, default=1.0, help="play N times as fast (default 1)")
    parser.add_argument("--idle", metavar="SECONDS", type=_factor, help="shorten pauses to this many seconds")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--search", metavar="REGEX", help="print the lines in which this is found")
    how.add_argument("--text", action="store_true", help="print the text of its lines")
    how.add_argument("--export", choices=("v2", "v3"), help="print it as asciicast for other players")


def run(args: argparse.Namespace, context: Context) -> int:
    """List, play, search or print."""
    context.need_root("replay")
    folder = context.layout.recordings
    if args.search is not None:
        paths = [path_of(folder, args.session)] if args.session else paths_of(folder, args.account)
        return _search(paths, _pattern(args.search), context)
    if not args.session:
        if args.text or args.export:
            raise UsageError("replay", "--text and --export need a SESSION", hint="jailssh replay lists them")
        _list(listed(folder, args.account), context)
        return EXIT_OK
    with closing(Recording(path_of(folder, args.session))) as recording:
        if args.export:
            context.say(_version_2(recording) if args.export == "v2" else _version_3(recording))
        elif args.text:
            context.say(escape(line) for _, line in _lines(recording))
        else:
            _play(recording, args.speed, args.idle)
        return _told(recording, context)


def _factor(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 1e6:
        raise ValueError(text)
    return value


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--search {escape(text)}", f"is not a regular expression: {error}") from None


def _told(recording: Recording, context: Context) -> int:
    if recording.faults:
        context.tell(f"{escape(recording.path)}: {pluralize(recording.faults, 'line')} cannot be read")
    return EXIT_FAILED if recording.faults else EXIT_OK


def _list(found: list[Listed], context: Context) -> None:
    lines = [_row(each) for each in found] or ["no session is recorded; record = output in a jail file begins it"]
    facts = [
        {**asdict(each), "head": asdict(each.head) if each.head else None, "seconds": round(each.seconds, 3)}
        for each in found
    ]
    context.facts(facts, lines)


def _row(each: Listed) -> str:
    if each.head is None:
        return f"{each.session}  {escape(each.account)}: cannot be read"
    started = datetime.fromtimestamp(each.head.started).astimezone()
    command = f"  {escape(each.head.command[:60])}" if each.head.command else ""
    length = f"{int(each.seconds) // 60}:{int(each.seconds) % 60:02}"
    size = binary_size(each.size)
    return f"{each.session}  {started:%Y-%m-%d %H:%M:%S}  {length:>7}  {size:>9}  {escape(each.account)}{command}"


def _play(recording: Recording, speed: float, idle: float | None) -> None:
    if not sys.stdout.isatty():
        raise UsageError("replay", "standard output is no terminal", hint="use --text or --export")
    harmless, before = Harmless(), 0.0
    try:
        for event in recording.events():
            pause = min(max(0.0, event.at - before), _LONGEST_STEP if idle is None else idle)
            before = max(before, event.at)
            time.sleep(pause / speed)
            if event.code == Code.SHOWN:
                sys.stdout.write(harmless.feed(event.text))
                sys.stdout.flush()
    finally:
        sys.stdout.write(f"{RESET}\r\n")
        sys.stdout.flush()


def _lines(recording: Recording) -> Iterator[tuple[float, str]]:
    """Yield what was shown, line by line, with when each ended."""
    lines, at = Lines(), 0.0
    for event in recording.events():
        if event.code == Code.SHOWN:
            at = event.at
            yield from ((at, line) for line in lines.feed(event.text))
    if rest := lines.rest():
        yield at, rest


def _hits(recording: Recording, pattern: re.Pattern[str]) -> Iterator[Hit]:
    head = recording.head
    for at, line in _lines(recording):
        if pattern.search(line):
            yield Hit(session=head.session, account=head.account, at=round(at, 3), line=line)


def _search(paths: Iterable[str], pattern: re.Pattern[str], context: Context) -> int:
    found: list[tuple[int, list[Hit]]] = []
    code = EXIT_OK
    for path in paths:
        try:
            with closing(Recording(path)) as recording:
                found.append((recording.head.started, list(_hits(recording, pattern))))
                code = max(code, _told(recording, context))
        except HostError as error:  # the others may have what is looked for
            context.tell(str(error))
            code = EXIT_FAILED
    hits = [hit for _, of_one in sorted(found, key=lambda each: each[0]) for hit in of_one]
    rows = [f"{hit.session}  {escape(hit.account)}  {hit.at:9.3f}  {escape(hit.line)}" for hit in hits]
    context.facts([asdict(hit) for hit in hits], rows or ["nothing found"])
    return code


def _version_2(recording: Recording) -> Iterator[str]:
    head = recording.head
    yield json.dumps({"version": 2, "width": head.width, "height": head.height, "timestamp": head.started,
                      "env": {"TERM": head.terminal}, "title": head.account})  # fmt: skip
    for event in recording.events():
        yield json.dumps([event.at, event.code, event.text])


def _version_3(recording: Recording) -> Iterator[str]:
    """Yield it with the time since the event before, as that version has it."""
    head, before = recording.head, 0.0
    yield json.dumps({"version": 3, "term": {"cols": head.width, "rows": head.height, "type": head.terminal},
                      "timestamp": head.started, "title": head.account})  # fmt: skip
    for event in recording.events():
        yield json.dumps([_interval(event, before), event.code, event.text])
        before = max(before, event.at)


def _interval(event: Recorded, before: float) -> float:
    return round(max(0.0, event.at - before), 6)
