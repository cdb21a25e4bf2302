"""A bundle whose host is killed at any point: the old description or the new one, whole, and the same bundle again."""

from __future__ import annotations

import signal

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.keys import public_key
from tests.harness.sampling import ALL
from tests.root.killed_lab import KilledHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

IMPORTS = """
from jailssh.carrying.archive import CarriedFile
from jailssh.carrying.bring import How
from jailssh.fleet import bundle, receive, signing
"""
PROGRAM = """
errors, made = [], 0
try:
    if spec["do"] == "setup":
        set_up()
    elif spec["do"] == "sign":
        files = {path: CarriedFile(0o644, text) for path, text in spec["tree"].items()}
        body = bundle.written(bundle.made(spec["serial"], files))
        with open(f"/root/{spec['serial']}", "wb") as stream:
            stream.write(body + signing.sign(body, "/root/ann", {}))
    elif spec["do"] == "take":
        with open(f"/root/{spec['serial']}", "rb") as stream:
            data = stream.read()
        taken = receive.take(layout, data, "bundle", lambda: Plain(layout), act=True, how=How(), fault=fault)
        made = taken.found.changes
    else:
        with fs.lock(layout.lock):
            for subject in transaction.subjects(layout):
                transaction.recover(layout, subject)
except JailsshError as error:
    errors = error.lines()
print(json.dumps({"errors": errors, "points": points, "made": made}))
"""
KEYS = {name: public_key(number, name) + "\n" for number, name in enumerate(("nina", "olaf", "ann", "bob"), 1)}
FLEET = {"fleet.conf": "hosts = scratch\n", "all/jails/team.conf": "plugins = git\n[git]\nroots = /srv\n"}
# From the one to the other: an account is made, one comes into a jail, one goes, a key of a shared one goes, a jail
# becomes another one, one goes.
OLD = FLEET | {
    "all/jails/own.conf": "plugins = sftp\n",
    "all/jails/gone.conf": "plugins = sftp\n",
    "all/users/mona.conf": "uid = 7003\njail = gone\n",
    "all/keys/mona": KEYS["nina"],
    "all/users/forge.conf": "uid = 7004\njail = team\n",
    "all/keys.d/forge/ann.pub": KEYS["ann"],
    "all/keys.d/forge/bob.pub": KEYS["bob"],
}
NEW = FLEET | {
    "all/jails/own.conf": "plugins = sftp\numask = 027\n",
    "all/accounts/nina.conf": "uid = 7001\ngid = 7001\ngroup = nina\nhome = /home/nina\n",
    "all/users/nina.conf": "uid = 7001\njail = own\n",
    "all/keys/nina": KEYS["nina"],
    "all/users/olaf.conf": "uid = 7002\njail = own\n",
    "all/keys/olaf": KEYS["olaf"],
    "all/users/forge.conf": "uid = 7004\njail = team\n",
    "all/keys.d/forge/bob.pub": KEYS["bob"],
}


class Host(KilledHost):
    """A scratch host that goes by the old description."""

    def __init__(self, scratch: ScratchHost) -> None:
        super().__init__(scratch, IMPORTS, PROGRAM)
        self.do("setup")
        self.sh("for each in 7002:olaf 7003:mona 7004:forge; do useradd -m -s /bin/bash -u ${each%:*} ${each#*:}; done;"
                " cd /root; ssh-keygen -q -t ed25519 -N '' -f ann;"
                " echo ann $(cat ann.pub) >/etc/jailssh/signers")  # fmt: skip
        for serial, tree in ((1, OLD), (2, NEW), (3, OLD)):
            self.do("sign", serial=serial, tree=tree)
        self.do("take", serial=1)
        self.sh(
            "tar -C / -cpf /root/saved.tar etc/passwd etc/group etc/shadow etc/gshadow etc/jailssh home var/lib/jailssh"
        )
        self.before, self.old_plans = self.state(), self.plans()
        self.points = self.do("take", serial=2)["points"]
        self.after, self.new_plans = self.state(), self.plans()
        self.restore()

    def state(self) -> str:
        """The description, and the accounts."""
        listing = "find /etc/jailssh /home -printf '%p %m %u %g %y\\n' | sort"
        contents = "find /etc/jailssh -type f | sort | xargs sha256sum"
        return self.sh(f"cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; {listing}; {contents}")

    def plans(self) -> set[str]:
        """What lets in."""
        return set(
            self.sh("cd /var/lib/jailssh/plan.v1; find . -type f -not -name .lock | xargs -r sha256sum").split("\n")
        )

    def restore(self) -> None:
        """Put everything back as it was."""
        self.sh("rm -rf /etc/jailssh/* /home/* /var/lib/jailssh/*; tar -C / -xpf /root/saved.tar")
        assert self.state() == self.before


def test_killed_at_any_point_it_is_the_old_description_or_the_new_one(staged_prefix: str) -> None:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        host = Host(scratch)
        decided = host.points.index("decided: done") + 1
        for word in ("bundle: serial kept", "import: removed", "import: plan withdrawn", "bundle: kept"):
            assert word in host.points
        # One after another is slow: each kind of point, and those around the decision; all of them on request.
        kinds = {point: at for at, point in enumerate(host.points, 1)}
        kept = {1, decided - 1, decided, decided + 1, *list(kinds.values())[::3]}
        for at in range(1, len(host.points) + 1) if ALL else sorted(kept):
            assert host.ask("take", serial=2, at=at) == {"killed": -signal.SIGKILL}
            point = f"{at}: {host.points[at - 1]}"
            if at % 2:
                host.do("recover")
                assert host.state() == (host.before if at < decided else host.after), point
                # One that is old by now is made anew by the next login.
                assert host.plans() <= (host.old_plans if at < decided else host.new_plans), point
            if at > 1:
                assert "older" in host.ask("take", serial=1)["errors"][0], point
            host.do("take", serial=2)
            assert host.state() == host.after and host.plans() <= host.new_plans, point
            assert (
                host.sh("cmp /root/2 /var/lib/jailssh/bundle/last; cmp /root/1 /var/lib/jailssh/bundle/previous") == ""
            )
            assert host.do("take", serial=2)["made"] == 0, point
            host.restore()
        # The way back is a newer bundle that says what an older one did.
        host.do("take", serial=2)
        host.do("take", serial=3)
        texts = "cat /etc/jailssh/jails/*.conf /etc/jailssh/users/*.conf; ls /etc/jailssh/keys.d/forge"
        back = host.sh(texts)
        host.restore()
        assert back == host.sh(texts)
        # So it is from one that was whole here, and killed before it was written down as the last one.
        point = host.points.index("bundle: previous kept") + 1
        assert host.ask("take", serial=2, at=point) == {"killed": -signal.SIGKILL}
        assert host.sh(texts) != back
        host.do("take", serial=3)
        assert host.sh(texts) == back
