"""A program in place of ssh: the real matcher judges what the client sends, and what it allows is run right here."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.login.jails import plan_with

_RUN = """#!{python}
import json, os, subprocess, sys
facts = json.loads({facts!r})
words = sys.argv[1:]
while words and words[0].startswith("-"):
    alone = len(words[0]) > 2 or words[0] in ("-q", "-T", "-C", "--", "-x", "-v")
    words = words[1:] if alone else words[2:]
command = " ".join(words[1:])
with open(facts["log"], "a") as log:
    log.write(command + "\\n")
done = subprocess.run([facts["match"], facts["plan"], command], stdout=subprocess.PIPE, text=True)
verdict, *argv = done.stdout.split("\\n")[:-1]
if done.returncode != 0:
    sys.exit("denied: " + verdict)
_, rule, program = verdict.split("\\t")
os.chdir(facts["home"])
env = {{"PATH": "/usr/bin:/bin", "HOME": facts["home"], "USER": "alice"}}
os.execve(program, argv, {{**env, **facts["env"][rule]}})
"""


class Transport:
    """The program at ``path``, and ``sent``: the command lines that clients gave it."""

    def __init__(self, folder: Path, match: Path, rules: Sequence[Rule], home: Path) -> None:
        self.path = folder / "transport"
        self._log = folder / "transport.log"
        plan = folder / "transport.plan"
        plan.write_bytes(codec.encode(plan_with(list(rules), home=str(home))))
        env = {rule.id: dict(rule.environment) for rule in rules}
        facts = {"match": str(match), "plan": str(plan), "home": str(home), "log": str(self._log), "env": env}
        self.path.write_text(_RUN.format(python=sys.executable, facts=json.dumps(facts)))
        self.path.chmod(0o755)

    @property
    def sent(self) -> list[str]:
        """Return what the clients sent, one command line each."""
        return self._log.read_text().splitlines()
