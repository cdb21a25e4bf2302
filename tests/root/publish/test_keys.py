"""Plans of shared accounts with real images, and names that come and go, killed at every point."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jailssh.core.errors import ConfigError, ManyErrors
from jailssh.daemon.service import Service
from jailssh.diagnose import findings
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import load_configuration
from jailssh.publish import images as of_images
from jailssh.publish import plan_files, publish
from jailssh.scratch.host import Finished, ScratchHost
from jailssh.upkeep import update
from tests.harness.keys import public_key
from tests.harness.resident import Driven, Resident, command
from tests.harness.sampling import some
from tests.root.publish_lab import publish_all, put
from tests.root.ring_lab import ALICE, GIT, JAIL, files, layout, name, people

__all__ = ["layout", "people"]

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("git")]


def patterns(layout: Layout, who: str | None, uid: int = 61001) -> set[str]:
    plan = plan_files.login_plan(layout, uid, "git", who)
    assert plan is not None
    return {record.args[0] for record in plan.records if record.verb == "like"}


def test_keys_with_the_same_rights_share_a_plan(layout: Layout, people: Callable[..., None]) -> None:
    people("ann", "bob", "carol", "dan", groups="[groups]\ndevs = ann, bob\nidle = ann, dan\n")
    publish_all(layout)
    roster = plan_files.read_plan(layout, 61001)
    serials = plan_files.keys_of(roster)
    assert set(serials) == {"ann", "bob", "carol", "dan"}
    assert serials["ann"] == serials["bob"]
    assert len(set(serials.values())) == 3
    assert files(layout) == ["61001", *sorted(f"61001.{serial}" for serial in set(serials.values()))]
    assert patterns(layout, "ann") == {"/srv/team/*", "/srv/docs"}
    assert patterns(layout, "carol") == {"/srv/own/*", "/srv/docs"}
    assert patterns(layout, "dan") == {"/srv/docs"}
    for serial in serials.values():
        info = os.stat(plan_files.plan_file(layout, 61001, serial))
        assert (info.st_mode & 0o7777, info.st_uid) == (0o600, 0)
    made = Path(layout.keys, "git").read_text().splitlines()
    assert [line.split()[-1] for line in made[1:]] == ["ann", "bob", "carol", "dan"]
    assert publish_all(layout) == []


def test_an_ordinary_account_has_the_rights_of_its_name_and_groups(layout: Layout, people: Callable[..., None]) -> None:
    people()
    carol = dataclasses.replace(ALICE, roles=frozenset(("carol", "@devs", "@all")))
    put(f"{layout.users}/alice.conf", "uid = 61002\njail = hosting\n")
    publish.publish_and_tidy(load_configuration(layout), carol)
    assert patterns(layout, None, 61002) == {"/srv/team/*", "/srv/docs", "/srv/own/*"}


def test_a_mistake_in_one_ring_stops_no_other_account(layout: Layout, people: Callable[..., None]) -> None:
    people("ann")
    publish_all(layout)
    before = {file: Path(layout.plans, file).read_bytes() for file in files(layout)}
    put(f"{layout.key_rings}/git/bad.pub", "nothing\n")
    put(f"{layout.users}/alice.conf", "uid = 61002\njail = hosting sftp-ro\n")
    with pytest.raises(ConfigError, match=r"git/bad\.pub:1"):
        publish_all(layout)
    with pytest.raises(ConfigError, match=r"git/bad\.pub:1"):
        load_configuration(layout).validate()
    assert {file: Path(layout.plans, file).read_bytes() for file in files(layout)} == before
    alice = plan_files.read_plan(layout, 61002)
    assert alice is not None
    assert alice.first("jail") == ("hosting+sftp-ro",)


@pytest.mark.parametrize("spoil", ["mode", "owner", "link", "directory"])
def test_keys_that_somebody_else_could_write_are_not_taken(
    layout: Layout, people: Callable[..., None], spoil: str
) -> None:
    people("ann")
    path = f"{layout.key_rings}/git/ann.pub"
    if spoil == "mode":
        os.chmod(path, 0o664)
    elif spoil == "owner":
        os.chown(path, 61001, 0)
    elif spoil == "link":
        os.rename(path, f"{layout.root}/elsewhere")
        os.symlink(f"{layout.root}/elsewhere", path)
    else:
        os.chmod(f"{layout.key_rings}/git", 0o777)
    with pytest.raises((ManyErrors, Exception), match=r"writable|owned|too many levels"):
        publish_all(layout)
    assert not os.path.exists(f"{layout.plans}/61001")


def test_keys_without_names_are_not_lost(layout: Layout, people: Callable[..., None]) -> None:
    people("ann")
    given = f"restrict {public_key(1)} me\nrestrict {public_key(9)} old-laptop\n"
    put(f"{layout.keys}/git", given)
    with pytest.raises(ConfigError, match="the account is shared: old-laptop"):
        publish_all(layout)
    assert Path(layout.keys, "git").read_text() == given
    name(layout, "old", 9)
    publish_all(layout)
    assert [line.split()[-1] for line in Path(layout.keys, "git").read_text().splitlines()[1:]] == ["ann", "old"]


def test_a_ring_of_nobody(layout: Layout, people: Callable[..., None]) -> None:
    people()
    name(layout, "zoe", 1, "ghost")
    configuration = load_configuration(layout)
    configuration.validate()
    (found,) = [str(each) for each in findings.find(configuration).wrong if "ghost" in str(each)]
    assert found.endswith("keys.d/ghost: the account does not exist on this host")


def test_an_image_that_only_a_keys_plan_uses_stays(layout: Layout, people: Callable[..., None]) -> None:
    people("ann")
    os.unlink(f"{layout.users}/alice.conf")
    put(layout.config_file, "keep_generations = 1\n")
    publish_all(layout)
    plan = plan_files.login_plan(layout, 61001, "git", "ann")
    assert plan is not None
    image = (plan.first("image") or ("",))[0]
    # The jail goes on to another image; the plans have not followed yet.
    put(f"{layout.jails}/hosting.conf", JAIL.replace("[git]\n", "[git]\nprograms = /usr/bin/env\n"))
    configuration = load_configuration(layout)
    newer = of_images.Images(layout).ensure(configuration.definition(["hosting"]))
    assert newer.path != image
    assert of_images.prune_images(configuration).generations == ()
    assert os.path.isdir(image)
    count, errors = update.publish_plans(configuration, "hosting")
    assert (count, errors) == (1, [])
    assert of_images.prune_images(configuration).generations == (os.path.basename(image),)
    assert pool.generations(layout) == [os.path.basename(newer.path)]
    assert len(files(layout)) == 2


def test_a_roster_on_demand(layout: Layout, people: Callable[..., None]) -> None:
    people("ann", "carol")
    records: list[str] = []
    service = Service(layout, lambda event, message, fields: records.append(event), {61001: GIT}.get)
    assert service.answer(61001) == "ok"
    assert set(plan_files.keys_of(plan_files.read_plan(layout, 61001))) == {"ann", "carol"}
    assert plan_files.lacking(plan_files.plan_file(layout, 61001), layout.root) == ""
    assert records[-1] == "plan-compiled"
    # Who may log in at all is the administrator's commands' matter.
    assert not os.path.exists(authorized_keys.keys_file(layout, "git"))


IMPORTS = """
import json, os, signal, sys
from jailssh.config.keys import parse_keys
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.publish.publish import Publisher
from jailssh.change import transaction
from jailssh.setup import setup
from jailssh.users import key_removal, keyring
"""
PROGRAM = """
layout = Layout()
spec = json.loads(sys.argv[1])
points = []

def fault(point):
    points.append(point)
    if len(points) == spec.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)

class Full(Publisher):
    def publish(self, entry):
        super().publish(entry)
        raise OSError(28, "No space left on device")

publisher = (Full if spec.get("full") else Publisher)(layout)
try:
    if spec["do"] == "add":
        keys = tuple(parse_keys(spec["key"].encode(), "key"))
        wish = keyring.Addition("forge", spec["name"], keys, tuple(spec.get("groups", ())))
        lines = keyring.add(layout, wish, publisher, fault)
    elif spec["do"] == "remove":
        done = key_removal.remove(layout, "forge", spec["name"], fault)
        for error in done.errors:
            raise error
        lines = done.lines
    else:
        with fs.lock(layout.lock):
            lines = [line for each in transaction.subjects(layout) for line in transaction.recover(layout, each)]
except (JailsshError, OSError) as error:
    print(json.dumps({"error": error.lines() if isinstance(error, JailsshError) else [str(error)]}))
    sys.exit(1)
print(json.dumps({"lines": lines, "points": points}))
"""


PYTHON = "/usr/local/lib/jailssh/python"
SETTLED = "settled an interrupted change: keys-forge"


class Host(Driven):
    """A host with jailssh installed and the account forge, and the driver."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.driver = Resident(scratch, IMPORTS, PROGRAM, PYTHON)
        self.command = Resident(scratch, *command("apply", "plan"), PYTHON)
        self.jailssh("setup", "--yes")
        scratch.run(["mkdir", "-p", "/etc/jailssh/jails", "/srv/forge"], check=True)
        text = JAIL.replace("roots = /srv\n", "roots = /srv/forge\n")
        scratch.write("/etc/jailssh/jails/hosting.conf", text)
        self.jailssh("adduser", "forge", "--jail", "hosting")
        # Shared from here on: with the last key it does not become an ordinary account again.
        scratch.write("/root/first.pub", public_key(999) + "\n")
        self.jailssh("keys", "add", "forge", "first", "/root/first.pub")
        self.jailssh("keys", "remove", "forge", "first")
        self.uid = scratch.run(["id", "-u", "forge"], check=True).stdout.strip()

    def jailssh(self, *args: str, check: bool = True) -> Finished:
        return self.scratch.run(["/usr/local/bin/jailssh", *args], check=check)

    def sh(self, command: str) -> str:
        return self.scratch.run(["sh", "-c", command], check=True).stdout

    def state(self) -> tuple[str, str]:
        """Everything that a change of keys may touch."""
        listing = "find /etc/jailssh /var/lib/jailssh/plan.v1 /var/lib/jailssh/undo -printf '%p %m %u %y\\n' | sort"
        content = "find /etc/jailssh /var/lib/jailssh/plan.v1 -type f -not -name .lock -exec sha256sum {} + | sort"
        return self.sh(listing), self.sh(content)

    def let_in(self) -> set[str]:
        """Return the names that sshd lets in, after a look that each has a plan, or all have the one."""
        lines = self.sh("cat /etc/jailssh/keys/forge 2>/dev/null || true").splitlines()
        names = {line.split()[-1] for line in lines if not line.startswith("#")}
        planned = self.command.run("--json", "plan", "show", "forge")
        shown = json.loads(planned.stdout)["records"] if planned.code == 0 else ()
        roster = {record[1]: record[2] for record in shown if record[0] == "key"}
        assert names <= set(roster)
        for who, serial in roster.items():
            plan = json.loads(self.command.run("--json", "plan", "show", "forge", "--key", who, check=True).stdout)
            assert plan["serial"] == serial
        return names


@pytest.fixture(scope="module")
def host(installed_host: ScratchHost) -> Iterator[Host]:
    host = Host(installed_host)
    yield host
    host.driver.close()
    host.command.close()


@pytest.mark.needs("sshd", "login-program")
def test_killed_at_any_point_it_is_rolled_back_and_nobody_is_in_between(host: Host) -> None:
    before = host.state()
    first = {"name": "ann", "key": public_key(1), "groups": ["devs"]}
    for names, spec in ((set(), first), ({"ann"}, {"name": "bob", "key": public_key(2), "groups": ["devs", "ops"]})):
        start = host.state()
        points = host.do("add", **spec)["points"]
        assert {"key file: done", "users file: noted", "plan: done", "keys: done", "finish: done"} <= set(points)
        assert ("directory: done" in points) is (not names)
        after = host.state()
        assert host.do("add", **spec)["lines"] == [f"forge: key {spec['name']} already exists, nothing changed"]
        removed = host.do("remove", name=spec["name"])["points"]
        assert host.state() == start
        for number, point in some(enumerate(points[:-1], 1), 8, f"{spec['name']}"):
            assert host.raw(do="add", kill=number, **spec).code not in (0, 1), point
            assert host.let_in() <= names | {spec["name"]}, point
            assert host.do("recover")["lines"] == [SETTLED], point
            host.command.run(
                "apply", check=True
            )  # A plan that had been published is not put back: what is true now is published.
            assert host.state() == start, point
        host.do("add", **spec)
        assert host.state() == after
        assert removed == ["keys: done", "key file: done", "plan: done", "users file: done"]
        for number, point in enumerate(removed, 1):
            assert host.raw(do="remove", kill=number, name=spec["name"]).code not in (0, 1), point
            assert host.let_in() == names, point
            assert host.do("recover")["lines"] == [], point
            if point != "users file: done":
                done = host.do("remove", name=spec["name"])
                assert "lines" in done, (point, done)
            assert host.state() == start, point
            host.do("add", **spec)
            assert host.state() == after, point
    host.do("remove", name="bob")
    host.do("remove", name="ann")
    assert host.state() == before


@pytest.mark.needs("sshd", "login-program")
def test_rolling_back_leaves_what_was_changed_by_hand_since(host: Host) -> None:
    before = host.state()
    for who, number in (("ann", 1), ("bob", 2)):
        host.do("add", name=who, key=public_key(number), groups=["devs"])
    points = host.do("add", name="carol", key=public_key(3), groups=["devs"])["points"]
    host.do("remove", name="carol")
    killed = points.index("users file: done") + 1
    assert host.raw(do="add", kill=killed, name="carol", key=public_key(3), groups=["devs"]).code not in (0, 1)
    # A right is taken away while the change hangs: rolling the change back must not give it again.
    file = "/etc/jailssh/users/forge.conf"
    host.sh(f"sed -i 's/bob, *//' {file}; grep -q carol {file}")
    assert host.do("recover")["lines"] == [SETTLED]
    host.sh(f"grep -q ann {file} && ! grep -q bob {file}")
    for who in ("carol", "bob", "ann"):
        host.raw(do="remove", name=who)
    assert host.state() == before


@pytest.mark.needs("sshd", "login-program")
def test_nothing_lets_a_removed_key_in_again(host: Host) -> None:
    before = host.state()
    for who, number in (("ann", 1), ("bob", 2)):
        host.do("add", name=who, key=public_key(number))
    file, ghost = "/etc/jailssh/keys.d/forge/bob.pub", "/etc/jailssh/keys.d/ghost"
    # The command was killed; the administrator takes the file away by hand.
    assert host.raw(do="remove", kill=1, name="bob").code not in (0, 1)
    host.sh(f"rm {file}")
    host.jailssh("apply")
    assert host.let_in() == {"ann"}
    host.do("add", name="bob", key=public_key(2))
    # The file was taken away by hand, and a mistake elsewhere keeps apply from doing anything.
    host.sh(f"mkdir {ghost}; cp /etc/jailssh/keys.d/forge/ann.pub {ghost}/; rm {file}")
    host.jailssh("keys", "remove", "forge", "bob")
    assert host.let_in() == {"ann"}
    assert "does not exist in account forge" in host.jailssh("keys", "remove", "forge", "bob", check=False).stderr
    # The same, and apply does what it can.
    host.do("add", name="bob", key=public_key(2), groups=["devs"])
    host.sh(f"rm {file}")
    told = host.jailssh("apply", check=False)
    assert "- key bob" in told.stdout
    assert "the account does not exist" in told.stderr
    assert host.let_in() == {"ann"}
    host.sh(f"rm -r {ghost}; touch /etc/jailssh/keys.d/forge/ann.pub~")
    told = host.jailssh("apply")
    assert (told.stdout, "group devs: key 'bob' does not exist" in told.stderr) == ("no changes\n", True)
    # A name that stands only in a group.
    assert "bob removed, also from devs;" in host.jailssh("keys", "remove", "forge", "bob").stdout
    last = host.jailssh("keys", "remove", "forge", "ann").stdout
    assert "this was the last key; nobody can log in as forge" in last
    host.sh("rm -r /etc/jailssh/keys.d/forge")
    assert host.state() == before


@pytest.mark.needs("sshd", "login-program")
def test_a_key_removed_beside_an_interrupted_change_stays_out(host: Host) -> None:
    before = host.state()
    host.do("add", name="ann", key=public_key(1), groups=["devs"])
    wish = {"name": "bob", "key": public_key(2), "groups": ["devs"]}
    points = host.do("add", **wish)["points"]
    host.do("remove", name="bob")
    for point in ("key file: done", "users file: done", "plan: done", "keys: noted", "keys: done"):
        for who in ("ann", "bob"):
            assert host.raw(do="add", kill=points.index(point) + 1, **wish).code not in (0, 1), point
            assert "lines" in host.do("remove", name=who), (point, who)
            assert who not in host.let_in(), (point, who)
            assert host.do("recover")["lines"] == [SETTLED], point
            host.command.run("apply", check=True)
            assert who not in host.let_in(), (point, who)
            host.raw(do="remove", name="bob")
            host.raw(do="add", name="ann", key=public_key(1), groups=["devs"])
            assert host.let_in() == {"ann"}, (point, who)
    host.do("remove", name="ann")
    assert host.state() == before


@pytest.mark.needs("sshd", "login-program")
def test_a_failure_in_the_middle_changes_nothing(host: Host) -> None:
    before = host.state()
    assert "No space left" in host.do("add", name="ann", key=public_key(1), full=True)["error"][0]
    assert host.state() == before
    host.do("add", name="ann", key=public_key(1))
    named = host.state()
    assert "No space left" in host.do("add", name="bob", key=public_key(2), groups=["devs"], full=True)["error"][0]
    assert host.state() == named
    host.do("remove", name="ann")
    assert host.state() == before


@pytest.mark.needs("sshd", "login-program")
def test_what_is_refused_changes_nothing(host: Host) -> None:
    host.do("add", name="ann", key=public_key(1))
    host.scratch.write("/root/k.pub", public_key(3) + "\n")
    host.scratch.write("/root/ann.pub", public_key(1) + "\n")
    before = host.state()
    for args, why in (
        (("keys", "add", "forge", "ann", "/root/k.pub"), "already exists in account forge"),
        (("keys", "add", "forge", "bob", "/root/ann.pub"), "key is also in /etc/jailssh/keys.d/forge/ann.pub"),
        (("keys", "add", "forge", "-x", "/root/k.pub"), "error"),
        (("keys", "add", "forge", "a/b", "/root/k.pub"), "not a name"),
        (("keys", "add", "forge", "bob", "/root/k.pub", "--group", "all"), "a group cannot have this name"),
        (("keys", "add", "forge", "bob", "/root/k.pub", "--principal", "a,b"), "is not a principal"),
        (("keys", "add", "forge", "bob", "/root/none.pub"), "no such file"),
        (("keys", "add", "nosuch", "bob", "/root/k.pub"), "nosuch"),
        (("keys", "add", "root", "bob", "/root/k.pub"), "is not in a jail"),
        (("keys", "remove", "forge", "bob"), "does not exist in account forge"),
        (("keys", "print", "forge", "ssh-ed25519"), "requires TYPE and BLOB"),
        (("adduser", "forge", "--jail", "hosting", "--key", "/root/k.pub"), "jailssh keys add forge NAME FILE"),
    ):
        done = host.jailssh(*args, check=False)
        assert done.code != 0, args
        assert why in done.stderr or why == "error", (args, done.stderr)
        assert host.state() == before, args
    host.do("remove", name="ann")


@pytest.mark.needs("sshd", "login-program")
def test_keys_of_adduser_get_names_by_hand(host: Host) -> None:
    before = host.state()
    host.scratch.write("/root/k.pub", public_key(3) + " desk\n")
    host.scratch.write("/root/l.pub", public_key(4) + "\n")
    refused = host.jailssh("adduser", "forge", "--jail", "hosting", "--key", "/root/k.pub", check=False)
    assert "forge is a shared account, its keys need names" in refused.stderr
    assert host.jailssh("plan", "show", "forge", check=False).code != 0
    host.sh("rm /etc/jailssh/keys/forge")
    host.jailssh("apply")
    host.jailssh("adduser", "forge", "--jail", "hosting", "--key", "/root/k.pub")
    given = host.state()
    done = host.jailssh("keys", "add", "forge", "bob", "/root/l.pub", check=False)
    assert "1 key without a name would stop working: desk" in done.stderr
    assert "/etc/jailssh/keys.d/forge/NAME.pub" in done.stderr
    assert host.state() == given
    host.sh("mkdir /etc/jailssh/keys.d/forge && cp /root/k.pub /etc/jailssh/keys.d/forge/carol.pub")
    host.jailssh("apply")
    assert host.let_in() == {"carol"}
    host.jailssh("keys", "add", "forge", "bob", "/root/l.pub")
    assert host.let_in() == {"carol", "bob"}
    # Another jail for the account keeps its keys and their groups.
    host.jailssh("keys", "add", "forge", "bob", "/root/l.pub", "--group", "devs")
    host.jailssh("adduser", "forge", "--jail", "hosting,sftp-ro")
    assert host.let_in() == {"carol", "bob"}
    assert host.sh("cat /etc/jailssh/users/forge.conf").endswith("jail = hosting sftp-ro\n\n[groups]\ndevs = bob\n")
    host.jailssh("adduser", "forge", "--jail", "hosting")
    for who in ("bob", "carol"):
        host.jailssh("keys", "remove", "forge", who)
    assert host.sh("ls /etc/jailssh/keys /etc/jailssh/keys.d") == "/etc/jailssh/keys:\nforge\n\n/etc/jailssh/keys.d:\n"
    assert host.state()[1] == before[1]


@pytest.mark.needs("sshd", "login-program")
def test_many_at_once_wait_for_each_other(host: Host) -> None:
    for number in range(1, 7):
        host.scratch.write(f"/root/{number}.pub", public_key(number) + "\n")
    add = "/usr/local/bin/jailssh keys add forge k$n /root/$n.pub --group devs >/dev/null || echo failed"
    assert host.sh(f"for n in 1 2 3 4 5 6; do ( {add} ) & done; wait") == ""
    assert host.let_in() == {f"k{number}" for number in range(1, 7)}
    take = "/usr/local/bin/jailssh keys remove forge k$n >/dev/null || echo failed"
    assert host.sh(f"for n in 1 2 3 4 5 6; do ( {take} ) & done; wait") == ""
    assert host.sh("ls /etc/jailssh/keys.d") == ""
