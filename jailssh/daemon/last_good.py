"""The configuration that the daemon goes by: what the files say, or the last main file that could be read.

``jailssh.conf`` holds for every account, so a mistake in it would stop every first login.  Its last text without a
mistake is kept, and used until the mistake is mended.  The files of jails are always those of now: whose jail has a
mistake is refused, since an older text might allow what has been taken away since.
"""

from __future__ import annotations

import os
from contextlib import suppress

from jailssh.config.files import read_main
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, load_configuration

_LIMIT = 1 << 20


def kept_path(layout: Layout) -> str:
    """Return where the last main file without a mistake is kept; it outlives the daemon."""
    return f"{layout.state}/last-good.conf"


class LastGood:
    """Gives the configuration, read again only when a file changed.  Not to be used by two threads at once.

    ``trouble``: what is in use in the place of the main file and why, "" while that one is.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._last: Configuration | None = None
        self.trouble = ""

    def get(self) -> Configuration:
        """Return the configuration; raises what is wrong with the main file where none without a mistake is known."""
        if self._last is None or not self._last.is_current():
            self._last = self._load()
        return self._last

    def build_timeout(self, default: float) -> float:
        """Return for how many seconds a login may wait, by what is known without an error."""
        try:
            return self.get().main.build_timeout
        except (JailsshError, OSError, ValueError):
            return self._last.main.build_timeout if self._last is not None else default

    def _load(self) -> Configuration:
        try:
            found = load_configuration(self._layout)
        except JailsshError as error:
            try:
                if (kept := _read(self._layout, kept_path(self._layout))) is not None:
                    found = load_configuration(self._layout, read_main(kept, self._layout.config_file))
                    self.trouble = f"uses the last valid {self._layout.config_file}: {error}"
                    return found
            except JailsshError:
                pass  # The mistake is not in the main file, or what was kept is damaged.
            self.trouble = f"refuses all first logins: {error}"
            raise ConfigError(error.what, error.why, hint=error.hint) from error
        self.trouble = ""
        keep(self._layout)
        return found


def keep(layout: Layout) -> None:
    """Keep the main file as it is now, which has just been read without a mistake."""
    # A full disk takes nothing away but what would be used after the next mistake.
    with suppress(JailsshError, OSError):
        path, data = kept_path(layout), _read(layout, layout.config_file) or b""
        if _read(layout, path) != data:
            fs.atomic_write(path, data, mode=0o600)


def _read(layout: Layout, path: str) -> bytes | None:
    """Return the content of a trusted file, None where there is none; raises where it cannot be read."""
    return fs.read_trusted(path, _LIMIT, trusted_root=layout.root or None) if os.path.lexists(path) else None
