"""Classic BPF programs for seccomp(2): which system calls are denied, as few instructions as that needs.

The kernel translates a filter at each login, and runs it once for each call number that it knows, so each instruction
and each step counts: ranges of numbers are found by a tree, and calls with the same tests share them.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.core.errors import HostError

NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""
ALLOW, KILL = 0x7FFF0000, 0x80000000
X32 = 0x40000000
LOW_HALF = 0xFFFFFFFF
LINEAR = 10
"""So many ranges one after the other are no more steps than a tree of them."""
_LOAD, _RETURN = 0x20, 0x06
_EQUAL, _ABOVE, _AT_LEAST, _HAS = 0x15, 0x25, 0x35, 0x45
_FARTHEST = 255


class Test(Word):
    """How an argument is compared.

    ``has`` any of these bits, ``is`` one of these values (both look at the low half alone, as the kernel does with an
    int); ``not`` this value, ``above`` this value (all of the register).
    """

    HAS = "has"
    IS = "is"
    NOT = "not"
    ABOVE = "above"


@dataclass(frozen=True)
class Condition:
    """What is asked of an argument, with one or several values."""

    kind: Test
    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class Denial:
    """A call is answered with this errno where all tests are true."""

    errno: int
    tests: tuple[Condition, ...] = ()


class _Program:
    def __init__(self) -> None:
        # Code, value, and where to go if so and if not: a label of None is the next instruction.
        self._steps: list[tuple[int, int, str | None, str | None]] = []
        self._places: dict[str, int] = {}
        self._labels = 0

    def label(self) -> str:
        self._labels += 1
        return f"{self._labels}"

    def place(self, label: str) -> None:
        self._places[label] = len(self._steps)

    def add(self, code: int, value: int, then: str | None = None, otherwise: str | None = None) -> None:
        self._steps.append((code, value, then, otherwise))

    def assemble(self) -> bytes:
        return b"".join(
            struct.pack("=HBBI", code, self._distance(at, then), self._distance(at, otherwise), value)
            for at, (code, value, then, otherwise) in enumerate(self._steps)
        )

    def _distance(self, at: int, label: str | None) -> int:
        distance = self._places[label] - at - 1 if label else 0
        if not 0 <= distance <= _FARTHEST:
            raise HostError("system call filter", f"a jump of {distance} instructions is too far")
        return distance


def compile_filter(architecture: int, denials: Mapping[int, Sequence[Denial]], *, x32: bool) -> bytes:
    """Return the program: every call but the denied ones is allowed, all of another architecture kill the process.

    ``architecture`` is the AUDIT_ARCH value of the machine; ``denials`` are by call number, the first that applies
    answers; with ``x32`` numbers of that architecture kill too.
    """
    program = _Program()
    program.add(_LOAD, ARCHITECTURE)
    program.add(_EQUAL, architecture, None, "kill")
    program.add(_LOAD, NUMBER)
    tests = {denied: _target(denied) for denied in dict.fromkeys(tuple(denied) for denied in denials.values())}
    ranges = _ranges({number: tests[tuple(denied)] for number, denied in denials.items()})
    if x32:  # the very last number is a call that a tracer has skipped
        ranges.append((X32, LOW_HALF - 1, "kill"))
    _tree(program, ranges, 0, max(denials) + 1)
    for denied, label in tests.items():
        if label.startswith("tests "):
            program.place(label)
            _ask(program, denied)
    for error in sorted({denial.errno for denied in tests for denial in denied}):
        program.place(f"errno {error}")
        program.add(_RETURN, 0x00050000 | error)
    for label, action in (("allow", ALLOW), ("kill", KILL)):
        program.place(label)
        program.add(_RETURN, action)
    return program.assemble()


def _target(denied: tuple[Denial, ...]) -> str:
    return f"errno {denied[0].errno}" if not denied[0].tests else f"tests {denied!r}"


def _ranges(targets: Mapping[int, str]) -> list[tuple[int, int, str]]:
    """Return ``(first, last, target)`` of the numbers, ascending."""
    ranges: list[tuple[int, int, str]] = []
    for number in sorted(targets):
        if ranges and ranges[-1][1] == number - 1 and ranges[-1][2] == targets[number]:
            ranges[-1] = (ranges[-1][0], number, targets[number])
        else:
            ranges.append((number, number, targets[number]))
    return ranges


def _tree(program: _Program, ranges: Sequence[tuple[int, int, str]], low: int, high: int) -> None:
    """Emit the search in ``ranges`` for a number of at least ``low``; those from ``high`` on are rare.

    The numbers themselves are halved, not the ranges: the kernel tries each once.
    """
    if len(ranges) > LINEAR:
        middle = min(range(1, len(ranges)), key=lambda index: abs(2 * ranges[index][0] - low - high))
        right = program.label()
        program.add(_AT_LEAST, ranges[middle][0], right)
        _tree(program, ranges[:middle], low, ranges[middle][0])
        program.place(right)
        _tree(program, ranges[middle:], ranges[middle][0], high)
        return
    for index, (first, last, target) in enumerate(ranges):
        more = program.label() if index + 1 < len(ranges) else "allow"
        if first == last:
            program.add(_EQUAL, first, target, more)
        else:
            program.add(_AT_LEAST, first, None, "allow")
            program.add(_ABOVE, last, more, target)
        program.place(more) if more != "allow" else None


def _ask(program: _Program, denied: Iterable[Denial]) -> None:
    """Emit the tests of a call: the first denial whose tests are all true answers, none allows."""
    denied = list(denied)
    for index, denial in enumerate(denied):
        failed = program.label() if index + 1 < len(denied) else "allow"
        for place, test in enumerate(denial.tests):
            last = place + 1 == len(denial.tests)
            passed = f"errno {denial.errno}" if last else program.label()
            _test(program, test, passed, failed)
            if not last:
                program.place(passed)
        if failed != "allow":
            program.place(failed)


def _test(program: _Program, test: Condition, passed: str, failed: str) -> None:
    low = ARGUMENTS + 8 * test.argument + (4 if sys.byteorder == "big" else 0)
    high = ARGUMENTS + 8 * test.argument + (0 if sys.byteorder == "big" else 4)
    if test.kind in (Test.NOT, Test.ABOVE):
        program.add(_LOAD, high)
        program.add(_EQUAL, test.values[0] >> 32, None, passed)
    program.add(_LOAD, low)
    if test.kind == Test.HAS:
        program.add(_HAS, sum(test.values), passed, failed)
    elif test.kind == Test.NOT:
        program.add(_EQUAL, test.values[0] & LOW_HALF, failed, passed)
    elif test.kind == Test.ABOVE:
        program.add(_ABOVE, test.values[0], passed, failed)
    else:
        for value in test.values[:-1]:
            program.add(_EQUAL, value & LOW_HALF, passed)
        program.add(_EQUAL, test.values[-1] & LOW_HALF, passed, failed)
