"""A host made of texts, for the readers of other programs' set-ups."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jailssh.sources.found import Person


@dataclass
class AHost:
    """A host with these accounts and files of root's; directories are those above the files, and ``dirs``.

    ``dirs`` are (mode, uid, gid) by path, ``links`` targets by path, ``settings`` sshd's by account ("" for all);
    ``modes`` are (mode, uid, gid) of files that are not 0644 and root's.
    """

    accounts: Sequence[Person] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    dirs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    modes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def people(self) -> Sequence[Person]:
        """Return the accounts."""
        return self.accounts

    def read(self, path: str) -> str | None:
        """Return a file's text."""
        return self.files.get(path)

    def peek(self, path: str) -> str | None:
        """Return a file's text."""
        return self.files.get(path)

    def read_of(self, person: Person, path: str) -> str | None:
        """Return a file's text."""
        assert path.startswith(f"{person.home.replace('/./', '/').rstrip('/')}/")
        return self.files.get(path)

    def find_of(self, person: Person, path: str, ending: str) -> Sequence[str]:
        """Return the paths below that end so."""
        every = {*self.files, *self.dirs, *(f"{a}{ending}" for p in self.files for a in p.split(f"{ending}/")[:-1])}
        return sorted(each for each in every if each.startswith(f"{path}/") and each.endswith(ending))

    def glob(self, pattern: str) -> Sequence[str]:
        """Return the paths that fit."""
        same = pattern.count("/")
        names = {*self.files, *self.links, *self.dirs}
        names |= {parent for name in [*names] for parent in _above(name)}
        found = (path for path in names if path.count("/") == same and fnmatch.fnmatchcase(path, pattern))
        # As in a shell, a dot at the beginning is asked for by a dot.
        return sorted(path for path in found if "/." in pattern or "/." not in path)

    def kind(self, path: str) -> str:
        """Return what is there."""
        if path in self.links:
            return "link"
        if path in self.files:
            return "file"
        inside = any(name.startswith(f"{path.rstrip('/')}/") for name in (*self.files, *self.dirs, *self.links))
        return "dir" if path in self.dirs or inside else ""

    def status(self, path: str) -> tuple[int, int, int] | None:
        """Return mode and owner."""
        if path in self.dirs:
            return self.dirs[path]
        if path in self.modes:
            return self.modes[path]
        return {"file": (0o100644, 0, 0), "dir": (0o40755, 0, 0), "link": (0o120777, 0, 0)}.get(self.kind(path))

    def link(self, path: str) -> str:
        """Return a link's target."""
        return self.links.get(path, "")

    def sshd(self, name: str) -> Mapping[str, str]:
        """Return sshd's settings."""
        return {**self.settings.get("", {}), **self.settings.get(name, {})}

    def sshd_lines(self) -> Sequence[tuple[str, int, str]]:
        """Return the lines of /etc/ssh/sshd_config."""
        path = "/etc/ssh/sshd_config"
        return [(path, number, line) for number, line in enumerate(self.files.get(path, "").splitlines(), 1)]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(2, len(parts))]
