"""A shared account, git@host: who logs in is known by the key, and has their own rights, through sshd."""

from __future__ import annotations

import json
from typing import Any

import paramiko
import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.sshd.people import USER, People, sshd_with
from tests.sshd.world import World, ending, socket_inside

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

RIGHTS = """
read    team/site    @readers
write   team/*       @developers carol
create  bob/*        bob
read    public       @all
"""
REPOSITORIES = """
set -e
umask 022
git init -q -b main /tmp/forge-seed
cd /tmp/forge-seed
echo hello >README
git add README
git commit -q -m one
for path in team/site team/secret public; do
    mkdir -p /srv/forge/${path%/*}
    git clone -q --bare /tmp/forge-seed /srv/forge/$path.git
done
install -d /srv/forge/bob
chown -R forge: /srv/forge
"""
NAMES = {f"GIT_{role}_{what}": "someone" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
REFUSED = "jailssh: cannot start this session; give your administrator reference "


@pytest.fixture(scope="module")
def people(world: World) -> People:
    people = People(world)
    world.host.write("/etc/jailssh/forge.rights", RIGHTS)
    jail = "plugins = git\n[git]\nroots = /srv/forge\nrights = /etc/jailssh/forge.rights\n"
    world.host.write("/etc/jailssh/jails/forge.conf", jail)
    world.host.run(["mkdir", "-p", "/srv/forge"], check=True)
    world.jailssh("adduser", USER, "--jail", "forge")
    world.host.run(["sh", "-c", REPOSITORIES], env=NAMES, check=True)
    for name, group in (("alice", "readers"), ("bob", "developers")):
        said = world.jailssh("keys", "add", USER, name, people.make(name), "--group", group)
        assert f"{USER}: key {name} added, in {group}" in said.stdout
        assert ("is now a shared account" in said.stdout) is (name == "alice")
    return people


def assert_by(records: list[dict[str, Any]], name: str) -> None:
    assert records
    assert {record.get(fields.KEY) for record in records} == {name}


def test_two_people_have_different_rights(people: People) -> None:
    assert people.reads("alice", "team/site").code == 0
    assert_by(people.last(), "alice")
    assert people.reads("alice", "team/secret").code == 126
    denied = people.last()
    assert_by(denied, "alice")
    assert [record[fields.EVENT] for record in denied] == ["denied"]
    assert people.ssh("alice", "git-receive-pack 'team/site'", input="0000").code == 126
    assert people.git("bob", "clone", "-q", f"{USER}@host:team/secret", "bobs").code == 0
    people.world.client.write("bobs/file", "new\n")
    assert people.git("bob", "-C", "bobs", "add", "file").code == 0
    assert people.git("bob", "-C", "bobs", "commit", "-q", "-m", "by bob").code == 0
    done = people.git("bob", "-C", "bobs", "push", "-q")
    assert done.code == 0, done
    assert_by(people.last(), "bob")
    made = people.git("bob", "-C", "bobs", "push", "-q", f"{USER}@host:bob/mine", "main")
    assert made.code == 0, made
    assert people.world.exists("/srv/forge/bob/mine.git/HEAD")
    assert people.git("alice", "-C", "bobs", "push", "-q", f"{USER}@host:bob/mine", "main").code != 0


def test_each_key_has_a_directory_of_its_own(world: World) -> None:
    """A line of the jail is enough for backups of many machines by one account."""
    name, machines = "machines", People(world, "machines")
    jail = f"/etc/jailssh/jails/{name}.conf"
    world.host.write(jail, "plugins = rsync\n[rsync]\nwrite = ~/%k\nread = /srv/%u\n")
    world.host.run(["mkdir", f"/srv/{name}"], check=True)
    world.host.write(f"/srv/{name}/list", "for all\n")
    world.jailssh("adduser", name, "--jail", name)
    try:
        for machine in ("web1", "web2"):
            world.jailssh("keys", "add", name, machine, machines.make(machine))
        world.client.write("up", "of this machine\n")

        def rsync(machine: str, *paths: str) -> Finished:
            shell = f"ssh -F {world.client.home}/.ssh/of-{machine}.config"
            return world.client.run(["rsync", "-e", shell, *paths])

        assert rsync("web1", "up", f"{name}@host:web1/").code == 0
        assert rsync("web2", "up", f"{name}@host:web2/").code == 0
        assert world.exists(f"/home/{name}/web1/up")
        assert rsync("web1", f"{name}@host:/srv/{name}/list", "got").code == 0
        for path in ("web2/", f"/home/{name}/web2/", "web1/../web2/", "", f"/srv/{name}/"):
            assert "command not allowed: path " in rsync("web1", "up", f"{name}@host:{path}").stderr, path
        # Nothing but the own directory is there at all.
        shown = world.jailssh("plan", "show", name, "--key", "web1").stdout
        assert "/web1" in shown
        assert "/web2" not in shown
        world.host.write(jail, "plugins = rsync\n[rsync]\nwrite = ~/%x\n")
        done = world.host.run(["jailssh", "config", "check"])
        assert done.code != 0
        assert "'~/%x': %x has no meaning" in done.stdout + done.stderr, done
    finally:
        world.jailssh("deluser", name, "--now", "--yes")
        world.host.run(["rm", jail], check=True)


@pytest.mark.parametrize(
    ("kind", "options"), [("ed25519", ()), ("rsa", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "384")),
                          ("ecdsa", ("-b", "521"))],
)  # fmt: skip
def test_every_type_of_key_logs_in_by_its_name(people: People, kind: str, options: tuple[str, ...]) -> None:
    name = f"type-{kind}{''.join(options)}"
    public = f"{people.world.client.home}/.ssh/of-{name}"
    if options:
        client = people.world.client
        client.run(["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-f", public], check=True)
        config = people.world.host.read(f"{client.home}/.ssh/config").decode()
        client.write(f".ssh/of-{name}.config", config.replace("/.ssh/id_ed25519", f"/.ssh/of-{name}"), 0o600)
    else:
        people.make(name, kind)
    people.world.jailssh("keys", "add", USER, name, f"{public}.pub")
    assert people.reads(name, "public").code == 0
    assert_by(people.last(), name)
    (row,) = [row for row in listed(people.world) if row["name"] == name]
    said = people.world.client.run(["ssh-keygen", "-l", "-f", f"{public}.pub"], check=True).stdout.split()
    assert row["fingerprint"] == said[1]


def listed(world: World) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(world.jailssh("keys", "list", USER, "--json").stdout)
    return rows


def test_a_certificate_has_the_name_of_its_principal_and_authority(people: People) -> None:
    client = people.world.client
    for authority in ("ca", "other-ca"):
        client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f".ssh/{authority}"], check=True)
    people.world.jailssh("keys", "add", USER, "carol", f"{client.home}/.ssh/ca.pub", "--principal", "carol@example.org")
    people.make("laptop")

    def signed(principals: str, authority: str = "ca") -> None:
        sign = ["ssh-keygen", "-q", "-s", f".ssh/{authority}", "-I", "id", "-n", principals, ".ssh/of-laptop.pub"]
        client.run(sign, check=True)

    signed("someone,carol@example.org")
    done = people.ssh("laptop", "git-receive-pack 'team/secret'", input="0000")
    assert done.code == 0, done
    assert_by(people.last(), "carol")
    assert people.ssh("laptop", "git-receive-pack 'public'", input="0000").code == 126
    for principals, authority in (("mallory", "ca"), ("carol@example.org", "other-ca")):
        signed(principals, authority)
        assert people.reads("laptop", "public").code == 255, (principals, authority)


def test_a_key_of_the_accounts_own_file_is_not_read_and_an_unknown_one_is_refused(people: People) -> None:
    people.make("mallory")
    host, keys = people.world.host, f"/etc/jailssh/keys/{USER}"
    own, before = host.read(f"{people.world.client.home}/.ssh/of-mallory.pub"), host.read(keys)
    people.world.own_keys(USER, own)
    assert people.reads("mallory", "public").code == 255
    host.write(keys, before + own)  # sshd takes it, the roster does not know it: somebody wrote it by hand
    done = people.reads("mallory", "public")
    host.write(keys, before)
    assert (done.code, done.stdout) == (125, "")
    assert done.stderr.startswith(REFUSED)
    (record,) = people.last()
    assert (record[fields.EVENT], record[fields.REASON]) == ("refused", "key-unknown")
    assert fields.KEY not in record
    reference = done.stderr.split()[-1]
    said = people.world.jailssh("explain", "--from-journal", reference, check=False)
    assert said.code == 1
    assert "key-unknown" in said.stdout
    assert f"to allow the key: jailssh keys add {USER} NAME FILE" in said.stdout
    assert "requested: not recorded" in said.stdout


def test_a_password_is_refused(people: People) -> None:
    world = people.world
    world.host.run(["chpasswd"], input=f"{USER}:Correct-horse-7\n", check=True)
    with paramiko.Transport(socket_inside(world.host)) as transport:
        transport.start_client(timeout=20)
        transport.auth_password(USER, "Correct-horse-7")
        channel = transport.open_session()
        channel.exec_command("git-upload-pack 'public'")
        code, out, err = ending(channel)
    assert (code, out) == (125, b"")
    assert err.decode().startswith(REFUSED)
    assert people.last()[0][fields.REASON] == "key-unknown"


def test_what_a_client_says_of_itself_counts_for_nothing(people: People) -> None:
    assert people.reads("alice", "public", "-o", "SetEnv=JAILSSH_KEY=bob SSH_USER_AUTH=/tmp/x").code == 0
    assert_by(people.last(), "alice")


def test_a_shared_connection_keeps_its_key(people: People) -> None:
    world = people.world
    world.jailssh("keys", "add", USER, "dave", people.make("dave"))
    master = ["-o", "ControlPath=/tmp/dave-master"]
    hold = world.client.ssh_args(USER, None, options=["-F", ".ssh/of-dave.config", "-N", "-M", *master])
    with world.vanishing(world.host.popen(hold, user=world.client.account, cwd=world.client.home)):
        world.host.wait_until(lambda: world.exists("/tmp/dave-master"), "the connection")
        for _ in range(2):
            # Whatever key this client would offer: the connection is there already.
            assert people.reads("alice", "public", *master).code == 0
            assert_by(people.last(), "dave")
        world.jailssh("keys", "remove", USER, "dave")
        assert people.reads("alice", "public", *master).code == 125
        assert people.last()[0][fields.REASON] == "key-unknown"


def test_adding_and_taking_away_hold_for_the_next_login(people: People) -> None:
    public = people.make("eve")
    assert people.reads("eve", "public").code == 255
    people.world.jailssh("keys", "add", USER, "eve", public, "--group", "readers")
    assert people.reads("eve", "team/site").code == 0
    users = f"/etc/jailssh/users/{USER}.conf"
    assert "readers = alice, eve\n" in people.world.host.read(users).decode()
    said = people.world.jailssh("keys", "remove", USER, "eve").stdout
    assert f"{USER}: key eve removed" in said
    assert people.reads("eve", "team/site").code == 255
    assert "readers = alice\n" in people.world.host.read(users).decode()
    assert "eve" not in {row["name"] for row in listed(people.world)}


def test_files_changed_by_hand_hold_after_apply(people: People) -> None:
    world = people.world
    public = world.host.read(people.make("frank"))
    world.host.write(f"/etc/jailssh/keys.d/{USER}/frank.pub", public)
    assert people.reads("frank", "public").code == 255
    assert "+ key frank" in world.jailssh("apply", "--dry-run").stdout
    assert "+ key frank" in world.jailssh("apply").stdout
    assert world.jailssh("apply").stdout == "no changes\n"
    assert people.reads("frank", "public").code == 0
    world.host.run(["rm", f"/etc/jailssh/keys.d/{USER}/frank.pub"], check=True)
    assert "- key frank" in world.jailssh("apply").stdout
    assert people.reads("frank", "public").code == 255
    plans = world.host.run(["sh", "-c", f"ls /var/lib/jailssh/plan.v1 | grep '^{world.uid(USER)}[.]'"]).stdout.split()
    roster = json.loads(world.jailssh("plan", "show", USER, "--json").stdout)["records"]
    assert {name.split(".")[1] for name in plans} == {
        record[2] for record in roster if record[0] in ("key", "authority")
    }


def test_a_table_that_is_wrong_for_this_account_stops_no_other(people: People) -> None:
    world = people.world
    world.host.write(f"/etc/jailssh/keys.d/{USER}/broken.pub", "no key\n")
    try:
        checked = world.jailssh("config", "check", check=False)
        assert checked.code == 1
        assert f"/etc/jailssh/keys.d/{USER}/broken.pub:1" in checked.stderr
        assert people.reads("alice", "public").code == 0
        world.adduser("unharmed", "sftp-only")
        assert world.client.sftp("unharmed", "ls\n").code == 0
        # Who is to be kept out is kept out all the same.
        world.jailssh("keys", "remove", USER, "bob")
        assert people.reads("bob", "public").code == 255
    finally:
        world.host.run(["rm", f"/etc/jailssh/keys.d/{USER}/broken.pub"], check=True)
    world.jailssh("keys", "add", USER, "bob", f"{world.client.home}/.ssh/of-bob.pub", "--group", "developers")
    assert people.reads("bob", "team/secret").code == 0


def explained(people: People, *args: str) -> tuple[int, Any]:
    done = people.world.jailssh("--json", "explain", *args, check=False)
    return done.code, json.loads(done.stdout)


def test_explain_agrees_with_what_happened(people: People) -> None:
    command = "git-upload-pack 'team/secret'"
    for name, code, status in (("alice", 3, 126), ("bob", 0, 0)):
        assert people.ssh(name, command, input="0000").code == status
        record = people.last()[0]
        found = explained(people, USER, "--key", name, "--", command)
        assert (found[0], found[1]["plan"]) == (code, record[fields.PLAN])
        happened = explained(people, "--from-journal", record[fields.SESSION])
        assert happened[0] == code
        assert happened[1]["record"]["key"] == happened[1]["now"]["key"] == name
        assert happened[1]["now"]["plan"] == record[fields.PLAN]
        assert happened[1]["record"]["reason"] == found[1].get("reason")
    assert found[1]["patterns"] == ["/srv/forge/team/*"]
    assert found[1]["rights"] == ["granted at /etc/jailssh/forge.rights:3: write team/* @developers carol"]
    assert [place["rights"] for place in found[1]["paths"]] == ["read-write"]
    told = people.world.jailssh("explain", USER, "--key", "bob", "--", "git-lfs-authenticate x", check=False)
    assert (told.code, "message to the user: Git LFS is not available here" in told.stdout) == (3, True)
    done = people.world.jailssh("explain", USER, "--", command, check=False)
    assert done.code == 2
    assert "is shared, so a key name is required" in done.stderr
    assert "alice, bob" in done.stderr
    done = people.world.jailssh("explain", USER, "--key", "bobb", "--", command, check=False)
    assert "did you mean 'bob'?" in done.stderr
    shown = people.world.jailssh("plan", "show", USER, "--key", "bob").stdout
    assert "repositories like /srv/forge/team/*" in shown


def test_the_mount_that_is_explained_is_the_keys_own(people: People) -> None:
    for repository, rights in (("public", "read-only"), ("team/site", "read-write")):
        code, found = explained(people, USER, "--key", "bob", "--", f"git-upload-pack '{repository}'")
        assert code == 0
        assert [(place["path"], place["rights"]) for place in found["paths"]] == [(f"/srv/forge/{repository}", rights)]
    assert explained(people, USER, "--key", "bob", "--", "git-receive-pack 'public'")[0] == 3
    code, found = explained(people, USER, "--key", "alice", "--", "git-upload-pack 'team/site'")
    assert [place["rights"] for place in found["paths"]] == ["read-only"]
    said = people.world.jailssh("explain", USER, "--key", "bob", "--", "git-receive-pack 'bob/first'").stdout
    assert "rule git.create creates it with: " in said and "/jailssh-repos ensure /srv/forge/bob/first" in said, said


@pytest.mark.parametrize(
    ("command", "reason", "said"),
    [
        ("git-upload-pack 'team/none'", "no-such-repository", f"create the repository (git init --bare, as {USER})"),
        ("git-receive-pack 'bob/taken'", "no-such-repository", "it is not a git repository"),
        ("git-upload-pack 'team/-secret'", "repository-name", "no setting allows it; rename the repository"),
        ("git-lfs-authenticate x", "not-served", "unless a setting of the plugin allows it"),
    ],
)
def test_what_only_a_login_finds_out_is_explained(people: People, command: str, reason: str, said: str) -> None:
    people.world.host.run(["mkdir", "-p", "/srv/forge/bob/taken"], check=True)
    assert people.ssh("bob", command, input="0000").code == 126
    record = people.last()[0]
    assert record[fields.REASON] == reason
    out = people.world.jailssh("explain", "--from-journal", record[fields.SESSION], check=False).stdout
    assert said in out


def test_what_runs_first_and_fails_is_explained(people: People) -> None:
    world = people.world
    world.host.run(["chown", "0:0", "/srv/forge/bob"], check=True)
    try:
        done = people.ssh("bob", "git-receive-pack 'bob/unmade'", input="0000")
    finally:
        world.host.run(["chown", f"{USER}:", "/srv/forge/bob"], check=True)
    record = people.last()[0]
    assert (done.code, record[fields.EVENT], record[fields.REASON]) == (125, "refused", "first-failed")
    found = explained(people, "--from-journal", record[fields.SESSION])
    assert found[0] == 1
    assert found[1]["record"]["command"] == "git-receive-pack 'bob/unmade'"
    assert f"check that {USER} can write to the directory" in found[1]["happened"][1]


def test_what_is_suggested_for_one_key_is_then_that_keys_alone(people: People) -> None:
    world = people.world
    asked = "git-upload-pack 'team/secret'"
    world.jailssh("keys", "add", USER, "gina", people.make("gina"), "--group", "readers")
    world.jailssh("keys", "add", USER, "hugo", people.make("hugo"))
    world.jailssh("learn", USER, "--for", "1h")
    assert [people.ssh(name, asked, input="0000").code for name in ("alice", "gina", "bob", "hugo")] == [
        126,
        126,
        0,
        126,
    ]

    def suggested(*options: str) -> Any:
        return json.loads(world.jailssh("--json", "learn", USER, "--suggest", *options).stdout)

    assert suggested("--key", "alice")["settings"][0]["value"] == ["read team/secret alice"]
    assert suggested()["settings"][0]["value"] == ["read team/secret alice gina hugo"]
    # Nobody of the group has asked for more than the two of it.
    world.jailssh("keys", "remove", USER, "hugo")
    found = suggested()
    assert [each["line"] for each in found["for_groups"]] == ["read team/secret @readers"]
    assert "the account no longer has this key" in json.dumps(found["impossible"])
    for line in (found["settings"][0]["value"][0], found["for_groups"][0]["line"]):
        world.host.write("/etc/jailssh/forge.rights", f"{RIGHTS}{line}\n")
        world.jailssh("apply")
        assert [people.reads(name, "team/secret").code for name in ("alice", "gina")] == [0, 0]
        assert people.ssh("alice", "git-receive-pack 'team/secret'", input="0000").code == 126
    world.host.write("/etc/jailssh/forge.rights", RIGHTS)
    world.jailssh("apply")
    assert people.ssh("alice", asked, input="0000").code == 126
    world.jailssh("keys", "remove", USER, "gina")
    world.jailssh("learn", USER, "--stop")
    world.jailssh("learn", USER, "--stop")


def test_what_lists_accounts_plans_and_images_knows_of_keys(people: People) -> None:
    world = people.world
    names = {row["name"] for row in listed(world)}
    (row,) = [row for row in json.loads(world.jailssh("list", "--json").stdout)["accounts"] if row["name"] == USER]
    assert (row["state"], row["keys"]) == (f"ready, shared by {len(names)} keys", len(names))
    assert set(json.loads(world.jailssh("plan", "show", USER, "--json").stdout)["keys"]) == names
    shown = world.jailssh("plan", "show", USER).stdout
    assert [name for name in names if f"\nkey {name} has the plan " not in shown] == []
    (image,) = [row for row in json.loads(world.jailssh("image", "list", "--json").stdout) if row["jail"] == "forge"]
    assert image["plans"] == [USER]
    assert f"plans      {USER}\n" in world.jailssh("image", "show", "forge").stdout
    assert "- 0 " not in world.jailssh("image", "gc").stdout
    assert USER not in world.jailssh("config", "check", check=False).stderr


def test_learning_goes_on_in_a_shared_account(people: People) -> None:
    world = people.world
    world.jailssh("learn", USER, "--for", "1h")
    assert people.ssh("alice", "uptime").code == 126
    found = json.loads(world.jailssh("--json", "learn", USER, "--suggest").stdout)
    assert "uptime" in json.dumps(found)
    world.jailssh("learn", USER, "--stop")
    world.jailssh("learn", USER, "--stop")


def test_keys_print_serves_as_the_commands_of_sshd(people: People) -> None:
    """The file is what the drop-in uses; the commands let the same people in under the same names."""
    world = people.world
    command = "/usr/local/bin/jailssh keys print"
    text = (
        f"Match User {USER}\nAuthorizedKeysFile none\nAuthorizedKeysCommand {command} %u %t %k\n"
        f"AuthorizedKeysCommandUser nobody\nMatch all\n"
    )
    printed = world.jailssh("keys", "print", USER).stdout.splitlines()
    made = world.host.read(f"/etc/jailssh/keys/{USER}").decode().splitlines()
    assert printed == made[1:]
    with sshd_with(world, text):
        for name in ("alice", "bob"):
            assert people.reads(name, "public").code == 0
            assert_by(people.last(), name)
        assert people.reads("mallory", "public").code == 255
    client = world.client
    sign = ["ssh-keygen", "-q", "-s", ".ssh/ca", "-I", "id", "-n"]
    client.run([*sign, "carol@example.org", ".ssh/of-laptop.pub"], check=True)
    world.host.write("/etc/ssh/user-ca.pub", world.host.read(f"{client.home}/.ssh/ca.pub"))
    text = (
        f"Match User {USER}\nAuthorizedKeysFile none\nTrustedUserCAKeys /etc/ssh/user-ca.pub\n"
        f"AuthorizedPrincipalsCommand {command} --principals %u %T %K\nAuthorizedPrincipalsCommandUser nobody\n"
        "Match all\n"
    )
    with sshd_with(world, text):
        assert people.reads("laptop", "public").code == 0
        assert_by(people.last(), "carol")
        client.run([*sign, "mallory", ".ssh/of-laptop.pub"], check=True)
        assert people.reads("laptop", "public").code == 255


def test_without_what_tells_people_apart_nothing_is_changed(people: People) -> None:
    world = people.world
    public = people.make("late")
    for line, why in (("ExposeAuthInfo no", "exposeauthinfo is 'no'"),
                      ("AcceptEnv LANG SSH_*", "acceptenv is SSH_*")):  # fmt: skip
        world.host.write("/etc/ssh/sshd_config.d/10-test.conf", f"Match User {USER}\n{line}\nMatch all\n")
        try:
            done = world.jailssh("keys", "add", USER, "late", public, check=False)
        finally:
            world.host.run(["rm", "/etc/ssh/sshd_config.d/10-test.conf"], check=True)
        assert done.code == 1
        assert why in done.stderr
        assert not world.exists(f"/etc/jailssh/keys.d/{USER}/late.pub")


def test_without_any_key_left_the_accounts_own_file_lets_nobody_in(people: People) -> None:
    world = people.world
    world.jailssh("adduser", "lonely", "--jail", "forge")
    world.jailssh("keys", "add", "lonely", "yves", people.make("yves"))
    world.own_keys("lonely", world.host.read(people.make("olga")))
    world.host.run(["rm", "-r", "/etc/jailssh/keys.d/lonely"], check=True)
    assert "nobody can log in" in world.jailssh("apply").stderr
    done = world.client.ssh("lonely", "git-upload-pack 'public'", options=["-F", ".ssh/of-olga.config"], input="0000")
    assert (done.code, done.stdout) == (255, "")
    world.jailssh("deluser", "lonely", "--remove-home", "--yes")


def test_deluser_takes_the_names_away(people: People) -> None:
    world = people.world
    world.jailssh("adduser", "brief", "--jail", "forge")
    world.jailssh("keys", "add", "brief", "zoe", people.make("zoe"))
    uid = world.uid("brief")
    world.jailssh("deluser", "brief", "--remove-home", "--yes")
    for path in ("keys.d/brief", "keys/brief", "users/brief.conf"):
        assert not world.exists(f"/etc/jailssh/{path}")
    assert world.host.run(["sh", "-c", f"ls /var/lib/jailssh/plan.v1 | grep -c '^{uid}'"]).stdout == "0\n"
