"""The rule grammar of the allow-list.

A :class:`Rule` describes one way to use one program: the first word in all its spellings, the words that must
follow, the options that may appear, the operands, and the argument vector that is executed.  Whatever a rule does
not describe is denied.  Plugins build rules, :func:`check_rules` refuses impossible sets, :func:`rule_records`
turns them into plan records; only the C matcher (``login/match.c``) ever decides about a command.

Executed argv: ``[argv0, *fixed, *literals, *options as sent, *insert, mark, *operands]``.

Value classes (``cls``), one text token:

========================  =====================================================================================
``flag``                  no value (long options only)
``int:MIN:MAX``           decimal integer in the range
``size:MAX``              number with optional fraction and unit suffix as rsync writes sizes (``1.5m``, ``2G-1``)
``word``                  1-255 bytes of ``[A-Za-z0-9_.,:+@%=-]``, not beginning with ``-``
``text``                  up to 1024 printable bytes (0x20-0x7e and UTF-8 above)
``enum:a,b,c``            exactly one of these
``path``                  a path at or below one of the rule's roots, after ``~/`` and relative paths are resolved
``capabilities``          rsync's tail of a short cluster: ``[0-9]*.[A-Za-z]*`` behind ``-e``
========================  =====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute

_WORD = re.compile(r"[a-z0-9./][a-z0-9._/-]*( [a-z0-9][a-z0-9._-]*)?\Z")
_LONG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_LETTERS = re.compile(r"[A-Za-z0-9@]*\Z")
_CLASS = re.compile(
    r"(flag|int:-?\d{1,9}:-?\d{1,10}|size:\d{1,18}|word|text|enum:[A-Za-z0-9_.,-]+|path|capabilities)\Z"
)
UNBOUNDED = 1024
"""The most operands any rule takes; a command cannot hold more (64 KiB)."""


@dataclass(frozen=True)
class Rule:
    """One allowed use of one program.  Text fields hold printable text; paths are clean absolute jail paths."""

    id: str
    plugin: str
    program: str
    words: tuple[str, ...]
    argv0: str = ""
    fixed: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()
    ignore_rest: bool = False
    letters: str = ""
    need: str = ""
    tail: tuple[str, str] | None = None
    shorts: tuple[tuple[str, str], ...] = ()
    longs: tuple[tuple[str, str], ...] = ()
    insert: tuple[str, ...] = ()
    mark: str = ""
    dashdash: bool = False
    operands: tuple[int, int, str] = (0, 0, "text")
    base: str = ""
    roots: tuple[str, ...] = ()
    glob: bool = False
    env: tuple[tuple[str, str], ...] = ()
    interactive: bool = False


def rule_records(rule: Rule) -> Iterator[tuple[str, ...]]:
    """Yield the plan records of ``rule`` as ``(verb, argument…)`` in the order that the plan demands."""
    yield ("rule", rule.id, rule.plugin, rule.program)
    if rule.interactive:
        yield ("interactive",)
    for word in rule.words:
        yield ("word", word)
    yield ("argv0", rule.argv0 or rule.program.rsplit("/", 1)[-1])
    for text in rule.fixed:
        yield ("fixed", text)
    for text in rule.literals:
        yield ("literal", text)
    if rule.ignore_rest:
        yield ("ignore-rest",)
    if rule.letters:
        yield ("letters", rule.letters)
    if rule.need:
        yield ("need", rule.need)
    if rule.tail:
        yield ("tail", *rule.tail)
    for letter, cls in rule.shorts:
        yield ("short", letter, cls)
    for name, cls in rule.longs:
        yield ("long", name, cls)
    for text in rule.insert:
        yield ("insert", text)
    if rule.mark:
        yield ("mark", rule.mark)
    if rule.dashdash:
        yield ("dashdash",)
    low, high, cls = rule.operands
    yield ("operands", str(low), str(high), cls)
    if rule.base:
        yield ("base", rule.base)
    for root in rule.roots:
        yield ("below", root)
    if rule.glob:
        yield ("glob",)
    for name, value in rule.env:
        yield ("rule-env", name, value)


def check_rules(rules: Iterable[Rule]) -> None:
    """Raise :class:`ConfigError` when a rule cannot work or two rules can match the same command.

    Two rules may share a first word only if their literals or needed letters keep them apart (``rsync --server``
    against ``rsync --server --sender``; ``scp -t`` against ``scp -f``).
    """
    rules = list(rules)
    seen: dict[str, Rule] = {}
    for rule in rules:
        _check_rule(rule)
        if rule.id in seen:
            raise ConfigError(f"rule {rule.id}", f"defined twice, by plugins {seen[rule.id].plugin} and {rule.plugin}")
        seen[rule.id] = rule
    for index, first in enumerate(rules):
        for second in rules[index + 1 :]:
            shared = sorted(set(first.words) & set(second.words))
            if shared and not _apart(first, second):
                raise ConfigError(
                    f"rules {first.id} and {second.id}",
                    f"both claim {shared[0]!r} and nothing tells them apart",
                    hint="give only one of the plugins to this jail",
                )
            if first.interactive and second.interactive:
                raise ConfigError(f"rules {first.id} and {second.id}", "both are for an interactive login")


def _apart(first: Rule, second: Rule) -> bool:
    """True if no command line can match both rules."""
    if first.ignore_rest or second.ignore_rest:
        return False
    for one, other in ((first, second), (second, first)):
        # A needed letter that the other rule does not take at all tells them apart.
        if set(one.need) - set(other.letters):
            return True
        if len(one.literals) > len(other.literals) and one.literals[: len(other.literals)] == other.literals:
            # "--server --sender" against "--server": apart if the shorter rule takes no such option.
            extra = one.literals[len(other.literals)]
            if extra.startswith("--") and extra[2:] not in dict(other.longs):
                return True
    return any(a != b for a, b in zip(first.literals, second.literals, strict=False))


def _check_rule(rule: Rule) -> None:
    def bad(why: str) -> ConfigError:
        return ConfigError(f"rule {rule.id} of plugin {rule.plugin}", why)

    if not rule.words and not rule.interactive:
        raise bad("has no first word, so nothing can match it")
    for word in rule.words:
        if not _WORD.match(word):
            raise bad(f"{word!r} cannot be a first word")
    if not is_clean_absolute(rule.program):
        raise bad(f"program {rule.program!r} is not a plain absolute path")
    if len(set(rule.words)) != len(rule.words):
        raise bad("a first word is given twice")
    for letters in (rule.letters, rule.need, *(letter for letter, _ in rule.shorts)):
        if not _LETTERS.match(letters) or len(set(letters)) != len(letters):
            raise bad(f"{letters!r} is not a set of option letters")
    if set(rule.need) - set(rule.letters):
        raise bad(f"needs letters {rule.need!r} that it does not allow")
    names = [name for name, _ in rule.longs]
    for name in names:
        if not _LONG.match(name):
            raise bad(f"{name!r} is not a long option's name")
    if len(set(names)) != len(names):
        raise bad("a long option is given twice")
    taken = [cls for _, cls in rule.shorts] + [cls for _, cls in rule.longs] + [rule.operands[2]]
    for cls in taken:
        if not _CLASS.match(cls):
            raise bad(f"{cls!r} is not a value class")
    if "path" in taken and rule.operands[1] != 0 and not rule.roots:
        raise bad("takes paths but names no directory that they may be in")
    for root in (*rule.roots, *([rule.base] if rule.base else [])):
        if not is_clean_absolute(root):
            raise bad(f"{root!r} is not a plain absolute path")
    low, high, _ = rule.operands
    if not 0 <= low <= high <= UNBOUNDED:
        raise bad(f"operand counts {low} to {high} are impossible")
