"""The page: findings, their trend, sessions and denials as one file of HTML that needs nothing else.  Pure.

It has no script, fetches nothing and says so to the browser.  Lists are cut and say what is left out, so that it stays
below 1 MB whatever there is to tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import jailssh
from jailssh.audit import found, pictures
from jailssh.audit.compare import Facts
from jailssh.audit.markup import moment, number, section, table, text, written_day
from jailssh.audit.sheet import POLICY, SHEET
from jailssh.audit.summary import Summary
from jailssh.core.journal_fields import REASONS
from jailssh.core.names import pluralize

MOST_RUNS = pictures.MOST
"""Runs of which the trend is made."""
MOST_ROWS = 20
MOST_KEYS = 50
UNUSED = 30
"""Days after which a key counts as not used for long."""
_NOTES = 20
_NAME = 100
_DAY = 86400.0
Key = tuple[str, str, str]
"""User, uid and name of a key, as in :attr:`Summary.keys`."""


@dataclass(frozen=True)
class Report:
    """What the page tells.

    ``subject``: what it is about, as the host's name.  ``now``, ``since``, ``until``: seconds since 1970; the last two
    bound the sessions, None: no bound.  ``run``: facts of the checks, None where there was no run; ``earlier``: those
    of the runs before it, the oldest first.  ``activity``: of the journal, None where it was not asked.  ``keys``:
    those that could be used.  ``notes``: what is missing, in words.  ``has_checks``: False where nobody expects a run.
    """

    subject: str
    now: float
    run: Facts | None = None
    earlier: Sequence[Facts] = ()
    activity: Summary | None = None
    since: float | None = None
    until: float | None = None
    keys: Sequence[Key] = ()
    notes: Sequence[str] = field(default=())
    has_checks: bool = True


def page(report: Report) -> str:
    """Return the page as HTML that is well-formed XML too."""
    sections: list[tuple[str, str, list[str]]] = [("summary", "Summary", _summary(report))]
    if report.run is not None:
        sections.append(("findings", "Findings", found.findings(report.run)))
        sections.append(("trend", "Trend", found.trend(report.run, report.earlier)))
    if report.activity is not None:
        sections.append(("sessions", "Sessions", _sessions(report, report.activity)))
        sections.append(("denials", "Denials and refusals", _denials(report, report.activity)))
        sections.append(("accounts", "Busiest accounts", _accounts(report.activity)))
        sections.append(("keys", "Keys unused for long", _keys(report, report.activity)))
    kind = "Checks" if report.activity is None else "Audit"
    return document(report.subject, kind, _about(report), sections, report.now)


def document(
    subject: str, kind: str, about: str, sections: Sequence[tuple[str, str, list[str]]], now: float, linked: int = 99
) -> str:
    """Return the page that holds ``sections``: anchor, title and parts of HTML, of which the first are linked to.

    ``kind`` of page about ``subject``; ``about``: HTML; ``now``: seconds since 1970.
    """
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections[:linked])
    body = "\n".join(section(*each) for each in sections)
    title = f"jailssh: {text(subject, _NAME)}, {_day(now)}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta name="referrer" content="no-referrer"/>
<title>{title}</title>
<style>{SHEET}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header>
<h1>{kind} of {text(subject, _NAME)}</h1>
<p class="faint">{about}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="content">
{body}
</main>
<footer><p>Made by jailssh {text(jailssh.__version__)} on {moment(now)}. Control characters, bytes that are not
UTF-8 and invisible characters are shown as <code>\\x1b</code> or <code>\\u202e</code>.</p></footer>
</body>
</html>
"""


def _about(report: Report) -> str:
    parts = []
    if report.run is not None:
        parts.append(f"Checks of {found.when(report.run)}")
    if report.activity is not None:
        first, last = _period(report, report.activity)
        parts.append(f"sessions from {first} to {last}")
    about = "; ".join(parts)
    return f"{about[:1].upper()}{about[1:]}. Days and times are local."


def _summary(report: Report) -> list[str]:
    parts = [_verdict(report), _missing(report)]
    if report.run is not None:
        parts.append(tiles(found.tiles(report.run)))
    if (activity := report.activity) is not None:
        counts = (activity.sessions.total(), activity.denials.total(), len(activity.accounts))
        titles = ("sessions", "denials and refusals", "accounts seen")
        parts.append(tiles([(number(count), title) for count, title in zip(counts, titles, strict=True)]))
    return parts + (found.changes(report.run, report.earlier) if report.run is not None else [])


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Return figures, each with its title, side by side."""
    cells = "".join(f"<div><dt>{title}</dt><dd>{count}</dd></div>" for count, title in figures)
    return f'<dl class="tiles">{cells}</dl>'


def _verdict(report: Report) -> str:
    if not report.has_checks:
        return ""
    if report.run is None:
        return '<p class="verdict">The checks have not been run yet: <code>jailssh audit run</code></p>'
    return f'<p class="verdict">{found.verdict(report.run)}</p>'


def _missing(report: Report) -> str:
    return missing([text(note, 300) for note in report.notes] + (found.unseen(report.run) if report.run else []))


def missing(notes: Sequence[str]) -> str:
    """Return what is missing, of which ``notes`` tell in HTML, as a part of the page."""
    if not notes:
        return ""
    more = [f"and {number(len(notes) - _NOTES)} more"] if len(notes) > _NOTES else []
    items = "".join(f"<li>{note}</li>" for note in [*notes[:_NOTES], *more])
    return f'<div class="note" role="note"><strong>Something is missing in this page:</strong><ul>{items}</ul></div>'


def _period(report: Report, activity: Summary) -> tuple[str, str]:
    """Return the first and the last day that the pictures show."""
    last = report.until if report.until is not None else report.now
    last = max(last, activity.last or last) if report.until is None else last
    first = report.since if report.since is not None else activity.first if activity.first is not None else last
    return _day(max(0.0, min(first, last))), _day(max(0.0, last))


def _sessions(report: Report, activity: Summary) -> list[str]:
    totals: Counter[str] = Counter()
    jails: dict[str, Counter[str]] = {}
    for (day, jail), count in activity.sessions.items():
        totals[day] += count
        jails.setdefault(jail, Counter())[day] += count
    if not totals:
        return ["<p>There were none.</p>"]
    days = _period(report, activity)
    return [_figure("s", "Sessions that began", totals, days), _split("sj", ("Jail", "Sessions"), jails, days, _plain)]


def _denials(report: Report, activity: Summary) -> list[str]:
    totals: Counter[str] = Counter()
    jails: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for (day, jail, reason), count in activity.denials.items():
        totals[day] += count
        jails.setdefault(jail, Counter())[day] += count
        reasons.setdefault(reason, Counter())[day] += count
    if not totals:
        return ["<p>There were none.</p>"]
    days = _period(report, activity)
    return [
        _figure("d", "Commands denied and logins refused", totals, days),
        _split("dj", ("Jail", "Denials"), jails, days, _plain),
        _split("dr", ("Reason", "Denials"), reasons, days, _reason),
    ]


def _plain(name: str) -> str:
    return text(name, _NAME) if name else "none named"


def _reason(code: str) -> str:
    meaning = REASONS.get(code, "")
    return _plain(code) + (f'<br/><span class="faint">{text(meaning)}</span>' if meaning else "")


def _figure(name: str, title: str, counts: Mapping[str, int], days: tuple[str, str]) -> str:
    bars = pictures.over_days(counts, *days)
    top = max(bars, key=lambda bar: bar.count)
    width = pluralize(pictures.days_of_a_bar(*days), "day")
    about = f"{number(sum(counts.values()))} in all; a bar is {width}; the highest is {number(top.count)}, {top.label}"
    return (
        f'<figure><figcaption>{title}<span class="faint">{about}</span></figcaption>\n'
        f"{pictures.chart(name, f'{title}, {days[0]} to {days[1]}', bars)}\n"
        f'<p class="ends"><span>{days[0]}</span><span>{days[1]}</span></p></figure>'
    )


def _split(
    name: str,
    titles: tuple[str, str],
    rows: dict[str, Counter[str]],
    days: tuple[str, str],
    shown: Callable[[str], str],
) -> str:
    """Return a table with a picture for each row, the largest first; what is small is summed up in the last row."""
    what, counted = titles
    ordered = sorted(rows.items(), key=lambda row: (-row[1].total(), row[0]))
    cells = [(shown(key), key or "none named", counts) for key, counts in ordered[:MOST_ROWS]]
    if rest := ordered[MOST_ROWS:]:
        others: Counter[str] = Counter()
        for _, counts in rest:
            others.update(counts)
        label = f"{number(len(rest))} others"
        cells.append((label, label, others))
    body = []
    for at, (cell, label, counts) in enumerate(cells):
        bars = pictures.over_days(counts, *days)
        peak = max(bar.count for bar in bars)
        picture = pictures.spark(f"{name}{at}", f"{counted} over time: {label[:_NAME]}", bars)
        body.append((cell, number(counts.total()), number(peak), picture))
    caption = f'{counted} by {what.lower()}<span class="faint">each picture has its own scale, up to its peak</span>'
    return table(
        caption,
        ((what, "name"), (counted, "n"), ("Peak", "n"), (f"{written_day(days[0])} to {written_day(days[1])}", "pic")),
        body,
    )


def _accounts(activity: Summary) -> list[str]:
    busiest = activity.busiest(MOST_ROWS)
    if not busiest:
        return ["<p>There are none.</p>"]
    rows = [
        (_person(user, uid), number(each.sessions), number(each.denials), moment(each.last))
        for (user, uid), each in busiest
    ]
    left = len(activity.accounts) - len(busiest)
    caption = _caption("Accounts with the most sessions", left, "account")
    return [table(caption, (("Account", ""), ("Sessions", "n"), ("Denials", "n"), ("Last seen", "when")), rows)]


def _keys(report: Report, activity: Summary) -> list[str]:
    end = report.until if report.until is not None else report.now
    unused: list[tuple[float, Key]] = [(0.0, key) for key in set(report.keys) - set(activity.keys)]
    unused += [(last, key) for key, last in activity.keys.items() if end - last >= UNUSED * _DAY]
    unused.sort()
    about = (
        f"<p>Named keys whose last session is {UNUSED} days old or more, and those that were not used at all in this"
        " time; <code>jailssh keys remove</code> takes one away.</p>"
    )
    if not unused:
        return [about, "<p>There are none.</p>"]
    rows = [
        (_person(user, uid), text(key, _NAME), *((moment(last), number(int((end - last) // _DAY))) if last else
         ("not in this time", "&#8211;")))
        for last, (user, uid, key) in unused[:MOST_KEYS]
    ]  # fmt: skip
    caption = _caption("Keys, the longest unused first", len(unused) - len(rows), "key")
    return [about, table(caption, (("Account", ""), ("Key", ""), ("Last session", "when"), ("Days ago", "n")), rows)]


def _caption(title: str, left: int, what: str) -> str:
    return title + (f'<span class="faint">{found.many(left, f"more {what}")} not shown</span>' if left else "")


def _person(user: str, uid: str) -> str:
    return f'{_plain(user)} <span class="faint">{text(uid, 20)}</span>'


def _day(time: float) -> str:
    return datetime.fromtimestamp(time).date().isoformat()
