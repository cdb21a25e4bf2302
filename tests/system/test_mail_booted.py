"""Commands for mail of accounts in jails, run by the mail servers of a booted Debian through the delivery command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.booted import BootedTree
from tests.system.people import OPEN, SHUT

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

DELIVER = "/usr/local/libexec/jailssh/jailssh-deliver"
MAILED = "mailed"
JAIL = """\
plugins = sftp, command
[command]
commands = "/usr/bin/procmail <path:~/mail>", "/usr/bin/sleep <int:1:999>"
write = ~
"""
RECIPES = "MAILDIR=$HOME/mail\nDEFAULT=$HOME/mail/in/\nLOGFILE=$HOME/mail/log\n"
# In a jail with a shell: what it sees, and what it leaves.
ESCAPE = "#!/bin/sh\ncat >~/got\n{ ls / /home; ls /home/open /root; id -Gn; } >~/seen 2>&1\ntouch /var/tmp/escaped\n"
UNIT = "/etc/systemd/system/postfix.service.d"
ALLOWED = (
    "[Service]\\nCapabilityBoundingSet=~\\nSystemCallFilter=\\nRestrictNamespaces=no\\n"
    "ProtectHostname=no\\nPrivateDevices=no\\n"
)
RESTART = "systemctl daemon-reload; systemctl restart postfix"
TEMPLATE = "/etc/exim4/exim4.conf.template"
# What the manual page says, each with the way back.
SERVERS = {
    "postfix": (
        f"postconf -e 'local_command_shell = {DELIVER} -c'; mkdir -p {UNIT}; printf '{ALLOWED}' >{UNIT}/jailssh.conf;"
        f" {RESTART}",
        f"postconf -X local_command_shell command_time_limit; rm -r {UNIT}; {RESTART}",
    ),
    "exim4": (
        f"cp -p {TEMPLATE} /root/template; sed -i '/^address_pipe:/,/^$/s|  driver = pipe|&\\n"
        f"  command = {DELIVER} -- $address_pipe\\n  force_command|;"
        f' /^procmail_pipe:/,/^$/s|command = "|&{DELIVER} -- |; /^maildrop_pipe:/,/^$/s|command = "|&{DELIVER} -- |\''
        f" {TEMPLATE}; update-exim4.conf",
        f"mv /root/template {TEMPLATE}; update-exim4.conf",
    ),
}
IMPATIENT = {
    "postfix": "postconf -e 'command_time_limit = 2s'; postfix reload",
    "exim4": f"sed -i 's|^  force_command|&\\n  timeout = 2s|' {TEMPLATE}; update-exim4.conf",
}
AGAIN = {"postfix": "postqueue -f", "exim4": "exim4 -qff"}


@pytest.fixture(scope="module")
def host(tree: BootedTree) -> Iterator[BootedTree]:
    """The tree with the setting on and an account with recipes of its own."""
    tree.run("mkdir -p /root/kept; cp -p /etc/jailssh/jailssh.conf /root/kept/")
    tree.sh("echo 'mail_inside = yes' >>/etc/jailssh/jailssh.conf")
    tree.run("cat >/etc/jailssh/jails/mailer.conf", input=JAIL, check=True)
    tree.sh(f"jailssh setup --yes; jailssh adduser {MAILED} --jail mailer --yes --now")
    tree.sh(f"install -d -o {MAILED} -g {MAILED} /home/{MAILED}/mail")
    tree.run(f"cat >/home/{MAILED}/mail/rc; chown -R {MAILED}: /home/{MAILED}", input=RECIPES, check=True)
    tree.run("cat >/home/runs/escape; chmod 755 /home/runs/escape", input=ESCAPE, check=True)
    yield tree
    tree.run(f"jailssh deluser {MAILED} --yes --now; userdel -r {MAILED}; rm -rf /etc/jailssh/jails/mailer.conf")
    tree.run("cp -p /root/kept/jailssh.conf /etc/jailssh/ || rm /etc/jailssh/jailssh.conf")
    tree.sh("jailssh setup --yes; rm -rf /home/runs/escape /home/*/.forward /root/kept")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, host: BootedTree) -> Iterator[str]:
    """A mail server as the manual page sets it up."""
    name: str = request.param
    host.use_mail_server(name)
    unset = [each for each in checked(host) if "outside" in each]
    host.sh(SERVERS[name][0])
    assert (bool(unset), checked(host)) == (True, []), unset
    yield name
    host.sh(SERVERS[name][1])


def checked(host: BootedTree) -> list[str]:
    lines = host.run("jailssh check").stdout.splitlines()
    return [line for line in lines if "JSH-537" in line or "jailssh-deliver" in line]


def send(host: BootedTree, user: str, forward: str, *, wait: bool = True) -> None:
    """Send a message to an account whose ``.forward`` is one line; what cannot be delivered goes back to another."""
    owner = user.partition("+")[0]
    host.run(f"cat >/home/{owner}/.forward; chown {owner}: /home/{owner}/.forward", input=f"{forward}\n", check=True)
    host.sh(f"printf 'Subject: news\\n\\nhello\\n' | /usr/sbin/sendmail -i -f {OPEN}@localhost {user}@localhost")
    if wait:
        host.wait_for_mail()


def test_a_message_goes_through_the_recipes_of_an_account_inside(host: BootedTree, server: str) -> None:
    host.sh(f"rm -rf /home/{MAILED}/mail/in")
    send(host, MAILED, '"|/usr/bin/procmail mail/rc"')
    assert "\nhello\n" in host.sh(f"cat /home/{MAILED}/mail/in/new/*")
    assert host.sh(f"stat -c %U /home/{MAILED}/mail/in/new/*") == f"{MAILED}\n"
    told = host.sh("journalctl --sync; journalctl --no-pager -o cat JAILSSH_EVENT=session-start JAILSSH_USER=mailed")
    assert "command runs by rule command" in told.splitlines()[-1]


def test_a_pipe_that_tries_to_get_out_sees_the_jail(host: BootedTree, server: str) -> None:
    host.sh("rm -f /home/runs/got /home/runs/seen")
    send(host, "runs", '"|/home/runs/escape"')
    assert "\nhello\n" in host.sh("cat /home/runs/got")
    seen = host.sh("cat /home/runs/seen")
    assert "/home:\nruns\n" in seen
    assert seen.count("No such file") == 2, seen
    assert seen.endswith("\nruns\n"), "no group of the host's"
    assert host.run("test -e /var/tmp/escaped").returncode == 1


def test_what_the_jail_does_not_run_goes_back_with_the_reason(host: BootedTree, server: str) -> None:
    host.sh("rm -f /var/mail/open /var/tmp/ran")
    send(host, SHUT, '"|/usr/bin/touch /var/tmp/ran"')
    assert "jailssh: command not allowed" in host.sh("cat /var/mail/open")
    assert host.run("test -e /var/tmp/ran").returncode == 1


def test_a_message_waits_while_no_logins_are_allowed(host: BootedTree, server: str) -> None:
    begun = host.sh("jailssh lock --no-new-logins >/dev/null; rm -f /home/runs/got; date +%s").strip()
    try:
        send(host, "runs", '"|/home/runs/escape"', wait=False)
        told = f"journalctl --sync; journalctl -q -o cat --since=@{begun} JAILSSH_REASON=maintenance JAILSSH_USER=runs"
        host.wait(lambda: bool(host.sh(told)), "the first try")
    finally:
        host.sh("jailssh unlock --no-new-logins")
    assert f"{OPEN}@localhost" in host.sh("mailq")
    host.sh(AGAIN[server])
    host.wait_for_mail()
    assert "\nhello\n" in host.sh("cat /home/runs/got")


def test_an_account_without_a_jail_is_as_before(host: BootedTree, server: str) -> None:
    host.sh("rm -f /var/tmp/open-mail")
    send(host, OPEN, '"|/usr/bin/tee /var/tmp/open-mail"')
    assert "\nhello\n" in host.sh("cat /var/tmp/open-mail")
    assert host.sh("stat -c %U /var/tmp/open-mail; rm /home/open/.forward /var/tmp/open-mail") == f"{OPEN}\n"


def test_a_command_that_hangs_is_ended_with_all_of_its_jail(host: BootedTree, server: str) -> None:
    host.sh(f"rm -f /var/mail/open; {IMPATIENT[server]}")
    send(host, MAILED, '"|/usr/bin/sleep 321"')
    assert any(each in host.sh("cat /var/mail/open") for each in ("time limit exceeded", "local delivery failed"))
    assert host.run("pgrep -f '[s]leep 321'").returncode == 1
