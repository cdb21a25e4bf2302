"""The mutations, as rows of what is replaced by what, and which tests have to fail then."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from tests.root.refusal_rows import ROWS

LOGIN = "jailssh/login"
PAM = "pam"
REFUSALS = "tests/root/login/test_refusals.py"


class MutationError(Exception):
    """A mutation that cannot be made."""


@functools.cache
def _texts(root: Path, where: str) -> dict[Path, str]:
    """Return the source below a folder, as it is while nothing is mutated."""
    return {
        file: file.read_text() for file in sorted((root / where).rglob("*.[ch]" if where in (LOGIN, PAM) else "*.py"))
    }


@dataclass(frozen=True)
class Mutation:
    """``old``, which stands once below ``where`` (a folder: of C where it is the login program's), becomes ``new``.

    ``name``: what is taken out; ``tests``: arguments of pytest, the nearest tests.
    """

    name: str
    where: str
    old: str
    new: str
    tests: tuple[str, ...]

    def find(self, root: Path) -> tuple[Path, str]:
        """Return the file below ``root`` and its text after the mutation; :class:`MutationError`."""
        found = [(file, text) for file, text in _texts(root, self.where).items() if self.old in text]
        count = sum(text.count(self.old) for _, text in found)
        if count != 1:
            raise MutationError(f"{self.name}: its text is there {count} times, not once: {self.old!r}")
        file, text = found[0]
        return file, text.replace(self.old, self.new)


def met(place: str) -> tuple[str, ...]:
    """Return the tests that meet the refusals of the places that begin so."""
    return tuple(f"{REFUSALS}::test_a_refusal[{row.name()}]" for row in ROWS if row.place.startswith(place))
