"""What an account may fill of file systems: from settings to what is asked of the kernel, and where it cannot be."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import functools
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jailssh.change import undo
from jailssh.config import jails, reader
from jailssh.config.limits import quota_of
from jailssh.core.errors import ConfigError, HostError
from jailssh.files import fs, mounts, quotactl
from jailssh.files.mounts import Mount
from jailssh.files.quotactl import Standing
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.publish import plan_files, quotas, relayed
from jailssh.publish.quotas import Wanted

GIB = 1 << 30
UID = 1000


def amounts(limits: str) -> dict[str, int]:
    document = reader.read_document(f"plugins = sftp\n[limits]\n{limits}".encode(), "j.conf")
    return quota_of(jails.read_jail("j", document, lambda _: ()).access)


class Kernel:
    """File systems with quotas, at the border where the kernel is asked; ``limits`` by place."""

    def __init__(self) -> None:
        self.mounts = [
            Mount(1, 0, "254:0", "/", "/", "ext4", "/dev/vda"),
            Mount(2, 1, "254:1", "/", "/home", "ext4", "/dev/vdb"),
            Mount(3, 1, "254:2", "/", "/srv", "xfs", "/dev/vdc"),
            Mount(4, 1, "0:40", "/", "/mnt/nfs", "nfs4", "server:/x"),
            Mount(5, 1, "254:1", "/web", "/var/web", "ext4", "/dev/vdb"),
        ]
        on = Standing(accounted=True, enforced=True, disk_used=4096, files_used=1)
        self.limits = {"/": Standing(), "/home": on, "/srv": on}
        self.sets: list[tuple[str, int | None, int | None]] = []
        self.fails = 0

    def answer(self, question: dict[str, Any]) -> object:
        place = "/home" if question["place"] == "/var/web" else question["place"]
        if "disk" not in question:
            return dataclasses.asdict(self.limits[place])
        if self.fails:
            return self.fails
        disk, files = question["disk"], question["files"]
        self.sets.append((place, disk, files))
        change = {name: value for name, value in (("disk", disk), ("files", files)) if value is not None}
        self.limits[place] = dataclasses.replace(self.limits[place], **change)
        return 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(quotactl, "answer", made.answer)
    monkeypatch.setattr(quotas, "mounts_of", lambda: made.mounts)
    monkeypatch.setattr(process, "has_systemd", lambda: False)
    return made


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(Layout, "state", property(lambda _: str(tmp_path)))
    monkeypatch.setattr(fs, "read_trusted", functools.partial(fs.read_trusted, trusted_root=str(tmp_path)))
    return Layout()


def wanted(disk: int = 5 * GIB, files: int = 0, *directories: str) -> Wanted:
    given = {name: number for name, number in (("disk", disk), ("files", files)) if number}
    return Wanted("ann", UID, amounts=given, origin="j.conf:3", directories=directories or ("/home/ann",))


def test_settings() -> None:
    assert amounts("") == {}
    assert amounts("disk = 5G\nfiles = 100000\n") == {"disk": 5 * GIB, "files": 100000}
    assert amounts("disk = 1000K\n") == {"disk": 1 << 20}  # XFS counts in its blocks, of 64 KiB at most
    for line in ("disk = 0", "files = 0", "disk = much", "files = -1"):
        with pytest.raises(ConfigError, match=line.split(maxsplit=1)[0]):
            amounts(f"{line}\n")


def test_it_is_set_changed_and_taken_back(kernel: Kernel, layout: Layout) -> None:
    lines = ["+ quota on /home: 5 GiB", "+ quota on /home: 9 files"]
    assert (quotas.difference(layout, wanted(files=9)), kernel.sets) == (lines, [])
    assert quotas.hold(layout, wanted(files=9)) == (lines, "")
    assert quotas.hold(layout, wanted(files=9)) == ([], "")
    assert quotas.recorded(layout, UID) == {"/home": {"disk": [5 * GIB], "files": [9]}}
    assert quotas.hold(layout, wanted(6 * GIB)) == (["+ quota on /home: 6 GiB", "- quota on /home: 9 files"], "")
    assert (kernel.limits["/home"].disk, kernel.limits["/home"].files) == (6 * GIB, 0)
    assert quotas.release(layout, UID) == ""
    assert (kernel.limits["/home"].disk, quotas.recorded(layout, UID)) == (0, {})
    assert kernel.sets[-1] == ("/home", 0, None)


def test_what_changes_is_told_without_rounding(kernel: Kernel, layout: Layout) -> None:
    """Two accounts with different amounts must not look as if they had the same."""
    told = {number: quotas.hold(layout, wanted(number))[0][0] for number in (
        5 * GIB, 5 * GIB + (40 << 20), 5 * GIB + GIB // 2, GIB << 10, (GIB << 10) + GIB)}  # fmt: skip
    assert [line.removeprefix("+ quota on /home: ") for line in told.values()] == [
        "5 GiB", "5160 MiB", "5.5 GiB", "1 TiB", "1025 GiB",
    ]  # fmt: skip


def test_every_file_system_counts_once(kernel: Kernel, layout: Layout) -> None:
    quotas.hold(layout, wanted(GIB, 0, "/home/ann", "/home/other", "/srv/www", "/var/web/x"))
    assert [place for place, _, _ in kernel.sets] == ["/home", "/srv"]
    kernel.sets.clear()
    quotas.hold(layout, wanted(GIB, 0, "/srv/www"))
    assert kernel.sets == [("/home", 0, None)]


def test_what_is_mounted_below_counts_too(kernel: Kernel, layout: Layout) -> None:
    """A jail shows a directory with all that is mounted there."""
    assert quotas.hold(layout, wanted(GIB))[1] == ""
    before = quotas.standing(layout, UID)
    more = Mount(6, 2, "254:3", "/", "/home/ann/more", "ext4", "/dev/vdd")
    others = Mount(7, 2, "254:4", "/", "/home/annex", "ext4", "/dev/vde")
    fixed = Mount(8, 2, "7:0", "/", "/home/ann/cd", "squashfs", "/dev/loop0", fixed=True)
    automatic = Mount(9, 2, "0:50", "/", "/home/ann/auto", "autofs", "systemd-1")
    kernel.mounts += [more, others, fixed, automatic]
    kernel.limits["/home/ann/more"] = Standing()
    assert quotas.standing(layout, UID) != before
    with pytest.raises(ConfigError, match=r"/home/ann/more \(ext4\) is mounted without quotas"):
        quotas.hold(layout, wanted(GIB))
    kernel.limits["/home/ann/more"] = Standing(accounted=True, enforced=True)
    kernel.sets.clear()
    assert quotas.hold(layout, wanted(GIB))[1] == ""
    assert kernel.sets == [("/home/ann/more", GIB, None)]


def test_what_nobody_can_write_to_is_told_by_its_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service sees homes as read-only, which says nothing about an account."""
    text = "9 1 8:1 / /home ro,relatime shared:1 - ext4 /dev/a rw,ro2\n10 9 7:0 / /home/cd rw - iso9660 /dev/b ro\n"
    monkeypatch.setattr(mounts, "open", lambda *_, **__: io.StringIO(text), raising=False)
    assert [(each.point, each.source, each.fixed) for each in mounts.mounts_of()] == [
        ("/home", "/dev/a", False),
        ("/home/cd", "/dev/b", True),
    ]


def test_a_file_system_that_is_seen_at_another_place_keeps_its_quota(kernel: Kernel, layout: Layout) -> None:
    quotas.hold(layout, wanted(GIB))
    quotas.hold(layout, wanted(GIB, 0, "/var/web/x"))
    assert kernel.limits["/home"].disk == GIB
    assert quotas.release(layout, UID) == ""
    assert (kernel.limits["/home"].disk, quotas.recorded(layout, UID)) == (0, {})


def test_what_a_service_has_set_is_known_outside_of_it(kernel: Kernel, layout: Layout) -> None:
    """It has the directories that it may write to as mounts of their own."""
    own = Mount(6, 3, "254:2", "/lib", "/srv/lib", "xfs", "/dev/vdc")
    kernel.mounts.append(own)
    assert quotas.hold(layout, wanted(GIB, 0, "/srv/lib/ann"))[0] == ["+ quota on /srv: 1 GiB"]
    kernel.mounts.remove(own)
    assert quotas.hold(layout, wanted(2 * GIB, 0, "/srv/lib/ann")) == (["+ quota on /srv: 2 GiB"], "")


@pytest.mark.parametrize(
    ("path", "standing", "why", "hint"),
    [
        ("/root", Standing(), "/ (ext4) is mounted without quotas", "quotacheck -cum /"),
        ("/home/a", Standing(), "/home (ext4) is mounted without quotas", "umount /home && tune2fs -O quota /dev/vdb"),
        ("/srv/a", Standing(), "/srv (xfs) is mounted without quotas", "add uquota to its options in /etc/fstab"),
        ("/srv/a", Standing(accounted=True), "lets users go over their quotas", "xfs_quota -x -c 'enable -u' /srv"),
        ("/home/a", Standing(accounted=True), "lets users go over their quotas", "quotaon -u /home"),
        ("/home/a", Standing(error=errno.EROFS), "read-only file system", "remount,rw"),
        ("/home/a", Standing(error=errno.EPERM), "operation not permitted", "container"),
        ("/mnt/nfs/a", Standing(), "/mnt/nfs (nfs4) has no quotas of users", "on ext4 or xfs"),
    ],
)
def test_what_is_not_kept_is_an_error_that_says_how(
    kernel: Kernel, layout: Layout, path: str, standing: Standing, why: str, hint: str
) -> None:
    kernel.limits |= {path.removesuffix("/a").replace("/root", "/"): standing}
    with pytest.raises(ConfigError) as caught:
        quotas.hold(layout, wanted(GIB, 0, path))
    assert (caught.value.what, why in caught.value.why, hint in caught.value.hint) == ("j.conf:3", True, True)
    assert (kernel.sets, quotas.recorded(layout, UID)) == ([], {})


@pytest.mark.parametrize("other", [Standing(disk=3 * GIB), Standing(disk_soft=True), Standing(disk=5 * GIB)])
def test_what_other_tools_have_set_stays(kernel: Kernel, layout: Layout, other: Standing) -> None:
    kernel.limits["/home"] = dataclasses.replace(other, accounted=True, enforced=True)
    changed, note = quotas.hold(layout, wanted())
    assert (changed, kernel.sets, quotas.release(layout, UID)) == ([], [], "")
    assert note == "" if other.disk == 5 * GIB else "setquota -u ann 0 0 0 0 /home" in note
    assert kernel.sets == []


def test_the_same_that_others_have_set_is_missed_when_it_is_gone(kernel: Kernel, layout: Layout) -> None:
    kernel.limits["/home"] = dataclasses.replace(kernel.limits["/home"], disk=5 * GIB)
    assert (quotas.hold(layout, wanted()), kernel.sets) == (([], ""), [])
    before = quotas.standing(layout, UID)
    kernel.limits["/home"] = dataclasses.replace(kernel.limits["/home"], disk=0)
    assert quotas.standing(layout, UID) != before
    assert quotas.hold(layout, wanted()) == (["+ quota on /home: 5 GiB"], "")


def test_what_was_changed_by_hand_since_stays(kernel: Kernel, layout: Layout) -> None:
    quotas.hold(layout, wanted())
    before = quotas.standing(layout, UID)
    kernel.limits["/home"] = dataclasses.replace(kernel.limits["/home"], disk=GIB)
    assert quotas.standing(layout, UID) != before
    kernel.sets.clear()
    assert "one that other tools have set holds (1 GiB)" in quotas.hold(layout, wanted())[1]
    assert (quotas.release(layout, UID), kernel.sets) == ("", [])


def test_what_is_interrupted_is_completed_or_taken_back(kernel: Kernel, layout: Layout) -> None:
    quotas.hold(layout, wanted())
    before = quotas.recorded(layout, UID)
    kernel.fails = errno.EIO
    with pytest.raises(HostError, match="cannot be set on /home"):
        quotas.hold(layout, wanted(6 * GIB))
    assert quotas.recorded(layout, UID) == {"/home": {"disk": [5 * GIB, 6 * GIB]}}
    kernel.fails = 0
    quotas.put_back(layout, UID, before)
    assert (kernel.limits["/home"].disk, quotas.recorded(layout, UID)) == (5 * GIB, before)
    assert quotas.hold(layout, wanted(6 * GIB))[1] == ""
    quotas.put_back(layout, UID, before)
    assert kernel.limits["/home"].disk == 5 * GIB
    quotas.put_back(layout, UID, {})
    assert (kernel.limits["/home"].disk, quotas.recorded(layout, UID)) == (0, {})


def test_a_file_system_that_is_not_mounted_keeps_its_record(kernel: Kernel, layout: Layout) -> None:
    quotas.hold(layout, wanted())
    home = kernel.mounts.pop(1)
    assert quotas.release(layout, UID) == ""
    assert quotas.recorded(layout, UID) != {}
    kernel.mounts.append(home)
    assert (quotas.release(layout, UID), quotas.recorded(layout, UID)) == ("", {})


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (Standing(), "it is mounted without quotas"),
        (Standing(error=errno.EPERM), "operation not permitted"),
        (Standing(error=errno.ENOENT), "no such file or directory"),
    ],
)
def test_of_a_file_system_that_does_not_answer_the_record_stays(
    kernel: Kernel, layout: Layout, standing: Standing, why: str
) -> None:
    """The limit is still there when it answers again, and its uid may be another account's then."""
    quotas.hold(layout, wanted())
    there, kernel.limits["/home"] = kernel.limits["/home"], standing
    assert quotas.release(layout, UID) == ""
    assert why in quotas.hold(layout, Wanted("ann", UID, amounts={}))[1]
    kernel.limits["/home"] = there
    assert (quotas.release(layout, UID), quotas.recorded(layout, UID)) == ("", {})
    assert kernel.limits["/home"].disk == 0


def test_use_is_told(kernel: Kernel, layout: Layout) -> None:
    assert quotas.usage(layout, UID, "/home/ann") == []
    quotas.hold(layout, wanted(GIB, 2, "/srv/a"))
    kernel.limits["/srv"] = dataclasses.replace(kernel.limits["/srv"], disk_used=GIB // 5, files_used=2)
    (used,) = quotas.usage(layout, UID, "/mnt/nfs/ann")
    assert (used.said(), used.is_full()) == ("/srv: 204.8 MiB of 1 GiB, 2 of 2 files", True)


def test_a_service_without_the_power_has_systemd_ask(
    kernel: Kernel, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], timeout: float) -> process.Completed:
        asked.append(argv)
        said = json.dumps([kernel.answer(each) for each in json.loads(argv[-1])])
        return process.Completed(stdout=said, stderr="", code=0 if timeout else 1)

    refused: dict[bool, object] = {True: errno.EPERM, False: dataclasses.asdict(Standing(error=errno.EPERM))}
    monkeypatch.setattr(process, "has_systemd", lambda: True)
    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(quotactl, "answer", lambda question: refused["disk" in question])
    assert quotas.hold(layout, wanted()) == (["+ quota on /home: 5 GiB"], "")
    assert kernel.sets == [("/home", 5 * GIB, None)]
    assert [(argv[0], argv[-2]) for argv in asked] == [("systemd-run", quotactl.__file__)] * 2


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EROFS])
def test_a_service_that_does_not_see_it_has_systemd_ask(
    kernel: Kernel, layout: Layout, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Homes are away for it, or read-only."""
    quotas.hold(layout, wanted())

    def run(argv: list[str], timeout: float) -> process.Completed:
        said = json.dumps([kernel.answer(each) for each in json.loads(argv[-1])])
        return process.Completed(stdout=said, stderr="", code=0 if timeout else 1)

    hidden: dict[bool, object] = {True: code, False: dataclasses.asdict(Standing(error=code))}
    monkeypatch.setattr(process, "has_systemd", lambda: True)
    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(quotactl, "answer", lambda question: hidden["disk" in question])
    assert (quotas.release(layout, UID), quotas.recorded(layout, UID)) == ("", {})
    assert kernel.limits["/home"].disk == 0


def test_who_only_shows_what_is_in_use_starts_nothing(
    kernel: Kernel, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container each of thousands of accounts is refused."""
    kernel.limits["/home"] = Standing(error=errno.EPERM)
    monkeypatch.setattr(process, "has_systemd", lambda: True)
    monkeypatch.setattr(process, "run", lambda *_, **__: pytest.fail("a program was started"))
    assert quotas.usage(layout, UID, "/home/ann") == []


def test_taking_back_waits_for_nobody_for_long(kernel: Kernel, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    quotas.hold(layout, wanted())
    monkeypatch.setattr(quotas, "_PATIENCE", 0.05)
    with fs.lock(f"{layout.state}/quotas/.lock"):
        monkeypatch.setattr(fs, "lock", lambda _: pytest.fail("it waits"))
        assert f"process {os.getpid()} holds" in quotas.release(layout, UID)
    assert quotas.recorded(layout, UID) != {}
    assert (quotas.release(layout, UID), kernel.limits["/home"].disk) == ("", 0)


def test_a_plan_goes_whatever_becomes_of_its_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def refuse(*_: object) -> None:
        raise HostError("quota of uid 1000", "cannot be set")

    monkeypatch.setattr(quotas, "put_back", refuse)
    monkeypatch.setattr(plan_files, "put_back", lambda path, *_: taken.append(path))
    monkeypatch.setattr(relayed, "follow", lambda *_: "")
    plan = f"{Layout().plans}/{UID}"
    with pytest.raises(HostError, match="cannot be set"):
        undo._undo_plan(plan, "", 0o600, held={})
    assert taken == [plan]


def test_no_link_is_followed_to_a_file_system(tmp_path: Path) -> None:
    """Who can rename a directory above a mount could have another file system meant."""
    (tmp_path / "real/data").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    before = len(os.listdir("/proc/self/fd"))
    assert quotactl.look(f"{tmp_path}/link/data", "", UID).error == errno.ENOTDIR
    assert quotactl.limit(f"{tmp_path}/link", "", 4_000_000_000, GIB, None) == errno.ENOTDIR
    assert quotactl.look(f"{tmp_path}/real/data", "", UID).error != errno.ENOTDIR
    assert quotactl.look("/", "", UID).error != errno.ENOTDIR
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_filter_that_lets_no_quota_through_is_no_file_system_without(
    kernel: Kernel, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter of a container answers as the kernel does of a file system that has none: fstab would not help."""

    class Calls:
        def __init__(self, of_nothing: int) -> None:
            self.of_nothing = of_nothing

        def syscall(self, _number: int, fd: int, *_: object) -> int:
            ctypes.set_errno(self.of_nothing if fd == -1 else errno.ENOSYS)
            return -1

        def quotactl(self, *_: object) -> int:
            ctypes.set_errno(errno.ENOSYS)
            return -1

    for of_nothing, error in ((errno.ENOSYS, errno.ENOSYS), (errno.EBADF, 0)):
        monkeypatch.setattr(quotactl, "_libc", Calls(of_nothing))
        assert quotactl.look(str(tmp_path), "", UID).error == error
    kernel.limits["/home"] = Standing(error=errno.ENOSYS)
    with pytest.raises(ConfigError, match="function not implemented") as found:
        quotas.hold(layout, wanted())
    assert "the filter of a container" in found.value.hint
