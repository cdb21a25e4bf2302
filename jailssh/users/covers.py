"""What a session covers in a home is made ahead: while there is room for it, and before anybody logs in."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from jailssh.core.errors import JailsshError
from jailssh.core.names import is_below
from jailssh.host import as_user, install
from jailssh.host.accounts import Entry
from jailssh.host.paths import Layout
from jailssh.plan import codec, ops

_NOBODY_CAN = (errno.EACCES, errno.EPERM)


def make_ahead(layout: Layout, entry: Entry) -> list[str]:
    """Make the empty files and directories that the account's plan covers and that are missing, as the account.

    Returns what is to be said where that fails: the login program tries it again and refuses the login then.
    """
    data = install.read_optional(f"{layout.plans}/{entry.uid}")
    if data is None or not data.startswith(ops.MAGIC.encode()):
        return []
    masks = {r.args[0]: r.verb for r in codec.decode(data).records if r.verb in ("mask", "mask-file")}
    wanted = {path: verb for path, verb in masks.items() if is_below(path, entry.home)}
    if not wanted:
        return []

    def question() -> bytes:
        failed = [f"{number} {path}" for path, verb in wanted.items() if (number := _make(path, verb))]
        return "\n".join(failed).encode("utf-8", "surrogateescape")

    try:
        answer = as_user.ask(entry, question).decode("utf-8", "surrogateescape")
    except JailsshError as error:
        return [f"note: what logins cover in {entry.home} could not be made ahead: {error}"]
    failed = [(int(number), path) for number, _, path in (line.partition(" ") for line in answer.splitlines())]
    return [
        f"note: {path} cannot be made ({os.strerror(number).lower()}); until it can, logins of {entry.name} are refused"
        for number, path in failed
    ]


def _make(path: str, verb: str) -> int:
    """Make an empty file or directory; return 0, or the error number where a login would be refused for it."""
    try:
        with suppress(FileExistsError):
            if verb == "mask":
                os.mkdir(path, 0o700)
            else:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        return 0  # no home yet: made at the first login
    except OSError as error:
        if error.errno == errno.EROFS:
            return 0
        if error.errno not in _NOBODY_CAN or os.stat(os.path.dirname(path)).st_uid == os.getuid():
            return error.errno or errno.EIO
    return 0
