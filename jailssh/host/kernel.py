"""What the kernel, or a container around this system, lets root do: facts by which a login that fails is explained.

Calls are tried with arguments that are wrong, so that nothing happens: the kernel says EFAULT, EBADF or EINVAL where
it would do them, EPERM or ENOSYS where a filter, a missing capability or its age stands before it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from contextlib import suppress

_OLDEST = (5, 2)
# capabilities(7): all that the login program needs.
_CAPABILITIES = {
    "cap_setgid": 6, "cap_setuid": 7, "cap_setpcap": 8, "cap_sys_chroot": 18, "cap_sys_admin": 21, "cap_mknod": 27,
}  # fmt: skip
_NET_ADMIN = 12
_NUMBERS = {
    "x86_64": {"mount": 165, "pivot_root": 155, "keyctl": 250, "seccomp": 317, "mknodat": 259, "unshare": 272,
               "setns": 308},
    "aarch64": {"mount": 40, "pivot_root": 41, "keyctl": 219, "seccomp": 277, "mknodat": 33, "unshare": 97,
                "setns": 268},
}  # fmt: skip
# The same on every architecture (Linux 5.2).
_NEWER = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432}
_NAMESPACES = {"mount": 0x00020000, "cgroup": 0x02000000, "UTS": 0x04000000, "IPC": 0x08000000, "PID": 0x20000000,
               "network": 0x40000000}  # fmt: skip
# As in Go's GOARCH, which the OCI image specification asks for.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "i686": "386",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "loongarch64": "loong64",
}
_MAY_BE_MISSING = {"keyctl"}
"""Without it a login goes on."""


def architecture() -> str:
    """Return what images call this machine."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def too_old() -> str:
    """Return the kernel's version if it is older than the oldest that can serve, else ""."""
    release = os.uname().release
    found = re.match(r"(\d+)\.(\d+)", release)
    return release if found and (int(found[1]), int(found[2])) < _OLDEST else ""


def missing_capabilities() -> list[str]:
    """Return the capabilities that no process of this system can get (the bounding set), of those that are needed."""
    bounding = int(_status("CapBnd") or "ffffffffffffffff", 16)
    return [name for name, bit in _CAPABILITIES.items() if not bounding >> bit & 1]


def lets_raise_loopback() -> bool:
    """True if root's services can have CAP_NET_ADMIN, without which a new network has no loopback interface that is up.

    Asked of process 1, since units bound what their own processes can have; True where it does not tell.
    """
    return bool(int(_status("CapBnd", "1") or "ffffffffffffffff", 16) >> _NET_ADMIN & 1)


def no_new_privs() -> bool:
    """True if set-id bits give nothing to what this process starts."""
    return _status("NoNewPrivs") == "1"


def in_user_namespace() -> bool:
    """True in a user namespace other than the first one."""
    with suppress(OSError, ValueError), open("/proc/self/uid_map", encoding="ascii") as stream:
        return [int(word) for word in stream.readline().split()] != [0, 0, 4294967295]
    return False


def apparmor() -> str:
    """Return the AppArmor profile that confines this process, "" for none."""
    with suppress(OSError), open("/proc/self/attr/current", encoding="utf-8", errors="replace") as stream:
        label = stream.read().strip("\0\n ")
        return label.removesuffix(" (enforce)") if label.endswith("(enforce)") else ""
    return ""


def restricts_user_namespaces() -> bool:
    """True if AppArmor takes the power away that a user namespace gives (Ubuntu 23.10 and later)."""
    with suppress(OSError), open("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", encoding="ascii") as stream:
        return stream.read().strip() == "1"
    return False


def refused_calls() -> list[str]:
    """Return the calls that a login needs and that are refused here, each with the error, as in ``mount (EPERM)``."""
    libc = ctypes.CDLL(None, use_errno=True)
    known = {**_NUMBERS.get(os.uname().machine, {}), **_NEWER}
    found = []
    for name, number in known.items():
        # -1 is no descriptor and no set of flags, and nothing is mapped at the addresses 0 and -1.
        arguments = (ctypes.c_long(-1),) * 5 if name != "seccomp" else (ctypes.c_long(2), *(ctypes.c_long(0),) * 4)
        arguments = (ctypes.c_long(0),) * 5 if name in ("mount", "pivot_root", "fsopen") else arguments
        ctypes.set_errno(0)
        libc.syscall(ctypes.c_long(number), *arguments)
        error = ctypes.get_errno()
        if error in (errno.EPERM, errno.ENOSYS, errno.EACCES) and name not in _MAY_BE_MISSING:
            found.append(f"{name} ({errno.errorcode[error]})")
    return [*found, *_refused_namespaces(libc)]


def _refused_namespaces(libc: ctypes.CDLL) -> list[str]:
    """Return the namespaces that cannot be made, tried by a child that then ends."""
    found = []
    for name, flag in _NAMESPACES.items():
        child = os.fork()
        if child == 0:
            os._exit(0 if libc.unshare(flag) == 0 else ctypes.get_errno())
        error = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if error:
            found.append(f"clone of a {name} namespace ({errno.errorcode.get(error, error)})")
    return found


def _status(field: str, pid: str = "self") -> str:
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith(f"{field}:"):
                return line.split(":", 1)[1].strip()
    return ""
