"""``jailssh launch``: a daemon in a jail or a tree, for daemons that cannot confine themselves."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator

from jailssh.console.context import Context
from jailssh.core.errors import JailsshError, UsageError
from jailssh.core.names import is_number
from jailssh.entering import run as running
from jailssh.entering import unit
from jailssh.plan.ops import Record
from jailssh.plan.run_ops import RunPlan, in_order
from jailssh.services import joining

EXAMPLES = (
    "jailssh launch web -u www-data -p /run/web.pid -b -- /usr/sbin/tool",
    "jailssh launch /srv/redis -u redis --bind /var/lib/redis -- redis-server --supervised systemd",
    "jailssh launch --unit redis /srv/redis -u redis --bind /var/lib/redis -- redis-server --supervised systemd",
)
TAKES_COMMAND = True
# Where a daemon finds the socket by which it says how it is: run/notify.h.
NOTIFY = "/dev/notify"
FIRST = 3
"""The descriptor of the first socket that a service manager passes (sd_listen_fds(3))."""
MOST = 64
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}\Z")
_NAMES = re.compile(r"[\x21-\x7e]{1,4000}\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add = parser.add_argument
    add("-u", "--user", metavar="USER", help="name or uid of the daemon's user (default: root, without power)")
    add("-g", "--group", metavar="GROUP", help="name or gid of its group")
    add("-p", "--pidfile", metavar="FILE", help="where the daemon's own pid stands while it runs")
    add("-b", "--background", action="store_true", help="return once the daemon runs, and leave it running")
    add("-f", "--fstab", metavar="FILE", help="mounts, as in fstab(5); targets are below TREE")
    add("-n", "--hostname", metavar="NAME", help="host name in there")
    add("-N", "--new-network-ns", action="store_true", help="a network with nothing but a loopback interface")
    add("-e", "--env", metavar="NAME=VALUE", action="append", default=[],
        help="set a variable; NAME alone takes it away; repeatable")  # fmt: skip
    add("-c", "--chdir", metavar="DIR", default="/", help="directory of the daemon, in the tree")
    add("--ro", action="store_true", help="the tree is read-only")
    running.add_view(parser)
    running.add_kept_capabilities(parser)
    add("--unit", metavar="NAME", help="print a service of systemd's that does this, and start nothing")
    add("--notify", action="store_true", help="with --unit: the daemon says itself that it is ready (sd_notify(3))")
    add("--dry-run", action="store_true", help="show what would be done")
    add("tree", metavar="TREE", help="directory that becomes the root, or a jail, whose image does")


def run(args: argparse.Namespace, context: Context) -> int:
    """Become what starts the daemon; returns for ``--unit`` and ``--dry-run`` alone."""
    if not args.command:
        raise UsageError("launch", "needs the daemon and its arguments behind --", hint="jailssh launch --help")
    if args.unit is not None:
        return _print_unit(args, context)
    try:
        plan = _plan(args, context)
        data = plan.encode()
    except JailsshError as error:
        error.exit_code = joining.REFUSED  # 1 to 4 are the daemon's own
        raise
    if args.dry_run:
        context.facts([[record.verb, *record.args] for record in plan.records], plan.show())
        return 0
    context.record([running.told(plan, "launch")], {})
    sockets = _sockets() if not args.background else 0
    return joining.become(context.layout.run_program, data, sockets=sockets)


def _words(args: argparse.Namespace) -> list[str]:
    """Return the options as ``run`` takes them, with tree and command."""
    words = ["--no-terminal", "--chdir", args.chdir]
    for name in ("user", "group", "pidfile", "fstab", "hostname", "overlay"):
        value = getattr(args, name)
        words += [f"--{name}={value}"] if value is not None else []
    for name in ("new_network_ns", "ro", "ephemeral", "background"):
        words += [f"--{name.replace('_', '-')}"] if getattr(args, name) else []
    for name in ("env", "bind", "tmpfs", "keep_cap"):
        words += [f"--{name.replace('_', '-')}={value}" for value in getattr(args, name)]
    return [*words, "--", args.tree, *args.command]


def _plan(args: argparse.Namespace, context: Context) -> RunPlan:
    context.need_real_root("launch")
    parser = argparse.ArgumentParser(exit_on_error=False)
    running.add_arguments(parser)
    plan = running.plan_of(parser.parse_args(_words(args)), context.layout)
    more = [Record("daemon", ("yes" if args.background else "no",))]
    if not args.background:
        more += _of_manager()
    return RunPlan(uid=plan.uid, gid=plan.gid, name=plan.name, records=in_order([*plan.records, *more]))


def _of_manager() -> Iterator[Record]:
    """Yield what a service manager gives this process: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)."""
    notify = os.environ.get("NOTIFY_SOCKET", "")
    if notify:
        if notify[0] not in "/@" or len(notify) > 100:
            raise UsageError("NOTIFY_SOCKET", f"{notify[:80]!r} is no socket of this host")
        yield Record("notify", (notify,))
        yield Record("env", ("NOTIFY_SOCKET", NOTIFY))
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if is_number(microseconds) and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
        yield Record("env", ("WATCHDOG_USEC", microseconds))
    count = _sockets()
    if count:
        yield Record("listen", (str(count),))
        yield Record("env", ("LISTEN_FDS", str(count)))
        yield Record("env", ("LISTEN_PID", "0"))  # whose number is known once it is there
        names = os.environ.get("LISTEN_FDNAMES", "")
        if _NAMES.match(names):
            yield Record("env", ("LISTEN_FDNAMES", names))


def _sockets() -> int:
    """Return how many sockets were passed to this process."""
    number = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID", "") != str(os.getpid()) or not is_number(number) or len(number) > 9:
        return 0
    if int(number) > MOST:
        raise UsageError("LISTEN_FDS", f"more than {MOST} sockets")
    return int(number)


def _print_unit(args: argparse.Namespace, context: Context) -> int:
    if not _UNIT.match(args.unit):
        raise UsageError("--unit", f"{args.unit[:80]!r} is no name of a service")
    if args.background or args.pidfile:
        raise UsageError("--unit", "cannot be combined with --background or --pidfile: systemd knows its processes")
    if os.path.isdir(args.tree):
        args.tree = os.path.abspath(args.tree)
    for path in filter(None, (args.overlay, args.fstab, *args.bind)):
        if not path.startswith("/"):
            raise UsageError("--unit", f"{path[:80]!r} is no absolute path: a service runs in no directory of yours")
    name = args.unit.removesuffix(".service")
    words = _words(args)[1:]
    if words[:2] == ["--chdir", "/"]:
        words = words[2:]
    at = words.index("--")
    line = ["launch", *words[:at], args.tree, "--", *args.command]
    text = unit.service(name, f"{context.layout.prefix}/bin/jailssh", line, args)
    context.facts({"name": f"{name}.service", "text": text, "command": shlex.join(line)}, text.splitlines())
    return 0
