"""What a plan means for one command: the rule's environment, and where the paths that it names lead.  Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.core.closed import Shown
from jailssh.core.names import JailPath, is_below
from jailssh.plan.codec import Plan
from jailssh.plan.ops import Record
from jailssh.policy.value_class import Kind, parse_class


@dataclass(frozen=True)
class Place:
    """A path inside the jail, the mount that it lands in (``what`` for people), and what may be done there."""

    path: JailPath
    what: str
    rights: str
    executable: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.what}, {self.rights}"


def rule_records_of(plan: Plan, rule: str) -> tuple[Record, ...]:
    """Return the records that describe the rule with this id, its head first; none for an unknown one."""
    found: list[Record] = []
    for record in plan.records:
        if record.verb == "rule":
            if found:
                break
            if record.args[0] == rule:
                found.append(record)
        elif found:
            found.append(record)
    return tuple(found)


def values_of(records: Sequence[Record], verb: str) -> list[tuple[str, ...]]:
    """Return the arguments of every record with this verb."""
    return [record.args for record in records if record.verb == verb]


def rule_environment(plan: Plan, rule: str, path: JailPath) -> dict[str, str]:
    """Return the variables that a rule adds; ``%p`` at a value's beginning is the command's first ``path``."""
    pairs = values_of(rule_records_of(plan, rule), "rule-env")
    return {name: path + value[2:] if value.startswith("%p") else value for name, value in pairs}


def place_of(plan: Plan, path: JailPath) -> Place:
    """Return where the absolute ``path`` leads: the deepest mount above it, the last one of those at one place."""
    found, depth = Place(path, "the jail's image", "read-only", True), 0
    home = (plan.first("home") or ("",))[0]
    for record in plan.records:
        if record.verb == "rule":
            break
        for target, place in _mounts(record, path, home):
            if is_below(path, target) and len(target) >= depth:
                found, depth = place, len(target)
    return found


def _mounts(record: Record, path: JailPath, home: str) -> list[tuple[str, Place]]:
    """Return the mount points that a record makes, each with what ``path`` would be if it is below."""
    args = record.args
    if record.verb == "tmpfs":
        own = "private and empty at each login" if args[3] == "rw" else "only the path to other mounts"
        return [(args[0], Place(path, own, _rights(args[3]), args[4] == "exec"))]
    if record.verb == "bind":
        what = "home" if args[1] == home else f"{args[0]} of this host"
        if args[5] == "optional":
            what += " (if it exists)"
        return [(args[1], Place(path, what, _rights(args[2]), args[3] == "exec"))]
    if record.verb in ("mask", "mask-file"):
        return [(args[0], Place(path, "hidden", "neither readable nor writable", False))]
    if record.verb == "dev":
        return [("/dev", Place(path, "the jail's own devices", "read-write", False))]
    if record.verb == "proc":
        return [("/proc", Place(path, "the jail's own processes", "read-only", False))]
    return []


def _rights(mode: str) -> str:
    return "read-write" if mode == Shown.WRITABLE else "read-only"


def paths_of(plan: Plan, rule: str, argv: Sequence[str]) -> list[JailPath]:
    """Return the paths among the words that ``rule`` executes, absolute; one relative to an operand is left out.

    ``argv`` is what the matcher made of the command (:mod:`jailssh.policy.rules`), so it fits the rule.
    """
    records = rule_records_of(plan, rule)
    kinds = {name: _kind(cls) for verb in ("long", "short") for name, cls in values_of(records, verb)}
    of_operands = [_kind(args[-1]) for verb in ("operand", "operands") for args in values_of(records, verb)]
    if Kind.PATH not in (*of_operands, *kinds.values()):
        return []
    tails = {args[0] for args in values_of(records, "tail")}
    fixed = 1 + len(values_of(records, "fixed")) + len(values_of(records, "literal"))
    last = [args[0] for verb in ("insert", "mark") for args in values_of(records, verb)]
    found, operands = _options(list(argv[fixed:]), kinds, tails, last)
    home = (plan.first("home") or ("/",))[0]
    base = next((args[0] for args in values_of(records, "base")), home)
    out = [_absolute(text, home, "") for text in found]
    # The last one is of all operands that have none of their own.
    of_each = of_operands + of_operands[-1:] * len(operands)
    out += [_absolute(text, home, base) for text, kind in zip(operands, of_each, strict=False) if kind is Kind.PATH]
    return list(dict.fromkeys(path for path in out if path))


def patterns_of(plan: Plan, rule: str, path: JailPath) -> list[str]:
    """Return the patterns of repositories by which ``rule`` takes ``path``; none for a rule without any."""
    name = path.removesuffix(".git")
    patterns = [args[0] for args in values_of(rule_records_of(plan, rule), "like")]
    return [pattern for pattern in patterns if any(_is_like(each, pattern) for each in {path, name})]


def _is_like(path: str, pattern: str) -> bool:
    """True if ``path``, which the matcher has taken, fits this pattern among others of its rule."""
    deep = pattern.endswith("/**")
    wanted, parts = pattern.removesuffix("/**").split("/"), path.split("/")
    if len(parts) <= len(wanted) if deep else len(parts) != len(wanted):
        return False
    texts = [".*".join(map(re.escape, text.split("*"))) for text in wanted]
    return all(re.fullmatch(text, part) for text, part in zip(texts, parts, strict=False))


def _options(words: list[str], kinds: dict[str, Kind], tails: set[str], last: list[str]) -> tuple[list[str], list[str]]:
    """Return the values of class path among the options, and the operands; ``last`` stands between the two."""
    found: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if last and words[at : at + len(last)] == last:
            return found, words[at + len(last) :]
        if not word.startswith("-") or word == "-":
            break
        at += 1
        name, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            name, value = _cluster(word[1:], kinds, tails)
            equals = value
        if kinds.get(name, Kind.FLAG) is Kind.FLAG:
            continue
        if not equals and at < len(words):
            value, at = words[at], at + 1
        if kinds[name] is Kind.PATH:
            found.append(value)
    return found, words[at:]


def _cluster(letters: str, kinds: dict[str, Kind], tails: set[str]) -> tuple[str, str]:
    """Return the letter of a cluster that takes a value, and what is glued to it; two empty texts for none."""
    for place, letter in enumerate(letters):
        if letter in tails:
            break  # All that follows is glued to it, and no path.
        if letter in kinds:
            return letter, letters[place + 1 :]
    return "", ""


def _kind(text: str) -> Kind:
    return parse_class(text).kind


def _absolute(text: str, home: str, base: str) -> JailPath:
    """Return the path that the matcher judged; "" for a relative one without a ``base``."""
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    if not text.startswith("/"):
        if not base:
            return JailPath("")
        text = f"{base}/{text}"
    return JailPath("/" + posixpath.normpath(text).lstrip("/"))
