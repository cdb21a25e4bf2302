"""``jailssh run``: a command in any tree, in namespaces of its own."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import replace

from jailssh.console.context import Context
from jailssh.core.closed import Network, Shown
from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.core.names import escape, is_clean_absolute
from jailssh.entering import ids, limits
from jailssh.entering.places import Place, directory, look
from jailssh.host.paths import Layout
from jailssh.plan.ops import Record
from jailssh.plan.run_ops import RunPlan, in_order
from jailssh.policy.seccomp import filter_for
from jailssh.services import joining

EXAMPLES = (
    "jailssh run /srv/tree -- ls -l /",
    "jailssh run -N -n build -u alice -f tree.fstab /srv/tree make",
    "jailssh run -U --ro ./tree",
)

# Compiled as they are used.
_NAME = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_TERM = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}"
_SIZE = r"[1-9][0-9]{0,9}[kmg]?"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_FSTAB = 1 << 20
_EPHEMERAL = 512 << 20
# What makes a session's tree; the other options are a command's.
_OF_TREE = (
    "new_user_ns", "new_network_ns", "fstab", "hostname", "uid_map", "gid_map", "ro", "layer", "ephemeral", "overlay",
    "bind", "tmpfs", "privileged",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add = parser.add_argument
    add("-U", "--new-user-ns", action="store_true", help="a user namespace: root in there is nobody outside")
    add("-N", "--new-network-ns", action="store_true", help="a network with nothing but a loopback interface")
    add("-u", "--user", metavar="USER", help="name or uid of the command's user (default: root)")
    add("-g", "--group", metavar="GROUP", help="name or gid of its group")
    add("-f", "--fstab", metavar="FILE", help="mounts, as in fstab(5); targets are below TREE")
    add("-n", "--hostname", metavar="NAME", help="host name in there")
    add("-M", "--uid-map", metavar="MAP", help="with -U: records 'INSIDE OUTSIDE COUNT', with commas")
    add("-G", "--gid-map", metavar="MAP", help="the same for groups")
    add("-p", "--pidfile", metavar="FILE", help="where the pid stands while the command runs")
    add("-e", "--env", metavar="NAME=VALUE", action="append", default=[],
        help="set a variable; NAME alone takes it away; repeatable")  # fmt: skip
    add("-c", "--chdir", metavar="DIR", default="/", help="directory of the command, in the tree")
    add("-b", "--background", action="store_true", help="the command outlives jailssh, should that be killed")
    add("--ro", action="store_true", help="the tree is read-only")
    add("--layer", metavar="DIR", action="append", default=[], help="a directory that lies below TREE; repeatable")
    add_view(parser)
    add(
        "--limit",
        metavar="LIMIT",
        action="append",
        default=[],
        help="memory=SIZE, tasks=NUMBER, cpu=PERCENT%% for the command and all that it starts; repeatable",
    )
    add_kept_capabilities(parser)
    add("--privileged", action="store_true", help="weaker: all capabilities, no system call filter, a whole /proc")
    add("--session", metavar="NAME", help="in a session of that name on the tree, which is begun if there is none")
    add("--no-terminal", action="store_true", help="no terminal of its own: descriptors 0-2 are the caller's")
    add("--dry-run", action="store_true", help="show what would be done")
    add(
        "tree",
        metavar="TREE",
        help="what becomes the root: a directory, a jail's name, a tar, or a squashfs, erofs or ext4 image",
    )
    words = add("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="program and arguments (default: a shell)")
    words.required = False  # which argparse says of it before Python 3.12 when TREE is missing


def add_view(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where writing goes and what is shown beside the tree."""
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--ephemeral", action="store_true", help="what is written to the tree is gone at the end")
    written.add_argument("--overlay", metavar="DIR", help="what is written to the tree goes to DIR/upper")
    parser.add_argument("--bind", metavar="SOURCE[:TARGET[:ro]]", action="append", default=[],
                        help="show a file or directory of the host; repeatable")  # fmt: skip
    parser.add_argument("--tmpfs", metavar="TARGET[:SIZE]", action="append", default=[],
                        help="an empty directory in memory (default size: 64m); repeatable")  # fmt: skip


def add_kept_capabilities(parser: argparse.ArgumentParser) -> None:
    """Add the option that keeps capabilities."""
    parser.add_argument("--keep-cap", metavar="NAME", action="append", default=[],
                        help="weaker: keep a capability (capabilities(7)); repeatable")  # fmt: skip


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the command in the place of this process; returns for ``--dry-run`` alone."""
    try:
        place = look(args.tree, context.layout)
        bounds = limits.parse(args.limit)
        if bounds and args.session is not None:
            raise UsageError("--limit", "cannot be combined with --session", hint="limit who begins the session")
        plan = _plan(args, place) if args.session is None else _plan_of_session(args, place, context)
        plan.encode()
    except JailsshError as error:
        error.exit_code = joining.REFUSED  # 1 to 4 are the command's own
        raise
    if args.dry_run:
        shown = [*plan.show(), *limits.show(bounds)]
        context.facts([[record.verb, *record.args] for record in plan.records], shown)
        return 0
    if ids.is_root():
        context.record([told(plan, where=place.named)], {})
    groups: list[str] = []
    try:
        if args.session is None:
            groups = limits.hold(bounds)
            place.prepare(args.overlay)
        held = replace(plan, records=in_order([*plan.records, *(Record("control-group", (path,)) for path in groups)]))
        joining.become(context.layout.run_program, held.encode())
    except JailsshError as error:
        limits.give_up(groups)
        error.exit_code = joining.REFUSED
        raise


def _plan_of_session(args: argparse.Namespace, place: Place, context: Context) -> RunPlan:
    """Return the plan of a command in a session, which is there then, and whose control groups this process is in."""
    from jailssh.entering import kept, trees  # slow to import, and for sessions alone

    layout, name = context.layout, kept.check_name(args.session)
    context.need_real_root("run --session")
    if args.background or args.pidfile is not None:
        raise UsageError("--session", "cannot be combined with --background or --pidfile")
    if place.unpacker is not None and (args.ephemeral or args.ro):
        raise UsageError("--session", f"unpacks {place.named} to what is written, so not with --ephemeral or --ro")
    says_more = any(getattr(args, option) for option in _OF_TREE)
    with kept.locked(layout):
        try:
            if not (args.ephemeral or args.overlay or args.ro or place.jail):
                args.overlay = trees.make_room(layout, name)
            plan = _plan(args, place)
            if args.dry_run:
                return plan
            place.prepare(args.overlay)
            held = trees.begin(layout, name, plan, says_more=says_more)
            if note := trees.leave_login(held):
                context.tell(note)
        finally:
            trees.clear_up(layout, name)
    kept.join_groups(held)
    return trees.joining(plan, held)


def plan_of(args: argparse.Namespace, layout: Layout) -> RunPlan:
    """Return the plan of what a command line says; :class:`JailsshError`, also for a tar: none is unpacked here."""
    place = look(args.tree, layout)
    if place.unpacker is not None:
        raise UsageError(f"tree {escape(args.tree)}", "is a tar", hint="unpack it, and name the directory")
    return _plan(args, place)


def told(plan: RunPlan, verb: str = "run", where: str = "") -> str:
    """Return what the journal says of a command: where it runs, with how much power, and what it is."""
    of = {verb: [record.args for record in plan.records if record.verb == verb] for verb in
          ("privileged", "keep-cap", "argument")}  # fmt: skip
    power = [*("all power" for _ in of["privileged"]), *(args[0] for args in of["keep-cap"])]
    weaker = f" with {', '.join(power)}" if power else ""
    where = where or next(record.args[0] for record in plan.records if record.verb == "tree")
    return f"{verb} in {where}{weaker}: {escape(' '.join(args[0] for args in of['argument']), 1000)}"


def _plan(args: argparse.Namespace, place: Place) -> RunPlan:
    if not args.new_user_ns and (args.uid_map or args.gid_map):
        raise UsageError("maps of ids", "need a user namespace", hint="add -U")
    if not args.new_user_ns and not ids.is_root():
        raise HostError("run", "needs root, or a user namespace", hint="jailssh run -U …")
    who = ids.identity(args.user, args.group)
    command = args.words[1:] if args.words[:1] == ["--"] else args.words
    terminal = not args.no_terminal and os.isatty(0) and os.isatty(1)
    written = args.ephemeral or args.overlay is not None
    read_only = args.ro or bool(place.jail) or (place.image is not None and not written)
    tree = place.tree_with(args.overlay)
    records = [
        Record("jail", ("run",)),
        Record("home", (_directory(args.chdir),)),
        Record("net", (Network.LOOPBACK if args.new_network_ns else Network.HOST,)),
        Record("pty", ("yes" if terminal else "no",)),
        Record("tree", (tree, "ro" if read_only else "rw")),
        *([Record("file-system", (place.image,))] if place.image else []),
        *_layers(args, tree),
        Record("dev"),
        Record("proc"),
        *_mounts(args),
        *_spaces(args),
        *(Record("env", pair) for pair in _environment(args.env, who, terminal).items()),
        *_powers(args),
        *(Record("argument", (word,)) for word in command or [place.shell(who.login_shell)]),
    ]
    if not args.layer and args.overlay is None:
        place.refuse_bare({record.args[1] for record in records if record.verb == "clone"})
    return RunPlan(uid=who.uid, gid=who.gid, name=who.name, records=in_order(records))


def _layers(args: argparse.Namespace, tree: str) -> Iterator[Record]:
    for text in args.layer:
        yield Record("layer", (directory(text, "--layer"),))
    if args.overlay is not None:
        written = directory(args.overlay, "--overlay")
        if f"{written}/".startswith(f"{tree}/"):  # which would be below itself then
            raise UsageError(f"--overlay {escape(args.overlay)}", "is in the tree itself")
        yield Record("written", (written,))
    if args.ephemeral:
        yield Record("ephemeral", (str(_EPHEMERAL),))
    elif args.layer and args.overlay is None and not args.ro:
        raise UsageError("--layer", "needs a place for what is written", hint="--ephemeral, --overlay DIR or --ro")


def _directory(text: str) -> str:
    path = "/" + text.strip("/")
    if not is_clean_absolute(path):
        raise UsageError("--chdir", f"{text!r} is no plain path", hint="use no '..', '//', '.' or control bytes")
    return path


def _spaces(args: argparse.Namespace) -> Iterator[Record]:
    if args.hostname is not None:
        if not re.fullmatch(_NAME, args.hostname):
            raise UsageError("--hostname", f"{args.hostname[:80]!r} is no host name of at most 64 characters")
        yield Record("hostname", (args.hostname,))
    if args.background:
        yield Record("background")
    if args.pidfile is not None:
        from jailssh.host import output  # slow to import, and for a pid file alone

        folder, name = os.path.split(os.path.abspath(args.pidfile))
        # It is replaced, and removed in the end: /dev/null would be gone for the whole host.
        output.check_place(args.pidfile)
        yield Record("pid-file", (os.path.join(os.path.realpath(folder), name),))
    if args.new_user_ns:
        yield Record("new-users")
        for verb, text, own in (("uid-map", args.uid_map, os.geteuid()), ("gid-map", args.gid_map, os.getegid())):
            for line in ids.id_map(text, own, f"--{verb}"):
                yield Record(verb, tuple(map(str, line)))


def _mounts(args: argparse.Namespace) -> Iterator[Record]:
    if args.fstab is None and not args.bind and not args.tmpfs:
        return
    from jailssh.entering import fstab

    if args.fstab is not None:
        from jailssh.console.inputs import read_named

        name = escape(args.fstab)
        data = read_named(args.fstab, name, _MOST_FSTAB, "a file of mounts")
        yield from fstab.parse(data.decode("utf-8", "surrogateescape"), name)
    for text in args.bind:
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        if mode and mode != Shown.READ_ONLY:
            raise UsageError("--bind", f"{mode!r} behind the target is not {Shown.READ_ONLY}", hint="or leave it out")
        options = ("rbind", mode) if mode else ("rbind",)
        if not source:
            raise UsageError("--bind", "names no source")
        source = os.path.abspath(source)
        yield fstab.record_of(
            fstab.Line(source=source, target=target or source, kind="none", options=options, where="--bind")
        )
    for text in args.tmpfs:
        target, _, size = text.partition(":")
        if size and not re.fullmatch(_SIZE, size):
            raise UsageError("--tmpfs", f"{size!r} is no size, such as 64m")
        yield fstab.record_of(
            fstab.Line(source="none", target=target, kind=fstab.Kind.TMPFS, where="--tmpfs",
                       options=(f"size={size or '64m'}", "mode=1777"))
        )  # fmt: skip


def _environment(given: list[str], who: ids.Identity, terminal: bool) -> dict[str, str]:
    home = who.home if is_clean_absolute(who.home) else "/"
    out = {
        "HOME": home,
        "SHELL": who.login_shell,
        "USER": who.name,
        "LOGNAME": who.name,
        "PATH": _PATH,
        "LANG": "C.UTF-8",
    }
    term = os.environ.get("TERM", "")
    if terminal and re.fullmatch(_TERM, term):
        out["TERM"] = term
    for text in given:
        name, is_set, value = text.partition("=")
        if not re.fullmatch(_VARIABLE, name):
            raise UsageError("--env", f"{name[:80]!r} is no name of a variable")
        out.pop(name, None)
        if is_set:
            out[name] = value
    return out


def _powers(args: argparse.Namespace) -> Iterator[Record]:
    if args.keep_cap:
        from jailssh.entering.capabilities import number_of
    for name in dict.fromkeys(args.keep_cap):
        yield Record("keep-cap", (name, str(number_of(name))))
    if args.privileged:
        yield Record("privileged")
        return
    architecture, program = filter_for(Network.HOST)
    yield Record("seccomp", (architecture, program.hex()))
