"""Files of the host that are links, as those of a2ensite(8) and many a drop-in are."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.checks import jobs, servers
from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.integrity.kept import stamp_of
from jailssh.services import spools


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a link to a file; whoever reads a link itself is refused, as :func:`fs.read_trusted` does."""

    def read(path: str, *_: object, **_more: object) -> bytes:
        if Path(path).is_symlink():
            raise HostError(path, "too many levels of symbolic links")
        return Path(path).read_bytes()

    monkeypatch.setattr(fs, "read_trusted", read)
    (tmp_path / "available").mkdir()
    (tmp_path / "enabled").mkdir()
    (tmp_path / "available/x").write_text("* * * * * al run\n")
    link = tmp_path / "enabled/x"
    link.symlink_to("../available/x")
    return link


def test_what_they_lead_to_is_read(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert servers._text(str(linked), {}) == "* * * * * al run\n"
    monkeypatch.setattr(jobs, "_SYSTEM_CRON_FOLDER", str(linked.parent))
    assert list(jobs._system_crontabs())[-1] == (str(linked), "al")
    monkeypatch.setattr(spools, "SUDOERS", (str(linked),))
    assert spools.sudoers() == {str(linked): "* * * * * al run\n"}
    linked.resolve().unlink()
    assert servers._text(str(linked), {}) == ""


def test_a_fact_rests_on_what_they_lead_to(linked: Path) -> None:
    before = stamp_of([str(linked)])
    assert stamp_of([str(linked)]) == before
    linked.resolve().write_text("* * * * * bo run something\n")
    assert stamp_of([str(linked)]) != before
