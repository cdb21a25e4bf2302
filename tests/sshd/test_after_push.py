"""The setting after_push: commands of the administrator after a push, which nothing of a repository turns off."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jailssh.scratch.host import Finished
from tests.sshd.world import DAEMON, World

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

USER, ROOT, HOOKS, JAIL = "pushed", "/srv/pushed", "/etc/jailssh/after", "/etc/jailssh/jails/pushed.conf"
SECRET, ADDRESS = "/etc/jailssh/pushed.secret", "http://127.0.0.1:8765/push?x=1"
CONF = f"""
plugins = git
log = yes
tmp_size = 8M
[git]
roots = {ROOT}
rights = "create team/* @all", "create team/ruled refs/heads/** @all"
after_push = "team/* refs/heads/main {HOOKS}/deploy site", "** refs/tags/** {HOOKS}/tagged", "** refs/told/* {ADDRESS}"
webhook_secret = {SECRET}
after_push_seconds = 2
programs = sleep, cat, id, dd, touch
"""
DEPLOY = 'echo "deploys $1 for $JAILSSH_KEY as $(id -u) in $GIT_DIR"; cat; exit 3'
# What somebody who can write to a repository's configuration has.
OWN = """cd {path}
git config core.hooksPath /nowhere
for event in post-receive post-update reference-transaction; do
    git config hook.$event.enabled false
    git config hook.own.event $event
done
git config hook.own.command 'touch {path}/ran'
mkdir -p hooks
printf '#!/bin/sh\\ntouch {path}/ran\\n' >hooks/post-receive
chmod +x hooks/post-receive
"""

Git = Callable[..., Finished]


@pytest.fixture(scope="module")
def git(world: World) -> Iterator[Git]:
    """A shared account with a key of Ann's, in a jail with commands after a push, on a host with the relay."""
    host, client = world.host, world.client
    host.run(["useradd", "--system", "--no-create-home", "jailssh-relay"], check=True)
    relay = host.popen([DAEMON, "relay"], stdout=subprocess.DEVNULL)
    host.wait_until(lambda: world.exists("/run/jailssh/relay.sock"), "the relay runs")
    host.run(["mkdir", "-p", HOOKS, f"{ROOT}/team"], check=True)
    script(world, "deploy", DEPLOY)
    script(world, "tagged", "cat")
    host.write(SECRET, "k" * 32 + "\n", 0o600)
    host.write(JAIL, CONF)
    world.jailssh("adduser", USER, "--jail", "pushed")
    client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ".ssh/ann"], check=True)
    world.jailssh("keys", "add", USER, "ann", f"{client.home}/.ssh/ann.pub")
    host.run(["chown", "-R", f"{USER}:", ROOT], check=True)
    client.git(["init", "-q", "-b", "main", "pushing"], check=True)

    def run(*args: str) -> Finished:
        client.git(["-C", "pushing", "commit", "-q", "--allow-empty", "-m", "next"], check=True)
        words = ["-C", "pushing", *(word.replace("HOST", f"{USER}@host") for word in args)]
        return client.git(words, env={"GIT_SSH_COMMAND": f"ssh -i {client.home}/.ssh/ann"})

    yield run
    world.jailssh("deluser", USER, "--yes")
    host.run(["pkill", "-TERM", "-f", f"{DAEMON} relay$"], check=True)
    relay.wait()
    host.run(["userdel", "jailssh-relay"], check=True)
    host.run(["rm", "-r", ROOT, HOOKS, JAIL, SECRET], check=True)


def script(world: World, name: str, text: str) -> None:
    world.host.write(f"{HOOKS}/{name}", f"#!/bin/sh\n{text}\n", 0o755)


@pytest.fixture
def deploying(world: World, git: Git) -> Iterator[Callable[[str], None]]:
    """Have another script run after a push."""

    def use(text: str) -> None:
        script(world, "deploy", text)
        world.jailssh("apply")

    yield use
    use(DEPLOY)


def told(world: World, repository: str) -> dict[str, Any]:
    """Wait for the record of what ran after the newest push to the repository."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = world.host.journal(JAILSSH_USER=USER, PUSH_REPOSITORY=f"{ROOT}/team/{repository}")
        return bool(found)

    world.host.wait_until(there, "the record of what ran")
    return found[-1]


def test_it_runs_in_the_jail_and_the_journal_has_its_status(world: World, git: Git) -> None:
    done = git("push", "HOST:team/a", "HEAD:main", "HEAD:other", "HEAD:refs/tags/v1")
    uid, tip = world.uid(USER), world.client.git(["-C", "pushing", "rev-parse", "HEAD"]).stdout.strip()
    said = [line.removeprefix("remote: ").rstrip() for line in done.stderr.splitlines() if line.startswith("remote:")]
    assert (done.code, said) == (0, [
        f"deploys site for ann as {uid} in .", f"{'0' * 40} {tip} refs/heads/main",
        "jailssh: the push is done; what runs after it ended with status 3", f"{'0' * 40} {tip} refs/tags/v1",
    ])  # fmt: skip
    world.host.wait_until(lambda: len(world.host.journal(PUSH_REPOSITORY=f"{ROOT}/team/a.git")) == 2, "two records")
    first, second = world.host.journal(PUSH_REPOSITORY=f"{ROOT}/team/a.git")
    start = next(each for each in world.last_login(USER) if each["JAILSSH_EVENT"] == "session-start")
    assert first["JAILSSH_SESSION"] == start["JAILSSH_SESSION"]
    assert (first["PUSH_COMMAND"], first["PUSH_EXIT"], first["PUSH_KEY"]) == (f"{HOOKS}/deploy site", "3", "ann")
    assert (first["PRIORITY"], first["PUSH_REFERENCES"]) == ("4", "1")
    assert (second["PUSH_COMMAND"], second["PUSH_EXIT"], second["PRIORITY"]) == (f"{HOOKS}/tagged", "0", "6")
    assert git("push", "-q", "HOST:team/a", "HEAD:other").stderr == ""


@pytest.mark.parametrize("name", ["own", "ruled"])
def test_no_setting_of_a_repository_turns_it_off(world: World, git: Git, name: str) -> None:
    assert git("push", "-q", f"HOST:team/{name}", "HEAD:refs/heads/first").code == 0
    path = f"{ROOT}/team/{name}.git"
    world.host.run(["runuser", "-u", USER, "--", "sh", "-ec", OWN.format(path=path)], check=True)
    done = git("push", f"HOST:team/{name}", "HEAD:main", "HEAD:refs/other/x")
    assert "deploys site for ann" in done.stderr
    assert ("no right to create it" in done.stderr) == (name == "ruled")
    assert not world.exists(f"{path}/ran")


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("exec sleep 50", "PUSH_SIGNAL"),
        ("trap '' TERM; while :; do :; done", "PUSH_SIGNAL"),
        # The jail's own /tmp, which is full soon, and then again and again.
        ("while :; do dd if=/dev/zero of=/tmp/full bs=1M; done", "PUSH_SIGNAL"),
        ("dd if=/dev/zero of=/tmp/full bs=1M", "PUSH_EXIT"),
    ],
)
def test_one_that_runs_for_ever_or_fills_the_disk(
    world: World, git: Git, deploying: Callable[[str], None], text: str, how: str
) -> None:
    deploying(text)
    name = f"x{abs(hash(text))}"
    begun = time.monotonic()
    done = git("push", f"HOST:team/{name}", "HEAD:main")
    assert (done.code, time.monotonic() - begun < 6) == (0, True)
    assert "jailssh: the push is done; what runs after it" in done.stderr
    assert how in told(world, f"{name}.git")
    world.host.wait_until(lambda: not world.processes_of(USER), "nothing of it is left")
    listed = git("ls-remote", f"HOST:team/{name}").stdout
    assert "refs/heads/main" in listed


def test_a_client_that_is_killed_leaves_nothing_behind(
    world: World, git: Git, deploying: Callable[[str], None]
) -> None:
    git("push", "-q", "HOST:team/killed", "HEAD:first")
    deploying(f"touch {ROOT}/team/began; exec sleep 50")
    command = ["git", "-C", "pushing", "push", "-q", f"{USER}@host:team/killed", "HEAD:main"]
    client = world.client
    env = {"GIT_SSH_COMMAND": f"ssh -i {client.home}/.ssh/ann", "HOME": client.home}
    pushing = world.host.popen(command, user=client.account, cwd=client.home, env=env, stdin=subprocess.DEVNULL)
    with world.vanishing(pushing):
        world.host.wait_until(lambda: world.exists(f"{ROOT}/team/began"), "it runs")
    world.host.wait_until(lambda: not world.processes_of(USER), "nothing of it is left")


# Takes one request, redirects it, and writes down what came; a second one would be written down, too.
LISTENER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open('/run/told', 'a') as file:
            body = self.rfile.read(int(self.headers['Content-Length'])).decode()
            print(self.path, self.headers['X-Hub-Signature-256'], body, sep='\\t', file=file)
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', 8765), Handler).serve_forever()
"""


@pytest.fixture
def telling(world: World, git: Git) -> Iterator[None]:
    """Somebody listens at the address, and the service runs."""
    host = world.host
    listener = host.popen(["python3", "-c", LISTENER], stderr=subprocess.DEVNULL)
    host.wait_until(lambda: bool(host.run(["ss", "-Hltn", "sport = :8765"]).stdout), "somebody listens")
    service = host.popen([DAEMON, "webhooks"], stderr=subprocess.DEVNULL)
    host.wait_until(lambda: world.exists("/run/jailssh/webhooks.lock"), "the service runs")
    yield
    host.run(["pkill", "-TERM", "-f", f"{DAEMON} webhooks$"], check=True)
    host.run(["pkill", "-KILL", "-f", "http.server"], check=True)
    assert service.wait(20) == 0
    listener.wait()


def test_an_address_is_told_of_a_push(world: World, git: Git, telling: None) -> None:
    world.host.wait_until(lambda: world.exists("/var/lib/jailssh/webhooks"), "the queue is there")
    assert git("push", "-q", "HOST:team/told", "HEAD:refs/told/a", "HEAD:refs/untold/b").stderr == ""
    world.host.wait_until(lambda: world.exists("/run/told"), "it is told")
    path, signature, text = world.host.read("/run/told").decode().rstrip("\n").split("\t")
    body, tip = json.loads(text), world.client.git(["-C", "pushing", "rev-parse", "HEAD"]).stdout.strip()
    assert path == "/push?x=1"
    assert signature == f"sha256={hmac.new(b'k' * 32, text.encode(), hashlib.sha256).hexdigest()}"
    assert (body["account"], body["key"], body["repository"]) == (USER, "ann", f"{ROOT}/team/told.git")
    assert body["references"] == [{"name": "refs/told/a", "old": "0" * 40, "new": tip}]
    # The address is in no jail.
    plans = "/var/lib/jailssh/plan.v1"
    assert [world.host.run(["grep", "-rqa", word, plans]).code for word in ("webhook:", "8765")] == [0, 1]
    world.host.wait_until(
        lambda: world.host.run(["ls", "/var/lib/jailssh/webhooks"]).stdout == "cursor\n", "it is sent"
    )


def test_what_cannot_be_is_an_error(world: World, git: Git) -> None:
    try:
        for old, new, why in (
            ("log = yes", "log = no", "write log = yes at the top of the jail's file"),
            ("programs =", f"hooks = {HOOKS}/post-receive\nprograms =", "cannot be beside after_push"),
            (f"{HOOKS}/tagged", f"{ROOT}/team/tagged", "is not a file below /etc or /usr"),
            ("after_push_seconds = 2", "after_push_seconds = 0", "is not a number of seconds from 1"),
        ):
            world.host.write(JAIL, CONF.replace(old, new))
            done = world.jailssh("config", "check", check=False)
            assert (done.code, why in done.stdout + done.stderr) == (1, True), done
    finally:
        world.host.write(JAIL, CONF)
