"""Packages of this host with published holes that matter here, by their versions; see the table of holes."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.checks import holes
from jailssh.checks.holes import Hole
from jailssh.host import packages
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene

BAD_HOLE = Kind(
    "JSH-631", Severity.HIGH, "package with a published hole that gives root or a login",
    "The jail is of no use where sshd, the kernel or every set-id program can be taken over.",
    "apt-get install --only-upgrade PACKAGE",
)  # fmt: skip
HOLE = Kind(
    "JSH-632", Severity.MEDIUM, "package with a published hole that matters to jails",
    "A defence that jails count on does not hold.", "apt-get install --only-upgrade PACKAGE",
)  # fmt: skip
OLD_TABLE = Kind(
    "JSH-633", Severity.LOW, "table of published holes is old",
    "Newer holes are not in it.", "install a newer version of jailssh",
)  # fmt: skip
UNKNOWN = Kind(
    "JSH-634", Severity.LOW, "distribution without a column in the table of published holes",
    "Which of its packages have known holes is not looked at.",
    "ask its own tools, such as debsecan, or dnf updateinfo",
)  # fmt: skip

_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_KERNEL = re.compile(r"\bDebian (\S+)")
_OLD = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Facts:
    """The distribution as in ``debian 12``, "" for unknown; versions of packages; the table's day and today."""

    distribution: str
    versions: Mapping[str, str]
    today: datetime.date
    date: datetime.date = holes.DATE
    table: Sequence[Hole] = holes.HOLES


def collect(scene: Scene) -> Facts:
    """Read which packages are installed, again when the package database has changed."""
    names = sorted({hole.package for hole in holes.HOLES})
    stamp = stamp_of([packages.STATUS], *names)
    versions = dict(scene.kept.get("versions", "packages", stamp, lambda: packages.versions(names)))
    if found := _KERNEL.search(os.uname().version):
        versions[holes.KERNEL] = found[1]
    today = datetime.datetime.fromtimestamp(scene.now).astimezone().date()
    return Facts(_distribution(), versions, today)


def _distribution() -> str:
    for path in _RELEASE:
        with suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            values = dict(line.rstrip("\n").partition("=")[::2] for line in stream)
            return " ".join(values.get(key, "").strip("\"'").lower() for key in ("ID", "VERSION_ID")).strip()
    return ""


def judge(facts: Facts) -> Iterable[Finding]:
    """Return a finding for each package with holes, the worst kind of them."""
    if facts.today - facts.date > _OLD:
        yield Finding(OLD_TABLE, "table of published holes", f"is of {facts.date.isoformat()}")
    known = {name for hole in facts.table for name in hole.mended}
    if facts.distribution not in known:
        yield Finding(UNKNOWN, "table of published holes", f"does not contain {facts.distribution or 'this system'}")
        return
    for package in dict.fromkeys(hole.package for hole in facts.table):
        present = facts.versions.get(package)
        open_holes = [
            hole
            for hole in facts.table
            if hole.package == package
            and present is not None
            and (mended := hole.mended.get(facts.distribution)) is not None
            and packages.compare(present, mended) < 0
        ]
        if open_holes:
            yield _finding(package, str(present), open_holes, facts.distribution)


def _finding(package: str, present: str, found: Sequence[Hole], distribution: str) -> Finding:
    kind = BAD_HOLE if any(hole.high for hole in found) else HOLE
    told = "; ".join(f"{', '.join(hole.names)}: {hole.why}, mended in {hole.mended[distribution]}" for hole in found)
    kernel = package == holes.KERNEL
    cure = "upgrade the kernel, then boot it" if kernel else kind.cure.replace("PACKAGE", package)
    return Finding(kind, "running kernel" if kernel else f"package {package}", f"version {present}: {told}", cure=cure)


CHECK = Check(
    "versions", "packages with published holes", (BAD_HOLE, HOLE, OLD_TABLE, UNKNOWN), collect, judge
)  # fmt: skip
