"""Files that get shorter where nothing new fits, and locks that are never given back."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from functools import partial
from pathlib import Path

import pytest

from jailssh.core.errors import HostError, JailsshError, ManyErrors
from jailssh.core.tries import Tries
from jailssh.files import fs, narrow

KEEP, GOES, SHORT = b"keep one", b"goes away entirely", b'principals="a,b" key'
TEXT = b"\n".join((b"# head", KEEP, GOES, SHORT, KEEP, b""))


def judge(row: bytes) -> bytes | None:
    return None if row == GOES else row.replace(b"a,b", b"a")


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "file"
    file.write_bytes(TEXT)
    file.chmod(0o640)
    return str(file)


def no_space(*_args: object, **_more: object) -> None:
    raise HostError("write file", os.strerror(errno.ENOSPC).lower())


def lines(path: str) -> str:
    return narrow.lines(path, judge, 1 << 16, trusted_root="/tmp")


def test_with_room_the_file_is_replaced(path: str) -> None:
    before = os.stat(path).st_ino
    assert lines(path) == ""
    assert Path(path).read_bytes() == b'# head\nkeep one\nprincipals="a" key\nkeep one\n'
    assert (os.stat(path).st_ino != before, os.stat(path).st_mode & 0o777) == (True, 0o640)
    again = os.stat(path).st_ino
    assert lines(path) == ""
    assert os.stat(path).st_ino == again, "nothing to take away, nothing written"


def test_without_room_each_reader_finds_whole_lines(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs, "atomic_write", no_space)
    seen = []
    real = os.pwrite

    def one_byte(fd: int, data: bytes, at: int) -> int:
        count = real(fd, data[:1], at)
        seen.append(Path(path).read_bytes())
        return count

    monkeypatch.setattr(os, "pwrite", one_byte)
    before = os.stat(path).st_ino
    assert "was changed in place, because it cannot be replaced: no space left on device" in lines(path)
    assert os.stat(path).st_ino == before
    end = Path(path).read_bytes()
    assert end == TEXT.replace(GOES, b"#" * len(GOES)).replace(SHORT, b'principals="a" key  ')
    assert len(seen) > len(GOES)
    for text in seen:
        rows = text.split(b"\n")
        assert [rows[0], rows[1], rows[4], rows[5]] == [b"# head", KEEP, KEEP, b""]
        # Whole as it was, whole as it will be, or a comment.
        assert rows[2] == GOES or rows[2].startswith(b"#")
        assert rows[3] in (SHORT, b'principals="a" key  ') or rows[3].startswith(b"#")


def test_where_it_cannot_be_changed_it_goes(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs, "atomic_write", no_space)

    def fails(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "pwrite", fails)
    assert lines(path) == f"{path} was removed: no space left on device"
    assert not os.path.exists(path)


def test_what_cannot_be_removed_is_emptied(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs, "remove_file", no_space)
    assert narrow.remove(path, "why") == f"{path} was emptied: why"
    assert Path(path).read_bytes() == b""
    with pytest.raises(HostError, match="no space left"):
        narrow.remove(f"{path}-not-there", "why")


@pytest.mark.alone
def test_a_lock_is_waited_for_and_then_not(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with narrow.lock(path, 0.0) as why:
        assert why == ""
        start = time.monotonic()
        with narrow.lock(path, 0.2) as why:
            assert why == f"process {os.getpid()} holds {path}"
        assert 0.2 <= time.monotonic() - start < 2
    with narrow.lock(path, 0.0) as why:
        assert why == ""
    with narrow.lock(str(tmp_path / "none" / "lock"), 0.0) as why:
        assert "no such file" in why
    with open(path, "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_every_step_is_tried() -> None:
    tries = Tries()
    done = []

    def broken(error: Exception) -> None:
        done.append(error)
        raise error

    assert tries("a", lambda: "said") == "said"
    for error in (OSError(errno.EIO, ""), HostError("x", "y"), ManyErrors([HostError("p", "q"), HostError("r", "s")])):
        assert tries("b", partial(broken, error)) is None
    assert len(done) == 3
    assert tries.notes == ["said"]
    assert [str(error) for error in tries.errors] == ["b: input/output error", "x: y", "p: q", "r: s"]
    with pytest.raises(ManyErrors):
        tries.end()
    alone = Tries()
    alone("c", lambda: broken(HostError("x", "y")))
    with pytest.raises(JailsshError, match="x: y"):
        alone.end()
