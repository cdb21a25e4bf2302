"""Specs that go straight into an archive, and what a spec of a whole service is told about its mistakes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.root.build_site import Site, site

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]
EPOCH = "1700000000"
# One of everything, a program with its libraries, and a command.
SPEC = "/bin/sh\nSRC/data.txt /etc/data 600 owner=7:8\n/etc/again => /etc/data\n/etc/link -> data\n/dev/null c 1 3\n"
SPEC += "/tmp/ 1777\n/run/fifo p\nrun echo made > ./made\n"
# As the spec for borg that jailtime ships: the link and then the file; a shell that is a link to nothing.
BORG = "/usr/bin/python3 -> /usr/bin/python3.99\n/usr/bin/python3{more}\n/bin/rsh -> /bin/nosuchsh\n/etc/passwd\n"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_the_same_spec_is_the_same_archive_byte_for_byte(
    site: Site, monkeypatch: pytest.MonkeyPatch, compress: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    options = ("--format", "tar", "--compress", compress)
    assert site.build(SPEC, *options, target=site.base / "one.tar") == 0, site.err
    # Another umask, another place, nothing remembered: only what goes in decides.
    os.umask(0o077)
    (site.base / "deeper").mkdir(mode=0o755)
    (site.base / "state/var/lib/jailssh/facts.json").unlink()
    assert site.build(SPEC, *options, target=site.base / "deeper/two.tar") == 0, site.err
    one, two = site.base / "one.tar", site.base / "deeper/two.tar"
    assert digest(one) == digest(two)
    with tarfile.open(one) as archive:
        rows = {member.name.removeprefix("./"): member for member in archive}
    assert {"made", "etc/data", "etc/again", "etc/link", "dev/null", "run/fifo", "tmp"} <= rows.keys()
    assert (rows["etc/data"].uid, rows["etc/data"].gid, rows["etc/data"].mode & 0o7777) == (7, 8, 0o600)
    assert max(member.mtime for member in rows.values()) <= int(EPOCH)


def test_another_source_is_another_archive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    digests = set()
    for text in ("hello\n", "hallo\n"):
        site.data.write_text(text)
        assert site.build("SRC/data.txt /f\n", "--format", "tar", target=site.base / "a.tar") == 0, site.err
        digests.add(digest(site.base / "a.tar"))
    assert len(digests) == 2


def test_an_epoch_that_is_no_number(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert site.build("SRC/data.txt /f\n", "--format", "tar", target=site.base / "a.tar") == 2
    assert "SOURCE_DATE_EPOCH" in site.err
    assert not (site.base / "a.tar").exists()


@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="no python here")
def test_a_link_and_a_file_of_one_name_and_a_link_to_nothing(site: Site) -> None:
    assert site.build(BORG.format(more="")) == 1
    assert "t.jailspec:2:1" in site.err
    assert "a symbolic link in t.jailspec:1:1" in site.err.replace(f"{site.base}/", "")
    assert not site.tree.exists()
    assert site.build(BORG.format(more=" override")) == 0, site.err
    assert "/bin/rsh -> /bin/nosuchsh leads nowhere" in site.err
    assert not (site.tree / "usr/bin/python3.99").exists()
    assert site.inside("/usr/bin/python3", "-c", "import json; print(json.dumps(1))").stdout == "1\n"


def test_a_target_that_cannot_be_written_to(site: Site) -> None:
    place = site.base / "fixed"
    place.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "none", str(place)], check=True)
    try:
        assert site.build("SRC/data.txt /f\n", target=place / "jail") == 4
        assert "read-only file system" in site.err
    finally:
        subprocess.run(["umount", str(place)], check=True)
