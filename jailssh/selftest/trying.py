"""Run one trial of a plugin's in a login, and judge what came of it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import paramiko

from jailssh.core.names import escape
from jailssh.plugin.trials import DENIED, PLACE, TOKEN, FileOp, FileStep, Trial
from jailssh.selftest.channels import Answer, answer_of
from jailssh.selftest.client import FAILURES, Connection, Ran
from jailssh.selftest.report import MOST_SHOWN, Kind, Row, Verdict, shown

_FILE_MOST = 1 << 16
_CHMOD = paramiko.SFTPClient.chmod
# What a step asks of the server on the other side; nothing is done to this host.
_REQUESTS: dict[FileOp, Callable[[paramiko.SFTPClient, str, str], object]] = {
    FileOp.LIST: lambda client, path, _: client.listdir_attr(path),
    FileOp.STAT: lambda client, path, _: client.stat(path),
    FileOp.MKDIR: lambda client, path, _: client.mkdir(path),
    FileOp.RMDIR: lambda client, path, _: client.rmdir(path),
    FileOp.REMOVE: lambda client, path, _: client.remove(path),
    FileOp.RENAME: paramiko.SFTPClient.rename,
    FileOp.SYMLINK: lambda client, path, target: client.symlink(target, path),
    FileOp.CHMOD: lambda client, path, mode: _CHMOD(client, path, int(mode, 8)),
    FileOp.CHOWN: lambda client, path, uid: client.chown(path, int(uid), int(uid)),
}


@dataclass(frozen=True)
class Words:
    """What stands for :data:`PLACE` and :data:`TOKEN`."""

    place: str
    token: str

    def __call__(self, text: str) -> str:
        """Return ``text`` with both filled in."""
        return text.replace(PLACE, self.place).replace(TOKEN, self.token)

    def trial(self, trial: Trial) -> Trial:
        """Return the trial with both filled in, wherever they stand."""
        steps = tuple(replace(step, path=self(step.path), more=self(step.more)) for step in trial.steps)
        return replace(
            trial,
            command=self(trial.command),
            input=self(trial.input.decode("latin-1")).encode("latin-1"),
            shows=self(trial.shows),
            hides=self(trial.hides),
            steps=steps,
        )


def row_of(trial: Trial, source: str, verdict: Verdict, happened: str) -> Row:
    """Return the row of a trial whose words are filled in."""
    kind = Kind.ATTACK if trial.attack else Kind.USE
    tried = (
        escape(trial.command, MOST_SHOWN)
        if not trial.steps
        else f"sftp: {', '.join(_step(step) for step in trial.steps)}"
    )
    return Row(trial.id, source, kind, trial.what, tried, _expected(trial), happened, verdict)


def run(connection: Connection, trial: Trial, source: str) -> Row:
    """Try it."""
    if trial.steps:
        right, happened = _steps(connection, trial)
    else:
        ran = connection.run(trial.command, trial.input)
        right, happened = _is_right(trial, ran), ran.told()
    verdict = Verdict.NOT_TRIED if right is None else Verdict.OK if right else Verdict.WRONG
    return row_of(trial, source, verdict, happened)


def _is_right(trial: Trial, ran: Ran) -> bool:
    if trial.attack and trial.exits == DENIED and ran.out:
        return False
    ended = _ended(trial, ran.code)
    shows = trial.shows.encode("latin-1", "replace") in ran.out
    return ended and shows and not (trial.hides and trial.hides.encode("latin-1", "replace") in ran.out)


def _ended(trial: Trial, code: int) -> bool:
    if trial.exits is None:
        return code >= 0
    return code in trial.exits if trial.exits else code > 0


def _expected(trial: Trial) -> str:
    if trial.steps:
        refused = [step for step in trial.steps if step.fails]
        return "each works" if not refused else "refusal" if trial.attack else f"refusal of {len(refused)} of them"
    if trial.exits is None:
        ends = "an answer"
    else:
        ends = f"exit {' or '.join(map(str, trial.exits))}" if trial.exits else "failure"
    shows = f", output with {shown(trial.shows)}" if trial.shows else ""
    hides = f", output without {shown(trial.hides)}" if trial.hides else ""
    return f"{ends}{shows}{hides}"


def _step(step: FileStep) -> str:
    more = f" {shown(step.more[:60])}" if step.more else ""
    return f"{step.op} {escape(step.path, MOST_SHOWN)}{more}"


def _steps(connection: Connection, trial: Trial) -> Answer:
    said = []
    try:
        with connection.sftp() as client:
            for step in trial.steps:
                why = _refusal(client, step)
                if why is None and step.fails:
                    return False, f"{_step(step)} worked"
                if why is not None and not step.fails and not trial.attack:
                    return False, f"{_step(step)}: {why}"
                said += [f"{step.op}: {why}"] if why is not None and step.fails else []
    except FAILURES as error:
        if not trial.attack:
            return False, f"sftp: {shown(str(error)) or 'the session ended'}"
        # That there is no server for files is a refusal; a lost connection is none.
        right, why = answer_of(connection, error)
        return right, f"sftp: {why}"
    if trial.attack and not connection.answers():
        return None, "no answer: the connection ended"
    return True, shown("; ".join(said)) or "each worked"


def _refusal(client: paramiko.SFTPClient, step: FileStep) -> str | None:
    """Make one request; return why the server did not, None if it did."""
    try:
        return _act(client, step)
    except OSError as error:
        if isinstance(error, TimeoutError) or (error.errno is None and not error.args):
            raise
        known = {errno.ENOENT: "no such file", errno.EACCES: "permission denied"}
        return known.get(error.errno or 0, shown(str(error.args[-1]).lower()))


def _act(client: paramiko.SFTPClient, step: FileStep) -> str | None:
    path, more = step.path, step.more
    if step.op in (FileOp.PUT, FileOp.OVERWRITE):
        with client.open(path, "wx" if step.op == FileOp.PUT else "w") as file:
            file.write(more.encode())
    elif step.op == FileOp.GET:
        with client.open(path, "r") as file:
            data = file.read(_FILE_MOST)
        if more and data != more.encode():
            return f"other content: {shown(data[:80])}"
    elif step.op == FileOp.OTHERS:
        if not {attributes.filename for attributes in client.listdir_attr(path)} - {more}:
            return "nothing else is there"
    else:
        _REQUESTS[step.op](client, path, more)
    return None


def clean_up(connection: Connection, trial: Trial) -> None:
    """Remove what the steps of an attack have made though they should not: it has a name that nothing else has."""
    made = [step for step in trial.steps if step.fails and step.op in (FileOp.PUT, FileOp.MKDIR, FileOp.SYMLINK)]
    if made:
        with suppress(*FAILURES), connection.sftp() as client:
            for step in made:
                with suppress(*FAILURES):
                    client.rmdir(step.path) if step.op == FileOp.MKDIR else client.remove(step.path)
