import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import from_json
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import HostPath, JailPath
from jailssh.files import fs, tree
from jailssh.host.paths import Layout
from jailssh.image import pool, store
from jailssh.plugin.api import ImageNeeds
from jailssh.upkeep.generations import manifest_of

pytestmark = pytest.mark.needs("root")
SOURCE_TREE = str(Path(store.__file__).parents[2])


def fill(place: Path, count: Any = 20, size: Any = 1000) -> None:
    for number in range(count):
        (place / f"src/f{number}").write_bytes(bytes([number % 256]) * size + str(number).encode())


def files_of(place: Path) -> Any:
    return [("test", ImageNeeds(files=(str(place / "src"),)))]


def ensure(layout: Layout, place: Path, needs: Any = None, **more: Any) -> Any:
    return store.ensure_image(layout, "j", needs or files_of(place), trusted_root=HostPath(str(place)), **more)


def left(layout: Layout) -> Any:
    names = [*os.listdir(f"{layout.images}/j"), *os.listdir(f"{layout.images}/.pool")]
    return {name for name in names if name.startswith((".new-", ".dead-"))}


def python(code: Any, *args: Any, **more: Any) -> Any:
    """Start Python with the project's modules and the arguments."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        env={"PYTHONPATH": SOURCE_TREE, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        **more,
    )


BUILD = """
import sys
from jailssh.host.paths import Layout
from jailssh.image import pool, store
from jailssh.plugin.api import ImageNeeds
place = sys.argv[1]
def build():
    needs = [("test", ImageNeeds(files=(place + "/src",)))]
    return store.ensure_image(Layout(root=place + "/root"), "j", needs, trusted_root=place)
"""


def in_jail(image: Any, *argv: Any) -> Any:
    """Run a program in the image with the host's /dev and its own /run, in a mount namespace that ends with it."""
    script = 'mount --bind /dev "$1/dev"; mount -t tmpfs none "$1/run"; echo root:x:0:0::/:/bin/sh > "$1/run/passwd"'
    script += '; shift; exec chroot "$@"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", image, image, *argv],
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )


def test_programs_run_in_their_image(layout: Layout) -> None:
    shell = ImageNeeds(
        programs=("bash", "ls", "cat", "date", "locale", "tput", "getent"),
        data=("nss", "locale", "terminfo", "zoneinfo"),
        texts=(("/etc/motd", "hello\n"),),
        dirs=("/srv/git", "/lib/extra"),
    )
    git = ImageNeeds(programs=("git",), files=("/usr/lib/git-core",), optional_files=("/usr/share/git-core",))
    needs = [
        ("scp", ImageNeeds(programs=("scp", "/usr/lib/openssh/sftp-server"))),
        ("rsync", ImageNeeds(programs=("rsync",))),
        ("git", git),
        ("shell", shell),
    ]
    result = store.ensure_image(layout, "all", needs)
    image = result.path
    assert result.changed
    assert in_jail(image, "/usr/bin/rsync", "--version").stdout.startswith("rsync ")
    assert in_jail(image, "/usr/bin/git", "--version").stdout.startswith("git version")
    assert "usage:" in in_jail(image, "/usr/bin/git", "upload-pack").stderr
    assert "usage: sftp-server" in in_jail(image, "/usr/lib/openssh/sftp-server", "-h").stderr
    assert "usage: scp" in in_jail(image, "/usr/bin/scp").stderr
    assert in_jail(image, "/bin/bash", "-c", "cat /etc/motd; ls -d /lib/extra").stdout == "hello\n/lib/extra\n"
    assert in_jail(image, "/usr/bin/getent", "passwd", "0").stdout == "root:x:0:0::/:/bin/sh\n"
    assert in_jail(image, "/usr/bin/locale", "charmap").stdout == "UTF-8\n"
    assert in_jail(image, "/usr/bin/tput", "clear").stdout.startswith("\x1b[")
    assert in_jail(image, "/usr/bin/getent", "hosts", "localhost").returncode == 0
    assert in_jail(image, "/usr/lib/git-core/git-remote-http").stderr.startswith(("error: remote-curl", "usage"))


def test_the_tree_is_what_the_manifest_says_and_nothing_else(layout: Layout, place: Path) -> None:
    fill(place)
    (place / "src/set-id").write_text("#!/bin/sh\n")
    (place / "src/set-id").chmod(0o6755)
    (place / "src/lib;touch PWNED;").write_text("x")
    (place / "src/$(touch PWNED)").write_text("x")
    (place / "src/link").symlink_to("f1")
    result = ensure(layout, place, [*files_of(place), ("sh", ImageNeeds(programs=("sh",)))])
    manifest = manifest_of(layout, result.generation)
    seen = {}
    for top, dirs, files in os.walk(result.path):
        for name in (*dirs, *files):
            path = os.path.join(top, name)
            seen[path.removeprefix(result.path)] = os.lstat(path)
    assert set(seen) == {entry.path for entry in manifest.entries}
    for entry in manifest.entries:
        info = seen[entry.path]
        assert (info.st_uid, info.st_gid) == (0, 0)
        kind = {"dir": stat.S_ISDIR, "link": stat.S_ISLNK}.get(entry.kind, stat.S_ISREG)
        assert kind(info.st_mode)
        if entry.kind != "link":
            assert stat.S_IMODE(info.st_mode) == entry.mode
            assert not entry.mode & 0o7022
        if entry.kind == "file" and entry.stamp:
            assert Path(result.path + entry.path).read_bytes() == Path(entry.source).read_bytes()
    assert not list(place.rglob("PWNED"))
    assert os.stat(result.path).st_mode & 0o7777 == 0o755


def test_a_second_run_does_and_reads_nothing(layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place)
    first = ensure(layout, place)
    monkeypatch.setattr(store, "_Builder", None)
    again = ensure(layout, place)
    assert not again.changed
    assert (again.path, again.entries, again.bytes) == (first.path, first.entries, first.bytes)


def test_a_changed_file_makes_a_new_generation_and_the_rest_is_shared(layout: Layout, place: Path) -> None:
    fill(place)
    first = ensure(layout, place)
    (place / "src/f3").write_text("new")
    second = ensure(layout, place)
    assert second.changed
    assert second.path != first.path
    assert store.current_image(layout, "j") == second.path
    inner = f"{place}/src/"
    assert Path(second.path + inner + "f3").read_text() == "new"
    assert os.stat(second.path + inner + "f4").st_ino == os.stat(first.path + inner + "f4").st_ino
    assert os.stat(second.path + inner + "f3").st_ino != os.stat(first.path + inner + "f3").st_ino
    assert Path(first.path + inner + "f3").read_bytes().startswith(b"\x03")


def test_a_file_of_the_old_image_that_is_not_as_built_is_not_shared(layout: Layout, place: Path) -> None:
    fill(place)
    first = ensure(layout, place)
    spoilt = Path(f"{first.path}{place}/src/f4")
    spoilt.write_bytes(b"spoilt")
    (place / "src/f3").write_text("new")
    second = ensure(layout, place)
    assert Path(f"{second.path}{place}/src/f4").read_bytes() == (place / "src/f4").read_bytes()


def test_same_content_with_a_new_stamp_keeps_the_generation(layout: Layout, place: Path) -> None:
    fill(place)
    first = ensure(layout, place)
    os.utime(place / "src/f1", (5, 5))
    again = ensure(layout, place)
    assert not again.changed
    assert again.path == first.path
    assert store._up_to_date(layout, "j", manifest_of(layout, first.generation).inputs)


def test_going_back_to_old_content_switches_back(layout: Layout, place: Path) -> None:
    fill(place)
    first = ensure(layout, place)
    old = (place / "src/f1").read_bytes()
    (place / "src/f1").write_text("new")
    ensure(layout, place)
    (place / "src/f1").write_bytes(old)
    third = ensure(layout, place)
    assert third.changed
    assert third.path == first.path == store.current_image(layout, "j")


def test_a_damaged_manifest_is_written_again(layout: Layout, place: Path) -> None:
    fill(place)
    first = ensure(layout, place)
    (manifest,) = Path(first.path).parent.glob(f"{first.generation}-*.json")
    manifest.write_text("{")
    again = ensure(layout, place)
    assert again.path == first.path
    assert from_json(manifest.read_text()).generation == first.generation


def test_a_failed_build_leaves_the_old_image(layout: Layout, place: Path) -> None:
    fill(place)
    first = ensure(layout, place)
    with pytest.raises(ImageError):
        ensure(layout, place, [("test", ImageNeeds(programs=("no-such-program",)))])
    assert store.current_image(layout, "j") == first.path
    assert not left(layout)


def test_names_of_jails_are_checked(layout: Layout, place: Path) -> None:
    for name in ("../x", "", ".", "a/b", "A"):
        with pytest.raises(UsageError):
            store.ensure_image(layout, name, [])


def test_a_changing_source_is_read_again(layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place)
    copy, calls = fs.copy_data, []

    def disturbed(source: Any, target: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            for number in range(20):
                (place / f"src/f{number}").write_text(f"changed {number}")
        return copy(source, target)

    monkeypatch.setattr(fs, "copy_data", disturbed)
    result = ensure(layout, place)
    for number in range(20):
        assert Path(f"{result.path}{place}/src/f{number}").read_text() == f"changed {number}"
    assert not left(layout)


def test_a_source_that_never_rests_is_an_error(layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place, 2)
    copy = fs.copy_data

    def disturbed(source: Any, target: Any) -> Any:
        with open(place / "src/f0", "a") as file:
            file.write("more")
        return copy(source, target)

    monkeypatch.setattr(fs, "copy_data", disturbed)
    with pytest.raises(SourceChangedError, match="src/f0: changed while it was copied"):
        ensure(layout, place)
    assert store.current_image(layout, "j") is None
    assert not left(layout)


def test_a_planted_link_is_not_followed(layout: Layout, place: Path) -> None:
    (place / "victim").mkdir()
    (place / "victim/file").write_text("mine")
    (place / "staging").mkdir()
    (place / "staging/etc").symlink_to(place / "victim")
    root = os.open(place / "staging", os.O_RDONLY)
    writer = tree.TreeWriter(root)
    with pytest.raises(FileExistsError):
        writer.directory(JailPath("/etc"), 0o755)
    with pytest.raises(FileExistsError):
        writer.text(JailPath("/etc"), b"x", 0o644)
    writer.close()
    os.close(root)
    fill(place)
    ensure(layout, place)
    planted = Path(f"{layout.images}/j/.new-1-planted")
    planted.symlink_to(place / "victim")
    Path(f"{layout.images}/.pool/.dead-planted").mkdir()
    Path(f"{layout.images}/.pool/.dead-planted/l").symlink_to(place / "victim")
    (place / "src/f1").write_text("new")
    ensure(layout, place)
    pool.prune(layout)
    assert not left(layout)
    assert os.listdir(place / "victim") == ["file"]
    assert (place / "victim/file").read_text() == "mine"


def test_the_images_directory_must_not_be_a_link(layout: Layout, place: Path) -> None:
    (place / "elsewhere").mkdir()
    os.makedirs(layout.state)
    os.symlink(place / "elsewhere", layout.images)
    fill(place, 1)
    with pytest.raises(HostError):
        ensure(layout, place)
    assert os.listdir(place / "elsewhere") == []


def test_a_full_disk_leaves_the_old_image_and_no_litter(layout: Layout, place: Path) -> None:
    fill(place, 3)
    code = (
        BUILD
        + """
import os, subprocess
from jailssh.core.errors import HostError
state = place + "/root/var/lib/jailssh"
os.makedirs(state)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", state], check=True)
first = build()
for number in range(40):
    with open(f"{place}/src/big{number}", "wb") as file:
        file.write(os.urandom(100_000))
try:
    build()
except HostError as error:
    print(error.why)
print(store.current_image(Layout(root=place + "/root"), "j") == first.path)
print(sorted(name for name in os.listdir(state + "/images/j") if name.startswith((".new", ".dead"))))
"""
    )
    run = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", code, place],
        env={"PYTHONPATH": SOURCE_TREE, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.splitlines() == [os.strerror(errno.ENOSPC).lower(), "True", "[]"], run.stderr


KILL = (
    BUILD
    + """
import os, signal
from jailssh.files import beneath, fs, tree
where, when, name = sys.argv[2], sys.argv[3], sys.argv[4]
owner = {"fs": fs, "tree": tree, "writer": tree.TreeWriter, "beneath": beneath, "os": os}[where]
real = getattr(owner, name)
def killed(*args, **kwargs):
    if when == "after":
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, killed)
build()
"""
)


@pytest.mark.parametrize(
    ("where", "when", "name"),
    [
        ("writer", "before", "copy"),
        ("writer", "after", "copy"),
        ("writer", "after", "close"),
        ("beneath", "after", "sync_file_system"),
        ("fs", "after", "atomic_write"),
        ("os", "before", "rename"),
        ("tree", "before", "publish"),
        ("tree", "after", "publish"),
        ("fs", "before", "atomic_symlink_at"),
        ("os", "after", "symlink"),
        ("fs", "after", "atomic_symlink_at"),
    ],
)
def test_killed_at_any_step(layout: Layout, place: Path, where: Any, when: Any, name: Any) -> None:
    fill(place)
    first = ensure(layout, place)
    (place / "src/f1").write_text("new")
    (place / "src/link").symlink_to("f1")
    process = python(KILL, str(place), where, when, name)
    assert process.wait(30) == -signal.SIGKILL
    process.stdout.close()
    now = store.current_image(layout, "j") or ""
    manifest = manifest_of(layout, os.path.basename(now))
    assert all(os.path.lexists(now + entry.path) for entry in manifest.entries)
    assert now == first.path or name == "atomic_symlink_at"
    last = ensure(layout, place)
    assert Path(f"{last.path}{place}/src/f1").read_text() == "new"
    assert store.current_image(layout, "j") == last.path
    if now == first.path:
        assert not left(layout)


def test_builders_at_once_build_once(layout: Layout, place: Path) -> None:
    fill(place, 200)
    code = BUILD + "result = build(); print(result.path, result.changed)"
    builders = [python(code, str(place)) for _ in range(4)]
    lines = [builder.communicate(timeout=60)[0].split() for builder in builders]
    assert len({line[0] for line in lines}) == 1
    assert sorted(line[1] for line in lines) == ["False", "False", "False", "True"]


def test_a_waiting_builder_says_for_whom(layout: Layout, place: Path) -> None:
    fill(place, 2)
    os.makedirs(f"{layout.images}/j")
    code = "import sys\nfrom jailssh.files import fs\nwith fs.lock(sys.argv[1]):\n print(flush=True)\n sys.stdin.read()"
    holder = python(code, f"{layout.images}/j/.lock", stdin=subprocess.PIPE)
    holder.stdout.readline()
    told = []

    def waiting(pid: Any) -> None:
        told.append(pid)
        holder.stdin.close()

    assert ensure(layout, place, waiting=waiting).changed
    assert told == [holder.pid]
    holder.wait(30)
    holder.stdout.close()


def three_generations(layout: Layout, place: Path) -> Any:
    fill(place)
    results = []
    for number in range(3):
        (place / "src/f1").write_text(f"content {number}")
        results.append(ensure(layout, place))
    return results


def test_prune_keeps_the_current_and_what_is_in_use(layout: Layout, place: Path) -> None:
    one, two, three = three_generations(layout, place)
    Path(f"{layout.images}/.pool/{'0' * 20}-{'0' * 16}.json").write_text("{}")
    assert pool.prune(layout, in_use=[two.path]).generations == (one.generation,)
    names = {name.partition("-")[0] for name in os.listdir(f"{layout.images}/.pool") if name[0] != "."}
    assert names == {two.generation, three.generation}
    assert pool.prune(layout).generations == (two.generation,)
    assert Path(f"{three.path}{place}/src/f1").read_text() == "content 2"
    assert Path(f"{three.path}{place}/src/f4").read_bytes() == (place / "src/f4").read_bytes()
    assert pool.prune(layout).generations == ()
    assert pool.prune(Layout(root=str(place / "other"))).generations == ()


def test_prune_keeps_what_is_mounted_in_another_namespace(layout: Layout, place: Path) -> None:
    one, two, _ = three_generations(layout, place)
    (place / "mnt").mkdir()
    script = 'mount --bind "$1" "$2" && echo ready && read x'
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-ec", script, "sh", one.path, place / "mnt"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout and holder.stdout.readline() == b"ready\n"
    assert set(pool.mounted(layout)) == {one.generation}
    assert pool.prune(layout).generations == (two.generation,)
    holder.communicate(b"\n", timeout=30)
    limit = time.monotonic() + 10
    while pool.mounted(layout) and time.monotonic() < limit:
        pass
    assert pool.prune(layout).generations == (one.generation,)


@pytest.mark.needs("gcc")
def test_a_library_from_ld_so_conf_is_found_in_the_jail(layout: Layout, place: Path) -> None:
    subprocess.run(["mkdir", place / "lib", place / "bin"], check=True)
    lib, prog, conf = place / "lib/libtestone.so.1", place / "bin/prog", place / "ld.so.conf"
    gcc = ["gcc", "-x", "c", "-", "-x", "none", "-o"]
    shared = [*gcc, str(lib), "-shared", "-fPIC", "-Wl,-soname,libtestone.so.1"]
    subprocess.run(shared, input=b"int f(void){return 42;}", check=True)
    subprocess.run([*gcc, prog, lib], input=b"int f(void); int main(void){return f();}", check=True)
    conf.write_text(f"include /etc/ld.so.conf.d/*.conf\n{place}/lib\n")
    code = BUILD.replace('files=(place + "/src",)', 'programs=(place + "/bin/prog",)') + (
        "first = build(); second = build(); print(first.path, second.changed, first.generation == second.generation)"
    )
    script = 'mount --bind "$1" /etc/ld.so.conf && shift && exec "$@"'
    run = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", conf, sys.executable, "-c", code, place],
        env={"PYTHONPATH": SOURCE_TREE, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    path, changed, same = run.stdout.split()
    assert (changed, same, in_jail(path, str(prog)).returncode) == ("False", "True", 42)
    manifest = manifest_of(layout, os.path.basename(path))
    assert getattr(manifest.get(JailPath("/etc/ld.so.conf")), "text", None) == f"{place}/lib\n"
    assert getattr(manifest.get(JailPath("/etc/ld.so.cache")), "size", -1) == os.stat(f"{path}/etc/ld.so.cache").st_size
    assert not os.path.lexists(f"{path}/var/cache/ldconfig")


def test_the_state_is_open_to_nobody_who_could_disturb(layout: Layout, place: Path) -> None:
    fill(place, 1)
    result = ensure(layout, place)
    for path in (layout.state, layout.images, os.path.dirname(result.path), result.path):
        info = os.stat(path)
        assert (info.st_uid, info.st_mode & 0o7777) == (0, 0o755)
    # Whoever could open the lock could hold it for ever.
    assert os.stat(f"{layout.images}/j/.lock").st_mode & 0o7777 == 0o600
