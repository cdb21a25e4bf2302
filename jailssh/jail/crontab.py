"""Crontabs that accounts edit inside of a jail (``crontab = yes``): what the jail needs for them, and where they are.

In there the host's own crontab(1) runs.  The spool directory that it writes to is a directory of the account's home,
so no set-id program is needed; ``jailssh.publish.crontabs`` takes what it holds over to where cron reads it.
"""

from __future__ import annotations

from jailssh.config.files import MainConfig
from jailssh.config.jails import JailConfig
from jailssh.core.errors import ConfigError
from jailssh.core.names import HostPath
from jailssh.plugin.api import ImageNeeds
from jailssh.services import spools

_SERVICES = frozenset(("cron", "crond"))


def crontab_needs(config: JailConfig) -> tuple[tuple[str, ImageNeeds], ...]:
    """Return what an image of such a jail holds besides; nothing for others."""
    folder = spools.crontab_folder()
    return (("crontab", ImageNeeds(programs=("crontab",), dirs=(folder,))),) if config.crontab and folder else ()


def crontab_place(config: JailConfig, main: MainConfig) -> HostPath | None:
    """Return where crontab(1) has its files, None for a jail without; :class:`ConfigError` where no job would run."""
    if not config.crontab:
        return None
    where = next(item.origin for item in config.items if item.setting.name == "crontab" and not item.setting.section)
    folder = spools.crontab_folder()
    if folder is None:
        raise ConfigError(where, "crontab: cron is not on this host", hint="apt-get install cron")
    if not services(main):
        why = "crontab: jobs of cron do not run in jails on this host"
        raise ConfigError(where, why, hint="pam_inside = cron in /etc/jailssh/jailssh.conf, then: jailssh setup")
    if spools.skips_pam():
        why = "crontab: systemd-cron does not ask PAM, so its jobs would run outside of the jail"
        raise ConfigError(where, why, hint="apt-get install cron")
    return HostPath(folder)


def services(main: MainConfig) -> frozenset[str]:
    """Return PAM's names of cron whose jobs run in jails."""
    return _SERVICES & set(main.pam_inside)
