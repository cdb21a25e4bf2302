"""What ``jailssh selftest`` tries of SFTP: uses as far as the settings allow them, and ways out of the jail."""

from __future__ import annotations

import os
from collections.abc import Iterator

from jailssh.plugin.api import Account
from jailssh.plugin.trials import PLACE, TOKEN, FileOp, FileStep, Trial, denied

OF_STEP = {
    FileOp.PUT: "open write close", FileOp.OVERWRITE: "open write close", FileOp.GET: "open read close",
    FileOp.LIST: "opendir readdir close", FileOp.OTHERS: "opendir readdir close", FileOp.STAT: "stat",
    FileOp.MKDIR: "mkdir", FileOp.RMDIR: "rmdir", FileOp.REMOVE: "remove", FileOp.RENAME: "rename",
    FileOp.SYMLINK: "symlink", FileOp.CHMOD: "setstat", FileOp.CHOWN: "setstat",
}  # fmt: skip
"""The requests that a client makes for each step."""

_CHANGES = set(FileOp) - {FileOp.GET, FileOp.LIST, FileOp.OTHERS, FileOp.STAT}
_TEXT = "a file of a selftest\n"
_READY = (("ready", _TEXT), ("other", _TEXT), ("folder/", ""))
_SECRETS = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/sshd_config", "/etc/jailssh/jailssh.conf",
            "/root/.ssh/authorized_keys", "/var/lib/jailssh/plan.v1/0", "/proc/1/environ", "/proc/kcore",
            "/dev/mem", "/dev/kmsg", "/dev/sda", "/run/jailssh/jailsshd.sock")  # fmt: skip
_ROOTS = ("/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/root", "/dev")


def trials(plugin: str, account: Account, *, denies: frozenset[str], keeps: bool, read_only: bool) -> tuple[Trial, ...]:
    """Return what is to be tried of an sftp server in the home.

    ``denies``: requests that it refuses.  ``keeps``: what is there is not changed.  ``read_only``: nothing is.
    """
    return (*_uses(plugin, account, denies, keeps, read_only), *_outside(plugin, account))


def _uses(plugin: str, account: Account, denies: frozenset[str], keeps: bool, read_only: bool) -> Iterator[Trial]:
    """Yield a trial for each kind of request: it works, or it is refused, as the settings say."""
    changed = f"{PLACE}/{TOKEN}"
    steps = [
        ("upload", "a new file", FileStep(FileOp.PUT, f"{changed}-up", _TEXT)),
        ("download", "reading a file", FileStep(FileOp.GET, f"{PLACE}/ready", _TEXT)),
        ("list", "listing a directory", FileStep(FileOp.LIST, PLACE)),
        ("stat", "facts about a file", FileStep(FileOp.STAT, f"{PLACE}/ready")),
        ("mkdir", "a new directory", FileStep(FileOp.MKDIR, f"{changed}-dir")),
        ("overwrite", "overwriting a file", FileStep(FileOp.OVERWRITE, f"{PLACE}/other", "overwritten\n")),
        ("chmod", "changing the mode of a file", FileStep(FileOp.CHMOD, f"{PLACE}/other", "640")),
        ("rename", "renaming a file", FileStep(FileOp.RENAME, f"{PLACE}/other", f"{changed}-new")),
        ("symlink", "a symbolic link", FileStep(FileOp.SYMLINK, f"{changed}-link", "ready")),
        ("remove", "removing a file", FileStep(FileOp.REMOVE, f"{changed}-new")),
        ("rmdir", "removing a directory", FileStep(FileOp.RMDIR, f"{PLACE}/folder")),
    ]
    for name, what, step in steps:
        refused = bool(denies.intersection(OF_STEP[step.op].split())) or (read_only and step.op in _CHANGES)
        refused = refused or (keeps and step.op not in (FileOp.PUT, FileOp.MKDIR) and step.op in _CHANGES)
        # What is not there any more, or never came to be, cannot be used for the next one.
        if name == "remove" and not refused and _refuses(denies, FileOp.RENAME):
            step = FileStep(step.op, f"{PLACE}/other")
        done = FileStep(step.op, step.path, step.more, fails=refused)
        yield Trial(
            f"{plugin}.{'no-' if refused else ''}{name}", f"{what}{', which the settings refuse' if refused else ''}",
            attack=refused, steps=(done,), place=account.home, files=_READY,
        )  # fmt: skip


def _refuses(denies: frozenset[str], op: FileOp) -> bool:
    return bool(denies.intersection(OF_STEP[op].split()))


def _attack(plugin: str, name: str, what: str, *steps: FileStep, place: str = "") -> Trial:
    return Trial(
        f"{plugin}.{name}", what, attack=True, steps=steps, place=place, files=(("own", _TEXT),) if place else ()
    )


def _no(op: FileOp, path: str, more: str = "") -> FileStep:
    return FileStep(op, path, more, fails=True)


def _outside(plugin: str, account: Account) -> Iterator[Trial]:
    home, above = account.home, os.path.dirname(account.home)
    up = "/..".join([home, *[""] * 12])
    yield _attack(plugin, "outside", "files of the host", *(_no(FileOp.GET, path) for path in _SECRETS))
    if above != "/":
        others = _no(FileOp.OTHERS, above, os.path.basename(home))
        yield _attack(plugin, "other-homes", "homes of other accounts", others, _no(FileOp.LIST, "/root"))
    yield _attack(
        plugin, "dotdot", "a path with '..' in it", *(_no(FileOp.GET, f"{up}{path}") for path in _SECRETS[:5])
    )
    links = [FileStep(FileOp.SYMLINK, f"{PLACE}/out{n}", target) for n, target in enumerate(("/", "/etc", up, "/proc"))]
    through = [_no(FileOp.GET, f"{PLACE}/out{n}/{path}")
               for n, path in enumerate(("etc/shadow", "shadow", "etc/shadow", "1/environ"))]  # fmt: skip
    yield _attack(plugin, "link-out", "a symbolic link out of the home", *links, *through, place=home)
    new = f"jailssh-{TOKEN}"
    yield _attack(plugin, "write-outside", "a new file outside of the home",
                  *(_no(FileOp.PUT, f"{root.rstrip('/')}/{new}", "x") for root in _ROOTS))  # fmt: skip
    yield _attack(plugin, "setstat", "other modes for directories of root",
                  *(_no(FileOp.CHMOD, root, "777") for root in _ROOTS[:5]))  # fmt: skip
    yield _attack(plugin, "set-id", "a set-user-ID file", _no(FileOp.CHMOD, f"{PLACE}/own", "6777"), place=home)
    yield _attack(plugin, "chown", "a file given to root", _no(FileOp.CHOWN, f"{PLACE}/own", "0"), place=home)
    keys = [_no(FileOp.PUT, f"{home}/{name}/{new}", "x") for name in (".ssh", ".config/systemd/user")]
    yield _attack(plugin, "plant", "a file that the host's programs would believe", *keys)
    yield from denied(
        f"{plugin}.command", "another program in the place of the server",
        "sftp-server; id", "internal-sftp | sh", "sftp localhost", "./sftp-server", "scp -S /bin/sh -t .",
    )  # fmt: skip
