"""What the rules cost: one decision, and a shared account with many keys and many repositories.

The decision is timed inside one process, splitting included; the shared account's login is timed beside the same login
of a shared account with one key and one repository.
"""

from __future__ import annotations

import base64
import io
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jailssh.config.values import defaults
from jailssh.core.closed import Network
from jailssh.core.errors import JailsshError
from jailssh.core.names import HostPath
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.plan.codec import encode
from jailssh.plan.compile import JailSettings, compile_plan
from jailssh.plugin.api import Account, Jail, PluginResult
from jailssh.plugin.registry import load_registry
from jailssh.policy.rules import Rule
from jailssh.policy.seccomp import filter_for
from jailssh.publish.account_plan import Use
from tests.bench.figures import Goal, Row, timed_row
from tests.bench.site import LOGIN, STATE, Site
from tests.bench.timing import Program, time_programs
from tests.login.driver import PURE, compile_c

DECISION_US = 20.0
RULES = 50
DECISIONS = 20000
# A push by rsync 3.4 with the options that people combine most.
LINE = (
    "rsync --server -vvvbHogDtpAXrSxze.iLsfxCIvu --log-format=%o%i --delete-during --delete-excluded --max-delete=1000"
    " --max-size=10M --min-size=1 --bwlimit=10240 --partial --suffix=.bak --timeout=600 --block-size=4096 --inplace"
    " --numeric-ids --ignore-errors --checksum-seed=12345 --compress-level=9 . backup/hosts/www.example.org/daily"
)
REPOSITORIES, KEYS, GROUPS = 2000, 500, 12
LOGIN_MS = 0.3
MACHINES, KEYED_MS = 1000, 0.2
DENIED = 126
COMPILE_MS = 50.0
COMPILES = 7
_AUTH = "/tmp/sshauth."


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows."""
    return [_decision(), _compile(), _login(site, runs), _keyed(site, runs)]


def _decision() -> Row:
    """Return how long the login program takes to split and match the line, which the last of the rules fits."""
    account = Account("bench", 1000, 1000, "bench", "/home/bench")
    rsync = load_registry().get("rsync")
    options = {"write": ("~",)}
    jail = Jail("bench", ("rsync",), lambda name: f"/usr/bin/{name}")
    result = rsync.account(jail, account, {**defaults(rsync.options), **options})
    others = RULES - len(result.rules)
    fillers = tuple(
        Rule(f"other.{number}", "other", "/usr/bin/other", (f"rsync-{number}", f"/usr/bin/rsync-{number}"))
        for number in range(others)
    )
    results = [PluginResult(fillers, "other"), result]
    plan = compile_plan(account, JailSettings("bench"), results, HostPath("/image"), filter_for(Network.NONE))
    with tempfile.TemporaryDirectory(prefix="jailssh-bench-") as room:
        (Path(room) / "plan").write_bytes(encode(plan))
        program = decide(Path(room))
        spent = [_nanoseconds(program, f"{room}/plan") / 1e3 for _ in range(5)]
    usual = statistics.median(spent)
    name = f"decision, {RULES} rules, {len(LINE)} bytes"
    return Row(name, usual, "µs", min(spent), goals=(Goal(f"{name} (µs)", usual, DECISION_US),))


def decide(room: Path) -> Path:
    """Compile the program that judges one command many times; return it."""
    sources = [Path(__file__).with_name("decide.c"), *PURE]
    return compile_c("gcc", room / "decide", sources, "-O2", "-fomit-frame-pointer")


def _nanoseconds(program: Path, plan: str) -> float:
    done = subprocess.run([program, plan, LINE, str(DECISIONS)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _compile() -> Row:
    """Return how long it takes to make all plans of the large shared account from its configuration."""
    with tempfile.TemporaryDirectory(prefix="jailssh-bench-") as room:
        for name, data in _configuration("bench-many", 1000, REPOSITORIES, KEYS).items():
            path = Path(room) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        layout = Layout(room)
        account = Account("bench-many", 1000, 1000, "bench-many", "/home/bench-many")
        spent = []
        for _ in range(COMPILES):
            configuration = load_configuration(layout)
            began = time.perf_counter()
            Use.of(configuration, account).compile(configuration.main, HostPath("/image"))
            spent.append((time.perf_counter() - began) * 1e3)
    return timed_row(f"plans of {KEYS} keys, {REPOSITORIES} repositories", spent, COMPILE_MS)


def _login(site: Site, runs: int) -> Row:
    """Return what a login with a key of the large account takes beyond one with a key of the smallest."""
    with (
        _shared(site, "bench-many", KEYS, _of_repositories(REPOSITORIES)) as many,
        _shared(site, "bench-one", 1, _of_repositories(1)) as one,
    ):
        spent = time_programs(site.host, [many, one], runs)
    more = statistics.median(spent["bench-many"]) - statistics.median(spent["bench-one"])
    name = f"login beyond one with 1 key, 1 repository: {KEYS} keys, {REPOSITORIES} repositories"
    return Row(name, more, "ms", goals=(Goal(f"{name} (ms)", more, LOGIN_MS),))


def _keyed(site: Site, runs: int) -> Row:
    """Return what a login takes beyond one with the only key, with the last of many that have settings of their own."""
    with (
        _shared(site, "keyed-many", MACHINES, _of_machines) as many,
        _shared(site, "keyed-one", 1, _of_machines) as one,
    ):
        spent = time_programs(site.host, [many, one], runs)
    more = statistics.median(spent["keyed-many"]) - statistics.median(spent["keyed-one"])
    name = f"login beyond one with 1 key: {MACHINES} keys with settings of their own"
    return Row(name, more, "ms", goals=(Goal(f"{name} (ms)", more, KEYED_MS),))


def _of_repositories(count: int) -> Callable[[str, int, int], dict[str, bytes]]:
    return lambda name, uid, keys: _configuration(name, uid, count, keys)


@contextmanager
def _shared(
    site: Site, name: str, keys: int, configuration: Callable[[str, int, int], dict[str, bytes]]
) -> Iterator[Program]:
    """Make a shared account and give the program that logs in with its last key and is denied the last repository."""
    host = site.host
    host.run(["mkdir", "-p", "/srv/git"], check=True)
    host.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    uid = int(host.run(["id", "-u", name], check=True).stdout)
    files = configuration(name, uid, keys)
    host.run(["tar", "-x", "-C", "/"], input=_tar(files), check=True)
    site.jailssh("adduser", name, "--jail", name, "--yes")
    if not host.run(["sh", "-c", f"ls {STATE}/plan.v1/{uid}.*"]).stdout:
        raise JailsshError(f"benchmark: {name}", "its keys have no plans")
    told = _AUTH + name.replace("-", "").ljust(15, "0")
    blob = _blob(keys - 1)
    host.write(told, f"publickey ssh-ed25519 {blob}\n", 0o600, uid, uid)
    account = site.plain.environment(LOGIN) | {"SSH_USER_AUTH": told, "USER": name, "LOGNAME": name}
    # No repository of this name is there, so nothing is executed; all the account's patterns have been looked at.
    command = [LOGIN, "-c", "git-upload-pack '/srv/git/team/none.git'"]
    try:
        yield Program(name, command, name, account, status=DENIED)
    finally:
        host.run(["rm", told], check=True)


def _configuration(name: str, uid: int, repositories: int, keys: int) -> dict[str, bytes]:
    """Return the files, without a slash in front, of a shared account whose keys are in groups."""
    members: dict[int, list[str]] = {group: [] for group in range(min(GROUPS, keys))}
    for key in range(keys):
        members[key % len(members)].append(f"key{key}")
    groups = "".join(f"group{group} = {', '.join(names)}\n" for group, names in members.items())
    table = "".join(
        f"write project{number}/code @group{number % len(members)} @group{number * 7 % len(members)}\n"
        for number in range(repositories)
    )
    jail = f"plugins = git\n[git]\nroots = /srv/git\nrights = /etc/jailssh/rights/{name}\n"
    files = {
        f"etc/jailssh/jails/{name}.conf": jail,
        f"etc/jailssh/users/{name}.conf": f"uid = {uid}\njail = {name}\n[groups]\n{groups}",
        f"etc/jailssh/rights/{name}": table,
        **{f"etc/jailssh/keys.d/{name}/key{key}.pub": f"ssh-ed25519 {_blob(key)} key{key}\n" for key in range(keys)},
    }
    return {path: text.encode() for path, text in files.items()}


def _of_machines(name: str, uid: int, keys: int) -> dict[str, bytes]:
    """Return the files, without a slash in front, of a shared account whose keys have settings of their own."""
    sections = "".join(f"[rsync key key{key}]\nwrite = ~/machine{key}\ndelete = no\n" for key in range(keys))
    files = {
        f"etc/jailssh/jails/{name}.conf": "plugins = rsync\n[rsync]\nwrite = ~/%k\n",
        f"etc/jailssh/users/{name}.conf": f"uid = {uid}\njail = {name}\n{sections}",
        **{f"etc/jailssh/keys.d/{name}/key{key}.pub": f"ssh-ed25519 {_blob(key)} key{key}\n" for key in range(keys)},
    }
    return {path: text.encode() for path, text in files.items()}


def _blob(number: int) -> str:
    """Return the base64 text of a public key that is different for each number."""
    parts = (b"ssh-ed25519", number.to_bytes(32, "big"))
    return base64.b64encode(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).decode()


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
