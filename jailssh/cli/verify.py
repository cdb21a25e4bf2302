"""``jailssh image verify``: is every image what its manifest says, and if not, made so again."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from jailssh.cli.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.names import counted
from jailssh.host import journal
from jailssh.image import repair
from jailssh.image.audit import Audit, audit, pick
from jailssh.image.jail import load_configuration
from jailssh.image.repair import Repaired

VERIFY = """Reads every file of the images and compares content, mode, owner, attributes and names with the manifests.
Exit status 0: all is right, or is right again; 1: damage was found, or is left."""
# So many bytes are read before something is shown.
_STEP = 16 << 20


def run_verify(args: argparse.Namespace, context: Context) -> int:
    """Look, repair if told to, and tell."""
    if args.names and args.all:
        raise UsageError("image verify", "names and --all exclude each other")
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
    text = f"{counted(len(found.damage), 'damage')} found in {', '.join(where)}; the first: {found.damage[0]}"
    journal.record("image-failed", text, {fields.REASON: "image"})


def _tell(args: argparse.Namespace, context: Context, found: Audit, done: Repaired) -> None:
    lines = [f"damaged: {damage}" for damage in found.damage]
    lines += [f"jail {jail} has another image now" for jail in done.rebuilt]
    lines += [f"image {generation} cannot be repaired; no jail uses it any more" for generation in done.retired]
    amount = f"{counted(found.trees, 'image')}, {counted(found.paths, 'path')}, {found.bytes / 1e6:.1f} MB read"
    result = "all right"
    if found.damage:
        result = counted(len(found.damage), "thing") + " damaged"
        if args.repair:
            result += f", {counted(len(done.left), 'thing')} left" if done.left else ", repaired"
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
