"""install.py install STAGE DESTDIR PREFIX, install.py uninstall DESTDIR PREFIX.

``install`` publishes a staged tree below DESTDIR, each file by rename, so that a login that happens meanwhile meets
either the old file or the new one.  What was put is listed in PREFIX/lib/jailssh/installed-files; a later ``install``
removes what the new version no longer has, and ``uninstall`` removes what is listed and nothing else.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

LIST = "lib/jailssh/installed-files"
DIGESTS = "lib/jailssh/installed-digests"
PROGRAMS = "libexec/jailssh/"
OWN_FOLDER = "lib/jailssh/python"
UNITS = "lib/systemd/system"
CATALOG = "lib/systemd/catalog/jailssh.catalog"
LOGIN_PROGRAM = "libexec/jailssh/jailssh-login"
DROP_IN = "etc/ssh/sshd_config.d/20-jailssh.conf"
SET_ID_MODE, OPEN_SET_ID_MODE = 0o4750, 0o4755
RUN = "/run/jailssh"
KEPT = {
    "/var/lib/jailssh/trees": ("sessions on trees", "jailssh session end NAME removes one, with what it has written"),
    "/var/lib/jailssh/systems": ("whole systems", "jailssh system remove NAME"),
}
"""What nothing but the installed command ends, and takes away."""
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8


class Target:
    """The place to install to: paths are as on the installed system, ``at`` says where they are now."""

    def __init__(self, destdir: str, prefix: str) -> None:
        """Raise SystemExit unless PREFIX is absolute."""
        if not prefix.startswith("/"):
            raise SystemExit(f"install: PREFIX={prefix}: not an absolute path")
        self.destdir = os.path.abspath(destdir) if destdir else ""
        self.prefix = os.path.normpath(prefix)

    def at(self, path: str) -> Path:
        """Return where ``path`` of the installed system is now."""
        return Path(self.destdir + path)

    def below_prefix(self, path: str) -> str:
        """Return the absolute path of the installed system for one relative to the prefix."""
        return f"{self.prefix}/{path}"

    def listed(self) -> list[str]:
        """Return what the last installation put, directories with a trailing slash; empty if there was none."""
        try:
            lines = self.at(self.below_prefix(LIST)).read_text().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            if not line.startswith("/") or ".." in line.split("/"):
                raise SystemExit(f"install: {self.below_prefix(LIST)}: {line!r} is not a path that was installed")
        return lines


def make_folders(target: Target, folder: str) -> list[str]:
    """Make ``folder`` and what is missing above it; return those made, outermost first, with a trailing slash."""
    missing = []
    while not target.at(folder).is_dir():
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        target.at(path).mkdir()
        target.at(path).chmod(0o755)
    return [path + "/" for path in reversed(missing)]


def publish_file(source: Path, target: Target, path: str) -> None:
    """Copy ``source`` beside ``path`` and rename it over.  Files belong to root:root where root installs."""
    destination = target.at(path)
    beside = destination.with_name(f".{destination.name}.{os.getpid()}")
    if source.is_symlink():
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.readlink(source))
        beside.rename(destination)
        return
    set_id = path == target.below_prefix(LOGIN_PROGRAM)
    shutil.copyfile(source, beside)
    shutil.copystat(source, beside)
    set_id_mode = SET_ID_MODE
    if os.geteuid() == 0:
        # The set-up gives the login program to its own group, or opens it to all where a jail has a Unix group; a newer
        # version must not take that back.
        before = destination.stat() if set_id and destination.exists() else None
        os.chown(beside, 0, before.st_gid if before else 0)
        if before and before.st_uid == 0 and stat.S_IMODE(before.st_mode) == OPEN_SET_ID_MODE:
            set_id_mode = OPEN_SET_ID_MODE
    # Whatever the umask was: everybody may read and, where the owner may execute, execute.
    ordinary = 0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644
    beside.chmod(set_id_mode if set_id else ordinary)
    with beside.open("rb") as handle:
        os.fsync(handle.fileno())
    beside.rename(destination)


def install(stage: str, target: Target) -> None:
    """Publish every file below ``stage`` + PREFIX and the list of them; remove what an older version left."""
    before = target.listed()
    target.at("/").mkdir(parents=True, exist_ok=True)
    top = Path(stage + target.prefix)
    files = sorted(str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir())
    if LOGIN_PROGRAM not in files:
        # Else what the last installation put would be taken for what the new version no longer has.
        raise SystemExit(f"install: {top} is not a staged installation: {LOGIN_PROGRAM} is missing")
    put = [line for line in before if line.endswith("/")]
    # The list stands first: whatever is interrupted later can be removed.
    put += make_folders(target, os.path.dirname(target.below_prefix(LIST)))
    paths = [target.below_prefix(name) for name in files]
    digests = target.below_prefix(DIGESTS)
    for path in paths:
        put += make_folders(target, os.path.dirname(path))
    write_list(target, sorted({*before, *put, *paths, digests}))
    for name, path in zip(files, paths, strict=True):
        publish_file(top / name, target, path)
    write(target, digests, [digest_line(top / name, name) for name in files if name.startswith(PROGRAMS)])
    paths.append(digests)
    remove([line for line in before if not line.endswith("/") and line not in set(paths)], target)
    write_list(target, sorted({*put, *paths}))
    if target.below_prefix(CATALOG) in paths:
        update_catalog(target)
    if os.geteuid() != 0:
        print("install: not root, so the files belong to you; jailssh-login must belong to root to work")
    print(f"install: next step: {target.below_prefix('bin/jailssh')} setup")


def digest_line(source: Path, name: str) -> str:
    """Return a line as sha256sum(1) prints it: jailssh check compares the programs with it."""
    return f"{hashlib.sha256(source.read_bytes()).hexdigest()}  {name}"


def write_list(target: Target, lines: list[str]) -> None:
    """Replace the list of installed files."""
    write(target, target.below_prefix(LIST), lines)


def write(target: Target, path: str, lines: list[str]) -> None:
    """Replace a file of lines."""
    destination = target.at(path)
    beside = destination.with_name(f".{destination.name}.{os.getpid()}")
    with beside.open("w") as handle:
        handle.write("".join(f"{line}\n" for line in lines))
        os.fsync(handle.fileno())
    beside.chmod(0o644)
    beside.rename(destination)


def remove(lines: list[str], target: Target) -> None:
    """Remove listed files, then listed directories that are empty."""
    for line in lines:
        if not line.endswith("/"):
            target.at(line).unlink(missing_ok=True)
    for line in sorted((line for line in lines if line.endswith("/")), reverse=True):
        folder = target.at(line.rstrip("/"))
        if folder.is_dir() and not folder.is_mount() and not any(folder.iterdir()):
            folder.rmdir()


def check_unused(target: Target) -> None:
    """Raise SystemExit while accounts, sshd, sessions on trees or whole systems still depend on what is installed."""
    program = target.below_prefix(LOGIN_PROGRAM)
    passwd = target.at("/etc/passwd")
    lines = passwd.read_text(errors="surrogateescape").splitlines() if passwd.exists() else []
    names = [line.split(":")[0] for line in lines if line.split(":")[-1] == program]
    if names:
        some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise SystemExit(
            f"uninstall: {program} is the login shell of {len(names)} accounts: {some}\n"
            "hint: take them out first with: jailssh deluser --keep-account NAME"
        )
    for folder, (what, hint) in KEPT.items():
        at = target.at(folder)
        there = [path.name for path in at.iterdir()] if at.is_dir() else []
        kept = sorted(name for name in there if name[0] != "." and name != "lost+found")
        if kept:
            some = ", ".join(kept[:5]) + (", …" if len(kept) > 5 else "")
            raise SystemExit(f"uninstall: {what} are there: {some}\nhint: {hint}")
    drop_in = target.at(f"/{DROP_IN}")
    # One that forces another program is of an installation with another prefix, which goes on without this one.
    text = drop_in.read_text(errors="surrogateescape") if drop_in.exists() else ""
    if drop_in.exists() and (f" {program}\n" in text or " ForceCommand " not in text):
        raise SystemExit(f"uninstall: sshd still uses {program}: /{DROP_IN}\nhint: jailssh setup --undo")


def units_among(target: Target, lines: list[str]) -> list[str]:
    """Return the units among listed paths; a path that ends with a slash is a directory."""
    return [line for line in lines if not line.endswith("/") and os.path.dirname(line) == target.below_prefix(UNITS)]


def retire_units(target: Target, paths: list[str]) -> None:
    """Stop these units if they are of the running system, and remove the links by which they are enabled."""
    systemctl = shutil.which("systemctl")
    if systemctl and paths and not target.destdir and Path("/run/systemd/system").is_dir():
        # Of a template its instances.
        units = [os.path.basename(path).replace("@.", "@*.") for path in paths]
        subprocess.run([systemctl, "--quiet", "stop", *units], check=False)
    for link in sorted(target.at("/etc/systemd/system").glob("*.wants/*")):
        if link.is_symlink() and os.readlink(link) in paths:
            link.unlink()
            if not any(link.parent.iterdir()):
                link.parent.rmdir()


def reload_manager(target: Target) -> None:
    """Have systemd forget the units that are gone."""
    systemctl = shutil.which("systemctl")
    if systemctl and not target.destdir and Path("/run/systemd/system").is_dir():
        subprocess.run([systemctl, "--quiet", "daemon-reload"], check=False)


def update_catalog(target: Target) -> None:
    """Have the journal read the catalogs again: what journalctl -x explains the records with."""
    journalctl = shutil.which("journalctl")
    if journalctl and not target.destdir and os.geteuid() == 0:
        subprocess.run([journalctl, "--update-catalog"], check=False)


def let_go(target: Target) -> None:
    """Unmount the namespaces that logins have pinned, and remove the directory of the running system's state."""
    if target.destdir or os.geteuid() != 0 or os.path.islink(RUN):
        return
    fields = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # The last that was mounted comes first: one place can have several.
    for path in reversed([row[4] for row in fields if row[4].startswith(f"{RUN}/")]):
        ctypes.CDLL(None).umount2(os.fsencode(path), MNT_DETACH | UMOUNT_NOFOLLOW)
    if not any(line.split()[4].startswith(RUN) for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        shutil.rmtree(RUN, ignore_errors=True)


def uninstall(target: Target) -> None:
    """Remove what was put, and what runs or enables its units.  Configuration, state, accounts and groups stay."""
    check_unused(target)
    lines = target.listed()
    if not lines:
        raise SystemExit(f"uninstall: nothing is installed in {target.prefix}")
    units = units_among(target, lines)
    retire_units(target, units)
    own = target.at(target.below_prefix(OWN_FOLDER))
    if own.is_dir():  # Byte code that Python wrote later is in no list.
        for cache in [path for path in own.rglob("__pycache__") if path.is_dir()]:
            shutil.rmtree(cache)
    target.at(target.below_prefix(LIST)).unlink()
    remove(lines, target)
    if units:
        reload_manager(target)
    if target.below_prefix(CATALOG) in lines:
        update_catalog(target)
    let_go(target)


def main(arguments: list[str]) -> None:
    """Do what the module's docstring says."""
    match arguments:
        case ["install", stage, destdir, prefix]:
            install(stage, Target(destdir, prefix))
        case ["uninstall", destdir, prefix]:
            uninstall(Target(destdir, prefix))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
