"""`jailssh run` on files: squashfs, erofs and ext4 images, mounted by descriptor, and tars, unpacked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.scratch.host import ScratchHost

KINDS = ("squashfs", "erofs", "ext4")
TARS = {"plain": "", "gzip": "z", "bzip2": "j", "xz": "J", "zstd": "--zstd "}
pytestmark = [
    pytest.mark.needs("root"), pytest.mark.needs("login-program"), pytest.mark.needs("squashfs"),
    pytest.mark.needs("erofs"),
]  # fmt: skip

IMAGES = f"/srv/images-{os.getpid()}"  # the kernel's tables are those of the machine, where other tests run too
RUN = "jailssh run --bind /usr::ro"
MAKE = f"""
set -e
mkdir -p /srv/tree && cd /srv/tree && mkdir usr proc dev etc tmp root srv && echo inside >etc/file
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
ln -s /root etc/out; cp /bin/true srv/suid; chmod 4755 srv/suid; mknod srv/null c 1 3; chown 5:6 etc/file
ln etc/file etc/again
mkdir {IMAGES} && cd {IMAGES}
mksquashfs /srv/tree squashfs -quiet -no-progress >/dev/null
mkfs.erofs -x-1 erofs /srv/tree >/dev/null 2>&1
truncate -s 8M ext4 && mke2fs -q -t ext4 -d /srv/tree ext4
tar -C /srv/tree -cf plain .; tar -C /srv/tree -czf gzip .; tar -C /srv/tree -cjf bzip2 .
tar -C /srv/tree -cJf xz .; tar -C /srv/tree --zstd -cf zstd .
tar -C /srv/tree --format=v7 --exclude ./srv/null -cf v7 .
mknod /dev/loop-control c 10 237
for i in $(seq 0 31); do mknod /dev/loop$i b 7 $i; done
"""
# name: the file is made by, what is said of it.
WRONG = {
    "empty": (":>x", "is no directory, and empty"),
    "text": ("echo hello >x", "neither a tar nor a squashfs, erofs or ext4 image"),
    "zip": (r"printf 'PK\003\004zip' >x", "is a zip archive"),
    "gpt": ("truncate -s 2M x; printf 'EFI PART' | dd of=x bs=1 seek=512 conv=notrunc", "holds a partition table"),
    "mbr": (r"truncate -s 2M x; printf '\125\252' | dd of=x bs=1 seek=510 conv=notrunc", "holds a partition table"),
    "gpt over ext4": (
        "cp ext4 x; printf 'EFI PART' | dd of=x bs=1 seek=512 conv=notrunc",
        "holds a partition table",
    ),
    "cut squashfs": ("head -c 3000 squashfs >x", "damaged squashfs"),
    "cut ext4": ("head -c 1M ext4 >x", "damaged ext4"),
    "damaged squashfs": ("cp squashfs x; head -c 60 /dev/zero | dd of=x bs=1 seek=20 conv=notrunc", "damaged squashfs"),
    "damaged erofs": ("cp erofs x; head -c 60 /dev/urandom | dd of=x bs=1 seek=1028 conv=notrunc", "damaged erofs"),
    "damaged ext4": ("cp ext4 x; head -c 999 /dev/zero | dd of=x bs=1 seek=1100 conv=notrunc", "damaged ext4"),
    "of a user": ("cp ext4 x; chown 1000 x", "others than root can change this file"),
    "of a group": ("cp squashfs x; chmod 664 x", "others than root can change this file"),
    "in a user's directory": ("install -d -o 1000 home; cp erofs home/; ln -s home/erofs x", "or a directory above it"),
    "not played back": (
        "cp ext4 x; debugfs -w -R 'feature needs_recovery' x", "journal has to be played back",
    ),
    "fifo": ("mkfifo x", "neither a directory nor a regular file"),
    "device": ("mknod x b 7 0", "neither a directory nor a regular file"),
    "cut tar": ("head -c 3000 plain >x", "damaged tar"),
    "cut gzip": ("head -c 900 gzip >x", "damaged tar"),
    "cut xz": ("head -c 900 xz >x", "damaged tar"),
    "cut zstd": ("head -c 700 zstd >x", "damaged tar"),
    "damaged gzip": (
        "cp gzip x; printf xxxxxxxx | dd of=x bs=1 seek=$(($(stat -c %s gzip)-8)) conv=notrunc", "damaged tar"
    ),
    "gzip of text": ("echo hello | gzip >x", "damaged tar"),
}  # fmt: skip


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.run(["sh", "-c", MAKE], check=True)
        yield scratch


def run(host: ScratchHost, line: str, **more: object) -> tuple[int, str, str]:
    done = host.run(["sh", "-c", line], **more)  # type: ignore[arg-type]
    return done.code, done.stdout, done.stderr


def loops() -> list[str]:
    """The files of ours that the kernel has on loop devices."""
    return [
        text for path in Path("/sys/block").glob("loop*/loop/backing_file")
        if IMAGES in (text := path.read_text())
    ]  # fmt: skip


def nothing_is_left(host: ScratchHost) -> None:
    host.wait_until(lambda: not loops(), "the end of all loop devices")
    mounts = host.run(["cat", "/proc/mounts"]).stdout
    assert "/dev/loop" not in mounts
    assert "unpacked" not in mounts
    host.wait_until(
        lambda: not re.search("jailssh[ -]run", " ".join(host.pids().values())), "the end of all processes", timeout=3
    )


@pytest.mark.parametrize("kind", KINDS)
def test_image(host: ScratchHost, kind: str) -> None:
    script = 'cat /etc/file; stat -c %u:%g /etc/file; grep " / " /proc/mounts; touch /x'
    code, out, said = run(host, f"{RUN} {IMAGES}/{kind} sh -c '{script}'")
    assert (code, "ead-only" in said) == (1, True), (out, said)
    content, owner, mount = out.splitlines()
    assert (content, owner) == ("inside", "5:6")
    assert re.fullmatch(rf"/proc/self/fd/\d+ / {kind} ro,nosuid,nodev,relatime.*", mount), mount
    nothing_is_left(host)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["--ephemeral", "--overlay /srv/store", "-U --ephemeral", "-U"])
def test_image_with(host: ScratchHost, kind: str, option: str) -> None:
    run(host, "rm -rf /srv/store; mkdir /srv/store; mount -t tmpfs x /srv/store")
    written = "cat /etc/file" if "-U" in option else "echo new >/etc/new; cat /etc/file /etc/new"
    _, out, said = run(
        host, f"{RUN} {option} {IMAGES}/{kind} sh -c '{written}; grep -c \"^/proc/self/fd.*{kind}\" /proc/mounts'"
    )
    image_mounts = "1" if option == "-U" else "0"  # below an overlay none is seen
    assert out.split() == ["inside", *(["new"] if "new" in written else []), image_mounts], (out, said)
    if "overlay" in option:
        assert host.read("/srv/store/upper/etc/new") == b"new\n"
    run(host, "umount /srv/store")
    nothing_is_left(host)


@pytest.mark.parametrize("kind", [*TARS, "v7"])
def test_tar(host: ScratchHost, kind: str) -> None:
    script = 'cat /etc/file; stat -c %u:%g:%h /etc/file; grep " / " /proc/mounts | cut -d, -f1-3; ls /srv; echo >/x'
    code, out, said = run(host, f"{RUN} {IMAGES}/{kind} sh -c '{script}'")
    assert (code, said) == (0, "")
    assert out.splitlines() == ["inside", "5:6:2", "none / tmpfs rw,nosuid,nodev", "suid"]
    assert run(host, f"{RUN} {IMAGES}/{kind} ls /x")[0] == 2
    nothing_is_left(host)


def test_tar_is_unpacked_once_with_overlay(host: ScratchHost) -> None:
    run(host, "mkdir -p /srv/kept; mount -t tmpfs x /srv/kept; chmod 755 /srv/kept; mkdir /srv/kept/tree.part")
    line = f"{RUN} --overlay /srv/kept {IMAGES}/gzip sh -c"
    assert run(host, f"{line} 'echo a >/etc/new'") == (0, "", "")
    before = host.run(["stat", "-c", "%i", "/srv/kept/tree"]).stdout
    assert run(host, f"{line} 'cat /etc/new'") == (0, "a\n", "")
    assert host.run(["stat", "-c", "%i", "/srv/kept/tree"]).stdout == before
    assert host.read("/srv/kept/tree/etc/file") == b"inside\n"
    code, _, said = run(host, f"{RUN} --overlay /srv/kept {IMAGES}/xz true")
    assert (code, "is not of this tar" in said) == (125, True)
    run(host, "chmod 777 /srv/kept")
    assert "others can change" in run(host, f"{line} true")[2]
    run(host, "umount /srv/kept")


def test_tar_leads_nowhere(host: ScratchHost) -> None:
    """Names above the tree, links out of it and members behind these: all stays in the tree."""
    script = """
import io, tarfile
tar = tarfile.open(IMAGES + "/hostile", "w:gz")
def add(name, kind=tarfile.REGTYPE, link="", data=b"x"):
    member = tarfile.TarInfo(name); member.type = kind; member.linkname = link
    member.size = len(data) if kind == tarfile.REGTYPE else 0
    tar.addfile(member, io.BytesIO(data))
for name in ("../../../srv/up", "/srv/absolute"): add(name)
add("out", tarfile.SYMTYPE, "/srv"); add("out/through")
add("deep", tarfile.SYMTYPE, "../../.."); add("deep/srv/deeper")
add("usr", tarfile.DIRTYPE); add("bin", tarfile.SYMTYPE, "usr/bin"); add("lib64", tarfile.SYMTYPE, "usr/lib64")
add("lib", tarfile.SYMTYPE, "usr/lib")
tar.close()
"""
    assert host.run(["/usr/bin/python3", "-c", f"IMAGES = {IMAGES!r}{script}"]).code == 0
    before = host.run(["ls", "/srv"]).stdout
    code, out, said = run(host, f"{RUN} {IMAGES}/hostile ls /srv")
    assert (code, out.split(), said) == (0, ["absolute", "deeper", "through", "up"], "")
    assert host.run(["ls", "/srv"]).stdout == before


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_clear_error(host: ScratchHost, name: str) -> None:
    made, wanted = WRONG[name]
    run(host, f"cd {IMAGES}; rm -rf x home; {made}")
    code, out, said = run(host, f"{RUN} --no-terminal {IMAGES}/x true </dev/null")
    assert (code, out) == (125, ""), said
    assert wanted in said
    assert len(said.splitlines()) <= 2
    assert "Traceback" not in said
    run(host, f"rm -rf {IMAGES}/x {IMAGES}/home")
    nothing_is_left(host)


def test_an_image_that_is_written_to(host: ScratchHost) -> None:
    line = f"cd {IMAGES}; cp ext4 busy; exec 5>>busy; {RUN} {IMAGES}/busy true; exec 5>&-; {RUN} $PWD/busy true"
    code, _, said = run(host, line)
    assert (code, "is being written to" in said, len(said.splitlines())) == (0, True, 1), said
    code, _, said = run(
        host,
        f"cd {IMAGES}; mkdir -p /tmp/m; mount -o loop busy /tmp/m && {RUN} {IMAGES}/busy true; echo $?; umount /tmp/m",
    )
    assert "is being written to" in said
    nothing_is_left(host)


def test_a_user_mounts_no_image(host: ScratchHost) -> None:
    run(host, f"useradd -m mounter; cp {IMAGES}/ext4 {IMAGES}/gzip /home/mounter/; chmod 755 /srv {IMAGES}")
    for name in ("ext4", "gzip"):
        done = host.run(["sh", "-c", f"{RUN} -U {IMAGES}/{name} true"], user="mounter")
        assert (done.code, "which only root may run in" in done.stderr) == (125, True), done


def test_no_device_left(host: ScratchHost) -> None:
    """Where the loop devices are not there it is said; where one is no device of that kind, too."""
    run(host, "mv /dev/loop-control /dev/kept")
    assert "/dev/loop-control: No such file" in run(host, f"{RUN} {IMAGES}/ext4 true")[2]
    run(host, "mv /dev/kept /dev/loop-control; mkdir /dev/l; mv /dev/loop[0-9]* /dev/l")
    assert "/dev/loop" in run(host, f"{RUN} {IMAGES}/ext4 true")[2]
    run(host, "mv /dev/l/* /dev; rmdir /dev/l")
    assert run(host, f"{RUN} {IMAGES}/ext4 true")[0] == 0


@pytest.mark.parametrize("name", ["ext4", "xz"])
@pytest.mark.parametrize("option", ["", "-U --ephemeral", "-p /run/pid"])
def test_killed_at_any_moment(host: ScratchHost, name: str, option: str) -> None:
    for delay in range(10):
        run(host, f"{RUN} {option} {IMAGES}/{name} sleep 984 & sleep {0.06 + delay * 0.02}; kill -9 $!")
    host.wait_until(lambda: "sleep 984" not in " ".join(host.pids().values()), "the end of all commands")
    nothing_is_left(host)


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    "call",
    ["fsopen:1", "fsconfig:1", "fsconfig:3", "fsmount:1", "clone:1", "move_mount:1", "umount2:1", "pivot_root:1"],
)
def test_killed_at_a_step(host: ScratchHost, call: str) -> None:
    """At the very call: before it is done, and everything before it has been."""
    name, when = call.split(":")
    calls = f"{name},clone3" if name == "clone" else name
    line = (
        f"strace -f -o /dev/null -e inject={calls}:signal=KILL:when={when} {RUN} --ephemeral {IMAGES}/erofs sleep 983"
    )
    assert run(host, f"timeout 10 {line}")[0] not in (0, 124)
    nothing_is_left(host)


def test_set_user_id_and_devices_have_no_effect(host: ScratchHost) -> None:
    code, out, _ = run(host, f"{RUN} -u nobody {IMAGES}/ext4 sh -c 'ls /srv; cat /srv/null; echo $?'")
    assert (code, out.split()) == (0, ["null", "suid", "1"])
