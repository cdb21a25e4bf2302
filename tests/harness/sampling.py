"""A part of very many cases, each day another one; ``make test-matrix`` runs all."""

from __future__ import annotations

import datetime
import os
import random
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

ALL = os.environ.get("JAILSSH_MATRIX") == "all"


def some(cases: Iterable[T], most: int, seed: str) -> list[T]:
    """Return at most so many of the cases, in their order; the day and ``seed`` say which."""
    found = list(cases)
    if ALL or len(found) <= most:
        return found
    chosen = random.Random(f"{seed} {datetime.date.today()}").sample(range(len(found)), most)
    return [found[number] for number in sorted(chosen)]
