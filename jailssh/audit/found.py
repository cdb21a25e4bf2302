"""The parts of the page that tell of findings: by jail, over earlier runs, what has changed.  Pure.

A run is what ``check --json`` prints; it may be of another version of jailssh, so nothing is taken for granted but the
shape of the lists, which :mod:`jailssh.audit.history` has checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from jailssh.audit import pictures
from jailssh.audit.compare import Facts, compare
from jailssh.audit.markup import moment, number, table, text, written_day
from jailssh.core.names import pluralize

SEVERITIES = ("high", "medium", "low")
MOST_OF_A_KIND = 20
"""Findings of one kind in one jail that are shown."""
BUDGET = 400_000
"""Characters of HTML for findings; the worst come first."""
_SUPPRESSED = 50
_CHANGES = 10
_RUNS = 10
_OBJECT, _WORDS = 200, 600


def when(run: Facts) -> str:
    """Return when the run was, for people, in local time."""
    written = str(run.get("when", ""))
    try:
        return moment(datetime.fromisoformat(written).timestamp())
    except (ValueError, OverflowError, OSError):
        return written_day(written)


def verdict(run: Facts) -> str:
    """Return the result in one sentence."""
    counts = _counts(run)
    if not run["findings"]:
        return "No findings." if not run.get("unseen") else "No findings, but not everything was looked at."
    said = ", ".join(f"{number(counts[word])} {word}" for word in SEVERITIES if counts[word])
    return f"{many(len(run['findings']), 'finding')}: {said}."


def tiles(run: Facts) -> list[tuple[str, str]]:
    """Return the figures of a run, each with its title."""
    counts = _counts(run)
    found = [(number(counts[word]), f"{word} severity") for word in SEVERITIES]
    found.append((number(len(run.get("suppressed", ()))), "suppressed"))
    accounts = run.get("accounts", 0)
    found.append((number(accounts if isinstance(accounts, int) else 0), "accounts in jails"))
    return found


def unseen(run: Facts) -> list[str]:
    """Return what the run could not look at, as HTML."""
    return [f"{text(each.get('what', ''), 200)}: {text(each.get('why', ''), 400)}" for each in run.get("unseen", ())]


def changes(run: Facts, earlier: Sequence[Facts]) -> list[str]:
    """Return what is new, back and mended since the run before."""
    if not earlier:
        return []
    became = compare(run, earlier)
    rows = [("New", became.new), ("Back again", became.back), ("Mended", became.mended)]
    items = "".join(f"<li><strong>{title}:</strong> {_changed(each)}</li>" for title, each in rows if each)
    before = f"Since the run of {when(earlier[-1])}"
    return [f'<p>{before}:</p><ul class="changes">{items}</ul>' if items else f"<p>{before} nothing has changed.</p>"]


def _changed(findings: Sequence[Facts]) -> str:
    shown = [f"{_of(each, 'id', 20)} {_of(each, 'object', _OBJECT)}" for each in _worst_first(findings)[:_CHANGES]]
    left = len(findings) - len(shown)
    return "; ".join(shown) + (f"; and {number(left)} more" if left else "")


def trend(run: Facts, earlier: Sequence[Facts]) -> list[str]:
    """Return the severities over the runs, and the last of them in numbers."""
    runs = [*earlier, run][-pictures.MOST :]
    if len(runs) < 2:
        return ["<p>There is no earlier run to compare with; <code>jailssh audit run</code> keeps one.</p>"]
    counted = [_counts(each) for each in runs]
    days = [str(each.get("when", ""))[:16].replace("T", " ") for each in runs]
    most = max(max(counts.values(), default=0) for counts in counted)
    rows = []
    for word in SEVERITIES:
        bars = [pictures.Bar(day, counts[word]) for day, counts in zip(days, counted, strict=True)]
        picture = pictures.spark(f"t-{word}", f"{word} severity, by run", bars, most)
        rows.append((_badge(word), number(counted[-1][word]), number(max(bar.count for bar in bars)), picture))
    caption = f'Findings over {len(runs)} runs<span class="faint">one bar for each run, the last on the right</span>'
    head = (
        ("Severity", ""),
        ("Now", "n"),
        ("Peak", "n"),
        (f"{written_day(days[0])} to {written_day(days[-1])}", "pic"),
    )
    return [table(caption, head, rows), _last_runs(runs)]


def _last_runs(runs: Sequence[Facts]) -> str:
    rows = []
    for each in reversed(runs[-_RUNS:]):
        counts = _counts(each)
        rows.append((when(each), *(number(counts[word]) for word in SEVERITIES), number(len(each.get("unseen", ())))))
    head = [("Run", "when"), *((word.capitalize(), "n") for word in SEVERITIES), ("Unseen", "n")]
    return table("The last runs", head, rows)


def findings(run: Facts, anchor: str = "jail", budget: int = BUDGET) -> list[str]:
    """Return the findings by jail, the worst first, each kind with why it matters and its cure.

    ``anchor``: how names of places on the page begin; ``budget``: characters of HTML that there are for it.
    """
    if not run["findings"]:
        return ["<p>There are none.</p>", *_suppressed(run)]
    groups: dict[str, dict[str, list[Facts]]] = {}
    for each in _worst_first(run["findings"]):
        groups.setdefault(str(each.get("jail", "")), {}).setdefault(str(each.get("id", "")), []).append(each)
    out = []
    shown, left = _within_budget(groups, budget)
    for place, articles in enumerate(shown.values()):
        out.append(f'<section aria-labelledby="{anchor}-{place}"><h3 id="{anchor}-{place}">{articles[0]}</h3>')
        out += [*articles[1:], "</section>"]
    if left:
        out.append(f"<p>{many(left, 'more finding')} not shown; all of them: <code>jailssh check --json</code></p>")
    return [*out, *_suppressed(run)]


def _within_budget(groups: dict[str, dict[str, list[Facts]]], budget: int) -> tuple[dict[str, list[str]], int]:
    """Return for each jail its title and articles as far as there is room, and how many findings are left out.

    The worst of all jails come first.
    """
    kinds = [(jail, of_kind) for jail, each in groups.items() for of_kind in each.values()]
    kinds.sort(key=lambda one: _rank(one[1][0]))
    shown: dict[str, list[str]] = {}
    left, room = 0, budget
    for jail, of_kind in kinds:
        parts = [_article(of_kind)] if room > 0 else []
        if parts and jail not in shown:
            parts.insert(0, _title(jail, sum(len(each) for each in groups[jail].values())))
        room -= sum(len(part) for part in parts)
        if room > 0:
            shown.setdefault(jail, []).extend(parts)
        else:
            left += len(of_kind)
    return shown, left


def _title(jail: str, count: int) -> str:
    title = f"Jail {text(jail, 100)}" if jail else "This host"
    return f'{title} <span class="faint">&#8211; {many(count, "finding")}</span>'


def _article(of_kind: Sequence[Facts]) -> str:
    """Return the findings of one kind in one jail."""
    first = of_kind[0]
    severity = str(first.get("severity", ""))
    cures = {str(each.get("cure", "")) for each in of_kind}
    items = [_item(each, with_cure=len(cures) > 1) for each in of_kind[:MOST_OF_A_KIND]]
    if len(of_kind) > len(items):
        items.append(f"<li>and {number(len(of_kind) - len(items))} more</li>")
    cure = f"<p><strong>Cure:</strong> {_of(first, 'cure', _WORDS)}</p>" if len(cures) == 1 else ""
    return (
        f'<article class="{severity if severity in SEVERITIES else "low"}">'
        f"<h4>{_badge(severity)} {_of(first, 'id', 20)} {_of(first, 'title', _OBJECT)}</h4>\n"
        f"<p>{_of(first, 'why', _WORDS)}</p>\n<ul>{''.join(items)}</ul>\n{cure}</article>"
    )


def _item(each: Facts, *, with_cure: bool) -> str:
    path = str(each.get("path", ""))
    told = f"{each.get('object', '')} {each.get('what', '')}"
    where = f' <span class="mono">{text(path, _OBJECT)}</span>' if path and path not in told else ""
    since = f' <span class="faint">since {written_day(each["since"])}</span>' if each.get("since") else ""
    cure = f"<br/><strong>Cure:</strong> {_of(each, 'cure', _WORDS)}" if with_cure else ""
    what = f"<bdi>{_of(each, 'object', _OBJECT)}</bdi>: <bdi>{_of(each, 'what', _WORDS)}</bdi>"
    return f"<li>{what}{where}{since}{cure}</li>"


def _suppressed(run: Facts) -> list[str]:
    every = run.get("suppressed", ())
    if not every:
        return []
    rows = [
        (
            f"{_of(each, 'id', 20)} {_of(each, 'object', _OBJECT)}",
            _of(each, "reason", _OBJECT),
            written_day(each.get("until")),
        )
        for each in every[:_SUPPRESSED]
    ]
    left = len(every) - len(rows)
    caption = "Looked at and accepted" + (f'<span class="faint">{number(left)} more not shown</span>' if left else "")
    return ["<h3>Suppressed</h3>", table(caption, (("Finding", ""), ("Reason", ""), ("Until", "when")), rows)]


def _badge(severity: str) -> str:
    kind = f" {severity}" if severity in SEVERITIES else ""
    return f'<span class="severity{kind}">{text(severity, 20)}</span>'


def _of(each: Facts, name: str, limit: int) -> str:
    return text(each.get(name, ""), limit)


def many(count: int, what: str) -> str:
    """Return a count with its noun."""
    return f"{number(count)} {pluralize(count, what).partition(' ')[2]}"


def _counts(run: Facts) -> Counter[str]:
    return Counter(str(each.get("severity", "")) for each in run["findings"])


def _rank(each: Facts) -> int:
    severity = each.get("severity")
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _worst_first(findings: Iterable[Facts]) -> list[Facts]:
    return sorted(findings, key=_rank)
