"""Text of HTML that is XML too: whatever comes from elsewhere goes through :func:`text`.  Pure."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

from jailssh.core.names import escape

_LONGEST = 4000
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MARKS = 3
"""Combining characters in a row: more of them would be drawn over the lines above and below."""


def text(value: object, limit: int = _LONGEST) -> str:
    r"""Return ``value`` as harmless text of HTML, or of an attribute in double quotes, cut to ``limit`` characters.

    Control characters and bytes that are not UTF-8 stand as ``\xNN``; what has no shape of its own but acts on the text
    around it (marks that turn the direction of writing, separators of lines, surrogates) as ``\uNNNN``.  The text is
    ASCII, others are references: the locale of whoever prints it must not change what it says.
    """
    shown = escape(str(value), limit)
    if shown.isascii():
        return html.escape(shown, quote=True)
    return html.escape(_visible(shown), quote=True).encode("ascii", "xmlcharrefreplace").decode()


def _visible(shown: str) -> str:
    out: list[str] = []
    marks = 0
    for char in shown:
        category = unicodedata.category(char)
        marks = marks + 1 if category[0] == "M" else 0
        # Cf: formats, among them all that turn directions; Cs, Co, Cn: nothing that could be shown; Zl, Zp: line ends.
        if category in ("Cf", "Cs", "Co", "Cn", "Zl", "Zp") or marks > _MARKS:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(char)
    return "".join(out)


def number(count: int) -> str:
    """Return a count with its thousands apart."""
    return f"{count:,}"


def moment(time: float) -> str:
    """Return a time (seconds since 1970) in local time; where there is no room it breaks between day and hour."""
    local = datetime.fromtimestamp(time).astimezone()
    return (
        f'<time datetime="{local.isoformat("T", "seconds")}"><span class="whole">{local:%Y-%m-%d}</span>'
        f" {local:%H:%M}</time>"
    )


def written_day(value: object) -> str:
    """Return the day of a moment that is written as 2026-11-28 or 2026-11-28T03:00:00Z; what is none as text."""
    written = str(value)[:10]
    return f'<span class="{"whole" if _DAY.match(written) else "loose"}">{text(written)}</span>'


def table(caption: str, head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.  ``head``: title and class of each column; ``rows``: cells of HTML, the first is the row's name.

    The caption is HTML as well.
    """
    titles = "".join(f'<th scope="col"{_class(kind)}>{title}</th>' for title, kind in head)
    out = [f"<table><caption>{caption}</caption>\n<thead><tr>{titles}</tr></thead>\n<tbody>"]
    for row in rows:
        cells = "".join(f"<td{_class(kind)}>{cell}</td>" for cell, (_, kind) in zip(row[1:], head[1:], strict=True))
        out.append(f'<tr><th scope="row"{_class(head[0][1])}>{row[0]}</th>{cells}</tr>')
    return "\n".join([*out, "</tbody></table>"])


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def section(name: str, title: str, parts: Iterable[str]) -> str:
    """Return a section of the page, a landmark with a heading; ``name`` is its anchor, ``parts`` are HTML."""
    body = "\n".join(part for part in parts if part)
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n{body}\n</section>'
