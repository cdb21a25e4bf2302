"""Make configuration effective: images built, plans compiled and put where the login program reads them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jailssh.config.reader import raise_all
from jailssh.core.errors import ConfigError, HostError, JailsshError, ManyErrors
from jailssh.host import accounts, fs
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.history import read_history
from jailssh.image.jail import (
    Configuration,
    JailDefinition,
    NotJailedError,
    find_account,
    load_configuration,
    to_account,
)
from jailssh.image.sources import Host
from jailssh.image.store import BuildResult, Wanted, adopt, current_image, ensure_image, new_host
from jailssh.plan import codec, ops
from jailssh.plan.compile import RESERVED, compile_plan, tops_of
from jailssh.plugin.api import Account
from jailssh.policy.seccomp import filter_for

STANDARD_TOPS = ("/home", "/mnt", "/opt", "/srv", "/var")
"""First components that every image has as mount points; others are added when the first account needs them."""


@dataclass(frozen=True)
class Published:
    """A published plan: ``changed`` if the file is not as it was, the image it uses, what the account can do."""

    plan: codec.Plan
    changed: bool
    image: BuildResult
    jail: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What publishing does to one account: the jail ("" is none any more) and the plan's lines that change."""

    uid: int
    name: str
    jail: str
    lines: tuple[str, ...]


class Images:
    """Finds and builds images.  What was found is believed for ``trust`` seconds without a look at the host's files.

    Jails whose images need the same get the same tree; with trust it is looked for once.  ``host``: what is read for
    one image serves the next as well, for one run that takes seconds.
    """

    def __init__(self, layout: Layout, trust: float = 0.0, host: Host | None = None) -> None:
        self._layout = layout
        self._trust = trust
        self._host = host
        self._seen: dict[str, tuple[str, float, BuildResult]] = {}
        self._made: dict[tuple[str, tuple[str, ...]], tuple[float, BuildResult]] = {}

    def wanted(self, definition: JailDefinition, tops: Sequence[str] = ()) -> Wanted:
        """Return what the jail's image shall hold: all that it needs and a mount point for each of ``tops``."""
        # An image keeps the mount points that accounts needed before, so that they do not build it in turns.
        kept = _mount_points(current_image(self._layout, definition.name))
        return Wanted(definition.needs(), tuple(sorted({*STANDARD_TOPS, *tops, *kept})))

    def ensure(self, definition: JailDefinition, tops: Sequence[str] = (), *, unpin: bool = False) -> BuildResult:
        """Return the jail's image with all that it needs, built if needed.  ``unpin``: see :func:`ensure_image`."""
        now, jail = time.monotonic(), definition.name
        wanted = self.wanted(definition, tops)
        inputs = wanted.inputs
        known = self._seen.get(jail)
        current = current_image(self._layout, jail)
        if known and known[0] == inputs and known[1] > now and known[2].path == current and not unpin:
            return known[2]
        result = self._take(definition, wanted, inputs, unpin)
        # Its mount points are among the needs from now on.
        after = self.wanted(definition, tops).inputs
        self._seen[jail] = (after, now + self._trust, replace(result, changed=False))
        return result

    def _take(self, definition: JailDefinition, wanted: Wanted, inputs: str, unpin: bool) -> BuildResult:
        now, jail = time.monotonic(), definition.name
        pinned = read_history(self._layout, jail).pinned and not unpin
        # Rules that run the same programs need not be verified twice.
        key = (inputs, definition.programs())
        made = self._made.get(key)
        if made and made[0] > now and not pinned and (result := adopt(self._layout, jail, made[1])):
            return result
        result = ensure_image(
            self._layout,
            jail,
            wanted.needs,
            extra_dirs=wanted.extra_dirs,
            verify=definition.verify,
            unpin=unpin,
            host=self._host,
        )
        if not pinned:
            self._made[key] = (now + self._trust, result)
        return result


def prune_images(configuration: Configuration, only: Sequence[str] | None = None) -> pool.Pruned:
    """Remove the generations that nothing needs, or those of ``only``; see :func:`jailssh.image.pool.prune`."""
    layout = configuration.layout
    # No plan may come to use a generation between the look and its removal.
    with _plans(layout):
        return pool.prune(layout, plans_by_image(layout), configuration.main.keep_generations, only)


def publish_plan(configuration: Configuration, account: Account, images: Images | None = None) -> Published:
    """Compile and publish the plan of ``account``, with its image.

    Raises :class:`NotJailedError`, :class:`ConfigError` (also when the configuration changed meanwhile: load it again),
    or what building an image raises.  The old plan stays as it is then.
    """
    layout = configuration.layout
    names = configuration.jails_for(account)
    definition = configuration.definition(names)
    results = definition.results(account)
    image = (images or Images(layout)).ensure(definition, tops_of(account, results))
    settings = definition.settings(configuration.main)
    plan = compile_plan(account, settings, results, image.path, filter_for(settings.network))
    _check_sources(plan, definition.name)
    with _plans(layout):
        # A plan of an older configuration must not replace one that another process has just published.
        if not configuration.is_current() or configuration.jails_for(account) != names:
            raise ConfigError(f"account {account.name}", "the configuration changed while its plan was made")
        if not os.path.isdir(image.path):
            raise ConfigError(f"account {account.name}", "its image was removed while its plan was made", hint="again")
        changed = _write(layout, plan)
    capabilities = tuple(dict.fromkeys(result.capability for result in results))
    return Published(plan, changed, image, definition.name, capabilities)


def _check_sources(plan: codec.Plan, jail: str) -> None:
    """Raise for a directory of the host that the jail shows and that is not there: every login would be refused."""
    for record in plan.records:
        if record.verb == "bind" and record.args[4:] == ("root", "must") and not os.path.isdir(record.args[0]):
            why = f"{record.args[0]} is no directory on this host"
            raise ConfigError(f"jail {jail}", why, hint=f"make it: mkdir -p {record.args[0]}, owned by who may write")


def withdraw_plan(layout: Layout, uid: int) -> bool:
    """Remove the plan of ``uid``; False if there was none.  A login without a plan asks jailsshd or is refused."""
    if not os.path.isdir(layout.plans):
        return False
    with _plans(layout):
        return fs.remove_file(_file(layout, uid))


def read_plan(layout: Layout, uid: int) -> codec.Plan | None:
    """Return the published plan of ``uid``, None if there is none; a damaged one is a :class:`ConfigError`."""
    data = _read(layout, uid)
    return None if data is None else codec.decode(data)


def planned_uids(layout: Layout) -> list[int]:
    """Return the uids that have a plan, sorted."""
    try:
        return sorted(int(name) for name in os.listdir(layout.plans) if name.isdigit())
    except FileNotFoundError:
        return []


def changes(configuration: Configuration) -> list[Change]:
    """Return what :func:`publish_all` would change, as far as it shows without building an image."""
    found = []
    for account in _accounts(configuration):
        uid, name = (account, "") if isinstance(account, int) else (account.uid, account.name)
        old = _readable_plan(configuration.layout, uid)
        if isinstance(account, int):
            found.append(Change(uid, old.name if old else "", "", ("- the plan",)))
            continue
        try:
            definition = configuration.definition(configuration.jails_for(account))
        except NotJailedError:
            found.append(Change(uid, name, "", ("- the plan",)))
            continue
        settings = definition.settings(configuration.main)
        path = current_image(configuration.layout, definition.name)
        image = path or f"{configuration.layout.images}/.pool/new"
        new = compile_plan(account, settings, definition.results(account), image, filter_for(settings.network))
        if lines := codec.diff(old, new):
            found.append(Change(uid, name, definition.name, tuple(lines)))
    return found


def publish_all(configuration: Configuration) -> list[Change]:
    """Publish the plan of every account that has a file or a plan, withdraw plans of accounts in no jail, prune images.

    Returns what changed.  An account's error does not stop the others; all errors are raised in the end.
    """
    images = Images(configuration.layout, 3600, new_host(configuration.layout))
    found: list[Change] = []
    errors: list[JailsshError] = []
    for account in _accounts(configuration):
        uid = account if isinstance(account, int) else account.uid
        old = _readable_plan(configuration.layout, uid)
        try:
            if isinstance(account, int):
                raise NotJailedError(f"uid {uid}", "is no account any more")
            published = publish_plan(configuration, account, images)
            if published.changed:
                lines = tuple(codec.diff(old, published.plan))
                found.append(Change(uid, account.name, published.jail, lines))
        except NotJailedError:
            withdraw_plan(configuration.layout, uid)
            found.append(Change(uid, old.name if old else "", "", ("- the plan",)))
        except ManyErrors as several:
            errors.extend(several.errors)
        except JailsshError as error:
            errors.append(error)
    prune_images(configuration)
    raise_all(list({str(error): error for error in errors}.values()))
    return found


class Publisher:
    """What account changes need of the configuration and the images; the configuration is read anew for each step."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        configuration = load_configuration(layout)
        self.min_uid: int = configuration.main.min_uid
        self.refuse_groups: tuple[str, ...] = configuration.main.refuse_groups
        self.groups: tuple[str, ...] = configuration.groups()

    def check(self, jails: tuple[str, ...]) -> None:
        """Raise unless every name is a jail or a plugin and they can be combined."""
        load_configuration(self._layout).check(jails)

    def publish(self, entry: accounts.Entry) -> str:
        """Build the account's image where needed, publish its plan, return what the account can do now."""
        published = publish_plan(load_configuration(self._layout), to_account(entry))
        return ", ".join(published.capabilities)

    def withdraw(self, uid: int) -> None:
        """Remove the plan of ``uid``; absent is fine."""
        withdraw_plan(self._layout, uid)


def _accounts(configuration: Configuration) -> Iterator[Account | int]:
    """Yield every account that has a file or a plan once, by uid; the bare uid where the account is gone."""
    found = {}
    for name in configuration.user_names():
        account = find_account(name)
        if account is not None:
            found[account.uid] = account
    for uid in sorted({*found, *planned_uids(configuration.layout)}):
        yield found.get(uid) or find_account(uid) or uid


def _mount_points(image: str | None) -> list[str]:
    """Return the directories in the root of an image that may have been put there as mount points."""
    if image is None:
        return []
    with os.scandir(image) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [f"/{name}" for name in names if name not in RESERVED]


@contextmanager
def _plans(layout: Layout) -> Iterator[None]:
    fs.ensure_dir(layout.plans, 0o700)
    with fs.lock(f"{layout.plans}/.lock"):
        yield


def _file(layout: Layout, uid: int) -> str:
    return f"{layout.plans}/{uid}"


def _read(layout: Layout, uid: int) -> bytes | None:
    try:
        return fs.read_trusted(_file(layout, uid), ops.MAX_SIZE, trusted_root=layout.root or None)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _write(layout: Layout, plan: codec.Plan) -> bool:
    data = codec.encode(plan)
    try:
        if _read(layout, plan.uid) == data:
            return False
    except HostError:
        pass  # What is there is not a file that the login program would take, so it is replaced.
    fs.atomic_write(_file(layout, plan.uid), data, 0o600)
    return True


def _readable_plan(layout: Layout, uid: int) -> codec.Plan | None:
    try:
        return read_plan(layout, uid)
    except JailsshError:
        return None


def plans_by_image(layout: Layout) -> dict[str, list[codec.Plan]]:
    """Return the published plans by the image's host path; a damaged plan, which no login takes, counts for nothing."""
    found: dict[str, list[codec.Plan]] = {}
    for uid in planned_uids(layout):
        plan = _readable_plan(layout, uid)
        if plan is not None and (args := plan.first("image")):
            found.setdefault(args[0], []).append(plan)
    return found
