"""Import of Jailkit's ``jk_lsh.ini``: what Jailkit enforces for one account, as settings of a jail.

Jailkit reads the file with a parser of its own, which finds other things in it than the text seems to say: a key that
is the beginning of another is that other, a ``[`` within a value opens a section, a value ends after 1023 bytes.  What
comes out here is what Jailkit does; wherever that is not what the text says, or cannot be kept, there is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.core.names import is_clean_absolute
from jailssh.jailkit.ini import CIni, Doubt, Section
from jailssh.sources.found import Effect

KEYS = ("executables", "paths", "allow_word_expansion", "umask", "environment")
_HOME = "~"
# What a program becomes: plugin and settings.  Jailkit does not restrict paths; the home is what a jail can promise.
_PLUGINS: dict[str, tuple[str, dict[str, str]]] = {
    "sftp-server": ("sftp", {}),
    "scp": ("scp", {}),
    "rsync": ("rsync", {"read": _HOME, "write": _HOME}),
    "git": ("git", {"write": _HOME}),
    "git-upload-pack": ("git", {"read": _HOME}),
    "git-receive-pack": ("git", {"write": _HOME}),
    "git-upload-archive": ("git", {"archive": "yes"}),
    "cvs": ("cvs", {"repositories": _HOME}),
    "svnserve": ("svn", {"root": _HOME}),
    "hg": ("hg", {"write": _HOME}),
    "borg": ("borg", {"paths": _HOME}),
}


@dataclass(frozen=True)
class Imported:
    """Settings by section of a jail file (``""`` is its top) and key, and the warnings in the file's order."""

    section: str
    settings: Mapping[str, Mapping[str, str | tuple[str, ...]]]
    warnings: tuple[Doubt, ...]

    def as_text(self) -> str:
        """Return the jail file that holds the settings, each warning above them as a comment."""
        out = [f"# line {warning.line}: {warning.text}" for warning in self.warnings]
        for name, values in self.settings.items():
            out += [f"\n[{name}]"] if name else []
            for key, value in values.items():
                listed = value if isinstance(value, tuple) else (value,)
                out.append(f"{key} = " + ", ".join(f'"{text}"' for text in listed))
        return "\n".join(out) + "\n"


def read(
    text: str,
    user: str,
    group: str,
    *,
    legacy_umask: bool = False,
    strict: bool = False,
    find: Callable[[str], str] = lambda _name: "",
) -> Imported:
    """Return what Jailkit enforces for ``user`` with the primary group ``group``.

    ``find`` gives the program that a name means in a jail, "" for none: a name that would mean another one than
    Jailkit's ``paths`` give is left away, and its path alone allowed.
    ``legacy_umask`` keeps Jailkit's umask 000 where the file names none.  ``strict`` turns the warnings into errors.
    Raises :class:`ConfigError` where Jailkit lets nobody in: no section, no executables.
    """
    file = CIni(text)
    section = file.choose(KEYS, user, group)
    if section is None:
        raise ConfigError(
            "jk_lsh.ini", f"has no section for {user}, group {group} or DEFAULT, so Jailkit denies every login"
        )
    top: dict[str, str | tuple[str, ...]] = {}
    settings: dict[str, dict[str, str | tuple[str, ...]]] = {"": top}
    _executables(file, section, settings, find)
    top["plugins"] = tuple(name for name in settings if name)
    if not top["plugins"]:
        raise ConfigError(f"jk_lsh.ini [{section.name}]", "none of its executables can be imported")
    _umask(file, section, top, legacy=legacy_umask)
    if section.number("allow_word_expansion"):
        file.warn(
            section.at("allow_word_expansion"), "Jailkit expands variables and patterns, jailssh does not", Effect.LOST
        )
    elif section.text("allow_word_expansion").strip() not in ("", "0"):
        file.warn(section.at("allow_word_expansion"), "is not a number for Jailkit, so it is off")
    environment = dict(_environment(file, section))
    if environment:
        settings["env"] = {**environment}
    warnings = file.sorted_doubts()
    if strict and warnings:
        errors: list[JailsshError] = [ConfigError(f"jk_lsh.ini:{each.line}", each.text) for each in warnings]
        raise ManyErrors(errors) if len(errors) > 1 else errors[0]
    return Imported(section.name, settings, warnings)


def _executables(
    file: CIni, section: Section, settings: dict[str, dict[str, str | tuple[str, ...]]], find: Callable[[str], str]
) -> None:
    at, programs = section.at("executables"), section.words("executables")
    if not programs:
        raise ConfigError("jk_lsh.ini", "the section has no executables, so Jailkit denies every login")
    paths = section.words("paths")
    commands: dict[str, None] = {}
    for program in programs:
        folder, _, name = program.rpartition("/")
        if not is_clean_absolute(program) or not re.match(r"[A-Za-z0-9_.,:+@%/~-]+\Z", program):
            file.warn(at, f"executables: {program} cannot be the program of a command", Effect.LOST)
            continue
        found = folder in paths
        earlier = [path for path in paths[: paths.index(folder)] if path != folder] if found else []
        if any(f"{path}/{name}" in programs for path in earlier):
            found = False
        elif earlier:
            file.warn(
                at, f"{name}: Jailkit looks in {', '.join(earlier)} first and denies programs there", Effect.CHANGED
            )
        if name in _PLUGINS and (found or name == "sftp-server"):
            _plugin(file, at, name, settings)
            continue
        if name in _PLUGINS:
            file.warn(
                at,
                f"{program}: clients send {name!r}, which is not in paths; only its full path is allowed",
                Effect.CHANGED,
            )
        here = find(name) if found else ""
        if here and here.removeprefix("/usr") != program.removeprefix("/usr"):
            found = False
            file.warn(at, f"{name}: is {here} in a jail; only the full path {program} is allowed", Effect.CHANGED)
        file.warn(at, f"{program}: Jailkit does not check arguments; write out those that are needed", Effect.CHANGED)
        commands[f"{name if found else program} <anything>"] = None
    if commands:
        settings["command"] = {"commands": tuple(commands)}


def _plugin(file: CIni, at: int, name: str, settings: dict[str, dict[str, str | tuple[str, ...]]]) -> None:
    plugin, given = _PLUGINS[name]
    mine = settings.setdefault(plugin, {})
    mine.update(given)
    if plugin == "git":
        if "write" in mine:  # what may be pushed to may be fetched
            mine.pop("read", None)
        elif "read" not in mine:
            mine["read"] = _HOME
    if given:
        file.warn(at, f"{name}: Jailkit allows all of the jail and any options; jailssh allows the home", Effect.CLOSED)
    elif plugin == "scp" and "sftp" not in settings:
        file.warn(at, "scp: Jailkit denies scp of OpenSSH 9 and later (SFTP); jailssh allows it", Effect.CHANGED)


def _umask(file: CIni, section: Section, top: dict[str, str | tuple[str, ...]], *, legacy: bool) -> None:
    found = section.octal("umask")
    if found is not None:
        top["umask"] = f"{found & 0o777:03o}"
        return
    kept = "jailssh keeps it" if legacy else "jailssh uses that of the jail"
    file.warn(
        section.at("umask"),
        f"without a readable umask Jailkit uses 000 (new files are writable for all); {kept}",
        Effect.NOTE if legacy else Effect.CLOSED,
    )
    if legacy:
        top["umask"] = "000"


def _environment(file: CIni, section: Section) -> Iterator[tuple[str, str]]:
    at = section.at("environment")
    for entry in section.words("environment"):
        name, _, value = entry.partition("=")
        if entry.count("=") != 1 or not name.strip():
            file.warn(at, f"environment: {entry} has no effect: it does not have exactly one '='")
        elif not value.strip().isprintable() or '"' in value:
            file.warn(at, f"environment: {name.strip()} has characters that cannot be kept", Effect.LOST)
        else:
            yield name.strip(), value.strip()
