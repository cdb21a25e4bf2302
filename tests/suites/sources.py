"""Sources and packages from the mirror that the host's own apt sources name; its apt configuration stays as it is."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from jailssh.core.errors import HostError

# So that many processes of the machine's others go first, and no question is asked.
_ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
_TARGETS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def call(command: Sequence[str], cwd: Path) -> str:
    """Run a command to its end and return its output; raises :class:`HostError` with what it said when it fails."""
    done = subprocess.run(
        ["nice", "-n", "15", *command], cwd=cwd, env=_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HostError(" ".join(command), (done.stdout + done.stderr).strip()[-2000:])
    return done.stdout


class Mirror:
    """The Debian archives of this host, with their sources; everything of apt lies in ``room``."""

    def __init__(self, room: Path) -> None:
        for name in ("parts", "lists/partial", "cache/archives/partial", "fetched"):
            (room / name).mkdir(parents=True)
        self._fetched = room / "fetched"
        self._options = ["-q", "-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={room}/parts"]
        self._options += ["-o", f"Dir::State::Lists={room}/lists", "-o", f"Dir::Cache={room}/cache"]
        self._options += ["-o", "APT::Sandbox::User=root"]
        said = call(["apt-get", "indextargets", "--format", _TARGETS, "Created-By: Packages"], room)
        rows = {tuple(line.split("|")[:3]) for line in said.splitlines() if line.endswith("|Debian")}
        if not rows:
            raise HostError("apt", "no archive of Debian is among this host's sources", hint="apt-get update")
        lines = [
            f"{kind} [signed-by={_KEYRING}] {' '.join(row)}\n" for row in sorted(rows) for kind in ("deb", "deb-src")
        ]
        (room / "parts/debian.list").write_text("".join(lines))
        call(["apt-get", *self._options, "update"], room)

    def source(self, name: str) -> Path:
        """Unpack the newest source of a package that the mirror has; return its directory."""
        said = call(["apt-cache", *self._options, "showsrc", "--only-source", name], self._fetched)
        versions = sorted_versions(re.findall(r"^Version: (\S+)$", said, re.MULTILINE))
        refused: list[str] = []
        for version in versions:
            into = self._fetched / f"{name}-{len(refused)}"
            into.mkdir()
            try:
                call(["apt-get", *self._options, "source", f"{name}={version}"], into)
            except HostError as error:  # the index names one that the mirror has no longer, or not yet
                refused.append("\n".join(error.lines()))
                continue
            print(f"{name} {version}", flush=True)
            return next(path for path in into.iterdir() if path.is_dir())
        raise HostError(name, "its source cannot be fetched: " + "\n".join(refused))

    def unpacked(self, name: str) -> Path:
        """Unpack a binary package without installing it; return the directory that stands for /."""
        into = self._fetched / name
        into.mkdir()
        call(["apt-get", *self._options, "download", name], into)
        (package,) = into.glob("*.deb")
        print(package.name, flush=True)
        call(["dpkg-deb", "-x", str(package), "root"], into)
        return into / "root"


def sorted_versions(versions: Sequence[str]) -> list[str]:
    """Return versions of a package, the newest first, as dpkg compares them."""
    found: list[str] = []
    for version in dict.fromkeys(versions):
        newer = [each for each in found if _is_newer(each, version)]
        found.insert(len(newer), version)
    return found


def _is_newer(one: str, other: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", one, "gt", other], check=False).returncode == 0
