"""A file of a chroot beside the host's: the host's may lie where others write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jailssh.checks import chroot


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [("a", "a", ""), ("a", "b", "the content differs"), ("a", "bb", "1 bytes here, 2 on the host"), ("a", None, "")],
)
def test_how_it_differs(tmp_path: Path, here: str, there: str | None, expected: str) -> None:
    (tmp_path / "chroot").mkdir()
    (tmp_path / "chroot/f").write_text(here)
    if there is not None:
        (tmp_path / "f").write_text(there)
    assert _differs(tmp_path) == expected


def test_what_takes_its_place_meanwhile_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chroot").mkdir()
    (tmp_path / "chroot/f").write_text("a")
    (tmp_path / "f").write_text("a")
    opened: list[str] = []
    real = {name: getattr(os, name) for name in ("stat", "fstat", "open")}

    def swap_after(name: str) -> None:
        def look(path: Any, *rest: Any, **more: Any) -> Any:
            found = real[name](path, *rest, **more)
            (tmp_path / "f").unlink(missing_ok=True)
            os.mkfifo(tmp_path / "f")
            return found

        monkeypatch.setattr(os, name, look)

    def note(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        fd: int = real["open"](path, flags, *rest, **more)
        if not flags & os.O_PATH:
            opened.append(os.readlink(f"/proc/self/fd/{fd}"))
        return fd

    swap_after("stat")
    swap_after("fstat")
    monkeypatch.setattr(os, "open", note)
    _differs(tmp_path)
    assert str(tmp_path / "f") not in opened


def _differs(folder: Path) -> str:
    fd = os.open(folder / "chroot", os.O_RDONLY)
    try:
        return chroot._differs(fd, "f", str(folder / "f"), os.lstat(folder / "chroot/f"))
    finally:
        os.close(fd)
