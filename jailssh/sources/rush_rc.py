"""GNU Rush's rules in the language of version 2.0 (rush.rc(5)): what it runs for a command.

The rules are tried on whole commands, as rush does it.  What is not read here, such as substitutions, maps and
includes, makes the answer :class:`Unclear` where a command comes to it, and is never guessed at.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jailssh.core.closed import Word
from jailssh.core.names import escape
from jailssh.sources.found import Person

_TOKEN = re.compile(
    r"""[ \t\r\f\v]*(?:(?P<end>\#.*|\Z)|(?P<op>&&|\|\||==|!=|<=|>=|!~|=~|[!<>()\[\]=~:])|"""
    r""""(?P<string>(?:\\.|[^"\\])*)"|"""
    r"""(?P<var>\$(?:\{[^}]*\}|[A-Za-z_][A-Za-z0-9_]*|[0-9]|\#))|(?P<word>[^\s\\"!=<>(){}\[\]$%&|~\#]+))""",
    re.DOTALL,
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_REFERENCE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9]|#)|(.|\Z))", re.DOTALL)
_ODD = re.compile(r"\\[A-Za-z0-9<>`'\n]|\(\?|[*+?}][*+?{]|\[[^\]]*(?:\[|\\|--|&&|\|\||~~)|(?:\A|[(|^])[*+?{]")
"""What means something else, or nothing, in a regular expression of POSIX."""
_TOKENS = 200
"""Of one expression."""
_PLAIN = re.compile(r"[A-Za-z0-9_.,:+@%=/~ -]+\Z")
_IDLE = frozenset({"acct", "fork", "post-socket", "locale", "locale-dir", "text-domain", "clrenv", "keepenv",
                   "setenv", "unsetenv"})  # fmt: skip
"""Statements that change neither the command nor whether it runs."""
_GLOBALS = frozenset({"expand-undefined", "debug", "sleep-time", "message", "acct-umask", "acct-dir-mode",
                      "acct-file-mode", "acct-file", "include-security"})  # fmt: skip


class Unclear(Exception):
    """What cannot be told; the text says where and why."""


class Denied(Exception):
    """Rush does not run the command."""


class Piece(Word):
    """What a token is."""

    END = "end"
    OP = "op"
    STRING = "string"
    VAR = "var"
    WORD = "word"


class Op(Word):
    """What an expression is.  ``mixed`` are its two readings where ``&&`` and ``||`` stand together."""

    AND = "and"
    OR = "or"
    MIXED = "mixed"
    NOT = "not"
    GROUP = "group"
    IN = "in"
    EQUAL = "=="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    FITS = "~"
    FITS_NOT = "!~"


_COMPARES: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EQUAL: operator.eq, Op.UNEQUAL: operator.ne, Op.LESS: operator.lt, Op.AT_MOST: operator.le,
    Op.MORE: operator.gt, Op.AT_LEAST: operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A piece of a statement."""

    kind: Piece
    text: str


@dataclass(frozen=True)
class Node:
    """An expression: of others, or one that compares ``left`` with ``right``."""

    kind: Op
    parts: tuple[Node, ...] = ()
    left: Token = Token(Piece.WORD, "")
    right: tuple[Token, ...] = ()


@dataclass
class Rule:
    """A rule: its matches, all of which must hold, and its other statements in their order with their lines."""

    tag: str
    line: int
    undefined: bool
    interactive: bool = False
    matches: list[Node] = field(default_factory=list)
    statements: list[tuple[int, str, list[Token]]] = field(default_factory=list)

    def has(self, *words: str) -> bool:
        """True if one of these statements is there."""
        return any(word in words for _, word, _ in self.statements)


@dataclass
class Run:
    """What rush runs: ``line`` is that of the rule, ``limits`` are as written."""

    words: list[str]
    line: int = 0
    umask: str = ""
    chroot: str = ""
    directory: str = ""
    limits: str = ""
    idle: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def read(text: str) -> list[Rule]:
    """Return the rules of a file; raises :class:`Unclear`.  The older language is such a case."""
    rules: list[Rule] = []
    undefined, first = False, True
    for number, line in _logical(text):
        tokens = _tokens(line, number)
        if not tokens:
            continue
        word, rest = tokens[0].text, tokens[1:]
        if first:
            if [word, *(token.text for token in rest)] != ["rush", "2.0"]:
                raise Unclear(f"{number} does not begin with 'rush 2.0', so the file is in the older language")
            first = False
        elif tokens[0].kind is not Piece.WORD:
            raise Unclear(f"{number} does not begin with a word")
        elif word == "rule":
            rules.append(Rule(rest[0].text if rest else f"#{len(rules) + 1}", number, undefined))
        elif word == "global":
            rules.append(Rule("", number, undefined))
        elif not rules:
            raise Unclear(f"{number} stands before the first rule")
        elif not rules[-1].tag:
            undefined = _global(word, rest, number, undefined=undefined)
        elif word == "match":
            rules[-1].matches.append(_expression(rest, number))
        elif word == "interactive":
            rules[-1].interactive = _yes(rest, number)
        else:
            rules[-1].statements.append((number, word, rest))
    if first:
        raise Unclear("1 is not 'rush 2.0', so the file is in the older language")
    return [rule for rule in rules if rule.tag]


def _expression(rest: Sequence[Token], number: int) -> Node:
    if len(rest) > _TOKENS:
        raise Unclear(f"{number} has an expression of more than {_TOKENS} words")
    try:
        return _Parser(rest, number).whole()
    except RecursionError as error:
        raise Unclear(f"{number} has too many parentheses") from error


def _yes(rest: Sequence[Token], number: int) -> bool:
    text = rest[0].text if len(rest) == 1 else ""
    if text not in ("yes", "on", "t", "true", "1", "no", "off", "nil", "false", "0"):
        raise Unclear(f"{number} is neither yes nor no")
    return text in ("yes", "on", "t", "true", "1")


def _global(word: str, rest: Sequence[Token], number: int, *, undefined: bool) -> bool:
    if word not in _GLOBALS:
        raise Unclear(f"{number} has {escape(word, 40)!r}, which changes how all rules are read")
    if word != "expand-undefined":
        return undefined
    return _yes(rest, number)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, those that a backslash continues as one."""
    start, held = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        start = start or number
        if not held and line.lstrip().startswith("#"):
            start = 0
            continue
        if line.endswith("\\"):
            held += line[:-1]
            continue
        yield start, held + line
        start, held = 0, ""
    if held:
        raise Unclear(f"{start} goes on behind the end of the file")


def _tokens(line: str, number: int) -> list[Token]:
    found, at, glued = [], 0, False
    while at < len(line):
        match = _TOKEN.match(line, at)
        if not match or "\0" in match[0]:
            raise Unclear(f"{number} has {escape(line[at : at + 20], 40)!r}, which is not read here")
        kind = Piece(match.lastgroup or "end")
        if kind is Piece.END:
            break
        blank = match[0][:1] in " \t\r\f\v" and match[0][:1] != ""
        if glued and not blank and kind is not Piece.OP:
            raise Unclear(f"{number} has words without a blank between them")
        glued = kind is not Piece.OP
        text = match[kind.value]
        found.append(Token(kind, _unescaped(text) if kind is Piece.STRING else text))
        at = match.end()
    return found


def _unescaped(text: str) -> str:
    """Return a quoted string; an escape that rush does not know stays as it is."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text, flags=re.DOTALL)


class _Parser:
    """Reads an expression."""

    def __init__(self, tokens: Sequence[Token], number: int) -> None:
        self._tokens, self._number, self._at = tokens, number, 0

    def whole(self) -> Node:
        """Return the expression, which must be all there is."""
        node = self._or()
        if self._at < len(self._tokens):
            raise self._odd()
        return node

    def _odd(self) -> Unclear:
        return Unclear(f"{self._number} has an expression that is not read here")

    def _is(self, text: str, kind: Piece = Piece.OP) -> bool:
        here = self._tokens[self._at : self._at + 1]
        if here and here[0] == Token(kind, text):
            self._at += 1
            return True
        return False

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise self._odd()
        self._at += 1
        return self._tokens[self._at - 1]

    def _or(self) -> Node:
        """Return operands that ``&&`` and ``||`` join.

        Rush 2.3 takes both for equal and reads from the left; elsewhere ``&&`` binds closer.  Where both stand without
        parentheses, both ways are kept.
        """
        parts = [self._not()]
        signs: list[Op] = []
        while self._is("&&") or self._is("||"):
            signs.append(Op.AND if self._tokens[self._at - 1].text == "&&" else Op.OR)
            parts.append(self._not())
        if len({*signs}) < 2:
            return Node(signs[0], tuple(parts)) if signs else parts[0]
        left = parts[0]
        sums = [parts[:1]]
        for sign, part in zip(signs, parts[1:], strict=True):
            left = Node(sign, (left, part))
            if sign is Op.AND:
                sums[-1].append(part)
            else:
                sums.append([part])
        return Node(Op.MIXED, (left, Node(Op.OR, tuple(Node(Op.AND, tuple(each)) for each in sums))))

    def _not(self) -> Node:
        negated = 0
        while self._is("!"):
            negated += 1
        if negated > 1:
            raise self._odd()
        if self._is("("):
            node = self._or()
            if not self._is(")"):
                raise self._odd()
        else:
            node = self._simple()
        return Node(Op.NOT, (node,)) if negated else node

    def _simple(self) -> Node:
        if self._is("group", Piece.WORD):
            return Node(Op.GROUP, right=self._list())
        left = self._next()
        if left.kind is Piece.OP:
            raise self._odd()
        if self._is("in", Piece.WORD):
            return Node(Op.IN, left=left, right=self._list())
        op, right = self._next(), self._next()
        known = op.text in (*_COMPARES, Op.FITS, Op.FITS_NOT)
        if op.kind is not Piece.OP or not known or right.kind not in (Piece.STRING, Piece.WORD):
            raise self._odd()
        return Node(Op(op.text), left=left, right=(right,))

    def _list(self) -> tuple[Token, ...]:
        if not self._is("("):
            return (self._next(),)
        found = []
        while not self._is(")"):
            found.append(self._next())
        if any(token.kind not in (Piece.STRING, Piece.WORD) for token in found):
            raise self._odd()
        return tuple(found)


class _Trial:
    """One command that goes through the rules."""

    def __init__(self, person: Person, words: Sequence[str]) -> None:
        self.person, self.run, self.undefined = person, Run(list(words)), False

    def known(self, name: str) -> str:
        """Return a variable's value."""
        person, words = self.person, self.run.words
        if re.match(r"[0-9]+\Z", name):
            if int(name) < len(words):
                return words[int(name)]
            if self.undefined:
                return ""
            raise Denied(f"the variable {name} is not defined")
        values = {"#": str(len(words)), "command": " ".join(words), "user": person.name, "uid": str(person.uid),
                  "gid": str(person.gid), "home": person.home, "program": words[0] if words else "",
                  **self.run.variables}  # fmt: skip
        if name not in values:
            raise Unclear(f"the variable {escape(name, 40)} is not known")
        return values[name]

    def text(self, token: Token) -> str:
        """Return a token with its variables filled in."""
        if token.kind is Piece.WORD:
            return token.text
        if re.search(r"%[0-9{]|\\\$|\\%", token.text):
            raise Unclear("a string refers to what a regular expression found")

        def value(found: re.Match[str]) -> str:
            name = found[1] if found[1] is not None else found[2]
            if not name or found[3]:
                raise Unclear("a '$' is not that of a variable")
            return self.known(name)

        return _REFERENCE.sub(value, token.text)

    def holds(self, node: Node) -> bool:
        """Return whether an expression holds."""
        if node.kind is Op.AND:
            return all(self.holds(part) for part in node.parts)
        if node.kind is Op.OR:
            return any(self.holds(part) for part in node.parts)
        if node.kind is Op.MIXED:
            first, second = (self.holds(part) for part in node.parts)
            if first != second:
                raise Unclear("'&&' and '||' stand together without parentheses, which rush reads from the left")
            return first
        if node.kind is Op.NOT:
            return not self.holds(node.parts[0])
        if node.kind is Op.GROUP:
            return bool({token.text for token in node.right} & {self.person.group, *self.person.groups})
        left = self.text(node.left)
        if node.kind is Op.IN:
            return left in {token.text for token in node.right}
        right = node.right[0]
        if node.kind in (Op.FITS, Op.FITS_NOT):
            return (regex(right.text).search(left) is not None) == (node.kind is Op.FITS)
        if right.kind is Piece.WORD and re.match(r"[-+]?[0-9]+\Z", right.text):
            if not re.match(r"[0-9]+\Z", left):
                raise Unclear("a text is compared with a number")
            return _COMPARES[node.kind](int(left), int(right.text))
        if node.kind not in (Op.EQUAL, Op.UNEQUAL):
            raise Unclear("texts are compared by their order")
        return _COMPARES[node.kind](left, right.text)


def regex(text: str) -> re.Pattern[str]:
    """Return an extended regular expression of POSIX; raises :class:`Unclear` where Python reads it otherwise."""
    if _ODD.search(text) or len(text) > 1000:
        raise Unclear(f"the regular expression {escape(text, 60)!r} is not read here")
    try:
        return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", text))
    except (re.error, RecursionError, OverflowError) as error:
        raise Unclear(f"the regular expression {escape(text, 60)!r} is not read here") from error


def decide(rules: Sequence[Rule], person: Person, command: str) -> Run:
    """Return what rush runs for a command of plain words; raises :class:`Denied`, or :class:`Unclear`."""
    if not _PLAIN.match(command) or "  " in command or command != command.strip():
        raise Unclear(f"{escape(command, 60)!r} is not of plain words")
    trial = _Trial(person, command.split(" "))
    for rule in rules:
        if rule.interactive:
            continue
        trial.undefined = rule.undefined
        if all(trial.holds(node) for node in rule.matches):
            for number, word, rest in rule.statements:
                _do(trial, number, word, rest)
            if not rule.has("fall-through", "fallthrough"):
                trial.run.line = rule.line
                return trial.run
    raise Denied("no rule matches")


def holds(node: Node, person: Person) -> bool:
    """Return whether an expression that asks nothing of the command holds; raises :class:`Unclear`."""
    return _Trial(person, []).holds(node)


def _do(trial: _Trial, number: int, word: str, rest: list[Token]) -> None:
    run = trial.run
    if word == "exit":
        raise Denied("a rule has exit")
    if word == "set":
        _set(trial, number, rest)
    elif word == "umask" and len(rest) == 1 and re.match(r"[0-7]{1,4}\Z", rest[0].text):
        run.umask = rest[0].text
    elif word in ("chroot", "chdir") and len(rest) == 1:
        path = trial.text(rest[0])
        path = trial.person.home + path[1:] if path == "~" or path.startswith("~/") else path
        run.chroot, run.directory = (path, run.directory) if word == "chroot" else (run.chroot, path)
    elif word == "limits":
        run.limits += "".join(token.text for token in rest)
    elif word in _IDLE:
        run.idle.append(word)
    elif word not in ("fall-through", "fallthrough"):
        raise Unclear(f"{number} has the statement {escape(word, 40)!r}, which is not read here")


def _set(trial: _Trial, number: int, rest: list[Token]) -> None:
    texts = [token.text for token in rest]
    if texts[:1] == ["["] and texts[2:4] == ["]", "="] and len(rest) == 5 and re.match(r"[0-9]{1,3}\Z", texts[1]):
        if int(texts[1]) >= len(trial.run.words):
            raise Unclear(f"{number} sets a word that is not there")
        trial.run.words[int(texts[1])] = trial.text(rest[4])
    elif len(rest) == 3 and texts[1] == "=" and rest[0].kind is Piece.WORD:
        value = trial.text(rest[2])
        if texts[0] == "command":
            if not _PLAIN.match(value):
                raise Unclear(f"{number} sets a command that is not of plain words")
            trial.run.words = value.split()
        elif texts[0] in ("user", "uid", "gid", "home", "program"):
            raise Unclear(f"{number} sets {texts[0]}")
        else:
            trial.run.variables[texts[0]] = value
    else:
        raise Unclear(f"{number} has a set that is not read here")
    if not all(_PLAIN.match(word) and " " not in word for word in trial.run.words):
        raise Unclear(f"{number} makes a word that is not plain")
