"""The proof that this host can serve: one whole login, before anybody's depends on it.

It is a login without an account: the installed login program is run, as sshd would run it, as a uid that nobody has, by
a plan that names a small tree of its own with this host's ``/usr`` in it.  So the kernel, the capabilities, the mount
options, ``/run/jailssh`` and the journal are the real ones, and a private sshd, a temporary account in ``/etc/passwd``
and a key are not needed, which would be left behind when the set-up is killed.  What this may leave behind is a tree
and a plan that no login can use, and the next proof removes them.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.names import HostPath, JailPath
from jailssh.files import fs, tree
from jailssh.host import accounts, journal, kernel, pins, process
from jailssh.host.paths import INSTALL, Layout
from jailssh.image.live import live_tops
from jailssh.jail.this_host import find_program
from jailssh.plan.compile import JailSettings, compile_plan, network_of
from jailssh.plugin.api import Account, PluginResult
from jailssh.policy.rules import Rule
from jailssh.policy.seccomp import filter_for
from jailssh.publish import plan_files
from jailssh.services import sshds

UIDS = range(65520, 65534)
"""No distribution and no service gives these to anybody (systemd's UIDS-GIDS document)."""

_NAME = "proof"
_SUFFIX = "proof-of-setup"
_JOURNAL = "/run/systemd/journal/socket"
_LOG = "/var/log/jailssh.log"
_REFERENCE = re.compile(r"reference ([0-9a-f]{8})")
_LINKS = ("bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin")
_TIMEOUT = 60.0
_CONTAINER = "in a container: docker run --cap-add=SYS_ADMIN --security-opt seccomp=unconfined"
_WHY = "test login of a temporary account is refused: "


def prove(layout: Layout, group: str) -> list[str]:
    """Return lines that say what this host can serve; :class:`HostError` with the cure where it cannot.

    Call it under the lock of the set-up.  ``group``: the members of which may run the login program.
    """
    check(layout)
    begun = time.monotonic()
    done = _login(layout, group)
    if done.code != 0:
        raise _explained(done)
    took = (time.monotonic() - begun) * 1000
    words = f"Linux {os.uname().release}"
    notes = [*_notes(), *(f"note: {error}" for error in sshds.unjailed(layout, accounts.members(group)))]
    return [*notes, f"this host can serve logins: test login of a temporary account succeeded ({words}, {took:.0f} ms)"]


def check(layout: Layout) -> None:
    """Raise for what shows without a login, and would make one fail in ways that are hard to read."""
    what = "this host"
    if release := kernel.too_old():
        raise HostError(what, f"kernel {release} is too old", hint="Linux 5.2 or newer is required")
    if missing := kernel.missing_capabilities():
        needed = ", ".join(missing)
        raise HostError(what, f"lacks capabilities that the login program needs: {needed}", hint=_capability_hint())
    if kernel.no_new_privs():
        why = "this command runs with no_new_privs, so set-id programs gain no privileges"
        raise HostError(what, why, hint="run it from a login or a service without NoNewPrivileges=")
    flags = os.statvfs(layout.login_program).f_flag if os.path.exists(layout.login_program) else 0
    for flag, name in ((os.ST_NOSUID, "nosuid"), (os.ST_NOEXEC, "noexec")):
        if flags & flag:
            why = f"is on a file system mounted {name}, so it cannot work"
            place = os.path.dirname(layout.login_program)
            raise HostError(layout.login_program, why, hint=f"mount it without {name}: findmnt -T {place}")
    for path, flag, name, cure in (
        ("/run", os.ST_RDONLY, "read-only", "mount a tmpfs on /run"),
        (layout.state, os.ST_NOEXEC, "noexec", "mount it without noexec: it contains the programs of jails"),
        (layout.state, os.ST_RDONLY, "read-only", "mount it writable: it contains plans and images"),
    ):
        if os.path.isdir(path) and os.statvfs(path).f_flag & flag:
            raise HostError(path, f"is on a file system mounted {name}", hint=cure)


def _capability_hint() -> str:
    return "grant them; required: cap_mknod cap_setgid cap_setuid cap_setpcap cap_sys_chroot cap_sys_admin"


def _notes() -> list[str]:
    """Return what does not stop a login."""
    notes = []
    if not os.path.exists(_JOURNAL):
        notes.append(
            f"note: journald is not running: refusals go to syslog, or without syslog to {_LOG}; "
            "require_journal = yes refuses all logins"
        )
    room = os.statvfs("/tmp")  # noqa: S108
    if not room.f_bavail or (room.f_files and not room.f_favail):
        notes.append(
            "note: /tmp is full: sshd cannot write which key logged in, so logins to shared accounts are refused"
        )
    return notes


def _login(layout: Layout, group: str) -> process.Completed:
    _clean(layout)
    uid = next((uid for uid in UIDS if accounts.find_uid(uid) is None), None)
    if uid is None:
        raise HostError("setup", f"every uid from {UIDS[0]} to {UIDS[-1]} belongs to an account")
    with _tree(layout, uid) as (image, home):
        _publish(layout, uid, image, home)
        groups = [number for name in (group,) if (number := accounts.group_id(name)) is not None]
        return process.run(
            [layout.login_program, "-c", _NAME],
            env={"SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22"},
            check=False,
            timeout=_TIMEOUT,
            account=(uid, uid, groups),
        )


@contextmanager
def _tree(layout: Layout, uid: int) -> Iterator[tuple[HostPath, str]]:
    """Give the paths of a tree to log in to and of a home, which are removed at the end."""
    top = f"{layout.state}/{_SUFFIX}.{secrets.token_hex(8)}"
    fs.ensure_dir(top, 0o755)
    try:
        fs.ensure_dir(f"{top}/image", 0o755)
        _fill(f"{top}/image")
        fs.ensure_dir(f"{top}/home", 0o700, uid, uid)
        try:
            yield HostPath(f"{top}/image"), f"{top}/home"
        finally:
            pins.unpin(layout.run, os.stat(f"{top}/image"))
    finally:
        _clean(layout)


def _fill(path: str) -> None:
    shown = live_tops()
    fd = fs.open_dir(path)
    writer = tree.TreeWriter(fd)
    try:
        for name in sorted({"dev", "proc", "run", "tmp", "etc", "var", *(top.strip("/") for top in shown)}):
            writer.directory(JailPath(f"/{name}"), 0o755)
        for name in _LINKS:
            if f"/{name}" not in shown and os.path.islink(f"/{name}"):
                writer.link(JailPath(f"/{name}"), os.readlink(f"/{name}"))
    finally:
        writer.close()
        os.close(fd)


def _publish(layout: Layout, uid: int, image: HostPath, home: str) -> None:
    program = find_program("true")
    if program is None:
        raise HostError("program true", "not found", hint="install coreutils")
    rule = Rule(f"setup.{_NAME}", "setup", program, (_NAME,))
    result = PluginResult((rule,), _NAME, proc=True)
    account = Account(_NAME, uid, uid, _NAME, home)
    settings = JailSettings(f"setup-{_NAME}", live=live_tops())
    plan = compile_plan(account, settings, [result], image, filter_for(network_of(settings, [result])))
    with plan_files.locked(layout):
        plan_files.write(layout, plan, {})


def _clean(layout: Layout) -> None:
    """Remove what this proof, or one that was killed, has made."""
    for uid in set(plan_files.planned_uids(layout)) & set(UIDS):
        if accounts.find_uid(uid) is None:
            plan_files.withdraw(layout, uid)
    if os.path.isdir(layout.plans) and os.listdir(layout.plans) == [".lock"]:
        fs.remove_file(f"{layout.plans}/.lock")
    fd = fs.open_dir(layout.state, trusted_root=layout.root or None)
    try:
        for name in sorted(name for name in os.listdir(fd) if name.startswith(f"{_SUFFIX}.")):
            fs.remove_tree(fd, name)
    except OSError as error:
        raise fs.failed("remove", f"{layout.state}/{_SUFFIX}", error) from error
    finally:
        os.close(fd)


def _explained(done: process.Completed) -> HostError:
    """Return what stands in the way, by what the login program has recorded and by what the kernel says."""
    said = _detail(done.stderr) or process.last_line(done.stderr) or f"exit status {done.code}"
    calls = kernel.refused_calls()
    reasons = [f"system calls refused: {', '.join(calls)}"] if calls else []
    hint = _CONTAINER if calls else f"see the whole record: journalctl -t jailssh; to reinstall the program: {INSTALL}"
    if profile := kernel.apparmor():
        reasons.append(f"AppArmor profile {profile} confines this system")
        hint = f"{_CONTAINER} --security-opt apparmor=unconfined"
    if kernel.in_user_namespace():
        limits = " (restricted by AppArmor)" if kernel.restricts_user_namespaces() else ""
        reasons.append(f"this system is in a user namespace{limits}, which cannot create devices")
        hint = "use a privileged container (with the host's own user namespace)"
    if any(call.endswith("(ENOSYS)") for call in calls):
        hint = "use Linux 5.2 or newer; in a container, allow these calls in its seccomp filter"
    return HostError("this host", f"{_WHY}{said}" + "".join(f"; {reason}" for reason in reasons), hint=hint)


def _detail(stderr: str) -> str:
    """Return what the login program has recorded about the refusal, "" if that cannot be found."""
    found = _REFERENCE.search(stderr)
    if not found:
        return ""
    with suppress(JailsshError, OSError):
        for line in reversed(fs.read_trusted(_LOG, 1 << 24).decode("utf-8", "replace").splitlines()):
            if found[1] in line:
                return line.partition("login refused ")[2]
    for _ in range(20):
        with suppress(JailsshError):
            message = journal.decisive(journal.find_login(found[1])).get("MESSAGE")
            return message.partition("login refused ")[2] or message
        time.sleep(0.1)
    return ""
