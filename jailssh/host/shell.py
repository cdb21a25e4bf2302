"""A command of the administrator's own, as a spec has it: run by the shell, in an environment from nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from jailssh.core.errors import HostError
from jailssh.host.process import SYSTEM_PATH

_UMASK = 0o022


def run_command(command: str, directory: str, env: Mapping[str, str], *, quiet: bool = False) -> int:
    """Run ``command`` by ``/bin/sh -c`` in ``directory`` and return its status, 128+n after signal n.

    Its standard input is empty, what it says goes where ours goes (``quiet``: to standard error, so that ours stays
    what a program can read).  The environment is PATH, HOME, LC_ALL and ``env``; the umask is 022.
    """
    sys.stdout.flush()
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env={"PATH": ":".join(SYSTEM_PATH), "HOME": "/root", "LC_ALL": "C.UTF-8", **env},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if quiet else None,
            umask=_UMASK,
            check=False,
        )
    except (OSError, ValueError) as error:
        raise HostError("/bin/sh", str(error)) from error
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
