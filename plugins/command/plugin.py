"""The command plugin: command lines that the administrator writes, with typed arguments.

A line such as ``report --days <int:1:365>`` is a rule: what stands there is taken literally, ``<…>`` is an argument
of a value class, ``[-x]`` and ``[--name <…>]`` are options, ``(--name <…>)`` is one that must be given.  See README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial
from jailssh.policy.rules import UNBOUNDED
from jailssh_plugins.command import trials
from jailssh_plugins.command.launchers import LAUNCHERS
from jailssh_plugins.command.line import Line
from jailssh_plugins.roots import Mounts, covered, expand, mounts, paths

_TOKEN = re.compile(r"\s*(\[[^\[\]]*\]|\([^()]*\)|<[^<>]*>(?:\.\.\.)?|[^\s<>\[\]()]+)(?=\s|\Z)")
_LITERAL = re.compile(r"[A-Za-z0-9_.,:+@%=/~-]+\Z")
_OPTION = re.compile(r"([\[(])(-[A-Za-z0-9@]|--[A-Za-z0-9][A-Za-z0-9-]*)(?:[ =]<([^<>]*)>)?[\])]\Z")
_ARGUMENT = re.compile(r"(\[)?<([^<>]*)>(\.\.\.)?(?(1)\])\Z")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@"


class Command:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "command"
    summary = "command lines that the administrator writes"
    options = (
        Option("commands", "texts", "", 'command lines, each in quotes: "report --days <int:1:365>"'),
        Option("read", "paths", "", "directories that the programs can read, mounted read-only", listed=Listed.READ),
        Option("write", "paths", "", "directories that the programs can write to", listed=Listed.WRITABLE),
        Option("files", "paths", "", "additional files and directories of this host for the image"),
        Option("proc", "bool", "no", "mount /proc for the programs"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """The programs of all lines, and the files that were named."""
        programs = dict.fromkeys(_find(jail, line) for line in _texts(settings))
        files = settings["files"]
        return ImageNeeds(programs=tuple(programs), files=files if isinstance(files, tuple) else ())

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule for each line."""
        read, write = (paths(settings, name, account, self.name) for name in ("read", "write"))
        place = mounts(read, write, account, self.name)
        rules = []
        for number, text in enumerate(_texts(settings), 1):
            line = _read(text, account)
            if not all(covered(root, (*read, *write)) for root in line.path_roots):
                raise line.bad("takes paths below a directory that is not in read or write")
            rules.append(_rule(line, number, jail, account, place))
        names, proc = ", ".join(dict.fromkeys(rule.argv0 for rule in rules)), bool(settings["proc"])
        return PluginResult(
            tuple(rules), names, binds=place.binds, home=place.home, proc=proc, reach=Reach(writes=write)
        )

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """Ways to make more of a line; what the lines themselves do nobody knows, so none of them is run."""
        return tuple(trials.trials(_read(text, account) for text in _texts(settings)))


def _texts(settings: Mapping[str, Value]) -> tuple[str, ...]:
    lines = settings["commands"]
    if not isinstance(lines, tuple) or not lines:
        raise ConfigError("[command]", "no command is set", hint='as in: commands = "report --days <int:1:365>"')
    return lines


def _find(jail: Jail, text: str) -> str:
    name = text.split()[0]
    if path := jail.find_program(name):
        return path
    raise ConfigError(f"[command] {text!r}", f"{name} is not a program on this host")


def _tokens(line: Line) -> Iterable[str]:
    at = 0
    while line.text[at:].strip():
        found = _TOKEN.match(line.text, at)
        if not found:
            raise line.bad(f"cannot be parsed from {line.text[at:].strip()!r} on", "see README.md of the plugin")
        yield found[1]
        at = found.end()


def _read(text: str, account: Account) -> Line:
    """Return the line in ``text``; literals first, then options, then arguments."""
    line = Line(text)
    for part in list(_tokens(line))[1:]:
        option, argument = _OPTION.match(part), _ARGUMENT.match(part)
        if line.anything or (line.classes and not argument):
            raise line.bad(f"{part!r} is not allowed after an argument", "literal words first, then [options]")
        if option:
            _take_option(line, option, account)
        elif part == "<anything>":
            line.anything = True
        elif argument:
            if line.most == UNBOUNDED or (line.least < line.most and not argument[1]):
                raise line.bad(
                    f"{part!r} is not allowed here", "required arguments first, then [<…>], then one with ..."
                )
            line.classes.append(_class(line, argument[2], account))
            line.least += not argument[1]
            line.most = UNBOUNDED if argument[3] else line.most + 1
        elif not _LITERAL.match(part) or line.short_flags or line.short_options or line.long_options:
            raise line.bad(f"{part!r} is not allowed here", "literal words first, then [options], then <arguments>")
        else:
            line.literal_words.append(part)
    if line.classes.count("text") + (line.classes[-1:] == ["text"] and line.most == UNBOUNDED) > 1:
        raise line.bad("takes several <text>", "the second one could be an option; use <word> or [--name <text>]")
    if line.anything and (line.classes or line.short_flags or line.short_options or line.long_options):
        raise line.bad("<anything> must be alone after the literal words")
    if (line.anything or "text" in line.classes) and text.split()[0].rsplit("/", 1)[-1] in LAUNCHERS.split():
        raise line.bad("this program can run other programs", "write its arguments out, or use its own plugin")
    return line


def _take_option(line: Line, option: re.Match[str], account: Account) -> None:
    _, name, cls = option.groups()
    if option[1] == "(":
        line.needed.append(name)
    if name.startswith("--"):
        line.long_options.append((name[2:], "flag" if cls is None else _class(line, cls, account)))
    elif cls is None:
        line.short_flags += name[1]
    else:
        line.short_options.append((name[1], _class(line, cls, account)))


def _class(line: Line, text: str, account: Account) -> str:
    """Return the value class that ``<text>`` means; a path class brings its directories."""
    if not text.startswith("path:"):
        return text
    roots = tuple(expand(part.strip(), account, f"[command] {line.text!r}") for part in text[5:].split(","))
    if line.path_roots not in ((), roots):
        raise line.bad("takes paths below different directories", "name the same directories in each <path:…>")
    line.path_roots = roots
    return "path"


def _rule(line: Line, number: int, jail: Jail, account: Account, place: Mounts) -> Rule:
    program = _find(jail, line.text)
    first = line.text.split()[0]
    name = first.rsplit("/", 1)[-1]
    if not is_clean_absolute(first) and "/" in first:
        raise line.bad("the program is not a name or a plain absolute path")
    cls = line.classes[-1] if line.classes else "text"
    while line.classes[-1:] == [cls]:
        line.classes.pop()
    in_home = any(covered(root, (account.home,)) for root in line.path_roots)
    return Rule(
        id=f"command.{number}.{name}",
        plugin="command",
        program=program,
        # A name is looked up by whoever sends it, so its full path is the same command; a full path is exact.
        command_names=tuple(dict.fromkeys((first, program))) if "/" not in first else (first,),
        argv0=name,
        literal_words=tuple(line.literal_words),
        short_flags=_LETTERS if line.anything else line.short_flags,
        required_letters="".join(name[1] for name in line.needed if name[1] != "-"),
        short_options=tuple(line.short_options),
        long_options=tuple(sorted(line.long_options)),
        end_of_options=line.anything,
        operands=(0, UNBOUNDED, cls) if line.anything else (line.least, line.most, cls),
        relative_to=(account.home if in_home else line.path_roots[0]) if line.path_roots else "",
        path_roots=line.path_roots,
        required_options=tuple(name[2:] for name in line.needed if name[1] == "-"),
        single_use=tuple(name.lstrip("-") for name in line.needed),
        operand_classes=tuple(line.classes),
        accessible_directories=place.accessible_directories,
    )


plugin = Command()
