"""What else on the host names the home or the shell of an account that is brought in, and would go on with the old one.

A table of files that other services read; each is searched for whole paths, so ``/srv/j1/home/al`` is not found in
``/srv/j1/home/alice``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.core.names import escape
from jailssh.sources.found import Found, Host

FILES: tuple[tuple[str, str], ...] = (
    ("cron", "/etc/crontab"), ("cron", "/etc/cron.d/*"), ("cron", "/var/spool/cron/crontabs/*"),
    ("anacron", "/etc/anacrontab"), ("systemd", "/etc/systemd/system/*.service"),
    ("systemd", "/etc/systemd/system/*.mount"), ("systemd", "/etc/systemd/system/*.automount"),
    ("systemd", "/etc/systemd/system/*.path"), ("systemd", "/etc/systemd/system/*.d/*.conf"),
    ("tmpfiles", "/etc/tmpfiles.d/*.conf"), ("FTP", "/etc/vsftpd.conf"), ("FTP", "/etc/vsftpd/*"),
    ("FTP", "/etc/vsftpd.*"), ("FTP", "/etc/proftpd/*.conf"), ("FTP", "/etc/proftpd/conf.d/*"),
    ("FTP", "/etc/proftpd/ftpd.passwd"), ("FTP", "/etc/pure-ftpd/conf/*"), ("FTP", "/etc/pure-ftpd/pureftpd.passwd"),
    ("web", "/etc/apache2/sites-enabled/*"), ("web", "/etc/apache2/conf-enabled/*"), ("web", "/etc/nginx/nginx.conf"),
    ("web", "/etc/nginx/sites-enabled/*"), ("web", "/etc/nginx/conf.d/*"), ("web", "/etc/lighttpd/*.conf"),
    ("PHP", "/etc/php/*/fpm/pool.d/*.conf"), ("mail", "/etc/aliases"), ("mail", "/etc/postfix/main.cf"),
    ("mail", "/etc/postfix/virtual"), ("mail", "/etc/exim4/exim4.conf.localmacros"), ("mail", "/etc/dovecot/users"),
    ("mail", "/etc/dovecot/conf.d/*"), ("mounts and quotas", "/etc/fstab"), ("quotas", "/etc/projects"),
    ("quotas", "/etc/warnquota.conf"), ("backup", "/etc/rsnapshot.conf"), ("backup", "/etc/borgmatic/*"),
    ("backup", "/etc/borgmatic.d/*"), ("backup", "/etc/backup.d/*"), ("backup", "/etc/rsyncd.conf"),
    ("backup", "/etc/duplicity/*"), ("Samba", "/etc/samba/smb.conf"), ("NFS", "/etc/exports"),
    ("NFS", "/etc/exports.d/*"), ("logrotate", "/etc/logrotate.d/*"), ("sudo", "/etc/sudoers"),
    ("sudo", "/etc/sudoers.d/*"), ("incron", "/etc/incron.d/*"), ("incron", "/var/spool/incron/*"),
    ("sshd", "/etc/ssh/sshd_config"), ("sshd", "/etc/ssh/sshd_config.d/*.conf"),
)  # fmt: skip
_PATH = re.compile(r"/[^\s:;,=\"'()\[\]{}<>|&*?$#\\]+")
_MOST = 1000
_USUAL = ("", "sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "nologin", "false", "rbash")


@dataclass(frozen=True)
class Reference:
    """``service`` reads ``where`` (a file and a line), which names ``path`` of ``account``; or why it is not known."""

    service: str
    where: str
    path: str
    account: str


def references(host: Host, found: Iterable[Found]) -> Iterator[Reference]:
    """Yield what names a home or a shell that changes, at most a thousand; a file that cannot be read is named too."""
    people = {person.name: person for person in host.people()}
    owner: dict[str, str] = {}
    for each in found:
        person = people.get(each.account)
        if person is None:
            continue
        for path in (person.home, each.home):
            if path.rstrip("/"):
                owner.setdefault(_plain(path), each.account)
        # What names a usual shell means that, and not this account.
        if person.shell.rpartition("/")[2] not in _USUAL:
            owner.setdefault(person.shell, each.account)
    count = 0
    services: dict[str, str] = {}
    for service, pattern in FILES if owner else ():
        for path in host.glob(pattern):
            services.setdefault(path, service)
    for path, service in services.items():
        for one in _in_file(host, service, path, owner):
            yield one
            count += 1
            if count == _MOST:
                return


def _in_file(host: Host, service: str, path: str, owner: dict[str, str]) -> Iterator[Reference]:
    if host.kind(path) != "file":
        return
    try:
        text = host.peek(path)
    except JailsshError as error:
        yield Reference(service, path, f"cannot be read: {error}", "")
        return
    for number, line in enumerate((text or "").splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for match in _PATH.finditer(line):
            if name := _owner(_plain(match[0]), owner):
                yield Reference(service, f"{path}:{number}", escape(match[0], 200), name)
                break


def _plain(path: str) -> str:
    """Return the path without ``/./``, doubled slashes and a slash at the end."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _owner(path: str, owner: dict[str, str]) -> str:
    while len(path) > 1:
        if path in owner:
            return owner[path]
        path = path.rpartition("/")[0]
    return ""
