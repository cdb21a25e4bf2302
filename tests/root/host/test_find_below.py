"""Files of an account that are looked for with its own rights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.host import as_user
from jailssh.host.accounts import AccountEntry

pytestmark = pytest.mark.needs("root")

UID = 54322


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a home with repositories, links out of it, and what the account may not see."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    for name in ("one.git", "sub/two.git/inner.git", "closed/three.git"):
        (folder / name).mkdir(parents=True)
    (folder / "sub" / "\udcff\n.git").write_text("")
    (folder / "out").symlink_to("/etc")
    (folder / "loop").symlink_to(folder)
    (folder / "closed").chmod(0o700)
    yield folder
    shutil.rmtree(folder)


def test_what_ends_so_is_found_and_not_gone_into(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are not followed, and what only root can see is not there."""
    entry = AccountEntry("x", UID, UID, group="x", home=str(home), shell="/bin/sh", gecos="", groups=(("x", UID),))
    found = as_user.find_below(entry, str(home), ".git")
    assert [os.path.relpath(path, home) for path in found] == ["one.git", "sub/two.git", "sub/\udcff\n.git"]
    assert as_user.find_below(entry, f"{home}/none", ".git") == []
    monkeypatch.setattr(as_user, "MOST", 3)
    with pytest.raises(HostError):
        as_user.find_below(entry, str(home), ".git")
