"""Why something of the host cannot be taken into an image or a tree."""

from __future__ import annotations

from jailssh.core.errors import ConfigError, JailsshError


class ImageError(JailsshError):
    """An image cannot be made from what it needs; ``what`` names the file."""


class UnsafeModeError(ImageError):
    """A file or directory on this host could have been written by someone else than root."""


class MissingLibraryError(ImageError):
    """A library that a file needs is not found; ``library`` is its name."""

    def __init__(self, what: str, why: str, *, hint: str = "", library: str = "") -> None:
        super().__init__(what, why, hint=hint)
        self.library = library


class TooManyError(ImageError):
    """There is more than one tree can have; the rest of it is not looked at."""


class SourceChangedError(ImageError):
    """A file changed between being examined and being copied."""


class NoJailError(ConfigError):
    """The account's own file names a jail that is not there (any more): whoever took it away took all of it away."""
