"""What a jail file names of this host for the image, packages and files: there, or an error with file and line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from jailssh.config.jails import JailConfig, place_of
from jailssh.core.errors import ConfigError, raise_all
from jailssh.core.names import escape, is_clean_absolute
from jailssh.plugin.api import ImageNeeds

Needs = tuple[tuple[str, ImageNeeds], ...]

ORIGIN = "jail file"


def named_needs(config: JailConfig, plugins: Needs, find_program: Callable[[str], str | None]) -> Needs:
    """Return what the jail's own settings name, and raise all that it and its ``plugins`` name and that is not here."""
    own = ImageNeeds(packages=config.packages, files=config.files)
    raise_all(list(_missing(config, ((ORIGIN, own), *plugins), find_program)))
    return ((ORIGIN, own),) if config.packages or config.files else ()


def _missing(config: JailConfig, needs: Needs, find_program: Callable[[str], str | None]) -> Iterator[ConfigError]:
    for origin, need in needs:
        for name in need.programs:
            if find_program(name) is None:
                why = f"program {escape(name)} is not on this host"
                yield ConfigError(
                    _place(config, origin, "programs", name), why, hint="install the package that contains it"
                )
        for name in need.packages:
            if not _is_installed(name):
                hint = f"apt-get install {name}, or remove its name"
                why = f"package {escape(name)} is not installed"
                yield ConfigError(_place(config, origin, "packages", name), why, hint=hint)
        for path in need.files:
            place = _place(config, origin, "files", path)
            if not is_clean_absolute(path):
                yield ConfigError(place, f"{escape(path)} is not a plain absolute path")
            elif not os.path.lexists(path):
                yield ConfigError(place, f"{escape(path)} is not on this host", hint="correct the path, or remove it")


def _is_installed(name: str) -> bool:
    from jailssh.closure.packages import installed  # Few jails name a package.

    return name in installed().by_name


def _place(config: JailConfig, origin: str, setting: str, value: str) -> str:
    """Return where a name stands: in the jail's own setting, in one of a plugin, or at the plugin's section."""
    if origin == ORIGIN:
        item = next(item for item in config.items if not item.setting.section and item.setting.name == setting)
        return f"{item.origin}: {setting}"
    for item in config.items:
        if item.setting.section == origin and isinstance(item.value, tuple) and value in item.value:
            return f"{item.origin}: [{origin}] {item.setting.name}"
    return place_of(config, origin, value, "")
