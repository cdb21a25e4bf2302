"""What ``jailssh selftest`` tries of a shell: work that must succeed, and ways out for who may run anything.

Whoever has a shell can run what the image holds, so each of these is a small program of the shell's.  It ends with 0
where the way out is open, and otherwise with another status: a program that is not in the jail is one of the reasons.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from jailssh.plugin.api import Account
from jailssh.plugin.trials import DENIED, PLACE, TOKEN, Trial, quoted

_HOST_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/sshd_config", "/etc/ssh/ssh_host_ed25519_key",
               "/etc/jailssh/jailssh.conf", "/root/.profile", "/var/lib/jailssh/plan.v1", "/var/log",
               "/etc/crontab")  # fmt: skip
_DEVICES = ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/loop0",
            "/dev/loop-control", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/tty1", "/dev/console",
            "/dev/uinput")  # fmt: skip
_SOCKETS = ("/run/jailssh/jailsshd.sock", "/run/systemd/private", "/run/dbus/system_bus_socket", "/run/docker.sock",
            "/var/run/docker.sock", "/run/systemd/journal/socket", "/dev/log", "/run/snapd.socket",
            "/run/containerd/containerd.sock", "/run/lxd.socket")  # fmt: skip
_KERNEL = ("/proc/sysrq-trigger", "/proc/kcore", "/sys/kernel", "/proc/sys/kernel/core_pattern",
           "/proc/1/root/etc", "/proc/timer_list", "/proc/sched_debug", "/sys/fs/cgroup")  # fmt: skip


def login_only() -> tuple[Trial, ...]:
    """Return what is to be tried where no command may be run."""
    return (Trial("shell.no-command", "a command, which the settings refuse", attack=True, command="id", exits=DENIED),)


def trials(account: Account, *, programs: bool, tools: bool) -> Iterator[Trial]:
    """Yield what is to be tried.

    ``programs``: programs in the home may be run.  ``tools``: the usual tools are there.
    """
    yield Trial("shell.command", "a command of the shell", command="echo one; printf two", shows="one\ntwo")
    yield Trial("shell.status", "the exit status of a command", command="exit 7", exits=(7,))
    yield Trial("shell.input", "input and output", command="read -r line; echo \"got $line\"", input=b"words\n",
                shows="got words")  # fmt: skip
    yield Trial("shell.identity", "the account's own identity", command='echo "$UID $HOME"',
                shows=f"{account.uid} {account.home}")  # fmt: skip
    write = f"echo x >'{PLACE}/{TOKEN}' && read -r line <'{PLACE}/{TOKEN}' && echo \"read $line\""
    yield Trial("shell.files", "writing and reading a file in the home", command=write, shows="read x",
                place=account.home)  # fmt: skip
    if tools:
        yield Trial("shell.tools", "the usual tools", command="ls / >/dev/null && id -un", shows=account.name)
    own = f"'{PLACE}/{TOKEN}-s'"
    script = f"printf '#!%s\\necho it runs\\n' \"$BASH\" >{own} && chmod 700 {own} && {own}"
    if programs and tools:
        yield Trial("shell.programs", "a program in the home", command=script, shows="it runs", place=account.home)
    yield from _attacks(account, programs=programs)


def _any(test: str, *paths: str) -> str:
    """Return a program that ends with 0 if the test holds for one of the paths, whose name it prints."""
    return f'for f in {" ".join(map(quoted, paths))}; do if {test}; then echo "$f"; exit 0; fi; done; exit 1'


def _way(name: str, what: str, command: str, place: str = "") -> Trial:
    return Trial(f"shell.{name}", what, attack=True, command=command, exits=(), place=place)


def _attacks(account: Account, *, programs: bool) -> Iterator[Trial]:
    home, above = account.home, os.path.dirname(account.home)
    yield _way("host-files", "files of the host", _any('[ -e "$f" ] && { [ -r "$f" ] || [ -x "$f" ]; }', *_HOST_FILES))
    yield _way("passwd", "the names of the host's accounts",
               'n=0; while read -r line; do n=$((n + 1)); done </etc/passwd; [ "$n" -gt 2 ]')  # fmt: skip
    if above != "/":
        yield _way("other-homes", "homes of other accounts",
                   f'for f in {quoted(above)}/*; do [ "$f" = {quoted(home)} ] || exit 0; done; exit 1')  # fmt: skip
    yield _way("write-outside", "writing outside of the home",
               _any(f': >"$f/{TOKEN}"', "/", "/etc", "/usr", "/usr/bin", "/root", "/opt", "/srv", above))  # fmt: skip
    yield _way("devices", "devices of the host", _any('[ -e "$f" ]', *_DEVICES))
    yield _way("sockets", "sockets of the host's services", _any('[ -S "$f" ]', *_SOCKETS))
    read = '{ [ -d "$f" ] && [ -x "$f" ]; } || read -r _ 2>/dev/null <"$f"'
    yield _way("kernel", "files of the kernel", _any(read, *_KERNEL))
    yield _way("kernel-addresses", "addresses of the kernel",
               'n=0; while read -r a _; do [ "$((16#$a))" != 0 ] && exit 0; n=$((n + 1)); [ "$n" -gt 2000 ] && break; '
               "done </proc/kallsyms; exit 1")  # fmt: skip
    yield _way("processes", "processes of others",
               'for p in /proc/[0-9]*; do read -r f <"$p/status"; while read -r k v _; do '
               '[ "$k" = Uid: ] && [ "$v" != "$UID" ] && exit 0; '
               'done <"$p/status"; done 2>/dev/null; exit 1')  # fmt: skip
    yield _way("first-process", "the host's first process", '[ "$(readlink /proc/1/exe)" = /usr/lib/systemd/systemd ]')
    yield _way("terminals", "terminals of others", 'for t in /dev/pts/[0-9]*; do [ -e "$t" ] && exit 0; done; exit 1')
    # The host's own /usr has some, which do not count there.
    yield _way("set-id", "a set-user-ID or set-group-ID program",
               'while read -r _ _ _ _ where how _; do [ "$where" = /usr ] && case ,$how, in *,nosuid,*) exit 1;; esac; '
               'done </proc/self/mountinfo; '
               'for d in /bin /sbin /usr/bin /usr/sbin /usr/lib/openssh /usr/libexec; do for f in "$d"/*; do '
               '[ -u "$f" ] || [ -g "$f" ] && [ -f "$f" ] && echo "$f" && exit 0; done; done; exit 1')  # fmt: skip
    yield _way("capabilities", "capabilities",
               'while read -r k v; do case $k in Cap*) [ "$v" = 0000000000000000 ] || exit 0;; esac; '
               "done </proc/self/status; exit 1")  # fmt: skip
    yield _way("new-privileges", "gaining privileges by a program",
               'while read -r k v; do [ "$k" = NoNewPrivs: ] && [ "$v" = 1 ] && exit 1; '
               "done </proc/self/status; exit 0")  # fmt: skip
    yield _way("no-filter", "a life without a system call filter",
               'while read -r k v; do [ "$k" = Seccomp: ] && [ "$v" = 2 ] && exit 1; '
               "done </proc/self/status; exit 0")  # fmt: skip
    yield _way("mount", "a mount", "mount -t tmpfs none /mnt || mount --bind /usr /mnt")
    yield _way("namespace", "a user namespace", "unshare -Ur true || unshare -m true")
    yield _way("su", "another user by su(1), sudo(8) or pkexec(1)",
               "su -c true </dev/null || sudo -n true || pkexec true </dev/null")  # fmt: skip
    yield _way("device", "a new device", f"mknod '{PLACE}/{TOKEN}-d' b 8 0", home)
    yield _way("set-id-file", "a set-user-ID file of its own that counts",
               "while read -r _ _ _ _ where how _; do [ \"$where\" = " + quoted(home) + ' ] && '
               'case ,$how, in *,nosuid,*) exit 1;; *) exit 0;; esac; done </proc/self/mountinfo; exit 1')  # fmt: skip
    yield _way("raw-socket", "a raw socket", "ping -c1 -W1 127.0.0.1")
    yield _way("keyboard", "keystrokes pushed into a terminal (TIOCSTI)",
               "perl -e 'open(T, \"+<\", \"/dev/tty\") or exit 1; ioctl(T, 0x5412, \"x\") or exit 1'")  # fmt: skip
    yield _way("keys", "a key planted for the next login",
               f"for d in .ssh .config/systemd/user; do : >{quoted(home)}/$d/jailssh-{TOKEN} && exit 0; "
               "done; exit 1")  # fmt: skip
    if not programs:
        yield _way("no-programs", "a program in the home, which the settings refuse",
                   f"printf '#!%s\\n' \"$BASH\" >'{PLACE}/{TOKEN}-p' && chmod 700 '{PLACE}/{TOKEN}-p' && "
                   f"'{PLACE}/{TOKEN}-p'", home)  # fmt: skip
