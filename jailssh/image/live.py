"""Live roots: a jail that shows the host's ``/usr`` read-only, as bubblewrap does, instead of an image with copies.

Its image is then a small tree: the links ``/bin``, ``/lib`` …, the mount points, and an ``/etc`` with the host's files
that programs read to work at all, none of which names an account or holds a secret.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence

from jailssh.core.errors import ConfigError
from jailssh.core.names import HostPath, JailPath, escape, is_below, joined, same_place, same_source
from jailssh.plugin.api import ImageNeeds

Needs = tuple[tuple[str, ImageNeeds], ...]

ORIGIN = "live root"
# What everybody must be able to do with a directory for what is in it to be for everybody.
_ENTER = stat.S_IROTH | stat.S_IXOTH
_TOPS = tuple(map(HostPath, ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libo32", "/libx32", "/sbin")))


def live_tops() -> tuple[HostPath, ...]:
    """Return the directories of this host that a live root shows: ``/usr``, and those beside it that are no links."""
    return tuple(path for path in _TOPS if (info := _lstat(path)) and stat.S_ISDIR(info.st_mode))


def in_live_root(path: JailPath) -> bool:
    """True if ``path`` of the jail is the host's own there."""
    return any(is_below(path, top) for top in _TOPS)


def live_needs(plugins: Needs, find_program: Callable[[str], str | None]) -> Needs:
    """Return what the small tree of a live root must hold.

    ``plugins``: what the jail's plugins need of an image.  Programs, libraries and data of theirs must be on the host;
    only what they want outside ``/usr`` is taken.  Raises :class:`ConfigError` for a program that a live root cannot
    show.
    """
    # Imported here, as in _settings_of: most jails have an image.
    from jailssh.closure.languages import settings_of_all

    # /etc/ld.so.conf is not among them: the cache is the host's own and is not to be made anew.
    paths = [HostPath(path) for pattern in settings_of_all() for path in glob.glob(pattern)]
    files, links = _mirror(paths)
    own = ImageNeeds(files=tuple(files), links=tuple(links), dirs=live_tops())
    rest = tuple((name, _outside(name, need, paths, find_program)) for name, need in plugins)
    return ((ORIGIN, own), *rest)


def _outside(
    plugin: str, need: ImageNeeds, mirrored: Sequence[HostPath], find_program: Callable[[str], str | None]
) -> ImageNeeds:
    for name in (*need.programs, *need.bare_programs):
        path = find_program(name)
        if path is None or not in_live_root(same_place(HostPath(path))):
            why = "not on this host" if path is None else "not below /usr, and a live root shows only /usr"
            raise ConfigError(f"plugin {plugin}", f"program {escape(name)} is {why}", hint="set root = image")

    def taken(paths: Iterable[str]) -> tuple[HostPath, ...]:
        places = filter(lambda path: not in_live_root(path), map(JailPath, paths))
        return tuple(same_source(path) for path in places if not any(is_below(path, m) for m in mirrored))

    for place in map(JailPath, (*need.dirs, *(path for path, _ in (*need.texts, *need.links)))):
        if in_live_root(place) and _lstat(same_source(place)) is None:
            raise ConfigError(f"plugin {plugin}", f"{escape(place)} is not on this host", hint="set root = image")
    settings, links = _mirror(taken(path for name in need.packages for path in _settings_of(name)))
    return ImageNeeds(
        files=(*taken(need.files), *settings),
        optional_files=taken(need.optional_files),
        dirs=tuple(path for path in need.dirs if not in_live_root(JailPath(path))),
        links=(*(row for row in need.links if not in_live_root(JailPath(row[0]))), *links),
        texts=tuple(row for row in need.texts if not in_live_root(JailPath(row[0]))),
    )


def _settings_of(package: str) -> Iterator[HostPath]:
    """Yield what a package has in ``/etc`` for its programs."""
    from jailssh.closure.packages import installed, is_part
    from jailssh.closure.sources import Sources

    packages = installed()
    for path in packages.files(packages.must_have(package), Sources()):
        if is_below(path, "/etc") and is_part(path) and (info := _lstat(path)) and not stat.S_ISDIR(info.st_mode):
            yield path


def _mirror(paths: Iterable[HostPath]) -> tuple[list[HostPath], list[tuple[JailPath, str]]]:
    """Return the files that everybody may read, and the links as they are, at and below ``paths``."""
    files: list[HostPath] = []
    links: list[tuple[JailPath, str]] = []
    todo = sorted(filter(_is_reached, paths), reverse=True)
    while todo:
        path = todo.pop()
        info = _lstat(path)
        if info is None:
            continue
        if stat.S_ISLNK(info.st_mode):
            links.append((same_place(path), os.readlink(path)))
        elif stat.S_ISDIR(info.st_mode) and info.st_mode & _ENTER == _ENTER:
            todo += [joined(path, name) for name in sorted(os.listdir(path), reverse=True)]
        elif stat.S_ISREG(info.st_mode) and info.st_mode & stat.S_IROTH:
            files.append(path)
    return files, links


def _is_reached(path: HostPath) -> bool:
    """True if everybody gets to ``path``: what is to be read there may lie in a directory that is closed."""
    above = [path[:at] for at, char in enumerate(path) if char == "/" and at]
    return all(os.stat(each).st_mode & stat.S_IXOTH for each in above if os.path.exists(each))


def _lstat(path: HostPath) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
