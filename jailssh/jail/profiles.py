"""The profiles that are part of jailssh."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import jailssh
from jailssh.config.reader import Document, read_document

SUFFIX = ".conf"


@cache
def shipped_profiles() -> Mapping[str, Document]:
    """Return the profiles that are part of jailssh, by name; they are as trusted as its code."""
    folder = os.path.join(os.path.dirname(jailssh.__file__), "profiles")
    profiles = {}
    for file in sorted(os.listdir(folder)):
        with open(os.path.join(folder, file), "rb") as stream:
            profiles[file.removesuffix(SUFFIX)] = read_document(stream.read(), f"profile {file.removesuffix(SUFFIX)}")
    return MappingProxyType(profiles)
