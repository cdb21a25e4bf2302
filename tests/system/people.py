"""The accounts of a booted tree: one outside of any jail, one in each kind of jail, one that tries to be others."""

from __future__ import annotations

from tests.system.booted import BootedTree

# The exchange of keys that clients ask for first is most of what a login costs.
SSH = "-o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -o KexAlgorithms=curve25519-sha256 -i /root/key"
PASSWORD = "known"
OPEN, SHUT, OTHER, PORTS = "open", "shut", "other", "ports"
JAILS = {SHUT: "sftp-only", "runs": "shell", "copies": "scp-sftp", "code": "git-only", "backs": "rsync-backup",
         PORTS: PORTS}  # fmt: skip
OWN = "plugins = shell\nroot = live\nforward = inside\n"
KEY = "test -f /root/key || ssh-keygen -q -t ed25519 -N '' -f /root/key"
ACCOUNT = """
id {name} >/dev/null 2>&1 || useradd -m -s /bin/bash {name}
echo {name}:{password} | chpasswd
install -d -o {name} -m 700 /home/{name}/.ssh
install -o {name} -m 600 /root/key.pub /home/{name}/.ssh/authorized_keys
"""
REPOSITORY = """
rm -rf /srv/git /root/seed
git init -q -b main /root/seed
git -C /root/seed -c user.name=x -c user.email=x commit -q --allow-empty -m one
mkdir -p /srv/git
git clone -q --bare /root/seed /srv/git/x.git
chown -R code: /srv/git
"""


def write_jail(tree: BootedTree) -> None:
    """Write the jail that is none of jailssh's own."""
    tree.run(f"mkdir -p /etc/jailssh/jails; cat >/etc/jailssh/jails/{PORTS}.conf", input=OWN, check=True)


def prepare(tree: BootedTree) -> None:
    """Make the accounts, and let jailssh confine those that are to be; what is there already stays."""
    tree.sh(f"{KEY}; systemctl start ssh cron atd")
    tree.use_mail_server("exim4")
    for name in (OPEN, OTHER, *JAILS):
        tree.sh("set -e;" + ACCOUNT.format(name=name, password=PASSWORD))
    write_jail(tree)
    tree.sh("jailssh setup --yes")
    tree.sh(f"set -e; {REPOSITORY}")
    for name, jail in JAILS.items():
        tree.sh(f"jailssh adduser {name} --jail {jail} --yes --now")
    tree.sh("jailssh apply")  # sshd forwards for those that may
