"""The image: is it there, and as its manifest says, as far as that can be seen without reading all of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from jailssh.closure.manifest import Entry, EntryKind
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.files import beneath, fs
from jailssh.image import pool
from jailssh.plan.codec import Plan
from jailssh.upkeep import audit

_MOST = 5


@dataclass(frozen=True)
class ImageFacts:
    """An image that a plan of the account names: what is wrong with it, a path and a sentence each."""

    jail: str
    path: str
    exists: bool
    faults: tuple[tuple[str, str], ...]


def collect(case: Case) -> list[ImageFacts]:
    """Compare each image with its manifest: type, mode, owner, size and time of every path, the content of programs."""
    found: dict[str, ImageFacts] = {}
    for plan in case.plans:
        row = plan.first("image")
        if row and row[0] not in found:
            jail = (plan.first("jail") or ("",))[0]
            exists = os.path.isdir(row[0])
            faults = tuple(_faults(case, row[0], plan)) if exists else ()
            found[row[0]] = ImageFacts(jail, row[0], exists, faults)
    return list(found.values())


def _faults(case: Case, image: str, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, a few at most."""
    generation = os.path.basename(image)
    manifests = list(pool.manifests(case.layout, generation))
    manifest = next((each for _, each in manifests if each is not None), None)
    if manifest is None:
        yield "", "its manifest is damaged" if manifests else "its manifest is missing"
        return
    programs, told = {record.args[2] for record in plan.records if record.verb == "rule"}, 0
    root = fs.open_dir(image, strict=False)
    try:
        for entry in manifest.entries:
            if told < _MOST and (why := _fault(root, entry, read=entry.path in programs)):
                told += 1
                yield entry.path, why
    finally:
        os.close(root)


def _fault(root: int, entry: Entry, *, read: bool) -> str:
    """Return what is wrong with one path; ``read``: with its content too."""
    try:
        parent = beneath.open_beneath(root, os.path.dirname(entry.path).strip("/"))
        try:
            info = os.stat(os.path.basename(entry.path), dir_fd=parent, follow_symlinks=False)
            if read and entry.kind == EntryKind.FILE:
                return audit.entry_fault(parent, entry, info, {})[1]
            return audit.shape_fault(entry, info)
        finally:
            os.close(parent)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def judge(images: list[ImageFacts]) -> list[Fault]:
    """Say whether a login finds the tree that its plan names."""
    found = []
    for image in images:
        what = f"image of jail {image.jail}"
        if not image.exists:
            cure = "jailssh update --all && jailssh apply"
            found.append(Fault(what, f"{image.path} does not exist", cure))
        elif image.faults:
            path, why = image.faults[0]
            more = ", and more" if image.faults[1:] else ""
            where = f"{path}: " if path else ""
            found.append(Fault(what, f"is damaged: {where}{why}{more}", "jailssh image verify --repair"))
    return found
