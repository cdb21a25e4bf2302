"""What else on a host names the home of an account that is brought in."""

from __future__ import annotations

import pytest

from jailssh.migration.references import FILES, Reference, references
from jailssh.sources.found import Found, Person
from tests.unit.source_tools import AHost

ALICE = Person("alice", 1001, 1001, group="alice", home="/srv/j1/./home/al", shell="/usr/sbin/jk_chrootsh")


def found(files: dict[str, str], home: str = "/srv/j1/home/al") -> list[Reference]:
    return list(references(AHost([ALICE], files), [Found("alice", "jailkit", "/etc/passwd:9", home=home)]))


@pytest.mark.parametrize(("path", "line", "told"), [
    ("/etc/cron.d/backup", "0 3 * * * root tar cf /backup.tar /srv/j1/home/al", "/srv/j1/home/al"),
    ("/etc/vsftpd.conf", "local_root=/srv/j1/home/al/www", "/srv/j1/home/al/www"),
    ("/etc/nginx/sites-enabled/x", "root /srv/j1/./home/al//www;", "/srv/j1/./home/al//www"),
    ("/var/spool/cron/crontabs/alice", "SHELL='/usr/sbin/jk_chrootsh'", "/usr/sbin/jk_chrootsh"),
    ("/etc/fstab", "/dev/sdb1 /srv/j1/home/al ext4 usrquota 0 2", "/srv/j1/home/al"),
])  # fmt: skip
def test_named_plain(path: str, line: str, told: str) -> None:
    assert [(each.where, each.path, each.account) for each in found({path: f"# x\n{line}\n"})] == [
        (f"{path}:2", told, "alice")
    ]


# A file of each service as an administrator or a panel writes it.
EXAMPLES = {
    "/etc/crontab": "17 * * * * root /usr/bin/find /srv/j1/home/al/tmp -delete",
    "/etc/cron.d/php": "*/5 * * * * alice cd /srv/j1/home/al/www && php cron.php",
    "/etc/cron.daily/tar": "tar -czf /var/backups/al.tgz -C /srv/j1/home/al .",
    "/var/spool/cron/atjobs/a0001": "cd /srv/j1/home/al || {",
    "/etc/anacrontab": "1 5 al /usr/local/bin/sync /srv/j1/home/al",
    "/etc/incron.d/up": "/srv/j1/home/al/in IN_CLOSE_WRITE /usr/local/bin/take $@/$#",
    "/etc/systemd/system/app.service": "WorkingDirectory=/srv/j1/home/al/app",
    "/etc/systemd/system/app.service.d/x.conf": "ReadWritePaths=/srv/j1/home/al",
    "/etc/systemd/system/srv-j1-home-al.mount": "Where=/srv/j1/home/al",
    "/etc/systemd/system/up.path": "PathChanged=/srv/j1/home/al/in",
    "/etc/tmpfiles.d/al.conf": "d /srv/j1/home/al/tmp 0700 alice alice 7d",
    "/etc/vsftpd.conf": "local_root=/srv/j1/home/al",
    "/etc/vsftpd/users/alice": "local_root=/srv/j1/home/al/www",
    "/etc/proftpd/proftpd.conf": 'DefaultRoot "/srv/j1/home/al" alice',
    "/etc/proftpd/ftpd.passwd": "alice:$1$x:1001:1001::/srv/j1/home/al:/bin/false",
    "/etc/pure-ftpd/pureftpd.passwd": "alice:$6$x:1001:1001::/srv/j1/home/al/./::::::::::::",
    "/etc/apache2/sites-enabled/al.conf": '    DocumentRoot "/srv/j1/home/al/www"',
    "/etc/apache2/apache2.conf": "<Directory /srv/j1/home/al/www/>",
    "/etc/nginx/sites-enabled/al": "    root /srv/j1/home/al/www;",
    "/etc/lighttpd/lighttpd.conf": 'server.document-root = "/srv/j1/home/al/www"',
    "/etc/caddy/Caddyfile": "    root * /srv/j1/home/al/www",
    "/etc/php/8.2/fpm/pool.d/al.conf": "php_admin_value[open_basedir] = /srv/j1/home/al/www:/tmp",
    "/etc/aliases": 'alice: "|/srv/j1/home/al/bin/filter"',
    "/etc/postfix/main.cf": "mailbox_command = /usr/bin/procmail -a /srv/j1/home/al",
    "/etc/exim4/exim4.conf.localmacros": "AL_MAIL = /srv/j1/home/al/Maildir",
    "/etc/dovecot/conf.d/10-mail.conf": "mail_location = maildir:/srv/j1/home/al/Maildir",
    "/etc/fstab": "/data/al /srv/j1/./home/al none bind 0 0",
    "/etc/auto.homes": "/srv/j1/home/al -fstype=nfs server:/export/al",
    "/etc/projects": "10:/srv/j1/home/al",
    "/etc/rsnapshot.conf": "backup\t/srv/j1/home/al/\tlocalhost/",
    "/etc/borgmatic/config.yaml": "    - /srv/j1/home/al",
    "/etc/rsyncd.conf": "path = /srv/j1/home/al",
    "/etc/restic/files": "/srv/j1/home/al",
    "/etc/bacula/bacula-dir.conf": '    File = "/srv/j1/home/al"',
    "/etc/backup.d/20.rdiff": "include = /srv/j1/home/al",
    "/etc/samba/smb.conf": "   path = /srv/j1/home/al",
    "/etc/exports": "/srv/j1/home/al 10.0.0.0/8(rw)",
    "/etc/logrotate.d/al": "/srv/j1/home/al/log/*.log {",
    "/etc/sudoers.d/al": "alice ALL=(root) NOPASSWD: /srv/j1/home/al/bin/restart",
    "/etc/ssh/sshd_config.d/al.conf": "    ChrootDirectory /srv/j1/home/al",
    "/etc/fail2ban/jail.d/al.conf": "logpath = /srv/j1/home/al/log/access.log",
}


@pytest.mark.parametrize("path", EXAMPLES)
def test_named(path: str) -> None:
    assert [(each.where, each.account) for each in found({path: f"# x\n{EXAMPLES[path]}\n"})] == [
        (f"{path}:2", "alice")
    ]


def test_each_service_has_an_example() -> None:
    told = {each.service for each in found({path: f"{line}\n" for path, line in EXAMPLES.items()})}
    assert told == {service for service, _ in FILES}


@pytest.mark.parametrize("line", ["/srv/j1/home/alice", "/srv/j1/home", "# /srv/j1/home/al", "x/srv/j1/home/a", "/"])
def test_not_named(line: str) -> None:
    assert not found({"/etc/crontab": f"{line}\n"})


def test_what_cannot_be_read_is_said() -> None:
    class Closed(AHost):
        def peek(self, path: str) -> str | None:
            from jailssh.core.errors import HostError

            raise HostError(path, "is writable by others")

    host = Closed([ALICE], {"/etc/crontab": ""})
    (told,) = references(host, [Found("alice", "jailkit", "/etc/passwd:9")])
    assert told.where == "/etc/crontab" and "writable by others" in told.path
