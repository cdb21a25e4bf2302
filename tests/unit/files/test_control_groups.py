"""Whether a limit is in force where systemd says that it has set it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.files import control_groups


@pytest.mark.parametrize(
    ("own", "files", "limit", "held"),
    [
        ({"memory": "/a/x.scope", "": "/a/x.scope"}, (), "memory", True),
        ({"memory": "/", "": "/a/x.scope"}, (), "memory", False),
        ({"cpu,cpuacct": "/a/x.scope"}, (), "cpu", True),
        ({"": "/a/x.scope"}, ("memory.max",), "memory", True),
        ({"": "/a/x.scope"}, ("memory.max",), "tasks", False),
        ({"": "/a/y.scope"}, (), "memory", False),
    ],
)
def test_a_limit_is_held(
    own: dict[str, str], files: tuple[str, ...], limit: str, held: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "a/x.scope").mkdir(parents=True)
    for name in files:
        (tmp_path / "a/x.scope" / name).touch()
    monkeypatch.setattr(control_groups, "own", lambda: own)
    assert control_groups.is_held(limit, "x.scope", str(tmp_path)) == held
