"""Images that travel between hosts as OCI layouts: the same digest or none at all, whatever somebody puts between."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.closure import manifest
from jailssh.console import main as cli
from jailssh.files.oci_layout import MEDIA
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.image import history, oci, pool, store, unpack
from jailssh.upkeep import audit
from tests.root.publish_lab import ALICE, published, put, user
from tests.root.update_lab import JAIL, image_of_plan, layout, place, state, write_tool

__all__ = ["layout", "place", "state"]

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

Change = Callable[[dict[str, tuple[tarfile.TarInfo, bytes]]], None]


def call(layout: Layout, *words: str) -> int:
    return cli.main([*words, "--root", layout.root])


def digest_of(layout: Layout) -> str:
    known = pool.read_manifest(layout, pool.current_generation(layout, "lab") or "")
    assert known is not None
    return known.digest


@pytest.fixture
def far(layout: Layout, place: Path, state: Path) -> Layout:
    """Another host with the same jail, whose own image would be another one, and alice in it."""
    far = Layout(root=str(state / "far"))
    for folder in (far.jails, far.users):
        os.makedirs(folder)
    put(f"{far.jails}/lab.conf", JAIL.format(tool=place / "tool"))
    assert call(layout, "update", "lab") == 0
    write_tool(place, "two")
    user(far, ALICE, "lab")
    published(far)
    return far


def pull(far: Layout, place: Path | str, digest: str) -> int:
    return call(far, "image", "pull", "lab", str(place), "--digest", digest)


def kept(far: Layout) -> list[str]:
    """What lies in the images' directory of a host, and what its plans use."""
    top = Path(far.images)
    names = [str(each.relative_to(top)) for each in top.rglob("*") if ".carried" in each.name or ".new-" in each.name]
    left = [name for name in names if name != ".carried.lock"]
    return [*left, *pool.generations(far), image_of_plan(far), os.readlink(top / "lab" / "current")]


@pytest.mark.parametrize("name", ["image", "image.tar"])
def test_one_host_builds_for_another(
    layout: Layout, far: Layout, state: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = pool.current_generation(far, "lab")
    assert call(layout, "image", "push", "lab", str(state / name)) == 0
    digest = digest_of(layout)
    assert f"digest {digest}" in capsys.readouterr().out
    assert pull(far, state / name, digest) == 0
    assert pool.current_generation(far, "lab") == digest[:20] != before
    assert image_of_plan(far) == store.current_image(far, "lab")
    for path in ("usr/bin/bash", "etc/ld.so.cache", "etc/nsswitch.conf"):
        ours, theirs = (Path(f"{store.current_image(each, 'lab')}/{path}") for each in (layout, far))
        assert ours.read_bytes() == theirs.read_bytes()
        assert (ours.stat().st_mode, theirs.stat().st_uid) == (theirs.stat().st_mode, 0)
    assert audit.audit(far).damage == []
    # What both images of that host have is there once.
    old, new = (Path(f"{pool.tree_path(far, each or '')}/usr/bin/bash") for each in (before, digest[:20]))
    assert old.stat().st_ino == new.stat().st_ino
    capsys.readouterr()
    assert call(far, "image", "list") == 0
    assert "current, held, pulled" in capsys.readouterr().out
    assert call(far, "image", "show", "lab") == 0
    shown = capsys.readouterr().out
    assert f"digest     {digest}" in shown
    assert f"pulled from {state / name}" in shown
    assert call(far, "update", "--all") == 0
    assert "held at image" in capsys.readouterr().out
    assert published(far).image.generation == digest[:20]
    # It is gone back from like any other, and pulled again without its source.
    assert call(far, "image", "rollback", "lab") == 0
    assert pool.current_generation(far, "lab") == before
    assert not history.read_history(far, "lab").pulled
    os.rename(state / name, state / "away")
    assert pull(far, state / name, digest) == 0
    assert call(far, "image", "gc") == 0
    assert pool.current_generation(far, "lab") == digest[:20]
    assert call(far, "update", "lab") == 0
    assert pool.current_generation(far, "lab") == before
    assert kept(far)[:2] == pool.generations(far)  # and nothing else lies there


def test_the_digest_may_come_by_a_bundle(
    layout: Layout, far: Layout, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(layout, "image", "push", "lab", str(state / "image")) == 0
    words = ("image", "pull", "lab", str(state / "image"))
    assert call(far, *words) == 2
    assert "requires --digest" in capsys.readouterr().err
    os.makedirs(f"{far.etc}/images")
    wrong = {
        "digest = 0123\n": "is not one of an image",
        "digst = 1\n": "digst",
        f"digest = {'0' * 64}\n": "and not the one",
    }
    for text, said in wrong.items():
        put(f"{far.etc}/images/lab.conf", text)
        assert call(far, *words) != 0
        assert said in capsys.readouterr().err
    put(f"{far.etc}/images/lab.conf", f"digest = {digest_of(layout)}\n")
    os.chmod(f"{far.etc}/images/lab.conf", 0o666)
    assert call(far, *words) != 0
    assert "writable" in capsys.readouterr().err
    os.chmod(f"{far.etc}/images/lab.conf", 0o644)
    assert call(far, *words) == 0
    assert pool.current_generation(far, "lab") == digest_of(layout)[:20]


def test_one_that_was_built_here_is_held_when_it_is_pulled(layout: Layout, place: Path, state: Path) -> None:
    assert call(layout, "update", "lab") == 0
    assert pull(layout, state / "nowhere", digest_of(layout)) == 0
    assert history.read_history(layout, "lab").pulled
    write_tool(place, "two")
    assert call(layout, "update", "--all") == 0
    assert history.read_history(layout, "lab").pulled


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def put_in(info: tarfile.TarInfo, data: bytes = b"") -> Change:
    info.size = len(data)
    return lambda rows: rows.update({f"{info.name}#": (info, data)})


def shell(rows: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    info, data = rows["usr/bin/bash"]
    rows["usr/bin/bash"] = info, data[:-1] + b"!"


def whole_mode(rows: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    rows["usr/bin/bash"][0].mode = 0o4755


def without(rows: dict[str, tuple[tarfile.TarInfo, bytes]]) -> None:
    del rows["usr/bin/bash"]


HOSTILE: dict[str, tuple[Change, str]] = {
    "another shell": (shell, "and not the one that is expected"),
    "one file less": (without, "and not the one that is expected"),
    "one file more": (put_in(member("usr/bin/zz", mode=0o755), b"#!/bin/sh\n"), "and not the one that is expected"),
    "set-id": (whole_mode, "mode 4755"),
    "a device": (put_in(member("dev0", tarfile.CHRTYPE, devmajor=1, devminor=1)), "neither a file nor a directory"),
    "a fifo": (put_in(member("fifo", tarfile.FIFOTYPE)), "neither a file nor a directory"),
    "a whiteout": (put_in(member("usr/bin/.wh.bash")), "whiteout"),
    "an opaque one": (put_in(member("usr/.wh..wh..opq")), "whiteout"),
    "another owner": (put_in(member("usr/mine", uid=1000)), "belongs to 1000:0"),
    "up": (put_in(member("usr/../../up", mode=0o644), b"x"), "not a plain absolute path"),
    "absolute": (put_in(member("/etc/passwd-", mode=0o644), b"x"), "not a plain absolute path"),
    "over a mount": (put_in(member("proc/x", mode=0o644), b"x"), "mounts its own"),
    "twice": (put_in(member("usr/bin/bash", mode=0o755), b"x"), "in the image twice"),
    "below a link": (put_in(member("bin/zz", mode=0o755), b"x"), "is a link to"),
    "a link out": (put_in(member("usr/out", tarfile.SYMTYPE, linkname="/etc/shadow")), "and not the one"),
    "a second name of the host's": (
        put_in(member("usr/hard", tarfile.LNKTYPE, mode=0o644, linkname="../../etc/shadow")), "does not come before"
    ),
    "a long header": (
        put_in(member("usr/long", tarfile.SYMTYPE, linkname="x" * (2 << 20))), "or has headers of more than"
    ),
}  # fmt: skip


def unchanged(_rows: object) -> None:
    pass


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 1)


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "a tar that was cut": lambda data: packed(data[: len(data) // 2]),
    "a stream that was cut": lambda data: packed(data)[:-100],
    "not packed": lambda data: data,
    "nothing": lambda _: b"",
    "no tar": lambda _: packed(b"x" * 5000),
}


def rewritten(source: Path, target: Path, change: Change, pack: Callable[[bytes], bytes] = packed) -> None:
    """Write the layout with another layer, and all digests right: only the content's own tells."""
    index = json.loads((source / "index.json").read_text())
    described = json.loads(blob(source, index["manifests"][0]).read_text())
    rows: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    with tarfile.open(blob(source, described["layers"][0])) as tar:
        for each in tar:
            content = tar.extractfile(each) if each.isreg() else None
            rows[each.name] = each, content.read() if content else b""
    change(rows)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as out:
        for info, data in rows.values():
            out.addfile(info, io.BytesIO(data))
    (target / "blobs/sha256").mkdir(parents=True)
    config = blob(source, described["config"]).read_bytes()

    def written(row: dict[str, object], data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (target / "blobs/sha256" / name).write_bytes(data)
        return {**row, "digest": f"sha256:{name}", "size": len(data)}

    layer = {**described["layers"][0], "mediaType": f"{MEDIA}.layer.v1.tar+gzip"}
    described["layers"] = [written(layer, pack(stream.getvalue()))]
    described["config"] = written(described["config"], config)
    index["manifests"] = [written(index["manifests"][0], json.dumps(described).encode())]
    (target / "index.json").write_text(json.dumps(index))


def blob(layout: Path, row: dict[str, str]) -> Path:
    return layout / "blobs/sha256" / row["digest"].removeprefix("sha256:")


def test_nothing_of_another_image_stays(
    layout: Layout, far: Layout, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hostile layers, tampered blobs, another digest: said, refused, and the host is as before."""
    good, digest = state / "good", digest_of(layout)
    assert call(layout, "image", "push", "lab", str(good)) == 0
    before = kept(far)

    def refused(place: Path | str, why: str, wanted: str = digest) -> None:
        capsys.readouterr()
        assert pull(far, place, wanted) in (1, 2, 4), place
        assert why in capsys.readouterr().err, place
        assert kept(far) == before, place

    for name, (change, why) in HOSTILE.items():
        rewritten(good, state / name.replace(" ", "-"), change)
        refused(state / name.replace(" ", "-"), why)
    for name, pack in DAMAGED.items():
        rewritten(good, state / name.replace(" ", "-"), unchanged, pack)
        refused(state / name.replace(" ", "-"), "tar: ")
    refused(good, "and not the one that is expected", "0" * 64)
    refused(good, "is not one of an image", digest[:20])
    refused(state / "none", "no such file")
    index = json.loads((good / "index.json").read_text())
    described = json.loads(blob(good, index["manifests"][0]).read_text())
    for row in (index["manifests"][0], described["config"], described["layers"][0]):
        path, data = blob(good, row), blob(good, row).read_bytes()
        for changed in (data[:-1], data[:-1] + b"?", data + b" "):
            path.write_bytes(changed)
            refused(good, "does not have this digest")
        path.unlink()
        path.symlink_to("/etc/shadow")
        refused(good, "levels of symbolic links")
        path.unlink()
        path.write_bytes(data)
    (good / "index.json").write_text(json.dumps({"manifests": index["manifests"] * 2}))
    refused(good, "exactly one image")
    (good / "index.json").write_text("[" * 100_000)
    refused(good, "is not JSON")
    (good / "index.json").write_text(json.dumps(index))
    assert pull(far, good, digest) == 0


def test_too_much_of_anything_is_refused(
    layout: Layout, far: Layout, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, digest = state / "good.tar", digest_of(layout)
    assert call(layout, "image", "push", "lab", str(good)) == 0
    before = kept(far)
    with monkeypatch.context() as patched:
        patched.setattr(oci, "MAX_IMAGE", 1 << 20)
        assert pull(far, good, digest) == 1
        assert "larger than" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "_MAX_ENTRIES", 10)
        assert pull(far, good, digest) == 1
        assert "more than 10 paths" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        patched.setattr(unpack, "_MAX_TEXTS", 10)
        assert pull(far, good, digest) == 1
        assert "is too large for a generated file" in capsys.readouterr().err
    assert kept(far) == before


def test_an_image_that_cannot_serve_is_refused(
    layout: Layout, far: Layout, place: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(layout, "image", "push", "lab", str(state / "image")) == 0
    put(f"{far.jails}/lab.conf", "plugins = rsync\n[rsync]\nwrite = ~/backup\n")
    before = kept(far)
    assert pull(far, state / "image", digest_of(layout)) == 1
    assert "rsync is not a program in the image" in capsys.readouterr().err
    assert kept(far) == before
    put(f"{far.jails}/lab.conf", f"root = live\n{JAIL.format(tool=place / 'tool')}")
    assert pull(far, state / "image", digest_of(layout)) == 2
    assert "root = live" in capsys.readouterr().err
    assert call(far, "image", "push", "lab", str(state / "live")) == 2
    assert not (state / "live").exists()


def test_a_full_disk_and_a_kill_leave_the_old_image(layout: Layout, far: Layout, state: Path) -> None:
    """Whichever write is the last one: the jail has its old image, the next pull clears up and does it."""
    good, digest = state / "good", digest_of(layout)
    assert call(layout, "image", "push", "lab", str(good)) == 0
    before = kept(far)
    code = (
        "import os, signal, sys\n"
        "from jailssh.files import fs, tree\n"
        "from jailssh.image import pool, store\n"
        "from jailssh.console import main as cli\n"
        "from jailssh.jail.this_host import ThisHost\n"
        "from jailssh.plugin.api import Account\n"
        "ThisHost.find_account = staticmethod({61001: Account('alice', 61001, 61001, 'alice', '/home/alice')}.get)\n"
        "where, what, *words = sys.argv[1:]\n"
        "def fails(*_args, **_more):\n"
        "    if what == 'kill':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    raise OSError(28, 'No space left on device')\n"
        "owner, name = {'write': (fs, 'write_all'), 'copy': (fs, 'copy_data'), 'publish': (tree, 'publish'),\n"
        "               'pin': (store, 'add_step'), 'switch': (fs, 'atomic_symlink_at')}[where]\n"
        "setattr(owner, name, fails)\n"
        "sys.exit(cli.main(words))\n"
    )
    words = ["image", "pull", "lab", str(good), "--digest", digest, "--root", far.root]
    for where in ("write", "copy", "publish", "pin", "switch"):
        for what, status in (("full", 4), ("kill", -signal.SIGKILL)):
            done = subprocess.run(
                [sys.executable, "-c", code, where, what, *words],
                env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == status, done.stderr
            assert ("no space left" in done.stderr) == (what == "full")
            assert kept(far)[-2:] == before[-2:]
    assert pull(far, good, digest) == 0
    assert audit.audit(far).damage == []
    assert [name for name in kept(far) if name.startswith(".carried") or ".new-" in name] == []


def test_a_registry_is_asked_by_skopeo(
    layout: Layout, far: Layout, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it writes, and how much it may, by a skopeo of ours; a real registry is tried by hand."""
    digest, served = digest_of(layout), state / "served"
    calls: list[list[str]] = []

    def copied(argv: list[str], **_: object) -> process.Completed:
        calls.append(argv)
        source, target = (each.removeprefix("oci:") for each in argv[-2:])
        subprocess.run(["cp", "-r", served if source.startswith("docker") else source,
                        served if target.startswith("docker") else target], check=True)  # fmt: skip
        return process.Completed("", "", 0)

    with monkeypatch.context() as patched:
        patched.setattr(process, "find_program", lambda name: f"/usr/bin/{name}")
        patched.setattr(process, "run", copied)
        assert call(layout, "image", "push", "lab", "docker://r.example/lab:1") == 0
    assert calls[0][:5] == ["prlimit", f"--fsize={oci.MAX_IMAGE}", "skopeo", "copy", "-q"]
    before = kept(far)
    with monkeypatch.context() as patched:
        patched.setattr(oci, "carry", lambda _source, target, _env: copied([served.name, f"{served}", target]))
        rewritten(served, state / "other", shell)
        served.rename(state / "right")
        (state / "other").rename(served)
        assert pull(far, "docker://r.example/lab:1", digest) == 1
        assert "and not the one that is expected" in capsys.readouterr().err
        assert kept(far) == before
    with monkeypatch.context() as patched:
        patched.setattr(process, "find_program", lambda _: None)
        assert pull(far, "docker://r.example/lab:1", digest) == 4
        assert "install skopeo" in capsys.readouterr().err
