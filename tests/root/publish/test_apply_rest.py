"""What ``apply`` takes away while something else is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jailssh.files import fs
from tests.harness.source import REPO
from tests.root.site_lab import Site, site

__all__ = ["site"]

pytestmark = [pytest.mark.needs("root")]


def test_a_jail_that_is_gone_lets_nobody_in_and_a_broken_one_as_before(site: Site) -> None:
    site.put("users/nobody.conf", "uid = 65534\njail = sftp-ro\n")
    assert site.run("apply").returncode == 0
    site.put("jails/own0.conf", "plugins = sftp\n[sftp]\nread_onyl = yes\n")
    # Who is in a jail with a mistake keeps the plan of before; one that is gone lets nobody in.
    site.put("users/nobody.conf", "uid = 65534\njail = own0\n")
    plan = Path(site.layout.plans, "65534").read_bytes()
    assert site.run("apply").returncode == 1
    assert Path(site.layout.plans, "65534").read_bytes() == plan
    os.unlink(f"{site.layout.jails}/own0.conf")
    done = site.run("apply")
    assert (done.returncode, os.path.exists(f"{site.layout.plans}/65534")) == (1, False), done.stderr
    assert "jail own0 of account nobody does not exist" in done.stderr
    assert "- the plan" in done.stdout
    site.put("users/nobody.conf", "uid = 65534\njail = sftp-ro\n")
    assert site.run("apply").returncode == 0
    # With a mistake in the main file who is in no jail is shut out all the same.
    os.unlink(f"{site.layout.users}/nobody.conf")
    site.put("jailssh.conf", "nosuch = 1\n")
    done = site.run("apply")
    assert (done.returncode, os.path.exists(f"{site.layout.plans}/65534")) == (1, False), done.stderr
    assert "unknown setting nosuch" in done.stderr


LATER = "import time\nreal = time.time\ntime.time = lambda: real() + {seconds}\n"
KILLED = """
import os, sys
from jailssh.files import fs
os.rename = lambda *_, **__: os.kill(os.getpid(), 9)
fs.atomic_write(sys.argv[1] + "/file", b"half")
"""


def test_what_killed_writers_have_left_goes_after_an_hour(site: Site) -> None:
    site.put("users/nobody.conf", "uid = 65534\njail = sftp-ro\n")
    assert site.run("apply").returncode == 0
    layout = site.layout
    os.makedirs(f"{layout.key_rings}/team")
    folders = (layout.etc, layout.jails, layout.users, layout.keys, f"{layout.key_rings}/team", layout.state,
               layout.plans, layout.owners)  # fmt: skip
    left = []
    for folder in folders:
        before = set(os.listdir(folder))
        assert subprocess.run([sys.executable, "-c", KILLED, folder], cwd=REPO, check=False).returncode == -9
        left += [f"{folder}/{name}" for name in set(os.listdir(folder)) - before]
    assert len(left) == len(folders)
    name = os.path.basename(left[0])
    others = [f"{layout.plans}/{each}" for each in (f"{name}0", name[:-1], f"{name[:-1]}G", f"x{name}", f"{name}.d")]
    for path in others:
        Path(path).write_text("half")
    no_file, link, theirs = (f"{layout.plans}/{fs.NEW}{digit * 16}" for digit in "123")
    os.mkdir(no_file)
    os.symlink(left[0], link)
    Path(theirs).write_text("half")
    os.chown(theirs, 65534, -1)
    for seconds, gone in ((3500, []), (3700, left)):
        (site.site / "sitecustomize.py").write_text(LATER.format(seconds=seconds))
        # What Python has compiled is told from it by its size and the second of its time.
        shutil.rmtree(site.site / "__pycache__", ignore_errors=True)
        done = site.run("apply")
        assert (done.returncode, done.stdout, fs.NEW in done.stderr) == (0, "no changes\n", False), done
        assert [path for path in (*left, *others, no_file, link, theirs) if not os.path.lexists(path)] == gone
