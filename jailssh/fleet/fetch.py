"""Fetch a bundle by the administrator's command: how it comes here is for programs that people know already."""

from __future__ import annotations

import os
import shlex
import socket
import time

from jailssh.config.files import read_pull
from jailssh.core.errors import ConfigError, HostError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.fleet.bundle import MAX_BUNDLE, PULL_FILE
from jailssh.host import accounts, process
from jailssh.host.paths import Layout

COMMAND = "command of pull.conf"
_LIMIT = 1 << 16
_TIMEOUT = 300
_END = 10


def fetch(layout: Layout, seconds: float = _TIMEOUT) -> bytes:
    """Return what the command of ``pull.conf`` writes, run without a shell as its user; not believed yet.

    Raises where there is none, it fails, writes too much, or has not ended after ``seconds``.
    """
    path = f"{layout.etc}/{PULL_FILE}"
    if not os.path.lexists(path):
        hint = 'write: command = "curl -fsS https://HOST/bundle"'
        raise HostError(path, "does not exist, so nothing can be fetched", hint=hint)
    said = read_pull(fs.read_trusted(path, _LIMIT, trusted_root=layout.root or None), path)
    try:
        words = shlex.split(said.command)
    except ValueError as error:
        raise ConfigError(path, f"{str(error).lower()}: {escape(said.command, 200)}") from error
    if not words:
        raise ConfigError(path, "command is empty, so nothing can be fetched")
    program = process.find_program(words[0])
    if program is None:
        raise HostError(COMMAND, f"program {escape(words[0], 200)} does not exist")
    # It may run as root: nobody else may be able to change it.
    os.close(fs.open_trusted(os.path.realpath(program), single_link=False))
    entry = accounts.get(said.user)
    account = (entry.uid, entry.gid, [gid for _, gid in entry.groups]) if entry.uid else None
    return _read(words, {"HOME": entry.home}, account, time.monotonic() + seconds)


def _read(words: list[str], env: dict[str, str], account: tuple[int, int, list[int]] | None, until: float) -> bytes:
    ours, theirs = socket.socketpair()
    with ours, process.start(words, env=env, account=account, on=theirs.fileno()) as running:
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        data = bytearray()
        try:
            while True:
                # Whoever sends a byte now and then has no longer than others.
                if (left := until - time.monotonic()) <= 0:
                    raise TimeoutError
                ours.settimeout(left)
                part = ours.recv(1 << 16)
                data += part
                if not part or len(data) > MAX_BUNDLE:
                    break
        except TimeoutError:
            raise HostError(COMMAND, "did not end in time", hint=f"try it: {shlex.join(words)}") from None
        if len(data) > MAX_BUNDLE:
            raise HostError(COMMAND, f"wrote more than {MAX_BUNDLE} bytes, the limit for a bundle")
        code = running.finish(timeout=_END).code
    if code != 0:
        raise HostError(COMMAND, f"exit status {code}", hint=f"try it: {shlex.join(words)}")
    return bytes(data)
