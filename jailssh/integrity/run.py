"""Run checks: each by itself, so that one which cannot look takes no other down."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from jailssh.core.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, HostError, JailsshError, distinct, parts
from jailssh.core.names import escape
from jailssh.integrity import suppressions
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Severity
from jailssh.integrity.scene import Scene
from jailssh.integrity.suppressions import Sorted

_RANK = {severity: rank for rank, severity in enumerate((Severity.HIGH, Severity.MEDIUM, Severity.LOW))}
_MOST_SAID = 5
MOST_ALIKE = 50
"""So many findings of a kind are told of one account, which can make any number of them."""
EXIT_BLIND = EXIT_USAGE
"""Something could not be looked at, so that nobody may take the result for all there is."""


@dataclass(frozen=True)
class Result:
    """What a run found, sorted, and what it could not look at.  ``checks``: their names; ``accounts``: how many."""

    sorted: Sorted
    blind: tuple[JailsshError, ...]
    checks: tuple[str, ...]
    accounts: int
    when: float

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is not suppressed."""
        return self.sorted.findings

    @property
    def exit_code(self) -> int:
        """The exit status: 2 for a run that could not look at all, 1 for findings, else 0."""
        return EXIT_BLIND if self.blind else EXIT_FAILED if self.findings else EXIT_OK


def run(scene: Scene, checks: Sequence[Check]) -> Result:
    """Run ``checks`` and return what they found, the worst first."""
    found: list[Finding] = []
    with ExitStack() as begun:
        for check in checks:
            if check.begin is not None:
                with _looking(scene, check):
                    begun.enter_context(check.begin(scene))
        for check in checks:
            with _looking(scene, check):
                found += [each for each in check.judge(check.collect(scene)) if scene.shows(each.account, each.jail)]
    known = {kind.id for check in checks for kind in check.kinds}
    # The file may name what another run finds.
    rules = [each for each in suppressions.load(scene.layout, scene.errors) if each.id in known]
    once = _once(found)
    today = datetime.datetime.fromtimestamp(scene.now).astimezone().date()
    ordered = sorted(once, key=lambda each: (_RANK[each.kind.severity], each.kind.id, each.object, each.path))
    sorted_out = suppressions.apply(rules, ordered, today)
    sorted_out = replace(sorted_out, findings=_bounded(sorted_out.findings))
    accounts = 0 if scene.directory else len(scene.jailed)
    try:
        if not scene.directory:
            scene.kept.save(whole=not scene.narrow)
    except (JailsshError, OSError) as error:
        # The result stands; the next run has more to do.
        scene.unseen(error if isinstance(error, JailsshError) else HostError("what is kept", str(error)))
    names = tuple(check.name for check in checks)
    return Result(sorted_out, tuple(distinct(scene.errors)), names, accounts, scene.now)


@contextmanager
def _looking(scene: Scene, check: Check) -> Iterator[None]:
    """Note what a check cannot look at."""
    try:
        yield
    except JailsshError as error:
        scene.errors += parts(error)
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else "system call"
        scene.unseen(HostError(f"check {check.name}", f"{escape(where)}: {(error.strerror or str(error)).lower()}"))
    # One with a fault of its own, a third party's or ours, must not take down what the others say.
    except Exception as error:
        why = f"unexpected error: {type(error).__name__}: {escape(str(error), 300)}"
        scene.unseen(HostError(f"check {check.name}", why, hint="the check is at fault"))


def _bounded(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return at most :data:`MOST_ALIKE` of a kind for one account; the last says how many more there are."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for each in found:
        alike.setdefault((each.kind.id, each.account), []).append(each)
    left_out = set()
    last = {}
    for (_, account), group in alike.items():
        if account and len(group) > MOST_ALIKE:
            left_out |= {each.fingerprint for each in group[MOST_ALIKE:]}
            last[group[MOST_ALIKE - 1].fingerprint] = f"; and {len(group) - MOST_ALIKE} more of account {account}"
    return tuple(
        replace(each, what=each.what + last.get(each.fingerprint, ""))
        for each in found
        if each.fingerprint not in left_out
    )


def _once(found: Sequence[Finding]) -> list[Finding]:
    """Return each finding once; what several say of the same kind, object and path is said by one, and not lost."""
    groups: dict[str, list[Finding]] = {}
    for each in found:
        groups.setdefault(each.fingerprint, []).append(each)
    return [_together(group) for group in groups.values()]


def _together(group: Sequence[Finding]) -> Finding:
    words = dict.fromkeys(each.what for each in group)
    cures = dict.fromkeys(each.remedy for each in group)
    if len(words) == 1:
        return group[0]
    return replace(group[0], what=_joined(list(words)), cure=_joined(list(cures)))


def _joined(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _MOST_SAID} more" if texts[_MOST_SAID:] else ""
    return "; ".join(texts[:_MOST_SAID]) + more
