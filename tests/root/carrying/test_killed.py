"""``jailssh import`` killed at every point: ``recover`` gives back all that was, or completes all of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.keys import public_key
from tests.harness.sampling import some
from tests.root.killed_lab import SOURCE, KilledHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

# How many of the points at which it is killed are tried; make test-matrix tries all.
MOST = 16
IMPORTS = """
from jailssh.carrying import archive, bring
"""
PROGRAM = """
errors, lines = [], []
try:
    if spec["do"] == "setup":
        set_up()
    elif spec["do"] == "import":
        with open("/root/archive", "rb") as stream:
            carried = archive.read(stream.read(), "archive")
        found, lines = bring.bring(
            layout, carried, bring.How(replace=True), lambda: Plain(layout), lambda found: True, fault
        )
        lines.append(f"{found.changes} changes")
    elif spec["do"] == "unfinished":
        lines = [each.line() for each in transaction.unfinished(layout)]
    else:
        with fs.lock(layout.lock):
            for subject in spec.get("subjects") or transaction.subjects(layout):
                lines += transaction.recover(layout, subject)
except JailsshError as error:
    errors = error.lines()
print(json.dumps({"errors": errors, "points": points, "lines": lines}))
"""
HASH = "$6$saltsalt$4Qf0vJTqf0XgkIhKdSBM1jQeOiS0lPVqeXFvSVdrn1Q1GxbBRUmMuT4FuZ4ob3mGo0PJLgBBTDmZmzCqDQJ6x."
KEYS = {
    name: public_key(number, name) for number, name in enumerate(("nina", "lara", "olaf", "mona", "ann", "dora"), 1)
}
OLAF_UID, MONA_UID = 7003, 7004
# Of every kind: made, made and locked, here and in no jail, in another jail here, shared, by another primary group,
# by group alone.
WRITE = f"""
from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile
hashed, keys, own = {HASH!r}, {KEYS!r}, ("own",)
people = [
    CarriedAccount("nina", 7001, 7001, group="nina", home="/home/nina", groups=("press",), jails=own, password=hashed),
    CarriedAccount("lara", 7002, 7002, group="lara", home="/home/lara", expires=30000, locked=True, jails=own),
    CarriedAccount("olaf", 7003, 7003, group="olaf", home="/home/olaf", jails=own),
    CarriedAccount("mona", 7004, 7004, group="mona", home="/home/mona", jails=own),
    CarriedAccount("forge", 7005, 7005, group="forge", home="/home/forge", jails=("team",)),
    CarriedAccount("paul", 7006, 7100, group="customers", home="/home/paul", jails=own),
    CarriedAccount("dora", 7007, 7102, group="desk", home="/home/dora", groups=("grouped",), password=hashed),
]
files = {{
    f"users/{{each.name}}.conf": f"uid = {{each.uid}}\\njail = {{each.jails[0]}}\\n" for each in people if each.jails
}}
files |= {{f"keys/{{name}}": text for name, text in keys.items() if name != "ann"}}
files |= {{
    "keys.d/forge/ann.pub": keys["ann"],
    "jails/own.conf": "plugins = sftp\\n",
    "jails/there.conf": "plugins = sftp\\numask = 027\\n",
    "jails/team.conf": "plugins = git\\n[git]\\nroots = /srv\\nrights = write team/* @devs\\n",
    "notes/deep/readme": "kept here\\n",
}}
files["users/forge.conf"] += "[groups]\\ndevs = ann\\n"
carried = {{path: CarriedFile(0o644, text if text.endswith("\\n") else text + "\\n") for path, text in files.items()}}
groups = {{"press": 7101, "customers": 7100, "desk": 7102, "grouped": 7103}}
with open("/root/archive", "wb") as stream:
    stream.write(archive.write(Archive(carried, groups, {{each.name: each for each in people}}, secrets=True)))
"""


class Host(KilledHost):
    """A scratch host that is set up, with an account in a jail, one in none, and an archive."""

    def __init__(self, scratch: ScratchHost) -> None:
        super().__init__(scratch, IMPORTS, PROGRAM)
        self.sh("mkdir -p /etc/jailssh/jails; groupadd -g 7103 grouped")
        scratch.write("/etc/jailssh/jails/grouped.conf", "plugins = sftp\ngroups = grouped\n")
        scratch.write("/etc/jailssh/jails/there.conf", "plugins = sftp\n")
        self.do("setup")
        self.sh(f"useradd -m -s /bin/bash -u {OLAF_UID} olaf; echo mine >/home/olaf/mine")
        scratch.write("/root/mona.pub", KEYS["mona"])
        self.sh(f"jailssh adduser mona --jail there --uid {MONA_UID} --on-demand --key /root/mona.pub")
        scratch.write("/root/write.py", WRITE)
        self.sh(f"PYTHONPATH={SOURCE} python3 -B /root/write.py")

    def state(self) -> str:
        """Everything that may have been touched."""
        listing = "find /etc/jailssh /var/lib/jailssh /home -not -name .lock -not -path '*/last-good*' "
        listing += "-printf '%p %m %u %g %y\\n' | sort"
        contents = "find /etc/jailssh /var/lib/jailssh/plan.v1 -type f -not -name .lock | sort | xargs sha256sum"
        return self.sh(f"cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; {listing}; {contents}")


class Case:
    """What the host was, what it is after an import, and how to get back."""

    def __init__(self, host: Host) -> None:
        self.host = host
        kept = "etc/passwd etc/group etc/shadow etc/gshadow etc/jailssh home var/lib/jailssh"
        host.sh(f"tar -C / -cpf /root/saved.tar {kept}")
        self.before = host.state()
        self.points = host.do("import")["points"]
        self.after = host.state()
        assert host.do("import")["lines"] == ["0 changes"]
        self.restore()

    def restore(self) -> None:
        """Put everything back as it was."""
        self.host.sh("rm -rf /etc/jailssh/* /home/* /var/lib/jailssh/undo/* /var/lib/jailssh/plan.v1/*;"
                     " tar -C / -xpf /root/saved.tar")  # fmt: skip
        assert self.host.state() == self.before


@pytest.fixture(scope="module")
def case(staged_prefix: str) -> Iterator[Case]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        yield Case(Host(scratch))


def test_what_an_import_does(case: Case) -> None:
    assert len(case.points) > 40 and "decided: done" in case.points
    lines = case.after.splitlines()
    login = "/usr/local/libexec/jailssh/jailssh-login"
    assert f"nina:x:7001:7001::/home/nina:{login}" in lines and f"olaf:x:7003:7003::/home/olaf:{login}" in lines
    assert f"paul:x:7006:7100::/home/paul:{login}" in lines and f"dora:x:7007:7102::/home/dora:{login}" in lines
    assert "press:x:7101:nina" in lines and "customers:x:7100:" in lines and "grouped:x:7103:dora" in lines
    shadow = {line.split(":")[0]: line.split(":") for line in lines if line.count(":") == 8}
    assert shadow["nina"][1] == shadow["dora"][1] == HASH and shadow["olaf"][1] == "!"
    assert shadow["lara"][7] == "1"
    assert "/home/dora 700 dora desk d" in lines and "/home/paul 700 paul customers d" in lines
    assert "/var/lib/jailssh/undo/import.json" not in case.after


def test_killed_and_recovered(case: Case) -> None:
    decided = case.points.index("decided: done") + 1
    for at in some(range(1, len(case.points) + 1), MOST, "recovered"):
        assert case.host.ask("import", at=at, signal=signal.SIGKILL) == {"killed": -signal.SIGKILL}
        point = f"{at}: {case.points[at - 1]}"
        told = case.host.do("unfinished")["lines"]
        assert [line.split(" of ")[0] for line in told] == ["import"], point
        case.host.do("recover")
        assert case.host.state() == (case.before if at < decided else case.after), point
        assert case.host.do("unfinished")["lines"] == [], point
        case.restore()


def test_killed_and_imported_again(case: Case) -> None:
    for at in some(range(1, len(case.points) + 1), MOST // 2, "again"):
        case.host.ask("import", at=at, signal=signal.SIGKILL)
        case.host.do("import")
        assert case.host.state() == case.after, case.points[at - 1]
        case.restore()


def test_whoever_settles_one_account_settles_all(case: Case) -> None:
    for at in some(range(1, len(case.points)), MOST // 2, "one"):
        case.host.ask("import", at=at, signal=signal.SIGKILL)
        case.host.do("recover", subjects=["account-nina", "lock-lara", "import"])
        assert case.host.state() in (case.before, case.after), case.points[at - 1]
        case.restore()


def test_a_signal_takes_all_back(case: Case) -> None:
    decided = case.points.index("decided: done") + 1
    for at in some(range(1, len(case.points) + 1), MOST // 2, "signal"):
        answer = case.host.ask("import", at=at, signal=signal.SIGTERM)
        name = f"{at}: {case.points[at - 1]}: {answer['errors']}"
        assert case.host.state() == (case.before if answer["errors"] else case.after), name
        assert not answer["errors"] or at < decided, name
        case.restore()


def test_an_account_that_was_used_is_kept_and_confined(case: Case) -> None:
    at = case.points.index("decided: done")
    case.host.ask("import", at=at, signal=signal.SIGKILL)
    case.host.sh("for name in nina dora; do echo work >/home/$name/thesis; chown $name: /home/$name/thesis; done")
    case.host.do("recover")
    state = case.host.state()
    for name in ("nina", "dora"):
        assert case.host.sh(f"cat /home/{name}/thesis") == "work\n"
        assert f"\n{name}:*:" in state and f"/etc/jailssh/keys/{name} " not in state
        assert case.host.sh(f"getent passwd {name}").endswith("/jailssh-login\n")
    assert "/home/lara" not in state and "own.conf" not in state and "customers" not in state
    assert case.host.do("unfinished")["lines"] == []
    case.restore()
