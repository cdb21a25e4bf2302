"""Errors of the image room."""

from __future__ import annotations

from jailssh.core.errors import JailsshError


class ImageError(JailsshError):
    """An image cannot be made from what it needs; ``what`` names the file."""


class DistrustError(ImageError):
    """A file or directory on this host could have been written by someone else than root."""


class SourceChangedError(ImageError):
    """A file changed between being examined and being copied."""
