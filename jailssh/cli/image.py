"""``jailssh image``: the generations of the jails' images, what changed between two, going back, clearing up."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from jailssh.change import transaction
from jailssh.change.signals import held_signals
from jailssh.config.jails import combined_name
from jailssh.console.actions import add_actions
from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape, pluralize
from jailssh.files import fs
from jailssh.host import journal
from jailssh.host.paths import Layout
from jailssh.image import pool, store
from jailssh.image.oci import REGISTRY
from jailssh.jail.configuration import load_configuration
from jailssh.publish.images import prune_images
from jailssh.publish.plan_files import plans_by_image
from jailssh.setup import setup
from jailssh.upkeep import carried, generations, repair
from jailssh.upkeep.audit import Audit, audit, pick
from jailssh.upkeep.repair import Repaired
from jailssh.upkeep.update import is_gone, publish_plans

EXAMPLES = (
    "jailssh image list",
    "jailssh image show sftp-only --files",
    "jailssh image diff sftp-only",
    "jailssh image rollback sftp-only",
    "jailssh image gc",
    "jailssh image verify",
    "jailssh image verify sftp-only --repair",
    "jailssh image push sftp-only docker://registry.example.org/sftp-only:1",
    "jailssh image pull sftp-only /srv/images/sftp-only.tar --digest DIGEST",
)

VERIFY = """Read every file of the images and compare content, mode, owner, attributes and names with the manifests.
Exit status 0: no damage, or all damage repaired; 1: damage found or left."""
PUSH = """Write the image of a jail as an OCI image of one layer, and print its digest.  Registries are spoken to by
skopeo(1)."""
PULL = """Make an image that another host has pushed the one of a jail here.  Its whole content must have the digest
that is given, or that a signed bundle gave; nothing of another image stays.  The jail is held at it: it does not
follow this host's packages."""
# So many bytes are read before something is shown.
_STEP = 16 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_actions(parser, _add_actions)


def _add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions.add_parser("list", help="list all generations and what uses them")
    show = actions.add_parser("show", help="show one generation")
    show.add_argument("jail", metavar="JAIL", help="name of the jail")
    show.add_argument(
        "generation",
        nargs="?",
        metavar="GENERATION",
        help="generation, or its first characters (default: the current one)",
    )
    show.add_argument("--files", action="store_true", help="list each path and what requires it")
    diff = actions.add_parser("diff", help="compare two generations, with package names")
    diff.add_argument("jail", metavar="JAIL", help="name of the jail")
    diff.add_argument("old", nargs="?", metavar="OLD", help="older generation (default: the previous one)")
    diff.add_argument("new", nargs="?", metavar="NEW", help="newer generation (default: the current one)")
    back = actions.add_parser("rollback", help="go back to a generation and hold it until: jailssh update JAIL")
    back.add_argument("jail", metavar="JAIL", help="name of the jail")
    back.add_argument("generation", nargs="?", metavar="GENERATION", help="generation (default: the previous one)")
    push = actions.add_parser("push", help="write an image as an OCI image, for other hosts", description=PUSH)
    push.add_argument("jail", metavar="JAIL", help="name of the jail")
    push.add_argument("place", metavar="PLACE", help="new directory, archive (NAME.tar), or docker://HOST/NAME:TAG")
    push.add_argument("generation", nargs="?", metavar="GENERATION", help="generation (default: the current one)")
    pull = actions.add_parser("pull", help="take an image that another host has made, and hold it", description=PULL)
    pull.add_argument("jail", metavar="JAIL", help="name of the jail")
    pull.add_argument("place", metavar="PLACE", help="directory, archive (NAME.tar), or docker://HOST/NAME:TAG")
    digest_help = "what the image must be, as image push prints it (default: that of /etc/jailssh/images/JAIL.conf)"
    pull.add_argument("--digest", metavar="DIGEST", help=digest_help)
    clear = actions.add_parser("gc", help="remove unused generations")
    clear.add_argument(
        "generation",
        nargs="*",
        metavar="GENERATION",
        help="generations to remove, even if a rollback could use them",
    )
    verify = actions.add_parser("verify", help="read all content and report damage", description=VERIFY)
    verify.add_argument(
        "names",
        nargs="*",
        metavar="JAIL|GENERATION",
        help="images to verify; for a jail, its current one (default: all)",
    )
    verify.add_argument("--all", action="store_true", help="verify all images (the default)")
    repair_help = "repair damage from the files of this host, else build new images; sessions continue"
    verify.add_argument("--repair", action="store_true", help=repair_help)


def run(args: argparse.Namespace, context: Context) -> int:
    """Do the action."""
    context.need_root("image")
    if getattr(args, "jail", None) is not None:
        args.jail = combined_name(args.jail.split("+"))
    return _ACTIONS[args.action](args, context)


def _list(_args: argparse.Namespace, context: Context) -> int:
    rows = generations.generations_of(context.layout)
    lines = [_line(row) for row in rows]
    context.facts([_fact(row) for row in rows], lines or ["no images yet (they are built when needed)"])
    return EXIT_OK


def _line(row: generations.Generation) -> str:
    marks = [
        "current" if row.current else "old",
        "held" if row.held else "",
        "pulled" if row.pulled else "",
        pluralize(len(row.plans), "plan") if row.plans else "",
        pluralize(len(row.sessions), "session") if row.sessions else "",
        "LAST UPDATE FAILED" if row.failure else "",
    ]
    said = ", ".join(mark for mark in marks if mark)
    return f"{row.jail:<20} {row.generation}  {_date(row.time)}  {row.bytes / 1e6:8.1f} MB  {said}"


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "-" * 16


def _fact(row: generations.Generation) -> dict[str, Any]:
    return asdict(row)


def _show(args: argparse.Namespace, context: Context) -> int:
    layout = context.layout
    generation = generations.pick(layout, args.jail, args.generation)
    rows = [row for row in generations.generations_of(layout, args.jail) if row.generation == generation]
    if not rows:
        raise UsageError(
            f"generation {generation}", f"does not belong to jail '{args.jail}'", hint="jailssh image list"
        )
    row, manifest = rows[0], generations.manifest_of(layout, generation)
    entries = [{"path": each.path, "kind": each.kind, "origin": each.origin} for each in manifest.entries]
    lines = [
        f"jail       {row.jail}",
        f"image      {pool.tree_path(layout, generation)}",
        f"since      {_date(row.time)}",
        f"digest     {manifest.digest}",
        f"size       {row.bytes / 1e6:.1f} MB in {row.entries} paths",
        f"state      {'current' if row.current else 'old'}{', pulled' if row.pulled else ''}"
        f"{', held until jailssh update' if row.held else ''}",
        f"plans      {', '.join(row.plans) or 'none'}",
        f"sessions   {', '.join(map(str, row.sessions)) or 'none'}",
        *(f"note       {note}" for note in manifest.notes),
        *(f"failed     {line}" for line in (row.failure.lines if row.failure else ())),
    ]
    if args.files:
        lines += [f"{each['path']}  ({each['origin']})" for each in entries]
    fact = {
        **_fact(row),
        "digest": manifest.digest,
        "notes": list(manifest.notes),
        **({"files": entries} if args.files else {}),
    }
    context.facts(fact, lines)
    return EXIT_OK


def _diff(args: argparse.Namespace, context: Context) -> int:
    layout = context.layout
    new = generations.pick(layout, args.jail, args.new)
    old = generations.pick(layout, args.jail, args.old) if args.old else _before(layout, args.jail, new)
    rows = generations.difference(generations.manifest_of(layout, old), generations.manifest_of(layout, new))
    lines = [f"{old} → {new}"]
    lines += [f"{row.sign} {escape(row.path)}{f'  {row.what}' if row.what else ''}{_package(row)}" for row in rows]
    context.facts({"old": old, "new": new, "changes": [asdict(row) for row in rows]}, lines)
    return EXIT_OK


def _package(row: generations.Difference) -> str:
    return f"  [{row.package}]" if row.package else ""


def _before(layout: Layout, jail: str, generation: str) -> str:
    others = [row.generation for row in generations.generations_of(layout, jail) if row.generation != generation]
    if not others:
        raise UsageError(f"jail {jail}", "has no older generation", hint="jailssh image list")
    return others[0]


def _rollback(args: argparse.Namespace, context: Context) -> int:
    layout = context.layout
    wanted = generations.pick(layout, args.jail, args.generation) if args.generation else None
    again = f"jailssh image rollback {args.jail}{f' {wanted}' if wanted else ''}"
    return _hold(args, context, "rolled back to", again, lambda: store.rollback(layout, args.jail, wanted))


def _hold(args: argparse.Namespace, context: Context, what: str, again: str, change: Callable[[], str]) -> int:
    """Give the jail the image whose generation ``change`` returns, and everybody in it a plan with that."""
    layout = context.layout
    configuration = load_configuration(layout)
    setup.prepare(layout)
    with fs.lock(layout.lock), held_signals():
        # Interrupted, plans may still name the image of before: no harm, but it stays in view until they follow.
        journal = transaction.Journal(layout, f"image-{args.jail}")
        journal.begin(f"image {args.action} of jail {args.jail}", again)
        try:
            generation = change()
        except JailsshError:
            journal.forget()
            raise
        plans, errors = publish_plans(configuration, args.jail)
        journal.forget()
    lines = [f"jail {args.jail} {what} image {generation}, {pluralize(plans, 'plan')} published"]
    context.changed(lines, {fields.JAIL: args.jail, fields.IMAGE: generation})
    context.tell(f"note: held at image {generation}; to release: jailssh update {args.jail}")
    for error in errors:
        context.tell(error)
    return EXIT_FAILED if errors else EXIT_OK


def _push(args: argparse.Namespace, context: Context) -> int:
    # Imported here, as in _pull: slow, and for images that travel alone.
    from jailssh.image import oci
    from jailssh.tree import formats

    layout, place = context.layout, _place(args.place)
    carried.require_image(load_configuration(layout), args.jail)
    generation = generations.pick(layout, args.jail, args.generation)
    manifest = generations.manifest_of(layout, generation)
    write = partial(formats.write, name=f"{args.jail}:{generation}", labels=carried.labels(manifest))
    tree = pool.tree_path(layout, generation)
    if place.startswith(REGISTRY):
        with store.room(layout) as (_, room):
            write("oci", tree, f"{room}/layout")
            oci.carry(f"oci:{room}/layout", place, os.environ)
    else:
        write("oci", tree, place)
    lines = [f"image {generation} of jail {args.jail} pushed to {escape(place)}", f"digest {manifest.digest}"]
    context.changed(lines, {fields.JAIL: args.jail, fields.IMAGE: generation})
    return EXIT_OK


def _pull(args: argparse.Namespace, context: Context) -> int:
    configuration = load_configuration(context.layout)
    place, digest = _place(args.place), carried.digest_for(context.layout, args.jail, args.digest)
    carried.require_image(configuration, args.jail)
    again = f"jailssh image pull {args.jail} {place} --digest {digest}"
    with carried.fetched(context.layout, place, digest, os.environ) as found:
        take = partial(carried.take, configuration, args.jail, found, digest)
        return _hold(args, context, "has pulled", again, take)


def _place(word: str) -> str:
    return word if word.startswith(REGISTRY) else os.path.abspath(word)


def _gc(args: argparse.Namespace, context: Context) -> int:
    layout = context.layout
    configuration = load_configuration(layout)
    only = [_full(layout, each) for each in args.generation] or None
    gone_jails: list[str] = []
    if only is None:
        plans = {(plan.first("jail") or ("",))[0] for rows in plans_by_image(layout).values() for plan in rows}
        unused = [jail for jail in pool.jails_with_images(layout) if jail not in plans]
        gone_jails = [jail for jail in unused if is_gone(configuration, jail)]
        for jail in gone_jails:
            store.forget(layout, jail)
    pruned = prune_images(configuration, only)
    lines = [f"jail {jail} no longer exists, its images are not kept" for jail in gone_jails]
    lines += [f"removed {name}" for name in pruned.generations]
    lines.append(f"{pruned.bytes / 1e6:.1f} MB freed")
    facts = {"jails": gone_jails, "generations": list(pruned.generations), "bytes": pruned.bytes}
    context.facts(facts, lines)
    return EXIT_OK


def _full(layout: Layout, beginning: str) -> str:
    matching = [name for name in pool.generations(layout) if beginning and name.startswith(beginning)]
    if len(matching) != 1:
        why = "is ambiguous" if matching else "does not exist"
        raise UsageError(f"generation {escape(beginning)}", why, hint="jailssh image list")
    return matching[0]


def _verify(args: argparse.Namespace, context: Context) -> int:
    """Look, repair if told to, and tell."""
    if args.names and args.all:
        raise UsageError("image verify", "names and --all cannot be combined")
    layout = context.layout
    only = pick(layout, args.names) if args.names else None
    with _progress(context) as told:
        found = audit(layout, only, told)
    done = Repaired(list(found.damage))
    if found.damage:
        _record(found)
        if args.repair:
            done = _repair(context, found)
    _tell(args, context, found, done)
    return EXIT_FAILED if done.left else EXIT_OK


def _repair(context: Context, found: Audit) -> Repaired:
    done = repair.repair(context.layout, found.damage)
    if done.left:
        try:
            done = repair.rebuild(load_configuration(context.layout), done)
        except JailsshError as error:
            done.errors.append(str(error))
    return done


def _record(found: Audit) -> None:
    where = sorted({damage.where for damage in found.damage})
    text = f"{pluralize(len(found.damage), 'damage')} found in {', '.join(where)}; the first: {found.damage[0]}"
    journal.record(Event.IMAGE_FAILED, text, {fields.REASON: "image"})


def _tell(args: argparse.Namespace, context: Context, found: Audit, done: Repaired) -> None:
    lines = [f"damaged: {damage}" for damage in found.damage]
    lines += [f"jail {jail} now uses another image" for jail in done.rebuilt]
    lines += [f"image {generation} cannot be repaired; jails no longer use it" for generation in done.retired]
    amount = f"{pluralize(found.trees, 'image')}, {pluralize(found.paths, 'path')}, {found.bytes / 1e6:.1f} MB read"
    result = "no damage"
    if found.damage:
        result = pluralize(len(found.damage), "item") + " damaged"
        if args.repair:
            result += f", {pluralize(len(done.left), 'item')} left" if done.left else ", repaired"
    facts = {
        "images": found.trees,
        "paths": found.paths,
        "files": found.files,
        "bytes": found.bytes,
        "damage": [asdict(damage) for damage in found.damage],
        "left": [asdict(damage) for damage in done.left],
        "rebuilt": done.rebuilt,
        "retired": done.retired,
        "errors": done.errors,
    }
    context.facts(facts, [*lines, f"{amount}: {result}"])
    if context.json:
        return
    for error in done.errors:
        context.tell(error)
    for damage in done.left if args.repair else ():
        context.tell(f"still damaged: {damage}")
    if found.damage and not args.repair:
        context.tell("hint: jailssh image verify --repair")


@contextmanager
def _progress(context: Context) -> Iterator[Callable[[str, int], None] | None]:
    """Yield what shows the progress on a terminal; otherwise nothing is shown."""
    if context.json or not context.on_terminal():
        yield None
        return
    # Imported here: it takes longer than many a look.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("reading", total=None)
        read = shown = 0

        def told(_name: str, size: int) -> None:
            nonlocal read, shown
            read += size
            if read - shown >= _STEP:
                shown = read
                progress.update(task, description=f"reading: {read / 1e6:.0f} MB")

        yield told


_ACTIONS = {
    "list": _list,
    "show": _show,
    "diff": _diff,
    "rollback": _rollback,
    "push": _push,
    "pull": _pull,
    "gc": _gc,
    "verify": _verify,
}
