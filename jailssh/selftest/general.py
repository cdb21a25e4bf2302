"""What every jail must deny, whatever its plugins: what sshd offers around a login, and ways to write a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jailssh.core.errors import LOGIN_DENIED, LOGIN_NOT_FOUND
from jailssh.plugin.api import PluginResult
from jailssh.plugin.trials import DENIED, TOKEN, Trial
from jailssh.policy.rules import Rule
from jailssh.selftest import channels, forwarded
from jailssh.selftest.channels import Answer
from jailssh.selftest.client import FAILURES, Connection, Ran
from jailssh.selftest.report import Kind, Row, Verdict, shown

SSHD, JAILSSH = "sshd", "jailssh"
NOBODY = "jailssh-selftest-no-such-command"
_LONG = 100_000
"""Bytes, more than the login program takes and less than execve(2) does."""
_METACHARACTERS = ("; id", " && id", " | id", " & id", "\nid", " `id`", " $(id)", " > /tmp/x", " < /etc/passwd")
_COMMANDS = (
    ("shell", "a shell", ("sh", "/bin/sh", "bash -c id", "/bin/bash -i")),
    ("program", "a program that no rule has", ("id", "env", "cat /etc/passwd", "python3 -c 1", "perl -e 1")),
    ("launcher", "a program by way of another one", ("env id", "exec id", "nohup id", "busybox id", "sudo id", "su -")),
    ("loader", "a program by its loader", ("/lib64/ld-linux-x86-64.so.2 /bin/id", "LD_PRELOAD=/tmp/x.so id")),
    ("expansion", "words that a shell would make", ("$SHELL", "$(id)", "`id`", "${IFS}id", "{id,}", "() { :; }; id")),
    ("newline", "a second line", ("\nid", "true\nid", "true\rid")),
    ("login-program", "the login program itself", ("jailssh-login -c id", "/proc/self/exe -c id")),
)


@dataclass(frozen=True)
class Powers:
    """What the rules of a jail make of these attacks.

    ``free``: any command may be run, so the jail alone is the border.  ``login``: a login without a command is allowed.
    ``sftp``: there is an sftp server.  ``network``: the network of the host is there.  ``names``: the first words that
    rules have.
    """

    free: bool
    login: bool
    sftp: bool
    network: bool
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, results: Sequence[PluginResult], *, network: bool) -> Powers:
        """Return what the answers of the plugins come to."""
        rules: list[Rule] = [rule for result in results for rule in result.rules]
        names = {name for rule in rules if rule.builtin_reply is None for name in rule.command_names}
        return cls(
            "*" in names,
            any(rule.interactive_login for rule in rules),
            "internal-sftp" in names,
            network,
            frozenset(names),
        )


def first_login(ran: Ran, powers: Powers) -> tuple[Verdict, str]:
    """Judge the login that asks for a command that nobody has: the login program must be what answers."""
    right = LOGIN_NOT_FOUND if powers.free else LOGIN_DENIED
    told = powers.free or ran.err.startswith(b"jailssh: ")
    return (Verdict.OK if ran.code == right and not ran.out and told else Verdict.WRONG), ran.told()


def commands(powers: Powers, uses: Sequence[Trial], port: int) -> Iterator[Trial]:
    """Yield command lines that no rule may allow, and what stands behind one of the ``uses``; ``port``: of the sshd."""
    if powers.free:
        if not powers.network:
            test = f"for p in {port} 22 25 53 80 443; do exec 3<>/dev/tcp/127.0.0.1/$p && exit 0; done; exit 1"
            what = "services of this host by its network"
            yield Trial("network.host", what, attack=True, command=test, exits=())
        return
    for name, what, lines in _COMMANDS:
        for number, line in enumerate(lines, 1):
            if line.split()[0] in powers.names:
                continue  # An administrator may allow even this.
            yield Trial(f"command.{name}.{number}", what, attack=True, command=line, exits=DENIED)
    yield Trial("command.long", "a very long command", attack=True, command="x" * _LONG, exits=DENIED)
    firsts = {trial.id.partition(".")[0]: trial for trial in reversed(uses) if trial.command}
    for plugin, trial in sorted(firsts.items()):
        for number, more in enumerate(_METACHARACTERS, 1):
            yield Trial(
                f"command.{plugin}-and-more.{number}",
                "an allowed command with more behind it",
                attack=True,
                command=f"{trial.command}{more}",
                exits=DENIED,
                place=trial.place,
                visible=trial.visible,
            )


def around(
    connection: Connection, powers: Powers, socket_path: str, listening_path: str, *, forwards: bool
) -> Iterator[Row]:
    """Try what sshd offers beside a command.

    ``socket_path``: a Unix socket that takes connections; ``listening_path``: where none may come to be; ``forwards``:
    sshd forwards ports for the account, in its own network.
    """
    if forwards:
        what = "ports of the account's own network (ssh -L, -R)"
        answer = answered(lambda: forwarded.joins(connection))
        yield row("forward.inside", SSHD, what, what, "it works", *answer, kind=Kind.USE)
    tcp = forwarded.host_is_apart if forwards else channels.direct_tcpip
    listen = forwarded.listens_apart if forwards else channels.tcpip_forward
    asked: list[tuple[str, str, Callable[[], Answer]]] = [
        ("forward.tcp", "a connection to a port of this host (ssh -L, -W)", lambda: tcp(connection)),
        ("forward.socket", "a connection to a Unix socket of this host (ssh -L)",
         lambda: channels.direct_streamlocal(connection, socket_path)),
        ("forward.listen", "a port of this host that leads to the client (ssh -R)",
         lambda: listen(connection)),
        ("forward.listen-socket", "a Unix socket of this host that leads to the client (ssh -R)",
         lambda: channels.streamlocal_forward(connection, listening_path)),
        ("forward.agent", "the forwarding of an agent (ssh -A)", lambda: channels.agent(connection)),
        ("forward.x11", "the forwarding of X11 (ssh -X)", lambda: channels.x11(connection)),
        ("forward.tunnel", "a tunnel device (ssh -w)", lambda: channels.tunnel(connection)),
        ("subsystem.unknown", "a subsystem that does not exist (ssh -s)",
         lambda: channels.subsystem(connection, "jailssh-selftest-none")),
    ]  # fmt: skip
    for id, what, ask in asked:
        yield row(id, SSHD, what, what, "refusal", *answered(ask))
    yield from _environment(connection, powers)
    if not powers.login:
        yield from _logins(connection)


def subsystems(connection: Connection, powers: Powers, names: Sequence[str]) -> Iterator[Row]:
    """Try the subsystems that sshd has by these names: one that sshd serves itself would be outside of the jail."""
    for name in names:
        if powers.sftp or powers.free:  # what runs it there is the jail's shell
            what = f"files of the host by the subsystem {name}"
            answer = answered(lambda name=name: channels.files_of_host(connection, name))  # type: ignore[misc]
        else:
            what = f"the subsystem {name}, which this jail does not allow"
            answer = answered(lambda name=name: channels.subsystem(connection, name))  # type: ignore[misc]
        yield row(f"subsystem.{name}", SSHD, what, what, "refusal", *answer)


def answered(ask: Callable[[], Answer]) -> Answer:
    """Return what ``ask`` comes to, also where it could not be asked."""
    try:
        return ask()
    except FAILURES as error:
        # Before anything was asked: the server gave no session to ask it in.
        return None, f"not tried: {shown(str(error)) or 'the connection ended'}"


def _environment(connection: Connection, powers: Powers) -> Iterator[Row]:
    """Try variables that say something to the loader, to a shell, or to the login program."""
    sent = {
        "LD_PRELOAD": "/tmp/x.so", "LD_LIBRARY_PATH": "/tmp", "GLIBC_TUNABLES": "glibc.malloc.mxfast=1",  # noqa: S108
        "BASH_ENV": "/tmp/x", "ENV": "/tmp/x", "GIT_SSH_COMMAND": "id", "RSYNC_RSH": "id",  # noqa: S108
        "SSH_ORIGINAL_COMMAND": "internal-sftp", "SSH_USER_AUTH": "/dev/null", "JAILSSH_KEY": "root", "IFS": "x",
    }  # fmt: skip
    what = "variables that change what runs (LD_PRELOAD, SSH_ORIGINAL_COMMAND, …)"
    if powers.free:
        ran = connection.run("export -p", env=sent)
        names = {line.split()[2].partition(b"=")[0].decode("ascii", "replace")
                 for line in ran.out.splitlines() if len(line.split()) > 2}  # fmt: skip
        passed = sorted(names & (set(sent) - {"IFS"}))
        said = f"passed on: {', '.join(passed)}" if passed else "none was passed on"
        yield row("environment", SSHD, what, "export -p", "none is passed on", ran.code == 0 and not passed,
                   said if ran.code == 0 else ran.told())  # fmt: skip
        return
    ran = connection.run(NOBODY, env=sent)
    right = ran.code == LOGIN_DENIED and not ran.out
    yield row("environment", SSHD, what, NOBODY, "the command that was asked for is denied", right, ran.told())


def _logins(connection: Connection) -> Iterator[Row]:
    for id, what, command, pty in (
        ("login.shell", "a login without a command", None, False),
        ("login.terminal", "a login on a terminal", None, True),
        ("login.terminal-command", "a command on a terminal", "id", True),
    ):
        ran = connection.run(command, pty=pty)
        # On a terminal there is no error output.
        right = ran.code == LOGIN_DENIED and ((pty and b"jailssh: " in ran.out) or not ran.out)
        yield row(id, SSHD, what, what, f"exit {LOGIN_DENIED}, and nothing runs", right, ran.told())


def row(
    id: str, source: str, what: str, tried: str, expected: str, right: bool | None, happened: str,
    *, kind: Kind = Kind.ATTACK,
) -> Row:  # fmt: skip
    """Return the row of a question; ``right``: the answer is the expected one, None for no answer."""
    verdict = Verdict.NOT_TRIED if right is None else Verdict.OK if right else Verdict.WRONG
    return Row(id, source, kind, what, tried, expected, happened, verdict)


def socket_of_this_run() -> str:
    """Return the name of a Unix socket that must not come to be; :data:`TOKEN` in it."""
    return f"/tmp/jailssh-selftest-{TOKEN}"  # noqa: S108 - nothing is made there unless something is wrong
