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

_BY_SERVICE: tuple[tuple[str, str], ...] = (
    ("cron", "/etc/crontab /etc/cron.d/* /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/* "
     "/var/spool/cron/crontabs/* /var/spool/cron/tabs/* /var/spool/cron/atjobs/* /etc/anacrontab"),
    ("incron", "/etc/incron.d/* /var/spool/incron/*"),
    ("systemd", "/etc/systemd/system/*.service /etc/systemd/system/*.mount /etc/systemd/system/*.automount "
     "/etc/systemd/system/*.path /etc/systemd/system/*.d/*.conf /etc/systemd/user/*.service"),
    ("tmpfiles", "/etc/tmpfiles.d/*.conf"),
    ("FTP", "/etc/vsftpd.conf /etc/vsftpd/* /etc/vsftpd/*/* /etc/vsftpd.* /etc/proftpd/*.conf /etc/proftpd/conf.d/* "
     "/etc/proftpd/*.passwd /etc/pure-ftpd/conf/* /etc/pure-ftpd/pureftpd.passwd"),
    ("web", "/etc/apache2/*.conf /etc/apache2/sites-enabled/* /etc/apache2/conf-enabled/* /etc/httpd/conf.d/*.conf "
     "/etc/nginx/nginx.conf /etc/nginx/sites-enabled/* /etc/nginx/conf.d/* /etc/lighttpd/*.conf "
     "/etc/lighttpd/conf-enabled/* /etc/caddy/Caddyfile"),
    ("PHP", "/etc/php/*/fpm/pool.d/*.conf /etc/php-fpm.d/*.conf"),
    ("mail", "/etc/aliases /etc/postfix/main.cf /etc/postfix/master.cf /etc/postfix/virtual /etc/exim4/*.conf* "
     "/etc/exim4/conf.d/*/* /etc/dovecot/dovecot.conf /etc/dovecot/users /etc/dovecot/conf.d/* /etc/procmailrc"),
    ("mounts and quotas", "/etc/fstab /etc/auto.*"),
    ("quotas", "/etc/projects /etc/warnquota.conf"),
    ("backup", "/etc/rsnapshot.conf /etc/rsnapshot.d/* /etc/borgmatic/* /etc/borgmatic.d/* /etc/backup.d/* "
     "/etc/rsyncd.conf /etc/duplicity/* /etc/restic/* /etc/bacula/*.conf /etc/amanda/*/disklist /etc/backuppc/*.pl "
     "/etc/backup-manager.conf /etc/default/restic"),
    ("Samba", "/etc/samba/smb.conf"),
    ("NFS", "/etc/exports /etc/exports.d/*"),
    ("logrotate", "/etc/logrotate.d/*"),
    ("sudo", "/etc/sudoers /etc/sudoers.d/*"),
    ("sshd", "/etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf"),
    ("fail2ban", "/etc/fail2ban/jail.d/*"),
)  # fmt: skip
FILES: tuple[tuple[str, str], ...] = tuple(
    (service, pattern) for service, patterns in _BY_SERVICE for pattern in patterns.split()
)
"""(who reads it, files by pattern)."""
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
