"""What ``jailssh import`` refuses: each reason is told by the plan, and nothing is changed by either."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile, Origin
from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.keys import public_key
from tests.harness.resident import Resident, command

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

ALICE = CarriedAccount("alice", 7001, 7001, group="alice", home="/home/alice", jails=("sftp-only",))
OLAF = CarriedAccount("olaf", 7050, 7050, group="olaf", home="/home/olaf", jails=("sftp-only",))
GROUPED = replace(ALICE, jails=(), groups=("customers",))
PLAIN = "plugins = sftp\n"


def whole(
    *people: CarriedAccount, files: dict[str, str] | None = None, groups: dict[str, int] | None = None,
    secrets: bool = False,
) -> bytes:  # fmt: skip
    """Return an archive of these accounts with their own files."""
    texts = {f"users/{each.name}.conf": f"uid = {each.uid}\njail = {each.jails[0]}\n" for each in people if each.jails}
    texts |= files or {}
    carried = {path: CarriedFile(0o644, text) for path, text in texts.items() if text}
    return archive.write(Archive(carried, groups or {}, {each.name: each for each in people}, secrets))


class Host:
    """A scratch host that is set up, with accounts and groups of its own."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.command = Resident(scratch, *command("import", "export", "setup"), "/usr/local/lib/jailssh/python")
        self.jailssh("setup", "--yes")
        self.sh(
            "useradd -m -s /bin/bash -u 7050 olaf; useradd -m -s /bin/bash -u 7051 other; groupadd -g 7060 taken;"
            " groupadd -g 7061 press; mkdir /home/there /etc/jailssh/jails/folder.conf"
        )
        scratch.write("/etc/jailssh/jails/here.conf", PLAIN)

    def jailssh(self, *args: str) -> Finished:
        """Run the administrator's command."""
        return self.command.run(*args, check=False)

    def sh(self, text: str) -> str:
        """Run a script that must succeed."""
        return self.scratch.run(["sh", "-ec", text], check=True).stdout

    def state(self) -> str:
        """Everything that an import may touch."""
        places = "/etc/jailssh /var/lib/jailssh /home /run/jailssh"
        listing = f"find {places} -not -name .lock -printf '%p %m %u %g %y\\n' | sort"
        contents = "find /etc/jailssh -type f | sort | xargs -r sha256sum"
        return self.sh(f"cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; {listing}; {contents}")

    def bring(self, data: bytes, *options: str) -> Finished:
        """Import an archive."""
        self.scratch.run(["sh", "-c", "cat >/root/archive"], input=data, check=True)
        return self.jailssh("import", *options, "/root/archive")


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        yield Host(scratch)


ROWS: dict[str, tuple[bytes, str]] = {
    "another uid": (
        whole(replace(OLAF, uid=7099)),
        "account olaf: is here already with uid 7050, in the archive with 7099",
    ),
    "another gid": (
        whole(replace(OLAF, gid=7099)),
        "account olaf: is here already with gid 7050, in the archive with 7099",
    ),
    "uid clash": (whole(replace(ALICE, uid=7051)), "uid 7051 of alice: is the uid of other"),
    "gid clash": (whole(replace(ALICE, gid=7060)), "gid 7060 of alice: is the gid of group taken here"),
    "group by another number": (
        whole(replace(ALICE, groups=("press",)), groups={"press": 7062}),
        "group press of alice: is here already with gid 7061, in the archive with 7062",
    ),
    "group's number taken": (
        whole(replace(ALICE, groups=("desk",)), groups={"desk": 7060}),
        "gid 7060 of group desk: is the gid of group taken",
    ),
    "two groups with one number": (
        whole(replace(ALICE, groups=("desk", "post")), groups={"desk": 7100, "post": 7100}),
        "group post of alice: has the gid 7100 of group desk, in the archive",
    ),
    "group of the account's name": (
        whole(replace(ALICE, name="press", group="press")),
        "a group with this name already",
    ),
    "home there": (whole(replace(ALICE, home="/home/there")), "home /home/there: already exists"),
    "home of the system's": (whole(replace(ALICE, home="/etc/cron.d/x")), "/etc/cron.d/x"),
    "one home twice": (
        whole(ALICE, replace(ALICE, name="bob", group="bob", uid=7002, gid=7002)),
        "account bob: has the home of alice",
    ),
    "home that no file system has": (
        whole(replace(ALICE, home=f"/home/{'x' * 256}")), "has a name of more than 255 bytes",
    ),
    "home nowhere": (whole(replace(ALICE, home="/nosuch/alice")), "home /nosuch/alice"),
    "uid of the system": (whole(replace(ALICE, uid=77, gid=7001)), "uid 77 is a system uid"),
    "one uid twice": (
        whole(ALICE, replace(ALICE, name="bob", group="bob", home="/home/bob", gid=7002)), "has the uid 7001 of alice",
    ),
    "one gid twice": (
        whole(ALICE, replace(ALICE, name="bob", group="bob", home="/home/bob", uid=7002)), "has the gid 7001 of alice",
    ),
    "directory": (whole(replace(ALICE, origin=Origin.DIRECTORY)), "comes from a directory service"),
    "primary group missing": (whole(replace(ALICE, group="desk")), "group desk of alice: does not exist here"),
    "primary group that is root": (
        whole(replace(ALICE, group="sudo", gid=27), groups={"sudo": 27}), "group sudo of alice: can escape any jail",
    ),
    "no jail": (whole(GROUPED, files={"jails/g.conf": f"{PLAIN}groups = others\n"}), "is in no jail here"),
    "jail's group missing": (
        whole(GROUPED, files={"jails/g.conf": f"{PLAIN}groups = customers\n"}),
        "group customers of alice: does not exist",
    ),
    "jail missing": (whole(replace(ALICE, jails=("nosuch",))), "nosuch"),
    "plugin missing": (whole(files={"jails/new.conf": "plugins = frob\n"}), "frob"),
    "third party plugin missing": (
        whole(files={"jailssh.conf": "third_party_plugins = frob\n"}),
        "frob is not installed",
    ),
    "setting unknown": (whole(files={"jails/new.conf": "plugins = sftp\nfrob = 1\n"}), "frob"),
    "file differs": (
        whole(files={"jails/here.conf": "plugins = git\n"}),
        "jails/here.conf: is here already and differs",
    ),
    "folder for a file": (whole(files={"jails/folder.conf": PLAIN}), "folder.conf"),
    "file for a folder": (whole(files={"jails/here.conf/x": PLAIN}), "here.conf"),
    "file of nobody": (
        whole(files={"users/zoe.conf": "uid = 7001\njail = sftp-only\n"}),
        "account that the archive does not",
    ),
    "keys of nobody": (whole(files={"keys/root": public_key(1) + "\n"}), "account that the archive does not have"),
    "keys in no place": (whole(ALICE, files={"keys/alice/x": "x\n"}), "is no place for a file of an account"),
    "own file of another uid": (
        whole(ALICE, files={"users/alice.conf": "uid = 7002\njail = sftp-only\n"}), "its uid or jails are not those of",
    ),
    "own file of another jail": (
        whole(ALICE, files={"users/alice.conf": "uid = 7001\njail = shell\n"}), "its uid or jails are not those of",
    ),
    "own file missing": (whole(ALICE, files={"users/alice.conf": ""}), "its jails are not those of"),
    "keys that are none": (
        whole(ALICE, files={"users/alice.conf": "uid = 7001\njail = sftp-only\n[groups]\ndevs = a\n"}),
        "nobody can log in",
    ),
    "cut off": (whole(ALICE)[:-30], "does not have its last line: it is cut off or damaged"),
    "changed": (whole(ALICE).replace(b"uid = 7001", b"uid = 7009"), "does not have its digest"),
    "another version": (whole(ALICE).replace(b"archive 1", b"archive 9", 1), "has the format of another version"),
    "no archive": (b"PK\x03\x04", "is not an archive of jailssh"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_it_is_refused_and_nothing_changes(host: Host, name: str) -> None:
    data, said = ROWS[name]
    before = host.state()
    plan = host.bring(data)
    assert plan.code != 0 and said in plan.stderr, plan.stderr
    assert "Traceback" not in plan.stderr and "import-trial" not in plan.stderr
    done = host.bring(data, "--apply", "--yes")
    assert done.code != 0 and said in done.stderr, done.stderr
    assert host.state() == before


def test_a_named_key_that_is_none_is_refused_where_this_host_has_the_same_file(host: Host) -> None:
    data = whole(ALICE, files={"keys.d/alice/bob.pub": "no key\n", "jails/new.conf": PLAIN})
    host.sh("mkdir -p /etc/jailssh/keys.d/alice /etc/jailssh/users")
    host.scratch.write("/etc/jailssh/users/alice.conf", "uid = 7001\njail = sftp-only\n")
    host.scratch.write("/etc/jailssh/keys.d/alice/bob.pub", "no key\n")
    before = host.state()
    try:
        for options in ((), ("--apply", "--yes", "--on-demand")):
            done = host.bring(data, *options)
            assert (done.code != 0, "alice/bob.pub:1: 'no' is not a key type" in done.stderr) == (True, True), done
        assert host.state() == before
    finally:
        host.sh("rm -r /etc/jailssh/keys.d/alice /etc/jailssh/users/alice.conf")


def test_all_reasons_are_told_at_once(host: Host) -> None:
    people = (replace(OLAF, uid=7099), replace(ALICE, uid=7051))
    done = host.bring(whole(*people, files={"jails/new.conf": "plugins = frob\n"}))
    assert all(word in done.stderr for word in ("7099", "is the uid of other", "frob"))
    facts = json.loads(host.bring(whole(replace(OLAF, uid=7099)), "--json").stdout)
    assert facts["errors"] == ["account olaf: is here already with uid 7050, in the archive with 7099"]


def test_one_that_is_here_is_judged_as_adduser_does(host: Host) -> None:
    limited = f'command="/usr/bin/rsync --server" {public_key(2)}'
    host.sh(f"install -d -o olaf /home/olaf/.ssh; echo '{limited}' >/home/olaf/.ssh/authorized_keys")
    sleeper = host.scratch.popen(["sleep", "60"], user="olaf")
    before = host.state()
    try:
        done = host.bring(whole(OLAF))
        assert "1 key limited to one command" in done.stderr and "account is logged in" in done.stderr
        assert host.bring(whole(OLAF), "--apply", "--yes").code != 0
        assert host.state() == before
    finally:
        host.scratch.run(["pkill", "-KILL", "-u", str(OLAF.uid)])
        sleeper.wait()
        host.sh("rm -r /home/olaf/.ssh")


def test_a_file_that_differs_is_replaced_or_kept_where_it_was_said(host: Host) -> None:
    data = whole(files={"jails/here.conf": "plugins = sftp\numask = 027\n"})
    before = host.state()
    done = host.bring(data, "--apply", "--yes", "--keep")
    assert "here.conf differs and stays as it is" in done.stdout and done.stdout.endswith("nothing to change\n")
    assert host.state() == before
    shown = host.bring(data, "--replace").stdout
    assert "+umask = 027\n" in shown and "1 change to make" in shown and host.state() == before
    assert "1 change made" in host.bring(data, "--apply", "--yes", "--replace").stdout
    assert host.sh("cat /etc/jailssh/jails/here.conf") == "plugins = sftp\numask = 027\n"
    assert host.bring(data, "--apply", "--yes").stdout == "nothing to change\n"


def test_keys_name_the_login_program_of_this_host(host: Host) -> None:
    line = f'restrict,pty,command="/usr/libexec/jailssh/jailssh-login" {public_key(3)}\n'
    other = replace(OLAF, name="other", group="other", uid=7051, gid=7051, home="/home/other")
    data = whole(other, files={"keys/other": line})
    assert "/usr/local/libexec" in host.bring(data).stdout
    assert host.bring(data, "--apply", "--yes", "--on-demand").code == 0
    here = line.replace("/usr/", "/usr/local/")
    assert host.sh("cat /etc/jailssh/keys/other") == here
    assert host.bring(data, "--apply", "--yes").stdout.splitlines()[-1] == "nothing to change"


def test_what_makes_doors_is_not_brought(host: Host) -> None:
    zoe = replace(ALICE, name="zoe", group="zoe", uid=7005, gid=7005, home="/home/zoe")
    data = whole(replace(zoe, expires=2, groups=("jailssh-forward",)), groups={"jailssh-forward": 7070})
    host.sh("groupadd -g 7070 jailssh-forward")
    try:
        assert host.bring(data, "--apply", "--yes", "--on-demand").code == 0
        assert host.sh("grep ^zoe: /etc/shadow | cut -d: -f8; grep ^jailssh-forward: /etc/group") == (
            "\njailssh-forward:x:7070:\n"
        )
        # Nor is it a difference that `apply` has set it here.
        host.sh("usermod -aG jailssh-forward zoe; usermod -e 1970-01-03 zoe")
        assert host.bring(data).stdout == "nothing to change\n"
    finally:
        host.sh("gpasswd -d zoe jailssh-forward; groupdel jailssh-forward")


def test_nobody_answers_for_the_administrator(host: Host) -> None:
    before = host.state()
    done = host.bring(whole(ALICE), "--apply", "--on-demand")
    assert done.code != 0 and "--yes" in done.stderr
    assert host.state() == before


def test_what_cannot_be_exported_is_told_and_nothing_is_written(host: Host) -> None:
    host.sh("ln -s /etc/shadow /etc/jailssh/link; printf '\\0' >/etc/jailssh/binary; mkfifo /etc/jailssh/pipe;"
            " touch /etc/jailssh/open /etc/jailssh/.kept /etc/jailssh/old~; chmod 666 /etc/jailssh/open")  # fmt: skip
    try:
        done = host.jailssh("export", "/root/out")
        assert done.code != 0 and host.scratch.run(["test", "-e", "/root/out"]).code == 1
        for said in ("link: cannot be carried: it is a symbolic link", "binary: cannot be carried", "pipe", "open"):
            assert said in done.stderr
        host.sh("cd /etc/jailssh; rm link binary pipe open")
        done = host.jailssh("export", "/root/out")
        assert done.code == 0 and ".kept: not carried" in done.stderr and "old~: not carried" in done.stderr
    finally:
        host.sh("cd /etc/jailssh; rm -f link binary pipe open .kept old~ /root/out")


def test_what_is_exported_can_be_imported(host: Host) -> None:
    host.sh("useradd -m -u 7070 ada; echo 'domain users:x:7071:ada' >>/etc/group")
    try:
        host.scratch.write("/etc/jailssh/users/ada.conf", "uid = 7070\njail = sftp-only\n")
        done = host.jailssh("export", "/root/out")
        assert done.code == 0, done.stderr
        assert "note: group 'domain users' of ada: not carried" in done.stderr
        assert "nothing to change" in host.jailssh("import", "/root/out").stdout
        host.sh("usermod -d / ada; rm /root/out")
        done = host.jailssh("export", "/root/out")
        assert done.code != 0 and host.scratch.run(["test", "-e", "/root/out"]).code == 1
        assert "account ada: cannot be carried: home is not a home directory" in done.stderr
    finally:
        host.sh("userdel ada; sed -i '/^domain users/d' /etc/group; rm -f /etc/jailssh/users/ada.conf /root/out")
