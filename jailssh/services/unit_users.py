"""Units of systemd that run something as an account: ``User=`` of unit files, their drop-ins and their instances."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress

FOLDERS = (
    "/etc/systemd/system", "/run/systemd/system", "/run/systemd/transient", "/run/systemd/generator",
    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
)  # fmt: skip
RUNNING = "/run/systemd/units"
_INVOCATION = "invocation:"
_KINDS = (".service", ".socket", ".mount", ".swap")
"""The units of systemd.exec(5)."""
_LIMIT = 1 << 18
_USER = "user"
_SPECIFIER = re.compile(r"%[iIjJ]")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def files(folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """Return the unit files and drop-ins that count: of several of one name that of the first folder."""
    seen: set[str] = set()
    found = []
    real: set[str] = set()
    for folder in folders:
        if os.path.realpath(folder) in real or not os.path.isdir(folder):
            continue
        real.add(os.path.realpath(folder))
        for name in sorted(os.listdir(folder)):
            if name.endswith(_KINDS) and name not in seen:
                seen.add(name)
                found.append(f"{folder}/{name}")
            elif name.endswith(tuple(f"{kind}.d" for kind in _KINDS)) and os.path.isdir(f"{folder}/{name}"):
                drop_ins = [f"{name}/{each}" for each in sorted(os.listdir(f"{folder}/{name}"))]
                new = [each for each in drop_ins if each.endswith(".conf") and each not in seen]
                seen.update(new)
                found += [f"{folder}/{each}" for each in new]
    return found


def users(paths: list[str]) -> list[tuple[str, str]]:
    """Return path and user of each of these files with ``User=``, "" for one that takes back what others say."""
    found = []
    for path in paths:
        with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as stream:
            user = None
            for line in stream.read(_LIMIT).replace("\\\n", " ").splitlines():
                key, equals, value = line.partition("=")
                if equals and key.strip().lower() == _USER:
                    user = value.strip()
            if user is not None:
                found.append((path, user))
    return found


def instances(folders: tuple[str, ...] = FOLDERS, running: str = RUNNING) -> list[str]:
    """Return the units with an instance, as in ``syncthing@alice.service``, that run or that something starts."""
    found: set[str] = set()
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.endswith((".wants", ".requires", ".upholds")) and os.path.isdir(f"{folder}/{name}"):
                found.update(each for each in os.listdir(f"{folder}/{name}") if "@" in each)
            elif "@" in name and "@." not in name and name.endswith(_KINDS):
                found.add(name)
    if os.path.isdir(running):
        names = [name.removeprefix(_INVOCATION) for name in os.listdir(running) if name.startswith(_INVOCATION)]
        found.update(name for name in names if "@" in name)
    return sorted(name for name in found if "@." not in name)


def unit_of(path: str) -> str:
    """Return the unit that a unit file or a drop-in is for."""
    folder, name = os.path.split(path)
    return os.path.basename(folder).removesuffix(".d") if name.endswith(".conf") else name


def of_accounts(rows: list[tuple[str, str]], units: list[str]) -> Iterator[tuple[str, str]]:
    """Give path and account (name or uid) of each unit: that of a template once for each of its instances.

    The last of a unit's drop-ins decides, in the order of their names, before that the unit's own file.
    """
    told: dict[str, dict[str, tuple[str, str]]] = {}
    for path, user in rows:
        place = os.path.basename(path) if path.endswith(".conf") else ""
        told.setdefault(unit_of(path), {})[place] = (path, user)
    for unit, files in told.items():
        path, user = files[max(files)]
        if not _SPECIFIER.search(user):
            if user:
                yield path, user
            continue
        head, template, kind = unit.partition("@.")
        for each in units if template else ():
            its = {**files, **told.get(each, {})}
            if each.startswith(f"{head}@") and each.endswith(f".{kind}") and its[max(its)] == (path, user):
                yield f"{os.path.dirname(path).removesuffix(f'/{unit}.d')}/{each}", _filled(user, each)
        if not template:
            yield path, _filled(user, unit)


def _filled(user: str, unit: str) -> str:
    return _SPECIFIER.sub(lambda match: _part(match[0], unit), user)


def _part(specifier: str, unit: str) -> str:
    """Return what a specifier of systemd.unit(5) stands for: the instance, or the last part of what is before it."""
    prefix, _, instance = unit.rpartition(".")[0].partition("@")
    text = instance if specifier.lower() == "%i" else prefix.rpartition("-")[2]
    if specifier.islower():
        return text
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text.replace("-", "/"))
