"""The command line as data, read from the argparse parsers: for the manual pages and for completion.

argparse has no public way to ask a parser for its arguments; the few private attributes that this needs are used here
alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from jailssh.console.main import VERBS, main_parser, verb_module, verb_parser


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One option or operand.

    ``flags`` is empty for an operand.  ``metavar`` names the value, "" where there is none; ``choices`` are its only
    values.  ``nargs`` as in argparse.  ``group``: at most one of the options with the same number may be given.
    """

    flags: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...]
    nargs: str | int | None
    required: bool
    repeated: bool
    group: int | None

    @property
    def takes_value(self) -> bool:
        """True for an operand, and for an option that needs a value."""
        return bool(self.metavar)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A verb, or an action of a verb, whose ``words`` are then two: ``("keys", "add")``.

    ``usage`` is "" where argparse makes it.  ``actions`` are the actions of a verb that has some.
    """

    words: tuple[str, ...]
    summary: str
    usage: str
    examples: tuple[str, ...]
    arguments: tuple[Argument, ...]
    actions: tuple[Command, ...] = ()

    def options(self) -> Iterator[Argument]:
        """Yield the options."""
        return (each for each in self.arguments if each.flags)

    def operands(self) -> Iterator[Argument]:
        """Yield the operands, in their order."""
        return (each for each in self.arguments if not each.flags)


def verbs() -> tuple[Command, ...]:
    """Return every verb, in the order of ``jailssh --help``."""
    return tuple(_verb(name) for name in VERBS)


def common() -> tuple[Argument, ...]:
    """Return the options that stand before the verb, or after it."""
    return tuple(each for each in _arguments(main_parser()) if each.flags)


def _verb(name: str) -> Command:
    module = verb_module(name)
    parser = verb_parser(name, module)
    actions: list[Command] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            actions += [_command((name, word), sub, helps[word]) for word, sub in action.choices.items()]
    return _command((name,), parser, VERBS[name], tuple(module.EXAMPLES), tuple(actions))


def _command(
    words: tuple[str, ...],
    parser: argparse.ArgumentParser,
    summary: str,
    examples: tuple[str, ...] = (),
    actions: tuple[Command, ...] = (),
) -> Command:
    return Command(
        words=words,
        summary=summary,
        usage=parser.usage or "",
        examples=examples,
        arguments=tuple(_arguments(parser)),
        actions=actions,
    )


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    groups = {action: n for n, group in enumerate(parser._mutually_exclusive_groups) for action in group._group_actions}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        takes = action.nargs != 0
        choices = tuple(map(str, action.choices)) if action.choices else ()
        yield Argument(
            flags=tuple(action.option_strings),
            metavar=_metavar(action, choices) if takes else "",
            help=(action.help or "") % {"default": action.default, "prog": parser.prog},
            choices=choices,
            nargs=action.nargs,
            required=action.required,
            repeated=isinstance(action, argparse._AppendAction),
            group=groups.get(action),
        )


def _metavar(action: argparse.Action, choices: tuple[str, ...]) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    return action.metavar or "|".join(choices) or action.dest.upper()
