"""``jailssh build``: a stand-alone tree from jailspecs, sections and profiles."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from jailssh.closure.elf_cache import ElfCache, facts_path
from jailssh.closure.manifest import DEVICES
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError, raise_all
from jailssh.core.names import escape, is_number, same_place
from jailssh.host import output
from jailssh.jailspec.errors import Note
from jailssh.jailspec.load import list_sections
from jailssh.jailspec.merge import Spec, read_spec
from jailssh.tree import build, formats
from jailssh.tree.build import Built, Listeners, Options
from jailssh.tree.specs import Profiles, Reader, to_source
from jailssh.tree.target import Action, Target, TreeChange

EXAMPLES = (
    "jailssh build git.jailspec /srv/jails/git",
    "jailssh build section:basicshell section:git extra.jailspec /srv/jails/dev --prune",
    "jailssh build basicshell /srv/jails/dev --dry-run --json",
    "jailssh build basicshell base.tar --format oci --compress gzip",
)
_MARKS = {Action.CREATE: "+", Action.REPLACE: "~", Action.ATTRIBUTES: "m", Action.REMOVE: "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "operands", nargs="*", metavar="SPEC… TARGET", help="spec files or section:NAME; last, the tree to write"
    )
    parser.add_argument(
        "--jk-init", metavar="FILE", help="jk_init.ini whose sections take precedence over the shipped ones"
    )
    parser.add_argument("--list-sections", action="store_true", help="list the sections and exit")
    parser.add_argument("--compat", choices=("jailtime",), help="use jailtime rules: the first statement wins")
    text = "no effect, accepted for compatibility with jailtime: existing targets are always replaced"
    parser.add_argument("--force", "--remove-destination", action="store_true", help=text)
    parser.add_argument(
        "--prune", action="store_true", help="remove unchanged files that only an earlier build put there"
    )
    parser.add_argument(
        "--format",
        choices=("dir", *formats.FORMATS),
        default="dir",
        help="output format (default dir: a directory tree)",
    )
    parser.add_argument(
        "--compress",
        metavar="HOW",
        help="compression: none, gzip, zstd, xz or lz4, depending on the format (default none)",
    )
    parser.add_argument("--name", default="jailssh:latest", help="reference of the OCI image (default jailssh:latest)")
    add_common_arguments(parser)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of all verbs that write a tree."""
    parser.add_argument("--dry-run", action="store_true", help="show the changes, write nothing")
    parser.add_argument("--reflink", action="store_true", help="share blocks with the sources where possible")
    parser.add_argument("--skip-devices", action="store_true", help="omit character and block devices")
    parser.add_argument("--allow-missing", action="store_true", help="skip files that do not exist on this host")
    parser.add_argument(
        "--insecure", action="store_true", help="accept sources and targets writable by others (unsafe as root)"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="then start programs and try languages in a sandbox; exit with 1 if some do not work",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print each step and all notes")


def run(args: argparse.Namespace, context: Context) -> int:
    """Build."""
    reader = Reader(insecure=args.insecure)
    jk_init = os.path.abspath(args.jk_init) if args.jk_init else None
    if args.list_sections:
        rows = list_sections(reader.read, jk_init=jk_init)
        context.facts([{"name": name, "comment": text} for name, text in rows], [f"{n:<20} {t}" for n, t in rows])
        return EXIT_OK
    if not args.operands:
        raise UsageError("build", "missing file operand", hint="jailssh build SPEC… TARGET")
    *specs, target = args.operands
    if not target:
        raise UsageError("target ''", "is empty", hint="jailssh build SPEC… /srv/jails/web")
    if not specs:
        raise UsageError("build", f"missing destination operand after {target!r}", hint="jailssh build SPEC… TARGET")
    profiles = Profiles(context.layout)
    spec = read_spec(
        [to_source(name) for name in specs],
        reader.read,
        real=os.path.realpath,
        jk_init=jk_init,
        profiles=profiles,
        first_wins=args.compat == "jailtime",
        tolerant=True,
    )
    if args.format == "dir":
        if args.compress:
            raise UsageError("build", "--compress requires --format", hint="jailssh build --help")
        return build_and_tell(args, context, *_with_needs(spec, target, profiles))
    return _build_file(args, context, *_with_needs(spec, os.path.abspath(target), profiles))


def _with_needs(spec: Spec, target: str, profiles: Profiles) -> tuple[Spec, str, Any]:
    """Return all three with what the profiles need; where the configuration is wrong the spec's errors are told too."""
    try:
        return spec, target, profiles.needs(spec)
    except JailsshError as error:
        raise_all([*spec.errors, error])
        raise


def _build_file(args: argparse.Namespace, context: Context, spec: Spec, target: str, profiles: Any) -> int:
    """Build the tree beside ``target``, where it does not stay, and write it in the format that is asked for."""
    compress = args.compress or "none"
    formats.check(args.format, compress)
    output.check_place(target)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is not None and not is_number(epoch):
        raise UsageError("SOURCE_DATE_EPOCH", f"{epoch!r} is not a number of seconds")
    with output.new_dir(target, keep=False) as room:
        code = build_and_tell(args, context, spec, f"{room}/tree", profiles, shown=target)
        if code == EXIT_OK and not args.dry_run:
            seconds = None if epoch is None else int(epoch)
            formats.write(args.format, f"{room}/tree", target, compress, epoch=seconds, name=args.name)
    return code


def build_and_tell(
    args: argparse.Namespace, context: Context, spec: Spec, target: str, profiles: Any, shown: str = ""
) -> int:
    """Build ``spec`` at ``target`` and tell what was done, as if it was at ``shown``; return the exit code."""
    place = Target(os.path.abspath(target), insecure=args.insecure, passing=bool(shown))
    options = Options(
        allow_missing=args.allow_missing,
        skip_devices=args.skip_devices,
        insecure=args.insecure,
        prune=getattr(args, "prune", False),
        reflink=args.reflink,
        dry_run=args.dry_run,
        quiet_runs=context.json,
    )
    facts = ElfCache(facts_path(context.layout) if os.geteuid() == 0 else "", context.layout.root or None)
    with _listeners(args, context) as listeners:
        built = build.build(spec, place, options, profiles=profiles, facts=facts, listeners=listeners)
    _tell(args, context, shown or place.path, spec.notes, built)
    if not args.verify or args.dry_run:
        return EXIT_OK
    from jailssh.tree.verify import verify

    verified = verify(place)
    for note in verified.notes:
        context.tell(f"note: {note}")
    for line in (*verified.works, *verified.failures):
        context.tell(line)
    return EXIT_FAILED if verified.failures else EXIT_OK


def _tell(args: argparse.Namespace, context: Context, path: str, notes: tuple[Note, ...], built: Built) -> None:
    texts = [str(note) for note in notes if args.verbose or not note.verbose]
    for note in dict.fromkeys((*texts, *built.notes)):
        context.tell(f"note: {note}")
    for kept in built.kept:
        context.tell(f"note: {escape(kept)} is kept: it was changed or contains files that no build created")
    size = f"{built.count} entries, {built.bytes / 1e6:.1f} MB"
    last = f"{escape(path)}: {size}: {len(built.changes)} changes{' to make' if args.dry_run else ''}"
    facts = {
        "target": path,
        "dry_run": args.dry_run,
        "entries": built.count,
        "bytes": built.bytes,
        "changes": [_row(change) for change in built.changes] if context.json else [],
        "run": list(built.runs),
        "left": list(built.left),
        "kept": list(built.kept),
        "notes": [*texts, *built.notes],
    }
    context.facts(facts, chain(_would_do(built) if args.dry_run else (), [last]))


def _would_do(built: Built) -> Iterator[str]:
    yield from (_line(change) for change in built.changes)
    yield from (f"! run {escape(command)}" for command in built.runs)


def _row(change: TreeChange) -> dict[str, Any]:
    entry = change.entry
    row: dict[str, Any] = {"action": change.action, "path": entry.path, "kind": entry.kind, "mode": f"{entry.mode:04o}"}
    row |= {"uid": entry.uid, "gid": entry.gid, "origin": entry.origin}
    more = {"source": entry.source, "target": entry.target, "digest": entry.digest, "size": entry.size}
    if entry.kind in DEVICES:
        more["device"] = f"{entry.major}:{entry.minor}"
    return row | {name: value for name, value in more.items() if value}


def _line(change: TreeChange) -> str:
    entry = change.entry
    text = f"{_MARKS[change.action]} {entry.kind:<5} {entry.mode:04o} {escape(entry.path)}"
    if entry.target:
        text += f" -> {escape(entry.target)}"
    elif entry.source and same_place(entry.source) != entry.path:
        text += f" from {escape(entry.source)}"
    return f"{text}  ({escape(entry.origin)})"


@contextmanager
def _listeners(args: argparse.Namespace, context: Context) -> Iterator[Listeners]:
    """Yield what tells of the progress: lines with -v, a bar on a terminal, else nothing."""

    def waiting(pid: int) -> None:
        context.tell(f"waiting for process {pid}, which builds the same tree" if pid else "waiting for another build")

    def running(command: str) -> None:
        context.tell(f"running as root, outside the jail: {escape(command, 200)}")

    if args.verbose:
        yield Listeners(waiting, None, lambda change: context.tell(_line(change)), running)
    elif context.json or args.dry_run or not context.on_terminal():
        yield Listeners(waiting)
    else:
        # Imported here: it takes longer than many a build.
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("building", total=None)
            yield Listeners(
                waiting,
                lambda count: progress.update(task, total=count),
                lambda _: progress.advance(task),
            )
