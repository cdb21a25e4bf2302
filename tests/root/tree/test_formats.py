"""Trees in other formats, read back by the tools of those formats."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.closure.errors import ImageError
from jailssh.console import main as cli
from jailssh.core.errors import HostError, UsageError
from jailssh.host import output
from jailssh.tree import formats

pytestmark = pytest.mark.needs("root")
EPOCH = 1_700_000_000
LONG = "n" * 150
RAW = os.fsdecode(b"caf\xe9")


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="jailssh-test-"))
    yield path
    shutil.rmtree(path)


def make_tree(place: Path, name: str = "tree") -> Path:
    """Make a tree with one of everything; what it holds does not depend on the time of the call."""
    tree = place / name
    for folder in ("usr/bin", f"usr/{LONG}", "dev"):
        (tree / folder).mkdir(parents=True)
    (tree / "usr/bin/sh").write_bytes(b"#!x\n" * 1000)
    (tree / "usr/bin/sh").chmod(0o755)
    (tree / "usr/two\nlines").write_text("odd")
    (tree / "usr" / RAW).write_text("latin")
    os.link(tree / "usr/bin/sh", tree / "usr/bin/zsh")
    (tree / f"usr/{LONG}/deep").write_text("x")
    (tree / "bin").symlink_to("usr/bin")
    os.mknod(tree / "dev/null", 0o020666, os.makedev(1, 3))
    os.chown(tree / "usr/two\nlines", 1234, 4321)
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    return tree


def tool(*argv: str | Path) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tar_is_the_same_for_the_same_tree(place: Path) -> None:
    first = make_tree(place)
    formats.write("tar", str(first), f"{place}/a.tar")
    os.utime(first / "usr", (5, 5))
    formats.write("tar", str(make_tree(place, "other")), f"{place}/b.tar")
    assert (place / "a.tar").read_bytes() == (place / "b.tar").read_bytes()
    assert (place / "a.tar").stat().st_mode & 0o777 == 0o644
    assert {path.name for path in place.iterdir()} == {"tree", "other", "a.tar", "b.tar"}


def test_what_the_tar_holds(place: Path) -> None:
    formats.write("tar", str(make_tree(place)), f"{place}/a.tar", epoch=EPOCH)
    with tarfile.open(place / "a.tar", encoding="utf-8", errors="surrogateescape") as archive:
        rows = {member.name: member for member in archive}
        names = archive.getnames()
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert (rows["bin"].linkname, rows["bin"].mtime) == ("usr/bin", EPOCH)
    assert (rows["usr/bin/zsh"].islnk(), rows["usr/bin/zsh"].linkname) == (True, "usr/bin/sh")
    assert (rows["usr/bin/sh"].mode, rows["usr/bin/sh"].mtime) == (0o755, 1_600_000_000)
    odd = rows["usr/two\nlines"]
    assert (odd.uid, odd.gid, odd.uname, odd.size) == (1234, 4321, "", 3)
    assert rows["dev/null"].ischr()
    assert (rows["dev/null"].devmajor, rows["dev/null"].devminor) == (1, 3)
    assert {f"usr/{LONG}/deep", f"usr/{RAW}"} <= set(rows)
    out = place / "out"
    out.mkdir()
    tool("tar", "-xf", place / "a.tar", "-C", out)
    tool("diff", "-r", "--no-dereference", place / "tree/usr", out / "usr")


def test_no_time_is_later_than_the_epoch(place: Path) -> None:
    formats.write("tar", str(make_tree(place)), f"{place}/a.tar", epoch=1000)
    with tarfile.open(place / "a.tar") as archive:
        assert {member.mtime for member in archive} == {1000}


@pytest.mark.parametrize("compress", ["gzip", "xz", "zstd"])
def test_compressed(place: Path, compress: str) -> None:
    tree = str(make_tree(place))
    formats.write("tar", tree, f"{place}/plain")
    for name in ("one", "two"):
        formats.write("tar", tree, f"{place}/{name}", compress)
    data = (place / "one").read_bytes()
    assert data == (place / "two").read_bytes()
    if compress == "zstd":
        plain = subprocess.run(["zstd", "-dc", str(place / "one")], capture_output=True, check=True).stdout
    else:
        plain = (gzip.decompress if compress == "gzip" else lzma.decompress)(data)
    assert plain == (place / "plain").read_bytes()
    assert len(data) < len(plain) // 2


def test_what_fails_leaves_the_old_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(place)
    target = place / "a.tar"
    target.write_text("old")
    monkeypatch.setitem(output.COMPRESSORS, output.Compression.GZIP, ("false",))
    with pytest.raises(HostError, match="false"):
        formats.write("tar", str(tree), str(target), "gzip")
    os.mknod(tree / "socket", 0o140600)
    with pytest.raises(ImageError, match="socket"):
        formats.write("tar", str(tree), str(target))
    assert target.read_text() == "old"
    assert {path.name for path in place.iterdir()} == {"tree", "a.tar"}


@pytest.mark.parametrize(("format", "compress"), [("zip", "none"), ("tar", "lz4"), ("erofs", "gzip")])
def test_what_there_is_not(place: Path, format: str, compress: str) -> None:
    with pytest.raises(UsageError, match="there is no such thing"):
        formats.write(format, str(make_tree(place)), f"{place}/x", compress)


def blob(layout: Path, row: dict[str, str]) -> Path:
    return layout / "blobs/sha256" / row["digest"].removeprefix("sha256:")


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_oci_layout(place: Path, compress: str) -> None:
    layout = place / "layout"
    formats.write("oci", str(make_tree(place)), str(layout), compress, epoch=EPOCH, name="jail:1")
    index = json.loads((layout / "index.json").read_text())
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "jail:1"}
    manifest = json.loads(blob(layout, index["manifests"][0]).read_text())
    for row in (manifest["config"], *manifest["layers"]):
        path = blob(layout, row)
        assert tool("sha256sum", path).split()[0] == path.name
        assert path.stat().st_size == row["size"]
    config = json.loads(blob(layout, manifest["config"]).read_text())
    assert (config["created"], config["config"]["Cmd"]) == ("2023-11-14T22:13:20Z", ["/usr/bin/sh"])
    with pytest.raises(HostError, match="something is there already"):
        formats.write("oci", str(place / "tree"), str(layout))


@pytest.mark.needs("skopeo", "umoci")
def test_skopeo_and_umoci_read_the_image(place: Path) -> None:
    layout = place / "layout"
    formats.write("oci", str(make_tree(place)), str(layout), "gzip", name="jail:1")
    facts = json.loads(tool("skopeo", "inspect", f"oci:{layout}:jail:1"))
    assert (facts["Os"], len(facts["Layers"])) == ("linux", 1)
    formats.write("oci", str(place / "tree"), f"{place}/image.tar", "gzip", name="jail:1")
    assert json.loads(tool("skopeo", "inspect", f"oci-archive:{place}/image.tar"))["Layers"] == facts["Layers"]
    assert json.loads(tool("skopeo", "inspect", f"docker-archive:{place}/image.tar"))["Os"] == "linux"
    plain = place / "plain"
    formats.write("oci", str(place / "tree"), str(plain), "gzip", name="1")
    tool("umoci", "unpack", "--image", f"{plain}:1", place / "bundle")
    assert (place / "bundle/rootfs/usr/bin/zsh").read_bytes() == (place / "tree/usr/bin/sh").read_bytes()


@pytest.mark.needs("podman")
def test_podman_loads_the_image(place: Path) -> None:
    formats.write("oci", str(make_tree(place)), f"{place}/image.tar", "gzip", name="localhost/jail:1")
    podman = ("podman", "--root", place / "store", "--runroot", place / "run", "--storage-driver", "vfs")
    assert "localhost/jail:1" in tool(*podman, "load", "-q", "-i", place / "image.tar")
    facts = json.loads(tool(*podman, "image", "inspect", "localhost/jail:1"))
    assert facts[0]["Config"]["Cmd"] == ["/usr/bin/sh"]


@pytest.mark.needs("squashfs")
@pytest.mark.parametrize("compress", formats.FORMATS[formats.Format.SQUASHFS])
def test_squashfs(place: Path, compress: str) -> None:
    tree = make_tree(place)
    formats.write("squashfs", str(tree), f"{place}/a.sqfs", compress, epoch=EPOCH)
    formats.write("squashfs", str(tree), f"{place}/b.sqfs", compress, epoch=EPOCH)
    assert (place / "a.sqfs").read_bytes() == (place / "b.sqfs").read_bytes()
    tool("unsquashfs", "-quiet", "-no-progress", "-dest", place / "out", place / "a.sqfs")
    tool("diff", "-r", "--no-dereference", tree / "usr", place / "out/usr")
    assert (place / "out/usr/two\nlines").stat().st_uid == 1234


@pytest.mark.needs("erofs")
@pytest.mark.parametrize("compress", formats.FORMATS[formats.Format.EROFS])
def test_erofs(place: Path, compress: str) -> None:
    tree = make_tree(place)
    formats.write("erofs", str(tree), f"{place}/a.erofs", compress, epoch=EPOCH)
    formats.write("erofs", str(tree), f"{place}/b.erofs", compress, epoch=EPOCH)
    assert (place / "a.erofs").read_bytes() == (place / "b.erofs").read_bytes()
    tool("fsck.erofs", place / "a.erofs")
    assert "usr" in tool("dump.erofs", "--path=/", "--ls", place / "a.erofs")


SPEC = """\
/usr/bin/true
/etc/motd -> /run/motd
"""


def build(place: Path, target: str, *words: str, epoch: str | None = "1000") -> int:
    (place / "spec").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        if epoch is not None:
            patch.setenv("SOURCE_DATE_EPOCH", epoch)
        return cli.main(
            ["build", f"{place}/spec", f"{place}/{target}", "--root", f"{place}/root", "--insecure", *words]
        )


def test_build_writes_any_format(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        assert build(place, name, "--format", "tar", "--compress", "xz") == 0
    assert f"{place}/two: " in capsys.readouterr().out
    assert (place / "one").read_bytes() == (place / "two").read_bytes()
    with tarfile.open(place / "one") as archive:
        assert {"usr/bin/true", "etc/motd"} <= set(archive.getnames())
        assert {member.mtime for member in archive} == {1000}
    assert build(place, "image.tar", "--format", "oci", "--name", "base:1", epoch=None) == 0
    with tarfile.open(place / "image.tar") as archive:
        assert "oci-layout" in archive.getnames()
    assert build(place, "none", "--format", "tar", "--dry-run") == 0
    assert {path.name for path in place.iterdir()} == {"spec", "root", "one", "two", "image.tar"}


def test_build_refuses_what_it_cannot_write(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(place, "x", "--compress", "gzip") == 2
    assert build(place, "x", "--format", "erofs", "--compress", "gzip") == 2
    assert build(place, "x", "--format", "tar", epoch="now") == 2
    assert {path.name for path in place.iterdir()} == {"spec"}
    assert "--compress requires --format" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["tar", "oci", "squashfs"])
def test_no_device_makes_room_for_a_file(place: Path, capsys: pytest.CaptureFixture[str], format: str) -> None:
    os.mknod(place / "null", 0o020666, os.makedev(1, 3))
    (place / "stdout").symlink_to("null")
    for name in ("null", "stdout"):
        assert build(place, name, "--format", format) == 2
        assert capsys.readouterr().err == f"jailssh: {place}/{name}: exists and is not a file\n"
    assert (place / "null").is_char_device() and (place / "stdout").is_symlink()
    with pytest.raises(UsageError), output.new_file(str(place / "null")):
        pass
