"""Every refusal of the login program, and what makes it: what the kernel answers, or what is wrong on the host.

``ROWS`` has at least one row for each place of ``tests/harness/refusals.py`` but those of ``UNREACHABLE``;
``test_refusals.py`` meets each of them, and ``tests/lint/test_refusals.py`` holds that none is missing.  ``SERVED`` has
what a login is to do without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from errno import (
    E2BIG,
    EACCES,
    EAGAIN,
    EBADF,
    ECHILD,
    ECONNRESET,
    EDQUOT,
    EFAULT,
    EINVAL,
    EIO,
    EMFILE,
    EMSGSIZE,
    ENOENT,
    ENOLCK,
    ENOMEM,
    ENOSPC,
    ENOSYS,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    EPIPE,
)  # fmt: skip

from jailssh.core.closed import Network
from tests.root.login_lab import UID
from tests.root.other_kernel import COMMAND, INNER, NOTHING_DONE, OUTER, Answer

# prctl(2), ioctl_tty(2), linux/mount.h, sched.h, fcntl.h
SET_PDEATHSIG, SET_DUMPABLE, CAPBSET_DROP, SET_SECUREBITS = 1, 4, 24, 28
SET_NO_NEW_PRIVS, GET_NO_NEW_PRIVS, CAP_AMBIENT = 38, 39, 47
SIOCSIFFLAGS = 0x8914  # netdevice(7)
TIOCSCTTY, TIOCSPTLCK, TIOCGPTPEER, TCGETS, TCSETS = 0x540E, 0x40045431, 0x5441, 0x5401, 0x5402
THIS_MOUNT, WITH_ALL_BELOW, CLONE_ONE, CLONE_NAMED = 0x1000, 0x9000, 0x81001, 0x80101
PRIVATE_ALL, NEWNS, SIGHUP, SIGKILL, OFD_SETLK, UNIX, BY_FILE = 0x44000, 0x20000, 1, 9, 37, 1, 1
NOSIGNAL = 0x4000  # which our own message has not
NEWNET, NEWUTS, NEWIPC, NEWPID = 0x40000000, 0x4000000, 0x8000000, 0x20000000
NS_GET_NSTYPE, BIND, PINS, DEV = 0xB703, 0x1000, 0xE, 0xA  # nosuid, nodev, noexec; nosuid, noexec
TO_A_NAME, TO_A_DESCRIPTOR, KEPT = 0x4, 0x44, 3  # how mounts are moved; the descriptor that the jail keeps
OF_SCOPE, OF_FILES = 24, 8  # the sizes of the two kinds of rules
OPEN, STAT = ("open", "openat", "openat2"), ("stat", "newfstatat")


@dataclass(frozen=True)
class Row:
    """One way to meet one refusal.

    ``place``: where, as ``tests/harness/refusals.py`` names it; ``reason``: its code; ``answers``: of the kernel;
    ``plan``, ``setting``: of those in ``test_refusals.py``; ``says``: how the text begins, where ``place`` has none;
    ``command``: what was asked for; ``env``, ``uid``: of the caller; ``fresh``: nothing is pinned;
    ``early``: before there is a reference and a journal; ``events``: the records; ``needs``: as the mark of tests;
    ``late``: seconds that the kernel takes for each of its answers, in which nobody else may go ahead.
    """

    place: str
    reason: str
    answers: tuple[Answer, ...] = ()
    plan: str = "usual"
    setting: str = ""
    says: str = ""
    command: str = "probe exit 0"
    env: tuple[bytes, ...] = ()
    uid: int = UID
    fresh: bool = False
    early: bool = False
    events: tuple[str, ...] = ("refused",)
    ran: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    late: float = 0.0

    def text(self) -> str:
        """Return how the text of the refusal begins."""
        return self.says or re.sub(r" #\d$", "", self.place.split(": ", 1)[1])

    def name(self) -> str:
        """Return the name of the test: the same in each process of a run, which have uids of their own."""
        means = [*map(str, self.answers), self.setting, "" if self.plan == "usual" else f"plan: {self.plan}"]
        return f"{self.place} [{'; '.join(filter(None, means))}]".replace(str(UID), "UID")


def prctl(error: int, *args: int | None, who: str | None = None, nth: int | None = None) -> Answer:
    """Return an answer to prctl(2)."""
    return Answer("prctl", error, args, who, nth=nth)


def opened(path: str, error: int, who: str | None = None, nth: int | None = None) -> Answer:
    """Return an answer to an open of this path, or component."""
    return Answer(OPEN, error, (), who, path, nth)


def landlock(call: str, error: int, *args: int | None, who: str = INNER, nth: int | None = None) -> Answer:
    """Return an answer to a call of landlock(7)."""
    return Answer(f"landlock_{call}", error, args, who, nth=nth)


_NOT_AS_ASKED = (UID, UID, UID)
_SCOPED = ("landlock-scope",)
_TO_A_NAME, _TO_A_DESCRIPTOR = ((None, None, None, None, how) for how in (TO_A_NAME, TO_A_DESCRIPTOR))

FIRST_STEPS = (
    Row("stay_undumpable: cannot clear the dumpable attribute", "setup", (prctl(EPERM, SET_DUMPABLE, 0, nth=1),),
        early=True),
    Row("stay_undumpable: cannot clear the dumpable attribute", "setup", (prctl(EPERM, SET_DUMPABLE, 0, nth=2),)),
    Row("stay_undumpable: cannot clear the dumpable attribute", "setup", (prctl(EPERM, SET_DUMPABLE, 0, nth=3),)),
    Row("stay_undumpable: cannot clear the dumpable attribute", "setup", (prctl(EPERM, SET_DUMPABLE, 0, who=INNER),)),
    Row("creds_drop: cannot become the user", "drop", (prctl(EPERM, SET_DUMPABLE, 0, who=INNER, nth=3),)),
    Row("creds_sanitise: cannot close inherited descriptors", "setup", (Answer("close_range", ENOSYS),
        opened("/proc/self/fd", EACCES)), early=True),
    Row("view_leave: cannot leave the mounts that PAM has made for this session", "kernel",
        (opened("/proc/jailssh-host/mnt", EACCES),)),
    Row("creds_identity: must not be run as root", "root", setting="as root", uid=0),
    Row("creds_identity: must not be run as root", "root", setting="as nobody can be", uid=0x80000000),
    Row("creds_identity: must not be run as root", "root", (Answer("getresuid", EFAULT, nth=1),)),
    Row("creds_identity: program is not set-uid root and lacks its file capabilities", "misinstalled",
        setting="no new privileges"),
    Row("creds_identity: cannot act as group root", "misinstalled", (Answer("setresgid", EPERM, (-1, 0, 0)),)),
    Row("new_session_id: cannot get random numbers", "setup", (Answer("getrandom", ENOSYS, who=OUTER),), early=True),
    Row("main: unexpected arguments for a login", "arguments", setting="other arguments"),
    Row("main: journal is not available, but require_journal is set", "journal", (Answer("connect", EACCES, who=OUTER,
        nth=1),), plan="journal required", early=True),
)  # fmt: skip

PLANS_AND_KEYS = (
    Row("check_name: detail", "name", env=(b"LOGNAME=newcomer",), says="plan is for u, login is of newcomer"),
    Row("fits_groups: cannot read the groups of the session", "setup", (Answer("getgroups", EPERM, who=OUTER, nth=1),),
        plan="member"),
    Row("load_own: answer", "plan-missing", setting="no plan", says="no plan; jailsshd does not answer: "),
    Row("load_own: why", "plan-bad", setting="a plan of another", says="plan of another user"),
    Row("load_own: why", "plan-bad", (opened(str(UID), EIO, OUTER),), says="Input/output error|I/O error"),
    Row("load_entered: why", "plan-bad", setting="the plan of another jail", says="plan of another jail"),
    Row("load_own: plan is still missing", "plan-bad", setting="a daemon that lies"),
    Row("find_key: sshd cannot expose the key: the host's /tmp is full or read-only", "key-unknown", plan="shared",
        setting="a full /tmp"),
    Row("find_key: path", "key-unknown", plan="shared", setting="no file of sshd's",
        says="/tmp/sshauth.aB3dE5fG7hI9jK1: "),
    Row("find_key: sshd does not expose the key (ExposeAuthInfo)", "key-unknown", plan="shared"),
    Row("find_key: doubt.detail", "key-unknown", plan="shared", setting="an unknown key",
        says="key has no name: type "),
    Row("load_of_key: why", "plan-bad", plan="shared", setting="a plan of another key",
        says="not the plan that the roster names"),
    Row("load_of_key: plan of the key is missing", "plan-bad", plan="shared", setting="no plan of the key"),
    Row("take: cannot count the sessions", "setup", (Answer(("fcntl", "fcntl64"), ENOLCK, (None, OFD_SETLK)),),
        plan="counted"),
    Row("take: cannot count the sessions", "setup", (Answer("mkdirat", EIO, path="sessions"),), plan="counted"),
    Row("take: cannot count the sessions", "setup", (opened("sessions", EIO),), plan="counted"),
)  # fmt: skip

SOURCES = (
    Row("creds_files_as: cannot open files as the user", "setup", (Answer("setfsuid", NOTHING_DONE, who=OUTER),)),
    Row("creds_files_as: cannot open files as the user", "setup", (Answer("setfsgid", NOTHING_DONE, who=OUTER),)),
    Row("ids_make_traceable: cannot clear the dumpable attribute", "setup", (opened("/home/u", EACCES, OUTER, nth=1),
        prctl(EPERM, SET_DUMPABLE, 0, nth=5))),
    Row("as_user: cannot act as the user", "setup", (opened("/home/u", EACCES, OUTER, nth=1), Answer("clone", EAGAIN,
        who=OUTER, nth=1))),
    Row("as_user: cannot act as the user", "setup", (opened("/home/u", EACCES, OUTER, nth=1), Answer("wait4", ECHILD,
        who=OUTER, nth=1))),
    Row("as_user: cannot act as the user", "setup", (opened("/home/u", EACCES, OUTER, nth=1), prctl(EPERM,
        SET_DUMPABLE, 0, nth=6))),
    Row("mount_open_image: path", "image", (opened("lab", EIO, OUTER),), says="/var/lib/jailssh/images/lab: "),
    Row("open_bind: args[0]", "source", (opened("/home/u", EIO, OUTER),), says="/home/u: (?:Input/output|I/O) error"),
    Row("open_bind: args[0]", "source", (opened("/home/u", EACCES, OUTER),), says="/home/u: Permission denied"),
    Row("open_bind: args[0]", "source", (opened("/home/u", EACCES, OUTER, nth=1), Answer("setresuid", EAGAIN,
        _NOT_AS_ASKED, OUTER)), says="/home/u: Resource temporarily unavailable"),
    Row("open_bind: args[0]", "source", (opened("/home/u", EACCES, OUTER, nth=1), Answer("setresgid", EAGAIN,
        _NOT_AS_ASKED, OUTER)), says="/home/u: Resource temporarily unavailable"),
    Row("open_bind: args[0] #2", "source", (Answer("open_tree", EINVAL, who=OUTER),), says="/home/u: "),
    Row("open_bind: args[0] #2", "source", (Answer("mount_setattr", EINVAL, (None, None, WITH_ALL_BELOW), OUTER),),
        says="/home/u: "),
    Row("make_channel: cannot create a socket pair", "setup", (Answer("socketpair", EMFILE, (UNIX,), OUTER),)),
    Row("mount_take_image: cannot clone the image's mount", "image", (Answer("open_tree", EINVAL, who=OUTER, nth=2),),
        fresh=True),
    Row("make_pin: cannot return from the namespace being pinned", "kernel", (Answer("setns", EPERM, (None, NEWNET),
        nth=1),), fresh=True),
    Row("make_pin: cannot return from the namespace being pinned", "kernel", (Answer("setns", EPERM, (None, NEWUTS),
        nth=1),), fresh=True),
    Row("make_pin: cannot return from the namespace being pinned", "kernel", (Answer("setns", EPERM, (None, NEWNS),
        nth=1),), fresh=True),
    Row("pin_enter: pinned root is not the image of the jail", "image", (Answer("setns", NOTHING_DONE, (None,
        NEWNS)),)),
)  # fmt: skip

POWER = (
    Row("creds_prepare: cannot empty the capability bounding set", "setup", (prctl(EPERM, CAPBSET_DROP),)),
    Row("creds_prepare: cannot empty the capability bounding set", "setup", (prctl(EINVAL, CAPBSET_DROP, 31),)),
    Row("creds_prepare: cannot empty the capability bounding set", "setup", (prctl(NOTHING_DONE, CAPBSET_DROP),)),
    Row("creds_prepare: cannot empty the capability bounding set", "setup", (prctl(NOTHING_DONE, CAPBSET_DROP, 37),)),
    Row("creds_prepare: cannot empty the ambient capabilities", "setup", (prctl(EINVAL, CAP_AMBIENT),)),
    Row("creds_prepare: cannot set no_new_privs", "setup", (prctl(EINVAL, SET_NO_NEW_PRIVS),)),
    Row("leave_keyring: cannot act as root", "setup", (Answer("setresuid", EPERM, (0, -1, -1)),)),
    Row("leave_keyring: cannot act as the user", "setup", (Answer("setresuid", EPERM, (UID, -1, -1)),)),
    Row("leave_keyring: cannot join a new session keyring", "setup", (Answer("keyctl", EACCES),)),
    Row("leave_keyring: cannot join a new session keyring", "setup", (Answer("keyctl", ENOMEM),)),
    Row("jail_clone: cannot create the namespaces", "kernel", (Answer("clone", ENOSPC, who=OUTER),)),
)  # fmt: skip


def _of_drop(who: str) -> tuple[Row, ...]:
    """Return the rows of the drop, of one of the two processes that drop.

    Where the outer half fails, only a jail that waits for its word has certainly executed nothing.
    """
    user, groups, lost = "cannot become the user", "setgroups", "privileges can be regained after the drop"
    no_back = (Answer("setresuid", EPERM, (-1, 0, -1), who), Answer("setresgid", EPERM, (-1, 0, -1), who))
    return tuple(
        Row(f"creds_drop: {what}", "drop", answers, plan="journal required" if who == OUTER else "usual")
        for what, answers in (
            ("cannot lock the securebits", (prctl(EPERM, SET_SECUREBITS, who=who),)),
            (user, (Answer(groups, EPERM, who=who),)),
            (user, (Answer("setresgid", EAGAIN, _NOT_AS_ASKED, who),)),
            (user, (Answer("setresuid", EAGAIN, _NOT_AS_ASKED, who),)),
            (user, (Answer("capset", EPERM, who=who),)),
            ("cannot read the ids", (Answer("getresuid", EFAULT, who=who, nth=2 if who == OUTER else 1),)),
            ("cannot read the ids", (Answer("getresgid", EFAULT, who=who),)),
            ("ids are not the user's after the drop", (Answer("setresuid", NOTHING_DONE, _NOT_AS_ASKED, who),)),
            ("ids are not the user's after the drop", (Answer("setresgid", NOTHING_DONE, _NOT_AS_ASKED, who),)),
            (lost, (Answer("capset", NOTHING_DONE, who=who),)),
            (lost, (Answer("capset", NOTHING_DONE, who=who), no_back[0])),
            (lost, (Answer("capset", NOTHING_DONE, who=who), *no_back)),
            (lost, (Answer("setresuid", NOTHING_DONE, (-1, 0, -1), who),)),
            (lost, (Answer("setresgid", NOTHING_DONE, (-1, 0, -1), who),)),
            (lost, (Answer("capget", EFAULT, who=who),)),
            (lost, (prctl(NOTHING_DONE, SET_SECUREBITS, who=who),)),
            (user, (Answer(groups, NOTHING_DONE, who=who),)),
            (lost, (prctl(NOTHING_DONE, GET_NO_NEW_PRIVS, who=who),)),
        )
    )


DROP = (
    *_of_drop(OUTER),
    *_of_drop(INNER),
    Row("creds_drop: privileges can be regained after the drop", "drop", (prctl(NOTHING_DONE, SET_NO_NEW_PRIVS),)),
    Row("creds_drop: ids are not the user's after the drop", "drop", (Answer("setgroups", NOTHING_DONE, (1,), INNER),),
        plan="group"),
    Row("end_with_outer_half: cannot set the parent-death signal", "drop", (prctl(EINVAL, SET_PDEATHSIG, SIGKILL),)),
    Row("outer_run: cannot monitor the session", "setup", (prctl(EINVAL, SET_PDEATHSIG, SIGHUP),),
        plan="journal required"),
    Row("outer_run: cannot monitor the session", "setup", (Answer("signalfd4", EMFILE, who=OUTER),),
        plan="journal required"),
    Row("outer_confine: cannot install the outer half's system call filter", "seccomp", (Answer("seccomp", EINVAL,
        who=OUTER),), plan="journal required"),
    Row("creds_scope: cannot enforce the Landlock scope", "drop", (landlock("create_ruleset", EINVAL, None,
        OF_SCOPE),), needs=_SCOPED),
    Row("creds_scope: cannot enforce the Landlock scope", "drop", (landlock("add_rule", EINVAL, nth=1),),
        plan="within", command="run", needs=_SCOPED),
    Row("creds_scope: cannot enforce the Landlock scope", "drop", (landlock("restrict_self", E2BIG),), needs=_SCOPED),
    Row("filter_read: system call filter of the plan is for another architecture", "seccomp", plan="another machine"),
    Row("filter_read: system call filter of the plan is for another architecture", "seccomp", (Answer("uname", EFAULT,
        who=OUTER),)),
    Row("filter_install: cannot install the system call filter", "seccomp", (Answer("seccomp", EINVAL, who=INNER),)),
    Row("filter_install: cannot install the system call filter", "seccomp", plan="no filter"),
    Row("creds_limits: cannot set the resource limits", "limits", (Answer(("prlimit64", "setrlimit"), EPERM,
        who=INNER),)),
    Row("report_end: cannot read the exit status of the session", "setup", (Answer("mount", EPERM, who=INNER),
        Answer("sendto", EPIPE, who=INNER), Answer("wait4", ECHILD, who=OUTER))),
)  # fmt: skip

MOUNTS = (
    Row("set_name: cannot set the host name", "setup", (Answer("setns", EPERM, (None, NEWUTS), OUTER),
        Answer("sethostname", EPERM, who=INNER))),
    Row("mount_base: cannot make the mounts private", "mount", (Answer("mount", EINVAL, (None, None, 0,
        PRIVATE_ALL)),), fresh=True),
    Row("fill_dev: /dev", "mount", (Answer("mknodat", EPERM),), fresh=True),
    Row("fill_dev: /dev", "mount", (Answer("mkdirat", ENOSPC, path="pts"),), fresh=True),
    Row("fill_dev: /dev", "mount", (Answer("symlinkat", ENOSPC),), fresh=True),
    Row("mnt_become_root: cannot make the image the root", "pivot", (Answer("pivot_root", EINVAL),), fresh=True),
    Row("mnt_become_root: cannot make the image the root", "pivot", (Answer("flock", EAGAIN, who=OUTER),
        Answer("fchdir", EACCES, who=INNER, nth=3)), fresh=True),
    Row("mnt_become_root: cannot make the image the root", "pivot", (Answer("umount2", EINVAL),), fresh=True),
    Row("mnt_become_root: cannot make the image the root", "pivot", (Answer("chdir", EACCES, path="/"),), fresh=True),
    Row("mnt_become_root: root is not the image of the jail", "pivot", (Answer("pivot_root", NOTHING_DONE),),
        fresh=True),
    Row("mnt_become_root: root is not the image of the jail", "pivot", (Answer("pivot_root", NOTHING_DONE),
        Answer("umount2", NOTHING_DONE)), fresh=True),
    Row("mnt_become_root: root is not the image of the jail", "pivot", (Answer(STAT, EACCES, path="/"),), fresh=True),
    Row("mnt_become_root: root is not the image of the jail", "pivot", (Answer(STAT, EACCES, path="/.."),), fresh=True),
    Row("mnt_attach: cannot attach a mount", "mount", (Answer("move_mount", EINVAL, who=INNER),)),
    Row("mnt_attach: cannot attach a mount", "mount", (Answer("move_mount", EINVAL, who=OUTER),), fresh=True),
    Row("mnt_new: type", "mount", (Answer("fsopen", EPERM, who=INNER),), plan="terminal", says="devpts: "),
    Row("mnt_new: type", "mount", (Answer("fsconfig", EINVAL, who=INNER),), plan="proc", says="proc: "),
    Row("mnt_new: type", "mount", (Answer("fsmount", EMFILE, who=INNER),), plan="proc", says="proc: "),
    Row("mnt_tmpfs: tmpfs", "mount", (Answer("mount", EPERM, who=INNER),)),
    Row("mnt_tmpfs: tmpfs", "mount", (Answer("fchdir", EACCES, who=INNER, nth=1),)),
    Row("mnt_tmpfs: tmpfs", "mount", (Answer("mount", ENOSPC, (None, None, None, DEV), OUTER),), fresh=True),
    Row("mnt_restrict: cannot restrict a mount", "mount", (Answer("mount_setattr", EINVAL, (None, None, THIS_MOUNT),
        INNER),)),
    Row("mnt_restrict: cannot restrict a mount", "mount", (Answer("mount_setattr", ENOSYS, (None, None, THIS_MOUNT),
        INNER), Answer("fchdir", EACCES, who=INNER, nth=4))),
    Row("mnt_restrict: cannot restrict a mount", "mount", (Answer("mount_setattr", ENOSYS, (None, None, THIS_MOUNT),
        INNER), Answer("fstatfs", EIO, who=INNER))),
    Row("mnt_restrict: cannot restrict a mount #2", "mount", (Answer("mount_setattr", ENOSYS, (None, None,
        THIS_MOUNT), INNER), Answer("mount", EPERM, (0, None, 0), INNER, nth=1))),
    Row("mnt_restrict: cannot restrict a mount #2", "mount", (Answer("mount_setattr", ENOSYS, (None, None,
        THIS_MOUNT), INNER), Answer("mount", EPERM, (0, None, 0), INNER, nth=2))),
    Row("target: path", "target", (opened("tmp", EIO, INNER),), says="/tmp: "),
    Row("make_directories: path", "target", (Answer("mkdirat", ENOSPC, who=INNER, path="u"),), says="/home/u: "),
    Row("write_file: path", "target", (opened("passwd", EIO, INNER),), says="/run/passwd: "),
    Row("write_file: path", "target", (Answer("write", ENOSPC, who=INNER, nth=1),), says="/run/passwd: "),
    Row("write_file: path", "target", (opened("run", EIO, INNER, nth=2),), says="/run/passwd: "),
    Row("write_file: path", "target", (opened("empty-file", EIO, OUTER),), says="/run/empty-file: ", fresh=True),
    Row("lay: cannot clone the cover", "mask", (Answer("open_tree", EINVAL, (None, None, CLONE_ONE), INNER),)),
    Row("proc_write: PROC_FILES", "target", (opened("meminfo", ENOSPC, INNER),), plan="system", says="/run/proc: "),
    Row("cover_rest: /proc", "mask", (opened("proc", EIO, INNER, nth=2),), plan="system"),
    Row("cover_rest: /proc #2", "mask", (Answer("getdents64", EIO, who=INNER),), plan="system"),
    Row("cover_name: name", "mask", (Answer("open_tree", EINVAL, (None, None, CLONE_NAMED), INNER),), plan="system",
        says="(stat|loadavg|meminfo|swaps): "),
    Row("share: cannot enter the network of the account", "kernel",
        (Answer("ioctl", EIO, (None, SIOCSIFFLAGS), OUTER),), plan="account"),
    Row("jail_loopback_up: cannot bring up the loopback interface", "setup",
        (Answer("ioctl", EIO, (None, SIOCSIFFLAGS), INNER),), plan="loopback"),
    Row("cover_batch: masked->record->args[0]", "mask", (Answer("move_mount", ENOENT, _TO_A_NAME, INNER),
        opened(".ssh", EIO, INNER)), says="/home/u/.ssh: "),
    Row("cover_batch: cannot attach a mount", "mount", (Answer("move_mount", EINVAL, _TO_A_NAME, INNER),
        Answer("move_mount", EINVAL, _TO_A_DESCRIPTOR, INNER, nth=2))),
    Row("mount_build: cannot enter the jail", "mount", (Answer("chdir", EACCES, who=INNER, path="/"),)),
    Row("drop: cannot close the descriptors of the set-up", "setup", (Answer("dup3", EMFILE, (None, KEPT),
        INNER),)),
)  # fmt: skip

STREAMS = (
    Row("hand_over: cannot pass the streams", "setup", (Answer("sendmsg", EMSGSIZE, (None, None, NOSIGNAL), INNER),),
        plan="relayed"),
    Row("half_pipe: cannot create a pipe", "setup", (Answer("pipe2", EMFILE, who=INNER),), plan="relayed"),
    Row("half_pipe: cannot create a pipe", "setup", (Answer("socketpair", EMFILE, who=INNER),), plan="log",
        command="run"),
    Row("record_open: cannot open the directory of the recordings", "recording", plan="recorded"),
    Row("record_open: cannot create the recording", "recording", plan="recorded", setting="full recordings"),
    Row("outer_run: cannot write the recording", "recording", (Answer("write", ENOSPC, who=OUTER, nth=1),),
        plan="recorded", setting="recordings"),
    # Until the outer half has tried, however long that takes, the command is not executed.
    Row("outer_run: cannot write the recording", "recording", (Answer("signalfd4", None, who=OUTER),),
        plan="recorded", setting="recordings without space", late=0.3),
    Row("pty_open: cannot open a terminal", "terminal", (opened("/dev/pts/ptmx", EIO),), plan="terminal"),
    Row("pty_open: cannot open a terminal", "terminal", (Answer("ioctl", EINVAL, (None, TIOCSPTLCK), INNER),),
        plan="terminal"),
    Row("pty_open: cannot set up a terminal", "terminal", (Answer("ioctl", EINVAL, (None, TIOCGPTPEER), INNER),),
        plan="terminal"),
    Row("pty_open: cannot set up a terminal", "terminal", (Answer("ioctl", EIO, (None, TCGETS), INNER),),
        plan="terminal"),
    Row("pty_open: cannot set up a terminal", "terminal", (Answer("ioctl", EIO, (None, TCSETS), INNER),),
        plan="terminal"),
)  # fmt: skip

COMMANDS = (
    Row("judge: cannot record the login in the journal", "journal", (Answer("recvfrom", ECONNRESET, (None, None, None,
        0), INNER),), plan="journal required", events=("session-start", "refused")),
    Row("judge: cannot record the login in the journal", "journal", (Answer("sendto", EPIPE, who=OUTER, nth=1),),
        plan="journal required"),
    Row("command_start: cannot start a process", "setup", (Answer(("vfork", "clone"), EAGAIN, who=INNER),)),
    Row("settle_in: cannot change to the home directory", "setup", (Answer("chdir", EACCES, who=COMMAND,
        path="/home/u"), Answer("chdir", EACCES, who=COMMAND, path="/"))),
    Row("settle_in: cannot change to the home directory", "setup", (Answer("chdir", EACCES, who=COMMAND,
        path="/home/u"),), plan="at home", command="run x"),
    Row("settle_in: cannot set the resource limits", "limits", (Answer(("prlimit64", "setrlimit"), EPERM,
        who=COMMAND),)),
    Row("execute: cannot create a session", "setup", (Answer("setsid", EPERM, who=COMMAND),)),
    Row("execute: cannot set up the streams", "setup", (Answer(("dup2", "dup3"), EBADF, who=COMMAND),), plan="relayed"),
    Row("execute: cannot set up the streams", "setup", (Answer("ioctl", EPERM, (None, TIOCSCTTY), COMMAND),),
        plan="terminal"),
    Row("execute: cannot set the nice value", "limits", (Answer("setpriority", EACCES, who=COMMAND),), plan="nice"),
    Row("execute: cannot enforce the Landlock rules", "within", (landlock("restrict_self", E2BIG, who=COMMAND),),
        plan="within", command="run", needs=_SCOPED),
    Row("execute: cannot install the system call filter of the command", "seccomp", (Answer("seccomp", EINVAL,
        who=COMMAND, nth=1),)),
    Row("execute: cannot limit the command to new files", "seccomp", (Answer("seccomp", EINVAL, who=COMMAND, nth=2),),
        plan="keep", command="run"),
    Row("execute: cannot limit the command to new files", "seccomp", (landlock("restrict_self", E2BIG, who=COMMAND),),
        plan="keep", command="run", needs=_SCOPED),
    Row("execute: cannot limit the command to new files", "seccomp", (landlock("create_ruleset", EINVAL, None,
        OF_FILES, who=COMMAND),), plan="keep", command="run", needs=_SCOPED),
    Row("moved: cannot get random numbers", "setup", (Answer("getrandom", ENOSYS, who=INNER),), plan="alone",
        command="run"),
    Row("moved: cannot allocate memory", "setup", (Answer(("mmap", "mmap2"), ENOMEM, (None, 4096, 3, 0x22), INNER),),
        plan="alone", command="run"),
    Row("within_open: cannot create the Landlock rules", "within", (landlock("create_ruleset", EINVAL, None,
        OF_FILES),), plan="within", command="run", needs=_SCOPED),
    Row("allow_the_rest: /", "within", (opened("/", EACCES, INNER, nth=3),), plan="within", command="run",
        needs=_SCOPED),
    Row("allow: path", "within", (opened("/bin", EACCES, INNER),), plan="within", command="run",
        says="/bin: Permission denied", needs=_SCOPED),
    Row("allow: path #2", "within", (landlock("add_rule", EINVAL, nth=2),), plan="within", command="run", says="/",
        needs=_SCOPED),
    Row("run_first: cannot start the pre-command", "setup", (Answer("pipe2", EMFILE, who=INNER),), plan="first",
        command="run"),
    Row("run_first: cannot start the pre-command #2", "setup", (Answer(("vfork", "clone"), EAGAIN, who=INNER, nth=1),),
        plan="first", command="run"),
    Row("run_first: cannot detach the pre-command from the client", "first-failed", (Answer("setsid", EPERM,
        who=COMMAND, nth=1),), plan="first", command="run"),
    Row("run_first: cannot detach the pre-command from the client", "first-failed", (Answer(("dup2", "dup3"), EBADF,
        who=COMMAND, nth=3),), plan="first", command="run"),
    Row("run_first: cannot install the system call filter of the pre-command", "seccomp", (Answer("seccomp", EINVAL,
        who=COMMAND, nth=1),), plan="first", command="run"),
    Row("run_first: argv[0]", "first-failed", (Answer("execve", ENOENT, who=COMMAND, nth=1),), plan="first",
        command="run", says="/bin/probe: "),
    Row("run_first: text", "first-failed", plan="first that fails", command="run",
        says="/bin/probe ended with status 3", ran=("/bin/probe",)),
)  # fmt: skip

KEEPERS = (
    Row("keeper_join: cannot look for the keeper of the jail", "setup", (opened("/proc", ENOENT, OUTER),),
        plan="linger"),
    Row("make: keeper of the jail does not start", "setup", (Answer(("poll", "ppoll"), NOTHING_DONE, (None, 2),
        OUTER),), plan="linger"),
    Row("make: part[1]", "mount", (Answer("chdir", EACCES, who=INNER, path="/"),), plan="linger",
        says="cannot enter the jail: Permission denied"),
    Row("make: part[1]", "drop", (Answer("setgroups", EPERM, who=INNER),), plan="linger",
        says="cannot become the user: "),
    Row("inner_keep: cannot create a session for the keeper", "setup", (Answer("setsid", EPERM, who=INNER),),
        plan="linger"),
    Row("write_record: cannot record the keeper of the jail", "setup", (opened(f"{UID}.", ENOSPC, OUTER, nth=2),),
        plan="linger"),
    Row("join: root of the kept jail is not its image", "image", plan="linger", setting="a record of the host's init"),
    Row("keeper_join: cannot return from the namespaces of the jail", "kernel", (Answer("clone", ENOMEM, who=OUTER,
        nth=1), Answer("setns", EPERM, (None, NEWPID), nth=2)), plan="linger", setting="a keeper"),
    Row("keeper_join: cannot enter the namespaces of the jail", "kernel", (Answer("setns", EPERM, (None, NEWPID)),),
        plan="linger"),
    Row("keeper_join: cannot enter the namespaces of the jail", "kernel", (Answer("clone", ENOMEM, who=OUTER, nth=2),),
        plan="linger"),
)  # fmt: skip

ROWS = FIRST_STEPS + PLANS_AND_KEYS + SOURCES + POWER + DROP + MOUNTS + STREAMS + COMMANDS + KEEPERS

# Place -> why no test can meet it.
UNREACHABLE: dict[str, str] = {
    "environment: cannot allocate memory": "a few hundred bytes from what the C library has already",
    "environment: cannot allocate memory #2": "likewise",
    "environment: cannot allocate memory #3": "likewise",
    "mount_open_sources: cannot allocate memory": "likewise",
    "proc_write: cannot allocate memory": "likewise",
}


@dataclass(frozen=True)
class Served:
    """What a kernel or a container may lack, and a login does without.  ``proc``: the jail has one; ``ipc``: its
    filter lets programs reach IPC; ``net``: its network.
    """

    what: str
    answers: tuple[Answer, ...]
    fresh: bool = False
    proc: bool = True
    ipc: bool = True
    net: Network = Network.NONE


SERVED = (
    Served("a keyring, of which there are too many", (Answer("keyctl", EDQUOT),)),
    Served("a keyring", (Answer("keyctl", ENOSYS),)),
    Served("close_range", (Answer("close_range", ENOSYS),)),
    Served("a personality", (Answer("personality", EINVAL),)),
    Served("ambient capabilities to clear", (prctl(NOTHING_DONE, CAP_AMBIENT),)),
    Served("Landlock", (landlock("create_ruleset", EOPNOTSUPP, None, 0),)),
    Served("Landlock, and so the shared network", (landlock("create_ruleset", EOPNOTSUPP, None, 0, who=OUTER),),
        proc=False),
    Served("the way into the pinned mounts", (Answer("setns", EPERM, (None, NEWNS)),)),
    Served("the way into the pinned network", (Answer("setns", EPERM, (None, NEWNET)),), proc=False),
    Served("the way into the pinned host name", (Answer("setns", EPERM, (None, NEWUTS)),)),
    Served("the way into the pinned IPC", (Answer("setns", EPERM, (None, NEWIPC), nth=2),), fresh=True,
        ipc=False),
    Served("the kind of a pinned namespace", (Answer("ioctl", ENOTTY, (None, NS_GET_NSTYPE), OUTER),)),
    Served("the lock for the first pin", (Answer("flock", EAGAIN, who=OUTER),), fresh=True),
    Served("namespaces to pin", (Answer("unshare", EPERM),), fresh=True),
    Served("room for the pins", (Answer(("mkdir", "mkdirat"), ENOSPC, who=OUTER, path="ns"),), fresh=True),
    Served("the file system of the pins", (Answer("mount", EPERM, (None, None, None, PINS), OUTER),), fresh=True),
    Served("a mount for a pin", (Answer("mount", EPERM, (None, None, 0, BIND)),), fresh=True),
    Served("the directory of the namespaces", (opened("/proc/self/ns", ENOENT, OUTER),), fresh=True),
    Served("the program's own way into the home", (opened("/home/u", EACCES, OUTER, nth=1),)),
    Served("covers that are laid at once", (Answer("move_mount", EINVAL, _TO_A_NAME, INNER),)),
    Served("mount_setattr", (Answer("mount_setattr", ENOSYS),), fresh=True),
    Served("the right to bring up lo", (Answer("ioctl", EPERM, (None, SIOCSIFFLAGS), INNER),), net=Network.LOOPBACK),
    Served("a home to begin in", (Answer("chdir", EACCES, who=COMMAND, path="/home/u"),)),
)  # fmt: skip
