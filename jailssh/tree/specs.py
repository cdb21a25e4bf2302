"""Specs as the command line names them: which file or section is meant, and whether a file may be believed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jailssh.closure.errors import ImageError
from jailssh.closure.sources import NAMED, STICKY, Sources
from jailssh.core.errors import ConfigError
from jailssh.core.names import HostPath, escape
from jailssh.host.paths import Layout
from jailssh.jailspec.load import Source, SourceKind
from jailssh.jailspec.merge import Spec
from jailssh.jailspec.statements import Section

if TYPE_CHECKING:
    from jailssh.jail.configuration import Configuration
    from jailssh.plugin.api import ImageNeeds

_SECTION = "section:"
_SUFFIX = ".jailspec"
_LIMIT = 16 << 20


class Reader:
    """Reads specs; a file that others could have written is refused, since a spec runs commands as root.

    ``insecure``: whoever could have written it.
    """

    def __init__(self, *, insecure: bool = False) -> None:
        self._sources = Sources()
        self._trust = NAMED if insecure else STICKY

    def read(self, path: str) -> bytes:
        """Return the content of a spec file; :class:`ConfigError` says why it is not to be read."""
        try:
            found = self._sources.find(HostPath(os.path.abspath(path)), self._trust)
            if found is None:
                raise ConfigError(escape(path), "no such file")
            if not found.is_file:
                raise ConfigError(escape(path), "is a directory" if found.is_dir else "not a regular file")
            return self._sources.head(found, _LIMIT)
        except ImageError as error:
            hint = "others could write commands into it that root runs; mend owner and mode, or use --insecure"
            raise ConfigError(error.what, error.why, hint=hint) from error


def to_source(operand: str) -> Source:
    """Return what an operand names: ``section:NAME``, a file, or, if there is no such file, a section."""
    if operand.startswith(_SECTION):
        return Source(SourceKind.SECTION, operand.removeprefix(_SECTION))
    if "/" in operand or operand.endswith(_SUFFIX) or os.path.exists(operand):
        return Source(SourceKind.FILE, os.path.abspath(operand))
    return Source(SourceKind.SECTION, operand)


class Profiles(Collection[str]):
    """The names of the shipped profiles and the administrator's jails, looked up when one is asked for."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._loaded: Configuration | None = None

    @property
    def _configuration(self) -> Configuration:
        # Imported here: most specs name none, and then it would take longer than all the rest.
        from jailssh.jail.configuration import load_configuration

        if self._loaded is None:
            self._loaded = load_configuration(self._layout)
        return self._loaded

    def __contains__(self, name: object) -> bool:
        return name in self._configuration.documents

    def __iter__(self) -> Iterator[str]:
        return iter(self._configuration.documents)

    def __len__(self) -> int:
        return len(self._configuration.documents)

    def needs(self, spec: Spec) -> Mapping[str, Sequence[tuple[str, ImageNeeds]]]:
        """Return what the profiles named in ``spec`` need."""
        names = [one.name for one in spec.statements if isinstance(one, Section)]
        return {name: self._configuration.definition((name,)).needs() for name in names}
