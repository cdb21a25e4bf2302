"""``jailssh check``: is every jail as it was made, every jailed account really jailed, by every way in?"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence

from jailssh.checks import table
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, JailsshError, UsageError, raise_all
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.integrity import report
from jailssh.integrity.check import Check
from jailssh.integrity.finding import FAMILIES
from jailssh.integrity.kept import Kept
from jailssh.integrity.run import Result
from jailssh.integrity.run import run as run_checks
from jailssh.integrity.scene import Scene
from jailssh.jail.configuration import load_configuration
from jailssh.setup import setup

EXAMPLES = (
    "jailssh check",
    "jailssh check alice sftp-only",
    "jailssh check --all --full --sarif",
    "jailssh check --html",
    "jailssh check --fix",
    "jailssh check --list",
    "jailssh check --dir /srv/chroot",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Look for whatever is weaker than it should be: images, accounts in jails, sshd, PAM, other ways to run\n"
        "something, the host and the installation, the configuration.  Without --fix nothing is changed.\n"
        "Exit status 0: nothing found; 1: findings; 2: a part was not looked at."
    )
    parser.add_argument("names", nargs="*", metavar="JAIL|USER", help="what to look at (default: everything)")
    parser.add_argument("--all", action="store_true", help="look at everything, as without a name")
    parser.add_argument("--full", action="store_true", help="believe nothing of earlier runs: read every file again")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended safely; jailssh recover undoes an"
                        " interrupted one")  # fmt: skip
    parser.add_argument("--dir", metavar="DIR", help="look at a chroot that is not of jailssh, as jk_check does")
    parser.add_argument("--list", action="store_true", help="list what can be found, with the cure")
    parser.add_argument("--sarif", action="store_true", help="print the result as SARIF 2.1.0")
    parser.add_argument("--html", action="store_true", help="print the result as a page of HTML, with the trend over"
                        " the runs of the audit")  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    """List, look, mend."""
    if args.fix and args.names:
        why = "cannot be combined with names: it mends shells and images of everybody"
        raise UsageError("--fix", why, hint="jailssh check --fix")
    if args.all and args.names:
        raise UsageError("--all", "cannot be combined with names")
    if (args.sarif or args.html) and context.json:
        raise UsageError("--sarif" if args.sarif else "--html", "cannot be combined with --json")
    if args.sarif and args.html:
        raise UsageError("--sarif", "cannot be combined with --html")
    if args.list and args.html:
        raise UsageError("--list", "cannot be combined with --html")
    if args.list:
        return _list(context)
    if args.dir is not None:
        if args.names or args.fix or args.all:
            raise UsageError("--dir", "cannot be combined with names, --all or --fix")
        context.need_root("check")
        from jailssh.checks import chroot

        checks = [chroot.CHECK]
        scene = Scene(context.layout, Kept(context.layout, full=True), directory=args.dir)
        return _show(run_checks(scene, checks), checks, args, context)
    context.need_real_root("check")
    if not setup.was_run(context.layout):
        raise UsageError(
            "check", "this host is not set up for jails", hint="jailssh setup, or for another chroot: --dir"
        )
    scene = scene_of(context, args.names, full=args.full)
    checks, errors = table.all_checks(scene.configuration.main.third_party_checks)
    scene.errors += errors
    result = run_checks(scene, checks)
    if args.fix and result.findings:
        mended = _fix(scene, checks, result, context)
        if mended:
            result = run_checks(scene_of(context, args.names, full=False), checks)
    return _show(result, checks, args, context)


def scene_of(context: Context, names: Sequence[str], *, full: bool) -> Scene:
    """Return the scene of a run; each of ``names`` is a jail or an account."""
    scene = Scene(context.layout, Kept(context.layout, full=full), full=full)
    errors: list[JailsshError] = []
    for name in names:
        if name in scene.configuration.documents:
            scene.jails.add(name)
        elif accounts.find(name) is not None:
            scene.users.add(name)
        else:
            errors.append(UsageError(escape(name, 60), "is neither a jail nor an account", hint="jailssh list"))
    raise_all(errors)
    return scene


def _fix(scene: Scene, checks: Sequence[Check], result: Result, context: Context) -> bool:
    """Mend what can be; a fix that fails is told, and the others go on."""
    mended = False
    for check in checks:
        for name, fix in check.fixes.items():
            findings = [each for each in result.findings if each.kind.id == name]
            if not findings:
                continue
            try:
                lines = fix(scene, findings)
            except JailsshError as error:
                for line in error.lines():
                    context.tell(line)
                continue
            mended = True
            context.changed([f"{name}: {line}" for line in lines], {}) if not context.json else None
    return mended


def _show(result: Result, checks: Sequence[Check], args: argparse.Namespace, context: Context) -> int:
    if args.sarif:
        print(json.dumps(report.sarif(result, checks), indent=2))
    elif args.html:
        print(_page(result, args, context), end="")
    else:
        context.facts(report.facts(result), report.lines(result))
    for error in result.blind:
        for line in error.lines():
            context.tell(line.replace("jailssh: ", "could not look: ", 1))
    return result.exit_code


def _page(result: Result, args: argparse.Namespace, context: Context) -> str:
    """Return the result as a page; what is compared with earlier runs is only a run of everything."""
    # A run that prints no page starts without what makes one.
    from jailssh.audit import history, page

    errors: list[JailsshError] = []
    whole = not args.names and args.dir is None
    earlier = history.readable(context.layout, errors, page.MOST_RUNS) if whole else []
    notes = [line for error in errors for line in error.lines()[:1]]
    for note in notes:
        context.tell(note)
    what = args.dir or ", ".join(args.names)
    subject = f"{what} on {os.uname().nodename}" if what else os.uname().nodename
    told = page.Report(subject, result.when, report.facts(result), earlier, notes=notes)
    return page.page(told)


def _list(context: Context) -> int:
    checks, errors = table.all_checks(load_configuration(context.layout).main.third_party_checks)
    rows = sorted(((kind, check) for check in checks for kind in check.kinds), key=lambda row: row[0].id)
    facts = [
        {"id": kind.id, "severity": kind.severity, "check": check.name, "title": kind.title, "why": kind.why,
         "cure": kind.cure, "fix": kind.id in check.fixes}
        for kind, check in rows
    ]  # fmt: skip
    lines: list[str] = []
    for digit, family in FAMILIES.items():
        lines.append(f"{family}:")
        lines += [
            f"  {kind.id} {kind.severity:<6} {kind.title}" for kind, _ in rows if kind.id.startswith(f"JSH-{digit}")
        ]
    lines += [f"{kind.id} {kind.severity:<6} {kind.title}" for kind, _ in rows if not kind.id.startswith("JSH-")]
    context.facts(facts, lines)
    raise_all(errors)
    return EXIT_OK
