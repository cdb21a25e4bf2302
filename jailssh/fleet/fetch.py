"""Fetch a bundle by the administrator's command: how it comes here is for programs that people know already."""

from __future__ import annotations

import os
import shlex
import socket
import time

from jailssh.config.files import MainConfig
from jailssh.core.errors import ConfigError, HostError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.fleet.bundle import MAX_BUNDLE
from jailssh.host import accounts, process

SETTING = "bundle_command"
_TIMEOUT = 300
_END = 10


def fetch(main: MainConfig, seconds: float = _TIMEOUT) -> bytes:
    """Return what ``bundle_command`` writes, run without a shell as ``bundle_user``; not believed yet.

    Raises where it is not set, fails, writes too much, or has not ended after ``seconds``.
    """
    try:
        words = shlex.split(main.bundle_command)
    except ValueError as error:
        raise ConfigError(SETTING, f"{str(error).lower()}: {escape(main.bundle_command, 200)}") from error
    if not words:
        hint = 'bundle_command = "curl -fsS https://HOST/bundle" in jailssh.conf'
        raise ConfigError(SETTING, "is not set, so there is nothing to fetch from", hint=hint)
    program = process.find_program(words[0])
    if program is None:
        raise HostError(SETTING, f"program {escape(words[0], 200)} does not exist")
    # It may run as root: nobody else may be able to change it.
    os.close(fs.open_trusted(os.path.realpath(program), single_link=False))
    entry = accounts.get(main.bundle_user)
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
                ours.settimeout(max(0.01, until - time.monotonic()))
                part = ours.recv(1 << 16)
                data += part
                if not part or len(data) > MAX_BUNDLE:
                    break
        except TimeoutError:
            raise HostError(SETTING, "did not end in time", hint=f"try it: {shlex.join(words)}") from None
        if len(data) > MAX_BUNDLE:
            raise HostError(SETTING, f"wrote more than {MAX_BUNDLE} bytes, the limit for a bundle")
        code = running.finish(timeout=_END).code
    if code != 0:
        raise HostError(SETTING, f"exit status {code}", hint=f"try it: {shlex.join(words)}")
    return bytes(data)
