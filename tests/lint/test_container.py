"""What the page says of the image for containers is what packaging/container has, and that is what jailssh needs."""

from __future__ import annotations

import json
import re
import subprocess

from jailssh.host import kernel
from jailssh.policy import seccomp
from tests.abilities import REPO

IMAGE = REPO / "packaging/container"
PAGE = REPO / "packaging/man/jailssh-fleet.7.in"
C_SOURCES = [path for name in ("jailssh/login", "pam") for path in sorted((REPO / name).rglob("*.c"))]
# Calls that are for the kernel's own administrator, and corners of it; keyctl(2) takes a keyring away from a session.
NEVER = {*seccomp.MACHINE, *seccomp.KERNEL_CORNERS, "ptrace", "process_vm_readv", "process_vm_writev"} - {"keyctl"}


def allowed() -> set[str]:
    profile = json.loads((IMAGE / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    # ENOSYS: with EPERM C libraries do not go on to an older call.
    assert profile["defaultErrnoRet"] == 38
    assert {each["action"] for each in profile["syscalls"]} == {"SCMP_ACT_ALLOW"}
    named = [name for each in profile["syscalls"] if "args" not in each for name in each["names"]]
    assert len(named) == len(set(named)), "a name stands twice"
    return set(named)


def section() -> str:
    found = re.search(r"^\.Ss In containers\n(.*?)^\.Ss ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def capabilities() -> set[str]:
    return set((IMAGE / "capabilities").read_text().strip().split(","))


def test_profile_has_what_the_programs_ask_for() -> None:
    asked = {name for path in C_SOURCES for name in re.findall(r"\bsyscall\(SYS_([a-z0-9_]+)", path.read_text())}
    assert len(asked) > 15
    asked |= {"unshare", "setns", "chroot", "mknodat", "clone3", "execve", *kernel._NEWER, *kernel._NUMBERS["x86_64"]}
    assert asked - allowed() == set()


def test_profile_has_no_more_than_that_of_the_kernel() -> None:
    assert allowed() & NEVER == set()


def test_page_names_the_capabilities_of_the_image() -> None:
    item = re.search(r"^\.It Capabilities\n(.*?)^\.It ", section(), re.MULTILINE | re.DOTALL)
    assert item
    named = [
        word for line in re.findall(r"^\.Cm (.*)$", item[1], re.MULTILINE) for word in re.findall(r"[a-z_]+", line)
    ]
    assert sorted(named) == sorted(capabilities())
    assert set(kernel._CAPABILITIES) <= {f"cap_{name}" for name in capabilities()}


def test_page_mounts_the_volumes_of_the_image() -> None:
    volumes = re.search(r"^VOLUME (.*)$", (IMAGE / "Containerfile").read_text(), re.MULTILINE)
    assert volumes
    assert re.findall(r"-v sshd-[a-z]+:(\S+)", section()) == volumes[1].split()


def test_files_of_the_image_are_there() -> None:
    copied = re.findall(r"^COPY (?:--\S+ )?(packaging/\S+)", (IMAGE / "Containerfile").read_text(), re.MULTILINE)
    assert copied
    assert all((REPO / name).is_file() for name in copied)


def test_start_is_read_by_a_shell() -> None:
    subprocess.run(["sh", "-n", IMAGE / "start"], check=True)
