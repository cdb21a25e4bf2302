"""How git is started to serve one repository: its spellings, its configuration, its environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from jailssh.plugin.api import Value

Pairs = tuple[tuple[str, str], ...]

EVENTS = (
    "applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg "
    "post-commit pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update "
    "reference-transaction push-to-checkout pre-auto-gc post-rewrite sendemail-validate fsmonitor-watchman "
    "post-index-change"
)
"""What a hook can be for, githooks(5).  git 2.54 and later takes hooks from a repository's configuration too, beside
the files of core.hooksPath: switched off for an event, none of them runs for it, and the files still do."""

CONFIG: Pairs = (
    ("core.fsmonitor", "false"),
    # No transport: an object missing from a partial clone must not make the server fetch it from elsewhere.
    ("protocol.allow", "never"),
    # A clean-up after a push must end before the session does, or it would be killed half done.
    ("gc.autoDetach", "false"),
    # Repositories may have another owner: this one, bare or beside its working tree, and no other.
    *((f"hook.{event}.enabled", "false") for event in EVENTS.split()),
    # Programs that a repository may name: for the tips of what it borrows from, and to reach other hosts.
    # It tells of none, and quietly: what is pushed borrows from the repository itself while it is looked at.
    ("core.alternateRefsCommand", "true"),
    ("core.sshCommand", "false"),
    ("safe.directory", "%p"),
    ("safe.directory", "%p/.git"),
)
"""Configuration for every service, beside the place of the hooks."""

JUDGED: Pairs = (("receive.procReceiveRefs", "refs"),)
"""Every reference of a push goes through the hook proc-receive; a repository can name more, and exempt none."""

_SWITCHES = (("push_options", "receive.advertisePushOptions"), ("partial_clone", "uploadpack.allowFilter"))

_LONGEST = 60_000
"""Bytes of a variable; a plan takes 64 KiB."""

_SIGNERS = (("gpg.program", "gpg"), ("gpg.x509.program", "gpgsm"), ("gpg.ssh.program", "ssh-keygen"))
"""Settings of what checks the signature of a push, and of commits and tags for hooks."""


def signers(programs: Iterable[str]) -> Pairs:
    """Return what checks signatures: ``programs`` of the administrator's, nothing that a repository names."""
    given = {os.path.basename(program): program for program in programs}
    return tuple((key, given.get(name, "false")) for key, name in _SIGNERS)


def switches(settings: Mapping[str, Value]) -> Pairs:
    """Return what the settings switch on or off, whatever a repository says."""
    return tuple((key, "true" if settings[name] else "false") for name, key in _SWITCHES)


def spellings(service: str) -> tuple[str, ...]:
    """Return the first words of git, of people, and of ``--upload-pack=/usr/bin/…``."""
    return (
        f"git-{service}",
        f"git {service}",
        f"/usr/bin/git-{service}",
        f"/usr/bin/git {service}",
        f"/usr/lib/git-core/git-{service}",
        f"/usr/libexec/git-core/git-{service}",
    )


def in_parts(name: str, lines: Iterable[str]) -> Pairs:
    """Return the variables ``NAME_0``, ``NAME_1`` … that hold ``lines``, one at least."""
    parts, room = [""], _LONGEST
    for line in lines:
        size = len(line.encode()) + 1
        if size > room:
            parts.append("")
            room = _LONGEST
        parts[-1] += f"{line}\n"
        room -= size
    return tuple((f"{name}_{number}", part.removesuffix("\n")) for number, part in enumerate(parts))


def judging(git: str, lines: Iterable[str]) -> Pairs:
    """Return the variables of our own hook proc-receive (jailssh/refs): ``lines`` are the rights to references."""
    return (("JAILSSH_GIT", git), ("JAILSSH_REPOSITORY", "%p"), *in_parts("JAILSSH_REFS", lines))


def environment(config: Pairs) -> Pairs:
    """Return the variables: no configuration but the repository's own and what stands here, which wins over it."""
    env = [("HOME", "/"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ATTR_NOSYSTEM", "1")]
    # A repository may allow a protocol of its own; this list, which holds none, goes before what it says.
    env.append(("GIT_ALLOW_PROTOCOL", "none"))
    env += [("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("GIT_CONFIG_COUNT", str(len(config)))]
    for number, (key, value) in enumerate(config):
        env += [(f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value)]
    return tuple(env)
