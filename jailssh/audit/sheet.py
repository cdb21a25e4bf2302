"""How the page looks: on a screen, narrow or wide, light or dark, and on paper.  Pure.

Colours stand here alone, as data, so that a test can compute their contrast.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f4f6f8",
    "ink": "#1a1f24",
    "faint": "#545d67",
    "line": "#cfd6dd",
    "bar": "#2f5f8a",
    "link": "#0b549e",
    "high": "#a3210f",
    "medium": "#7d4a00",
    "low": "#3d5568",
}
DARK: Mapping[str, str] = {
    "paper": "#15191d",
    "panel": "#1f252b",
    "ink": "#e4e8ec",
    "faint": "#a5b0bb",
    "line": "#3b444d",
    "bar": "#7fb2de",
    "link": "#8cc0f2",
    "high": "#ff9c8c",
    "medium": "#edb65f",
    "low": "#a9c3d8",
}
TEXTS = ("ink", "faint", "link", "high", "medium", "low")
"""The colours of text; each is used on each of :data:`GROUNDS`."""
GROUNDS = ("paper", "panel")


def _colours(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


SHEET = f"""
:root {{ color-scheme: light; {_colours(LIGHT)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {_colours(DARK)} }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{ margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif; overflow-wrap: anywhere; }}
h1, h2, h3, h4, caption {{ line-height: 1.25; }}
h1, h2, h3 {{ text-wrap: balance; }}
h1 {{ margin: 0 0 .25rem; font-size: 1.75rem; }}
h2 {{ margin: 3rem 0 1rem; padding-bottom: .35rem; border-bottom: 1px solid var(--line); font-size: 1.375rem; }}
h3 {{ margin: 2rem 0 .75rem; font-size: 1.125rem; }}
h4 {{ margin: 0; font-size: 1rem; }}
p {{ margin: .5rem 0; max-width: 44rem; }}
a {{ color: var(--link); text-underline-offset: .15em; }}
a:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
code, .mono {{ font: .875em/1.5 ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", "Liberation Mono", monospace;
  unicode-bidi: isolate; }}
.faint {{ color: var(--faint); }}
.skip {{ position: absolute; left: -99rem; }}
.skip:focus {{ position: static; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1.25rem 0 0; padding: 0; list-style: none; }}
.verdict {{ margin: 1rem 0; font-size: 1.125rem; font-weight: 600; }}
.note {{ margin: 1rem 0; padding: .75rem 1rem; border: 1px solid var(--medium); border-left-width: .35rem;
  background: var(--panel); }}
.note ul {{ margin: .25rem 0 0; padding-left: 1.25rem; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .75rem;
  margin: .75rem 0; }}
.tiles div {{ display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: .6rem .85rem;
  border: 1px solid var(--line); border-radius: .375rem; background: var(--panel); }}
.tiles dt {{ color: var(--faint); font-size: .875rem; line-height: 1.3; }}
.tiles dd {{ margin: 0; font-size: 1.625rem; font-weight: 600; line-height: 1.3; overflow-wrap: normal;
  font-variant-numeric: tabular-nums; }}
table {{ width: 100%; margin: 1.25rem 0; border-collapse: collapse; font-size: .9375rem; line-height: 1.4; }}
caption {{ padding-bottom: .4rem; text-align: left; font-weight: 600; }}
caption span {{ display: block; margin-top: .15rem; font-size: .875rem; font-weight: 400; }}
th, td {{ padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }}
th:last-child, td:last-child {{ padding-right: 0; }}
thead th {{ color: var(--faint); font-size: .8125rem; font-weight: 600; vertical-align: bottom; }}
tbody th {{ min-width: 5rem; font-weight: 400; }}
.n {{ width: 1%; text-align: right; white-space: nowrap; overflow-wrap: normal;
  font-variant-numeric: tabular-nums; }}
.when {{ width: 1%; overflow-wrap: normal; font-variant-numeric: tabular-nums; }}
.whole {{ white-space: nowrap; }}
.loose {{ white-space: normal; overflow-wrap: anywhere; }}
@media (min-width: 34rem) {{ .when {{ white-space: nowrap; }} }}
.pic {{ width: 45%; min-width: 6rem; }}
svg {{ display: block; width: 100%; overflow: visible; }}
svg.spark {{ height: 1.6rem; }}
svg.chart {{ height: 9rem; margin-top: .5rem; }}
.bar {{ fill: var(--bar); }}
.hit {{ fill: transparent; }}
g:hover .hit {{ fill: var(--line); }}
.grid, .base {{ fill: none; stroke: var(--line); vector-effect: non-scaling-stroke; }}
.base {{ stroke: var(--faint); }}
figure {{ margin: 1.25rem 0; }}
figcaption {{ font-weight: 600; }}
figcaption span {{ display: block; font-size: .875rem; font-weight: 400; }}
.ends {{ display: flex; justify-content: space-between; margin: .25rem 0 0; max-width: none; color: var(--faint);
  font-size: .8125rem; font-variant-numeric: tabular-nums; }}
article {{ margin: 1rem 0; padding: .9rem 1rem; border: 1px solid var(--line); border-left-width: .35rem;
  border-radius: .25rem; }}
article.high {{ border-left-color: var(--high); }}
article.medium {{ border-left-color: var(--medium); border-left-style: double; }}
article.low {{ border-left-color: var(--low); border-left-style: dotted; }}
.severity {{ display: inline-block; margin-right: .35rem; padding: 0 .45rem; border: 1px solid; border-radius: .25rem;
  font-size: .8125rem; line-height: 1.4; text-transform: uppercase; letter-spacing: .04em; }}
.severity.high {{ color: var(--high); }}
.severity.medium {{ color: var(--medium); }}
.severity.low {{ color: var(--low); }}
article ul {{ margin: .5rem 0; padding-left: 1.25rem; }}
article li {{ margin: .25rem 0; }}
article p, header p {{ max-width: none; }}
article > :last-child {{ margin-bottom: 0; }}
.changes {{ margin: .5rem 0; padding-left: 1.25rem; }}
footer {{ margin-top: 3rem; padding-top: .75rem; border-top: 1px solid var(--line); color: var(--faint);
  font-size: .875rem; }}
@media (max-width: 34rem) {{
  body {{ padding: 1rem 1rem 2rem; }}
  h1 {{ font-size: 1.5rem; }}
  h2 {{ margin-top: 2.25rem; }}
  .tiles {{ grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .5rem; margin: .5rem 0; }}
  .tiles dd {{ font-size: 1.375rem; }}
  table {{ font-size: .875rem; }}
  th, td {{ padding-right: .6rem; }}
  tbody th.name {{ min-width: 7.5rem; }}
  .pic {{ width: 26%; min-width: 5rem; }}
  svg.chart {{ height: 7rem; }}
}}
@media (forced-colors: active) {{ .bar {{ fill: CanvasText; }} .grid, .base {{ stroke: CanvasText; }} }}
@media print {{
  @page {{ margin: 18mm 16mm; @bottom-right {{ content: counter(page) " / " counter(pages); font-size: 8pt; }} }}
  html {{ font-size: 9.5pt; }}
  body {{ max-width: none; padding: 0; }}
  nav, .skip {{ display: none; }}
  h1, h2, h3, h4, caption, figcaption {{ break-after: avoid; }}
  h2 {{ margin-top: 1.75rem; }}
  tr, figure, article li, .tiles, .note {{ break-inside: avoid; }}
  thead {{ display: table-header-group; }}
  p, li {{ orphans: 3; widows: 3; }}
  svg, .tiles div, article, .note, .severity {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
}}
"""

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()}'"
)
"""The Content-Security-Policy: nothing is fetched, nothing is run, no style counts but this one."""
