"""What ``apply`` shows of many accounts: by jail, once for those whose change is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

NAMES = tuple(f"crowd{number}" for number in range(24))
# Some homes do not have the name of the account.
HOME = {name: f"/srv/www/site{number}" if number in (5, 7) else f"/home/{name}" for number, name in enumerate(NAMES)}
LOGIN = "/usr/local/libexec/jailssh/jailssh-login"


class Host:
    """Twelve accounts in each of two jails, by turns; none is published yet."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.sh("ssh-keygen -A >/dev/null; rm -rf /etc/postfix /etc/exim4 /var/lib/jailssh /etc/jailssh")
        self.sh("jailssh setup --yes; mkdir -p /etc/jailssh/jails /srv/more /srv/www")
        for jail in ("box", "web"):
            scratch.write(f"/etc/jailssh/jails/{jail}.conf", "plugins = sftp\n")
        for number, name in enumerate(NAMES):
            self.sh(f"useradd -m -d {HOME[name]} -U -u {5000 + number} -s {LOGIN} -G jailssh {name}")
            self.file(name, "")

    def sh(self, command: str) -> str:
        return self.scratch.run(["sh", "-ec", command], check=True, timeout=300).stdout

    def file(self, name: str, more: str) -> None:
        """Write the account's file; the accounts are in the jails by turns."""
        number = NAMES.index(name)
        jail = ("web", "box")[number % 2]
        self.scratch.write(f"/etc/jailssh/users/{name}.conf", f"uid = {5000 + number}\njail = {jail}\n{more}")

    def blocks(self, words: str) -> dict[str, list[str]]:
        """Return the lines of what ``jailssh WORDS`` shows by head, in its order."""
        found: dict[str, list[str]] = {}
        for line in self.sh(f"jailssh {words}").splitlines():
            if not line.startswith(" "):
                assert line not in found
                found[line] = []
            else:
                found[[*found][-1]].append(line)
        return found


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        yield Host(scratch)


def head(jail: str, count: int, names: str) -> str:
    first = names.replace(",", " ").split()[0]
    return f"jail {jail}, {count} accounts: {names}; shown for {first}, the others with their own name, uid and home:"


def test_new_accounts(host: Host) -> None:
    # Two of a jail get something else each, and are told by themselves as they always were.
    host.file("crowd3", "[limits]\nmax_sessions = 3\n")
    host.file("crowd4", "[directories]\nread = /srv/more\n")
    expected = [
        head("box", 9, ", ".join(name for name in NAMES[1::2] if name not in ("crowd3", "crowd5", "crowd7"))),
        "crowd3 (uid 5003), jail box:",
        head("box", 2, "crowd5, crowd7"),
        head("web", 11, "crowd0, crowd2, crowd6 and 8 more"),
        "crowd4 (uid 5004), jail web:",
    ]
    details = host.blocks("apply --dry-run --details")
    assert [*details] == [
        f"{name} (uid {5000 + number}), jail {('web', 'box')[number % 2]}:" for number, name in enumerate(NAMES)
    ]
    for words in ("apply --plan", "apply"):
        shown = host.blocks(words)
        assert [*shown] == expected
        lines = [*shown.values()]
        assert "  + working directory /home/crowd1" in lines[0]
        assert "  + at most 3 sessions of the account at a time" in lines[1]
        assert "  + working directory /srv/www/site5" in lines[2]
        assert "  + working directory /home/crowd0" in lines[3]
        assert any(line.startswith("  + /srv/more of the host at /srv/more, read-only") for line in lines[4])
        if words == "apply --plan":
            # Each has the lines that it has by itself.
            first = ("crowd1", "crowd3", "crowd5", "crowd0", "crowd4")
            assert lines == [details[each] for name in first for each in details if each.startswith(f"{name} ")]
    assert host.sh("jailssh apply") == "no changes\n"


def test_a_change_of_a_jail(host: Host) -> None:
    host.sh("jailssh apply")
    host.scratch.write("/etc/jailssh/jails/box.conf", "plugins = sftp\numask = 027\n[sftp]\nread_only = yes\n")
    every = ", ".join(NAMES[1::2][:3])
    shown = host.blocks("apply --dry-run")
    assert [*shown] == [head("box", 12, f"{every} and 9 more")]
    (lines,) = shown.values()
    assert any(line.startswith("  + /home/crowd1 of the host at /home/crowd1, read-only") for line in lines)
    # Programs get each account, whatever people are shown.
    facts = json.loads(host.sh("jailssh --json apply --dry-run"))
    assert [(each["name"], each["uid"], each["jail"]) for each in facts] == [
        (name, 5000 + number, "box") for number, name in enumerate(NAMES) if number % 2
    ]
    assert [f"  {line}" for line in facts[0]["lines"]] == lines
    assert facts == json.loads(host.sh("jailssh --json apply --dry-run --details"))
    assert host.blocks("apply") == shown
    # Of up to ten all are named.
    for name in NAMES[:4:2]:
        host.file(name, "[limits]\nmax_sessions = 7\n")
    host.file("crowd4", "[limits]\nmax_sessions = 8\n")
    host.sh("jailssh apply")
    for name in NAMES[:20:2]:
        host.file(name, "[limits]\nmax_sessions = 9\n")
    assert [*host.blocks("apply")] == [
        head("web", 2, "crowd0, crowd2"),
        "crowd4 (uid 5004), jail web:",
        head("web", 7, "crowd6, crowd8, crowd10, crowd12, crowd14, crowd16, crowd18"),
    ]
    for name in NAMES[:22:2]:
        host.file(name, "[limits]\nmax_sessions = 10\n")
    shown = host.blocks("apply")
    assert [*shown] == [head("web", 10, ", ".join(NAMES[:20:2])), "crowd20 (uid 5020), jail web:"]


def test_accounts_that_are_gone(host: Host) -> None:
    host.sh("jailssh apply; for name in crowd20 crowd21 crowd22; do userdel -r $name 2>/dev/null; done")
    details = host.blocks("apply --gone --dry-run --details")
    assert [*details] == [f"crowd{number} (uid {5000 + number}), jail none:" for number in (20, 21, 22)]
    # What is set aside has the time in its name, so it may be more than one block.
    shown = host.blocks("apply --gone")
    assert all(any(name in head for head in shown) for name in ("crowd20", "crowd21", "crowd22"))
    assert all(head.startswith(("jail none, ", "crowd2")) for head in shown)
    assert host.sh("jailssh apply --gone") == "no account is gone\n"


def test_accounts_that_are_in_no_jail_any_more(host: Host) -> None:
    host.sh("jailssh apply; cd /etc/jailssh/users; rm crowd0.conf crowd3.conf crowd5.conf")
    host.scratch.write("/etc/jailssh/jails/box.conf", "plugins = sftp\n")
    # What is taken away goes first.
    shown = host.blocks("apply")
    assert shown[head("none", 3, "crowd0, crowd3, crowd5")] == ["  - the plan"]
    assert [each.partition(",")[0] for each in shown] == ["jail none", "jail box"]
