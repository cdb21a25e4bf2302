"""Run other projects' own tests in an account with a jail and in one without, and tell each difference with its reason.

    python -m tests.suites [--list] [--suite NAME]...

Exits with 1 where a difference has no reason in tests/suites/reasons.py, or a reason there no difference, and with 2
when a suite cannot be run here.  Sources come from the mirror of the host's apt; they, and all that is made of them, go
at the end.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from jailssh.core.errors import JailsshError
from tests.suites.reasons import REASONS
from tests.suites.results import OK, Judged, Results, compare, judge
from tests.suites.site import FREE, JAILED, Site, open_site
from tests.suites.sources import Mirror
from tests.suites.suites import SUITES, Run, Suite


def _results(site: Site, suite: Suite, run: Run, account: str) -> dict[str, str]:
    command = f"export LANG=C.UTF-8; cd ~/{suite.name} || exit\n{run.command.replace('{account}', account)}"
    found = run.read(site.run(account, command, run.seconds, outside=run.outside))
    return {f"{run.title}: {name}" if run.title else name: word for name, word in found.items()}


def _report(free: Results, jailed: Results, judged: Judged) -> None:
    counts = Counter(word for name, word in free.items() if jailed.get(name) == word)
    print(f"  {len({**free, **jailed})} tests; alike: {', '.join(f'{n} {word}' for word, n in counts.most_common())}")
    for why, rows in judged.explained.items():
        print(f"  {len(rows)} differ: {why}", *rows, sep="\n    ")
    for title, found in (("without a reason", judged.unexplained), ("a reason without a difference", judged.unused)):
        if found:
            print(f"  {len(found)} {title}:", *found, sep="\n    ")
    sys.stdout.flush()


def _run(site: Site, mirror: Mirror, suite: Suite) -> bool:
    """Run a suite in both accounts, print what differs; return whether all of it has a reason, and no more has one."""
    print(f"{suite.name}: {suite.what}", flush=True)
    site.put(suite.prepare(mirror), suite.name)
    free: dict[str, str] = {}
    jailed: dict[str, str] = {}
    silent = []
    for run in suite.runs:
        with ThreadPoolExecutor() as both:  # side by side: much of a suite is waiting
            one, other = both.map(partial(_results, site, suite, run), (FREE, JAILED))
        silent += [] if one else [run.title or run.command]
        free |= one
        jailed |= other
    site.take(suite.name)
    if OK not in free.values():
        raise JailsshError(suite.name, "no test of it passes in the account without a jail")
    judged = judge(suite.name, compare(suite.name, free, jailed), REASONS)
    _report(free, jailed, judged)
    # What says nothing in either account has not been run.
    if silent:
        print(f"  {len(silent)} without any result:", *silent, sep="\n    ", flush=True)
    return judged.good and not silent


def main() -> int:
    """Do what the module's docstring says."""
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(
        prog="python -m tests.suites", description="other projects' tests, in a jail and not"
    )
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--suite", choices=names, action="append", help="run this alone; may be repeated")
    args = parser.parse_args()
    if args.list:
        print(*(f"{suite.name:10} {suite.what}" for suite in SUITES), sep="\n")
        return 0
    good = True
    try:
        with tempfile.TemporaryDirectory(prefix="jailssh-suites-", dir="/var/tmp") as name:
            room = Path(name)
            room.chmod(0o755)
            with open_site(room) as site:
                for suite in SUITES:
                    if not args.suite or suite.name in args.suite:
                        with tempfile.TemporaryDirectory(prefix=f"{suite.name}-", dir=room) as place:
                            Path(place).chmod(0o755)
                            good = _run(site, Mirror(Path(place)), suite) and good
    except JailsshError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return 2
    return 0 if good else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything goes
    sys.exit(main())
