"""The page about the checks of many hosts: which is the worst, what several have, and the findings of each.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jailssh.audit import found
from jailssh.audit.compare import Facts
from jailssh.audit.found import SEVERITIES
from jailssh.audit.markup import number, table, text
from jailssh.audit.page import document, missing, tiles
from jailssh.core.names import escape, pluralize

LATE = 26 * 3600
"""Seconds after which a host has missed the run of a night."""
_AHEAD = 300
"""Seconds by which clocks may differ."""
_MOST_KINDS = 50
_LEAST = 4_000
_NAME = 100


@dataclass(frozen=True)
class Fleet:
    """The hosts by name, each with the facts of its last run; ``notes``: what is missing, in words.

    ``now``: seconds since 1970.
    """

    hosts: Mapping[str, Facts]
    now: float
    notes: Sequence[str] = ()

    def worst_first(self) -> list[tuple[str, Facts]]:
        """Return the hosts, those with the most severe findings first."""
        return sorted(self.hosts.items(), key=lambda one: ([-count for count in counts(one[1])], one[0]))

    def missing(self) -> list[str]:
        """Return what is missing, in words: the notes, hosts that were not checked of late, what they did not see."""
        notes = list(self.notes)
        for name, run in self.hosts.items():
            age = self.now - _time(run) if _time(run) else None
            shown = escape(name, _NAME)
            if age is None:
                notes.append(f"{shown}: says no time of its checks")
            elif age > LATE:
                notes.append(f"{shown}: was last checked {pluralize(int(age // 3600), 'hour')} ago")
            elif age < -_AHEAD:
                notes.append(f"{shown}: was checked later than now, by its clock")
            if unseen := _rows(run, "unseen"):
                notes.append(f"{shown}: did not look at {pluralize(len(unseen), 'part')}, see there")
        return notes

    def facts(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {
            "hosts": [
                {"host": name, "when": str(run.get("when", "")), **dict(zip(SEVERITIES, counts(run), strict=True)),
                 "unseen": len(_rows(run, "unseen"))}
                for name, run in self.worst_first()
            ],
            "findings": [{**each, "host": name} for name, run in self.worst_first() for each in run["findings"]],
            "missing": self.missing(),
        }  # fmt: skip


def counts(run: Facts) -> list[int]:
    """Return how many findings of each severity there are, the highest first."""
    seen = Counter(str(each.get("severity", "")) for each in run["findings"])
    return [seen[word] for word in SEVERITIES]


def page(fleet: Fleet) -> str:
    """Return the page as HTML that is well-formed XML too."""
    ordered = fleet.worst_first()
    each_host: list[tuple[str, str, list[str]]] = []
    # Whoever has little leaves its room to the others; the worst come first.
    left, unshown = found.BUDGET, 0
    for place, (name, run) in enumerate(ordered):
        if not _tells(run):
            continue
        if left < _LEAST:
            unshown += 1
            continue
        room = max(_LEAST, left // 2)
        parts = [missing(found.unseen({"unseen": _rows(run, "unseen")})), *found.findings(run, f"jail-{place}", room)]
        left -= sum(len(part) for part in parts)
        each_host.append((f"host-{place}", f"Findings of {text(name, _NAME)}", parts))
    hosts = [_hosts(ordered, {anchor for anchor, *_ in each_host})]
    if unshown:
        said = f"<p>Findings of {found.many(unshown, 'more host')} not shown; give fewer files, or use --json.</p>"
        hosts.append(said)
    sections = [
        ("summary", "Summary", _summary(fleet)),
        ("hosts", "Hosts", hosts),
        ("kinds", "What several hosts have", _kinds(ordered)),
    ]
    about = f"Checks of {pluralize(len(ordered), 'host')}. Days and times are local."
    return document(pluralize(len(ordered), "host"), "Checks", about, [*sections, *each_host], fleet.now, len(sections))


def _summary(fleet: Fleet) -> list[str]:
    runs = list(fleet.hosts.values())
    sums = [sum(column) for column in zip(*map(counts, runs), strict=True)] or [0] * len(SEVERITIES)
    weak = sum(1 for run in runs if run["findings"])
    said = f"{found.many(sum(sums), 'finding')} on {weak} of {found.many(len(runs), 'host')}."
    figures = [(number(count), f"{word} severity") for count, word in zip(sums, SEVERITIES, strict=True)]
    return [
        f'<p class="verdict">{said if weak else "No findings."}</p>',
        missing([text(note, 300) for note in fleet.missing()]),
        tiles([*figures, (number(len(runs)), "hosts")]),
    ]


def _hosts(ordered: Sequence[tuple[str, Facts]], anchors: Collection[str]) -> str:
    rows = []
    for place, (name, run) in enumerate(ordered):
        shown = text(name, _NAME)
        link = f'<a href="#host-{place}">{shown}</a>' if f"host-{place}" in anchors else shown
        rows.append((link, found.when(run), *map(number, counts(run)), number(len(_rows(run, "unseen")))))
    head = [("Host", "name"), ("Checked", "when"), *((word.capitalize(), "n") for word in SEVERITIES), ("Unseen", "n")]
    return table("Hosts, the worst first", head, rows)


def _kinds(ordered: Sequence[tuple[str, Facts]]) -> list[str]:
    on: dict[str, set[str]] = {}
    first: dict[str, Facts] = {}
    many: Counter[str] = Counter()
    for name, run in ordered:
        for each in run["findings"]:
            kind = str(each.get("id", ""))
            on.setdefault(kind, set()).add(name)
            first.setdefault(kind, each)
            many[kind] += 1
    several = sorted((kind for kind in on if len(on[kind]) > 1), key=lambda kind: (-len(on[kind]), kind))
    if not several:
        return ["<p>Nothing.</p>"]
    rows = [
        (f"{text(kind, 20)} {text(first[kind].get('title', ''), 200)}", text(first[kind].get("severity", ""), 20),
         number(len(on[kind])), number(many[kind]))
        for kind in several[:_MOST_KINDS]
    ]  # fmt: skip
    left = len(several) - len(rows)
    caption = "By the number of hosts" + (f'<span class="faint">{number(left)} more not shown</span>' if left else "")
    return [table(caption, (("Finding", "name"), ("Severity", ""), ("Hosts", "n"), ("Findings", "n")), rows)]


def _tells(run: Facts) -> bool:
    return bool(run["findings"] or _rows(run, "unseen") or _rows(run, "suppressed"))


def _rows(run: Facts, name: str) -> list[Facts]:
    rows = run.get(name, ())
    return [each for each in rows if isinstance(each, Mapping)] if isinstance(rows, list) else []


def _time(run: Facts) -> float:
    try:
        return datetime.fromisoformat(str(run.get("when", ""))).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
