"""The actions of ``jailssh audit`` that run the checks, show what was kept, and compare."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jailssh.audit import history, periodic, telling
from jailssh.audit.compare import Comparison, Facts, compare
from jailssh.checks import table
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.names import escape, pluralize
from jailssh.integrity import report
from jailssh.integrity.finding import Severity
from jailssh.integrity.kept import Kept
from jailssh.integrity.run import EXIT_BLIND
from jailssh.integrity.run import run as run_checks
from jailssh.integrity.scene import Scene


def _run(args: argparse.Namespace, context: Context) -> int:
    context.need_real_root("audit run")
    layout = context.layout
    begun = time.monotonic()
    scene = Scene(layout, Kept(layout, full=args.full), full=args.full)
    main = scene.configuration.main
    checks, errors = table.all_checks(main.third_party_checks)
    scene.errors += errors
    result = run_checks(scene, checks)
    done = periodic.finish(layout, main, report.facts(result), scene.now, time.monotonic() - begun)
    context.facts({**done.facts, **_became(done.found)}, telling.lines(done.facts, done.found))
    for error in done.errors:
        for line in error.lines():
            context.tell(line)
    return EXIT_BLIND if done.errors else result.exit_code


def _show(args: argparse.Namespace, context: Context) -> int:
    context.need_root("audit show")
    if args.list:
        if args.run is not None:
            raise UsageError("--list", "cannot be combined with RUN")
        return _list(context)
    facts = history.read(context.layout, history.pick(context.layout, args.run))
    context.facts(facts, _run_lines(facts))
    return EXIT_OK


def _list(context: Context) -> int:
    rows = []
    code = EXIT_OK
    for run in history.runs(context.layout):
        try:
            facts = history.read(context.layout, run)
        except JailsshError as error:
            context.tell(error.lines()[0])
            code = EXIT_FAILED
            continue
        counts = Counter(each["severity"] for each in facts["findings"])
        row: dict[str, Any] = {"run": run.number, "when": facts["when"]}
        rows.append(row | {word.value: counts[word] for word in Severity})
    head = f"{'run':>5}  {'when':<20}  {'high':>6} {'medium':>6} {'low':>6}"
    shown = [f"{r['run']:>5}  {r['when']:<20}  {r['high']:>6} {r['medium']:>6} {r['low']:>6}" for r in rows]
    context.facts(rows, [head, *shown] if shown else ["no runs yet: jailssh audit run"])
    return code


def _run_lines(facts: Facts) -> list[str]:
    out = [f"run {facts['number']} of {facts['when']}, {pluralize(facts['accounts'], 'account')} in jails"]
    for each in facts["findings"]:
        out.append(f"{each['severity']:<6} {each['id']}  {escape(each['object'], 200)}: {escape(each['what'], 600)}")
        out.append(f"       since {each['since'][:10]}; cure: {escape(each['cure'], 600)}")
    out += [f"not looked at: {escape(one['what'])}: {escape(one['why'])}" for one in facts["unseen"]]
    return [*out, f"{pluralize(len(facts['findings']), 'finding')}, {len(facts['suppressed'])} suppressed"]


def _diff(args: argparse.Namespace, context: Context) -> int:
    context.need_root("audit diff")
    layout = context.layout
    runs = history.runs(layout)
    old, new = history.pick(layout, args.old), history.pick(layout, args.new)
    if old.number >= new.number:
        raise UsageError("audit diff", f"run {old.number} is not older than run {new.number}")
    before = []
    for run in runs:
        if run.number < old.number:
            with suppress(JailsshError):  # It only tells what is new from what is back.
                before.append(history.read(layout, run))
    facts = history.read(layout, new)
    found = compare(facts, [*before, history.read(layout, old)])
    context.facts(_became(found), telling.lines(facts, found))
    return EXIT_FAILED if found.worse else EXIT_OK


def _became(found: Comparison) -> dict[str, list[Facts]]:
    return {"new": list(found.new), "back": list(found.back), "mended": list(found.mended)}


ACTIONS: dict[str, Callable[[argparse.Namespace, Context], int]] = {"run": _run, "show": _show, "diff": _diff}
