"""The manual pages: the hand-written texts of packaging/man with what the code says filled in.

A line ``@NAME WORD…@`` of a text stands for what the function of that name in :data:`PARTS` makes.  The text of a verb
(``verbs/VERB.mdoc``) begins with its description; head, synopsis, options, exit status and examples are added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import explained
import mdoc
from command_line import Command, common, verbs

from jailssh.checks import chroot
from jailssh.checks.table import CHECKS
from jailssh.config import settings
from jailssh.config.settings import Setting, plugin_settings
from jailssh.core.home_readers import HOME_READERS, WAYS
from jailssh.core.journal_fields import FIELDS, MESSAGE_IDS
from jailssh.plugin.registry import load_registry
from jailssh.policy.rule_fields import RULE_FIELDS
from jailssh.policy.value_class import choices

TEXTS = Path(__file__).resolve().parent.parent / "man"
PROFILES = Path(__file__).resolve().parents[2] / "jailssh" / "profiles"
REVISED = "November 28, 2026"
# Said once, in jailssh(8).
EVERYWHERE = ("-h", "--root", "--json")

KINDS = {
    "addresses": "addresses and networks",
    "bool": "yes or no",
    "bound": "a number from 1, or none",
    "count": "a number",
    "duration": "a time",
    "hours": "hours of the week",
    "int": "a number",
    "memory": "a size, a percentage, or none",
    "moment": "a date",
    "most": "a number from 1",
    "names": "names of variables",
    "nice": "0 to 19",
    "octal": "an octal number",
    "octal?": "an octal number",
    "path": "a path",
    "paths": "paths",
    "percent": "a percentage, or none",
    "rate": "a rate",
    "rights": "lines of rights, or a file",
    "seconds": "seconds",
    "size": "a size",
    "size?": "a size",
    "text": "text",
    "texts": "texts",
    "weight": "1 to 10000, or none",
    "word": "a word",
    "words": "words",
}
"""What the kinds of settings are called in the pages; jailssh.conf(5) says how each is written."""


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    commands = verbs()
    parts = _parts(commands)
    made = {path.name.removesuffix(".in"): _filled(path.read_text(), parts) for path in sorted(TEXTS.glob("*.in"))}
    for command in commands:
        text = (TEXTS / "verbs" / f"{command.words[0]}.mdoc").read_text()
        made[f"jailssh-{command.words[0]}.8"] = _filled(_whole(command, text), parts)
    return made


def _parts(commands: tuple[Command, ...]) -> dict[str, Callable[..., Iterator[str]]]:
    """Return the functions by the names that the texts use."""
    by_name = {command.words[0]: command for command in commands}
    return {
        "revised": lambda: iter([f".Dd {REVISED}"]),
        "common": lambda: mdoc.definitions((mdoc.flags(each), [*mdoc.running(each.help)]) for each in common()),
        "verbs": lambda: mdoc.definitions(
            (f"Xr jailssh-{name} 8", [*mdoc.running(command.summary)]) for name, command in by_name.items()
        ),
        "options": lambda verb: _options(by_name[verb]),
        "examples": lambda verb: mdoc.examples(by_name[verb].examples),
        "settings": _settings,
        "plugin": _plugin,
        "profiles": _profiles,
        "home-readers": _home_readers,
        "fields": lambda: mdoc.definitions((f"Va {name}", [*mdoc.running(text)]) for name, text in FIELDS.items()),
        "events": _events,
        "reasons": _reasons,
        "rule-fields": _rule_fields,
        "checks": _checks,
    }


def _checks(digit: str) -> Iterator[str]:
    """Return the kinds of findings of a family, by id; those of ``--dir`` stand with the images."""
    kinds = sorted({kind for check in (*CHECKS, chroot.CHECK) for kind in check.kinds}, key=lambda kind: kind.id)
    yield from mdoc.definitions(
        (
            f"Sy {kind.id} ( {kind.severity} )",
            [*mdoc.running(f"{kind.title[:1].upper()}{kind.title[1:]}."), *mdoc.running(kind.why),
             *mdoc.running(f"Cure: {kind.cure}.")],
        )
        for kind in kinds
        if kind.id.startswith(f"JSH-{digit}")
    )  # fmt: skip


def _filled(text: str, parts: dict[str, Callable[..., Iterator[str]]]) -> str:
    """Return ``text`` with each line ``@NAME WORD…@`` replaced."""

    def replacement(match: re.Match[str]) -> str:
        name, *words = match[1].split()
        return "".join(f"{line}\n" for line in parts[name](*words))

    return re.sub(r"^@([a-z-]+(?: [\w-]+)*)@\n", replacement, text, flags=re.MULTILINE)


def _whole(command: Command, text: str) -> str:
    """Return the page of a verb with its marks: what its text lacks is put in."""
    verb = command.words[0]
    head = [f".Dd {REVISED}", f".Dt JAILSSH-{verb.upper()} 8", ".Os", ".Sh NAME", f".Nm jailssh-{verb}"]
    head.append(f".Nd {mdoc.plain(command.summary)}")
    if ".Sh SYNOPSIS" not in text:
        head += [".Sh SYNOPSIS", *_synopsis(command), ".Sh DESCRIPTION"]
    if "@options" not in text:
        end = r"(?=^\.Sh (?!SYNOPSIS|DESCRIPTION)|^\.Ss )"
        text = re.sub(end, f"@options {verb}@\n", text, count=1, flags=re.MULTILINE)
    tail = ""
    if ".Sh EXIT STATUS" not in text:
        tail += ".Sh EXIT STATUS\nSee\n.Xr jailssh 8 .\n"
    if "@examples" not in text:
        tail += f".Sh EXAMPLES\n@examples {verb}@\n"
    return "\n".join(head) + "\n" + text.replace(".Sh SEE ALSO\n", f"{tail}.Sh SEE ALSO\n")


def _synopsis(command: Command) -> Iterator[str]:
    for each in command.actions or (command,):
        yield from mdoc.synopsis(each, EVERYWHERE)


def _options(command: Command) -> Iterator[str]:
    """Yield what the verb takes; of one with actions, what each of them is and takes."""
    if not command.actions:
        yield from mdoc.arguments(command, EVERYWHERE)
    for action in command.actions:
        yield f".Ss {' '.join(action.words)}"
        yield from mdoc.running(action.summary)
        yield from mdoc.arguments(action, EVERYWHERE)


def _kind(kind: str) -> str:
    return " or ".join(choices(kind)) or KINDS[kind]


def _rows(rows: tuple[Setting, ...]) -> Iterator[str]:
    def facts(row: Setting) -> list[str]:
        more = [";", "default", f".Ql {mdoc.word(row.default)}"] if row.default else []
        more += [";", "formerly", f".Ic {mdoc.word(row.former)}"] if row.former else []
        return (
            [f".Po {mdoc.word(_kind(row.kind))}{more[0]}", *more[1:], ".Pc"]
            if more
            else [f".Pq {mdoc.word(_kind(row.kind))}"]
        )

    yield from mdoc.definitions((f"Ic {mdoc.word(row.name)}", [*mdoc.running(row.help), *facts(row)]) for row in rows)


def _settings(table: str, section: str = "") -> Iterator[str]:
    """Yield the settings of ``main``, ``jail`` or ``user``, those of one section ("" is the top of the file)."""
    rows: tuple[Setting, ...] = getattr(settings, table.upper())
    yield from _rows(tuple(row for row in rows if row.section == section))


def _plugin(name: str) -> Iterator[str]:
    plugin = load_registry().get(name)
    yield from mdoc.running(plugin.summary)
    yield from _rows(plugin_settings(name, plugin.options))


def _profiles() -> Iterator[str]:
    for_each = {}
    for path in sorted(PROFILES.glob("*.conf")):
        found = re.search(r'^summary = "?(.*?)"?$', path.read_text(), re.MULTILINE)
        if found is None:
            raise SystemExit(f"{path}: has no summary")
        for_each[path.stem] = found[1]
    yield from mdoc.definitions((f"Cm {name}", [mdoc.plain(text)]) for name, text in for_each.items())


def _home_readers() -> Iterator[str]:
    for n, (way, means) in enumerate(WAYS.items()):
        if n:
            yield ".Pp"
        yield mdoc.plain(f"{mdoc.sentence(means).rstrip('.')}:")
        rows = [row for row in HOME_READERS if row.closed == way]
        yield from mdoc.definitions(
            (
                f"Pa {mdoc.word('~/' + row.path + ('/' if row.kind == 'directory' else ''))}",
                [mdoc.plain(f"{', '.join(row.programs)}: {row.why}.")],
            )
            for row in rows
        )


def _events() -> Iterator[str]:
    words = explained.read()
    for name, message_id in MESSAGE_IDS.items():
        yield f".Ss {name}"
        yield f".Li {message_id}"
        yield ".Pp"
        yield from mdoc.running(words.events[name].text)


def _reasons(event: str) -> Iterator[str]:
    words = explained.read()
    yield from mdoc.definitions(
        (f"Li {code}", [each for line in lines for each in mdoc.running(line)]) for code, lines in words.reasons(event)
    )


def _rule_fields() -> Iterator[str]:
    """Yield the fields of a rule, each with the verb that it has in a plan."""
    yield from mdoc.definitions(
        (" , ".join(f"Va {name}" for name in row.fields), [*mdoc.running(row.help), f".Pq Cm {row.verb}"])
        for row in RULE_FIELDS
    )
