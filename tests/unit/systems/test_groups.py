"""What a system may use, as the files of its control groups say it, by their version."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.files import control_groups
from jailssh.systems import groups, settings, units
from jailssh.systems.settings import System

SECOND = ("memory.max", "memory.swap.max", "pids.max", "cpu.max")
FIRST = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    "pids": ("pids.max",),
    "cpu,cpuacct": ("cpu.cfs_period_us", "cpu.cfs_quota_us"),
}


def system(text: bytes) -> System:
    return settings.parse("web", text, "f")


def folder(path: Path, files: tuple[str, ...], controllers: str = "") -> str:
    path.mkdir(parents=True)
    for name in (*files, *(("cgroup.controllers",) if controllers else ())):
        (path / name).write_text("")
    if controllers:
        (path / "cgroup.controllers").write_text(f"{controllers}\n")
    return str(path)


def said(path: str, files: tuple[str, ...]) -> list[str]:
    """Return what was written, and forget it: files of a group have what they were told last."""
    texts = [Path(path, name).read_text() for name in files]
    for name in files:
        Path(path, name).write_text("")
    return texts


def test_a_unit_where_all_controllers_are_of_version_2(tmp_path: Path) -> None:
    payload = folder(tmp_path / "unit/payload", SECOND, "cpuset cpu io memory pids")
    groups.hold_in_unit(system(b"memory = 64M\ntasks = 9\ncpu = 50\n"), [payload])
    assert said(payload, SECOND) == [str(64 << 20), "0", "9", "50000 100000"]
    groups.hold_in_unit(system(b""), [payload])
    assert said(payload, SECOND) == ["max", "max", "max", "max 100000"]


def test_a_unit_where_they_are_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_ROOT", str(tmp_path))
    payload = folder(tmp_path / "unified/unit/payload", (), "hugetlb")
    old = [folder(tmp_path / name / "unit/payload", files) for name, files in FIRST.items()]
    groups.hold_in_unit(system(b"memory = 64M\ntasks = 9\ncpu = 50\n"), [payload, *old])
    assert [said(path, files) for path, files in zip(old, FIRST.values(), strict=True)] == [
        [str(64 << 20)] * 2, ["9"], ["100000", "50000"],
    ]  # fmt: skip
    groups.hold_in_unit(system(b""), [payload, *old])
    assert [said(path, files) for path, files in zip(old, FIRST.values(), strict=True)] == [
        ["-1"] * 2, ["max"], ["100000", "-1"],
    ]  # fmt: skip


def test_a_limit_that_nobody_holds_is_an_error_and_none_is_not(tmp_path: Path) -> None:
    payload = folder(tmp_path / "payload", (), "hugetlb")
    groups.hold_in_unit(system(b""), [payload])
    with pytest.raises(HostError, match="limit of tasks: is not to be had on this host"):
        groups.hold_in_unit(system(b"tasks = 9\n"), [payload])


def test_a_kernel_without_swap(tmp_path: Path) -> None:
    group = folder(tmp_path / "group", ("memory.max",), "memory")
    control_groups.hold(group, "memory", 1 << 20)
    assert said(group, ("memory.max",)) == [str(1 << 20)]


def test_the_unit_that_this_is_in_is_told_by_a_whole_name() -> None:
    assert units.unit_of("web") == "jailssh-system@web.service"
    assert not units.is_inside("web")


def test_how_deep_groups_are_keeps_nothing_from_going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_ROOT", str(tmp_path))
    monkeypatch.setattr(groups, "_PATIENCE", 0.0)
    at = str(tmp_path / "jailssh-systems")
    for name in ("", "/web", *["/d"] * 1100):
        at += name
        os.mkdir(at)
    try:
        groups.remove("web")
        assert os.listdir(tmp_path) == []
    finally:  # pytest itself cannot remove that
        subprocess.run(["rm", "-rf", str(tmp_path / "jailssh-systems")], check=True)


def test_all_of_a_group_are_told_without_looking_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = folder(tmp_path / "web/init.scope", ())
    Path(tmp_path, "web/cgroup.procs").write_text("5\n6\n")
    Path(below, "cgroup.procs").write_text("".join(f"{pid}\n" for pid in range(1000, 2000)))
    looked: list[str] = []
    told: dict[int, int] = {}

    def read(path: str) -> str:
        looked.append(path)
        return Path(path).read_text()

    def opened(pid: int) -> int:
        fd = os.dup(2)
        told[fd] = pid
        return fd

    monkeypatch.setattr(groups, "_read", read)
    monkeypatch.setattr(os, "pidfd_open", opened)
    numbers: list[tuple[int, int]] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda fd, number: numbers.append((told[fd], number)))
    groups.tell_to_end(str(tmp_path / "web"), 5)
    assert sorted(numbers) == [(pid, signal.SIGTERM) for pid in (6, *range(1000, 2000))]
    assert len(looked) < 10


def test_a_host_without_the_binding_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "systemd", None)
        patched.delitem(sys.modules, "systemd.daemon", raising=False)
        importlib.reload(units)
