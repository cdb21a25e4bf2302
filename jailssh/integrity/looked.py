"""What is said of one account in a jail: by the configuration, and by comparing its plan with that.

This is the dear part of a run, and asked for by several checks; so it is one fact for each account, which is kept until
one of the account's files, a jail, a group or a directory that the jail shows changes.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from typing import Any

from jailssh.core.errors import HostError, JailsshError
from jailssh.diagnose.findings import Findings, of_account
from jailssh.host.as_each import ask_each
from jailssh.integrity.census import Person
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene
from jailssh.jail.this_host import to_account
from jailssh.jail.writable import Directories
from jailssh.publish import plan_files, quotas
from jailssh.publish.each import pending
from jailssh.services import slices

NOTHING = Findings((), ())
Said = tuple[str, str, str]
"""What, why and the cure, as an error has them."""


@dataclass(frozen=True)
class Looked:
    """``errors``, ``wrong``, ``notes``: of the configuration.

    ``plan``: absent, right, stale, damaged or error, ``why``, whose name is in it, and its images.
    """

    errors: tuple[Said, ...]
    wrong: tuple[Said, ...]
    notes: tuple[Said, ...]
    plan: str
    why: str
    plan_name: str
    images: tuple[str, ...]


def of(scene: Scene) -> dict[str, Looked]:
    """Return it for every account in a jail by name; one whose home does not answer is noted and left out."""
    return scene.once("looked", lambda: _look_at(scene))


def _look_at(scene: Scene) -> dict[str, Looked]:
    directories = Directories()
    found = {}
    people = list(scene.jailed.values())
    for entry, answer in ask_each([person.entry for person in people], lambda entry: _standing(entry.home)):
        if isinstance(answer, HostError):
            scene.unseen(answer)
            continue
        person = scene.jailed[entry.name]
        image = _image_stamp(scene, person.jail)
        held = quotas.standing(scene.layout, person.entry.uid)
        stamp = stamp_of(_files(scene, person), person.entry, person.jails, scene.settings_stamp, image, held)
        try:
            row = scene.kept.watched("looked", entry.name, stamp, lambda: _look(scene, person, directories))  # noqa: B023
        except HostError as error:
            scene.unseen(error)
            continue
        errors, wrong, notes = ([tuple(said) for said in part] for part in row[:3])
        plan, why, plan_name, images = row[3:]
        found[entry.name] = Looked(tuple(errors), tuple(wrong), tuple(notes), plan, why, plan_name, tuple(images))
    scene.errors += directories.silent.values()
    return found


def _standing(home: str) -> bytes:
    try:
        os.stat(home)
    except OSError:
        return b"-"
    return b"+"


def _files(scene: Scene, person: Person) -> list[str]:
    layout, name = scene.layout, person.entry.name
    ring = f"{layout.key_rings}/{name}"
    keys = sorted(glob.glob(f"{glob.escape(ring)}/*")) if os.path.isdir(ring) else []
    return [plan_files.plan_file(layout, person.entry.uid), f"{layout.users}/{name}.conf", f"{layout.keys}/{name}",
            ring, f"{layout.owners}/{name}", *keys, *slices.files_of(layout, person.entry.uid)]  # fmt: skip


def _image_stamp(scene: Scene, jail: str) -> str:
    """Return the stamp of what all accounts of a jail rest on."""
    return scene.once(f"image of {jail}", lambda: stamp_of([f"{scene.layout.images}/{jail}/current"]))


def _look(scene: Scene, person: Person, directories: Directories) -> tuple[list[Any], list[str]]:
    """Return the fact in a form that JSON holds, and the directories on which it rests."""
    configuration, name = scene.configuration, person.entry.name
    errors = configuration.errors_of(name)
    # Where no plan can be made, that is what is to be said.
    found = NOTHING if errors else of_account(configuration, name, directories)
    plan = _plan(scene, person)
    said = (errors, found.wrong, found.notes)
    rows = [[[error.what, error.why, error.hint] for error in part] for part in said]
    return [*rows, *plan], _places(scene, person)


def _places(scene: Scene, person: Person) -> list[str]:
    """Return the directories that the account's jail shows, and its home."""
    account = scene.configuration.placed(to_account(person.entry))
    try:
        results = scene.configuration.definition(person.jails).results(account)
    except JailsshError:
        return [person.entry.home]
    shown = {account.source_of(bind) for result in results for bind in result.binds}
    return sorted({account.on_host(account.home), *shown})


def _plan(scene: Scene, person: Person) -> list[Any]:
    """Return how the account's plan is, why, whose name stands in it, and the images of it and of its keys' plans."""
    try:
        plan = plan_files.read_plan(scene.layout, person.entry.uid)
    except JailsshError as error:
        return ["damaged", str(error), "", []]
    if plan is None:
        return ["absent", "", "", []]
    of_keys = [plan_files.readable_plan(scene.layout, plan.uid, serial) for serial in plan_files.keys_of(plan).values()]
    images = sorted({args[0] for each in (plan, *of_keys) if each and (args := each.first("image"))})
    try:
        change = pending(scene.configuration, to_account(person.entry))
    except JailsshError as error:
        return ["error", str(error), plan.name, images]  # The check of the configuration tells it.
    state, why = ("stale", "; ".join(change.lines[:3])) if change else ("right", "")
    return [state, why, plan.name, images]
