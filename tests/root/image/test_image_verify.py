"""Damage in images: found whatever the times say, taken by no new image, made right while sessions go on."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jailssh.console import main as cli
from jailssh.core.errors import UsageError
from jailssh.core.names import HostPath
from jailssh.files import blobs, fs
from jailssh.files.editor import TreeEditor
from jailssh.host.paths import Layout
from jailssh.image import pool, store
from jailssh.plugin.api import ImageNeeds
from jailssh.upkeep import audit, repair

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def place(place: Path) -> Path:
    """The same with files, a directory and a link in ``src``."""
    (place / "src/deep").mkdir()
    for number in range(9):
        (place / f"src/f{number}").write_bytes(bytes([number]) * 5000 + str(number).encode())
    (place / "src/deep/f").write_bytes(b"deep" * 1000)
    (place / "src/link").symlink_to("f1")
    return place


def ensure(layout: Layout, place: Path, jail: str = "j", text: str = "text") -> store.BuildResult:
    need = ImageNeeds(files=(f"{place}/src",), texts=(("/etc/motd", text),), dirs=("/srv/x",))
    return store.ensure_image(layout, jail, [("test", need)], trusted_root=HostPath(str(place)))


def inside(made: store.BuildResult, place: Path, name: str) -> Path:
    return Path(f"{made.path}{place}/src/{name}")


def flip(path: Path, at: int = 100) -> None:
    """Change one bit of a file and put its times back."""
    info = path.stat()
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0x10
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def found(layout: Layout) -> list[tuple[str, str]]:
    return sorted({(one.path if one.where != "pool" else "pool", one.kind) for one in audit.audit(layout).damage})


def test_a_good_pool_has_no_damage(layout: Layout, place: Path) -> None:
    assert audit.audit(layout).damage == []
    ensure(layout, place)
    ensure(layout, place, "k", "other")
    looked = audit.audit(layout)
    assert looked.damage == []
    assert looked.trees == 2
    assert looked.files >= 11
    # What two trees share is read once, a generated file in each of them.
    assert looked.bytes < 2 * 50_000


def test_one_changed_bit_anywhere_is_found(layout: Layout, place: Path) -> None:
    made = ensure(layout, place)
    files = sorted(path for path in Path(made.path).rglob("*") if path.is_file() and not path.is_symlink())
    assert len(files) > 10
    numbers = random.Random(1)
    for path in files:
        at = numbers.randrange(path.stat().st_size)
        flip(path, at)
        wrong = audit.audit(layout).damage
        assert str(path).removeprefix(made.path) in [one.path for one in wrong], path
        assert {one.kind for one in wrong} == {"content"}
        flip(path, at)
    assert audit.audit(layout).damage == []


def test_a_source_that_was_written_anew_as_it_was_is_no_damage(layout: Layout, place: Path) -> None:
    made = ensure(layout, place)
    os.utime(place / "src/f1", (5, 5))
    assert ensure(layout, place).path == made.path
    # A third time, with two manifests for the tree: another jail has it with other needs.
    os.utime(place / "src/f2", (6, 6))
    ensure(layout, place, "k")
    assert found(layout) == []
    flip(inside(made, place, "f1"))
    assert repair.repair(layout, audit.audit(layout).damage).left == []
    assert found(layout) == []
    assert inside(made, place, "f1").read_bytes() == (place / "src/f1").read_bytes()


def spoil_mode(path: Path) -> None:
    path.chmod(0o4755)


def spoil_owner(path: Path) -> None:
    os.chown(path, 1234, 0, follow_symlinks=False)


def spoil_time(path: Path) -> None:
    os.utime(path, (5, 5))


def spoil_attribute(path: Path) -> None:
    os.setxattr(path, "user.note", b"x")


def spoil_capability(path: Path) -> None:
    os.setxattr(path, "security.capability", bytes.fromhex("0000000200040000000000000000000000000000"))


def spoil_gone(path: Path) -> None:
    path.unlink()


def spoil_dir(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


def spoil_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/shadow")


SPOILERS: list[tuple[str, Callable[[Path], object], str]] = [
    ("f3", spoil_mode, "status"),
    ("f3", spoil_owner, "status"),
    ("f3", spoil_time, "status"),
    ("f3", spoil_attribute, "status"),
    ("f3", spoil_capability, "status"),
    ("f3", spoil_gone, "missing"),
    ("f3", spoil_dir, "status"),
    ("f3", spoil_link, "status"),
    ("f3", lambda path: path.write_bytes(b""), "content"),
    ("f3", flip, "content"),
    ("link", spoil_gone, "missing"),
    ("link", spoil_link, "content"),
    ("link", spoil_owner, "status"),
    ("deep", spoil_mode, "status"),
    ("deep", spoil_owner, "status"),
    ("deep", spoil_attribute, "status"),
    ("deep", shutil.rmtree, "missing"),
    ("../../../../etc/motd", flip, "content"),
    ("../../../../etc/motd", spoil_gone, "missing"),
    ("../../../..", lambda path: path.chmod(0o777), "status"),
    ("new", lambda path: path.write_text("x"), "extra"),
    ("newdir", lambda path: (path / "a/b").mkdir(parents=True), "extra"),
]


@pytest.mark.parametrize(("name", "spoil", "kind"), SPOILERS)
def test_damage_is_found_and_repaired_in_every_image(
    layout: Layout, place: Path, name: str, spoil: Callable[[Path], None], kind: str
) -> None:
    made, other = ensure(layout, place), ensure(layout, place, "k", "other")
    path = Path(os.path.normpath(inside(made, place, name)))
    spoil(path)
    wrong = audit.audit(layout)
    assert kind in {one.kind for one in wrong.damage}
    done = repair.repair(layout, wrong.damage)
    assert (done.left, done.errors) == ([], [])
    assert audit.audit(layout).damage == []
    assert sorted(os.listdir(place / "src")) == sorted(os.listdir(inside(made, place, "")))
    for each in (made, other):
        assert inside(each, place, "f3").read_bytes() == (place / "src/f3").read_bytes()
        assert inside(each, place, "deep/f").stat().st_nlink == 3
        assert inside(each, place, "f3").stat().st_nlink == 3
    assert not os.path.lexists(f"{pool.pool_dir(layout)}/.repair")


@pytest.mark.parametrize("again", [False, True])
def test_a_tree_that_is_removed_while_it_is_looked_at_is_no_damage(
    layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    made = ensure(layout, place)
    trees, real, looked = Path(pool.pool_dir(layout)), audit._Tree.run, []

    def run(tree: audit._Tree) -> None:
        looked.append(1)
        if len(looked) == 1:
            name = os.path.basename(made.path)
            if again:
                shutil.copytree(trees / name, trees / "copy", symlinks=True)
            (trees / name).rename(trees / "away")
            shutil.rmtree(trees / "away" / str(place).lstrip("/"))
            if again:
                (trees / "copy").rename(trees / name)
        real(tree)

    monkeypatch.setattr(audit._Tree, "run", run)
    # The jail still points to what is gone.
    assert found(layout) == ([] if again else [("", "image")])
    assert len(looked) == 1 + again


def test_a_program_that_runs_keeps_its_file(layout: Layout, place: Path) -> None:
    made = ensure(layout, place)
    path = inside(made, place, "f3")
    flip(path)
    spoilt = path.read_bytes()
    with path.open("rb") as held:
        assert repair.repair(layout, audit.audit(layout).damage).left == []
        assert held.read() == spoilt
    assert path.read_bytes() == (place / "src/f3").read_bytes()


def test_content_comes_from_anywhere_but_only_by_its_digest(layout: Layout, place: Path) -> None:
    made = ensure(layout, place)
    good = (place / "src/f3").read_bytes()
    (place / "src/f3").write_bytes(b"other")
    flip(inside(made, place, "f3"))
    done = repair.repair(layout, audit.audit(layout).damage)
    assert [one.path for one in done.left] == [f"{place}/src/f3"]
    assert [error.split(": ")[0] for error in done.errors] == [f"{place}/src/f3"]
    # The damaged file is in no store any more, so no new image can take it.
    assert not [name for name in os.listdir(f"{pool.pool_dir(layout)}/.objects") if name.endswith("-5001")][9:]
    (place / "src/f3").write_bytes(good)
    assert repair.repair(layout, audit.audit(layout).damage).left == []
    assert inside(made, place, "f3").read_bytes() == good
    assert audit.audit(layout).damage == []


def test_a_damaged_file_is_not_taken_by_a_new_image(layout: Layout, place: Path) -> None:
    first = ensure(layout, place)
    flip(inside(first, place, "f3"))
    second = ensure(layout, place, "k", "other")
    assert inside(second, place, "f3").read_bytes() == (place / "src/f3").read_bytes()
    assert inside(second, place, "f4").stat().st_ino == inside(first, place, "f4").stat().st_ino
    assert [note for note in second.notes if "f3 is damaged in an older image" in note]
    # The store has the good one now.
    third = ensure(layout, place, "l", "third")
    assert inside(third, place, "f3").stat().st_ino == inside(second, place, "f3").stat().st_ino
    assert found(layout) == [(f"{place}/src/f3", "content")]
    assert repair.repair(layout, audit.audit(layout).damage).left == []
    assert inside(first, place, "f3").stat().st_ino == inside(second, place, "f3").stat().st_ino


def test_a_file_is_read_once_for_all_images_of_a_run(
    layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(layout, place)
    read: list[str] = []
    real = blobs.digest_of

    def noted(*args: Any, **more: Any) -> Any:
        read.append(args[1])
        return real(*args, **more)

    monkeypatch.setattr(blobs, "digest_of", noted)
    host = store.new_host(layout)
    for jail in ("k", "l", "m"):
        need = ImageNeeds(files=(f"{place}/src",), texts=(("/etc/motd", jail),))
        store.ensure_image(layout, jail, [("test", need)], trusted_root=HostPath(str(place)), host=host)
    assert len(read) == 10
    # Somebody else's change is seen by the time that nobody can put back.
    flip(inside(ensure(layout, place), place, "f3"))
    need = ImageNeeds(files=(f"{place}/src",), texts=(("/etc/motd", "n"),))
    made = store.ensure_image(layout, "n", [("test", need)], trusted_root=HostPath(str(place)), host=host)
    assert inside(made, place, "f3").read_bytes() == (place / "src/f3").read_bytes()


def manifests(layout: Layout) -> list[Path]:
    return sorted(Path(pool.pool_dir(layout)).glob("*.json"))


def test_a_manifest_is_not_believed_unread(layout: Layout, place: Path) -> None:
    ensure(layout, place)
    (path,) = manifests(layout)
    good = path.read_text()
    for bad in (
        good.replace('"text":"text"', '"text":"evil"'),
        good[:-9],
        "{}",
        good.replace('"mode":420', '"mode":511'),
    ):
        assert bad != good
        path.write_text(bad)
        assert found(layout) == [("", "manifest")]
    path.write_text(good)
    assert found(layout) == []


def test_a_mount_in_a_tree_is_told_and_not_touched(layout: Layout, place: Path) -> None:
    made = ensure(layout, place)
    where = inside(made, place, "deep")
    keep = place / "keep"
    keep.mkdir()
    (keep / "precious").write_text("x")
    subprocess.run(["mount", "--bind", keep, where], check=True)
    try:
        wrong = audit.audit(layout).damage
        assert [one.path for one in wrong] == [f"{place}/src/deep"]
        assert repair.repair(layout, wrong).left != []
    finally:
        subprocess.run(["umount", where], check=True)
    assert (keep / "precious").read_text() == "x"
    assert audit.audit(layout).damage == []


@pytest.mark.parametrize("at", range(6))
def test_a_killed_repair_is_completed_by_the_next(
    layout: Layout, place: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = ensure(layout, place), ensure(layout, place, "k", "other")
    for name in ("f1", "f3", "deep/f"):
        flip(inside(made, place, name))
    spoil_gone(inside(made, place, "f5"))
    steps = 0
    real_replace, real_share = blobs.replace, TreeEditor.share

    def step() -> bool:
        nonlocal steps
        steps += 1
        if steps > at:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(blobs, "replace", lambda *args: (step(), real_replace(*args)))
    monkeypatch.setattr(TreeEditor, "share", lambda *args: (step(), real_share(*args)))
    with pytest.raises(KeyboardInterrupt):
        repair.repair(layout, audit.audit(layout).damage)
    monkeypatch.undo()
    ensure(layout, place, "l", "third")
    assert repair.repair(layout, audit.audit(layout).damage).left == []
    assert audit.audit(layout).damage == []
    for each in (made, other):
        assert inside(each, place, "f3").read_bytes() == (place / "src/f3").read_bytes()


def test_names_are_jails_or_beginnings_of_generations(layout: Layout, place: Path) -> None:
    first, second = ensure(layout, place), ensure(layout, place, "k", "other")
    assert audit.pick(layout, ["j", second.generation[:8]]) == [first.generation, second.generation]
    flip(inside(first, place, "f3"))
    assert audit.audit(layout, [second.generation]).damage != []
    os.chmod(f"{first.path}/etc/motd", 0o600)
    assert [one.kind for one in audit.audit(layout, [second.generation]).damage] == ["content"]
    for wrong in ("", "nosuch", "../j"):
        with pytest.raises(UsageError):
            audit.pick(layout, [wrong])


def test_a_link_that_leads_to_no_image_is_told(layout: Layout, place: Path) -> None:
    made = ensure(layout, place)
    images = fs.open_dir(pool.pool_dir(layout), strict=False)
    fs.remove_tree(images, made.generation)
    os.close(images)
    assert [(one.where, one.kind) for one in audit.audit(layout).damage] == [("jail j", "image")]


def test_the_command_tells_and_ends_with_a_status(
    layout: Layout, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*args: str) -> tuple[int, str, str]:
        code = cli.main(["--root", layout.root, "image", "verify", *args])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert run() == (0, "0 images, 0 paths, 0.0 MB read: no damage\n", "")
    made = ensure(layout, place)
    assert run("j")[0] == 0
    flip(inside(made, place, "f3"))
    code, out, err = run("--all")
    assert code == 1
    assert f"damaged: {made.generation}: {place}/src/f3: content has changed\n" in out
    assert "2 items damaged" in out
    assert err == "hint: jailssh image verify --repair\n"
    code, out, _ = run("--json")
    fact = json.loads(out)
    assert code == 1
    assert {one["kind"] for one in fact["damage"]} == {"content"}
    code, out, err = run(made.generation[:6], "--repair")
    assert (code, err) == (0, "")
    assert out.endswith("1 item damaged, repaired\n")
    assert run()[0] == 0
    assert run("j", "--all")[0] == 2
    assert run("nosuch")[0] == 2
