"""Where things are on the host.

One :class:`Layout` is made at the start of a command and handed down; ``--root DIR`` puts state and configuration
below another directory (for tests and for images), programs stay where they are installed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from jailssh.core import asking

try:  # Written by the installation; a source tree has none.
    from jailssh import _build  # type: ignore[attr-defined, unused-ignore]

    PREFIX: str = _build.PREFIX
    INSTALL: str = _build.INSTALL
    PAM_MODULE: str = _build.PAM_MODULE
except ImportError:
    PREFIX, INSTALL = "/usr/local", "make install"
    PAM_MODULE = f"{PREFIX}/lib/{getattr(sys.implementation, '_multiarch', '')}/security/pam_jailssh.so"


@dataclass(frozen=True)
class Layout:
    """The directories and files of one installation, as absolute host paths.  ``root`` is "" for the real host."""

    root: str = ""
    prefix: str = PREFIX

    @property
    def etc(self) -> str:
        """Configuration: ``jailssh.conf``, ``jails/``, ``users/``, ``keys/``, ``keys.d/``."""
        return f"{self.root}/etc/jailssh"

    @property
    def config_file(self) -> str:
        """The main configuration file."""
        return f"{self.etc}/jailssh.conf"

    @property
    def jails(self) -> str:
        """The administrator's jail files, ``NAME.conf``; they win over shipped profiles of the same name."""
        return f"{self.etc}/jails"

    @property
    def users(self) -> str:
        """One file per account that is in a jail by name, ``NAME.conf``."""
        return f"{self.etc}/users"

    @property
    def keys(self) -> str:
        """Root-owned authorized_keys files, one per account."""
        return f"{self.etc}/keys"

    @property
    def key_rings(self) -> str:
        """The named keys of shared accounts: a directory for each account, a file ``NAME.pub`` for each name."""
        return f"{self.etc}/keys.d"

    @property
    def state(self) -> str:
        """Everything that is compiled or built."""
        return f"{self.root}/var/lib/jailssh"

    @property
    def plans(self) -> str:
        """The compiled plans, one file per uid; the only thing that the login program reads."""
        return f"{self.state}/plan.v1"

    @property
    def images(self) -> str:
        """The images: ``<jail>/current`` leads to a tree of ``.pool/``."""
        return f"{self.state}/images"

    @property
    def trees(self) -> str:
        """What is kept of trees that several commands run in, a directory for each name."""
        return f"{self.state}/trees"

    @property
    def kept(self) -> str:
        """The trees that are held now, a record for each name."""
        return f"{self.run}/trees"

    @property
    def systems(self) -> str:
        """The whole systems, a directory for each name; root's alone."""
        return f"{self.state}/systems"

    @property
    def systems_config(self) -> str:
        """What the administrator writes about them, a file for each."""
        return f"{self.etc}/systems"

    @property
    def cache(self) -> str:
        """Archives that systems are made from."""
        return f"{self.root}/var/cache/jailssh"

    @property
    def run_program(self) -> str:
        """The program that carries out commands in trees; it is not set-uid."""
        return f"{self.prefix}/libexec/jailssh/jailssh-run"

    @property
    def made_library(self) -> str:
        """The library that gives what programs in a jail make its mode and group (``[directories]``)."""
        return f"{self.prefix}/libexec/jailssh/jailssh-made.so"

    @property
    def recordings(self) -> str:
        """The recordings of sessions at a terminal, ``ACCOUNT.SESSION.cast``; root's alone."""
        return f"{self.state}/recordings"

    @property
    def webhooks(self) -> str:
        """What is still to be sent to webhooks; root's alone."""
        return f"{self.state}/webhooks"

    @property
    def undo(self) -> str:
        """Undo journals of account changes and of the set-up."""
        return f"{self.state}/undo"

    @property
    def bundles(self) -> str:
        """The signed bundle that this host goes by, the one before, and the newest serial; root's alone."""
        return f"{self.state}/bundle"

    @property
    def owners(self) -> str:
        """By name, the uid of the account that a keys file or a key ring is for."""
        return f"{self.state}/owners"

    @property
    def crontabs(self) -> str:
        """By uid, where an account whose jail has ``crontab`` keeps it, and what of it cron has."""
        return f"{self.state}/crontabs"

    @property
    def gone(self) -> str:
        """What was set aside of accounts that are gone, ``NAME-UID-DATE``; root's alone."""
        return f"{self.state}/gone"

    @property
    def lock(self) -> str:
        """The lock that every change of accounts and of the set-up holds."""
        return f"{self.undo}/.lock"

    @property
    def run(self) -> str:
        """Sockets, locks and the pinned mount namespace; gone after a reboot."""
        return f"{self.root}/run/jailssh"

    @property
    def networks(self) -> str:
        """Return the directory of the accounts' pinned network namespaces (jailssh/login/net_pin.c)."""
        return f"{self.root}/run/jailssh/net"

    @property
    def socket(self) -> str:
        """The socket of jailsshd."""
        return f"{self.run}/jailsshd.sock"

    @property
    def log_sockets(self) -> str:
        """The sockets by which jails log, in a directory for each uid."""
        return f"{self.run}/log"

    @property
    def asking(self) -> str:
        """The directory with the socket by which accounts in jails ask for changes of themselves."""
        return self.root + asking.PLACE

    @property
    def relay_socket(self) -> str:
        """Where root tells the relay whose these are."""
        return f"{self.run}/relay.sock"

    @property
    def daemon_program(self) -> str:
        """jailsshd."""
        return f"{self.prefix}/libexec/jailssh/jailsshd"

    @property
    def relay_program(self) -> str:
        """The unprivileged program that relays what jails log."""
        return f"{self.prefix}/libexec/jailssh/jailssh-relay"

    @property
    def relay_user(self) -> str:
        """The account that it runs as, for systemd-sysusers(8)."""
        return f"{self.prefix}/share/jailssh/jailssh-relay.conf"

    @property
    def deliver_program(self) -> str:
        """What mail servers run commands of accounts by."""
        return f"{self.prefix}/libexec/jailssh/jailssh-deliver"

    @property
    def refs_program(self) -> str:
        """The hook of git in images that judges what a push does to each reference."""
        return f"{self.prefix}/libexec/jailssh/jailssh-refs"

    @property
    def repos_program(self) -> str:
        """What does the commands of git accounts in images."""
        return f"{self.prefix}/libexec/jailssh/jailssh-repos"

    @property
    def login_program(self) -> str:
        """The set-uid login program, also the login shell of jailed accounts."""
        return f"{self.prefix}/libexec/jailssh/jailssh-login"

    @property
    def pam_module(self) -> str:
        """The PAM module, which the PAM profile names."""
        return PAM_MODULE

    @property
    def pam_table(self) -> str:
        """What the PAM module goes by besides the plans: groups whose members are in a jail, services let through."""
        return f"{self.state}/pam"

    @property
    def match_program(self) -> str:
        """The unprivileged program that runs the login program's matcher on a plan."""
        return f"{self.prefix}/libexec/jailssh/jailssh-match"

    @property
    def sshd_drop_in(self) -> str:
        """The sshd_config drop-in."""
        return f"{self.root}/etc/ssh/sshd_config.d/20-jailssh.conf"

    @property
    def sshd_marks(self) -> str:
        """What the drop-in's banner for nobody says: a file for each version of the drop-in."""
        return f"{self.state}/sshd"

    @property
    def reload_owed(self) -> str:
        """There from before sshd's configuration changes until every sshd was seen to go by it."""
        return f"{self.state}/reload-owed"

    @property
    def pam_owed(self) -> str:
        """There while the PAM profile is changed, from before it is switched off until it is on again."""
        return f"{self.state}/pam-owed"

    @property
    def jailed_groups(self) -> str:
        """The groups whose members are in a jail, one a line, for what cannot read the configuration."""
        return f"{self.state}/jailed-groups"
