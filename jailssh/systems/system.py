"""``jailssh system``: whole systems in jails."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from jailssh.console.actions import add_actions
from jailssh.console.context import ASSUME_YES, Context
from jailssh.core.closed import Word
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, ConfigError, HostError, ManyErrors, UsageError
from jailssh.core.names import escape
from jailssh.entering import kept
from jailssh.entering.kept import Kind
from jailssh.files import fs
from jailssh.services import joining
from jailssh.systems import changing, create, running, settings, starting, units

EXAMPLES = (
    "jailssh system create web --suite bookworm --include openssh-server,nginx-light",
    "jailssh system start web",
    "jailssh system exec web -u www-data -- id",
    "jailssh system set web memory=1G autostart=yes",
    "jailssh system list",
)
TAKES_COMMAND = True
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}\Z")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG = 16 << 20


class Action(Word):
    """What is done with a system."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    LIST = "list"
    EXEC = "exec"
    SHELL = "shell"
    LOGS = "logs"
    SET = "set"
    REMOVE = "remove"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_actions(parser, _add_actions)


def _add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = actions.add_parser(Action.CREATE, help="make a system")
    made.add_argument("system", metavar="SYSTEM", help="name of the new system")
    made.add_argument("--suite", metavar="SUITE", default="", help="suite of Debian's, as in bookworm")
    made.add_argument(
        "--include", metavar="PACKAGES", default="", help="packages beside the smallest system's, with commas"
    )
    made.add_argument("--exclude", metavar="PACKAGES", default="", help="packages that must not be installed")
    made.add_argument("--mirror", metavar="URL", default="", help="where packages come from (default: this host's)")
    made.add_argument("--from", metavar="SOURCE", default="", dest="source", help="archive, directory or image (OCI)")
    made.add_argument("--tag", metavar="NAME", default="", help="with --from: the one of several images")
    made.add_argument("--fresh", action="store_true", help="fetch packages again that were for another system")
    started = actions.add_parser(Action.START, help="start systems, and those that they depend on")
    started.add_argument("--autostart", action="store_true", help="those whose file has: autostart = yes")
    started.add_argument("system", nargs="*", metavar="SYSTEM", help="name of a system")
    stopped = actions.add_parser(Action.STOP, help="stop systems: their init is asked first")
    stopped.add_argument("system", nargs="+", metavar="SYSTEM", help="name of a system")
    listed = actions.add_parser(Action.LIST, help="list the systems")
    listed.add_argument("-c", "--check", metavar="SYSTEM", help="print nothing; 0 if this one runs, else 1")
    entered = actions.add_parser(Action.EXEC, help="run a command in a system that runs")
    entered.add_argument("-l", "--login", action="store_true", help="as a login: its shell reads its profile")
    shell = actions.add_parser(Action.SHELL, help="a login shell in a system that runs")
    for each in (entered, shell):
        each.add_argument(
            "-u", "--user", metavar="USER", default="root", help="an account of the system's (default: root)"
        )
        each.add_argument("system", metavar="SYSTEM", help="name of a system")
    logs = actions.add_parser(Action.LOGS, help="show what a system wrote to its console")
    logs.add_argument("system", metavar="SYSTEM", help="name of a system")
    changed = actions.add_parser(Action.SET, help="change settings in a system's file, and in the system if it runs")
    changed.add_argument("system", metavar="SYSTEM", help="name of a system")
    changed.add_argument(
        "settings", nargs="+", metavar="KEY=VALUE", help="a setting of its file; without a VALUE its default"
    )
    gone = actions.add_parser(Action.REMOVE, help="remove a system that does not run, with all that is in it")
    gone.add_argument("system", metavar="SYSTEM", help="name of a system")
    gone.add_argument("-y", "--yes", action="store_true", help=ASSUME_YES)


def run(args: argparse.Namespace, context: Context) -> int:
    """Do what is asked; 1 if one of several systems could not be started or stopped; `exec` ends as its command."""
    context.need_real_root("system")
    action = Action(args.action)
    if args.command is not None and action != Action.EXEC:
        raise UsageError(f"system {action}", "takes no command behind --")
    if action == Action.LIST:
        return _check(context, settings.check_name(args.check)) if args.check is not None else _list(context)
    if action in (Action.START, Action.STOP):
        return _each(context, action, _names(args, context))
    name = settings.check_name(args.system)
    if action == Action.CREATE:
        return _create(args, context, name)
    starting.check_name(context.layout, name)
    if action == Action.SET:
        return _set(context, name, changing.parse(args.settings))
    if action == Action.LOGS:
        return _logs(context, name)
    return _remove(context, name) if action == Action.REMOVE else _enter(args, context, name, action)


def _create(args: argparse.Namespace, context: Context, name: str) -> int:
    layout = context.layout
    words = {key: tuple(filter(None, getattr(args, key).replace(",", " ").split())) for key in ("include", "exclude")}
    wanted = create.check(
        create.Wanted(suite=args.suite, include=words["include"], exclude=words["exclude"], mirror=args.mirror,
                      source=args.source, tag=args.tag)
    )  # fmt: skip
    system = settings.read(layout, name)
    create.create(layout, system, wanted, context.tell, fresh=args.fresh)
    if units.are_used():
        units.enable(system)
    context.record([f"system {name} made from {escape(args.suite or args.source)}"], {})
    context.facts({"name": name, "path": create.folder_of(layout, name)}, [f"system {name} made"])
    return EXIT_OK


def _names(args: argparse.Namespace, context: Context) -> list[str]:
    automatic = getattr(args, "autostart", False)
    if automatic == bool(args.system):
        raise UsageError(f"system {args.action}", "needs names of systems, or --autostart in place of them")
    names = starting.automatic(context.layout) if automatic else args.system
    return [starting.check_name(context.layout, name) for name in dict.fromkeys(names)]


def _each(context: Context, action: Action, names: list[str]) -> int:
    done: list[dict[str, Any]] = []
    failed = False
    for name in names:
        if any(each["name"] == name for each in done):  # stopped already, before what it depends on
            continue
        try:
            if action == Action.START:
                now = starting.start(context.layout, name)
                done.append({"name": name, "id": now.id, "pid": now.pid, "done": f"system {name} started"})
            else:
                for each, by_itself in starting.stop(context.layout, name).items():
                    how = "" if by_itself else ", by force"
                    done.append({"name": each, "by_itself": by_itself, "done": f"system {each} stopped{how}"})
        except (HostError, ConfigError, UsageError, ManyErrors) as error:
            failed = True
            for line in error.lines():
                context.tell(line)
    context.facts(done, [each["done"] for each in done])
    if done:
        context.record([each["done"] for each in done], {})
    return EXIT_FAILED if failed else EXIT_OK


def _set(context: Context, name: str, wanted: Mapping[str, str | None]) -> int:
    changed = changing.change(context.layout, name, wanted)
    line = f"system {name}: changed {', '.join(changed)}" if changed else f"system {name}: nothing to change"
    context.facts({"name": name, "changed": changed}, [line])
    if changed:
        context.record([line], {})
    return EXIT_OK


def _check(context: Context, name: str) -> int:
    return EXIT_OK if running.held(context.layout, name) is not None else EXIT_FAILED


def _list(context: Context) -> int:
    layout = context.layout
    records = {each.name: each for each in kept.entries(layout) if each.kind == Kind.SYSTEM}
    runs = {name: each for name, each in records.items() if kept.is_held(each)}
    for name in set(records) - set(runs):
        running.settle_alone(layout, name)
    counted = kept.processes()
    rows = []
    for name in sorted({*create.names(layout), *runs}):
        now = runs.get(name)
        if now is not None and changing.is_interrupted(layout, name):
            context.tell(f"jailssh: system {name}: has not all settings of its file yet: a change was interrupted")
            context.tell(f"hint: jailssh system set {name} KEY=VALUE completes it, and so does a stop")
        facts = now.facts if now else {}
        rows.append(
            {"name": name, "id": now.id if now else None, "state": "running" if now else "stopped",
             "pid": now.pid if now else None, "hostname": facts.get("hostname", ""),
             "address": facts.get("address", ""), "network": facts.get("network", ""),
             "path": f"{create.folder_of(layout, name)}/{create.TREE}",
             "processes": kept.count_in(now, counted) if now else 0, "since": now.since if now else None}
        )  # fmt: skip
    form = "{:>4}  {:<20}  {:<8}  {:>9}  {:<20}  {:<18}  {}"
    lines = [form.format("ID", "NAME", "STATE", "PROCESSES", "HOSTNAME", "ADDRESS", "PATH")] if rows else []
    lines += [
        form.format(row["id"] or "-", row["name"], row["state"], row["processes"], escape(str(row["hostname"])) or "-",
                    row["address"] or ("the host's" if row["network"] == settings.Reach.HOST else "-"), row["path"])
        for row in rows
    ]  # fmt: skip
    context.facts(rows, lines or ["no systems"])
    return EXIT_OK


def _enter(args: argparse.Namespace, context: Context, name: str, action: Action) -> int:
    if context.json:
        raise UsageError(f"system {action}", "cannot be combined with --json")
    if action == Action.EXEC and not args.command:
        raise UsageError("system exec", "needs a command behind --", hint="jailssh system shell SYSTEM")
    layout, login = context.layout, action == Action.SHELL or args.login
    now = running.held(layout, name)
    if now is None:
        raise HostError(f"system {name}", "does not run", hint=f"jailssh system start {name}")
    user = running.user_of(layout, name, args.user)
    command = args.command or []
    if login:
        command = [user.login_shell, "-l", *(["-c", 'exec "$0" "$@"', *command] if command else [])]
    terminal = os.isatty(0) and os.isatty(1)
    term = os.environ.get("TERM", "")
    env = {"HOME": user.home, "SHELL": user.login_shell, "USER": user.name, "LOGNAME": user.name, "PATH": _PATH,
           "LANG": "C.UTF-8"}  # fmt: skip
    if terminal and _TERM.match(term):
        env["TERM"] = term
    system = settings.read(layout, name)
    plan = running.joined(layout, system, now, user, command, env, terminal=terminal, folder=user.home).encode()
    context.record([f"exec in system {name} as {user.name}: {escape(' '.join(command), 1000)}"], {})
    kept.join_groups(now)
    return joining.become(layout.run_program, plan)


def _logs(context: Context, name: str) -> int:
    if units.are_used():
        text = units.log(name)
    else:
        path = f"{create.folder_of(context.layout, name)}/{running.LOG}"
        text = (fs.read_trusted(path, _LOG) if os.path.lexists(path) else b"").decode("utf-8", "replace")
    lines = [escape(line, 1000) for line in text.splitlines()]
    context.facts({"name": name, "lines": lines}, lines)
    sys.stdout.flush()
    return EXIT_OK


def _remove(context: Context, name: str) -> int:
    layout = context.layout
    if running.held(layout, name) is not None:
        raise HostError(f"system {name}", "runs", hint=f"jailssh system stop {name}")
    if not context.confirm(f"remove the system {name} with all that is in it?"):
        return EXIT_FAILED
    with kept.locked(layout):
        if running.held(layout, name) is not None:
            raise HostError(f"system {name}", "has been started meanwhile")
        running.settle(layout, name)
        create.remove(layout, name)
    if units.are_used():
        units.forget(name)
    context.changed([f"system {name} removed"], {})
    return EXIT_OK
