"""What the Debian package does when dpkg tells of other packages' files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.abilities import REPO


def test_images_follow_when_the_loaders_cache_is_right(tmp_path: Path) -> None:
    """The order of triggers is dpkg's: that of the C library, which runs ldconfig(8), may come after ours."""
    for name in ("ldconfig", "jailssh"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/ran\n')
        (tmp_path / name).chmod(0o755)
    script = REPO / "packaging/debian/jailssh.postinst"
    subprocess.run(["sh", script, "triggered", "/usr"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "ran").read_text().splitlines() == ["ldconfig", "jailssh update --all"]
