"""An account in a jail changes its own keys and password, through sshd, the program in the jail and jailsshd-self."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from jailssh.core import asking
from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

SERVICE = "/usr/local/libexec/jailssh/jailsshd-self"
PLACE = f"{asking.PLACE}/{asking.SOCKET}"
OLD, NEW = "Correct-Horse-7-staple", "Wholly-Other-9-battery"
JAIL = """plugins = self-service
[self-service]
keys = yes
key_types = ed25519 rsa
max_keys = 3
key_lifetime = {lifetime}
passwords = yes
"""
OUT = """plugins = shell self-service
root = live
network = host
[self-service]
outgoing_keys = yes
"""


class Own:
    """An account in such a jail, and what it asks for."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def ask(self, command: str, said: str | bytes = "") -> Finished:
        return self.world.client.ssh(self.name, command, input=said)

    def make(self, name: str, *options: str) -> str:
        """Make a key; return its public half."""
        path = f".ssh/self-{name}"
        self.world.client.run(["ssh-keygen", "-q", "-N", "", "-f", path, *(options or ("-t", "ed25519"))], check=True)
        return self.world.host.read(f"{self.world.client.home}/{path}.pub").decode()

    def lines(self) -> list[str]:
        return self.world.host.read(f"/etc/jailssh/keys/{self.name}").decode().splitlines()

    def told(self, change: str) -> list[dict[str, object]]:
        found = self.world.host.journal(**{fields.USER: self.name, fields.EVENT: "self-service"})
        return [record for record in found if record[fields.CHANGE] == change]

    def hash(self) -> str:
        done = self.world.host.run(["getent", "shadow", self.name], check=True)
        return done.stdout.split(":")[1]


@pytest.fixture
def word(own: Own) -> Own:
    """An account of that jail with a password."""
    return Own(own.world, "own-word")


@pytest.fixture(scope="module")
def own(world: World) -> Iterator[Own]:
    world.host.write("/etc/jailssh/jails/own.conf", JAIL.format(lifetime="90d"))
    world.host.write("/etc/jailssh/jails/own-ended.conf", JAIL.format(lifetime="1"))
    world.host.write("/etc/jailssh/jails/own-first.conf", JAIL.format(lifetime="90d") + "first_password = yes\n")
    world.host.write("/etc/jailssh/jails/own-out.conf", OUT)
    world.adduser("own", "own")
    world.adduser("own-shell", "probing,own")
    world.adduser("own-word", "own")
    world.host.run(["chpasswd"], input=f"own-word:{OLD}\n", check=True)
    with world.host.popen([SERVICE]) as process:
        try:
            world.host.wait_for(PLACE, process)
            yield Own(world, "own")
        finally:
            process.terminate()
    inside = world.host.run(["sh", "-c", "ls /etc/jailssh/users"], check=True).stdout.split()
    for name in (each.removesuffix(".conf") for each in inside if each.startswith("own")):
        world.jailssh("deluser", name, "--remove-home", "--now", "--yes")
    world.host.run(["sh", "-c", "rm /etc/jailssh/jails/own.conf /etc/jailssh/jails/own-*.conf"], check=True)


def test_keys_are_added_used_listed_and_removed(own: Own) -> None:
    key = own.make("laptop")
    added = own.ask("jail-keys add laptop", key)
    assert (added.code, added.stderr) == (0, "")
    assert added.stdout.startswith("key laptop added: SHA256:")
    line = own.lines()[-1]
    assert line.startswith('restrict,pty,expiry-time="2')
    assert line.endswith(" self:laptop")  # the comment of the key is not the account's to choose
    with_it = own.world.client.ssh("own", "jail-keys list", options=["-i", ".ssh/self-laptop", "-F", "/dev/null",
              "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
              "-o", "HostName=127.0.0.1", "-o", "UserKnownHostsFile=/dev/null"])  # fmt: skip
    assert [row.split()[0] for row in with_it.stdout.splitlines()][-1] == "laptop"
    assert "added by the administrator" in with_it.stdout.splitlines()[0]
    assert "added by you  until 2" in with_it.stdout.splitlines()[-1]
    assert "  self:laptop  (added by the account itself)" in own.world.jailssh("keys", "list", "own").stdout
    removed = own.ask("jail-keys remove laptop")
    assert removed.stdout == "key laptop removed; sessions that are open go on\n"
    assert not any("self:laptop" in line for line in own.lines())
    (record,) = own.told("key-removed")
    assert (record[fields.KEY], record[fields.PUBLIC_KEY]) == ("laptop", " ".join(key.split()[:2]))
    assert [each[fields.KEY] for each in own.told("key-added")] == ["laptop"]


def test_what_the_rules_forbid_changes_nothing(own: Own) -> None:
    before = own.lines()
    good, ecdsa = own.make("one"), own.make("two", "-t", "ecdsa")
    cases: list[tuple[str, str | bytes, str]] = [
        ("jail-keys add x", ecdsa, "keys of type ecdsa are not allowed here"),
        ("jail-keys add x", good.encode() + b"\0", "not the text of a public key"),
        ("jail-keys add x", "a" * (1 << 20), "too long"),
        ("jail-keys add y", own.world.client.public_key, "this key is there already"),
        ("jail-keys remove nosuch", "", "no such key"),
        (f"jail-keys remove {before[0].split()[-1]}", "", "this is the last key"),
    ]
    for command, said, why in cases:
        done = own.ask(command, said)
        assert done.code in (1, 2), (command, done)
        assert why in done.stderr, (command, done)
    for command in ("jail-keys", "jail-keys list own-shell", "passwd root", "jail-keys add", "sh"):
        assert own.ask(command).code == 126
    assert own.lines() == before


def test_number_and_names(own: Own) -> None:
    assert own.ask("jail-keys add a", own.make("five")).code == 0
    again = own.ask("jail-keys add a", own.make("six"))
    assert "a key called a exists already" in again.stderr
    assert own.ask("jail-keys add b", own.make("seven")).code == 0
    full = own.ask("jail-keys add c", own.make("eight"))
    assert "has 3 keys and may have 3" in full.stderr
    assert own.ask("jail-keys remove a").code == own.ask("jail-keys remove b").code == 0


def test_the_password_is_verified_judged_and_changed(word: Own) -> None:
    before = word.hash()
    wrong = word.ask("passwd", f"no-{OLD}\n{NEW}\n{NEW}\n")
    assert (wrong.code, wrong.stderr) == (3, "the present password is not right; nothing was changed\n")
    weak = word.ask("passwd", f"{OLD}\nabc\nabc\n")
    assert weak.code == 1
    assert weak.stderr.startswith("the new password was not taken: ")
    assert "hanging" not in weak.stderr
    differ = word.ask("passwd", f"{OLD}\n{NEW}\n{NEW}x\n")
    assert (differ.code, differ.stderr) == (2, "the two new passwords differ; nothing was changed\n")
    cut = word.ask("passwd", f"{OLD}\n{NEW}")
    assert cut.code == 2
    assert word.hash() == before
    done = word.ask("passwd", f"{OLD}\n{NEW}\n{NEW}\n")
    assert (done.code, done.stdout) == (0, "password changed\n"), done
    assert word.hash() != before
    assert len(word.told("password-changed")) == 1
    assert word.ask("jail-keys password", f"{NEW}\n{OLD}\n{OLD}\n").code == 0
    log = word.world.host.run(["journalctl", "-o", "export", "-a"]).stdout
    assert OLD not in log
    assert NEW not in log


def test_a_locked_password_and_none_stay(word: Own) -> None:
    host = word.world.host
    before = word.hash()
    host.run(["usermod", "-L", "own-word"], check=True)
    locked = word.ask("passwd", f"{OLD}\n{NEW}\n{NEW}\n")
    assert "only the administrator can set one" in locked.stderr
    assert word.hash() == f"!{before}"
    host.run(["usermod", "-U", "own-word"], check=True)
    none = Own(word.world, "own-shell")
    assert "only the administrator" in none.ask("passwd", f"{OLD}\n{NEW}\n{NEW}\n").stderr
    assert none.hash() == "*"


def test_a_first_password_is_judged_set_and_can_be_taken_back(own: Own) -> None:
    world, asked = own.world, f"\n{NEW}\n{NEW}\n"
    world.adduser("own-first", "own-first")
    mine, line = Own(world, "own-first"), ["getent", "shadow", "own-first"]
    world.host.run(["chage", "-d", "20000", "own-first"], check=True)
    before = world.host.run(line, check=True).stdout
    assert "only the administrator" in own.ask("passwd", asked).stderr  # its jail does not say so
    weak = mine.ask("passwd", "\nabc\nabc\n")
    assert (weak.code, weak.stderr[:31]) == (1, "the new password was not taken:")
    assert world.host.run(line, check=True).stdout == before
    # Killed on the way it has none again, and the next one is its first.
    killed = world.host.run([*PYTHON, FIRST, "stand-in: done", "own-first"])
    assert (killed.code, mine.hash()[:3]) == (9, "$6$"), killed
    done = mine.ask("passwd", asked)
    assert (done.code, done.stdout) == (0, "password set\n"), done
    assert mine.hash()[:1] == "$"
    assert world.host.run(line, check=True).stdout.split(":")[2] != "20000"
    assert len(mine.told("password-set")) == 1
    assert mine.ask("passwd", asked).code == 1  # now there is one, which must be said
    assert mine.ask("passwd", f"{NEW}\n{OLD}\n{OLD}\n").code == 0
    for field, taken in (("*", True), ("!*", False), ("", False)):
        world.host.run(["usermod", "-p", field, "own-first"], check=True)
        assert (mine.ask("jail-keys password", asked).code == 0) is taken, field
    world.host.run(["usermod", "-p", "*", "own-first"], check=True)
    path = "/etc/jailssh/keys/own-first"
    world.host.write(path, world.host.read(path).replace(b"restrict,", b'restrict,from="127.0.0.0/8",', 1))
    assert "none with limits (from=" in mine.ask("passwd", asked).stderr
    assert mine.hash() == "*"
    assert NEW not in world.host.run(["journalctl", "-o", "export", "-a"]).stdout


def test_keys_for_connections_to_elsewhere(own: Own) -> None:
    world = own.world
    world.adduser("own-out", "own-out")
    out = Own(world, "own-out")
    made = out.ask("jail-keys outgoing")
    assert made.code == 0, made
    assert made.stdout.startswith("ssh-ed25519 AAAA")
    assert out.ask("jail-keys outgoing").stdout == made.stdout
    modes = out.ask("stat -c '%a %n' .ssh-outgoing .ssh-outgoing/id_ed25519; ls -A .ssh; jail-keys list")
    assert modes.stdout.splitlines() == ["700 .ssh-outgoing", "600 .ssh-outgoing/id_ed25519"]
    assert modes.code != 0  # keys that log in are not the account's in this jail
    world.host.run(["jailssh", "adduser", "own-far", "--jail", "own", "--key", made.stdout.strip()], check=True)
    go = "ssh -o BatchMode=yes {} own-far@127.0.0.1 jail-keys list"
    assert "Host key verification failed" in out.ask(go.format("")).stderr
    first = out.ask(go.format("-o StrictHostKeyChecking=accept-new"))
    assert "added by the administrator" in first.stdout, first
    assert out.ask(go.format("")).code == 0
    assert world.host.run(["ls", "-A", "/home/own-out/.ssh"]).stdout == ""


def test_with_a_terminal_nothing_typed_is_shown(word: Own) -> None:
    with word.world.running("own-word", "passwd", tty=True, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        shown = b""
        for question, typed in ((b"Current", OLD), (b"New", NEW), (b"again", f"{NEW}x")):
            while not shown.endswith(question + b" password: ") and not shown.endswith(question + b": "):
                part = os.read(client.stdout.fileno(), 4096)
                assert part, shown
                shown += part
            client.stdin.write(f"{typed}\n".encode())
            client.stdin.flush()
        shown += client.stdout.read()
    assert b"the two new passwords differ; nothing was changed" in shown
    assert OLD.encode() not in shown
    assert NEW.encode() not in shown


def test_in_a_shell(own: Own) -> None:
    shell = Own(own.world, "own-shell")
    done = shell.ask("jail-keys list; passwd </dev/null; cat /run/jailssh/socket; ls /run/jailssh")
    assert "added by the administrator" in done.stdout
    assert done.stdout.splitlines()[-1] == "socket"


def test_keys_that_have_ended_count_no_more(own: Own) -> None:
    world = own.world
    world.adduser("own-ended", "own-ended")
    ended = Own(world, "own-ended")
    assert ended.ask("jail-keys add short", ended.make("nine")).code == 0
    text = "\n".join(ended.lines()) + "\n"
    world.host.write("/etc/jailssh/keys/own-ended", text.replace('expiry-time="2', 'expiry-time="1'))
    assert "expired 1" in ended.ask("jail-keys list").stdout
    first = ended.lines()[0].split()[-1]
    assert "this is the last key" in ended.ask(f"jail-keys remove {first}").stderr
    more = ended.ask("jail-keys add next", ended.make("ten"))
    assert "short had expired and was removed" in more.stdout
    assert [line.split()[-1] for line in ended.lines()] == [first, "self:next"]


def test_limits_of_a_given_key_are_not_shed(own: Own) -> None:
    own.world.adduser("own-from", "own")
    there = Own(own.world, "own-from")
    path = "/etc/jailssh/keys/own-from"
    own.world.host.write(path, own.world.host.read(path).replace(b"restrict,", b'restrict,from="127.0.0.0/8",', 1))
    before = there.lines()
    assert "has limits (from=" in there.ask("jail-keys add free", there.make("free")).stderr
    assert "only the administrator removes it" in there.ask(f"jail-keys remove --last {before[0].split()[-1]}").stderr
    assert there.lines() == before


def test_limits_of_a_key_that_the_account_has_added_are_not_shed(own: Own) -> None:
    own.world.adduser("own-later", "own")
    there = Own(own.world, "own-later")
    assert there.ask("jail-keys add mine", there.make("mine")).code == 0
    path = "/etc/jailssh/keys/own-later"
    first, second = there.lines()
    limited = second.replace("restrict,", 'restrict,from="127.0.0.0/8",', 1)
    own.world.host.write(path, f"{first}\n{limited}\n")
    assert "has limits (from=" in there.ask("jail-keys add free", there.make("freed")).stderr
    assert "only the administrator removes it" in there.ask("jail-keys remove mine").stderr
    assert there.lines() == [first, limited]


def test_who_may_not(own: Own) -> None:
    world = own.world
    uid = world.uid("own-word")
    # Not in such a jail: the socket is out of reach for the same uid too.
    reach = world.host.run(["sh", "-c", f"exec 3<>{PLACE} || ls {asking.PLACE}"], user="own")
    assert reach.code != 0
    # Root is nobody's account, whatever it sends.
    assert own_request(world, b"1\0list\0end\0") == b"1\nthis is for accounts in a jail\n"
    assert own_request(world, b"1\0list\0") == b"2\nthe request is cut off\n"
    world.jailssh("lock", "own-word")
    try:
        assert asked_as(world, uid, b"1\0list\0end\0") == b"1\nthis account is locked or has expired\n"
    finally:
        world.jailssh("unlock", "own-word")
    other = world.uid("sftp-only")
    assert asked_as(world, other, b"1\0list\0end\0") == b"1\nyour jail does not allow this\n"


def test_who_hangs_up_changes_nothing_and_keeps_nobody(own: Own, word: Own) -> None:
    world, before = own.world, word.hash()
    whole = b"1\0password\0%s\0%s\0end\0" % (OLD.encode(), NEW.encode())
    uid = world.uid("own-word")
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        asked_as(world, uid, whole[:size], reads=False)
    assert word.hash() == before
    # A hundred connections of one account that send nothing: one is read, the others are told, nobody else waits.
    script, pipe = ["python3", "-c", FLOOD, str(uid), asking.PLACE], subprocess.PIPE
    with world.host.popen(script, stdin=pipe, stdout=pipe) as flood:
        assert flood.stdin is not None and flood.stdout is not None
        assert flood.stdout.readline() == b"99\n"
        assert own.ask("jail-keys list").code == 0
        assert "another request of yours is under way" in word.ask("jail-keys list").stderr
        flood.stdin.close()


def test_what_cannot_be_written_is_told_and_nothing_is_half_done(own: Own) -> None:
    host, before, key = own.world.host, own.lines(), own.make("full")
    keys = "/etc/jailssh/keys"
    for mount in (
        f"mount --bind {keys} {keys} && mount -o remount,bind,ro {keys}",
        f"cp -a {keys} /tmp/keys && mount -t tmpfs -o size=2m,mode=755 full {keys} && cp -a /tmp/keys/. {keys} && "
        f"{{ head -c 4M /dev/zero >{keys}/.fill || true; }}",
    ):
        host.run(["sh", "-c", mount], check=True)
        try:
            done = own.ask("jail-keys add full", key)
            assert done.code == 4, done
            assert done.stderr.startswith("this cannot be done at the moment (reference ")
            assert own.lines() == before
        finally:
            host.run(["umount", keys], check=True)
    assert own.lines() == before
    failed = own.told("failed")
    assert len(failed) == 2
    assert all(record[fields.REFERENCE] for record in failed)
    assert own.ask("jail-keys add full", key).code == 0
    assert own.ask("jail-keys remove full").code == 0


def test_an_account_that_goes_meanwhile_gets_nothing(own: Own) -> None:
    world, key = own.world, own.make("late")
    world.adduser("own-late", "own")
    late = Own(world, "own-late")
    before, users = late.lines(), "/etc/jailssh/users/own-late.conf"
    with (
        world.held_lock() as holder,
        world.client.start_ssh("own-late", "jail-keys add late", stderr=subprocess.PIPE) as client,
    ):
        assert client.stdin is not None
        client.stdin.write(key.encode())
        client.stdin.close()
        client.stdin = None
        world.host.wait_until(lambda: waits_for_lock(world), "the request waits for the lock")
        world.host.run(["mv", users, "/tmp/own-late.conf"], check=True)
        holder.communicate(b"\n")
        said = client.communicate(timeout=30)[1]
    assert b"this is for accounts in a jail" in said
    assert late.lines() == before
    world.host.run(["mv", "/tmp/own-late.conf", users], check=True)


def test_a_removal_is_judged_by_what_whoever_had_the_lock_has_left(own: Own) -> None:
    world, there = own.world, Own(own.world, "own-two")
    world.adduser("own-two", "own")
    assert there.ask("jail-keys add mine", there.make("twice")).code == 0
    _, mine = there.lines()
    with (
        world.held_lock() as holder,
        world.client.start_ssh("own-two", "jail-keys remove mine", stderr=subprocess.PIPE) as client,
    ):
        world.host.wait_until(lambda: waits_for_lock(world), "the request waits for the lock")
        world.host.write("/etc/jailssh/keys/own-two", f"{mine}\n")
        holder.communicate(b"\n")
        said = client.communicate(timeout=30)[1]
    assert b"this is the last key" in said
    assert there.lines() == [mine]


@pytest.mark.parametrize("point", ["keys: noted", "keys: done", "finish: done"])
def test_one_that_is_killed_is_taken_back_or_whole(word: Own, point: str) -> None:
    own = Own(word.world, "own-" + point.replace(": ", "-"))
    own.world.adduser(own.name, "own")
    name, key = point.replace(": ", "-"), own.make(point.replace(": ", "-"))
    before = own.lines()
    done = own.world.host.run([*PYTHON, KILLED, point, name, own.name], input=key)
    assert done.code == 9, done
    again = own.ask(f"jail-keys add {name}", key)
    whole = point == "finish: done"
    assert again.code == (1 if whole else 0), again
    assert ("is there already" in again.stderr) is whole
    assert [line.split()[-1] for line in own.lines()] == [*(line.split()[-1] for line in before), f"self:{name}"]
    assert own.ask(f"jail-keys remove {name}").code == 0


def test_without_the_service_that_is_said(own: Own) -> None:
    world = own.world
    world.host.run(["mv", asking.PLACE, f"{asking.PLACE}.away"], check=True)
    try:
        away = own.ask("jail-keys list")
    finally:
        world.host.run(["mv", f"{asking.PLACE}.away", asking.PLACE], check=True)
    assert (away.code, away.stdout) == (4, "")
    assert away.stderr.startswith("the service for this is not there")


PYTHON = ("python3", "-c")
KILLED = """
import os, sys, time
sys.path.insert(0, "/usr/local/lib/jailssh/python")
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.selfservice import keys
from jailssh.selfservice.rules import Rules, read_key
rules = Rules(keys=True, passwords=False, first_password=False, types=("ed25519",), rsa_bits=3072, most=9, lifetime=0)
layout = Layout()
with fs.lock(layout.lock):
    keys.add(layout, sys.argv[3], sys.argv[2], read_key(sys.stdin.buffer.read(), rules), rules, time.time(),
             lambda point: os._exit(9) if point == sys.argv[1] else None)
"""
FIRST = """
import os, sys, time
sys.path.insert(0, "/usr/local/lib/jailssh/python")
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail.this_host import THIS_HOST
from jailssh.selfservice import first
from jailssh.selfservice.rules import Rules
rules = Rules(keys=True, passwords=True, first_password=True, types=("ed25519",), rsa_bits=3072, most=9, lifetime=0)
layout, account = Layout(), THIS_HOST.find_account(sys.argv[2])
with fs.lock(layout.lock):
    first.set_password(layout, account, rules, lambda old: None, time.time(),
                       lambda point: os._exit(9) if point == sys.argv[1] else None)
"""
FLOOD = """
import os, socket, sys, time
fd = os.open(sys.argv[2], os.O_PATH)
os.setresuid(*[int(sys.argv[1])] * 3)
os.fchdir(fd)
held = [socket.socket(socket.AF_UNIX) for _ in range(100)]
for each in held:
    each.connect("socket")
told = 0
for each in held:
    each.settimeout(5 if told else 0.5)
    try:
        told += each.recv(100).startswith(b"4")
    except TimeoutError:
        pass
print(told, flush=True)
sys.stdin.read()
"""


def waits_for_lock(world: World) -> bool:
    """True if somebody waits for a lock of flock(2) on the host."""
    return "->" in world.host.run(["cat", "/proc/locks"], check=True).stdout


def own_request(world: World, data: bytes) -> bytes:
    return asked_as(world, 0, data)


def asked_as(world: World, uid: int, data: bytes, *, reads: bool = True) -> bytes:
    """Send a request as a uid of the host, by a descriptor of the directory that only root reaches."""
    script = (
        "import os, socket, sys\n"
        f"fd = os.open({asking.PLACE!r}, os.O_PATH)\n"
        f"os.setresuid({uid}, {uid}, {uid})\n"
        "os.fchdir(fd)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        f"s.connect({asking.SOCKET!r})\n"
        "s.sendall(sys.stdin.buffer.read())\n"
        f"{reads} or sys.exit()\n"
        "s.shutdown(socket.SHUT_WR)\n"
        "out = b''\n"
        "while part := s.recv(4096):\n    out += part\n"
        "sys.stdout.buffer.write(out)\n"
    )
    return world.host.run(["python3", "-c", script], input=data, check=True).stdout.encode()
