"""What a selftest found: each thing that was tried, what was expected, what happened.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from jailssh.core.closed import Word
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, JailsshError
from jailssh.core.names import escape, pluralize

MOST_SHOWN = 300


class Verdict(Word):
    """What became of one row."""

    OK = "ok"
    WRONG = "wrong"
    NOT_TRIED = "not-tried"


class Kind(Word):
    """What a row is about: a use must work, an attack must not, a state is looked at."""

    USE = "use"
    ATTACK = "attack"
    STATE = "state"


class CannotTryError(JailsshError):
    """Nothing can be tried, which says nothing about the jail."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True)
class Row:
    """One thing that was tried; ``source`` is the plugin that announces it, or ``sshd`` or ``jailssh``."""

    id: str
    source: str
    kind: Kind
    what: str
    tried: str
    expected: str
    happened: str
    verdict: Verdict


@dataclass(frozen=True)
class Report:
    """What was found about one account, or about one set of rights in it.

    ``key``: the people whose rights those are, "" where the account has no named keys.  ``where``: the address and the
    port of the sshd.  ``notes``: what else is to be known.
    """

    account: str
    jail: str
    key: str
    where: str
    begun: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def count(self) -> Counter[Verdict]:
        """Return how many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    @property
    def exit_code(self) -> int:
        """0 if all is as it should be, 1 if something is wrong, 2 if something could not be tried."""
        count = self.count()
        if count[Verdict.WRONG]:
            return EXIT_FAILED
        return EXIT_USAGE if count[Verdict.NOT_TRIED] or not self.rows else EXIT_OK

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "counts": {verdict.value: self.count()[verdict] for verdict in Verdict}}

    def lines(self) -> Iterator[str]:
        """Yield it for people: a line for each row and one that says how it was tried; what is wrong comes last too."""
        who = f"{self.account}" + (f", rights of key {self.key}" if self.key else "")
        yield f"selftest of {who}, jail {self.jail}, by sshd at {self.where}, {self.begun}"
        for row in self.rows:
            yield f"  {row.verdict:<9}  {row.kind:<6}  {row.id}: {row.what}"
            yield f"             tried {row.tried}; expected {row.expected}; {row.happened}"
        for note in self.notes:
            yield f"  note: {note}"
        for row in self.rows:
            if row.verdict != Verdict.OK:
                yield f"{row.verdict}: {row.id}: {row.what}: {row.happened}"
        count = self.count()
        said = [f"{count[Verdict.OK]} of {pluralize(len(self.rows), 'trial')} as expected"]
        said += [f"{count[Verdict.WRONG]} wrong"] if count[Verdict.WRONG] else []
        said += [f"{count[Verdict.NOT_TRIED]} not tried"] if count[Verdict.NOT_TRIED] else []
        yield f"{self.account}: {', '.join(said)}"


def worst(reports: list[Report]) -> int:
    """Return the exit code of several: findings before what could not be tried."""
    codes = {report.exit_code for report in reports}
    return next((code for code in (EXIT_FAILED, EXIT_USAGE) if code in codes), EXIT_OK)


def shown(text: str | bytes) -> str:
    """Return what a server said as one short line; nothing in it reaches a terminal raw."""
    whole = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    return escape("; ".join(line.strip() for line in whole.splitlines() if line.strip()), MOST_SHOWN)
