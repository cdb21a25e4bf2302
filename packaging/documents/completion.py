"""Completion for bash, zsh and fish: what the parsers know, and names found in files, without starting jailssh.

A name is read from the name of a file below /etc/jailssh or /var/lib/jailssh (or below what ``--root`` says).  One with
a letter that a shell could read otherwise is left out; nothing is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import values
from command_line import Argument, Command, common, verbs

TEMPLATES = Path(__file__).resolve().parent.parent / "completion"


def _filled(shell: str, **parts: list[str]) -> str:
    """Return the template of a shell with its marks, each a line ``@NAME@``, replaced."""
    text = (TEMPLATES / f"jailssh.{shell}.in").read_text()
    for name, lines in parts.items():
        if f"@{name}@\n" not in text:
            raise ValueError(f"{shell}: the template does not have @{name}@")
        text = text.replace(f"@{name}@\n", "".join(f"{line}\n" for line in lines))
    return text


def _everything() -> Iterator[Command]:
    """Yield the verbs, each with its actions behind it."""
    for command in verbs():
        yield command
        yield from command.actions


def _summary(text: str) -> str:
    """Return a short text for a list of choices."""
    return re.sub(r"\s+", " ", text).split(";")[0].strip()


def _repeats(argument: Argument) -> bool:
    return argument.nargs in ("*", "+")


_COMMON = ("--root", "--json")
"""Taken by every command, whether its parser says so or keeps it out of its help."""


# bash


def bash() -> str:
    """Return the script for bash."""
    names = " ".join(command.words[0] for command in verbs())
    return _filled(
        "bash",
        VERBS=[f"        _jailssh_take {names}"],
        COMMANDS=[line for command in _everything() for line in _bash_command(command)],
        JAILS=[f"    printf '%s\\n' {' '.join(values.jails())}"],
    )


def _bash_command(command: Command) -> Iterator[str]:
    """Yield a branch of ``case`` that sets what a command takes: options as ``--name=KIND`` or ``--name``."""
    options = [
        f"'{flag}{'=' + values.kind(command, each) if each.takes_value else ''}'"
        for each in command.options()
        for flag in each.flags
        if flag not in _COMMON
    ]
    operands = [f"'{values.kind(command, each)}{'...' if _repeats(each) else ''}'" for each in command.operands()]
    actions = " ".join(each.words[1] for each in command.actions)
    yield f"        '{' '.join(command.words)}')"
    yield f"            options=({' '.join(options)})"
    yield f"            operands=({' '.join(operands)})"
    if actions:
        yield f"            actions=({actions})"
    yield "            ;;"


# zsh


def _zsh_text(text: str) -> str:
    return re.sub(r"([\\\[\]:])", r"\\\1", _summary(text)).replace("'", "'\\''")


def _zsh_action(kind: str) -> str:
    if kind in values.KINDS:
        return "" if kind == "none" else f"_jailssh_{kind.replace('-', '_')}"
    return f"({kind})"


def _zsh_option(command: Command, argument: Argument) -> Iterator[str]:
    value = ""
    if argument.takes_value:
        value = f":{_zsh_text(argument.metavar)}:{_zsh_action(values.kind(command, argument))}"
    for flag in argument.flags:
        again = "*" if argument.repeated else ""
        yield f"'{again}{flag}[{_zsh_text(argument.help)}]{value}'"


def _zsh_operand(command: Command, argument: Argument, place: int) -> str:
    action = f"{_zsh_text(argument.metavar)}:{_zsh_action(values.kind(command, argument))}"
    return f"'*:{action}'" if _repeats(argument) else f"'{place}:{action}'"


def _zsh_specs(command: Command) -> list[str]:
    own = [each for each in command.options() if each.flags[0] not in _COMMON]
    shared = [each for each in common() if each.flags[0] in _COMMON]
    specs = [spec for each in (*own, *shared) for spec in _zsh_option(command, each)]
    return specs + [_zsh_operand(command, each, place) for place, each in enumerate(command.operands(), 1)]


def zsh() -> str:
    """Return the script for zsh."""
    return _filled(
        "zsh",
        VERBS=[f"        '{each.words[0]}:{_zsh_text(each.summary)}'" for each in verbs()],
        COMMANDS=[line for command in verbs() for line in _zsh_command(command)],
        JAILS=[f"    names=({' '.join(values.jails())})"],
    )


def _zsh_command(command: Command) -> Iterator[str]:
    yield f"        {' '.join(command.words)})"
    if not command.actions:
        yield f"            _arguments {' '.join(_zsh_specs(command))}"
    else:
        yield "            if (( CURRENT == 2 )); then"
        choices = " ".join(f"'{each.words[1]}:{_zsh_text(each.summary)}'" for each in command.actions)
        yield f"                verbs=({choices})"
        yield "                _describe action verbs"
        yield "                return"
        yield "            fi"
        yield "            shift words"
        yield "            (( CURRENT-- ))"
        yield "            case $words[1] in"
        for action in command.actions:
            yield f"                {action.words[1]}) _arguments {' '.join(_zsh_specs(action))} ;;"
        yield "            esac"
    yield "            ;;"


# fish


def _fish_text(text: str) -> str:
    return "'" + _summary(text).replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish() -> str:
    """Return the script for fish."""
    flags = [flag for each in common() for flag in _fish_flags(each, "directory")]
    lines = [f"complete -c jailssh -n __jailssh_no_verb {flag}" for flag in flags]
    for command in verbs():
        lines.append(f"complete -c jailssh -n __jailssh_no_verb -a {command.words[0]} -d {_fish_text(command.summary)}")
        lines += _fish_command(command)
    return _filled(
        "fish",
        VALUED=[f"            contains -- $word {' '.join(sorted(_valued()))}"],
        COMMANDS=lines,
        JAILS=[f"    printf '%s\\n' {' '.join(values.jails())}"],
    )


def _valued() -> set[str]:
    """Return the options that take a value; ValueError for one that does in one verb and not in another."""
    rows = [(flag, each.takes_value) for command in _everything() for each in command.options() for flag in each.flags]
    takes = {flag for flag, value in rows if value}
    if takes & {flag for flag, value in rows if not value}:
        raise ValueError("an option takes a value in one verb and none in another")
    return takes


def _fish_command(command: Command) -> Iterator[str]:
    for action in command.actions:
        seen = f"'__jailssh_at {command.words[0]} 1'"
        yield f"complete -c jailssh -n {seen} -a {action.words[1]} -d {_fish_text(action.summary)}"
        yield from _fish_command(action)
    words = " ".join(command.words)
    for each in command.options():
        kind = values.kind(command, each) if each.takes_value else ""
        for option in _fish_flags(each, kind):
            yield f"complete -c jailssh -n '__jailssh_in {words}' {option}"
    for place, each in enumerate(command.operands(), len(command.words)):
        test = f"__jailssh_from {place} {words}" if _repeats(each) else f"__jailssh_at {words} {place}"
        value = _fish_value(values.kind(command, each))
        if value:
            yield f"complete -c jailssh -n '{test}' {value}"


def _fish_flags(argument: Argument, kind: str) -> Iterator[str]:
    text = _fish_text(argument.help)
    value = f" {'-r' if kind == 'file' else '-x'} {_fish_value(kind)}".rstrip() if argument.takes_value else ""
    for flag in argument.flags:
        letter = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
        yield f"{letter} -d {text}{value}"


def _fish_value(kind: str) -> str:
    if kind == "none":
        return ""
    if kind == "file":
        return "-F"
    if kind not in values.KINDS:
        return f"-a '{kind}'"
    return f"-a '(__jailssh_{kind.replace('-', '_')})'"
