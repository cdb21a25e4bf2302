"""Runs in a scratch host: one case a line on standard input, what became of it a line on standard output.

A case is a verb, a point of it and what happens there, what happens then, and the same verb again.  Everything that
the verbs change is put back before each case, so that a case costs little more than its two commands.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from jailssh.change import transaction
from jailssh.config.keys import parse_keys
from jailssh.core.errors import JailsshError, raise_all
from jailssh.files import fs, homes
from jailssh.host import install, nss, process
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.publish import plan_files
from jailssh.publish.each import publish_each
from jailssh.publish.publish import PlanChange, Publisher, withdraw_plan
from jailssh.setup import doors, setup
from jailssh.users import key_removal, keyring
from jailssh.users.adduser import AddUserOptions, adduser
from jailssh.users.deluser import DelUserOptions, deluser

LAYOUT = Layout(prefix="/usr/local")
FILES = [
    f"/etc/{name}{end}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid") for end in ("", "-")
]
FOLDERS = ["/etc/jailssh", "/var/lib/jailssh", "/home", "/etc/ssh/sshd_config.d"]
SYSTEM = [*FOLDERS, "/etc/pam.d", "/usr/share/pam-configs", "/var/lib/pam"]
KEYS = json.loads(sys.argv[1])
LOGIN = LAYOUT.login_program

Tree = dict[str, tuple[int, int, int, bytes]]


def look(tops: list[str]) -> Tree:
    """Return mode, owner and content of everything at and below ``tops``."""
    found: Tree = {}
    for top in tops:
        below = []
        for folder, names, more in os.walk(top):
            if folder == "/var/lib/jailssh":
                names[:] = [name for name in names if name != "images"]  # They take long, and are always right.
            below += [os.path.join(folder, name) for name in (*names, *more)]
        for path in [top, *below]:
            with contextlib.suppress(FileNotFoundError):
                info = os.lstat(path)
                content = b""
                if stat.S_ISREG(info.st_mode):
                    with open(path, "rb") as stream:
                        content = stream.read()
                elif stat.S_ISLNK(info.st_mode):
                    content = os.readlink(path).encode()
                found[path] = (info.st_mode, info.st_uid, info.st_gid, content)
    return found


def put_back(tops: list[str], wanted: Tree) -> None:
    """Make everything at and below ``tops`` what it was."""
    now = look(tops)
    for path in sorted(set(now) - set(wanted), reverse=True):
        if stat.S_ISDIR(now[path][0]):
            if path != "/var/lib/jailssh":
                os.rmdir(path)
        else:
            os.unlink(path)
    for path in sorted(wanted):
        mode, uid, gid, content = wanted[path]
        if now.get(path) == wanted[path]:
            continue
        if stat.S_ISDIR(mode):
            os.makedirs(path, exist_ok=True)
        elif stat.S_ISREG(mode):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with open(path, "wb") as stream:
                stream.write(content)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.symlink(content.decode(), path)
            continue
        os.chown(path, uid, gid)
        os.chmod(path, stat.S_IMODE(mode))


def sh(command: str) -> None:
    """Run a command of the administrator's."""
    subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# --- what is done ---------------------------------------------------------------------------------------------------

Fault = Callable[[str], None]
POINT: list[Fault] = [lambda _: None]
"""Called before and after each thing that changes the host."""

CHANGING = ("useradd", "usermod", "userdel", "gpasswd", "groupadd", "groupdel", "pam-auth-update")


def watched(module: Any, name: str, is_change: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Have a function of ``module`` call ``POINT`` before and after it."""
    function = getattr(module, name)

    def call(*args: Any, **named: Any) -> Any:
        if not is_change(*args, **named):
            return function(*args, **named)
        what = f"{name} {args[0] if isinstance(args[0], str) else args[0][0]}"
        POINT[0](f"before {what}")
        result = function(*args, **named)
        POINT[0](f"after {what}")
        return result

    setattr(module, name, call)


def add_account(name: str, jail: str, key: str | None) -> list[str]:
    keys = tuple(parse_keys(key.encode(), "key")) if key else ()
    return list(adduser(LAYOUT, AddUserOptions(name, (jail,), keys=keys), Publisher(LAYOUT), lambda _: True).lines)


def remove_account(name: str) -> list[str]:
    def withdraw(uid: int) -> bool:
        return withdraw_plan(LAYOUT, uid)

    return deluser(LAYOUT, DelUserOptions(name), withdraw, lambda _: True)


def remove_key() -> list[str]:
    done = key_removal.remove(LAYOUT, "forge", "ann")
    raise_all(list(done.errors))
    return list(done.lines)


def set_up() -> list[str]:
    setup.prepare(LAYOUT)
    with fs.lock(LAYOUT.lock):
        transaction.recover(LAYOUT, setup.SUBJECT)
        groups = Publisher(LAYOUT).groups
        return setup.apply(LAYOUT, setup.pending(LAYOUT, groups))


def take_down() -> list[str]:
    with fs.lock(LAYOUT.lock):
        transaction.recover(LAYOUT, setup.SUBJECT)
        return setup.take_back(LAYOUT, {})


def apply() -> list[str]:
    with fs.lock(LAYOUT.lock):
        transaction.recover(LAYOUT, setup.SHELLS)
        configuration = load_configuration(LAYOUT)
        lines = doors.set_shells(LAYOUT, configuration, act=True)
        found: list[PlanChange] = []
        raise_all(publish_each(configuration, found))
        return [*lines, *(change.name for change in found)]


def add_key(name: str) -> list[str]:
    keys = tuple(parse_keys(KEYS[name].encode(), "key"))
    return keyring.add(LAYOUT, keyring.Addition("forge", name, keys, ("devs",)), Publisher(LAYOUT))


VERBS: dict[str, Callable[[], list[str]]] = {
    "adduser new": lambda: add_account("nina", "sftp-only", KEYS["nina"]),
    "adduser existing": lambda: add_account("olaf", "sftp-only", KEYS["olaf"]),
    "adduser move": lambda: add_account("mona", "sftp-ro", None),
    "deluser created": lambda: remove_account("mona"),
    "deluser existing": lambda: remove_account("ella"),
    "keys add": lambda: add_key("bob"),
    "keys remove": lambda: remove_key(),
    "apply": apply,
    "setup": set_up,
    "setup --undo": take_down,
}
SUBJECTS = {
    "adduser new": "nina", "adduser existing": "olaf", "adduser move": "mona", "deluser created": "mona",
    "deluser existing": "ella", "keys add": "forge", "keys remove": "forge",
}  # fmt: skip
BEFORE = {
    "apply": "usermod --shell /bin/sh ella; usermod --shell /bin/sh mona; "
    "sed -i '1i umask = 077' /etc/jailssh/jails/team.conf",
}


def hand_edit(verb: str) -> None:
    """What an administrator may do who sees that something hangs: all access of the account is taken away by hand."""
    name = SUBJECTS.get(verb, "ella")
    sh(f"rm -f /etc/jailssh/keys/{name} /etc/jailssh/keys.d/{name}/*; passwd -l {name} || true")


def use(verb: str) -> None:
    """The account works meanwhile."""
    name = SUBJECTS.get(verb, "ella")
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(name)
        if os.path.isdir(entry.pw_dir):
            path = f"{entry.pw_dir}/thesis"
            with open(path, "w", encoding="ascii") as stream:
                stream.write("ten years of work\n")
            os.chown(path, entry.pw_uid, entry.pw_gid)


@contextlib.contextmanager
def no_space() -> Iterator[None]:
    """Nothing new fits where jailssh keeps what it knows."""
    places = ["/etc/jailssh", "/var/lib/jailssh/undo", "/var/lib/jailssh/plan.v1"]
    places = [place for place in places if os.path.isdir(place)]
    for place in places:
        inside = look([place])
        room = sum(len(row[3]) // 4096 + 1 for path, row in inside.items() if path != place)
        sh(f"mount -t tmpfs -o size={(room + 1) * 4096},mode=0755 tmpfs {place}")
        put_back([place], inside)
        with contextlib.suppress(OSError), open(f"{place}/.filler", "wb") as stream:
            for _ in range(64):
                stream.write(b"x" * 4096)
                stream.flush()
    try:
        yield
    finally:
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{place}/.filler")
            inside = look([place])
            sh(f"umount {place}")
            put_back([place], inside)


@contextlib.contextmanager
def nss_away() -> Iterator[None]:
    """The name service does not answer."""
    asked = nss.ask

    def unanswered(kind: str, key: str = "") -> list[str] | None:
        raise nss.UnansweredError(f"{kind} {key}", "the name service does not answer")

    nss.ask = unanswered
    try:
        yield
    finally:
        nss.ask = asked


TROUBLES = {"space": no_space, "nss": nss_away}


def other(_verb: str) -> None:
    answer = run("other", lambda: add_account("carl", "sftp-only", None), None)
    assert "lines" in answer or "set up" in answer.get("error", ""), answer


BETWEEN: dict[str, Callable[[str], None]] = {"": lambda _: None, "other": other, "hand": hand_edit, "use": use}


# --- what is seen ---------------------------------------------------------------------------------------------------


def ways(name: str) -> list[str]:
    """Return the ways in that an account has: outside of a jail, keys, and the jail that its plan is for."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return []
    groups = [grp.getgrgid(gid).gr_name for gid in os.getgrouplist(name, entry.pw_gid)]
    found = [] if entry.pw_shell in (LOGIN, "/usr/sbin/nologin") or "jailssh" in groups else ["open"]
    with contextlib.suppress(FileNotFoundError), open(f"/etc/jailssh/keys/{name}", encoding="utf-8") as stream:
        blobs = {blob: who for who, text in KEYS.items() for blob in [text.split()[1]]}
        found += [f"key {blobs.get(word, word)}" for line in stream for word in line.split() if word.startswith("AAAA")]
    if plan := plan_files.readable_plan(LAYOUT, entry.pw_uid):
        found += [f"plan {jail}" for jail in plan.first("jail") or ()]
        found += [f"plan of {who}" for who in plan_files.keys_of(plan)]
    with contextlib.suppress(FileNotFoundError), open(f"/etc/jailssh/users/{name}.conf", encoding="utf-8") as stream:
        found += [f"jail {line.split('=')[1].strip()}" for line in stream if line.startswith("jail ")]
    return sorted(set(found))


NAMES = ("nina", "olaf", "mona", "ella", "forge")


def seen() -> dict[str, Any]:
    homes = look(["/home"])
    kept = {path: hashlib.sha256(row[3]).hexdigest() for path, row in homes.items() if stat.S_ISREG(row[0])}
    journals = [each.subject for each in transaction.unfinished(LAYOUT)]
    return {"ways": {name: ways(name) for name in NAMES}, "files": kept, "unfinished": journals}


def whole() -> dict[str, str]:
    """Return everything but the journals and what passwd's programs keep as copies, to compare two ends.

    Nor what is known of files: it goes by device and inode, which are others for our own programs on each host.
    """
    now = look([path for path in FILES if not path.endswith("-")] + FOLDERS)
    return {
        path: f"{row[0]:o} {row[1]} {row[2]} {hashlib.sha256(row[3]).hexdigest()}"
        for path, row in now.items()
        if "/undo/" not in path and not path.endswith(("/.lock", "/facts.json"))
    }


# --- a case ---------------------------------------------------------------------------------------------------------


def run(name: str, verb: Callable[[], list[str]], at: int | None, what: int = 0) -> dict[str, Any]:
    """Run ``verb`` in a process of its own, which gets the signal ``what`` at the point number ``at``."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        points: list[str] = []

        def fault(point: str) -> None:
            points.append(point)
            if len(points) == at:
                if what == CUT:
                    subprocess.run(["cp", DISK, f"{DISK}.cut"], check=True)
                os.kill(os.getpid(), what or signal.SIGKILL)

        POINT[0] = fault
        try:
            answer: dict[str, Any] = {"lines": verb()}
        except JailsshError as error:
            answer = {"error": "; ".join(error.lines())}
        except OSError as error:
            answer = {"error": str(error)}
        except KeyboardInterrupt:
            answer = {"error": "interrupted"}
        except BaseException as error:  # The case fails by it.
            answer = {"broken": repr(error)}
        os.write(into, json.dumps({**answer, "points": points}).encode())
        os._exit(0)
    os.close(into)
    with open(out, "rb") as stream:
        text = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if text else {"killed": -code, "verb": name}


def case(row: dict[str, Any]) -> dict[str, Any]:
    tops = SYSTEM if row["verb"].startswith("setup") else FOLDERS
    put_back(FILES + tops, BASE)
    if row["verb"].startswith("setup"):
        put_back(FILES + tops, BARE)
    if row["verb"] == "setup --undo":
        set_up()
    if before := BEFORE.get(row["verb"]):
        sh(before)
    verb = VERBS[row["verb"]]
    found: dict[str, Any] = {"before": seen()}
    found["first"] = run(row["verb"], verb, row.get("at"), row.get("signal", 0))
    found["after first"] = seen()
    BETWEEN[row.get("between", "")](row["verb"])
    found["after between"] = seen()
    if trouble := TROUBLES.get(row.get("between", "")):
        with trouble():
            found["full"] = run(row["verb"], verb, None)
            found["after full"] = seen()
    if row.get("recover"):
        found["recovered"] = run("recover", lambda: [
            line for subject in transaction.subjects(LAYOUT) for line in transaction.recover(LAYOUT, subject)
        ], None)  # fmt: skip
        found["after recovery"] = seen()
    if row.get("again", True):
        found["second"] = run(row["verb"], verb, None)
        found["after second"] = seen()
    found["whole"] = whole()
    return found


BETWEEN |= {"space": lambda _: None, "nss": lambda _: None}


# --- a power cut ----------------------------------------------------------------------------------------------------

CUT = 0
DISK = "/run/disk"
ON_DISK = ("/etc", "/home", "/var/lib/jailssh")


def format_disk() -> None:
    """Make a file system in a file that has all that the verbs change, but for the images."""
    for number in range(64):
        with contextlib.suppress(FileExistsError):
            os.mknod(f"/dev/loop{number}", 0o600 | stat.S_IFBLK, os.makedev(7, number))
    with contextlib.suppress(FileExistsError):
        os.mknod("/dev/loop-control", 0o600 | stat.S_IFCHR, os.makedev(10, 237))
    sh(f"mkdir -p {DISK}.d /run/images; mount --bind /var/lib/jailssh/images /run/images")
    sh(f"truncate -s 96M {DISK}; mkfs.ext4 -q {DISK}; mount -o loop {DISK} {DISK}.d")
    for place in ON_DISK:
        sh(f"mkdir -p {DISK}.d{place}; cd {place}; tar -c --exclude=./images . | tar -x -C {DISK}.d{place}")
    sh(f"mkdir {DISK}.d/var/lib/jailssh/images; umount {DISK}.d; cp {DISK} {DISK}.base")


def switch_on(disk: str) -> None:
    """Mount a disk as a machine does that starts: what is in the file system's own journal is done first."""
    sh(f"mount -o loop {disk} {DISK}.d")
    for place in ON_DISK:
        sh(f"mount --bind {DISK}.d{place} {place}")
    sh("mount --bind /run/images /var/lib/jailssh/images")


def switch_off() -> None:
    sh(f"umount /var/lib/jailssh/images; umount {' '.join(ON_DISK)}; umount {DISK}.d")


def cut(row: dict[str, Any]) -> dict[str, Any]:
    """Take the power away at a point: what the disk holds then is what the next start finds."""
    if not os.path.exists(f"{DISK}.base"):
        put_back(FILES + FOLDERS, BASE)
        format_disk()
    sh(f"cp {DISK}.base {DISK}; rm -f {DISK}.cut")
    switch_on(DISK)
    verb = VERBS[row["verb"]]
    try:
        if before := BEFORE.get(row["verb"]):
            sh(f"{before}; sync -f /etc/passwd")
        found: dict[str, Any] = {"before": seen(), "first": run(row["verb"], verb, row["at"], CUT)}
    finally:
        switch_off()
    switch_on(f"{DISK}.cut")
    try:
        found["after first"] = found["after between"] = seen()
        found["second"] = run(row["verb"], verb, None)
        found["after second"] = seen()
    finally:
        switch_off()
    return found


def main() -> None:
    """Prepare the host, then answer."""
    global BASE, BARE
    for module, names in {
        fs: ("atomic_write", "remove_file", "ensure_dir"),
        install: ("set_access", "remove_empty_dir"),
        homes: ("remove_home", "remove_mail"),
    }.items():
        for name in names:
            watched(module, name)
    watched(process, "run", lambda argv, **_: os.path.basename(argv[0]) in CHANGING)
    BARE = look(FILES + SYSTEM)
    set_up()
    sh(
        "mkdir -p /etc/jailssh/jails; printf 'plugins = git\\n[git]\\nroots = /srv\\nrights = write team/* @devs\\n'"
        " >/etc/jailssh/jails/team.conf"
    )
    for name in ("olaf", "ella"):
        sh(f"useradd -m -s /bin/bash {name}; echo mine >/home/{name}/mine")
    sh("usermod --password '$6$salt$hash' olaf")
    add_account("ella", "sftp-only", KEYS["ella"])
    add_account("mona", "sftp-only", KEYS["mona"])
    add_account("forge", "team", None)
    add_key("ann")
    add_key("zoe")
    # The images of all jails are there, since what is measured is accounts.
    for jail in ("sftp-ro",):
        Publisher(LAYOUT).make_image((jail,))
    BASE = look(FILES + SYSTEM)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        row = json.loads(line)
        print(json.dumps(cut(row) if row.get("cut") else case(row)), flush=True)


BASE: Tree = {}
BARE: Tree = {}
if __name__ == "__main__":
    main()
