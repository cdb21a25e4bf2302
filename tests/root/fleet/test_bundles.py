"""A signed bundle makes a host what its part says: once, whole, the newest, of those who may; and nothing else does."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.keys import public_key
from tests.harness.resident import Resident, command

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

NINA, OLAF = 7001, 7050
SOURCE = "/usr/local/lib/jailssh/python"
TREE = {
    "fleet.conf": "hosts = scratch far.example\n[groups]\nweb = scratch\n",
    "README.md": "no part of it\n",
    "all/jails/team.conf": "plugins = sftp\numask = 027\n",
    "all/jails/web.conf": "plugins = sftp\n",
    "all/accounts/nina.conf": f"# made where she is not\nuid = {NINA}\ngid = {NINA}\nhome = /home/nina\ngroup = nina\n",
    "all/users/nina.conf": f"uid = {NINA}\njail = team\n",
    "all/keys/nina": public_key(1, "nina") + "\n",
    "groups/web/jails/web.conf": "plugins = sftp\numask = 007\n",
    "groups/web/users/olaf.conf": f"uid = {OLAF}\njail = web\n",
    "groups/web/keys/olaf": public_key(2, "olaf") + "\n",
    "hosts/far.example/keys/root": "for another host\n",
}  # fmt: skip


class Host:
    """A scratch host that is set up, with an account in no jail, a description, and two people who sign."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.command = Resident(scratch, *command("apply", "bundle", "recover", "setup"), SOURCE)
        self.jailssh("setup", "--yes", check=True)
        self.sh(f"useradd -m -s /bin/bash -u {OLAF} olaf; cd /root; mkdir fleet;"
                " for name in ann eve; do ssh-keygen -q -t ed25519 -N '' -f $name; done;"
                " echo ann@fleet namespaces=\\\"jailssh-bundle\\\" $(cat ann.pub) >/etc/jailssh/signers")  # fmt: skip
        self.sign("first", 10, TREE)

    def jailssh(self, *args: str, check: bool = False) -> Finished:
        """Run the administrator's command."""
        return self.command.run(*args, check=check)

    def sh(self, text: str) -> str:
        """Run a script that must succeed."""
        return self.scratch.run(["sh", "-ec", text], check=True).stdout

    def sign(self, name: str, serial: int, tree: dict[str, str], key: str = "ann") -> None:
        """Make a bundle."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, text in tree.items():
                member = tarfile.TarInfo(path)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        script = "rm -rf /root/fleet; mkdir /root/fleet; tar -C /root/fleet -x"
        self.scratch.run(["sh", "-ec", script], input=packed.getvalue(), check=True)
        self.jailssh("bundle", "--sign", f"/root/{key}", "--serial", str(serial), "--overwrite", "/root/fleet",
                     f"/root/{name}", check=True)  # fmt: skip

    def take(self, name: str, *options: str) -> Finished:
        """Apply a bundle."""
        return self.jailssh("apply", "--from", f"/root/{name}", *options)

    def state(self) -> str:
        """Everything that a bundle may touch."""
        places = "/etc/jailssh /var/lib/jailssh /home /run/jailssh"
        listing = f"find {places} -not -name .lock -not -name last-good.conf -printf '%p %m %u %g %y\\n' | sort"
        kept = "$(ls -d /var/lib/jailssh/bundle /var/lib/jailssh/plan.v1)"
        contents = f"find /etc/jailssh {kept} -type f -not -name '.lock*' | sort | xargs -r sha256sum"
        return self.sh(f"cat /etc/passwd /etc/group /etc/shadow; {listing}; {contents}")

    def plan_of(self, uid: int) -> bool:
        """True if there is one."""
        return self.scratch.run(["test", "-e", f"/var/lib/jailssh/plan.v1/{uid}"]).code == 0


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        yield Host(scratch)


def without(*paths: str, **more: str) -> dict[str, str]:
    return {path: text for path, text in TREE.items() if path not in paths} | more


def test_it_is_shown_then_made_then_nothing_is_left_to_do(host: Host) -> None:
    before = host.state()
    shown = host.take("first", "--plan")
    assert shown.code == 0 and host.state() == before, shown
    assert "+ account nina" in shown.stdout and "+ into a jail: olaf" in shown.stdout and "+umask = 007" in shown.stdout
    assert "bundle 10 of ann@fleet: 8 changes to make" in shown.stdout
    done = host.take("first", "--json")
    assert done.code == 0, done
    facts = json.loads(done.stdout)["bundle"]
    assert (facts["serial"], facts["signer"], facts["created"], facts["joining"]) == (
        10,
        "ann@fleet",
        ["nina"],
        ["olaf"],
    )
    assert host.sh("cat /etc/jailssh/jails/web.conf") == TREE["groups/web/jails/web.conf"]
    assert host.sh("ls /etc/jailssh/keys") == "nina\nolaf\n" and host.plan_of(NINA) and host.plan_of(OLAF)
    assert host.sh("getent passwd olaf").endswith("/jailssh-login\n")
    after = host.state()
    again = host.take("first")
    assert again.stdout == "bundle 10 of ann@fleet: nothing to change\nno changes\n" and host.state() == after


def test_what_is_refused_changes_nothing(host: Host) -> None:
    host.sign("eves", 99, TREE, key="eve")
    host.sign("same", 10, without(**{"all/notes": "another one\n"}))
    host.sign("older", 9, TREE)
    groups = [path for path in TREE if path.startswith("groups/")]
    host.sign("far", 98, without(*groups, **{"fleet.conf": "hosts = far.example\n"}))
    host.sign("wrong", 96, without(**{"all/jails/team.conf": "plugins = frob\n"}))
    host.sh("cd /root; sed 's/umask = 007/umask = 000/' first >tampered; sed '/SSH SIGNATURE/,$d' first >bare;"
            " ssh-keygen -q -Y sign -f ann -n file bare; cat bare bare.sig >namespace;"
            " head -c 900 first >cut; sed -n '/SSH SIGNATURE/,$p' first >alone;"
            " (sed '/SSH SIGNATURE/,$d' older; cat alone) >mixed")  # fmt: skip
    rows = {
        "eves": "is not signed by one of the signers",
        "tampered": "is not signed by one of the signers",
        "mixed": "is not signed by one of the signers",
        "namespace": "is not signed by one of the signers",
        "bare": "has no signature",
        "cut": "has no signature",
        "same": "has serial 10, as another bundle that this host has had",
        "older": "is older than one that this host has had: serial 9",
        "far": "is for other hosts, and not for scratch",
        "wrong": "frob",
    }
    before = host.state()
    for name, said in rows.items():
        for options in (("--plan",), ()):
            done = host.take(name, *options)
            assert done.code != 0 and said in done.stderr and "Traceback" not in done.stderr, (name, done)
    host.sh("mv /etc/jailssh/signers /root/signers")
    assert "does not exist, so nobody's bundles are taken here" in host.take("first").stderr
    host.sh("mv /root/signers /etc/jailssh/signers; chmod g+w /etc/jailssh/signers")
    assert "writable by its group" in host.take("first").stderr
    host.sh("chmod g-w /etc/jailssh/signers")
    assert host.state() == before


def test_what_is_gone_is_taken_away_and_what_a_host_took_away_stays_so(host: Host) -> None:
    host.sh("rm /etc/jailssh/keys/nina; echo '# by hand' >>/etc/jailssh/jails/team.conf")
    tree = without("groups/web/users/olaf.conf", "groups/web/keys/olaf", **{"all/jails/web.conf": "plugins = scp\n"})
    host.sign("second", 11, tree)
    done = host.take("second")
    assert done.code == 0 and "keys/nina was removed on this host since" in done.stdout, done
    assert "team.conf was changed on this host since" in done.stdout
    assert host.sh("ls /etc/jailssh/keys") == "" and not host.plan_of(OLAF)
    host.sign("third", 12, tree | {"all/jails/team.conf": "plugins = sftp scp\n"})
    before = host.state()
    refused = host.take("third")
    assert refused.code != 0 and "team.conf: is here already and differs" in refused.stderr and host.state() == before
    assert host.take("third", "--replace").code == 0
    assert host.sh("cat /etc/jailssh/jails/team.conf; ls /etc/jailssh/keys") == "plugins = sftp scp\nnina\n"
    assert host.take("second").code != 0 and host.take("second", "--older").code == 0
    assert "umask = 027" in host.sh("cat /etc/jailssh/jails/team.conf") and host.take("third").code == 0
    # Who is described no more can be given back as before, or deleted.
    assert host.scratch.run(["jailssh", "deluser", "olaf", "--yes"]).code == 0
    assert host.sh("getent passwd olaf").endswith("/bin/bash\n")


def test_two_administrators_at_once_leave_the_newer_one(host: Host) -> None:
    for serial in range(20, 24):
        host.sign(f"b{serial}", serial, without(**{"all/notes": f"{serial}\n"}))
    running = [
        host.scratch.popen(["jailssh", "apply", "--replace", "--from", f"/root/b{serial}"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        for serial in (21, 23, 20, 22)
    ]  # fmt: skip
    said = [(each.communicate(), each.returncode) for each in running]
    assert host.sh("cat /etc/jailssh/notes") == "23\n", said
    assert all(code == 0 or b"is older" in err for (_, err), code in said), said
    assert host.take("b23").stdout.startswith("bundle 23 of ann@fleet: nothing to change")


def test_it_is_fetched_by_a_command_without_power(host: Host) -> None:
    assert "pull.conf: does not exist" in host.jailssh("apply", "--pull").stderr
    host.sign("pulled", 30, without(**{"all/notes": "p\n"}))
    host.scratch.write("/etc/jailssh/pull.conf", 'command = "cat /root/pulled"\n')
    assert "command of pull.conf: exit status 1" in host.jailssh("apply", "--pull").stderr
    for text, said in (('command = "cat \'x"', "no closing quotation"), ("commnd = x", "commnd"), ("", "is empty")):
        host.scratch.write("/etc/jailssh/pull.conf", f"{text}\n")
        assert said in host.jailssh("apply", "--pull").stderr
    host.sh("install -m 644 /root/pulled /srv/bundle")
    host.scratch.write("/etc/jailssh/pull.conf", 'command = "cat /srv/bundle"\n')
    assert "bundle 30 of ann@fleet" in host.jailssh("apply", "--pull").stdout
    assert host.jailssh("apply", "--pull").stdout == "bundle 30 of ann@fleet: nothing to change\nno changes\n"


def test_a_host_notices_that_newer_ones_are_kept_from_it(host: Host) -> None:
    def said() -> str:
        rows = json.loads(host.scratch.run(["jailssh", "check", "--json"]).stdout)["findings"]
        return "".join(row["what"] for row in rows if row["id"] == "JSH-649")

    assert said() == ""  # no age is too old
    host.scratch.write("/etc/jailssh/pull.conf", 'command = "cat /srv/bundle"\nmax_age = 1h\n')
    assert said() == ""
    newest = "/var/lib/jailssh/bundle/newest"
    host.sh(f'sed -i \'s/"time": [0-9]*/"time": 1700000000/\' {newest}')
    assert said() == "the newest bundle was signed at 2023-11-14 22:13 UTC, max_age is 3600 seconds"
    # The same description, signed again: nothing changes, and it is known to be the newest.
    before = host.sh("sha256sum /var/lib/jailssh/bundle/previous")
    host.sign("again", 30, without(**{"all/notes": "p\n"}))
    host.sh("install -m 644 /root/again /srv/bundle")
    assert host.jailssh("apply", "--pull").stdout == "bundle 30 of ann@fleet: nothing to change\nno changes\n"
    assert said() == "" and host.sh("sha256sum /var/lib/jailssh/bundle/previous") == before
    host.scratch.write(newest, "[]")
    assert said() == "not known how old the newest bundle is: the record of it is damaged"
    host.sh(f"rm {newest}")
    assert "not known how old the newest bundle is" in said()


def test_an_account_that_is_gone_keeps_nothing_from_the_host(host: Host) -> None:
    zoe = {"all/users/zoe.conf": "uid = 7060\njail = team\n", "all/keys/zoe": public_key(3) + "\n"}
    told = "account zoe: does not exist on this host; its files were left alone"
    host.sign("named", 40, without(**zoe, **{"all/notes": "forty\n"}))
    shown = host.take("named", "--plan")
    assert shown.code != 0 and told in shown.stderr and "+forty" in shown.stdout, shown
    done = host.take("named", "--json")
    assert done.code != 0 and told in done.stderr, done
    assert told in json.loads(done.stdout)["bundle"]["skipped"][0]
    assert host.sh("cat /etc/jailssh/notes; ls /etc/jailssh/users /etc/jailssh/keys").count("zoe") == 0
    assert host.sh("cat /etc/jailssh/notes") == "forty\n"
    host.sh("useradd -m -s /bin/bash -u 7060 zoe")
    assert host.take("named").code == 0 and host.plan_of(7060)
    # Gone, with another key meanwhile, and here again: without what was left of it, and with what is said now.
    host.sh("userdel -r zoe 2>&1")
    host.sign("newer", 41, without(**zoe | {"all/keys/zoe": public_key(4) + "\n", "all/notes": "more\n"}))
    for _ in range(2):
        done = host.take("newer")
        assert done.code != 0 and told in done.stderr and host.sh("cat /etc/jailssh/notes") == "more\n", done
    assert not host.plan_of(7060) and host.sh("ls /etc/jailssh/keys").count("zoe") == 0
    host.sh("useradd -m -s /bin/bash -u 7060 zoe")
    done = host.take("newer")
    assert done.code == 0 and host.plan_of(7060), done
    assert host.sh("cat /etc/jailssh/keys/zoe").strip() == public_key(4)
    # A key that was taken away by hand stays so, also when a directory did not know the account for a while.
    host.sh("rm /etc/jailssh/keys/zoe; sed -i /^zoe:/w/root/zoe /etc/passwd; sed -i /^zoe:/d /etc/passwd")
    assert host.jailssh("apply", "--from", "/root/newer", "--plan").code != 0
    host.sh("cat /root/zoe >>/etc/passwd")
    done = host.take("newer")
    assert done.code == 0 and "keys/zoe was removed on this host since" in done.stdout, done
