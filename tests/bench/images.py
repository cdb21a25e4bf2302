"""The images of many jails that share profiles: an update with and without a change, and the disk.

The changed library is the C library, which every jail has: a copy with one byte more is mounted over it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.bench.builds import timed
from tests.bench.figures import Goal, Row, timed_row
from tests.bench.site import PREFIX, Site

JAILS = 50
IDLE_MS, CHANGED_MS = 300.0, 3000.0
DISK = 1.3
ROUNDS = 3
IDLE_RUNS = 20
_UPDATE = (f"{PREFIX}/bin/jailssh", "update", "--all")
# Profiles and their plugins, and what some of the jails have besides.
_PROFILES = {
    "sftp-only": ("sftp",),
    "sftp-ro": ("sftp",),
    "rsync-backup": ("rsync",),
    "rsync-pull": ("rsync",),
    "scp-sftp": ("scp", "sftp"),
    "git-only": ("git",),
    "shell": ("shell",),
}
_MORE: tuple[tuple[str, ...], ...] = ((), ("scp",), ("sftp",))
_BLOCK = 4096


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows of both updates and of the disk."""
    _make_jails(site)
    disk = _disk(site.room / "state/images")
    idle = timed(site, _UPDATE, IDLE_RUNS)
    changed = [_after_a_change(site, number) for number in range(ROUNDS)]
    return [
        timed_row(f"update --all, {JAILS} jails, nothing changed", idle, IDLE_MS),
        timed_row(f"update --all, {JAILS} jails, another C library", changed, CHANGED_MS),
        disk,
    ]


def _make_jails(site: Site) -> None:
    """Give the host jails that take over the shipped profiles in turns, and with each other plugin beside theirs."""
    for number in range(JAILS):
        profile = list(_PROFILES)[number % len(_PROFILES)]
        more = _MORE[number // len(_PROFILES) % len(_MORE)]
        text = f"extends = {profile}\nplugins = {', '.join(dict.fromkeys((*_PROFILES[profile], *more)))}\n"
        site.host.write(f"/etc/jailssh/jails/many{number}.conf", text)
    site.jailssh("update", *(f"many{number}" for number in range(JAILS)))
    site.jailssh("update", "--all")


def _after_a_change(site: Site, number: int) -> float:
    """Return the milliseconds of an update after the C library has become another."""
    library = site.host.run(["sh", "-c", "readlink -f /lib*/*-linux-gnu*/libc.so.6 | head -n 1"], check=True).stdout
    copy = f"/srv/libc-{number}"
    script = 'cp "$1" "$2" && printf "%b" "\\0" >>"$2" && mount --bind "$2" "$1"'
    site.host.run(["sh", "-c", script, "sh", library.strip(), copy], check=True)
    (spent,) = timed(site, _UPDATE)
    return spent


def _disk(images: Path) -> Row:
    """Return what all images take on the disk, manifests and directories included, beside their distinct files."""
    blocks: dict[int, int] = {}
    contents: dict[bytes, int] = {}
    for folder, _, names in os.walk(images):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            info = path.lstat()
            known = info.st_ino in blocks
            blocks[info.st_ino] = info.st_blocks * 512
            in_tree = "/.pool/" in folder and "/.objects" not in folder
            if not known and in_tree and path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
                contents[digest] = -(-info.st_size // _BLOCK) * _BLOCK
    total, union = sum(blocks.values()), sum(contents.values())
    goal = Goal(f"disk of {JAILS} images / union of their files", total / union, DISK)
    return Row(
        f"disk of {JAILS} images, {union / 2**20:.0f} MiB of distinct files", total / 2**20, "MiB", goals=(goal,)
    )
