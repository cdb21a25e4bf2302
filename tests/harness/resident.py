"""A Python in a scratch host that has imported what a program needs, and forks for each run of it.

A run is a process as ever, which can be killed at any point; what it saves is the start of Python, a tenth of a second
of processor time.  What the start itself does is for tests that run the command itself.
"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Mapping
from typing import Any

from jailssh.core.errors import JailsshError
from jailssh.scratch.host import Finished, ScratchHost

_LONGEST = 60  # seconds

# Reads lines of JSON: arguments; answers each with how the run ended and what it wrote.
_SERVER = """
import atexit, json, os, sys, traceback
del os.environ["PYTHONPATH"]
names = {"__name__": "__main__"}
exec(compile(sys.argv[1], "imports", "exec"), names)
program = compile(sys.argv[2], "program", "exec")

def run(arguments):
    sys.argv[1:] = arguments
    code = 0
    try:
        exec(program, names)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)

def text(file):
    os.lseek(file, 0, os.SEEK_SET)
    with open(file, "rb") as stream:
        return stream.read().decode("utf-8", "surrogateescape")

for line in sys.stdin:
    out, err = os.memfd_create("out"), os.memfd_create("err")
    child = os.fork()
    if child == 0:
        for file, number in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(file, number)
            os.close(file)
        os.setsid()
        run(json.loads(line))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, text(out), text(err)]), flush=True)
"""


def command(*verbs: str) -> tuple[str, str]:
    """Return imports and program of the command ``jailssh``, for runs of these verbs above all."""
    return f"from jailssh.console import main\nfor verb in {verbs!r}: main.verb_module(verb)", "main.program()"


class Resident:
    """Runs ``program`` in ``host``, after ``imports``; ``path`` is where it finds its modules.

    Each run begins in the directory ``cwd``, and has ``env`` in its environment.
    """

    def __init__(
        self,
        host: ScratchHost,
        imports: str,
        program: str,
        path: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        argv = ["/usr/bin/python3", "-B", "-c", _SERVER, imports, program]
        variables = {**(env or {}), "PYTHONPATH": path}
        pipe = subprocess.PIPE
        self._server = host.popen(argv, env=variables, cwd=cwd, stdin=pipe, stdout=pipe, stderr=None)

    def run(self, *arguments: str, check: bool = False) -> Finished:
        """Run it with these arguments to its end; raises :class:`JailsshError` when it fails, with ``check``.

        And when it takes more than a minute: it is ended then, and nothing else can be run.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(arguments).encode() + b"\n")
        self._server.stdin.flush()
        if not select.select([self._server.stdout], [], [], _LONGEST)[0]:
            self._server.kill()
            raise JailsshError(" ".join(arguments), f"still running after {_LONGEST} s")
        line = self._server.stdout.readline()
        assert line, "the program that forks has ended"
        done = Finished(*json.loads(line))
        if check and done.code != 0:
            raise JailsshError(" ".join(arguments), f"exit status {done.code}: {done.stderr.strip()[-2000:]}")
        return done

    def close(self) -> None:
        """End it, and nothing that it has started."""
        self._server.communicate()


class Driven:
    """A host with a ``driver``, which reads what to do as JSON and answers in JSON."""

    driver: Resident

    def raw(self, **spec: Any) -> Finished:
        """Have it done, and return how that ended."""
        return self.driver.run(json.dumps(spec))

    def do(self, what: str, **spec: Any) -> dict[str, Any]:
        """Have it done to its end, and return the answer."""
        done = self.raw(do=what, **spec)
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
