"""Building the probe and reading what it prints."""

from __future__ import annotations

import pathlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from jailssh.scratch.host import ScratchHost

SOURCE = pathlib.Path(__file__).parent.parent / "probe"
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def build_probe(directory: pathlib.Path) -> pathlib.Path:
    """Compile the probe into ``directory`` and return its path."""
    program = directory / "probe"
    sources = sorted(str(path) for path in SOURCE.glob("*.c"))
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-static"]
    subprocess.run(["gcc", *flags, "-o", str(program), *sources], check=True)
    return program


def put_probe(host: ScratchHost, program: pathlib.Path, path: str = "/srv/probe") -> str:
    """Copy the probe into a scratch host, where everybody can run it, and return ``path``."""
    host.write(path, program.read_bytes(), 0o755)
    return path


@dataclass(frozen=True)
class Mount:
    """A mount that the probe saw; ``flags`` are ro or rw, nosuid, nodev, noexec, shared, slave, sb-ro or sb-rw."""

    path: str
    type: str
    flags: frozenset[str]


class Facts:
    """The lines ``key=value`` that the probe printed, unescaped."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"not a line of the probe: {line!r}")
            self._values.setdefault(key, []).append(_unescape(value))

    def __getitem__(self, key: str) -> str:
        (value,) = self._values[key]
        return value

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def all(self, key: str) -> list[str]:
        """Return every value of a key that may come several times: ``fd``, ``mount``, ``env``, ``arg``."""
        return self._values.get(key, [])

    def numbers(self, key: str) -> list[int]:
        """Return a comma-separated value as numbers."""
        return [int(word) for word in self[key].split(",") if word]

    def mounts(self) -> list[Mount]:
        """Return the mounts in the order in which the kernel lists them."""
        rows = [value.rsplit("|", 2) for value in self.all("mount")]
        return [Mount(path, kind, frozenset(flags.split(","))) for path, kind, flags in rows]

    def environment(self) -> dict[str, str]:
        """Return the environment."""
        return dict(entry.partition("=")[::2] for entry in self.all("env"))

    def tries(self) -> dict[str, str]:
        """Return what was tried and how it ended: ``ok``, the name of an error, ``killed-SIGSYS`` and the like."""
        return {key[4:]: self[key] for key in self if key.startswith("try.")}


def _unescape(text: str) -> str:
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return raw.encode("latin-1").decode("utf-8", "surrogateescape")
