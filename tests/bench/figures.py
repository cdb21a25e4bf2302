"""From measured numbers to rows, goals and a table.  No measuring here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PEERS = ("plain", "jailkit", "bwrap", "floor")
_HEAD = ("measurement", "median", "min", "unit", *(f"/{peer}" for peer in PEERS), "goal", "")


@dataclass(frozen=True)
class Goal:
    """A figure to reach: what is compared (``text``), what it is now, and the most that it may be."""

    text: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """True if the figure is reached."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Row:
    """One line of the table: ``ratios`` by peer; ``least`` is None where a minimum says nothing."""

    name: str
    median: float
    unit: str
    least: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the ratio of the medians."""
    return statistics.median(values) / statistics.median(others)


def timed_rows(
    group: str, spent: Mapping[str, Sequence[float]], limits: Mapping[str, Mapping[str, float]] | None = None
) -> list[Row]:
    """Return a row for each program of ``spent`` (milliseconds by name) with its ratios to the peers among them.

    ``limits`` gives, by program and peer, the most that a ratio may be.
    """
    rows = []
    for name, values in spent.items():
        ratios = {peer: ratio(values, spent[peer]) for peer in PEERS if peer in spent and peer != name}
        wanted = (limits or {}).get(name, {})
        goals = tuple(Goal(f"{group}: {name} / {peer}", ratios[peer], limit) for peer, limit in wanted.items())
        rows.append(Row(f"{group}: {name}", statistics.median(values), "ms", min(values), ratios, goals))
    return rows


def timed_row(name: str, times: Sequence[float], limit: float) -> Row:
    """Return a row of its own for ``times``, whose median may be at most ``limit``; all in milliseconds."""
    usual = statistics.median(times)
    return Row(name, usual, "ms", min(times), goals=(Goal(f"{name} (ms)", usual, limit),))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned plain text; a row has a line for each of its goals."""
    lines = [_HEAD]
    for row in rows:
        least = "" if row.least is None else f"{row.least:.3f}"
        peers = [f"{row.ratios[peer]:.2f}" if peer in row.ratios else "" for peer in PEERS]
        marks = [(f"{goal.value:.2f} <= {goal.limit:g}", "met" if goal.met else "NOT MET") for goal in row.goals]
        first, *others = marks or [("", "")]
        lines.append((row.name, f"{row.median:.3f}", least, row.unit, *peers, *first))
        lines += [("", "", "", "", *("" for _ in PEERS), *mark) for mark in others]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(_align(line, widths) for line in lines)


def _align(line: Sequence[str], widths: Sequence[int]) -> str:
    numbers = range(1, 3), range(4, 4 + len(PEERS))
    right = {column for columns in numbers for column in columns}
    cells = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(line)]
    return "  ".join(cells).rstrip()


def missed(rows: Sequence[Row]) -> list[Goal]:
    """Return the goals that are not reached."""
    return [goal for row in rows for goal in row.goals if not goal.met]


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Return the rows as objects for JSON."""
    return [
        {
            "name": row.name,
            "median": row.median,
            "min": row.least,
            "unit": row.unit,
            "ratios": dict(row.ratios),
            "goals": [{"what": g.text, "value": g.value, "limit": g.limit, "met": g.met} for g in row.goals],
        }
        for row in rows
    ]
