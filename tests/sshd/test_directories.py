"""``[directories]``: people of a group and a web server share a site, by every plugin, and what is read stays so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.abilities import REPO
from tests.sshd.people import People
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "scp", "rsync", "borg", "journald", "login-program")

SITE, LOG = "/srv/www/site", "/srv/www/logs/access.log"
ADMIN = f"""
set -e
groupadd web
usermod -aG web www-data
install -d /srv/www /srv/www/logs
install -d -g web -m 2775 {SITE}
echo line >{LOG}
"""
# What each client leaves on the host: files that it sends with modes of its own.
MADE: dict[str, Callable[[World, str], object]] = {
    "sftp": lambda world, at: world.client.sftp("ann", f"mkdir {at}\nput page {at}/put\nput -p page {at}/kept\n"),
    "sftp-chmod": lambda world, at: world.client.sftp("ben", f"mkdir {at}\nchmod 700 {at}\nput -pr deep {at}/\n"),
    "scp": lambda world, at: world.client.scp(["-rp", "deep", f"ben@scratch:{at}"]),
    "scp-old": lambda world, at: world.client.scp(["-O", "-rp", "deep", f"ann@scratch:{at}"]),
    "rsync": lambda world, at: world.client.rsync(["-aAX", "deep/", f"ann@scratch:{at}"]),
    "rsync-chmod": lambda world, at: world.client.rsync(["-rptgo", "--chmod=F600,D700", "deep/", f"ben@scratch:{at}"]),
    "shell": lambda world, at: world.client.ssh("ben", f"mkdir {at} && echo text >{at}/f && cp {at}/f {at}/g"),
}
READ_ONLY: dict[str, Callable[[World], object]] = {
    "sftp": lambda world: world.client.sftp("ann", "-put page /logs/new\n-rm /logs/access.log\n"),
    "scp": lambda world: world.client.scp(["page", "ben@scratch:/logs/new"]),
    "scp-old": lambda world: world.client.scp(["-O", "page", "ben@scratch:/logs/new"]),
    "rsync": lambda world: world.client.rsync(["page", "ann@scratch:/logs/new"]),
    "shell": lambda world: world.client.ssh("ann", "echo >/logs/new; echo >>/logs/access.log; rm /logs/access.log"),
}


def example() -> str:
    """Return the jail of jailssh-jail(5) as it is printed there."""
    page = (REPO / "packaging/man/jailssh-jail.5.in").read_text()
    text = page[page.index("# /etc/jailssh/jails/site.conf\n") :]
    return text[: text.index(".Ed\n")]


@pytest.fixture(scope="module")
def site(world: World) -> Iterator[World]:
    world.host.run(["sh", "-c", ADMIN], check=True)
    world.host.write("/etc/jailssh/jails/site.conf", example())
    world.jailssh("setup", "--yes")
    for name in ("ann", "ben"):
        world.host.run(["useradd", "-m", "-G", "web", name], check=True)
        world.adduser(name, "site", "--yes")
    world.client.write("page", "a page\n", 0o600)
    world.client.run(
        ["sh", "-c", "umask 077; mkdir -p deep/er && echo text >deep/er/f && chmod 400 deep/er/f"], check=True
    )
    yield world
    for name in ("ann", "ben", "guest", "desk"):
        world.jailssh("deluser", name, "--now", "--yes")
        world.host.run(["userdel", "--remove", name], check=True)
    jails = " ".join(f"/etc/jailssh/jails/{name}.conf" for name in ("site", "nohome", "team"))
    world.host.run(["sh", "-c", f"rm {jails}; gpasswd -d www-data web; groupdel web"], check=True)
    world.jailssh("setup", "--yes")


def test_the_example_is_short() -> None:
    assert len([line for line in example().splitlines() if line and line[0] != "#"]) <= 10


@pytest.mark.parametrize("by", MADE)
def test_what_is_made_has_mode_and_group(site: World, by: str) -> None:
    MADE[by](site, f"/site/{by}")
    found = site.host.run(["find", f"{SITE}/{by}", "-printf", "%y %m %g\n"], check=True).stdout.splitlines()
    assert len(found) >= 3
    assert set(found) == {"d 2775 web", "f 664 web"}
    done = site.host.run(["sh", "-c", f"find {SITE}/{by} -type f -exec cat {{}} + | wc -l"], user="www-data")
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.parametrize("by", READ_ONLY)
def test_what_is_read_stays_as_it_is(site: World, by: str) -> None:
    READ_ONLY[by](site)
    assert site.host.run(["ls", "/srv/www/logs"]).stdout == "access.log\n"
    assert site.host.read(LOG) == b"line\n"


def test_each_changes_what_the_other_has_made(site: World) -> None:
    site.client.sftp("ann", "put page /site/both\n")
    assert site.client.ssh("ben", "echo more >>/site/both; cat /site/both").stdout == "a page\nmore\n"
    assert site.client.rsync(["-a", "page", "ben@scratch:/site/both"]).code == 0
    assert site.client.sftp("ann", "chmod 600 /site/both\nget /site/both back\n").code == 0
    assert site.host.run(["stat", "-c", "%a %G", f"{SITE}/both"]).stdout == "664 web\n"


def test_clients_see_what_is_listed_and_nothing_of_the_system(site: World) -> None:
    assert site.client.sftp("ann", "ls -1 /\n").stdout.splitlines()[1:] == ["/home", "/logs", "/site"]
    assert site.client.sftp("ann", "ls -1 /home\n").stdout.splitlines()[1:] == ["/home/ann"]
    assert "usr" in site.client.ssh("ann", "ls /").stdout


def test_explain_knows_the_place_on_the_host(site: World) -> None:
    said = site.jailssh("explain", "ann", "--", "scp -t /site/x", check=False).stdout
    assert f"{SITE} of this host" in said


def test_other_modes_are_told(site: World) -> None:
    site.host.run(["sh", "-c", f"install -m 600 /dev/null {SITE}/odd"], check=True)
    said = site.jailssh("config", "check", check=False)
    assert (
        f"a file or directory in {SITE}, such as {SITE}/odd: not of group web, or of another mode"
        in said.stdout + said.stderr
    )
    site.host.run(["rm", f"{SITE}/odd"], check=True)


def test_without_a_home_everything_is_as_the_rules_say(site: World) -> None:
    jail = example().replace(", shell", "").partition("[directories @all]")[0]
    site.host.write("/etc/jailssh/jails/nohome.conf", jail.replace("groups = web\n", ""))
    site.host.run(["useradd", "-m", "-G", "web", "guest"], check=True)
    site.adduser("guest", "nohome", "--yes")
    done = site.jailssh("selftest", "guest", check=False)
    assert done.code == 0, done
    assert site.client.sftp("guest", "pwd\n").stdout.splitlines()[-1] == "Remote working directory: /site"


def test_a_group_that_nobody_is_in_is_told(site: World) -> None:
    site.host.write("/etc/jailssh/jails/site.conf", example() + "\n[directories @wbe]\nread = /srv/www\n")
    said = site.jailssh("config", "check", check=False)
    site.host.write("/etc/jailssh/jails/site.conf", example())
    assert "unknown group '@wbe' in this jail" in said.stdout + said.stderr


CHROOT = """plugins = sftp, scp, rsync
[directories]
write = ~ as /
"""
# As sshd wants a ChrootDirectory: the home is root's, and so is what it has at its top, but for what is for uploads.
ROOTED = """
set -e
for name in kim lee; do
    useradd -M -d /srv/rooted/$name $name
    install -d -m 755 /srv/rooted /srv/rooted/$name /srv/rooted/$name/pub
    echo news >/srv/rooted/$name/pub/news
    install -d -o $name -m 700 /srv/rooted/$name/upload
done
install -d -o kim -m 700 /srv/rooted/kim/pub/in /srv/rooted/kim/.ssh
"""


def test_the_home_is_the_root_as_with_a_chroot_directory(world: World) -> None:
    host, client = world.host, world.client
    host.run(["sh", "-c", ROOTED], check=True)
    host.write("/etc/jailssh/jails/rooted.conf", CHROOT)
    for name in ("kim", "lee"):
        world.adduser(name, "rooted", "--yes")
    assert client.sftp("kim", "pwd\n").stdout.splitlines()[-1] == "Remote working directory: /"
    assert client.sftp("kim", "ls -1a /\n").stdout.splitlines()[1:] == ["/.", "/..", "/pub", "/upload"]
    client.write("page", "a page\n", 0o600)
    put = client.sftp("kim", "put page upload/a\nput page /pub/in/b\nget pub/news got\nmkdir /upload/d\n")
    assert put.code == 0, put
    client.scp(["page", "kim@scratch:/upload/c"])
    assert client.rsync(["page", "kim@scratch:/upload/e"]).code == 0
    found = host.run(
        ["find", "/srv/rooted/kim", "-newer", "/etc/jailssh/jails/rooted.conf", "-user", "kim"], check=True
    )
    assert {path.removeprefix("/srv/rooted/kim/") for path in found.stdout.splitlines()} >= {
        "upload/a", "pub/in/b", "upload/d", "upload/c", "upload/e",
    }  # fmt: skip
    # At the top, where root alone makes anything; in what is root's; in what the host acts on; in the system's own.
    for place in ("/x", "/pub/x", "/.ssh/x", "/../x", "/etc/x", "/srv/rooted/kim/x", "/srv/rooted/lee/upload/x"):
        assert client.sftp("kim", f"put page {place}\n").code != 0, place
    assert not host.run(["find", "/srv/rooted", "-name", "x"], check=True).stdout
    done = world.jailssh("selftest", "lee", check=False)
    assert done.code == 0, done
    # What root makes is seen after apply; what cannot be at the top of a jail is told, and so is a home of others.
    host.run(["sh", "-c", "install -d -o lee /srv/rooted/lee/more; rmdir /srv/rooted/kim/.ssh"], check=True)
    assert "lee" in world.jailssh("apply").stdout
    assert client.sftp("lee", "ls -1 /\n").stdout.splitlines()[1:] == ["/more", "/pub", "/upload"]
    assert client.sftp("kim", "ls -1 /\n").stdout.splitlines()[1:] == ["/pub", "/upload"]
    host.run(["mkdir", "/srv/rooted/lee/usr"], check=True)
    host.run(["chown", "kim", "/srv/rooted/kim"], check=True)
    wrong = world.jailssh("config", "check", check=False)
    assert "/srv/rooted/lee/usr cannot be shown as /usr, which a jail has for itself" in wrong.stdout + wrong.stderr
    assert "others than root can change /srv/rooted/kim" in wrong.stdout + wrong.stderr
    # One that is gone is empty, and keeps nobody out.
    host.run(["sh", "-c", "rmdir /srv/rooted/lee/usr /srv/rooted/lee/more"], check=True)
    assert client.sftp("lee", "ls -1 /\n").code == 0
    for name in ("kim", "lee"):
        world.jailssh("deluser", name, "--now", "--yes")
        host.run(["userdel", name], check=True)
    host.run(["rm", "-r", "/srv/rooted", "/etc/jailssh/jails/rooted.conf"], check=True)


# Each person of a shared account has a directory, a group of them a second one; all of it in the place of the home.
TEAM = """plugins = sftp, rsync, borg
root = live
[directories]
write = ~/%k as /own
[directories @writers]
write = /srv/team as /team
[sftp]
start = /
"""


def test_keys_have_directories_of_their_own(world: World) -> None:
    people = People(world, "desk")
    world.host.run(["useradd", "-m", "desk"], check=True)
    world.host.run(["install", "-d", "-o", "desk", "/srv/team"], check=True)
    world.host.write("/etc/jailssh/jails/team.conf", TEAM)
    world.jailssh("adduser", "desk", "--jail", "team", "--yes")
    for name, group in (("cleo", ["--group", "writers"]), ("dora", [])):
        world.jailssh("keys", "add", "desk", name, people.make(name), *group)
    config = "-F", ".ssh/of-cleo.config"
    assert world.client.sftp("desk", "ls -1\n", options=config).stdout.splitlines()[1:] == ["own", "team"]
    assert world.client.sftp("desk", "put page own/x\nput page /team/x\n", options=config).code == 0
    assert world.host.run(["ls", "/home/desk/cleo/x", "/srv/team/x"]).code == 0
    other = "-F", ".ssh/of-dora.config"
    assert world.client.sftp("desk", "ls -1\n", options=other).stdout.splitlines()[1:] == ["own"]
    assert world.client.sftp("desk", "get /own/x\n", options=other).code != 0
    shell = f"ssh -F {world.client.home}/.ssh/of-dora.config"
    assert world.client.run(["rsync", "-e", shell, "page", "desk@scratch:/own/by-rsync"]).code == 0
    assert world.host.run(["ls", "/home/desk/dora/by-rsync"]).code == 0
    env = {"BORG_RSH": shell, "BORG_BASE_DIR": f"{world.client.home}/.borg"}
    for words in (
        ["init", "-e", "none", "ssh://desk@scratch/own/r"],
        ["create", "ssh://desk@scratch/own/r::a", "page"],
    ):
        done = world.client.run(["borg", *words], env=env)
        assert done.code == 0, done
    assert world.client.run(["borg", "init", "-e", "none", "ssh://desk@scratch/team/r"], env=env).code != 0


# What the administrator can do to a listed directory, and what apply says of it then.
FAULTS = {
    "gone": ("mv {0} {0}.off", "is not a directory"),
    "link": ("mv {0} {0}.off && ln -s {0}.off {0}", "is a link"),
    "file": ("mv {0} {0}.off && touch {0}", "is not a directory"),
    "group": ("chgrp root {0}", "get another group"),
    "no-setgid": ("chmod g-s {0}", "get another group"),
    "way": ("chmod 777 /srv/www", "everybody on this host can replace"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_on_the_host_is_told_and_mended(site: World, fault: str) -> None:
    act, said = FAULTS[fault]
    site.host.run(["sh", "-c", act.format(SITE)], check=True)
    try:
        done = site.jailssh("config", "check", check=False)
        assert done.code == 1
        assert "[directories] write" in done.stderr
        assert said in done.stderr
        if said.startswith("is "):
            assert site.client.ssh("ann", "echo in").code == 125
    finally:
        back = f"[ ! -e {SITE}.off ] || {{ rm -f {SITE}; mv {SITE}.off {SITE}; }}; chgrp web {SITE}; chmod 2775 {SITE}"
        site.host.run(["sh", "-c", f"{back}; chmod 755 /srv/www"], check=True)


def test_a_mount_inside_is_told(site: World) -> None:
    site.host.run(["sh", "-c", f"mkdir {SITE}/m && mount -t tmpfs none {SITE}/m"], check=True)
    said = site.jailssh("config", "check", check=False)
    site.host.run(["sh", "-c", f"umount {SITE}/m && rmdir {SITE}/m"], check=True)
    assert f"{SITE}/m is mounted in {SITE}" in said.stdout + said.stderr
