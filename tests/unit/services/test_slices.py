"""What all sessions of an account are held to together: from settings to properties, and where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.config import jails, reader
from jailssh.config.limits import slice_of
from jailssh.config.values import UNSET, parse
from jailssh.core.errors import ConfigError
from jailssh.host.paths import Layout
from jailssh.services import slices

GIB = 1 << 30


def properties(limits: str, memory: int = 8 * GIB) -> dict[str, str]:
    document = reader.read_document(f"plugins = sftp\n[limits]\n{limits}".encode(), "j.conf")
    return slice_of(jails.read_jail("j", document, lambda _: ()).access, memory)


def test_there_are_defaults_by_what_the_host_has() -> None:
    assert properties("") == {
        "MemoryMax": f"{4 * GIB}", "MemorySwapMax": f"{4 * GIB}", "TasksMax": "512", "CPUWeight": "50",
        "IOWeight": "50",
    }  # fmt: skip


def test_each_can_be_set_and_taken_away() -> None:
    said = "memory = 1G\ntasks = 9\ncpu_quota = 150%\ncpu_weight = 1\nio_weight = 10000\n"
    assert properties(said) == {
        "MemoryMax": f"{GIB}", "MemorySwapMax": f"{GIB}", "TasksMax": "9", "CPUQuota": "150%", "CPUWeight": "1",
        "IOWeight": "10000",
    }  # fmt: skip
    none = "".join(f"{name} = none\n" for name in ("memory", "tasks", "cpu_quota", "cpu_weight", "io_weight"))
    assert properties(none) == {}
    assert set(properties(said)) == set(slices.NO_LIMIT)


@pytest.mark.parametrize(
    "line",
    ["memory = 101%", "memory = 0", "memory = 1M", "memory = much", "tasks = 0", "tasks =", "tasks = -1",
     "cpu_quota = 0%", "cpu_quota = 100", "cpu_weight = 0", "cpu_weight = 10001", "io_weight = high"],
)  # fmt: skip
def test_what_makes_no_sense_is_an_error(line: str) -> None:
    with pytest.raises(ConfigError, match=rf"{line.split()[0]}"):
        properties(f"{line}\n")


def test_values() -> None:
    assert (parse("memory", "25%"), parse("memory", "none"), parse("percent", "50%")) == ("25%", UNSET, 50)


def test_the_session_stack_is_read_with_what_it_includes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_PAM", str(tmp_path))
    (tmp_path / "sshd").write_text("@include common-auth\nsession substack common\n")
    (tmp_path / "common").write_text("# session optional pam_systemd.so\nauth required pam_systemd.so\n")
    assert not slices._in_session_stack("sshd")
    (tmp_path / "common").write_text("session required pam_unix.so\n-session optional pam_systemd.so class=user\n")
    assert slices._in_session_stack("sshd")
    (tmp_path / "sshd").write_text("@include sshd\n")
    assert not slices._in_session_stack("sshd")


def test_drop_ins_are_among_the_files_once_there_is_a_place_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "CONTROL", str(tmp_path))
    folder = tmp_path / "user-1000.slice.d"
    before = slices.files_of(Layout(), 1000)
    assert str(folder) in before
    folder.mkdir()
    after = slices.files_of(Layout(), 1000)
    assert set(after) - set(before) == {f"{folder}/50-{name}.conf" for name in slices.NO_LIMIT}
