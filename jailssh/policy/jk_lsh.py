"""Import of Jailkit's ``jk_lsh.ini``: what Jailkit enforces for one account, as settings of a jail.

Jailkit reads the file with a parser of its own, which finds other things in it than the text seems to say: a key that
is the beginning of another is that other, a ``[`` within a value opens a section, a value ends after 1023 bytes.  What
comes out here is what Jailkit does; wherever that is not what the text says, or cannot be kept, there is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.core.names import is_clean_absolute

KEYS = ("executables", "paths", "allow_word_expansion", "umask", "environment")
_MAX_NAME = 255
_MAX_VALUE = 1023
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
class Remark:
    """Where what Jailkit enforces, or what is kept of it, differs from the text; ``line`` counts from 1."""

    line: int
    text: str


@dataclass(frozen=True)
class Imported:
    """Settings by section of a jail file (``""`` is its top) and key, and the warnings in the file's order."""

    section: str
    settings: Mapping[str, Mapping[str, str | tuple[str, ...]]]
    warnings: tuple[Remark, ...]

    def as_text(self) -> str:
        """Return the jail file that holds the settings, each warning above them as a comment."""
        out = [f"# line {warning.line}: {warning.text}" for warning in self.warnings]
        for name, values in self.settings.items():
            out += [f"\n[{name}]"] if name else []
            for key, value in values.items():
                listed = value if isinstance(value, tuple) else (value,)
                out.append(f"{key} = " + ", ".join(f'"{text}"' for text in listed))
        return "\n".join(out) + "\n"


@dataclass
class _File:
    """The text, the section that applies (the index behind its ``]``), and the warnings so far."""

    text: str
    start: int = 0
    warnings: list[Remark] = field(default_factory=list)

    def warn(self, index: int, text: str) -> None:
        self.warnings.append(Remark(self.text.count("\n", 0, index) + 1, text))

    def sections(self) -> Iterator[tuple[int, int, str]]:
        """Yield (index of ``[``, index behind ``]``, name) as Jailkit sees them."""
        at = 0
        while at < len(self.text):
            if self.text[at] == "#" and (at == 0 or self.text[at - 1] == "\n"):
                at = (self.text.find("\n", at) + 1) or len(self.text)
            elif self.text[at] == "[":
                end = self.text.find("]", at)
                if end < 0:
                    return
                yield at, end + 1, self.text[at + 1 : end]
                at = end + 1
            else:
                at += 1

    def pairs(self) -> Iterator[tuple[int, str, str]]:
        """Yield (index, key without blanks, value) of the lines of the section."""
        at = self.start
        for line in self.text[at:].split("\n"):
            if line.lstrip().startswith("["):
                return
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                yield at, key, value
            at += len(line) + 1


def read(text: str, user: str, group: str, *, legacy_umask: bool = False, strict: bool = False) -> Imported:
    """Return what Jailkit enforces for ``user`` with the primary group ``group``.

    ``legacy_umask`` keeps Jailkit's umask 000 where the file names none.  ``strict`` turns the warnings into errors.
    Raises :class:`ConfigError` where Jailkit lets nobody in: no section, no executables.
    """
    file = _File(text)
    section = _choose(file, user, group)
    values = _values(file)
    top: dict[str, str | tuple[str, ...]] = {}
    settings: dict[str, dict[str, str | tuple[str, ...]]] = {"": top}
    _executables(file, values, settings)
    top["plugins"] = tuple(name for name in settings if name)
    if not top["plugins"]:
        raise ConfigError(f"jk_lsh.ini [{section}]", "none of its executables can be imported")
    _umask(file, values, top, legacy=legacy_umask)
    if _number(values, "allow_word_expansion"):
        file.warn(values["allow_word_expansion"][0], "Jailkit expands variables and patterns, jailssh does not")
    elif "allow_word_expansion" in values and values["allow_word_expansion"][1].strip() not in ("", "0"):
        file.warn(values["allow_word_expansion"][0], "is not a number for Jailkit, so it is off")
    environment = dict(_environment(file, values))
    if environment:
        settings["env"] = {**environment}
    warnings = tuple(sorted(file.warnings, key=lambda warning: warning.line))
    if strict and warnings:
        errors: list[JailsshError] = [ConfigError(f"jk_lsh.ini:{each.line}", each.text) for each in warnings]
        raise ManyErrors(errors) if len(errors) > 1 else errors[0]
    return Imported(section, settings, warnings)


def _choose(file: _File, user: str, group: str) -> str:
    """Set the start of the section that applies and return its name."""
    found = list(file.sections())
    for wanted in (user, f"group {group}", "DEFAULT"):
        same = [(begin, end) for begin, end, name in found if name == wanted]
        if not same:
            continue
        file.start = same[0][1]
        if file.text[file.text.rfind("\n", 0, same[0][0]) + 1 : same[0][0]].strip():
            file.warn(same[0][0], f"[{wanted}] is within a value, but opens a section")
        for begin, _ in same[1:]:
            file.warn(begin, f"this second section [{wanted}] has no effect")
        for begin, _, name in found:
            if len(name) > _MAX_NAME:
                file.warn(begin, "a section name of more than 255 bytes makes Jailkit crash")
            elif name not in (wanted, "DEFAULT") and " ".join(name.split()).lower() == wanted.lower():
                file.warn(begin, f"[{name}] is not [{wanted}] for Jailkit and has no effect")
        return wanted
    raise ConfigError(
        "jk_lsh.ini", f"has no section for {user}, group {group} or DEFAULT, so Jailkit denies every login"
    )


def _values(file: _File) -> dict[str, tuple[int, str]]:
    """Return index and value of each key: the first line whose key, without blanks, is a beginning of it."""
    out: dict[str, tuple[int, str]] = {}
    for at, written, value in file.pairs():
        key = "".join(written.split())
        meant = [name for name in KEYS if key and name.startswith(key)]
        fresh = [name for name in meant if name not in out]
        for name in fresh:
            held = value.encode("utf-8", "surrogateescape")[:_MAX_VALUE].decode("utf-8", "ignore")
            out[name] = (at, held)
            if written.strip() != name:
                file.warn(at, f"{written.strip()!r} is read as {name}")
            if held != value:
                file.warn(at, f"{name}: everything after the first {_MAX_VALUE} bytes has no effect")
            if re.search(r"\s[#;]", held):
                file.warn(at, f"{name}: the comment is part of the value")
        if not fresh:
            file.warn(at, f"{written.strip()!r} has no effect" + (": it was set above" if meant else ""))
    return out


def _list(values: Mapping[str, tuple[int, str]], key: str) -> tuple[int, list[str]]:
    at, value = values.get(key, (0, ""))
    return at, [part.strip() for part in value.split(",") if part.strip()]


def _number(values: Mapping[str, tuple[int, str]], key: str, digits: str = "0-9") -> str:
    """Return the digits that ``sscanf`` takes from the beginning of the value, without leading zeros; else ``""``."""
    found = re.match(rf"\s*([{digits}]+)", values.get(key, (0, ""))[1])
    return found[1].lstrip("0") if found else ""


def _executables(
    file: _File, values: Mapping[str, tuple[int, str]], settings: dict[str, dict[str, str | tuple[str, ...]]]
) -> None:
    at, programs = _list(values, "executables")
    if not programs:
        raise ConfigError("jk_lsh.ini", "the section has no executables, so Jailkit denies every login")
    _, paths = _list(values, "paths")
    commands: dict[str, None] = {}
    for program in programs:
        folder, _, name = program.rpartition("/")
        if not is_clean_absolute(program) or not re.match(r"[A-Za-z0-9_.,:+@%/~-]+\Z", program):
            file.warn(at, f"executables: {program} cannot be the program of a command")
            continue
        found = folder in paths
        earlier = [path for path in paths[: paths.index(folder)] if path != folder] if found else []
        if any(f"{path}/{name}" in programs for path in earlier):
            found = False
        elif earlier:
            file.warn(at, f"{name}: Jailkit looks in {', '.join(earlier)} first and denies programs there")
        if name in _PLUGINS and (found or name == "sftp-server"):
            _plugin(file, at, name, settings)
            continue
        if name in _PLUGINS:
            file.warn(at, f"{program}: clients send {name!r}, which is not in paths; only its full path is allowed")
        file.warn(at, f"{program}: Jailkit does not check arguments; write out those that are needed")
        commands[f"{name if found else program} <anything>"] = None
    if commands:
        settings["command"] = {"commands": tuple(commands)}


def _plugin(file: _File, at: int, name: str, settings: dict[str, dict[str, str | tuple[str, ...]]]) -> None:
    plugin, given = _PLUGINS[name]
    mine = settings.setdefault(plugin, {})
    mine.update(given)
    if plugin == "git":
        if "write" in mine:  # what may be pushed to may be fetched
            mine.pop("read", None)
        elif "read" not in mine:
            mine["read"] = _HOME
    if given:
        file.warn(at, f"{name}: Jailkit allows all of the jail and any options; jailssh allows the home")
    elif plugin == "scp" and "sftp" not in settings:
        file.warn(at, "scp: Jailkit denies scp of OpenSSH 9 and later (SFTP); jailssh allows it")


def _umask(
    file: _File, values: Mapping[str, tuple[int, str]], top: dict[str, str | tuple[str, ...]], *, legacy: bool
) -> None:
    found = re.match(r"\s*([0-7]+)", values.get("umask", (0, ""))[1])
    if found:
        top["umask"] = f"{int(found[1], 8) & 0o777:03o}"
        return
    at = values["umask"][0] if "umask" in values else file.start
    kept = "jailssh keeps it" if legacy else "jailssh uses that of the jail"
    file.warn(at, f"without a readable umask Jailkit uses 000 (new files are writable for all); {kept}")
    if legacy:
        top["umask"] = "000"


def _environment(file: _File, values: Mapping[str, tuple[int, str]]) -> Iterator[tuple[str, str]]:
    at, entries = _list(values, "environment")
    for entry in entries:
        name, _, value = entry.partition("=")
        if entry.count("=") != 1 or not name.strip():
            file.warn(at, f"environment: {entry} has no effect: it does not have exactly one '='")
        elif not value.strip().isprintable() or '"' in value:
            file.warn(at, f"environment: {name.strip()} has characters that cannot be kept")
        else:
            yield name.strip(), value.strip()
