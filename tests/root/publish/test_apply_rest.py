"""What ``apply`` takes away while something else is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
