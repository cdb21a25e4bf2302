"""What an account can do over SSH, whatever confines it: the same requests before and after a change, compared.

Each use is asked for in its own protocol and counts as working when its server answers in it.  Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from jailssh.core.closed import Word
from jailssh.selftest.client import FAILURES, Connection, Ran
from jailssh.selftest.report import shown

_ANSWER = b"jailssh-41"


@dataclass(frozen=True)
class Outcome:
    """``works``: the server answered in its protocol; ``told``: what came, in one line."""

    works: bool
    told: str


class Difference(Word):
    """What a change did to one use."""

    SAME = "same"
    LOST = "lost"  # was to go on working
    CLOSED = "closed"  # worked and was not meant to
    OPENED = "opened"  # did not work and was not meant to
    GAINED = "gained"  # was to work, and does now


def _command(text: str, answer: Callable[[Ran], bool], input: bytes, connection: Connection) -> Outcome:
    ran = connection.run(text, input)
    return Outcome(answer(ran), ran.told())


def _shell(connection: Connection) -> Outcome:
    ran = connection.run(None, b"echo jailssh-$((40+1))\nexit\n", pty=True)
    return Outcome(_ANSWER in ran.out, "it answers" if _ANSWER in ran.out else ran.told())


def _sftp(connection: Connection) -> Outcome:
    try:
        with connection.sftp() as client:
            return Outcome(True, f"{len(client.listdir('.'))} names in {shown((client.normalize('.') or '').encode())}")
    except PermissionError as error:
        return Outcome(True, f"it answers: {error}")  # a drop box does not list
    except FAILURES as error:
        return Outcome(False, shown(str(error) or "the server ended"))


def _exits_well(ran: Ran) -> bool:
    return ran.code == 0


def _counts(ran: Ran) -> bool:
    return ran.out == b"41\n"


def _says(*begins: bytes) -> Callable[[Ran], bool]:
    return lambda ran: any(text in ran.out[:4096] + ran.err[:4096] for text in begins)


def _rsync_answers(ran: Ran) -> bool:
    return len(ran.out) >= 4 and 20 <= int.from_bytes(ran.out[:4], "little") <= 60


def _scp_answers(ran: Ran) -> bool:
    return ran.out[:1] == b"\0"


def _rows(places: Mapping[str, str]) -> dict[str, tuple[str, Callable[[Connection], Outcome]]]:
    """Return the requests by id, each with the use that it is one of."""
    repository = f"{places.get('git', '.').rstrip('/')}/jailssh-no-such-repository.git"
    rsync = places.get("rsync", ".")
    one = partial(partial, _command)
    git = _says(b"not appear to be a git repository", b"not a git repository", b"epository not found")
    return {
        "command id": ("command", one("id -u", _exits_well, b"")),
        "command ls": ("command", one("ls", _exits_well, b"")),
        "command sh": ("command", one("echo $((40+1)) | cat", _counts, b"")),
        "shell": ("shell", _shell),
        "sftp": ("sftp", _sftp),
        "scp -O up": ("scp-old", one("scp -t .", _scp_answers, b"")),
        "rsync down": ("rsync", one(f"rsync --server --sender -logDtpre.iLsfxCIvu . {rsync}", _rsync_answers,
                                    (31).to_bytes(4, "little"))),
        "rsync up": ("rsync", one(f"rsync --server -logDtpre.iLsfxCIvu . {rsync}", _rsync_answers,
                                  (31).to_bytes(4, "little"))),
        "git fetch": ("git", one(f"git-upload-pack '{repository}'", git, b"")),
        "git push": ("git", one(f"git-receive-pack '{repository}'", git, b"")),
        "svn": ("svn", one("svnserve -t", _says(b"( success ( "), b"")),
        "cvs": ("cvs", one("cvs server", _says(b"Valid-requests"), b"valid-requests\n")),
        "hg": ("hg", one("hg -R . serve --stdio", _says(b"capabilities:"), b"hello\n")),
    }  # fmt: skip


def ask(connection: Connection, places: Mapping[str, str] | None = None) -> dict[str, Outcome]:
    """Return what works, by request; ``places``: a directory for a use, as in ``{"rsync": "/srv/in"}``.

    Raises :class:`CannotTryError` where the account cannot log in at all.
    """
    connection.transport()
    return {name: request(connection) for name, (_, request) in _rows(places or {}).items()}


def compare(
    before: Mapping[str, Outcome], after: Mapping[str, Outcome], uses: Collection[str]
) -> dict[str, Difference]:
    """Return what became of each request; ``uses`` are those that are to work."""
    found = {}
    for name, (use, _) in _rows({}).items():
        was, now = before[name].works, after[name].works
        meant = use in uses
        if was == now:
            found[name] = Difference.SAME
        elif was:
            found[name] = Difference.LOST if meant else Difference.CLOSED
        else:
            found[name] = Difference.GAINED if meant else Difference.OPENED
    return found
