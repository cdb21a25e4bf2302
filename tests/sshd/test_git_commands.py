"""``ssh git@host COMMAND``: what each person may, what is recorded, and what goes wrong in a way that can be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.abilities import REPO
from tests.sshd.people import People
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

USER, ROOT = "depot", "/srv/depot"
JAIL = f"/etc/jailssh/jails/{USER}.conf"
TEXT = f"""extends = git-hosting
[git]
roots = {ROOT}
rights = create team/** @devs, write team/** eve, write docs eve, read docs @all, read team/** bob
commands = info list create describe set-head delete
"""
NOT_FOUND = "jailssh: repository not found or access denied\n"


@pytest.fixture(scope="module")
def depot(world: World) -> Iterator[People]:
    """A shared account: ann may create, eve write, bob read, and cyd has no more than everybody."""
    host, people = world.host, People(world, USER)
    host.write(JAIL, TEXT)
    host.run(["mkdir", "-p", f"{ROOT}/team"], check=True)
    for name in ("docs.git", "team/old.git", "secret.git"):
        host.run(["git", "clone", "-q", "--bare", "/tmp/seed", f"{ROOT}/{name}"], check=True)
    world.jailssh("adduser", USER, "--jail", USER)
    for name, groups in (("ann", ("--group", "devs")), ("eve", ()), ("bob", ()), ("cyd", ())):
        world.jailssh("keys", "add", USER, name, people.make(f"{USER}-{name}"), *groups)
    host.run(["chown", "-R", f"{USER}:", ROOT], check=True)
    assert people.git(f"{USER}-cyd", "clone", "-q", f"{USER}@host:docs", "depot-work").code == 0
    yield people
    world.jailssh("deluser", USER, "--yes")
    host.run(["rm", "-rf", ROOT, JAIL], check=True)


Ask = Callable[..., Finished]


@pytest.fixture
def ask(depot: People) -> Ask:
    return lambda name, command, **how: depot.ssh(f"{USER}-{name}", command, **how)


def recorded(depot: People) -> tuple[str, ...]:
    """Return event, key, rule and command of the newest login."""
    record = depot.last()[0]
    return tuple(record.get(name, "") for name in (fields.EVENT, fields.KEY, fields.RULE, fields.COMMAND))


def test_each_person_sees_what_that_person_may(depot: People, ask: Ask) -> None:
    both = {"ann": "read        docs\nread write  team/old\ncreate      team/**\n",
            "eve": "read write  docs\nread write  team/old\n", "bob": "read        docs\nread        team/old\n",
            "cyd": "read        docs\n"}  # fmt: skip
    for name, shown in both.items():
        done = ask(name, "info")
        assert (done.code, done.stdout, done.stderr) == (0, shown, ""), name
        names = [line[12:] for line in shown.splitlines() if not line.startswith("create")]
        assert ask(name, "list").stdout.splitlines() == names
    assert recorded(depot) == ("session-start", "cyd", "git.list", "list")
    done = ask("ann", None)
    assert "this account allows: git, info, list, create, describe, set-head, delete, restore\n" in done.stderr
    assert "this account allows: git, info, list, describe\n" in ask("bob", None).stderr


def test_a_repository_from_its_creation_to_the_trash_and_back(world: World, depot: People, ask: Ask) -> None:
    assert ask("ann", "create team/new/tool").stdout == "team/new/tool is created\n"
    assert recorded(depot) == ("session-start", "ann", "git.create-empty", "create team/new/tool")
    path = f"{ROOT}/team/new/tool.git"
    assert world.host.run(["stat", "-c", "%U %a", path]).stdout == f"{USER} 755\n"
    assert ask("ann", "set-head team/new/tool trunk").code == 0
    git = ("-C", "depot-work", "push", "-q", f"{USER}@host:team/new/tool", "HEAD:trunk")
    assert depot.git(f"{USER}-eve", *git).code == 0
    assert (
        ask("eve", "set-head team/new/tool.git main").stderr == "jailssh: team/new/tool: has no branch of this name\n"
    )
    assert ask("eve", "describe team/new/tool 'What it is' \"for, mostly\"").code == 0
    assert recorded(depot)[2] == "git.describe"
    assert ask("bob", "describe team/new/tool").stdout == "What it is for, mostly\n"
    assert recorded(depot)[2] == "git.description"
    assert depot.git(f"{USER}-bob", "clone", "-q", f"{USER}@host:team/new/tool", "depot-clone").code == 0
    assert world.client.git(["-C", "depot-clone", "branch", "--show-current"]).stdout == "trunk\n"
    assert ask("ann", "delete team/new/tool").code == 0
    assert recorded(depot)[2] == "git.delete"
    for name in ("ann", "eve"):
        assert ask(name, "git-upload-pack 'team/new/tool'").stderr == NOT_FOUND
        assert "team/new/tool" not in ask(name, "list").stdout
    (trashed,) = world.host.run(["ls", f"{ROOT}/team/new/.trash"]).stdout.split()
    for command in (f"git-upload-pack 'team/new/.trash/{trashed}'", f"git-receive-pack 'team/new/.trash/{trashed}'",
                    f"describe team/new/.trash/{trashed}", f"delete team/new/.trash/{trashed}"):  # fmt: skip
        assert ask("ann", command).stderr == NOT_FOUND, command
    assert ask("ann", "restore team/new/tool").stdout == "team/new/tool is back\n"
    assert depot.git(f"{USER}-bob", "ls-remote", f"{USER}@host:team/new/tool").stdout.count("refs/heads/trunk") == 1


@pytest.mark.parametrize(
    ("name", "command", "code", "said"),
    [
        ("bob", "create team/x", 126, "jailssh: creating repositories is not allowed for this key\n"),
        ("bob", "set-head docs main", 126, "jailssh: changing HEAD is not allowed for this key\n"),
        ("eve", "delete docs", 126, "jailssh: deleting repositories is not allowed for this key\n"),
        ("eve", "restore docs", 126, "jailssh: deleting repositories is not allowed for this key\n"),
        ("bob", "describe docs mine", 126, ""), ("ann", "describe docs mine", 126, ""),
        ("ann", "set-head docs main", 126, NOT_FOUND), ("ann", "delete docs", 126, NOT_FOUND),
        ("ann", "delete secret", 126, NOT_FOUND), ("ann", "describe secret", 126, NOT_FOUND),
        ("ann", "create docs", 126, NOT_FOUND), ("ann", "create elsewhere", 126, NOT_FOUND),
        ("ann", "create team/old", 126, NOT_FOUND), ("ann", "create team/old.git/x", 126, NOT_FOUND),
        ("ann", "create team/../docs2", 126, ""), ("ann", "create team/.x", 126, NOT_FOUND),
        ("ann", "create team/-x", 126, NOT_FOUND), ("ann", "create -- team/y", 126, ""),
        ("ann", "create --bare team/y", 126, ""), ("ann", "create team/x team/y", 126, ""),
        ("ann", "create /etc/x.git", 126, NOT_FOUND), ("ann", "create team/a.git.git", 126, NOT_FOUND),
        ("ann", "create '' ", 126, ""), ("ann", f"create team/{'x' * 220}", 1, "the name is too long"),
        ("ann", "create 'team/a\x1b[31mb'", 126, "character 0x1b"), ("ann", f"create team/{'x' * 300}", 126, NOT_FOUND),
        ("ann", "delete team/nothing", 126, NOT_FOUND), ("ann", "restore team/nothing", 1, "is not in the trash"),
        ("ann", "info all", 126, ""), ("ann", "list; id", 126, ""), ("ann", "list $(id)", 126, ""),
        ("ann", "set-head team/old --delete", 126, ""), ("ann", "set-head team/old ../x", 1, "not the name of a bra"),
        ("ann", "ensure team/y", 126, ""), ("ann", "jailssh-repos list", 126, ""), ("ann", "set-head docs", 126, ""),
    ],
)  # fmt: skip
def test_what_is_not_allowed_says_so(
    world: World, ask: Ask, name: str, command: str, code: int, said: str
) -> None:  # fmt: skip
    before = world.host.run(["find", ROOT, "-maxdepth", "2"]).stdout
    done = ask(name, command)
    assert (done.code, done.stdout) == (code, ""), done
    assert said in done.stderr and done.stderr.startswith("jailssh: ") and "\x1b" not in done.stderr
    assert ROOT not in done.stderr.replace(f"outside of {ROOT}", "")
    assert world.host.run(["find", ROOT, "-maxdepth", "2"]).stdout == before


def test_links_lead_nowhere_else(world: World, ask: Ask) -> None:
    script = f"""cd {ROOT}/team; ln -s ../secret.git in.git; ln -s old.git own.git; ln -s /etc etc
    mkdir wild.git; cd wild.git; for name in HEAD objects refs; do ln -s ../../secret.git/$name; done"""
    world.host.run(["runuser", "-u", USER, "--", "sh", "-ec", script], check=True)
    try:
        for command in (
            "describe team/in",
            "delete team/in",
            "create team/in",
            "create team/etc/x",
            "set-head team/in x",
        ):
            assert ask("ann", command).code == 126, command
        # By the name of what the link leads to, which is what is judged.
        assert ask("ann", "describe team/own by link").stdout == "team/old is described\n"
        shown = ask("ann", "list").stdout.split()
        assert "team/old" in shown and not {"team/in", "team/own", "team/etc", "secret"} & {*shown}
    finally:
        world.host.run(["sh", "-c", f"cd {ROOT}/team && rm -rf in.git own.git etc wild.git"], check=True)


def test_a_repository_that_wants_to_run_something(world: World, ask: Ask) -> None:
    path = f"{ROOT}/team/own.git"
    script = f"""git clone -q --bare {ROOT}/docs.git {path}; cd {path}; mkdir -p hooks
    printf '#!/bin/sh\\ntouch {path}/ran\\n' | tee hooks/reference-transaction hooks/post-update >/dev/null
    chmod +x hooks/*; git config core.hooksPath {path}/hooks; git config core.pager hooks/post-update
    git config core.fsmonitor hooks/post-update; git config hook.x.command hooks/post-update
    git config hook.x.event reference-transaction"""
    world.host.run(["runuser", "-u", USER, "--", "sh", "-ec", script], check=True)
    world.host.run(["runuser", "-u", USER, "--", "git", "-C", path, "branch", "dev"], check=True)
    assert world.exists(f"{path}/ran")
    world.host.run(["rm", f"{path}/ran"], check=True)
    for command in ("set-head team/own dev", "describe team/own text", "describe team/own", "delete team/own",
                    "restore team/own"):  # fmt: skip
        assert ask("ann", command).code == 0, command
    assert world.host.read(f"{path}/HEAD") == b"ref: refs/heads/dev\n"
    assert not world.exists(f"{path}/ran")
    assert ask("ann", "delete team/own").code == 0


def test_a_full_disk_and_one_that_is_read_only(world: World, depot: People, ask: Ask) -> None:
    folder = f"{ROOT}/team/small"
    world.host.run(["mkdir", folder], check=True)
    world.host.run(["mount", "-t", "tmpfs", "-o", f"size=64k,uid={world.uid(USER)}", "none", folder], check=True)
    try:
        assert ask("ann", "create team/small/one").code == 0
        world.host.run(["sh", "-c", f"dd if=/dev/zero of={folder}/fill bs=4k 2>/dev/null; true"], check=True)
        for command in ("create team/small/two", "describe team/small/one text"):
            done = ask("ann", command)
            assert (done.code, "No space left on device" in done.stderr) == (1, True), done
        assert world.host.run(["ls", "-A", folder]).stdout.split() == ["fill", "one.git"]
        assert "two" not in ask("ann", "list").stdout
        push = depot.git(f"{USER}-ann", "-C", "depot-work", "push", f"{USER}@host:team/small/two", "HEAD:main")
        assert push.code != 0 and not world.exists(f"{folder}/two.git")
        world.host.run(["mount", "-o", "remount,ro", folder], check=True)
        for command in ("create team/small/two", "describe team/small/one text", "delete team/small/one",
                        "set-head team/small/one x"):  # fmt: skip
            done = ask("ann", command)
            assert (done.code, "Read-only file system" in done.stderr) == (1, True), (command, done)
    finally:
        world.host.run(["umount", folder], check=True)


def test_settings_of_a_key_and_of_pushes_and_clones(world: World, depot: People, ask: Ask) -> None:
    """What is off is off whatever a repository says; one key has a command more than the others."""
    host, client = world.host, world.client
    hook = "/etc/jailssh/depot-hooks/post-receive"
    for key in ("receive.advertisePushOptions", "uploadpack.allowFilter"):
        host.run(["runuser", "-u", USER, "--", "git", "-C", f"{ROOT}/docs.git", "config", key, "true"], check=True)
    host.run(["mkdir", "-p", "/etc/jailssh/depot-hooks"], check=True)
    host.write(hook, '#!/bin/sh\necho "told: $GIT_PUSH_OPTION_0"\n', 0o755)
    place = f"{USER}@host:docs"
    push = ("-C", "depot-work", "push", "-o", "x;id", place, "HEAD:refs/heads/opt")
    lazy = ("clone", "--filter=blob:none", "--no-checkout", place)
    done = depot.git(f"{USER}-eve", *push)
    assert done.code != 0 and "does not support push options" in done.stderr
    done = depot.git(f"{USER}-bob", *lazy, "depot-whole")
    assert "filtering not recognized by server, ignoring" in done.stderr
    host.write(JAIL, f"{TEXT}push_options = yes\npartial_clone = yes\nhooks = {hook}\n")
    host.write(f"/etc/jailssh/users/{USER}.conf", f"{_user(world)}[git key bob]\ncommands = list\n")
    try:
        world.jailssh("apply")
        assert "told: x;id" in depot.git(f"{USER}-eve", *push).stderr
        assert depot.git(f"{USER}-bob", *lazy, "depot-lazy").stderr == "Cloning into 'depot-lazy'...\n"
        missing = ("-C", "depot-lazy", "rev-list", "--objects", "--all", "--missing=print")
        assert "?" in client.git(missing).stdout
        for version in ("2", "0"):
            done = depot.git(
                f"{USER}-bob", "-C", "depot-lazy", "-c", f"protocol.version={version}", "checkout", "-q", "main"
            )
            assert done.code == 0, done
        assert (ask("bob", "info").code, ask("bob", "list").code, ask("cyd", "info").code) == (126, 0, 0)
        shown = json.loads(world.jailssh("config", "show", USER, "--key", "bob", "--json").stdout)
        assert "commands" in json.dumps(shown)
    finally:
        host.write(f"/etc/jailssh/users/{USER}.conf", _user(world).partition("[git key bob]")[0])
        host.write(JAIL, TEXT)
        host.run(["rm", "-r", "/etc/jailssh/depot-hooks"], check=True)
        world.jailssh("apply")


def _user(world: World) -> str:
    return world.host.read(f"/etc/jailssh/users/{USER}.conf").decode()


OLD = """#!/bin/sh
echo "git version {version}"
"""


def test_a_git_that_ignores_what_jails_force_is_refused(world: World, depot: People, ask: Ask) -> None:
    git = "/usr/local/bin/git"
    try:
        for version, said in (
            ("2.30.9", f"{git}: is git 2.30, expected 2.31 or later"),
            ("x", "does not say its version"),
        ):
            world.host.write(git, OLD.format(version=version), 0o755)
            for verb in (("apply",), ("config", "check")):
                done = world.jailssh(*verb, check=False)
                assert done.code == 1 and said in done.stdout + done.stderr, (verb, done)
        # What is published goes on.
        assert ask("ann", "list").code == 0
    finally:
        world.host.run(["rm", git], check=True)
    done = world.jailssh("config", "check", check=False)
    assert "git 2.30" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("commands = info show\n", "'show' is not a command"),
        ("commands = create\nwrite = /srv/depot\nroots =\nrights =\n", "'create' needs a table of rights"),
    ],
)
def test_settings_that_cannot_be(world: World, depot: People, text: str, why: str) -> None:
    try:
        world.host.write("/etc/jailssh/jails/depot-wrong.conf", f"plugins = git\n[git]\n{text}")
        done = world.jailssh("config", "check", check=False)
        assert done.code == 1 and why in done.stdout + done.stderr
    finally:
        world.host.run(["rm", "/etc/jailssh/jails/depot-wrong.conf"], check=True)


def test_a_mirror_fetches_what_its_key_may_read(world: World, depot: People) -> None:
    """The script of the plugin's page, as it is printed: made, renewed, and names that lead elsewhere."""
    page = (REPO / "plugins" / "git" / "README.md").read_text()
    script = next(text for text in page.split("```sh\n") if text.startswith("#!/bin/sh")).partition("```")[0]
    client, ssh = world.client, f"ssh -F {world.client.home}/.ssh/of-{USER}-bob.config"
    client.run(["mkdir", "-p", "bin"], check=True)
    client.write("bin/git-mirror", script, 0o755)
    client.write("bin/ssh", f'#!/bin/sh\nexec /usr/bin/{ssh} "$@"\n', 0o755)
    env = {"PATH": f"{client.home}/bin:/usr/bin:/bin"}

    def mirror(into: str = "mirror") -> Finished:
        client.run(["mkdir", "-p", into], check=True)
        return client.run(["bin/git-mirror", f"{USER}@host", into], env=env)

    assert mirror() == Finished(0, "", "")
    names = depot.ssh(f"{USER}-bob", "list").stdout.splitlines()
    found = client.run(["find", "mirror", "-name", "*.git", "-prune", "-printf", "%P\n"]).stdout.split()
    assert sorted(found) == sorted(f"{name}.git" for name in names)
    push = ("-C", "depot-work", "push", "-q", f"{USER}@host:docs", "HEAD:refs/tags/mirrored")
    assert depot.git(f"{USER}-eve", *push).code == 0
    client.run(["rm", "-r", "mirror/team/old.git/objects"], check=True)
    done = mirror()
    assert (done.code, "docs" in done.stderr) == (1, False)
    assert client.git(["-C", "mirror/docs.git", "tag"]).stdout == "mirrored\n"
    client.write("bin/ssh", "#!/bin/sh\nprintf '../out\\n/etc\\n.git/x\\n'\n", 0o755)
    done = mirror("none")
    assert (done.code, done.stderr.count("not a name")) == (1, 3)
    assert client.run(["find", "none", "out.git"]).stdout == "none\n"
