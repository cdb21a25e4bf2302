"""Timing programs beside each other: a timer process for each, which take turns."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.scratch.host import ScratchHost
from tests.bench.site import TIMER

TURN = 5
"""Runs of one program before it is the next one's turn."""


@dataclass(frozen=True)
class Program:
    """A program to time: a name for the table, the command, the account that runs it, its environment.

    ``files`` it gets open as descriptors 3, 4, … in this order.
    It runs in each turn, or in every third with ``every`` 3.  It must end with ``status``.
    """

    name: str
    command: Sequence[str]
    user: str
    env: Mapping[str, str]
    files: Sequence[str] = ()
    every: int = 1
    status: int = 0


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Have what is started meanwhile run with real-time priority: other work on the machine does not come between.

    It is the same for all that is timed.  Services such as journald keep their own priority.
    """
    with contextlib.suppress(PermissionError):  # a container may forbid it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Timer:
    """A timer process for one program."""

    def __init__(self, host: ScratchHost, program: Program) -> None:
        self._name = program.name
        files = [word for path in program.files for word in ("-f", path)]
        files += ["-s", str(program.status)] if program.status else []
        with undisturbed():
            self._process = host.popen(
                [TIMER, *files, *program.command], user=program.user, env=program.env, stdin=subprocess.PIPE
            )

    def start(self, runs: int) -> None:
        """Let it run the program ``runs`` times."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # finish() tells why it ended
            self._process.stdin.write(b"%d\n" % runs)
            self._process.stdin.flush()

    def finish(self, runs: int) -> list[float]:
        """Return the milliseconds of each run of the turn."""
        assert self._process.stdout is not None
        lines = [self._process.stdout.readline() for _ in range(runs)]
        if not lines[-1]:
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode("utf-8", "replace")
            raise JailsshError(f"benchmark: {self._name}", said.strip() or "the timer ended")
        return [int(line) / 1e6 for line in lines]

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def time_programs(
    host: ScratchHost, programs: Sequence[Program], runs: int, *, parallel: int = 1, warm_up: int = 2
) -> dict[str, list[float]]:
    """Return milliseconds by name, about ``runs`` of each program, taken in turns so that all meet the same noise.

    With ``parallel`` that many run at the same time.  The first ``warm_up`` turns are dropped.  The order differs from
    turn to turn: what a program leaves to be torn down must not always fall to the same next one.
    """
    order = random.Random(len(programs))
    spent: dict[str, list[float]] = {program.name: [] for program in programs}
    timers = {program.name: [Timer(host, program) for _ in range(parallel)] for program in programs}
    try:
        for turn in range(warm_up + -(-runs // (TURN * parallel))):
            for program in order.sample(programs, len(programs)):
                if turn >= warm_up and (turn - warm_up) % program.every:
                    continue
                group = timers[program.name]
                for timer in group:
                    timer.start(TURN)
                found = [value for timer in group for value in timer.finish(TURN)]
                spent[program.name] += found if turn >= warm_up else []
    finally:
        for timer in (timer for group in timers.values() for timer in group):
            timer.close()
    return spent
