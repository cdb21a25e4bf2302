"""The page in a browser: nothing is run or fetched, nothing is too wide, it prints, it can be listened to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jailssh.audit.page import Report, page
from jailssh.audit.sheet import DARK, LIGHT
from tests.harness.browser import Browser, browser
from tests.unit.audit.page_tools import crowded, hostile, ordinary, run

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]
WIDTHS = (360, 1400)
TOO_WIDE = """(() => {
  const wide = document.documentElement.clientWidth;
  const over = [...document.body.querySelectorAll("*")].filter(
    (each) => !each.closest("svg, .skip") && each.getBoundingClientRect().right > wide + 0.5);
  return [document.documentElement.scrollWidth - wide, over.slice(0, 5).map((each) => each.outerHTML.slice(0, 200))];
})()"""
# Lines of one column of a table must not run into the next one.
CROWDED = """[...document.querySelectorAll("th, td")].filter(
  (each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.outerHTML.slice(0, 200)).slice(0, 5)"""
ACTIVE = 'document.querySelectorAll("script, img, iframe, object, embed, link, base, form, video, audio").length'
BROKEN = """<!DOCTYPE html><html lang="en"><head><title>x</title></head><body>
<p style="width: 2000px">wide</p><script>nowhere.at_all()</script><img src="absent.png"/></body></html>"""


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as started:
        yield started


def test_the_browser_tells_of_a_page_that_is_broken(shown: Browser) -> None:
    shown.show(BROKEN, 360)
    assert shown.evaluate(TOO_WIDE)[0] > 1000
    assert len(shown.requests()) == 2
    assert any("nowhere" in each for each in shown.complaints())
    assert shown.evaluate(ACTIVE) == 2
    # What the page forbids is forbidden by its own policy, not by chance.
    policy = page(Report("h", 0.0)).split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    guarded = BROKEN.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{policy}"/>')
    shown.show(guarded, 360)
    assert shown.evaluate(TOO_WIDE)[0] == 0  # nor does the style of an attribute count
    assert not any("at_all is" in each or "is not defined" in each for each in shown.complaints())
    assert len([each for each in shown.complaints() if "Content Security Policy" in each]) == 3


def ground(shown: Browser) -> str:
    """Return the colour of the page's ground, as #rrggbb."""
    red, green, blue = shown.evaluate("getComputedStyle(document.body).backgroundColor")[4:-1].split(",")
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


@pytest.mark.parametrize("name", ["ordinary", "hostile", "crowded"])
def test_a_page(shown: Browser, name: str) -> None:
    written = page({"ordinary": ordinary, "hostile": hostile, "crowded": crowded}[name]())
    for width in WIDTHS:
        for dark in (False, True):
            shown.show(written, width, dark=dark)
            assert shown.evaluate(TOO_WIDE) == [0, []]
            assert shown.evaluate(CROWDED) == []
            assert (shown.complaints(), len(shown.requests()), shown.evaluate(ACTIVE)) == ([], 1, 0)
            assert ground(shown) == (DARK if dark else LIGHT)["paper"]
    assert shown.evaluate("document.compatMode") == "CSS1Compat"
    assert shown.evaluate("document.title").startswith("jailssh: ")
    data, sheets = shown.printed()
    dark_paper = [{"name": "prefers-color-scheme", "value": "dark"}]
    shown.call("Emulation.setEmulatedMedia", media="print", features=dark_paper)
    assert shown.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert ground(shown) == LIGHT["paper"]
    shown.call("Emulation.setEmulatedMedia", media="")
    assert data.startswith(b"%PDF-") and len(data) > 10_000
    assert 2 <= sheets <= {"ordinary": 8, "hostile": 20, "crowded": 60}[name]


def test_a_screen_reader_finds_its_way(shown: Browser) -> None:
    shown.show(page(ordinary()), 1400)
    met = shown.named()
    roles = {role for role, _ in met}
    assert {"banner", "navigation", "main", "contentinfo", "region", "heading", "table", "rowheader"} <= roles
    assert {name for role, name in met if role == "region"} >= {"Summary", "Findings", "Trend", "Sessions"}
    assert all(name for role, name in met if role in ("region", "navigation", "table", "image", "img", "link"))
    assert len([1 for role, _ in met if role in ("image", "img")]) >= 10
    assert any(name.startswith("Sessions over time: sftp-only") for _, name in met)


def test_a_small_page_is_one_sheet(shown: Browser) -> None:
    shown.show(page(Report("h", 1_790_000_000.0, run(1))), 360)
    assert shown.evaluate(TOO_WIDE) == [0, []]
    assert shown.printed()[1] == 1
