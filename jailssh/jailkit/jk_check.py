"""Import of Jailkit's ``jk_check.ini``: what it leaves out, as suppressions for ``check --dir``.

Jailkit compares beginnings of paths, so ``/srv/j1/g`` leaves out ``/srv/j1/gw`` too, and an empty value leaves out
everything.  Neither was meant: here a path ends at a component, and an empty value is told and left away.
"""

from __future__ import annotations

import configparser
import datetime
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jailssh.core.errors import ConfigError
from jailssh.core.names import escape, is_clean_absolute

_EVERY = ("JSH-151", "JSH-152", "JSH-153", "JSH-154", "JSH-155", "JSH-156", "JSH-158", "JSH-162")
KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ignorepathoncompare": ("JSH-153", "JSH-162"),
        "ignorepatheverywhere": _EVERY,
        "ignorewritableforgroup": ("JSH-151", "JSH-154"),
        "ignorewritableforothers": ("JSH-151", "JSH-154"),
        "ignoresetuidexecuteforuser": ("JSH-152",),
        "ignoresetuidexecuteforgroup": ("JSH-152",),
        "ignoresetuidexecuteforothers": ("JSH-152",),
    }
)
"""What each of its keys leaves out, in ids of findings."""
_YEAR = 365


@dataclass(frozen=True)
class ImportedChecks:
    """(id, path) of each suppression with the section it is from, and what cannot be kept."""

    rows: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]

    def as_text(self, today: datetime.date) -> str:
        """Return a ``suppressions.conf``, the warnings above as comments."""
        until = today + datetime.timedelta(days=_YEAR)
        out = [f"# {warning}" for warning in self.warnings]
        for name, path, section in self.rows:
            out += ["", f"[{name} {path}]", f'reason = "from jk_check.ini, [{section}]"', f"until = {until}"]
        return "\n".join(out).lstrip("\n") + "\n"


def is_one(text: str) -> bool:
    """True if a file has a key that only jk_check.ini has."""
    keys = {line.partition("=")[0].partition(":")[0].strip().lower() for line in text.splitlines()}
    return not keys.isdisjoint(KEYS)


def read(text: str, file: str, exists: Callable[[str], bool] = lambda _path: True) -> ImportedChecks:
    """Return what the file leaves out; ``exists``: whether a jail is there, a section of another is noted.

    :class:`ConfigError` for a file that Jailkit's reader does not take either.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, file)
    except configparser.Error as error:
        raise ConfigError(file, escape(str(error).splitlines()[0], 300)) from error
    rows: dict[tuple[str, str], str] = {}
    warnings: list[str] = []
    for section in parser.sections():
        shown = escape(section, 200)
        if not is_clean_absolute(section.rstrip("/") or "/"):
            warnings.append(f"[{shown}]: is not the path of a jail: left away")
            continue
        if not exists(section):
            warnings.append(f"[{shown}]: there is no such jail: left away")
            continue
        for key, value in parser.items(section):
            for path in _paths(key, value, section, warnings):
                for name in KEYS[key]:
                    rows.setdefault((name, path), section)
    return ImportedChecks(tuple((name, path, section) for (name, path), section in rows.items()), tuple(warnings))


def _paths(key: str, value: str, section: str, warnings: list[str]) -> Iterator[str]:
    where = f"[{escape(section, 200)}] {escape(key, 60)}"
    if key not in KEYS:
        warnings.append(f"{where}: unknown key: left away")
        return
    for part in value.split(","):
        path = part.strip()
        if not path:
            warnings.append(f"{where}: an empty path, which left out everything: left away")
            continue
        clean = os.path.normpath(path) if path.startswith("/") else path
        if not is_clean_absolute(clean) or any(char in clean for char in "[]'\"#"):
            warnings.append(f"{where}: {escape(path, 200)} is not a plain absolute path: left away")
            continue
        yield clean
