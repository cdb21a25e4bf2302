"""The fields of a rule, one row each: how a field stands in a plan, in ``jailssh plan show`` and in jailssh-rules(7).

The verbs and their numbers are the plan's contract: ``login/plan_ops.h`` has the same ones
(``tests/golden/test_ops.py``), and plans of installed hosts hold them.  So a field may get another name, and its verb
keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jailssh.policy.value_class import parse_class

UNBOUNDED = 1024
"""The most operands any rule takes; a command cannot hold more (64 KiB)."""
_COUNT = f"int:0:{UNBOUNDED}"


def _operands(least: str, most: str, name: str) -> str:
    if most == "0":
        return "  no operands"
    many = most if least == most else f"{least} to {most}"
    return f"  operands: {many}, {parse_class(name).describe()} unless stated above"


@dataclass(frozen=True, kw_only=True)
class RuleField:
    """A row: what :class:`jailssh.policy.rules.Rule` has in ``fields``, one but for the head, and how a plan holds it.

    ``kinds`` are those of a record's arguments (:mod:`jailssh.plan.ops`).  Records stand in the order of ``phase``.
    ``once``: there is one record at most, else one for each element of the field.  ``always``: the fields are the
    arguments of one record, empty or not.  ``describe`` makes the line for people from the arguments, as a format of
    :class:`jailssh.plan.words.Shown` or as a function.  ``help`` is for the manual page.
    """

    fields: tuple[str, ...]
    verb: str
    kinds: tuple[str, ...]
    phase: int
    once: bool
    always: bool = False
    describe: str | Callable[..., str]
    help: str

    def records(self, values: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Return the records for the fields' ``values`` as ``(verb, argument…)``; none where the field is empty."""
        if self.always:
            return [(self.verb, *(values[name] for name in self.fields))]
        value = values[self.fields[0]]
        if not value or value is True:
            return [(self.verb,)] if value else []
        if isinstance(value, str):
            return [(self.verb, value)]
        if self.once:
            return [(self.verb, *map(str, value))]
        if isinstance(value[0], str):
            return [(self.verb, each) for each in value]
        return [(self.verb, *map(_token, each)) for each in value]


def _token(value: str | bool) -> str:
    return value if isinstance(value, str) else "rw" if value else "ro"


RULE_FIELDS: tuple[RuleField, ...] = (
    RuleField(
        fields=("id", "plugin", "program"), verb="rule", kinds=("name", "name", "path"), phase=70, once=False,
        always=True, describe="rule {0} of plugin {1}: {2}",
        help="name of the rule in messages and records; plugin that it is from; program that runs, by its absolute "
        "path in the jail",
    ),
    RuleField(
        fields=("interactive_login",), verb="interactive", kinds=(), phase=71, once=True,
        describe="  interactive login",
        help="for a login without a command",
    ),
    RuleField(
        fields=("command_names",), verb="word", kinds=("text",), phase=72, once=False,
        describe="  first word {0}",
        help="spellings of the first word, each of one or two words; * alone takes the whole command, unsplit, as "
        "the last argument after argv_prefix, and only where no other rule fits",
    ),
    RuleField(
        fields=("argv0",), verb="argv0", kinds=("text",), phase=73, once=True, always=True,
        describe="  runs as {0}",
        help="name that the program gets as its first argument (default: last component of its path)",
    ),
    RuleField(
        fields=("argv_prefix",), verb="fixed", kinds=("text",), phase=74, once=False,
        describe="  runs with {0} first",
        help="arguments before everything that the client sent",
    ),
    RuleField(
        fields=("literal_words",), verb="literal", kinds=("text",), phase=75, once=False,
        describe="  then the word {0}",
        help="words that must follow the first one, in this order",
    ),
    RuleField(
        fields=("ignore_arguments",), verb="ignore-rest", kinds=(), phase=76, once=True,
        describe="  ignores all further words",
        help="drop what the client sent after the literal words",
    ),
    RuleField(
        fields=("short_flags",), verb="letters", kinds=("letters",), phase=77, once=True,
        describe="  option letters {0}",
        help="letters of the options without a value",
    ),
    RuleField(
        fields=("required_letters",), verb="need", kinds=("letters",), phase=78, once=True,
        describe="  requires the letters {0}",
        help="letters of options, with a value or without, that must be given",
    ),
    RuleField(
        fields=("required_options",), verb="need-long", kinds=("name",), phase=79, once=False,
        describe="  requires the option --{0}",
        help="names of long options that must be given",
    ),
    RuleField(
        fields=("single_use",), verb="once", kinds=("name",), phase=80, once=False,
        describe="  option {0} at most once",
        help="options that can be given only once, by letter or long name; a single character is both -x and --x",
    ),
    RuleField(
        fields=("cluster_tail",), verb="tail", kinds=("letter", "class"), phase=81, once=True,
        describe="  cluster may end in {0} and {1:class}",
        help="letter whose value is the rest of its cluster, and the class of that value",
    ),
    RuleField(
        fields=("short_options",), verb="short", kinds=("letter", "class"), phase=82, once=False,
        describe="  option -{0}: {1:class}",
        help="letters of the options with a value, glued or as the next word, each with its class",
    ),
    RuleField(
        fields=("long_options",), verb="long", kinds=("name", "class"), phase=83, once=False,
        describe="  option --{0}: {1:class}",
        help="names of the long options, each with its class",
    ),
    RuleField(
        fields=("argv_insert",), verb="insert", kinds=("text",), phase=84, once=False,
        describe="  inserts {0}",
        help="arguments after the client's options",
    ),
    RuleField(
        fields=("operand_marker",), verb="mark", kinds=("text",), phase=85, once=True,
        describe="  then the word {0}",
        help="word that is required between options and operands",
    ),
    RuleField(
        fields=("end_of_options",), verb="dashdash", kinds=(), phase=86, once=True,
        describe="  '--' is allowed before the operands",
        help="allow a word of two dashes between options and operands",
    ),
    RuleField(
        fields=("operand_classes",), verb="operand", kinds=("class",), phase=87, once=False,
        describe="  the next operand is {0:class}",
        help="classes of the first, the second and further operands; those after them are of the class in operands",
    ),
    RuleField(
        fields=("operands",), verb="operands", kinds=(_COUNT, _COUNT, "class"), phase=88, once=True,
        describe=_operands,
        help="least number of operands, the most, and their class; both numbers include those with a class of their "
        "own",
    ),
    RuleField(
        fields=("relative_to",), verb="base", kinds=("path",), phase=89, once=True,
        describe="  relative paths begin at {0}",
        help="directory at which relative paths of operands begin",
    ),
    RuleField(
        fields=("path_roots",), verb="below", kinds=("path",), phase=90, once=False,
        describe="  paths at or below {0}",
        help="directories that contain all paths, or are the path",
    ),
    RuleField(
        fields=("repository_patterns",), verb="like", kinds=("path",), phase=91, once=False,
        describe="  repositories like {0}",
        help="patterns of repositories, absolute; in a component * is any part that does not begin with a dot, and "
        "** as the last component is one or more of them",
    ),
    RuleField(
        fields=("glob",), verb="glob", kinds=(), phase=92, once=True,
        describe="  expands file name patterns inside the jail",
        help="expand operands as patterns of file names, inside the jail",
    ),
    RuleField(
        fields=("environment",), verb="rule-env", kinds=("env", "text"), phase=93, once=False,
        describe="  environment {0}={1}",
        help="variables that the program gets, names and values; %p at the beginning of a value is the path in the "
        "command",
    ),
    RuleField(
        fields=("pre_command",), verb="first", kinds=("text",), phase=94, once=False,
        describe="  runs before it, with the word {0}",
        help="words of a command that runs before the program, silently; %p as a word is the path in the command; "
        "if it fails, the login is refused",
    ),
    RuleField(
        fields=("stderr_to_journal",), verb="log", kinds=(), phase=95, once=True,
        describe="  logs its messages to the journal",
        help="write to the journal, not to the user, what the program writes to its standard error",
    ),
    RuleField(
        fields=("builtin_reply",), verb="answer", kinds=("enum:0,126", "text"), phase=96, once=True,
        describe="  runs nothing, ends with status {0}: {1}",
        help="execute nothing: end with status 0, or deny (126) with this line for the user",
    ),
    RuleField(
        fields=("noexec",), verb="alone", kinds=(), phase=97, once=True,
        describe="  executes nothing after its start",
        help="once the program runs, execute nothing in its process or below it (EPERM); for a program that files "
        "of the account can tell to run others; what the program loads or interprets itself is not restricted",
    ),
    RuleField(
        fields=("create_only",), verb="keep", kinds=(), phase=98, once=True,
        describe="  creates files; cannot overwrite, move or remove any",
        help="create files, and never overwrite, move or remove one, whatever the modes allow; the program must "
        "open files for writing with O_CREAT and O_TRUNC, as sftp-server does",
    ),
    RuleField(
        fields=("accessible_directories",), verb="within", kinds=("path", "enum:ro,rw"), phase=99, once=False,
        describe="  can use only the directory {0}, {1:mode}",
        help="of the directories in the jail those that the program can use, each with whether it can change it "
        "(default: all)",
    ),
)  # fmt: skip
