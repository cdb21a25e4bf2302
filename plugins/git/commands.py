"""What ``ssh git@host COMMAND`` can be: one program of the image (jailssh/repos), and rules for who may what.

The matcher judges names and rights as it does for pushes; the program gets the one name under which git opens a
repository, and does nothing to any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from jailssh.core.closed import Word
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Grant, Jail, Rule, Value
from jailssh_plugins.git.program import find_git
from jailssh_plugins.git.served import Served, has_table
from jailssh_plugins.git.serving import Pairs, in_parts

PROGRAM = "jailssh-repos"
"""The program that does what is asked for."""

_WORDS_MOST = 200
"""Of a description, beside the repository."""


class Command(Word):
    """What the setting ``commands`` can name."""

    INFO = "info"
    LIST = "list"
    CREATE = "create"
    DESCRIBE = "describe"
    SET_HEAD = "set-head"
    DELETE = "delete"  # and restore


_NEEDS: Mapping[Command, Grant] = {
    Command.INFO: Grant.READ, Command.LIST: Grant.READ, Command.CREATE: Grant.CREATE, Command.DESCRIBE: Grant.READ,
    Command.SET_HEAD: Grant.WRITE, Command.DELETE: Grant.CREATE,
}  # fmt: skip
_NO = {
    Command.CREATE: "creating repositories is not allowed for this {who}",
    Command.SET_HEAD: "changing HEAD is not allowed for this {who}",
    Command.DELETE: "deleting repositories is not allowed for this {who}",
}


def commands_of(settings: Mapping[str, Value]) -> tuple[Command, ...]:
    """Return what the setting names, in the order of :class:`Command`; raise for what is none, or cannot be."""
    given = settings["commands"] if isinstance(settings["commands"], tuple) else ()
    known = [command.value for command in Command]
    for word in given:
        if word not in known:
            raise ConfigError("[git] commands", f"{word!r} is not a command", hint=f"one or more of: {' '.join(known)}")
    wanted = tuple(command for command in Command if command.value in given)
    if not has_table(settings) and (lost := [each for each in wanted if _NEEDS[each] is Grant.CREATE]):
        why = f"{lost[0].value!r} needs a table of rights, which says what may be created"
        raise ConfigError("[git] commands", why, hint="set roots and rights in the place of read and write")
    return wanted


def copies(settings: Mapping[str, Value]) -> int:
    """Return in how many rules of an account the rights to references are, beside those for pushes."""
    # To delete is two: one takes back.
    return sum({Command.SET_HEAD: 1, Command.DELETE: 2}.get(command, 0) for command in commands_of(settings))


def find(jail: Jail) -> str:
    """Return the path of the program in the image."""
    path = jail.find_program(PROGRAM)
    if path is None:
        raise ConfigError(PROGRAM, "not found on this host", hint="install jailssh anew")
    return path


def rules(
    jail: Jail, account: Account, settings: Mapping[str, Value], may: Mapping[Grant, Served], forced: Pairs,
    judged: Pairs,
) -> Iterator[Rule]:  # fmt: skip
    """Yield the rules of the commands for ``account``.

    ``may`` is what it may do to which repositories; ``forced`` are the variables with which git serves, ``judged``
    those of the rights to references.
    """
    program, wanted = find(jail), commands_of(settings)
    roots = may[Grant.READ].roots if may else ()
    forced = (("JAILSSH_ROOTS", "\n".join(roots)), *forced)
    for command in wanted:
        grant = _NEEDS[command]
        if grant not in may:
            yield from _refused(command, program, account)
            continue
        rule = Rule(f"git.{command.value}", "git", program, (command.value,), argv_prefix=(command.value,))
        if command in (Command.INFO, Command.LIST):
            yield replace(rule, environment=(forced[0], *in_parts("JAILSSH_RIGHTS", _rights(may))))
        elif command is Command.CREATE:
            by = (*forced, ("JAILSSH_GIT", find_git(jail)))
            yield _on(rule, may[grant], by, kind="new-repository", id="git.create-empty")
        elif command is Command.DESCRIBE:
            yield _on(rule, may[grant], forced, id="git.description")
            if Grant.WRITE in may:
                most = 1 + _WORDS_MOST
                yield _on(rule, may[Grant.WRITE], forced, operand_classes=("repository",), operands=(2, most, "text"))
        elif command is Command.SET_HEAD:
            classes, operands = ("repository",), (2, 2, "text")
            yield _on(rule, may[grant], (*forced, *judged), operand_classes=classes, operands=operands)
        else:
            yield _on(rule, may[grant], (*forced, *judged))
            back = replace(rule, id="git.restore", command_names=("restore",), argv_prefix=("restore",))
            yield _on(back, may[grant], (*forced, *judged), kind="new-repository")


def _on(
    rule: Rule,
    served: Served,
    environment: Pairs,
    *,
    kind: str = "repository",
    id: str = "",
    operand_classes: tuple[str, ...] = (),
    operands: tuple[int, int, str] | None = None,
) -> Rule:
    """Return the rule for repositories of ``served``; the one that is named is the only operand, or the first."""
    return replace(
        rule,
        id=id or rule.id,
        operand_classes=operand_classes,
        operands=operands or (1, 1, kind),
        relative_to=served.base,
        path_roots=served.roots,
        repository_patterns=served.like,
        environment=environment,
    )


def _refused(command: Command, program: str, account: Account) -> Iterator[Rule]:
    """Yield what answers a command to which the account has no right."""
    who = "account" if account.name in account.roles else "key"
    text = _NO.get(command, "no repository access for this {who}").format(who=who)
    words = (command.value, "restore") if command is Command.DELETE else (command.value,)
    yield Rule(f"git.no-{command.value}", "git", program, words, ignore_arguments=True, builtin_reply=(126, text))


def _rights(may: Mapping[Grant, Served]) -> list[str]:
    """Return lines ``RIGHT PATTERN``, the most that there is for each pattern and the greater rights first."""
    lines: dict[str, Grant] = {}
    for grant in reversed(Grant):
        if served := may.get(grant):
            # Below a directory without patterns each name is a repository's, and it may be one itself.
            for pattern in served.like or [f"{root}{more}" for root in served.roots for more in ("", "/**")]:
                lines.setdefault(pattern, grant)
    return [f"{grant.value} {pattern}" for pattern, grant in lines.items()]
