"""The rule grammar of the allow-list.

A :class:`Rule` describes one way to use one program: the first word in all its spellings, the words that must
follow, the options that may appear, the operands, and the argument vector that is executed.  Whatever a rule does
not describe is denied.  Plugins build rules, :func:`check_rules` refuses impossible sets, :func:`rule_records`
turns them into plan records; only the C matcher (``login/command/match.c``) ever decides about a command.

Executed argv: ``[argv0, *argv_prefix, *literal_words, *options as sent, *argv_insert, operand_marker, *operands]``.

Repositories.  The path rules are those of ``path``; besides, no component is ``.git``, and below the root none
begins with a dot or a dash.  git opens the first git directory among ``NAME/.git``, ``NAME``, ``NAME.git/.git`` and
``NAME.git``; the matcher looks in the same order, resolves symbolic links, and judges and executes the one name that
is left: ``NAME`` or ``NAME.git`` with the last component as it is on the disk.  What git would only be referred to
(a ``.git`` that is a file or a link, a linked worktree) and what lies within another repository is none.

A pattern (``repository_patterns``) is compared with that name.  It also fits without the name's ``.git`` if git, asked
for that, would open the same repository: ``/srv/git/a`` fits ``/srv/git/a.git`` unless ``/srv/git/a`` is a repository
of its own, and ``/srv/git/a.git`` never fits ``/srv/git/a``.  The name as it was sent, with or without ``.git``, must
fit too, before anything is looked up: who may not read a repository does not learn from an alias that it exists.
Outside the jail, where nobody can look, this text alone decides.

Operands.  The first ones may each have a class of their own (``operand_classes``), the others are of the class in
``operands``, whose counts are of all of them.  The classes are those of :mod:`jailssh.policy.value_class`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute
from jailssh.policy.rule_fields import RULE_FIELDS
from jailssh.policy.rule_fields import UNBOUNDED as UNBOUNDED
from jailssh.policy.value_class import OPTIONS_ONLY, PATHS, REPOSITORIES, Kind, ValueClass, parse_class

_WORD = re.compile(r"[a-z0-9/][a-z0-9._/-]*( [a-z0-9][a-z0-9._-]*)?\Z")
ANY = "*"
"""As the only first word: the whole command, unsplit, is the last argument after ``argv_prefix``.  Such a rule is tried
after all others; it is for jails with a shell."""
_LONG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_REPLY_MAX = 200
"""Bytes of a reply, which is sent in one message."""
_LETTERS = re.compile(r"[A-Za-z0-9@]*\Z")
PRE_COMMAND_MAX = 30
"""The most words of what runs first."""


class RuleError(ConfigError):
    """A rule cannot work, or two rules cannot be in one jail; ``plugins`` are those that they are from."""

    def __init__(self, what: str, why: str, plugins: tuple[str, ...], hint: str = "") -> None:
        super().__init__(what, why, hint=hint)
        self.plugins = plugins


@dataclass(frozen=True)
class Rule:
    """One allowed use of one program.  Text fields hold printable text; paths are clean absolute jail paths.

    :data:`jailssh.policy.rule_fields.RULE_FIELDS` says what each field is for.
    """

    id: str
    plugin: str
    program: str
    command_names: tuple[str, ...]
    _: KW_ONLY
    interactive_login: bool = False
    argv0: str = ""
    argv_prefix: tuple[str, ...] = ()
    literal_words: tuple[str, ...] = ()
    ignore_arguments: bool = False
    short_flags: str = ""
    required_letters: str = ""
    required_options: tuple[str, ...] = ()
    single_use: tuple[str, ...] = ()
    cluster_tail: tuple[str, str] | None = None
    short_options: tuple[tuple[str, str], ...] = ()
    long_options: tuple[tuple[str, str], ...] = ()
    argv_insert: tuple[str, ...] = ()
    operand_marker: str = ""
    end_of_options: bool = False
    operand_classes: tuple[str, ...] = ()
    operands: tuple[int, int, str] = (0, 0, "text")
    relative_to: str = ""
    path_roots: tuple[str, ...] = ()
    repository_patterns: tuple[str, ...] = ()
    glob: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    pre_command: tuple[str, ...] = ()
    stderr_to_journal: bool = False
    builtin_reply: tuple[int, str] | None = None
    noexec: bool = False
    create_only: bool = False
    accessible_directories: tuple[tuple[str, bool], ...] = ()

    def class_of_operand(self, place: int) -> str:
        """Return the value class of an operand, the first being 0."""
        return self.operand_classes[place] if place < len(self.operand_classes) else self.operands[2]


def rule_records(rule: Rule) -> Iterator[tuple[str, ...]]:
    """Yield the plan records of ``rule`` as ``(verb, argument…)`` in the order that the plan demands."""
    values = vars(rule) | {"argv0": rule.argv0 or rule.program.rsplit("/", 1)[-1]}
    for row in RULE_FIELDS:
        yield from row.records(values)


def check_rules(rules: Iterable[Rule]) -> None:
    """Raise :class:`ConfigError` when a rule cannot work or two rules can match the same command.

    Two rules may share a first word only if their literals or needed options keep them apart (``rsync --server``
    against ``rsync --server --sender``; ``scp -t`` against ``scp -f``), a place where the one wants a repository
    that is there and the other one that is not, or how many operands they take.
    """
    rules = list(rules)
    seen: dict[str, Rule] = {}
    for rule in rules:
        _check_rule(rule)
        if rule.id in seen:
            before = seen[rule.id].plugin
            why = f"defined twice, by plugins {before} and {rule.plugin}"
            raise RuleError(f"rule {rule.id}", why, (before, rule.plugin))
        seen[rule.id] = rule
    for index, first in enumerate(rules):
        for second in rules[index + 1 :]:
            shared = _shared_word(first, second)
            why = f"both claim {shared!r} and cannot be told apart" if shared else ""
            if first.interactive_login and second.interactive_login:
                why = why or "both are for an interactive login"
            if why:
                both = (first.plugin, second.plugin)
                hint = "use only one of the plugins in this jail" if len(set(both)) > 1 else "remove one of them"
                raise RuleError(f"rules {first.id} and {second.id}", why, both, hint)


def _shared_word(first: Rule, second: Rule) -> str:
    """Return a spelling by which one command line could match both rules, or ``""``."""
    for word in first.command_names:
        for other in second.command_names:
            # A spelling of two words ("git upload-pack") begins with what another rule may take alone ("git").
            if word.split()[0] == other.split()[0] and not _apart(first, word, second, other):
                return word
    return ""


def _apart(first: Rule, first_word: str, second: Rule, second_word: str) -> bool:
    """True if no command line that begins with these spellings can match both rules."""
    heads = [(*word.split(), *rule.literal_words) for rule, word in ((first, first_word), (second, second_word))]
    if any(a != b for a, b in zip(*heads, strict=False)):
        return True
    if len(heads[0]) == len(heads[1]) and (_by_repository(first, second) or _by_count(first, second)):
        return True
    for (one, head), (other, rest) in (
        ((first, heads[0]), (second, heads[1])),
        ((second, heads[1]), (first, heads[0])),
    ):
        if other.ignore_arguments:
            continue
        # Where the one has more words, they are options or operands for the other.
        if len(head) == len(rest) and not one.ignore_arguments and _needs_a_stranger(one, other):
            return True
        # "--server --sender" against "--server": apart if the shorter rule takes no such option.
        if len(head) > len(rest):
            extra = head[len(rest)]
            if extra.startswith("--") and extra[2:] not in dict(other.long_options):
                return True
    return False


def _by_repository(first: Rule, second: Rule) -> bool:
    """True if one of the operands that both need is a repository for the one, and for the other is to become one."""
    if first.relative_to != second.relative_to or not _reads_alike(first, second) or not _reads_alike(second, first):
        return False
    both = min(first.operands[0], second.operands[0], max(len(first.operand_classes), len(second.operand_classes)) + 1)
    return any(
        {parse_class(rule.class_of_operand(place)).kind for rule in (first, second)} == REPOSITORIES
        for place in range(both)
    )


def _by_count(first: Rule, second: Rule) -> bool:
    """True if the one takes more operands than the other, and both read the same words as options."""
    if any(rule.ignore_arguments or rule.glob for rule in (first, second)):
        return False
    if first.operand_marker != second.operand_marker:
        return False
    counts = sorted((first.operands[:2], second.operands[:2]))
    return counts[0][1] < counts[1][0] and _reads_alike(first, second) and _reads_alike(second, first)


def _needs_a_stranger(one: Rule, other: Rule) -> bool:
    """True if ``one`` needs an option that ``other`` does not take, nor takes for anything else."""
    unknown = set(one.required_letters) - set(other.short_flags) - {letter for letter, _ in _value_letters(other)}
    return bool(unknown or set(one.required_options) - set(dict(other.long_options))) and _reads_alike(one, other)


def _reads_alike(one: Rule, other: Rule) -> bool:
    """True if what is an option for ``one`` is an option for ``other`` too, known or not, in every command for both.

    In "-St" the t is a letter for the one and S's value for the other; so is -t in "--name -t".  Where the one takes
    a value, that may be the first operand for the other, and all that follows be operands.
    """
    kinds, others = _kinds(one), _kinds(other)
    return not other.operand_marker.startswith("-") and all(
        others.get(each, kind) == kind for each, kind in kinds.items()
    )


def _kinds(rule: Rule) -> dict[str, str]:
    """Return how each option goes on: nothing, a value, a value that is always glued to it."""
    kinds = {f"-{letter}": "flag" for letter in rule.short_flags}
    kinds |= {f"-{letter}": "value" for letter, _ in rule.short_options}
    kinds |= {f"-{rule.cluster_tail[0]}": "tail"} if rule.cluster_tail else {}
    flag = Kind.FLAG
    return kinds | {
        f"--{name}": "flag" if parse_class(cls).kind is flag else "value" for name, cls in rule.long_options
    }


def _value_letters(rule: Rule) -> tuple[tuple[str, str], ...]:
    return rule.short_options + ((rule.cluster_tail,) if rule.cluster_tail else ())


def _bad(rule: Rule, why: str) -> RuleError:
    return RuleError(f"rule {rule.id} of plugin {rule.plugin}", why, (rule.plugin,))


def _check_rule(rule: Rule) -> None:
    if not rule.command_names and not rule.interactive_login:
        raise _bad(rule, "has no first word, so nothing can match it")
    if not is_clean_absolute(rule.program):
        raise _bad(rule, f"program {rule.program!r} is not a plain absolute path")
    if ANY in rule.command_names:
        whole = Rule(
            rule.id,
            rule.plugin,
            rule.program,
            (ANY,),
            argv0=rule.argv0,
            argv_prefix=rule.argv_prefix,
            environment=rule.environment,
        )
        if rule != replace(whole, operands=(0, UNBOUNDED, "text")):
            raise _bad(rule, f"{ANY!r} takes the whole command, so other words, options and operands are not allowed")
        return
    for word in rule.command_names:
        if not _WORD.match(word) or ("/" in word and not is_clean_absolute(word.split()[0])):
            raise _bad(rule, f"{word!r} cannot be a first word")
    if len(set(rule.command_names)) != len(rule.command_names):
        raise _bad(rule, "a first word is given twice")
    _check_options(rule)
    of_options = {_class(rule, text).kind for _, text in (*_value_letters(rule), *rule.long_options)}
    of_operands = _check_operands(rule)
    if not PATHS.isdisjoint(of_options | of_operands) and not rule.path_roots:
        raise _bad(rule, "takes paths but no directory is set for them")
    if not REPOSITORIES.isdisjoint(of_options):
        raise _bad(rule, "takes a repository as an option's value; only an operand can be one")
    _check_repositories(rule, repositories=not REPOSITORIES.isdisjoint(of_operands))
    _check_what_runs(rule)
    for root in (*rule.path_roots, *([rule.relative_to] if rule.relative_to else [])):
        if not is_clean_absolute(root):
            raise _bad(rule, f"{root!r} is not a plain absolute path")


def _class(rule: Rule, text: str) -> ValueClass:
    """Return the class that ``text`` names.  A word begins with no dash, so nothing fits a pattern that does."""
    try:
        found = parse_class(text)
    except ValueError as error:
        raise _bad(rule, str(error)) from None
    if found.pattern.startswith("-"):
        raise _bad(rule, f"{text!r} is not a value class")
    return found


def _check_operands(rule: Rule) -> set[Kind]:
    """Return what the classes are that operands can be of."""
    low, high, cls = rule.operands
    if not 0 <= low <= high <= UNBOUNDED:
        raise _bad(rule, f"operand counts {low} to {high} are impossible")
    if len(rule.operand_classes) > high:
        raise _bad(rule, f"has classes for {len(rule.operand_classes)} operands and takes {high}")
    if rule.operand_classes and rule.glob:
        raise _bad(rule, "expands file name patterns, so operands cannot have classes of their own")
    kinds = [_class(rule, text).kind for text in (*rule.operand_classes, cls)]
    if len(rule.operand_classes) == high:
        kinds.pop()
    for kind in kinds:
        if kind in OPTIONS_ONLY:
            raise _bad(rule, f"takes operands of class {kind.value}, which is for options only")
    return set(kinds)


def _check_repositories(rule: Rule, *, repositories: bool) -> None:
    if rule.repository_patterns and not repositories:
        raise _bad(rule, "has repository patterns but takes no repository")
    if repositories and rule.glob:
        raise _bad(rule, "expands file name patterns, but its operands are repositories")
    for path in (*rule.repository_patterns, *rule.path_roots) if repositories else ():
        if ".git" in path.split("/"):
            raise _bad(rule, f"{path!r}: '.git' cannot be part of a repository's name")
    for pattern in rule.repository_patterns:
        if why := _pattern_fault(pattern, rule.path_roots):
            raise _bad(rule, why)


@lru_cache(maxsize=1 << 13)
def _pattern_fault(pattern: str, roots: tuple[str, ...]) -> str:
    """Return what is wrong with a pattern, "" for nothing; kept, since the same ones stand in many rules."""
    if not is_clean_absolute(pattern):
        return f"{pattern!r} is not a plain absolute path with or without *"
    if "**" in pattern.removesuffix("/**"):
        return f"{pattern!r}: ** is allowed only as the last component"
    if not any(_reaches(pattern, root) for root in roots):
        return f"the pattern {pattern!r} matches nothing in the directories {', '.join(roots)}"
    return ""


def _check_what_runs(rule: Rule) -> None:
    if rule.pre_command and not is_clean_absolute(rule.pre_command[0]):
        raise _bad(rule, f"{rule.pre_command[0]!r}, which runs first, is not a plain absolute path")
    if len(rule.pre_command) > PRE_COMMAND_MAX:
        raise _bad(rule, f"what runs first has more than {PRE_COMMAND_MAX} words")
    places = range(min(rule.operands[0], len(rule.operand_classes) + 1))
    needed = {_class(rule, rule.class_of_operand(place)).kind for place in places}
    if "%p" in rule.pre_command and PATHS.isdisjoint(needed):
        raise _bad(rule, "what runs first needs a path, but the rule takes none")
    if not rule.builtin_reply:
        return
    status, text = rule.builtin_reply
    if status not in (0, 126) or not text.isprintable() or len(text.encode()) > _REPLY_MAX:
        raise _bad(rule, f"an answer is status 0 or 126 and one printable line of at most {_REPLY_MAX} bytes")
    if rule.pre_command or rule.stderr_to_journal or rule.noexec or rule.create_only:
        raise _bad(
            rule,
            "has an answer and runs nothing, so pre_command, stderr_to_journal, noexec and create_only are not allowed",
        )


def _reaches(pattern: str, root: str) -> bool:
    """True if ``pattern`` can fit a repository at or below ``root``."""
    parts, above = pattern.split("/")[1:], root.split("/")[1:] if root != "/" else []
    for part, name in zip(parts, above, strict=False):
        if part == "**":
            return not name.startswith(".")
        if part != name and ("*" not in part or not re.fullmatch(".*".join(map(re.escape, part.split("*"))), name)):
            return False
        if part.startswith("*") and name.startswith("."):
            return False
    # Of a pattern that ends with the root's last component or before it, only the root itself can fit.
    return len(parts) >= len(above) and not any(part.startswith((".", "-")) for part in parts[len(above) :])


def _check_options(rule: Rule) -> None:
    values = "".join(letter for letter, _ in _value_letters(rule))
    for letters in (rule.short_flags + values, rule.required_letters):
        if not _LETTERS.match(letters) or len(set(letters)) != len(letters):
            raise _bad(rule, f"{letters!r} is not a set of option letters")
    if any(len(letter) != 1 for letter, _ in _value_letters(rule)):
        raise _bad(rule, "an option with a value has one letter")
    if set(rule.required_letters) - set(rule.short_flags + values):
        raise _bad(rule, f"requires letters {rule.required_letters!r} that it does not allow")
    names = [name for name, _ in rule.long_options]
    for name in names:
        if not _LONG.match(name):
            raise _bad(rule, f"{name!r} is not a long option's name")
    if len(set(names)) != len(names):
        raise _bad(rule, "a long option is given twice")
    for what, given, known in (
        ("requires", rule.required_options, set(names)),
        ("allows at most once", rule.single_use, {*names, *rule.short_flags, *values} - {"@"}),
    ):
        if unknown := [name for name in given if name not in known]:
            raise _bad(rule, f"{what} {unknown[0]!r}, which is not one of its options")
        if len(set(given)) != len(given):
            raise _bad(rule, f"{what} an option that is named twice")
    if both := sorted(set(rule.required_letters) & set(rule.required_options) & set(rule.single_use)):
        raise _bad(rule, f"requires -{both[0]} and --{both[0]}, but allows only one of them")
    if rule.ignore_arguments and (rule.required_options or rule.single_use or rule.operand_classes):
        raise _bad(rule, "ignores everything after its words, so it cannot require options or operands")
