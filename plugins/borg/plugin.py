"""The borg plugin: ``borg serve`` for BorgBackup 1 and 2, held to configured repositories.

What a client asks for is built by ``borg_cmd()`` of borg's remote.py: ``borg serve``, a log level, debug topics, a
quota, with older versions a umask.  ``--restrict-to-path`` adds up when given twice, so a client's own is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial, denied
from jailssh_plugins.pythons import ENVIRONMENT, INTERPRETER, modules
from jailssh_plugins.roots import mounts, paths

_MODULES = ("borg", "msgpack", "packaging", "pkg_resources", "argon2", "_argon2_cffi_bindings", "platformdirs")
_QUOTA = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?[KMGTP]?\Z")
_LEVELS = ("critical", "error", "warning", "info", "debug")


class Borg:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "borg"
    summary = "backups with BorgBackup (borg serve)"
    options = (
        Option("repositories", "paths", "", "repositories, one directory each", listed=Listed.INSTEAD),
        Option("paths", "paths", "", "directories for any number of repositories", listed=Listed.WRITABLE),
        Option("append_only", "bool", "no", "only add archives; the owner can restore deleted ones"),
        Option("storage_quota", "word", "", "maximum size of a repository, as in 500G; empty means no limit"),
        Option("program", "path", "", "path of a stand-alone borg; empty means the distribution's package"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """A stand-alone program, or Python and borg's modules."""
        program, fixed = _find(jail, settings)
        return ImageNeeds(bare_programs=(program,), optional_files=modules(*_MODULES) if fixed else ())

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule to serve, one to say the version."""
        repositories = paths(settings, "repositories", account, self.name)
        anywhere = paths(settings, "paths", account, self.name)
        if not repositories and not anywhere:
            raise ConfigError("[borg]", "no directory is set", hint="set repositories, as in: repositories = ~/borg")
        program, fixed = _find(jail, settings)
        quota = str(settings["storage_quota"])
        if quota and not _QUOTA.match(quota):
            raise ConfigError("[borg] storage_quota", f"{quota!r} is not a size such as 500G")
        held = [word for path in repositories for word in ("--restrict-to-repository", path)]
        held += [word for path in anywhere for word in ("--restrict-to-path", path)]
        held += ["--append-only"] if settings["append_only"] else []
        held += ["--storage-quota", quota] if quota else []
        place = mounts((), (*repositories, *anywhere), account, self.name)
        words = ("borg", "/usr/bin/borg", "/usr/local/bin/borg", "borg1", "borg2")
        common = {
            "plugin": self.name,
            "program": program,
            "argv0": program,
            "command_names": words,
            "environment": ENVIRONMENT,
        }
        serve = Rule(
            id="borg.serve",
            argv_prefix=fixed,
            literal_words=("serve",),
            long_options=(
                *((level, "flag") for level in _LEVELS),
                ("debug-topic", "word"),
                ("umask", "int:0:777"),
                *(() if quota else (("storage-quota", "size:999999999999999999"),)),
            ),
            argv_insert=tuple(held),
            accessible_directories=place.accessible_directories,
            **common,  # type: ignore[arg-type]
        )
        version = Rule(id="borg.version", argv_prefix=fixed, literal_words=("--version",), **common)  # type: ignore[arg-type]
        held_in = (*repositories, *anywhere)
        kept = held_in if settings["append_only"] else ()
        reach = Reach(writes=held_in, changes=() if kept else held_in, keeps=kept)
        return PluginResult((serve, version), "borg", binds=place.binds, home=place.home, reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The server begins and ends, and takes nothing that lifts a limit."""
        limits = [
            "borg serve --restrict-to-path /",
            "borg serve --restrict-to-repository /",
            "borg serve --append-only",
        ]
        limits += ["borg serve --storage-quota 1"] if settings["storage_quota"] else []
        others = ("borg", "borg create x::y /etc", "borg mount x y", "borg key export x", "borg with-lock x id",
                  "borg serve --debug-profile /tmp/x", "borg --rsh id serve", "python3 -m borg serve")  # fmt: skip
        return (
            Trial("borg.version", "the version of the server", command="borg --version", shows="."),
            # Without a request it ends at the end of its input.
            Trial("borg.serve", "a server for a backup", command="borg serve"),
            *denied("borg.limits", "limits of the client's own, which would add to those that are set", *limits),
            *denied("borg.program", "another command of borg, or a program by an option", *others),
        )


def _find(jail: Jail, settings: Mapping[str, Value]) -> tuple[str, tuple[str, ...]]:
    """Return the program and the words before ``serve``.

    The package's borg is a script; Python's isolated mode (-I) keeps it from loading what lies in its directory.
    """
    wanted = str(settings["program"])
    found = jail.find_program(wanted or "borg")
    if found is None:
        raise ConfigError("borg", f"{wanted or 'borg'} is not installed on this host", hint="install borgbackup")
    if wanted:
        return found, ()
    interpreter = jail.find_program(INTERPRETER)
    if interpreter is None:
        raise ConfigError(
            "borg", f"{INTERPRETER} is not installed on this host", hint="set program to a stand-alone borg"
        )
    return interpreter, ("-I", "-m", "borg")


plugin = Borg()
