"""A directory service on a scratch host, which a test takes away, makes busy, or lets hang."""

from __future__ import annotations

import subprocess
from pathlib import Path

from jailssh.scratch.host import ScratchHost

_SOURCE = Path(__file__).with_name("nss_fake.c")


class Directory:
    """The service ``fake`` of a scratch host, asked last for accounts and groups (``order``: nsswitch.conf's words)."""

    def __init__(self, host: ScratchHost, build: Path, order: str = "files fake") -> None:
        self._host = host
        self._build = build
        host.run(["mkdir", "-p", "/srv/nss"], check=True)
        host.write("/etc/ld.so.conf.d/fake.conf", "/srv/nss\n")
        self.install("fake")
        self.state("up")
        self.order(order)

    def install(self, name: str) -> None:
        """Install the service under this name."""
        source, library = self._build / f"{name}.c", self._build / f"libnss_{name}.so.2"
        source.write_text(_SOURCE.read_text().replace("_nss_fake_", f"_nss_{name}_"))
        argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", f"-Wl,-soname,{library.name}", "-o", str(library)]
        subprocess.run([*argv, str(source)], check=True)
        self._host.write(f"/srv/nss/{library.name}", library.read_bytes(), 0o755)
        self._host.run(["ldconfig", "-X"], check=True)

    def order(self, words: str) -> None:
        """Have these services asked, in this order."""
        self._host.write("/etc/nsswitch.conf", f"passwd: {words}\ngroup: {words}\nshadow: files\nhosts: files\n")

    def state(self, text: str) -> None:
        """``up``, ``away``, ``busy``, ``hang``, or ``hang NAME``."""
        # By the shell alone: chown(1) would ask the service.
        self._host.run(["sh", "-c", f"echo '{text}' >/etc/fake"], check=True)

    def account(self, name: str, uid: int, home: str, shell: str, *, gid: int | None = None) -> None:
        """Give the directory one more account."""
        self._append("/etc/fake.passwd", f"{name}:*:{uid}:{uid if gid is None else gid}::{home}:{shell}\n")

    def group(self, name: str, gid: int, *members: str) -> None:
        """Give the directory one more group."""
        self._append("/etc/fake.group", f"{name}:x:{gid}:{','.join(members)}\n")

    def remove(self, name: str) -> None:
        """Take an account out of the directory."""
        self._host.run(["sed", "-i", f"/^{name}:/d", "/etc/fake.passwd"], check=True)

    def _append(self, path: str, line: str) -> None:
        self._host.run(["sh", "-c", f"printf '%s' '{line}' >>{path}"], check=True)
