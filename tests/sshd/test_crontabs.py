"""Crontabs that accounts set in their jails: taken over to cron's, whatever the account puts there, and away again.

The machine need have no cron: what stands for crontab(1) writes where Debian's does, and cron's running of jobs in the
jail is tried on a booted Debian (``tests/system/test_pam_booted.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

NAME = "timely"
SPOOL = "/var/spool/cron/crontabs"
CONFIG = "/etc/jailssh/jailssh.conf"
JAIL = "plugins = shell sftp\nroot = live\ncrontab = yes\n"
CRONTAB = f"""#!/bin/sh
file={SPOOL}/$(id -un)
case $1 in
-l) cat $file ;;
-r) rm $file ;;
-) cat >$file.new && mv $file.new $file ;;
esac
"""
PAM = "/etc/pam.d/cron"
STACK = "@include common-account\n@include common-session-noninteractive\n"
JOB = "5 4 * * * true"


@pytest.fixture(scope="module")
def timely(world: World) -> Iterator[World]:
    host = world.host
    host.write("/usr/local/bin/crontab", CRONTAB, 0o755)
    host.run(["install", "-d", "-m", "1730", "-g", "staff", SPOOL], check=True)
    host.run(["sh", "-c", f"cp {CONFIG} /root/main.conf; echo 'pam_inside = cron' >>{CONFIG}"], check=True)
    host.write(PAM, STACK)
    host.write(f"/etc/jailssh/jails/{NAME}.conf", JAIL)
    world.jailssh("setup", "--yes")
    yield world
    host.run(["sh", "-c", f"mv /root/main.conf {CONFIG} || rm {CONFIG}; rm -r {SPOOL} /usr/local/bin/crontab"])
    host.run(["rm", PAM, f"/etc/jailssh/jails/{NAME}.conf"], check=True)
    world.jailssh("setup", "--yes")


@pytest.fixture
def account(timely: World) -> Iterator[str]:
    timely.adduser(NAME, NAME)
    yield NAME
    timely.jailssh("deluser", NAME, "--remove-home", "--now", "--yes")
    assert timely.host.run(["sh", "-c", f"ls -A {SPOOL} /var/lib/jailssh/crontabs"]).stdout.split() == [f"{SPOOL}:"]


def run(world: World, command: str) -> str:
    done = world.client.ssh(NAME, command)
    assert (done.code, done.stderr) == (0, ""), done
    return done.stdout.strip()


def taken(world: World) -> Finished:
    return world.jailssh("apply", "--crontabs", check=False)


def found(world: World) -> str:
    """Return what a check says of the account."""
    done = world.jailssh("check", NAME, check=False)
    assert done.code in (0, 1), done
    return done.stdout


def cron_has(world: World) -> str:
    return world.host.run(["cat", f"{SPOOL}/{NAME}"]).stdout.strip()


def test_what_is_set_in_the_jail_is_crons_with_the_next_run_and_goes_with_it(timely: World, account: str) -> None:
    run(timely, f"echo '{JOB}' | crontab -")
    assert run(timely, "crontab -l") == JOB and cron_has(timely) == ""
    assert taken(timely).stdout == f"{NAME}: crontab of the jail taken over, 15 bytes\n"
    assert cron_has(timely) == JOB and taken(timely).stdout == "no changes\n"
    facts = timely.host.run(["stat", "-c", "%a %U %G", f"{SPOOL}/{NAME}"]).stdout
    assert facts == f"600 {NAME} staff\n"
    timely.jailssh("apply")  # the note of what was taken over is still known
    run(timely, f"echo '{JOB} twice' | crontab -")
    taken(timely)
    assert cron_has(timely) == f"{JOB} twice"
    assert SPOOL not in found(timely)
    run(timely, "crontab -r")
    assert taken(timely).stdout == f"{NAME}: crontab of the jail removed\n" and cron_has(timely) == ""
    run(timely, f"echo '{JOB}' | crontab -")
    taken(timely)  # and deluser takes it away


def test_it_goes_with_the_setting(timely: World, account: str) -> None:
    run(timely, f"echo '{JOB}' | crontab -")
    taken(timely)
    path = f"/etc/jailssh/jails/{NAME}.conf"
    timely.host.write(path, JAIL.replace("yes", "no"))
    timely.jailssh("apply")
    assert cron_has(timely) == "" and run(timely, f"ls {SPOOL} 2>&1 || true").startswith("ls: cannot access")
    timely.host.write(path, JAIL)
    timely.jailssh("apply")
    taken(timely)
    assert cron_has(timely) == JOB


@pytest.mark.parametrize(("hostile", "has"), [
    ("ln -s /etc/shadow ~/.crontab/$USER", ""),
    ("ln -s /etc/passwd ~/.crontab/$USER", ""),
    ("mkfifo ~/.crontab/$USER", ""),
    ("mkdir ~/.crontab/$USER", ""),
    ("rm -r ~/.crontab; ln -s /etc ~/.crontab", ""),
    ("chmod 0 ~/.crontab", ""),
    (f"echo '{JOB} link' >x; ln -s ../x ~/.crontab/$USER", f"{JOB} link"),
    (f"echo '{JOB}' >~/.crontab/root", ""),
])  # fmt: skip
def test_what_is_not_the_accounts_own_is_not_read_and_goes_nowhere_else(
    timely: World, account: str, hostile: str, has: str
) -> None:
    run(timely, "true")  # a login makes the directory
    timely.host.run(["sh", "-c", f"cd /home/{NAME}; {hostile}"], user=NAME, check=True)
    taken(timely)
    assert cron_has(timely) == has
    assert timely.host.run(["ls", SPOOL]).stdout.split() == ([NAME] if has else [])


@pytest.mark.parametrize(("path", "text", "why"), [
    (PAM, "@include common-account\n", "the session phase of the PAM service cron does not ask pam_jailssh"),
    (PAM, STACK.split("\n", 1)[1], "the account phase of the PAM service cron does not ask pam_jailssh"),
    (PAM, None, "PAM has no service of cron's"),
    (CONFIG, "pam_services = cron\n", "pam_inside does not name cron"),
])  # fmt: skip
def test_nothing_is_left_to_a_cron_that_would_run_it_outside(
    timely: World, account: str, path: str, text: str | None, why: str
) -> None:
    run(timely, f"echo '{JOB}' | crontab -")
    taken(timely)
    assert cron_has(timely) == JOB
    timely.host.run(["cp", "-p", path, "/root/aside"], check=True)
    try:
        if text is None:
            timely.host.run(["rm", path], check=True)
        else:
            timely.host.write(path, text)
        done = taken(timely)
        assert done.code == 4 and f"crontabs of jails: {why}" in done.stderr and cron_has(timely) == "", done
    finally:
        timely.host.run(["mv", "/root/aside", path], check=True)
    taken(timely)
    assert cron_has(timely) == JOB


def test_it_follows_to_another_name(timely: World, account: str) -> None:
    run(timely, f"echo '{JOB}' | crontab -")
    taken(timely)
    timely.jailssh("rename", NAME, "later")
    try:
        assert taken(timely).stdout == "no changes\n"
        assert timely.host.run(["cat", f"{SPOOL}/later", f"/home/{NAME}/.crontab/later"]).stdout == f"{JOB}\n" * 2
        timely.host.write(f"/home/{NAME}/.crontab/later", f"{JOB} twice\n")
        timely.host.run(["chown", "later", f"/home/{NAME}/.crontab/later"], check=True)
        assert taken(timely).stdout == "later: crontab of the jail taken over, 21 bytes\n"
    finally:
        timely.jailssh("rename", "later", NAME)
    taken(timely)
    assert cron_has(timely) == f"{JOB} twice"


def test_one_that_is_too_large_is_told_and_the_one_before_stays(timely: World, account: str) -> None:
    run(timely, f"echo '{JOB}' | crontab -")
    taken(timely)
    run(timely, "head -c 70000 /dev/zero | tr '\\0' '#' | crontab -")
    done = taken(timely)
    assert done.code == 4 and "is larger than 65536 bytes" in done.stderr and cron_has(timely) == JOB


def test_a_crontab_that_root_made_is_kept_and_told(timely: World, account: str) -> None:
    run(timely, f"echo '{JOB}' | crontab -")
    timely.host.write(f"{SPOOL}/{NAME}", "1 1 * * * mine\n", 0o600)
    done = taken(timely)
    assert done.code == 1 and f"{SPOOL}/{NAME}: was not made in the jail, and is kept" in done.stderr
    assert cron_has(timely) == "1 1 * * * mine" and f"{SPOOL}/{NAME}" in found(timely)
    timely.host.run(["rm", f"{SPOOL}/{NAME}"], check=True)


def test_without_jobs_in_jails_it_is_an_error_with_its_line(timely: World) -> None:
    timely.host.run(["sed", "-i", "/^pam_inside/d", CONFIG], check=True)
    done = timely.jailssh("config", "check", check=False)
    timely.host.run(["sh", "-c", f"echo 'pam_inside = cron' >>{CONFIG}"], check=True)
    assert done.code == 1 and f"/etc/jailssh/jails/{NAME}.conf:3: crontab: jobs of cron do not run" in done.stderr, done
    for other in ("--dry-run", "--gone", "--pull"):
        assert timely.jailssh("apply", "--crontabs", other, check=False).code == 2
