"""One request, in a process of its own without any power, bounded in time; of the answer only the status is read.

The address is the administrator's.  No redirection is followed and no proxy asked, so nobody else chooses one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from jailssh.host import bounded

WITHIN = 15.0
"""Seconds that an attempt takes at most."""
_TO_CONNECT = 5.0
"""Seconds for each address of a name: one that is away, as by IPv6 alone, leaves time for the next."""
_NOBODY = 65534
_GOOD = range(200, 300)


def send(address: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Send ``body`` to ``address``; return "" where it was taken, else why it was not.  Raises no error."""
    try:
        said = bounded.ask("webhook", lambda: _post(address, body, headers), WITHIN, ended="the process has ended")
    except Exception as error:
        return str(error) or type(error).__name__
    return said.decode("utf-8", "replace")


def _post(address: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    # Imported here: it takes longer than all the rest, and is needed in this process alone.
    import http.client
    import ssl

    _give_up_power()
    url = urlsplit(address)
    try:
        if url.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.hostname or "", url.port, timeout=_TO_CONNECT, context=context
            )
        else:
            connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_TO_CONNECT)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.connect()
        connection.sock.settimeout(WITHIN)
        connection.request("POST", path, body, dict(headers))
        status = connection.getresponse().status
        return b"" if status in _GOOD else f"status {status}".encode()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return re.sub(r"[^ -~]", "?", f"{type(error).__name__}: {error}")[:200].encode()


def _give_up_power() -> None:
    """Go on as nobody: what speaks with the network is not root's."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
