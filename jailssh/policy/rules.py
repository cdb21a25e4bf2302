"""The rule grammar of the allow-list.

A :class:`Rule` describes one way to use one program: the first word in all its spellings, the words that must
follow, the options that may appear, the operands, and the argument vector that is executed.  Whatever a rule does
not describe is denied.  Plugins build rules, :func:`check_rules` refuses impossible sets, :func:`rule_records`
turns them into plan records; only the C matcher (``login/command/match.c``) ever decides about a command.

Executed argv: ``[argv0, *fixed, *literals, *options as sent, *insert, mark, *operands]``.

Repositories.  The path rules are those of ``path``; besides, no component is ``.git``, and below the root none
begins with a dot or a dash.  git opens the first git directory among ``NAME/.git``, ``NAME``, ``NAME.git/.git`` and
``NAME.git``; the matcher looks in the same order, resolves symbolic links, and judges and executes the one name that
is left: ``NAME`` or ``NAME.git`` with the last component as it is on the disk.  What git would only be referred to
(a ``.git`` that is a file or a link, a linked worktree) and what lies within another repository is none.

A pattern (``like``) is compared with that name.  It also fits without the name's ``.git`` if git, asked for that,
would open the same repository: ``/srv/git/a`` fits ``/srv/git/a.git`` unless ``/srv/git/a`` is a repository of its
own, and ``/srv/git/a.git`` never fits ``/srv/git/a``.  The name as it was sent, with or without ``.git``, must fit
too, before anything is looked up: who may not read a repository does not learn from an alias that it exists.
Outside the jail, where nobody can look, this text alone decides.

Operands.  The first ones may each have a class of their own (``leading``), the others are of the class in ``operands``,
whose counts are of all of them.

Value classes (``cls``), one text token:

========================  =====================================================================================
``flag``                  no value (long options only)
``int:MIN:MAX``           decimal integer in the range
``size:MAX``              number with optional fraction and unit suffix as rsync writes sizes (``1.5m``, ``2G-1``)
``word``                  1-255 bytes of ``[A-Za-z0-9_.,:+@%=-]``, not beginning with ``-``
``pattern:TEXT``          a word that is TEXT, where each ``*`` stands for any run of a word's characters or none
``text``                  up to 1024 printable bytes (0x20-0x7e and UTF-8 above)
``enum:a,b,c``            exactly one of these
``path``                  a path at or below one of the rule's roots, after ``~/`` and relative paths are resolved
``repository``            a path of a git repository that exists, under the one name that git would open; no
                          component is ``.git``; where the rule has patterns (``like``), it fits one of them
``new-repository``        such a path where nothing is yet, ending in ``.git`` (added where it is missing)
``capabilities``          rsync's tail of a short cluster: ``[0-9]*.[A-Za-z]*`` behind ``-e``
========================  =====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute

_WORD = re.compile(r"[a-z0-9/][a-z0-9._/-]*( [a-z0-9][a-z0-9._-]*)?\Z")
ANY = "*"
"""As the only first word: the whole command, unsplit, is the last argument after ``fixed``.  Such a rule is tried
after all others; it is for jails with a shell."""
_REPOSITORIES = ("repository", "new-repository")
"""Classes of paths that exist and of paths that do not: no operand is of both."""
_PATHS = ("path", *_REPOSITORIES)
_OF_OPTIONS = ("flag", "capabilities")
"""Classes that no operand can be of."""
_LONG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_ANSWER_MAX = 200
"""Bytes of an answer, which is sent in one message."""
_LETTERS = re.compile(r"[A-Za-z0-9@]*\Z")
_CLASS = re.compile(
    r"(flag|int:-?\d{1,9}:-?\d{1,10}|size:\d{1,18}|word|text|enum:[A-Za-z0-9_.,-]+|path|capabilities|repository"
    r"|new-repository|pattern:[A-Za-z0-9_.,:+@%=*][A-Za-z0-9_.,:+@%=*-]{0,254})\Z"
)
FIRST_MAX = 30
"""The most words of what runs first."""
UNBOUNDED = 1024
"""The most operands any rule takes; a command cannot hold more (64 KiB)."""


class RuleError(ConfigError):
    """A rule cannot work, or two rules cannot be in one jail; ``plugins`` are those that they are from."""

    def __init__(self, what: str, why: str, plugins: tuple[str, ...], hint: str = "") -> None:
        super().__init__(what, why, hint=hint)
        self.plugins = plugins


@dataclass(frozen=True)
class Rule:
    """One allowed use of one program.  Text fields hold printable text; paths are clean absolute jail paths."""

    id: str
    plugin: str
    program: str
    words: tuple[str, ...]
    _: KW_ONLY
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
    like: tuple[str, ...] = ()
    """Patterns of the classes ``repository`` and ``new-repository``, absolute: ``*`` stands for any part of one
    component that does not begin with a dot, a last component ``**`` for one or more whole components."""
    first: tuple[str, ...] = ()
    """Command that runs before ``program``, silently; ``%p`` as a word is the canonical path.  Its failure ends it."""
    log: bool = False
    """What the program writes to standard error goes to the journal, not to the user."""
    answer: tuple[int, str] | None = None
    """Nothing is executed: exit status 0, or a denial (126) with this line for the user."""
    need_longs: tuple[str, ...] = ()
    """Names of long options that must be there, as ``need`` has the letters."""
    once: tuple[str, ...] = ()
    """Options that are given once at most, by letter or long name.  A single character is both ``-x`` and ``--x``."""
    leading: tuple[str, ...] = ()
    """The classes of the first, the second, … operand; ``operands`` has the class of those behind them."""
    within: tuple[tuple[str, bool], ...] = ()
    """Of the directories that the jail shows those that the program can use, and change where True; () is all."""

    alone: bool = False
    """Once ``program`` runs, nothing can be executed in its process or below it (``EPERM``): for a program that files
    of the account can tell to run others.  What it loads or interprets itself is not held back."""
    keep: bool = False
    """``program`` can make new files, and overwrite, move and remove none that is there: for promises of keeping that
    must not rest on modes.  It opens files as sftp-server does: for writing with ``O_CREAT`` and ``O_TRUNC``."""

    def class_of_operand(self, place: int) -> str:
        """Return the value class of an operand, the first being 0."""
        return self.leading[place] if place < len(self.leading) else self.operands[2]


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
    for name in rule.need_longs:
        yield ("need-long", name)
    for name in rule.once:
        yield ("once", name)
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
    for taken in rule.leading:
        yield ("operand", taken)
    low, high, cls = rule.operands
    yield ("operands", str(low), str(high), cls)
    if rule.base:
        yield ("base", rule.base)
    for root in rule.roots:
        yield ("below", root)
    for pattern in rule.like:
        yield ("like", pattern)
    if rule.glob:
        yield ("glob",)
    for name, value in rule.env:
        yield ("rule-env", name, value)
    for text in rule.first:
        yield ("first", text)
    if rule.log:
        yield ("log",)
    if rule.answer:
        yield ("answer", str(rule.answer[0]), rule.answer[1])
    if rule.alone:
        yield ("alone",)
    if rule.keep:
        yield ("keep",)
    for path, writable in rule.within:
        yield ("within", path, "rw" if writable else "ro")


def check_rules(rules: Iterable[Rule]) -> None:
    """Raise :class:`ConfigError` when a rule cannot work or two rules can match the same command.

    Two rules may share a first word only if their literals or needed options keep them apart (``rsync --server``
    against ``rsync --server --sender``; ``scp -t`` against ``scp -f``), or a place where the one wants a repository
    that is there and the other one that is not.
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
            if first.interactive and second.interactive:
                why = why or "both are for an interactive login"
            if why:
                both = (first.plugin, second.plugin)
                hint = "use only one of the plugins in this jail" if len(set(both)) > 1 else "remove one of them"
                raise RuleError(f"rules {first.id} and {second.id}", why, both, hint)


def _shared_word(first: Rule, second: Rule) -> str:
    """Return a spelling by which one command line could match both rules, or ``""``."""
    for word in first.words:
        for other in second.words:
            # A spelling of two words ("git upload-pack") begins with what another rule may take alone ("git").
            if word.split()[0] == other.split()[0] and not _apart(first, word, second, other):
                return word
    return ""


def _apart(first: Rule, first_word: str, second: Rule, second_word: str) -> bool:
    """True if no command line that begins with these spellings can match both rules."""
    heads = [(*word.split(), *rule.literals) for rule, word in ((first, first_word), (second, second_word))]
    if any(a != b for a, b in zip(*heads, strict=False)):
        return True
    if len(heads[0]) == len(heads[1]) and _by_repository(first, second):
        return True
    for (one, head), (other, rest) in (
        ((first, heads[0]), (second, heads[1])),
        ((second, heads[1]), (first, heads[0])),
    ):
        if other.ignore_rest:
            continue
        # Where the one has more words, they are options or operands for the other.
        if len(head) == len(rest) and not one.ignore_rest and _needs_a_stranger(one, other):
            return True
        # "--server --sender" against "--server": apart if the shorter rule takes no such option.
        if len(head) > len(rest):
            extra = head[len(rest)]
            if extra.startswith("--") and extra[2:] not in dict(other.longs):
                return True
    return False


def _by_repository(first: Rule, second: Rule) -> bool:
    """True if one of the operands that both need is a repository for the one, and for the other is to become one."""
    if first.base != second.base or not _reads_alike(first, second) or not _reads_alike(second, first):
        return False
    both = min(first.operands[0], second.operands[0], max(len(first.leading), len(second.leading)) + 1)
    classes = [{first.class_of_operand(place), second.class_of_operand(place)} for place in range(both)]
    return set(_REPOSITORIES) in classes


def _needs_a_stranger(one: Rule, other: Rule) -> bool:
    """True if ``one`` needs an option that ``other`` does not take, nor takes for anything else."""
    unknown = set(one.need) - set(other.letters) - {letter for letter, _ in _value_letters(other)}
    return bool(unknown or set(one.need_longs) - set(dict(other.longs))) and _reads_alike(one, other)


def _reads_alike(one: Rule, other: Rule) -> bool:
    """True if what is an option for ``one`` is an option for ``other`` too, known or not, in every command for both.

    In "-St" the t is a letter for the one and S's value for the other; so is -t in "--name -t".  Where the one takes
    a value, that may be the first operand for the other, and all that follows be operands.
    """
    kinds, others = _kinds(one), _kinds(other)
    return not other.mark.startswith("-") and all(others.get(each, kind) == kind for each, kind in kinds.items())


def _kinds(rule: Rule) -> dict[str, str]:
    """Return how each option goes on: nothing, a value, a value that is always glued to it."""
    kinds = {f"-{letter}": "flag" for letter in rule.letters}
    kinds |= {f"-{letter}": "value" for letter, _ in rule.shorts}
    kinds |= {f"-{rule.tail[0]}": "tail"} if rule.tail else {}
    return kinds | {f"--{name}": "flag" if cls == "flag" else "value" for name, cls in rule.longs}


def _value_letters(rule: Rule) -> tuple[tuple[str, str], ...]:
    return rule.shorts + ((rule.tail,) if rule.tail else ())


def _bad(rule: Rule, why: str) -> RuleError:
    return RuleError(f"rule {rule.id} of plugin {rule.plugin}", why, (rule.plugin,))


def _check_rule(rule: Rule) -> None:
    if not rule.words and not rule.interactive:
        raise _bad(rule, "has no first word, so nothing can match it")
    if not is_clean_absolute(rule.program):
        raise _bad(rule, f"program {rule.program!r} is not a plain absolute path")
    if ANY in rule.words:
        whole = Rule(rule.id, rule.plugin, rule.program, (ANY,), argv0=rule.argv0, fixed=rule.fixed, env=rule.env)
        if rule != replace(whole, operands=(0, UNBOUNDED, "text")):
            raise _bad(rule, f"{ANY!r} takes the whole command, so other words, options and operands are not allowed")
        return
    for word in rule.words:
        if not _WORD.match(word) or ("/" in word and not is_clean_absolute(word.split()[0])):
            raise _bad(rule, f"{word!r} cannot be a first word")
    if len(set(rule.words)) != len(rule.words):
        raise _bad(rule, "a first word is given twice")
    _check_options(rule)
    classes = [taken for _, taken in (*_value_letters(rule), *rule.longs)] + _check_operands(rule)
    for taken in (*classes, rule.operands[2]):
        if not _CLASS.match(taken):
            raise _bad(rule, f"{taken!r} is not a value class")
    if not set(_PATHS).isdisjoint(classes) and not rule.roots:
        raise _bad(rule, "takes paths but no directory is set for them")
    _check_repositories(rule, classes)
    for root in (*rule.roots, *([rule.base] if rule.base else [])):
        if not is_clean_absolute(root):
            raise _bad(rule, f"{root!r} is not a plain absolute path")


def _check_operands(rule: Rule) -> list[str]:
    """Return the classes that operands can be of."""
    low, high, cls = rule.operands
    if not 0 <= low <= high <= UNBOUNDED:
        raise _bad(rule, f"operand counts {low} to {high} are impossible")
    if len(rule.leading) > high:
        raise _bad(rule, f"has classes for {len(rule.leading)} operands and takes {high}")
    if rule.leading and rule.glob:
        raise _bad(rule, "expands file name patterns, so operands cannot have classes of their own")
    classes = [*rule.leading, *[cls] * (high > len(rule.leading))]
    for taken in classes:
        if taken in _OF_OPTIONS:
            raise _bad(rule, f"takes operands of class {taken}, which is for options only")
    return classes


def _check_repositories(rule: Rule, classes: list[str]) -> None:
    of_options = {cls for _, cls in (*_value_letters(rule), *rule.longs)}
    if not of_options.isdisjoint(_REPOSITORIES):
        raise _bad(rule, "takes a repository as an option's value; only an operand can be one")
    repositories = not set(_REPOSITORIES).isdisjoint(classes)
    if rule.like and not repositories:
        raise _bad(rule, "has repository patterns but takes no repository")
    if repositories and rule.glob:
        raise _bad(rule, "expands file name patterns, but its operands are repositories")
    for path in (*rule.like, *rule.roots) if repositories else ():
        if ".git" in path.split("/"):
            raise _bad(rule, f"{path!r}: '.git' cannot be part of a repository's name")
    for pattern in rule.like:
        if why := _pattern_fault(pattern, rule.roots):
            raise _bad(rule, why)
    _check_what_runs(rule)


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
    if rule.first and not is_clean_absolute(rule.first[0]):
        raise _bad(rule, f"{rule.first[0]!r}, which runs first, is not a plain absolute path")
    if len(rule.first) > FIRST_MAX:
        raise _bad(rule, f"what runs first has more than {FIRST_MAX} words")
    needed = {rule.class_of_operand(place) for place in range(min(rule.operands[0], len(rule.leading) + 1))}
    if "%p" in rule.first and needed.isdisjoint(_PATHS):
        raise _bad(rule, "what runs first needs a path, but the rule takes none")
    if not rule.answer:
        return
    status, text = rule.answer
    if status not in (0, 126) or not text.isprintable() or len(text.encode()) > _ANSWER_MAX:
        raise _bad(rule, f"an answer is status 0 or 126 and one printable line of at most {_ANSWER_MAX} bytes")
    if rule.first or rule.log or rule.alone or rule.keep:
        raise _bad(rule, "has an answer and runs nothing, so first, log, alone and keep are not allowed")


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
    for letters in (rule.letters + values, rule.need):
        if not _LETTERS.match(letters) or len(set(letters)) != len(letters):
            raise _bad(rule, f"{letters!r} is not a set of option letters")
    if any(len(letter) != 1 for letter, _ in _value_letters(rule)):
        raise _bad(rule, "an option with a value has one letter")
    if set(rule.need) - set(rule.letters + values):
        raise _bad(rule, f"requires letters {rule.need!r} that it does not allow")
    names = [name for name, _ in rule.longs]
    for name in names:
        if not _LONG.match(name):
            raise _bad(rule, f"{name!r} is not a long option's name")
    if len(set(names)) != len(names):
        raise _bad(rule, "a long option is given twice")
    for what, given, known in (
        ("requires", rule.need_longs, set(names)),
        ("allows at most once", rule.once, {*names, *rule.letters, *values} - {"@"}),
    ):
        if unknown := [name for name in given if name not in known]:
            raise _bad(rule, f"{what} {unknown[0]!r}, which is not one of its options")
        if len(set(given)) != len(given):
            raise _bad(rule, f"{what} an option that is named twice")
    if both := sorted(set(rule.need) & set(rule.need_longs) & set(rule.once)):
        raise _bad(rule, f"requires -{both[0]} and --{both[0]}, but allows only one of them")
    if rule.ignore_rest and (rule.need_longs or rule.once or rule.leading):
        raise _bad(rule, "ignores everything after its words, so it cannot require options or operands")
