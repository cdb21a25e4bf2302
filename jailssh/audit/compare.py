"""What became of findings from one run to the next.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_RANKS = {"high": 0, "medium": 1, "low": 2}

Facts = Mapping[str, Any]
"""A run, as ``check --json`` prints it."""


@dataclass(frozen=True)
class Comparison:
    """Findings by what became of them: ``new``, ``back`` (mended once, and there again), ``mended``, ``still``."""

    new: tuple[Facts, ...]
    back: tuple[Facts, ...]
    mended: tuple[Facts, ...]
    still: tuple[Facts, ...]

    @property
    def worse(self) -> tuple[Facts, ...]:
        """What was not there in the run before, the worst first: not all of it is told where there is much."""
        found = (*self.new, *self.back)
        return tuple(sorted(found, key=lambda each: _RANKS.get(each.get("severity", ""), len(_RANKS))))


def compare(now: Facts, before: Sequence[Facts]) -> Comparison:
    """Compare a run with those before it, the oldest first."""
    last = {each["fingerprint"]: each for each in before[-1]["findings"]} if before else {}
    earlier = {each["fingerprint"] for run in before[:-1] for each in run["findings"]}
    present = {each["fingerprint"]: each for each in now["findings"]}
    arrived = [each for print_, each in present.items() if print_ not in last]
    # What a run could not look at is not mended by that.
    mended = () if now.get("unseen") else tuple(each for print_, each in last.items() if print_ not in present)
    return Comparison(
        tuple(each for each in arrived if each["fingerprint"] not in earlier),
        tuple(each for each in arrived if each["fingerprint"] in earlier),
        mended,
        tuple(each for print_, each in present.items() if print_ in last),
    )


def with_since(now: Facts, last: Facts | None) -> dict[str, Any]:
    """Return a run whose findings say since when they are there: from the run before, or from this one on."""
    known = {each["fingerprint"]: each.get("since", last["when"]) for each in last["findings"]} if last else {}
    findings = [{**each, "since": known.get(each["fingerprint"], now["when"])} for each in now["findings"]]
    return {**now, "findings": findings}
