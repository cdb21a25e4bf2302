"""Pictures of counts over time, as SVG that stands in a page.  Pure.

A picture has no text of its own, so that it can be as wide as the page: its title and description say to a screen
reader what it shows, and the page says it in words beside it.  There is one series in a picture, so that no colour
means anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from jailssh.audit.markup import number, text

MOST = 60
"""Bars of a picture."""
_WIDTH, _GAP = 10, 2
"""Of a bar with the gap after it, in units of the picture."""
_HEIGHT = 100


@dataclass(frozen=True)
class Bar:
    """One bar: what it stands for, as ``2026-11-28``, and its count."""

    label: str
    count: int


def days_of_a_bar(first: str, last: str) -> int:
    """Return how many days one bar stands for, of those from ``first`` to ``last``."""
    return -(-((date.fromisoformat(last) - date.fromisoformat(first)).days + 1) // MOST)


def over_days(counts: Mapping[str, int], first: str, last: str) -> list[Bar]:
    """Return the counts of days (2026-11-28) from ``first`` to ``last``, summed up into at most :data:`MOST` bars."""
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    days = (end - begin).days + 1
    width = days_of_a_bar(first, last)
    sums = [0] * -(-days // width)
    for day, count in counts.items():
        at = (date.fromisoformat(day) - begin).days
        if 0 <= at < days:
            sums[at // width] += count
    bars = []
    for place, total in enumerate(sums):
        from_day = begin + timedelta(place * width)
        to_day = min(end, from_day + timedelta(width - 1))
        bars.append(Bar(f"{from_day}" if from_day == to_day else f"{from_day} to {to_day}", total))
    return bars


def chart(name: str, title: str, bars: Sequence[Bar]) -> str:
    """Return a large picture with two lines to measure by; a pointer on a bar is told what it is.

    ``name`` makes ids that no other picture of the page has.
    """
    most = _most(bars)
    shapes = []
    for place, bar in enumerate(bars):
        left, top = place * _WIDTH, _top(bar.count, most)
        label = text(f"{bar.label}: {number(bar.count)}")
        shapes.append(
            f'<g><title>{label}</title><path class="hit" d="M{left} 0h{_WIDTH}v{_HEIGHT}h-{_WIDTH}z"/>'
            f'{_path([_bar(left, top)] if bar.count else [])}</g>'
        )  # fmt: skip
    lines = "".join(f'<path class="grid" d="M0 {y}h{len(bars) * _WIDTH}"/>' for y in (0, _HEIGHT // 2))
    listed = "; ".join(f"{bar.label}: {number(bar.count)}" for bar in bars if bar.count)
    return _svg(name, "chart", title, listed or "nothing", len(bars), lines + "".join(shapes))


def spark(name: str, title: str, bars: Sequence[Bar], most: int | None = None) -> str:
    """Return a small picture for a cell of a table; ``most``: the count of a full bar, where several are compared."""
    top = max(bars, key=lambda bar: bar.count, default=Bar("", 0))
    found = f"at most {number(top.count)}, {top.label}" if top.count else "nothing"
    full = most or _most(bars)
    shapes = [_bar(place * _WIDTH, _top(bar.count, full)) for place, bar in enumerate(bars) if bar.count]
    return _svg(name, "spark", title, found, len(bars), _path(shapes))


def _most(bars: Sequence[Bar]) -> int:
    return max((bar.count for bar in bars), default=0) or 1


def _top(count: int, most: int) -> int:
    # What is there at all can be seen.
    return min(_HEIGHT - 3, _HEIGHT - round(_HEIGHT * min(count, most) / most))


def _bar(left: int, top: int) -> str:
    return f"M{left} {_HEIGHT}V{top}h{_WIDTH - _GAP}V{_HEIGHT}z"


def _path(shapes: Sequence[str]) -> str:
    return f'<path class="bar" d="{"".join(shapes)}"/>' if shapes else ""


def _svg(name: str, kind: str, title: str, description: str, bars: int, inside: str) -> str:
    return (
        f'<svg class="{kind}" role="img" aria-labelledby="{name}-t" aria-describedby="{name}-d" focusable="false"'
        f' viewBox="0 0 {max(1, bars) * _WIDTH} {_HEIGHT}" preserveAspectRatio="none">'
        f'<title id="{name}-t">{text(title)}</title><desc id="{name}-d">{text(description)}</desc>'
        f'{inside}<path class="base" d="M0 {_HEIGHT}h{max(1, bars) * _WIDTH}"/></svg>'
    )  # fmt: skip
