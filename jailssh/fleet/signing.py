"""Signatures of bundles: made and verified by ssh-keygen(1), in a namespace of our own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from jailssh.core.errors import DeniedError, HostError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.fleet.bundle import MAX_SIGNATURE, NAMESPACE, SIGNED, SIGNERS
from jailssh.host import process
from jailssh.host.paths import Layout

_TIMEOUT = 60
_MAX_SIGNERS = 1 << 20
_PLACE = "bundle"


def sign(body: bytes, key: str, env: Mapping[str, str]) -> bytes:
    """Return the signature; ``key``: a file, private, or public for one that the agent of ``env`` has."""
    argv = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", os.path.abspath(key)]
    found = process.run(argv, timeout=_TIMEOUT, input=body, env=env).stdout.encode()
    if not found.startswith(SIGNED):
        raise HostError(f"key {escape(key)}", "ssh-keygen made no signature with it")
    return found


def signers_file(layout: Layout) -> str:
    """Return the file that says whose signature counts on this host (ssh-keygen(1): ALLOWED SIGNERS)."""
    return f"{layout.etc}/{SIGNERS}"


def verify(layout: Layout, body: bytes, signature: bytes, source: str) -> str:
    """Return who has signed, by the name that the administrator's file has; raises for everybody else.

    Call under the lock: the place where ssh-keygen finds its files is one for all.
    """
    if not os.path.lexists(signers_file(layout)):
        hint = f'write it: NAME namespaces="{NAMESPACE}" PUBLIC-KEY'
        raise HostError(signers_file(layout), "does not exist, so nobody's bundles are taken here", hint=hint)
    if len(signature) > MAX_SIGNATURE:
        raise DeniedError(source, "has a signature that is too long")
    allowed = fs.read_trusted(signers_file(layout), _MAX_SIGNERS, trusted_root=layout.root or None)
    fs.ensure_dir(layout.run, 0o755, trusted_root=layout.root or None)
    above = fs.open_dir(layout.run, trusted_root=layout.root or None)
    place = f"{layout.run}/{_PLACE}"
    try:
        fs.remove_tree(above, _PLACE)
        fs.ensure_dir(place, 0o700, trusted_root=layout.root or None)
        fs.atomic_write(f"{place}/signers", allowed, mode=0o600)
        fs.atomic_write(f"{place}/signature", signature, mode=0o600)
        return _signer(place, body, source)
    finally:
        fs.remove_tree(above, _PLACE)
        os.close(above)


def _signer(place: str, body: bytes, source: str) -> str:
    files = ["-s", f"{place}/signature", "-f", f"{place}/signers"]
    named = process.run(["ssh-keygen", "-Y", "find-principals", *files], timeout=_TIMEOUT, check=False)
    why = process.last_line(named.stderr)
    for name in named.stdout.splitlines() if named.code == 0 else ():
        argv = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", name, *files]
        done = process.run(argv, timeout=_TIMEOUT, input=body, check=False)
        if done.code == 0:
            return escape(name, 200)
        why = process.last_line(done.stderr or done.stdout)
    raise DeniedError(source, f"is not signed by one of the signers: {why or 'no such signer'}")
