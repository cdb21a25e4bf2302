"""What GNU Rush itself decides, and what is read here, of generated rules and commands."""

from __future__ import annotations

import grp
import json
import os
import pwd
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jailssh.sources import rush_rc
from jailssh.sources.found import Person
from jailssh.sources.rush_rc import Denied, Unclear
from tests.abilities import SYSTEM_PATH

FILES = 150
USERS = ("root", "daemon", "nobody")
CONDITIONS = (
    '$command == "df -h"', "$command == df", '$command ~ "^df( -h)?$"', '$command ~ "^(up|df)"', "$0 == df",
    '$0 ~ "^(.*/)?sftp-server$"', "$# == 1", "$# > 1", "$# <= 2", '$1 == "-h"', '$1 ~ "^-"', '$1 !~ "^/"', "$2 == x",
    '$command != "df"', "$0 in (df uptime who)", '$command in ("df -h" "df -k")', "group root",
    "group (nogroup daemon)",
    '$user == "nobody"', '$user in (root "daemon")', "$uid == 0", "$uid > 0", "$gid != 1", '$home ~ "^/root"',
    '$command ~ "a\\.b"', '$command ~ ^df', '"$0$#" == "df1"', '"${0}-${user}" == "df-root"', '$command ~ "x|-h$"',
    '$command ~ "\\\\.b$"', '$0 ~ "^[a-d]f?$"', '$command ~ "d.{1,3}h"', "$foo == y", '$program ~ "/s"',
    "$program == df",
)  # fmt: skip
STATEMENTS = (
    'set [0] = "/usr/bin/df"', "set [0] = $user", 'set command = "df -h"', 'set command = "$0 -k"', 'set foo = "y"',
    "set [1] = x", 'exit "no"', "fall-through", "umask 027", 'chdir "/tmp"', 'chdir "/usr"', "limits n64",
    "interactive yes", "interactive no", "clrenv", "acct no", "umask 002", "fallthrough", "fall-through",
    "exit nologin-error",
)  # fmt: skip
COMMANDS = ("df", "df -h", "df -k", "df -h x", "uptime", "/usr/lib/sftp-server", "a.b", "a1b", "who /etc", "df /x -h")

pytestmark = pytest.mark.needs("root", "rush")


def a_file(dice: random.Random) -> str:
    """Return a file of rules."""
    lines = ["rush 2.0"]
    if dice.random() < 0.3:
        lines += ["global", f"  expand-undefined {dice.choice(('yes', 'no', '1', 'false'))}"]
    for number in range(dice.randint(1, 4)):
        lines.append(f"rule r{number}")
        for _ in range(dice.choice((0, 1, 1, 1, 2))):
            parts = [("! " if dice.random() < 0.1 else "") + f"({dice.choice(CONDITIONS)})"
                     for _ in range(dice.randint(1, 3))]  # fmt: skip
            text = parts[0] + "".join(f" {dice.choice(('&&', '||'))} {part}" for part in parts[1:])
            lines.append(f"  match {text}" + dice.choice(("", " # more", " \\\n  && $# < 9")))
        lines += [f"  {statement}" for statement in dice.sample(STATEMENTS, dice.randint(1, 2))]
    return "\n".join([*lines, ""])


def a_person(name: str) -> Person:
    """Return an account of this host."""
    row = pwd.getpwnam(name)
    groups = {grp.getgrgid(row.pw_gid).gr_name, *(each.gr_name for each in grp.getgrall() if name in each.gr_mem)}
    return Person(name, row.pw_uid, row.pw_gid, group=grp.getgrgid(row.pw_gid).gr_name, home=row.pw_dir,
                  shell="/usr/sbin/rush", groups=tuple(groups))  # fmt: skip


def ours(text: str, person: Person, command: str) -> object:
    """Return the words, umask and directory with which a command runs, None where it does not, or the doubt."""
    try:
        run = rush_rc.decide(rush_rc.read(text), person, command)
    except Denied:
        return None
    except Unclear as error:
        return error
    return run.words, int(run.umask or "022", 8), run.directory or None


def theirs(path: Path, person: Person, command: str) -> object:
    """Return the same of rush."""
    program = shutil.which("rush", path=f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}")
    assert program
    done = subprocess.run(
        [program, "-C", "none", "-t", "-u", person.name, "--dump=argv,umask,home_dir", "-c", command, path],
        capture_output=True, text=True, timeout=20, env={"PATH": SYSTEM_PATH},
    )  # fmt: skip
    assert "syntax error" not in done.stderr, done.stderr
    if done.returncode:
        assert "does not exist" not in done.stderr, done.stderr
        return None
    said = json.loads(done.stdout.replace('"umask":0', '"umask":"0').replace(',\n    "home_dir"', '",\n    "home_dir"'))
    return said["argv"], int(said["umask"], 8), said["home_dir"]


@pytest.fixture
def there() -> Iterator[Path]:
    """Return a directory that everybody can read: rush reads its file as the account."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_rush_decides_the_same(there: Path) -> None:
    """Of each command of each file, unless we say that we cannot tell."""
    dice = random.Random(20)
    people = [a_person(name) for name in USERS]
    cases = []
    for number in range(FILES):
        path = there / f"{number}.rc"
        path.write_text(a_file(dice))
        path.chmod(0o644)
        cases += [(path, dice.choice(people), command) for command in dice.sample(COMMANDS, 4)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda case: theirs(*case), cases))
    told = {"runs": 0, "denied": 0, "unclear": 0}
    for (path, person, command), answer in zip(cases, answers, strict=True):
        decided = ours(path.read_text(), person, command)
        told["unclear" if isinstance(decided, Unclear) else "denied" if decided is None else "runs"] += 1
        if not isinstance(decided, Unclear):
            assert decided == answer, f"{path.read_text()}\n{person.name}: {command}"
    assert told["runs"] > 100 and told["denied"] > 100 and told["unclear"] < len(cases) // 5, told
