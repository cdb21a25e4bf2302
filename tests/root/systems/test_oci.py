"""Images of containers as trees of systems: layers in their order, names that are gone, and all that may be wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import JailsshError
from jailssh.host import kernel
from jailssh.systems import create, oci

pytestmark = pytest.mark.needs("root")

OCI = "application/vnd.oci.image"
Entry = tuple[str, Any]
"""A name and a file's text, or a tarfile.TarInfo that says what else it is."""


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def special(kind: bytes, **values: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.mode = kind, 0o755
    for key, value in values.items():
        setattr(info, key, value)
    return info


def layer(*entries: Entry) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in entries:
            info = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            text = what.encode() if isinstance(what, str) else b""
            if isinstance(what, str):
                info.size = len(text)
            tar.addfile(info, io.BytesIO(text) if isinstance(what, str) else None)
    return data.getvalue()


class Image:
    """An image layout that is being written, in which everything can be made wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        self.path(digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    def json(self, data: Mapping[str, Any], kind: str, **more: Any) -> dict[str, Any]:
        return self.blob(json.dumps(data).encode(), kind, **more)

    def path(self, digest: str) -> Path:
        return self.folder / "blobs/sha256" / digest.removeprefix("sha256:")

    def manifest(
        self, layers: Sequence[bytes], *, name: str = "", machine: str = "", pack: str = "+gzip", **more: Any
    ) -> dict[str, Any]:
        """Write an image of these layers and return what an index says of it."""
        packed: dict[str, Callable[[bytes], bytes]]
        packed = {"": bytes, "+gzip": gzip.compress, "+zstd": compressed_by_zstd}
        blobs = [self.blob(packed[pack](each), f"{OCI}.layer.v1.tar{pack}") for each in layers]
        digests = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
        config = {"architecture": machine or kernel.architecture(), "os": "linux",
                  "rootfs": {"type": "layers", "diff_ids": digests}}  # fmt: skip
        data = {"schemaVersion": 2, "config": self.json(config, f"{OCI}.config.v1+json"), "layers": blobs}
        notes = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        return self.json(data, f"{OCI}.manifest.v1+json", **notes, **more)

    def index(self, *manifests: Mapping[str, Any]) -> None:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))

    def of(self, *layers: bytes, pack: str = "+gzip") -> Image:
        self.index(self.manifest(layers, pack=pack))
        return self


def compressed_by_zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="jailssh-test-"))
    path.chmod(0o755)
    (path / "tree").mkdir()
    (path / "outside").mkdir()
    yield path
    assert os.listdir(path / "outside") == []
    shutil.rmtree(path)


@pytest.fixture
def image(place: Path) -> Image:
    return Image(place / "image")


def fill(image: Image, tag: str = "") -> Path:
    tree = image.folder.parent / "tree"
    assert oci.is_layout(str(image.folder))
    oci.fill(str(image.folder), str(tree), tag)
    return tree


def refused(image: Image, tag: str = "") -> str:
    with pytest.raises(JailsshError) as raised:
        fill(image, tag)
    return str(raised.value).replace(str(image.folder), "IMAGE")


def names(tree: Path) -> list[str]:
    found = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    return [name for name in found if name not in ("dev", "etc", "proc", "run", "sys", "tmp")]


@pytest.mark.parametrize("pack", ["", "+gzip", pytest.param("+zstd", marks=pytest.mark.needs("zstd"))])
def test_an_entry_of_each_kind(image: Image, pack: str) -> None:
    attributes = {"SCHILY.xattr.user.colour": "red", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    lower = layer(
        ("./", special(tarfile.DIRTYPE)),
        ("./usr/bin/", special(tarfile.DIRTYPE, uid=7, gid=8, mtime=1000)),
        ("./usr/bin/sh", "text"),
        ("/usr/bin/absolute", "text"),
        ("usr/bin/su", special(tarfile.REGTYPE, mode=0o4755, uid=33, gid=34, mtime=2000, pax_headers=attributes)),
        ("usr/bin/again", link("usr/bin/sh", tarfile.LNKTYPE)),
        ("bin", link("usr/bin")),
        ("run/pipe", special(tarfile.FIFOTYPE, mode=0o620)),
        ("usr/" + "long/" * 30 + "name", "text"),
    )
    tree = fill(image.of(lower, pack=pack))
    info = os.stat(tree / "usr/bin/su")
    assert (info.st_mode & 0o7777, info.st_uid, info.st_gid, info.st_mtime) == (0o4755, 33, 34, 2000)
    assert os.listxattr(tree / "usr/bin/su") == ["user.colour"]
    above = os.stat(tree / "usr/bin")
    assert (above.st_uid, above.st_gid, above.st_mtime) == (7, 8, 1000)
    assert os.readlink(tree / "bin") == "usr/bin"
    assert os.stat(tree / "usr/bin/again").st_ino == os.stat(tree / "usr/bin/sh").st_ino
    assert stat.S_ISFIFO(os.stat(tree / "run/pipe").st_mode)
    assert (tree / "usr/bin/absolute").read_text() == "text"
    assert (tree / "usr" / ("long/" * 30) / "name").exists()
    # What an image can do without.
    assert [oct(os.stat(tree / name).st_mode & 0o7777) for name in ("dev", "proc", "tmp")] == [
        "0o755", "0o555", "0o1777",
    ]  # fmt: skip


def test_what_is_gone(image: Image) -> None:
    lower = layer(("a/one", "1"), ("a/two", "2"), ("b/x/old", "1"), ("b/y", "1"), ("c", "file"), ("d/deep/f", "1"),
                  ("l", link("a")), ("e/kept", "1"))  # fmt: skip
    # Of the layer itself nothing is gone, whatever stands first.
    upper = layer(("a/.wh.one", ""), ("b/x/new", "2"), ("b/.wh..wh..opq", ""), ("b/z", "2"),
                  ("c", special(tarfile.DIRTYPE)), ("c/now", "2"), ("d", "now a file"), (".wh.l", ""),
                  ("e/.wh..wh.plnk", ""), ("e/.wh.never", ""), ("l/new", "2"))  # fmt: skip
    top = layer(("b/.wh.x", ""), ("b/x/last", "3"), ("nowhere/.wh.gone", ""), ("e/.wh.kept", ""), ("e/kept", "3"))
    tree = fill(image.of(lower, upper, top))
    assert names(tree) == ["a", "a/two", "b", "b/x", "b/x/last", "b/z", "c", "c/now", "d", "e", "e/kept", "l", "l/new"]
    assert (tree / "e/kept").read_text() == "3"


LINKED = {
    "a file": ("out/file", "x"),
    "a directory": ("out/in/", special(tarfile.DIRTYPE)),
    "another link": ("out/link", link("x")),
    "the same file": ("name", link("out/file", tarfile.LNKTYPE)),
}


@pytest.mark.parametrize("target", ["relative", "absolute", "own"])
@pytest.mark.parametrize("what", sorted(LINKED))
def test_no_link_is_followed(image: Image, what: str, target: str) -> None:
    outside = image.folder.parent / "outside"
    to = {"relative": "../outside", "absolute": str(outside), "own": "own"}[target]
    image.of(layer(("own/x", "1"), ("out", link(to))), layer(LINKED[what]))
    assert (
        refused(image)
        == "layer 2 of the image: cannot be unpacked: out: is a link or a file, and something in it is named"
    )
    assert names(image.folder.parent / "tree") == ["out", "own", "own/x"]


def test_a_link_that_is_gone_is_not_followed_either(image: Image) -> None:
    outside = image.folder.parent / "outside"
    (outside / "file").write_text("x")
    tree = fill(image.of(layer(("out", link(str(outside)))), layer(("out/.wh.file", ""), ("out/.wh..wh..opq", ""))))
    assert os.readlink(tree / "out") == str(outside)
    (outside / "file").unlink()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (("../outside/x", "x"), "../outside/x: leads out of the tree, or too deep into it"),
        (("a/../../outside/x", "x"), "a/../../outside/x: leads out of the tree, or too deep into it"),
        (("x", link("../outside", tarfile.LNKTYPE)), "../outside: leads out of the tree, or too deep into it"),
        (("x/" * 201, special(tarfile.DIRTYPE)), "leads out of the tree, or too deep into it"),
        ((".wh.", ""), "a name of nothing is said to be gone"),
        ((".wh...", ""), "a name of nothing is said to be gone"),
        (("x", special(tarfile.REGTYPE, uid=1 << 33)), "x: belongs to no account that can be"),
        (("./", "x"), "its root is not a directory"),
        (("x", special(b"V")), "x: is of an unknown kind"),
        (("x", special(tarfile.REGTYPE, pax_headers={"comment": "x" * (5 << 20)})), "tar holds more than it says"),
    ],
)  # fmt: skip
def test_an_entry_that_is_wrong(image: Image, entry: Entry, why: str) -> None:
    said = refused(image.of(layer(entry)))
    assert said.startswith("layer 1 of the image: damaged tar: "), said
    assert said.endswith(why), said


def test_sizes_are_bounded(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = special(tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "0", "GNU.sparse.minor": "1",
                     "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 60), "GNU.sparse.name": "x"})  # fmt: skip
    full = "layer 1 of the image: cannot be unpacked: layers need more than is free"
    assert refused(image.of(layer(("x", sparse)))) == full
    monkeypatch.setattr("jailssh.files.layers._MOST_ENTRIES", 2)
    assert refused(image.of(layer(("a", ""), ("b", ""), ("c", "")))) == full


def test_names_are_bounded(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that is above them, which a tar of little size can make very much of; and those of all layers."""
    monkeypatch.setattr("jailssh.files.layers._MOST_NAMES", 100)
    deep = layer(("/".join("abcdefghij"), ""))
    fill(image.of(deep))
    assert refused(image.of(deep, deep)) == (
        "layer 2 of the image: cannot be unpacked: layers have too many long names"
    )


def change(image: Image, find: Callable[[dict[str, Any]], str], data: Callable[[bytes], bytes] | None) -> None:
    """Change a blob of the only image, or remove it."""
    top = json.loads((image.folder / "index.json").read_text())["manifests"][0]
    path = image.path(find({**json.loads(image.path(top["digest"]).read_bytes()), "own": top["digest"]}))
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data(path.read_bytes()))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


BLOBS: dict[str, Callable[[dict[str, Any]], str]] = {
    "manifest": lambda data: str(data["own"]),
    "config": lambda data: str(data["config"]["digest"]),
    "layer": lambda data: str(data["layers"][1]["digest"]),
}


@pytest.mark.parametrize("which", sorted(BLOBS))
def test_a_blob_that_is_changed_or_missing(image: Image, which: str) -> None:
    for data, why in ((flipped, "has been changed: "), (lambda data: data + b"x", "bytes, and not"),
                      (None, "no such file or directory")):  # fmt: skip
        image.of(layer(("a", "1")), layer(("b", "2")))
        change(image, BLOBS[which], data)
        said = refused(image)
        assert said.startswith("image IMAGE: "), said
        assert why in said
        assert names(image.folder.parent / "tree") == []


def test_a_layer_that_is_not_the_configs(image: Image) -> None:
    manifest = image.manifest([layer(("a", "1"))])
    data = json.loads(image.path(manifest["digest"]).read_bytes())
    data["layers"] = [image.blob(gzip.compress(layer(("a", "2"))), f"{OCI}.layer.v1.tar+gzip")]
    image.index(image.json(data, f"{OCI}.manifest.v1+json"))
    assert refused(image).startswith("layer 1 of the image: is not what it should be: sha256:")
    data["layers"][0]["mediaType"] = f"{OCI}.layer.v1.tar+brotli"
    image.index(image.json(data, f"{OCI}.manifest.v1+json"))
    assert refused(image) == f"image IMAGE: has a layer of an unknown kind, {OCI}.layer.v1.tar+brotli"
    data["layers"] *= 2
    image.index(image.json(data, f"{OCI}.manifest.v1+json"))
    assert refused(image) == "image IMAGE: is no image of a tree"


def test_a_blob_may_be_no_link(image: Image) -> None:
    image.of(layer(("a", "1")), layer(("b", "2")))
    change(image, BLOBS["layer"], None)
    top = json.loads((image.folder / "index.json").read_text())["manifests"][0]
    data = json.loads(image.path(top["digest"]).read_bytes())
    image.path(data["layers"][1]["digest"]).symlink_to("/etc/passwd")
    assert "too many levels of symbolic links" in refused(image)


def test_the_one_for_this_machine(image: Image) -> None:
    own, other = kernel.architecture(), "mips"
    both = [
        image.manifest([layer((machine, ""))], machine=machine, platform={"os": "linux", "architecture": machine})
        for machine in (other, own)
    ]
    inner = image.json({"schemaVersion": 2, "manifests": both}, f"{OCI}.index.v1+json")
    image.index(inner)
    assert names(fill(image)) == [own]
    image.index(both[0])
    assert refused(image) == f"image IMAGE: is for linux/mips, and this machine is linux/{own}"
    image.index({key: both[0][key] for key in ("mediaType", "digest", "size")})
    assert refused(image) == f"image IMAGE: is for linux/mips, and this machine is linux/{own}"
    image.index()
    assert refused(image) == "image IMAGE: is no image of a tree"


def test_several_images(image: Image) -> None:
    image.index(*(image.manifest([layer((name, ""))], name=name) for name in ("one", "two")))
    assert refused(image) == "image IMAGE: holds several images: one, two"
    assert refused(image, "three") == "--tag three: is no image in there: one, two"
    assert names(fill(image, "two")) == ["two"]


def test_an_index_that_leads_nowhere(image: Image) -> None:
    for text, why in (("{", "index.json is no JSON"), ("[]", "is no JSON object"), ("[" * 99999, "is no JSON"),
                      ('{"manifests": [{"digest": "sha256:../../etc/passwd", "size": 1}]}', "without a SHA-256"),
                      ('{"manifests": [7]}', "without a SHA-256"), (" " * (5 << 20), "has more than")):  # fmt: skip
        (image.folder / "index.json").write_text(text)
        assert why in refused(image)
    below: Mapping[str, Any] = image.manifest([layer(("a", ""))])
    for _ in range(5):
        below = image.json({"manifests": [below]}, f"{OCI}.index.v1+json")
    image.index(below)
    assert refused(image) == "image IMAGE: has an index in an index in an index"


def test_an_index_is_read_once(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is named: three of 30,000 lines each would take years."""
    inner = image.json({"manifests": [image.manifest([layer(("a", ""))])]}, f"{OCI}.index.v1+json")
    outer = image.json({"manifests": [inner] * 9}, f"{OCI}.index.v1+json")
    image.index(*[outer] * 9)
    read: list[str] = []
    decoded = oci._Layout._decoded

    def noted(self: Any, data: bytes, what: str) -> dict[str, Any]:
        read.append(what)
        return decoded(self, data, what)

    monkeypatch.setattr(oci._Layout, "_decoded", noted)
    assert names(fill(image)) == ["a"]
    assert [each for each in read if each in (inner["digest"], outer["digest"])] == [outer["digest"], inner["digest"]]


def test_an_archive_of_images(place: Path, image: Image) -> None:
    image.of(layer(("usr/x", "1")))
    subprocess.run(["tar", "-C", image.folder, "-cf", place / "image.tar", "."], check=True)
    for source in (image.folder, place / "image.tar"):
        folder = place / "new"
        (folder / "tree").mkdir(parents=True)
        create.fill(str(source), str(folder), "")
        assert (folder / "tree/usr/x").read_text() == "1"
        assert os.listdir(folder) == ["tree"]
        shutil.rmtree(folder)
