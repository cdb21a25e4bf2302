"""Images that travel: what one host has made for others, verified by the digest that somebody gives who is believed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jailssh.closure.manifest import GENERATION_DIGITS, EntryKind, Manifest, without_made
from jailssh.config.files import read_image
from jailssh.core.closed import Root
from jailssh.core.errors import UsageError
from jailssh.core.names import HostPath, escape
from jailssh.files import fs, tree
from jailssh.host.paths import Layout
from jailssh.image import oci, pool, store, unpack
from jailssh.jail.configuration import Configuration
from jailssh.publish.images import Images

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_FILES = "files"
_LIMIT = 1 << 16


def check_digest(word: str) -> str:
    """Return a digest of an image as it is compared; the beginning, a generation, would not do."""
    digest = word.removeprefix("sha256:")
    if not _DIGEST.match(digest):
        hint = "all 64 digits that were printed by: jailssh image push, or jailssh image show"
        raise UsageError(f"digest {escape(word, 80)}", "is not one of an image", hint=hint)
    return digest


def digest_for(layout: Layout, jail: str, word: str | None) -> str:
    """Return the digest that the jail's image must have: ``word``, or else what a signed bundle has brought here."""
    path = f"{layout.etc}/images/{jail}.conf"
    if word is None and not os.path.lexists(path):
        hint = f"or have a signed bundle bring images/{jail}.conf with: digest = DIGEST"
        raise UsageError("image pull", "requires --digest", hint=hint)
    if word is None:
        word = read_image(fs.read_trusted(path, _LIMIT, trusted_root=layout.root or None), path)
    return check_digest(word)


def require_image(configuration: Configuration, jail: str) -> None:
    """Raise for a jail that shows the host's own programs, or that is none."""
    if configuration.definition(jail.split("+")).config.root == Root.LIVE:
        raise UsageError(f"jail {jail}", "has root = live: it shows this host's /usr, and has no image to carry")


def labels(manifest: Manifest) -> dict[str, str]:
    """Return what the OCI image of a tree says of it beside its content."""
    texts = [entry.path for entry in manifest.entries if entry.kind == EntryKind.TEXT]
    return {oci.DIGEST_LABEL: manifest.digest, oci.TEXTS_LABEL: json.dumps(texts)}


@contextmanager
def fetched(layout: Layout, source: str, digest: str, env: Mapping[str, str]) -> Iterator[Manifest]:
    """Give the manifest of the image at ``source``, whose files stay for the block; not believed yet.

    An image that is here already is not fetched.  See :func:`jailssh.image.oci.opened` for ``source`` and ``env``.
    """
    generation = digest[:GENERATION_DIGITS]
    here = pool.read_manifest(layout, generation) if generation in pool.generations(layout) else None
    if here and here.digest == digest:
        yield without_made(here)
        return
    with store.room(layout) as (room, place):
        files = tree.make_staging(room, _FILES)
        try:
            with oci.opened(source, place, env) as layer:
                manifest = unpack.unpack(layer, files, HostPath(f"{place}/{_FILES}"), source)
        except OSError as error:
            raise fs.failed("unpack the image in", place, error) from error
        finally:
            os.close(files)
        yield manifest


def take(configuration: Configuration, jail: str, manifest: Manifest, digest: str) -> str:
    """Make the fetched image the jail's, if it is the one with this digest and can serve; return its generation."""
    layout = configuration.layout
    definition = configuration.definition(jail.split("+"))
    wanted = Images(layout).wanted(definition)
    done = store.receive(layout, jail, manifest, digest, wanted, definition.verify, unpack.settled)
    return done.generation
