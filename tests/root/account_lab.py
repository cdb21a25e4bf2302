"""A scratch host that is set up, in which accounts go into jails and out, killed at points that a test names."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.resident import Driven, Resident
from tests.harness.shared import once
from tests.root.setup_lab import LOGIN as LOGIN
from tests.root.setup_lab import bare_prefix

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr me@here"
FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid")

# The publisher is a stand-in: which plan is written is not the question here, and the real one would build images.
IMPORTS = """
import json, os, signal, sys
from jailssh.config.keys import NO_KEYS, parse_keys
from jailssh.core.errors import JailsshError
from jailssh.files import duplicate, fs, homes, moving
from jailssh.services import shadow, spools
from jailssh.host.paths import Layout
from jailssh.change import transaction
from jailssh.setup import setup
from jailssh.users import locking, renaming
from jailssh.users.adduser import AddUserOptions, adduser
from jailssh.users.deluser import DelUserOptions, deluser
from jailssh.users.many import add_many
from jailssh.users.many_del import del_many
"""
PROGRAM = """
layout = Layout(prefix="/usr/local")
spec = json.loads(sys.argv[1])
points = []

def withdraw(uid):
    fs.remove_file(f"{layout.plans}/{uid}")

class Publisher:
    min_uid = 1000
    deny_groups = ("sudo", "docker", "disk", "adm", "lxd", "wheel")
    groups = ()
    def check(self, jails):
        if "nosuch" in jails:
            raise JailsshError("jail nosuch", "there is no such jail")
    def publish(self, entry):
        if spec.get("full"):
            raise OSError(28, "No space left on device")
        with open(f"{layout.users}/{entry.name}.conf") as stream:
            fs.atomic_write(f"{layout.plans}/{entry.uid}", ("plan " + stream.read()).encode(), mode=0o600)
        return "sftp"
    def make_image(self, jails):
        pass
    def withdraw(self, uid):
        withdraw(uid)
    def tidy(self, uid):
        pass
    def keyring(self, name):
        return NO_KEYS
    def has_rights(self, jails):
        return "git" in jails

    def shows_tops(self, jails):
        return False

    def places(self, entry, name):
        return []

def fault(point):
    points.append(point)
    if len(points) == spec.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if len(points) == spec.get("at"):
        if "run" in spec:
            os.system(spec["run"])
        if "signal" in spec:
            os.kill(os.getpid(), spec["signal"])

def watched(module, name):
    act = getattr(module, name)
    def call(*args, **named):
        fault(f"{name} {args[0]}: next")
        return act(*args, **named)
    setattr(module, name, call)

if spec["do"] in ("many", "del many", "lock", "unlock", "rename"):
    watched(shadow, "_replace")
    watched(homes, "make")

for module, names in spec.get("watch", {}).items():
    for name in names:
        watched(globals()[module], name)

if spec.get("ignored"):
    signal.signal(spec["signal"], signal.SIG_IGN)

try:
    if spec["do"] == "setup":
        setup.prepare(layout)
        with fs.lock(layout.lock):
            lines = setup.apply(layout, setup.pending(layout, ()))
    elif spec["do"] == "adduser":
        keys = tuple(parse_keys(spec["key"].encode(), "key")) if "key" in spec else ()
        wish = AddUserOptions(spec["name"], tuple(spec["jails"]), keys=keys, force=spec.get("force", False),
                    now=spec.get("now", False), home=spec.get("home"), on_demand=spec.get("on_demand", False),
                    home_move=spec.get("home_move", False))
        lines = adduser(layout, wish, Publisher(), lambda question: spec.get("answer", True), fault).lines
    elif spec["do"] == "deluser":
        wish = DelUserOptions(spec["name"], *(spec.get(word, False) for word in ("keep", "remove_home", "now")))
        lines = deluser(layout, wish, withdraw, lambda question: True)
    elif spec["do"] == "many":
        wishes = [AddUserOptions(name, tuple(jails), **{**extra, "keys": tuple(
            key for text in extra.get("keys", ()) for key in parse_keys(text.encode(), "key"))})
            for name, jails, extra in spec["wishes"]]
        done = add_many(layout, wishes, Publisher(), lambda question: spec.get("answer", True), fault)
        lines = [line for each in done for line in each.outcome.lines]
    elif spec["do"] == "lock":
        lines = locking.lock(layout, spec["name"], fault).lines
    elif spec["do"] == "rename":
        wish = renaming.RenameOptions(spec["name"], spec["new"], spec.get("now", False))
        lines = renaming.rename_account(layout, wish, Publisher(), fault).lines
    elif spec["do"] == "unlock":
        lines = locking.unlock(layout, spec["name"]).lines
    elif spec["do"] == "del many":
        words = ("keep", "remove_home", "now")
        wishes = [DelUserOptions(name, *(spec.get(word, False) for word in words)) for name in spec["names"]]
        done = del_many(layout, wishes, withdraw, lambda question: True,
                        lambda at, of: fault(f"del: {at}"))
        lines = [line for each in done for line in (*each.lines, *map(str, each.errors))]
    else:
        with fs.lock(layout.lock):
            lines = [line for each in transaction.subjects(layout) for line in transaction.recover(layout, each)]
except (JailsshError, OSError) as error:
    print(json.dumps({"error": error.lines() if isinstance(error, JailsshError) else [str(error)], "points": points}))
    sys.exit(1)
print(json.dumps({"lines": lines, "points": points}))
"""


class Host(Driven):
    """A scratch host that is set up, with the driver."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.driver = Resident(scratch, IMPORTS, PROGRAM, "/usr/local/source")

    def sh(self, command: str) -> str:
        return self.scratch.run(["sh", "-c", command], check=True).stdout

    def ok(self, what: str, **spec: Any) -> str:
        answer = self.do(what, **spec)
        assert "lines" in answer, answer
        return "\n".join(answer["lines"])

    def refused(self, what: str, **spec: Any) -> str:
        before = self.state()
        answer = self.do(what, **spec)
        assert "error" in answer, answer
        assert self.state() == before, "a refusal changed something"
        return "\n".join(answer["error"])

    def state(self) -> dict[str, str]:
        """Everything that an account change may touch; the owner and mode of files included."""
        listing = "find /etc/jailssh /var/lib/jailssh /home -not -name .lock -printf '%p %m %u %g %y\\n' | sort"
        content = "find /etc/jailssh /var/lib/jailssh -type f -not -name .lock -exec sha256sum {} + | sort"
        said = self.sh("; printf '\\0'; ".join((*(f"cat {path}" for path in FILES), listing, content)))
        return dict(zip((*FILES, "listing", "content"), said.split("\0"), strict=True))


# Where a set-up writes; what has come there since /run/begun, and how it looks.
_PLACES = "/etc /var/lib /var/cache/debconf /usr/local /usr/share/pam-configs"
_BEGIN = "touch /run/begun; sleep 0.05"  # more than the kernel's clock of files takes for a step
_NEW = f"find {_PLACES} -cnewer /run/begun"
_LOOKS = f"{_NEW} -printf '%p %m %u %g %y %l\\n' | sort; {_NEW} -type f -exec sha256sum {{}} + | sort"


@contextmanager
def _bare(prefix: Path) -> Iterator[Host]:
    with ScratchHost(install={str(prefix): "/usr/local"}) as scratch:
        yield Host(scratch)


def _unpack(host: Host, files: Path) -> None:
    host.scratch.run(["tar", "-C", "/", "-xpf", "-"], input=files.read_bytes(), check=True)


def _set_up(prefix: Path, folder: Path) -> None:
    """Set a host up, and write what that makes to ``files.tar``: most of the time of a test would go into it."""
    files = folder / "files.tar"
    with _bare(prefix) as host:
        host.sh(_BEGIN)
        host.ok("setup")
        host.sh(f"{_NEW} -print0 | tar --null --no-recursion -T - -cf /run/files.tar")
        files.write_bytes(host.scratch.read("/run/files.tar"))
        made = host.sh(_LOOKS)
    with _bare(prefix) as host:
        host.sh(_BEGIN)
        _unpack(host, files)
        assert host.sh(_LOOKS) == made


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Give such a host."""
    prefix = bare_prefix(tmp_path_factory, "prefix-accounts", b"#!/bin/sh\nexit 0\n")
    made = once(tmp_path_factory, "set-up-accounts", functools.partial(_set_up, prefix))
    with _bare(prefix) as host:
        _unpack(host, made / "files.tar")
        yield host
