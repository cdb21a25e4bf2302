"""Lines of /etc/passwd in which somebody has more than letters, read as the C library reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.host import accounts, nss


def test_a_line_ends_at_a_newline_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(
        b"alice:x:1001:1001:Alice,,,\rbob:/home/alice:/bin/sh\nbob:x:1002:1002:\x0c\x1c\x85:/home/bob:/bin/sh\n"
    )
    monkeypatch.setattr(accounts, "_USERS_FILE", str(path))
    assert accounts.local_lines() == {
        "alice": (1001, 1001, "/home/alice", "/bin/sh"),
        "bob": (1002, 1002, "/home/bob", "/bin/sh"),
    }
    assert accounts.local_homes() == ["/home/alice", "/home/bob"]


def test_nor_is_somebody_local_by_a_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(b"alice:x:1001:1001:\rbob:/home/alice:/bin/sh\n")
    monkeypatch.setitem(nss._FILES, "user", (str(path), 0))
    assert (nss._is_local("user", "alice"), nss._is_local("user", "bob")) == (True, False)
