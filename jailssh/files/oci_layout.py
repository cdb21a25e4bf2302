"""Image layouts of the OCI image specification (1.0): what is named how in one, and the way to its blobs.

Anybody may have filled one: no link is followed, and what a blob's name says of it is compared by who opens it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType

from jailssh.files import fs

MEDIA = "application/vnd.oci.image"
MANIFEST, CONFIG = f"{MEDIA}.manifest.v1+json", f"{MEDIA}.config.v1+json"
LAYERS: Mapping[str, str] = MappingProxyType(
    {f"{MEDIA}.layer.v1.tar{f'+{program}' if program else ''}": program for program in ("", "gzip", "zstd")}
)
"""What decompresses a layer, by its media type; "" for one that is a tar as it is."""
MARK, INDEX, BLOBS = "oci-layout", "index.json", "blobs/sha256"
REFERENCE = "org.opencontainers.image.ref.name"
"""The annotation in an index by which people call an image."""
DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")


def open_blob(layout: int, digest: str) -> int:
    """Return a descriptor, for reading, of the blob that 64 digits name, below an open layout; OSError."""
    folder = fs.open_dir_at(layout, BLOBS)
    try:
        return fs.open_plain_at(folder, digest)
    finally:
        os.close(folder)
