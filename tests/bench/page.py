"""The last figures: kept in ``latest.json`` by part of the run, shown by README.md in tables.  No measuring here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import PEERS, Row, as_json

_HERE = Path(__file__).resolve().parent
PAGE, LATEST = _HERE / "README.md", _HERE / "latest.json"
_BEGIN, _END = "<!-- latest: made by python -m tests.bench --page -->", "<!-- end of latest -->"


def keep(found: Mapping[str, Sequence[Row]], facts: Mapping[str, str]) -> None:
    """Write the rows of each part that was measured beside what is known of the others, and the page."""
    known: dict[str, Any] = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    known |= {part: {"host": dict(facts), "rows": as_json(rows)} for part, rows in found.items()}
    LATEST.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(replaced(PAGE.read_text()))


def replaced(page: str) -> str:
    """Return the page with the table of ``latest.json``."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return "\n".join([f"{before}{_BEGIN}", *_table(json.loads(LATEST.read_text())), f"{_END}{after}"])


def _table(known: Mapping[str, Any]) -> Iterable[str]:
    head = ["measured", "median", "least", *(f"/ {peer}" for peer in PEERS), "goal"]
    for part, measured in known.items():
        facts = ", ".join(f"{name} {value}" for name, value in measured["host"].items())
        yield from ("", f"`--only {part}` ({facts}):", "", _line(head), _line("---" for _ in head))
        yield from (_line(_cells(row)) for row in measured["rows"])
    yield ""


def _cells(row: Mapping[str, Any]) -> Iterable[str]:
    yield row["name"]
    yield f"{row['median']:.3g} {row['unit']}"
    yield "" if row["min"] is None else f"{row['min']:.3g}"
    yield from (f"{row['ratios'][peer]:.2f}" if peer in row["ratios"] else "" for peer in PEERS)
    yield "; ".join(
        f"{goal['value']:.3g} of {goal['limit']:g}{'' if goal['met'] else ', not met'}" for goal in row["goals"]
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
