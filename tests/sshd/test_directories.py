"""``[directories]``: people of a group and a web server share a site, by every plugin; the kernel holds what is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "rsync", "journald", "login-program")

# The example of jailssh-jail(5).
JAIL = """summary = "people who edit the site"
plugins = sftp, scp, rsync, shell
groups = web

[directories]
read = /srv/www/logs as /logs
write = /srv/www/site as /site
mode = 0664
group = web

[directories @all]
write = ~
"""
PEOPLE = ("ann", "ben")
SITE = "/srv/www/site"
FORCED = ["web 664", "web 2775"]


@pytest.fixture(scope="module")
def site(world: World) -> Iterator[str]:
    host = world.host
    script = "groupadd web && groupadd other && install -d /srv/www && install -d -g web -m 2775 /srv/www/site && "
    script += "install -d -m 755 /srv/www/logs && echo line >/srv/www/logs/access.log && usermod -aG web www-data"
    host.run(["sh", "-c", script], check=True)
    host.write("/etc/jailssh/jails/site.conf", JAIL)
    world.jailssh("setup", "--yes")
    for name in PEOPLE:
        world.adduser(name, "site")
        host.run(["usermod", "-aG", "web", name], check=True)
    world.jailssh("apply")
    yield SITE


def test_x(world: World, site: str) -> None:
    c = world.client
    print(world.jailssh("plan", "show", "ann").stdout)
    c.write("secret.html", "x\n", 0o600)
    c.run(["sh", "-c", "mkdir -p -m 700 deep/er; echo y >deep/er/f; chmod 600 deep/er/f"], check=True)
    sftp = c.sftp
    print(
        sftp(
            "ann",
            "-mkdir x\nput secret.html /site/a.html\nput -p secret.html /site/p.html\nchmod 600 /site/a.html\nmkdir /site/d\nchmod 700 /site/d\nput -rp deep /site/d/\nls -la /site\nput secret.html /logs/x\nput secret.html home.html\n",
        )
    )
    print(c.scp(["-p", "secret.html", "ben@127.0.0.1:/site/scp.html"]))
    print(c.scp(["-O", "-p", "secret.html", "ben@127.0.0.1:/site/scpO.html"]))
    print(c.rsync(["-a", "deep/", "ben@127.0.0.1:/site/rs/"]))
    print(c.rsync(["-rtAX", "--chmod=F600", "secret.html", "ben@127.0.0.1:/site/rs/"]))
    print(c.rsync(["ben@127.0.0.1:/logs/", "got"]))
    print(c.rsync(["secret.html", "ben@127.0.0.1:/logs/"]))
    print(
        c.ssh(
            "ann",
            "id; pwd; umask; ls -la / /site; mkdir /site/sh; echo >/site/sh/f; echo >/logs/x; echo >>/site/scp.html; env",
        )
    )
    print(world.host.run(["sh", "-c", f"find {SITE} /home/ann -printf '%u %g %m %p\\n'; ls -l /home/ann"]).stdout)
    print(world.host.run(["sh", "-c", f"cat {SITE}/a.html {SITE}/d/deep/er/f"], user="www-data"))
    print(world.jailssh("config", "check", check=False))
    assert 0
