"""The page as text: well-formed, bounded, harmless whatever names there are, and all of it said in words."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from jailssh.audit.markup import text
from jailssh.audit.page import Report, page
from jailssh.audit.pictures import MOST, Bar, chart, over_days, spark
from jailssh.audit.sheet import DARK, GROUNDS, LIGHT, SHEET, TEXTS
from jailssh.audit.summary import Summary, summarize
from tests.unit.audit.journal_tools import BEGIN, record
from tests.unit.audit.page_tools import DAY, HOSTILE, NOW, crowded, finding, hostile, ordinary, run

VOID = {"meta", "br"}
BLOCKS = {"li", "br", "dt", "dd", "div", "p", "td", "th", "caption", "figcaption", "h2", "h3", "h4", "title", "desc"}
REPORTS: dict[str, Callable[[], Report]] = {
    "ordinary": ordinary,
    "hostile": hostile,
    "crowded": crowded,
    "crowded with emoji": lambda: crowded("\U0001f600"),
    "nothing": lambda: Report("h", NOW),
    "no findings": lambda: Report("h", NOW, run(1)),
    "no sessions": lambda: Report("h", NOW, run(1), activity=Summary()),
}
BAD = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufffe\U000e0001]"
)


class Balanced(HTMLParser):
    """Reads as a browser does; each element has to be closed where it belongs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.text += " " if tag in BLOCKS else ""
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(written: str) -> Balanced:
    reader = Balanced()
    reader.feed(written)
    reader.close()
    assert reader.open == []
    return reader


def words(report: Report) -> str:
    """Return what the page says, with single blanks."""
    return " ".join(read(page(report)).text.split())


@pytest.mark.parametrize("name", REPORTS)
def test_every_page_is_well_formed_bounded_and_harmless(name: str) -> None:
    written = page(REPORTS[name]())
    assert written.isascii() and len(written) <= 1_000_000
    assert not BAD.search(written)
    tree = ElementTree.fromstring(written.removeprefix("<!DOCTYPE html>\n"))
    reader = read(written)
    assert reader.seen <= {
        "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "h4", "p", "nav", "ul", "li",
        "main", "section", "div", "strong", "dl", "dt", "dd", "article", "span", "bdi", "br", "table", "caption",
        "thead", "tbody", "tr", "th", "td", "svg", "desc", "path", "g", "figure", "figcaption", "time", "code",
        "footer",
    }  # fmt: skip
    assert not {each for each in reader.attributes if each.startswith("on")} | reader.attributes & {"src", "style"}
    assert all(each.get("href", "#").startswith("#") for each in tree.iter())
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    named = {each[1:] for each in (link.get("href") or "" for link in tree.iter("a"))}
    named |= {each.get(name) or "" for each in tree.iter() for name in ("aria-labelledby", "aria-describedby")} - {""}
    assert named <= set(ids)


@pytest.mark.parametrize("name", REPORTS)
def test_headings_tables_and_pictures_have_what_a_screen_reader_needs(name: str) -> None:
    tree = ElementTree.fromstring(page(REPORTS[name]()).removeprefix("<!DOCTYPE html>\n"))
    levels = [int(each.tag[1]) for each in tree.iter() if re.fullmatch("h[1-6]", each.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [each.tag for each in tree.iter() if each.tag in ("header", "nav", "main", "footer")] == [
        "header", "nav", "main", "footer",
    ]  # fmt: skip
    for table in tree.iter("table"):
        assert "".join(table.find("caption").itertext())  # type: ignore[union-attr]
        rows = list(table.iter("tr"))
        assert {each.get("scope") for each in rows[0]} == {"col"}
        assert all(row[0].get("scope") == "row" and len(row) == len(rows[0]) for row in rows[1:])
    for picture in tree.iter("svg"):
        assert picture.get("role") == "img"
        assert [each.tag for each in picture][:2] == ["title", "desc"]
        assert all(each.text for each in list(picture)[:2])
        bars = re.findall(
            "M", "".join(each.get("d", "") for each in picture.iter("path") if each.get("class") == "bar")
        )
        assert len(bars) <= MOST


def test_the_policy_lets_nothing_but_this_style() -> None:
    written = page(ordinary())
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', written)
    assert policy is not None
    assert policy[1].startswith(
        "default-src &#x27;none&#x27;; base-uri &#x27;none&#x27;; form-action &#x27;none&#x27;; "
    )
    assert "unsafe" not in policy[1]
    assert written.index("Content-Security-Policy") < written.index("<style>")
    assert "url(" not in SHEET and "@import" not in SHEET and "<" not in SHEET and "&" not in SHEET


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(colours: dict[str, str]) -> None:
    assert round(_contrast("#000000", "#ffffff")) == 21
    assert {
        (name, ground) for name in TEXTS for ground in GROUNDS if _contrast(colours[name], colours[ground]) < 4.5
    } == set()
    assert _contrast(colours["bar"], colours["paper"]) >= 3
    # Nothing has a colour that is not judged here.
    rest = SHEET.replace("".join(f"--{name}: {value}; " for name, value in LIGHT.items()).strip(), "")
    rest = rest.replace("".join(f"--{name}: {value}; " for name, value in DARK.items()).strip(), "")
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rest)
    assert set(re.findall(r"(?<![-\w])color: var\(--(\w+)\)", rest)) <= set(TEXTS)
    assert set(re.findall(r"background: var\(--(\w+)\)", rest)) <= set(GROUNDS)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("<a href=\"x\" id='y'>&", "&lt;a href=&quot;x&quot; id=&#x27;y&#x27;&gt;&amp;"),
        ("a\x1b[1m\n", "a\\x1b[1m\\x0a"),
        ("a\udcff", "a\\xff"),
        ("a\ud800", "a\\ud800"),
        ("\u202ea\u2066\u200f\u061c\ufeff", "\\u202ea\\u2066\\u200f\\u061c\\ufeff"),
        ("\u2028\ue000\U000e0041", "\\u2028\\ue000\\ue0041"),
        ("z\u0301\u0301\u0301\u0301", "z&#769;&#769;&#769;\\u0301"),
        ("é ש 日 \U0001f600", "&#233; &#1513; &#26085; &#128512;"),
        ("<" * 9, "&lt;" * 5 + "&#8230;"),
    ],
)
def test_text(given: str, shown: str) -> None:
    assert text(given, 5 if len(set(given)) == 1 else 4000) == shown


def test_hostile_names_are_shown_as_they_are() -> None:
    shown = words(hostile())
    for name in HOSTILE[:5]:
        assert " ".join(name.split()) in shown
    assert "moc.elpmaxe\\u202egro.evil\\u2066\\u200b\\u061c\\u2028" in shown
    assert "caf\\xe9\\xff \\x00\\x07\\x1b[31m\\x0d\\x0a\\x09\\x9b \\ufffe\\ue0001" in shown


def test_findings_are_by_jail_the_worst_first_with_why_and_cure() -> None:
    shown = words(ordinary())
    cure = "account alice: is writable by others Cure: chmod o-w"
    order = [
        "This host – 1 finding high JSH-601", "Jail sftp-only – 1 finding medium JSH-216 title of 216",
        f"why 216 matters {cure}", "Jail git-only – 1 finding low JSH-503",
    ]  # fmt: skip
    assert [shown.index(each) for each in order] == sorted(shown.index(each) for each in order)
    assert "account alice: is writable by others /var/x" in shown
    assert "3 findings: 1 high, 1 medium, 1 low." in shown


def test_what_has_changed_and_the_trend() -> None:
    kept = finding(object="account bob")
    earlier = [run(1, finding(), kept), run(2, kept, finding(object="account carl"))]
    shown = words(Report("h", NOW, run(3, finding(), kept, finding(object="account dave")), earlier))
    assert "New: JSH-105 account dave Back again: JSH-105 account alice Mended: JSH-105 account carl" in shown
    assert "Findings over 3 runs" in shown and "high 3 3 high severity, by run at most 3, " in shown
    assert "There is no earlier run to compare with" in words(Report("h", NOW, run(1)))
    assert "nothing has changed" in words(Report("h", NOW, run(3, kept), [run(2, kept)]))


def test_what_could_not_be_looked_at_is_told_first() -> None:
    blind = run(1, unseen=[{"what": "home of alice", "why": "did not answer", "hint": ""}])
    shown = words(Report("h", NOW, blind, notes=["journal: 3 records cannot be read"]))
    assert "No findings, but not everything was looked at. Something is missing in this page:" in shown
    assert "journal: 3 records cannot be read" in shown and "home of alice: did not answer" in shown
    assert "Something is missing" not in words(ordinary())
    assert "The checks have not been run yet" in words(Report("h", NOW, activity=Summary()))


def test_sessions_denials_accounts_and_keys() -> None:
    shown = words(ordinary())
    assert "sessions 355 denials and refusals 45 accounts seen 5" in shown
    assert "Sessions by jail" in shown and "Denials by reason" in shown
    assert "hours the account does not allow logins at this time 45" in shown
    unused = shown[shown.index("Keys, the longest unused first") :]
    assert unused.index("git 1000 dave not in this time –") < unused.index("bob")
    assert "carol" not in unused


def test_what_is_left_out_is_counted() -> None:
    shown = words(crowded())
    for said in (
        "280 others",
        "580 others",
        "4,980 more accounts not shown",
        "more keys not shown",
        "2,950 more not shown",
    ):
        assert said in shown
    left = re.search("([0-9,]+) more findings not shown", shown)
    assert left is not None and 0 < int(left[1].replace(",", "")) < 3000
    assert shown.index("high JSH-") < shown.index("more findings not shown")
    many = words(Report("h", NOW, run(1, *[finding(object=f"account {number}") for number in range(50)])))
    assert "account 19" in many and "account 20" not in many and "and 30 more" in many


def test_days_are_summed_up_into_few_bars() -> None:
    counts = {"2026-01-01": 2, "2026-01-03": 5}
    assert over_days(counts, "2026-01-01", "2026-01-03") == [
        Bar("2026-01-01", 2), Bar("2026-01-02", 0), Bar("2026-01-03", 5),
    ]  # fmt: skip
    for last in ("2026-01-01", "2026-03-01", "2026-03-02", "2027-12-31", "2999-12-31"):
        bars = over_days(counts, "2026-01-01", last)
        assert len(bars) <= MOST
        assert sum(bar.count for bar in bars) == (2 if last == "2026-01-01" else 7)
    assert over_days(counts, "2026-01-01", "2026-03-02")[0] == Bar("2026-01-01 to 2026-01-02", 2)
    assert over_days(counts, "2026-01-01", "2026-03-02")[-1].label == "2026-03-02"[:0] + "2026-03-02"


def test_pictures_are_to_scale() -> None:
    bars = [Bar("a", 0), Bar("b", 50), Bar("c", 100), Bar("d", 1)]
    tops = [int(each) for each in re.findall(r'class="bar" d="M\d+ 100V(\d+)', chart("x", "t", bars))]
    assert tops == [50, 0, 97]  # what is there at all can be seen
    assert re.findall(r"V(\d+)h", spark("x", "t", bars, 200)) == ["75", "50", "97"]
    assert '<desc id="x-d">at most 100, c</desc>' in spark("x", "t", bars)
    assert '<desc id="x-d">b: 50; c: 100; d: 1</desc>' in chart("x", "t", bars)
    assert "nothing" in spark("x", "t", []) and "nothing" in chart("x", "t", [])


@pytest.mark.alone
def test_a_hundred_thousand_sessions_are_fast_and_small() -> None:
    records = [
        record("denied" if number % 20 == 0 else "session-start", BEGIN + number * 80, uid=str(number % 1000),
               USER=f"user{number % 1000}", JAIL=f"jail{number % 50}", REASON=f"reason-{number % 30}",
               KEY=f"k{number % 700}")
        for number in range(100_000)
    ]  # fmt: skip
    begun = time.perf_counter()
    written = page(Report("h", BEGIN + 93 * DAY, run(1), (), summarize(records)))
    assert time.perf_counter() - begun <= 2
    assert len(written) <= 1_000_000
    assert "95,000" in written
