"""The rules of gitolite for references as rights of ours: in the same order, and never more than the rules give.

For each thing that a push can do to a reference the first rule decides that fits the reference and gives it, or denies:
as with our lines.  A rule that gives something and cannot be said is left out, so that a later one decides, which gives
no more.  One that takes something away takes more, or what stands behind it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.gitolite.access import CHECK, gives_all, is_on, ref_of
from jailssh.gitolite.conf import Rule
from jailssh.gitolite.patterns import patterns, plain_dots, wide_dots
from jailssh.plugin.api import RefRight


class Why(Word):
    """Why a rule is not carried over as it is."""

    CHECK = "check"  # a program looks at what is pushed: nothing is given
    PATTERN = "pattern"  # it gives something, and is left out
    DENIES = "denies"  # it takes something away, and what stands behind it is left out
    MERGES = "merges"  # commits with and without several parents are told apart
    DOTS = "dots"  # it gives something, and a dot stands for a dot alone
    WIDER = "wider"  # it takes something away, and a dot stands for any text


@dataclass(frozen=True)
class Step:
    """What one rule gives, or takes away, by patterns of references; ``ref``: gitolite's pattern, for one user."""

    rule: Rule
    ref: str
    rights: tuple[RefRight, ...]
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Carried:
    """What one user gets of a repository: the steps in their order, and the rules that are not as before."""

    steps: tuple[Step, ...]
    lost: tuple[tuple[Rule, Why], ...]

    @property
    def gives(self) -> bool:
        """True if something is given."""
        return any(RefRight.DENY not in step.rights for step in self.steps)


def carried(rules: list[Rule], user: str, options: Mapping[str, str]) -> Carried:
    """Return what the rules for a user and a repository, in the order of the file, come to."""
    if checks := [rule for rule in rules if rule.ref.startswith(CHECK)]:
        return Carried((), tuple((rule, Why.CHECK) for rule in checks))
    steps: list[Step] = []
    lost: list[tuple[Rule, Why]] = []
    since = 0, 0  # behind the last step that denies: what comes before one that gives everything adds nothing
    for rule in rules:
        denies = rule.perm == "-"
        rights = (RefRight.DENY,) if denies else _rights(rule.perm, options)
        if not denies and gives_all(rule, user, options):
            del steps[since[0] :], lost[since[1] :]
            steps.append(Step(rule, ref_of(rule, user), rights, ("refs/**",)))
            break
        if "W" in rule.perm and not {RefRight.PUSH, RefRight.REWIND} & {*rights}:
            lost.append((rule, Why.MERGES))
        if not rights:
            continue
        found, why = _patterns(ref_of(rule, user), denies=denies)
        if why:
            lost.append((rule, why))
        if why is Why.DENIES:
            break
        if found:
            steps.append(Step(rule, ref_of(rule, user), rights, found))
        if denies:
            since = len(steps), len(lost)
    return Carried(tuple(steps), tuple(lost))


def _patterns(ref: str, *, denies: bool) -> tuple[tuple[str, ...], Why | None]:
    found = patterns(ref)
    if found is not None:
        return found, None
    found = patterns((wide_dots if denies else plain_dots)(ref))
    if denies:
        return ((), Why.DENIES) if found is None else (found, Why.WIDER)
    return (found, Why.DOTS) if found else ((), Why.PATTERN)


def _rights(perm: str, options: Mapping[str, str]) -> tuple[RefRight, ...]:
    """Return what a rule that gives something gives: in gitolite making is W, deleting is +, unless an option says."""
    found: list[RefRight] = []
    if "W" in perm and ("M" in perm or not is_on(options, "MERGE_CHECK")):
        found.append(RefRight.REWIND if "+" in perm else RefRight.PUSH)
    if "W" in perm and ("C" in perm or not is_on(options, "CREATE_IS_C")):
        found.append(RefRight.CREATE)
    if ("D" if is_on(options, "DELETE_IS_D") else "+") in perm:
        found.append(RefRight.DELETE)
    return tuple(found)
