"""``jailssh check`` on a scratch host: what is put wrong is found by its id, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.resident import Resident, command

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
POOL = "/var/lib/jailssh/images/.pool"
CONFIG = "/etc/ssh/sshd_config"
KEPT = "/var/lib/jailssh/check/kept.json"


class Host:
    """A scratch host with accounts in two jails, on which the check finds nothing but what its own kind brings."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.always: set[str] = set()
        self.command = Resident(scratch, *command("check", "audit"), "/usr/local/lib/jailssh/python")

    def sh(self, command: str) -> str:
        return self.scratch.run(["sh", "-c", command], check=True).stdout

    def run(self, *args: str) -> Finished:
        return self.command.run(*args)

    def check(self, *args: str) -> tuple[int, dict[str, Any]]:
        done = self.run("check", "--json", *args)
        assert done.stdout, done.stderr
        return done.code, json.loads(done.stdout)

    def ids(self, *args: str) -> set[str]:
        return {each["id"] for each in self.check(*args)[1]["findings"]} - self.always


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        host = Host(scratch)
        host.sh("ssh-keygen -A >/dev/null; rm -rf /etc/postfix /etc/exim4 /var/lib/jailssh /etc/jailssh")
        host.sh("jailssh setup --yes && for u in alice bob; do jailssh adduser $u --jail sftp-only; done")
        host.sh("jailssh adduser carl --jail shell && jailssh apply")
        host.always = {each["id"] for each in host.check()[1]["findings"]}
        # What the scratch host itself is, and no more: systemd does not run, and so on.
        assert {each for each in host.always if each.startswith(("JSH-1", "JSH-2", "JSH-3"))} == set()
        yield host
        host.command.close()


IMAGES: dict[str, tuple[str, str, str]] = {
    # What is done to a path of the tree ("file N": the Nth of its programs), how it is mended, what it is.
    "file 0": (
        "printf X | dd of={0} bs=1 seek=100 conv=notrunc status=none",
        "cat /root/0 > {0}; touch -r /root/0 {0}",
        "JSH-101",
    ),
    "file 1": (  # with its times put back
        "printf X | dd of={0} bs=1 seek=99 conv=notrunc status=none; touch -r /root/1 {0}",
        "cat /root/1 > {0}; touch -r /root/1 {0}",
        "JSH-101",
    ),
    "file 2": ("chmod u+s {0}", "chmod u-s {0}", "JSH-102"),
    "file 3": ("chmod o+w {0}", "chmod o-w {0}", "JSH-102"),
    "usr": ("chown 1234 {0}", "chown 0 {0}", "JSH-102"),
    "usr/lib": ("chmod 777 {0}", "chmod 755 {0}", "JSH-102"),
    "usr/mem": ("mknod {0} c 1 1", "rm {0}", "JSH-104"),
    "usr/lib/evil": ("cp -p /bin/sh {0}", "rm {0}", "JSH-104"),
}


def tree_of(host: Host, jail: str) -> str:
    return host.sh(f"readlink -f /var/lib/jailssh/images/{jail}/current").strip()


def test_images_that_were_changed(host: Host) -> None:
    tree = tree_of(host, "sftp-only")
    programs = host.sh(f"find {tree}/usr/lib -type f -size +2k | sort").split()
    files = [programs[int(path[5:])] if path.startswith("file ") else f"{tree}/{path}" for path in IMAGES]
    host.sh("; ".join(f"cp -p {file} /root/{number}" for number, file in enumerate(files[:2])))
    host.sh("; ".join(breaks.format(file) for (breaks, _, _), file in zip(IMAGES.values(), files, strict=True)))
    found = host.check()[1]["findings"]
    host.sh("; ".join(mends.format(file) for (_, mends, _), file in zip(IMAGES.values(), files, strict=True)))
    told = {(each["id"], each["path"]) for each in found if each["path"].startswith(tree)}
    assert told == {(row[2], file) for row, file in zip(IMAGES.values(), files, strict=True)}
    # A file that images share is told of the store too, once.
    assert len([each for each in found if "/.objects/" in each["path"]]) >= 2
    assert host.ids() == set()


def test_an_image_without_its_manifest_and_one_under_a_mount(host: Host) -> None:
    tree = tree_of(host, "sftp-only")
    host.sh(f"mount -t tmpfs none {tree}/usr; mkdir -p /root/m; mv {tree_of(host, 'shell')}-*.json /root/m/")
    found = host.ids()
    assert host.ids("alice") == {"JSH-107"}
    host.sh(f"umount {tree}/usr; mv /root/m/*.json {POOL}/")
    assert found == {"JSH-105", "JSH-107"}
    assert host.ids() == set()


def test_an_image_that_is_behind_the_host(host: Host) -> None:
    program = "/usr/lib/openssh/sftp-server"
    host.sh(f"cp -p {program} /root/new; echo >> /root/new; mount --bind /root/new {program}")
    found = host.ids()
    host.sh(f"umount {program}")
    assert found == {"JSH-109"}
    assert host.ids() == set()


PLAN = "/var/lib/jailssh/plan.v1/{uid}"
ACCOUNTS: dict[str, set[str]] = {
    # Each is done to an account of its own.
    "usermod -s /bin/bash {name}": {"JSH-201"},
    "useradd -o -u {uid} -M evil": {"JSH-203"},
    f"cp -p {PLAN} /root/plan; sed 's/{{name}}/other/g' /root/plan > {PLAN}": {"JSH-204"},
    f"rm {PLAN}": {"JSH-205"},
    f"echo x >> {PLAN}": {"JSH-206"},
    "printf '[limits]\\nmax_sessions = 3\\n' >> /etc/jailssh/users/{name}.conf": {"JSH-207"},
    "groupadd -f docker; gpasswd -a {name} docker": {"JSH-211"},
    "mkdir -p /etc/polkit-1/rules.d; echo 'if (subject.user == \"{name}\") {{}}' >/etc/polkit-1/rules.d/9.rules":
        {"JSH-213"},
    "echo somebody:{uid}:1 >> /etc/subuid": {"JSH-214"},
    "echo {name}:700000:5 >> /etc/subuid": {"JSH-215"},
    "echo {name}:secret | chpasswd -c SHA256": {"JSH-216"},
    "passwd -d {name}": {"JSH-217"},
    "sed -i 's/^{name}:x:/{name}::/' /etc/passwd": {"JSH-217"},
    "chage -d 0 {name}": {"JSH-218"},
    "chage -E 1 {name}": {"JSH-219"},
}  # fmt: skip


def test_accounts_that_were_changed(host: Host) -> None:
    names = {f"p{number}": row for number, row in enumerate(ACCOUNTS)}
    host.sh("; ".join(f"jailssh adduser {name} --jail sftp-only" for name in names))
    host.sh(f"useradd -M -s {LOGIN} zoe; p=/var/lib/jailssh/plan.v1; cp -p $p/$(id -u alice) $p/54321")
    assert host.ids() == {"JSH-202", "JSH-208"}
    for name, row in names.items():
        host.sh(row.format(name=name, uid=host.sh(f"id -u {name}").strip()))
    told: dict[str, set[str]] = {}
    for each in host.check()[1]["findings"]:
        told.setdefault(each["account"], set()).add(each["id"])
    assert {name: told[name] for name in names} == {name: ACCOUNTS[row] for name, row in names.items()}
    assert host.check(*names)[0] == 1
    assert host.ids("bob") == set()
    host.sh("userdel evil; userdel zoe; rm /var/lib/jailssh/plan.v1/54321 /etc/polkit-1/rules.d/9.rules")
    host.sh("sed -i '/^somebody:/d' /etc/subuid; gpasswd -d p6 docker; groupdel docker; jailssh apply")
    host.sh("; ".join(f"jailssh deluser {name} --remove-home --yes" for name in names))
    assert host.ids() == set()


DROP_IN = "/etc/ssh/sshd_config.d/20-jailssh.conf"
SSHD: dict[str, set[str]] = {
    "ForceCommand none": {"JSH-301"},
    "DisableForwarding no": {"JSH-302"},
    "PermitTunnel yes": {"JSH-302"},
    "PermitUserRC yes": {"JSH-303"},
    "ChrootDirectory /srv": {"JSH-304"},
    "AuthorizedKeysFile .ssh/authorized_keys": {"JSH-305"},
    "ExposeAuthInfo no": {"JSH-306"},
    "AcceptEnv SSH_*": {"JSH-306", "JSH-308"},
    "IgnoreRhosts no": {"JSH-307"},
    "AuthorizedKeysCommand /usr/bin/true\nAuthorizedKeysCommandUser nobody": {"JSH-309"},
    "PermitTTY no": set(),
}


def with_lines(host: Host, lines: str) -> list[dict[str, str]]:
    """Return what is found with these lines at the top of sshd's configuration."""
    host.sh(f"cp -p {CONFIG} /root/sshd")
    text = host.sh(f"cat {CONFIG}")
    include = "Include /etc/ssh/sshd_config.d/*.conf\n"
    assert include in text
    host.scratch.write("/etc/ssh/sshd_config.d/10-first.conf", lines + "\nMatch all\n")
    try:
        found: list[dict[str, str]] = host.check()[1]["findings"]
        return found
    finally:
        host.sh("rm /etc/ssh/sshd_config.d/10-first.conf")


def test_sshd_for_each_account_that_a_block_takes_out(host: Host) -> None:
    names = {f"s{number}": row for number, row in enumerate(SSHD)}
    host.sh("; ".join(f"jailssh adduser {name} --jail sftp-only" for name in names))
    assert host.ids() == set()
    blocks = "\n".join(f"Match User {name}\n{row}" for name, row in names.items())
    # From one network only, and by a condition that nobody but sshd can judge.
    blocks += "\nMatch Address 10.9.0.0/16 User alice\nDisableForwarding no"
    told: dict[str, set[str]] = {}
    for each in with_lines(host, blocks):
        told.setdefault(each["account"], set()).add(each["id"])
    assert {name: told.get(name, set()) for name in names} == {name: SSHD[row] for name, row in names.items()}
    assert told["alice"] == {"JSH-302"}
    assert "bob" not in told
    host.sh("; ".join(f"jailssh deluser {name} --remove-home --yes" for name in names))
    assert host.ids() == set()


def test_sshd_that_does_not_accept_its_configuration(host: Host) -> None:
    assert "JSH-312" in {each["id"] for each in with_lines(host, "NoSuchOption yes")}


def test_a_second_run_reads_no_image_again(host: Host) -> None:
    host.ids()
    before = host.sh(f"sha256sum {KEPT}")
    host.ids()
    assert host.sh(f"sha256sum {KEPT}") == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1, "kept": 7}', '{"version": 1, "kept": {"person": {"alice": 5}}}']
)
def test_what_is_kept_may_be_damaged(host: Host, text: str) -> None:
    host.sh(f"printf '%s' '{text}' > {KEPT}")
    assert host.ids() == set()


def test_fix_mends_what_is_safe(host: Host) -> None:
    tree = host.sh("readlink -f /var/lib/jailssh/images/sftp-only/current").strip()
    host.sh(f"usermod -s /bin/bash alice; chmod u+s {tree}/usr/lib/openssh/sftp-server; cp /bin/sh {tree}/usr/bin/evil")
    assert host.ids() == {"JSH-201", "JSH-102", "JSH-104"}
    done = host.run("check", "--fix")
    assert "JSH-201: alice: login shell" in done.stdout
    assert host.ids() == set()
    assert host.sh("getent passwd alice").strip().endswith(LOGIN)


def test_a_suppression_hides_and_says_so(host: Host) -> None:
    host.sh("usermod -s /bin/bash alice")
    host.scratch.write(
        "/etc/jailssh/suppressions.conf", "[JSH-201 account alice]\nreason = tried out\nuntil = 2027-12-31\n"
    )
    try:
        code, facts = host.check()
        assert "JSH-201" not in {each["id"] for each in facts["findings"]}
        assert [each["reason"] for each in facts["suppressed"]] == ["tried out"]
        host.scratch.write("/etc/jailssh/suppressions.conf", "[JSH-201 account alice]\nuntil = 2027-12-31\n")
        code, facts = host.check()
        assert code == 2
        assert "reason is missing" in facts["unseen"][0]["why"]
    finally:
        host.sh(f"rm -f /etc/jailssh/suppressions.conf; usermod -s {LOGIN} alice")


def test_a_plan_is_stale_by_a_table_of_rights_too(host: Host) -> None:
    host.sh("mkdir -p /etc/jailssh/rights; git init -q --bare /srv/code/a.git; useradd -m hosted")
    host.scratch.write("/etc/jailssh/rights/code", "read a @all\n")
    jail = "plugins = git\n[git]\nroots = /srv/code\nrights = /etc/jailssh/rights/code\n"
    host.scratch.write("/etc/jailssh/jails/code.conf", jail)
    host.sh("jailssh adduser hosted --jail code --yes; jailssh apply")
    assert "JSH-207" not in host.ids("hosted")
    host.scratch.write("/etc/jailssh/rights/code", "write a @all\n")
    assert "JSH-207" in host.ids("hosted")
    host.sh("jailssh deluser hosted --yes; userdel -r hosted; rm -rf /srv/code /etc/jailssh/jails/code.conf")
    host.sh("jailssh apply; jailssh image gc")


def test_a_path_of_a_finding_is_one(host: Host) -> None:
    host.sh("groupadd -f docker; gpasswd -a alice docker; echo '[' >/etc/jailssh/jails/odd.conf")
    found = host.check()[1]["findings"]
    host.sh("gpasswd -d alice docker; rm /etc/jailssh/jails/odd.conf; jailssh apply")
    assert {"JSH-211", "JSH-701"} <= {each["id"] for each in found}
    assert {each["path"] for each in found if not each["path"].startswith("/")} <= {""}


def test_sarif_and_text_hold_no_byte_that_acts(host: Host) -> None:
    evil = "$(printf 'a\\033]0;x\\007\\n\\377')"
    tree = host.sh("readlink -f /var/lib/jailssh/images/sftp-only/current").strip()
    host.sh(f'touch {tree}/usr/"{evil}"')
    try:
        for args in ([], ["--json"], ["--sarif"]):
            done = host.run("check", *args)
            assert "JSH-104" in done.stdout
            assert not set(done.stdout) & {"\033", "\007"}
        log = json.loads(done.stdout)
        page = host.run("check", "--html")
        assert page.code == done.code
        assert page.stdout.isascii() and page.stdout.replace("\n", "").isprintable()
        assert "JSH-104" in page.stdout and r"a\x1b]0;x\x07\x0a\xff" in page.stdout
        assert log["version"] == "2.1.0"
        assert log["runs"][0]["results"][0]["ruleId"] == "JSH-104"
    finally:
        host.sh(f"rm {tree}/usr/a*")


def test_the_page_compares_with_the_runs_of_the_audit(host: Host) -> None:
    def page(*words: str) -> str:
        return host.run("check", "--html", *words).stdout

    assert "There is no earlier run to compare with" in page()
    host.run("audit", "run")
    host.sh("usermod -s /bin/bash alice")
    try:
        found = page()
        assert "Findings over 2 runs" in found
        assert "<strong>New:</strong> JSH-201 account alice" in found
        assert "earlier run to compare with" in page("bob") and "<h1>Checks of bob on " in page("bob")
        host.scratch.write("/var/lib/jailssh/audit/00000009-20261101T000000Z.json", "{")
        done = host.run("check", "--html")
        assert "00000009-20261101T000000Z.json: is damaged" in done.stderr
        assert "00000009-20261101T000000Z.json: is damaged" in done.stdout
    finally:
        host.sh(f"usermod -s {LOGIN} alice; rm -rf /var/lib/jailssh/audit")
    for words in ("--json --html", "--sarif --html", "--list --html"):
        done = host.run("check", *words.split())
        assert (done.code, done.stdout) == (2, "")


def test_names_that_are_neither(host: Host) -> None:
    done = host.run("check", "nosuch")
    assert (done.code, "neither a jail nor an account" in done.stderr) == (2, True)
    done = host.run("check", "--fix", "alice")
    assert (done.code, "--fix: cannot be combined with names" in done.stderr) == (2, True)


CHROOT: dict[str, tuple[str, str]] = {
    "JSH-151": ("chmod 777 usr", "chmod 755 usr"),
    "JSH-152": ("chmod 4755 usr/bin/true", "chmod 755 usr/bin/true"),
    "JSH-153": (
        "printf X | dd of=usr/bin/true bs=1 seek=200 conv=notrunc status=none",
        "cp /usr/bin/true usr/bin/true",
    ),
    "JSH-154": ("chmod 666 usr/bin/true", "chmod 755 usr/bin/true"),
    "JSH-155": ("setcap cap_net_raw+ep usr/bin/true", "setcap -r usr/bin/true"),
    "JSH-156": ("mknod dev/kmem c 1 2", "rm dev/kmem"),
    "JSH-157": ("mv dev/null dev/nil", "mv dev/nil dev/null"),
    "JSH-158": ("chown 1234 usr/bin/true", "chown 0 usr/bin/true"),
    "JSH-159": ("chmod 777 .", "chmod 755 ."),
    "JSH-160": ("echo nobody2:x:77:77::/home/n:/bin/sh >> etc/passwd", "sed -i /nobody2/d etc/passwd"),
    "JSH-161": (
        "useradd -M -d /srv/chroot/./home/u -s /bin/sh jk;"
        " echo jk:x:$(id -u jk):$(id -g jk)::/home/u:/bin/sh >> etc/passwd",
        "userdel jk; sed -i /jk/d etc/passwd",
    ),
    "JSH-162": ("ln -sfn /nowhere bin", "ln -sfn usr/bin bin"),
}


@pytest.fixture(scope="module")
def chroot(host: Host) -> Callable[[str], None]:
    host.sh("mkdir -p /srv/chroot/usr/bin /srv/chroot/etc /srv/chroot/dev /srv/chroot/home/u; cd /srv/chroot;"
            " cp /usr/bin/true usr/bin; ln -s usr/bin bin; mknod -m 666 dev/null c 1 3;"
            " echo root:x:0:0:root:/root:/bin/sh > etc/passwd; chown 7:7 home/u; ln -s /etc/shadow home/u/shadow;"
            " mkfifo home/u/fifo usr/fifo")  # fmt: skip

    def act(command: str) -> None:
        host.sh(f"cd /srv/chroot; {command}")

    return act


def test_a_chroot_of_others_in_order(host: Host, chroot: Callable[[str], None]) -> None:
    assert host.ids("--dir", "/srv/chroot") == set()


def test_a_chroot_of_others(host: Host, chroot: Callable[[str], None]) -> None:
    # Those that meet in one place are tried apart from the others.
    apart = {"JSH-153", "JSH-154", "JSH-155", "JSH-158"}
    for rows in ([each for each in CHROOT if each not in apart], *([each] for each in sorted(apart))):
        chroot("; ".join(CHROOT[each][0] for each in rows))
        found = host.ids("--dir", "/srv/chroot")
        chroot("; ".join(CHROOT[each][1] for each in rows))
        assert found == set(rows)
    assert host.ids("--dir", "/srv/chroot") == set()


def test_two_at_once_and_killed_at_any_moment(host: Host) -> None:
    host.sh("usermod -s /bin/bash alice")
    try:
        # Both find the same; what is kept is whole whenever one is killed.
        script = "jailssh check --full --json > /root/one & jailssh check --full --json > /root/two; wait; true"
        host.sh(script)
        for name in ("one", "two"):
            found = json.loads(host.scratch.read(f"/root/{name}"))["findings"]
            assert "JSH-201" in {each["id"] for each in found}
        for delay in (5, 15, 25, 35, 45, 60):
            host.sh(f"timeout -s KILL 0.{delay:02d} jailssh check --full >/dev/null 2>&1 || true")
            assert json.loads(host.scratch.read(KEPT))["version"] == 1
        assert host.ids() == {"JSH-201"}
    finally:
        host.sh(f"usermod -s {LOGIN} alice")


def test_images_that_are_built_and_removed_meanwhile_are_no_damage(host: Host) -> None:
    jail = "extends = sftp-only\nfiles = /etc/{}\n"
    host.scratch.write("/etc/jailssh/jails/changing.conf", jail.format("hosts"))
    host.sh("jailssh adduser dora --jail changing")
    names = " ".join(("hostname", "hosts", "services", "protocols"))
    builds = f"for n in 1 2; do for f in {names}; do printf 'extends = sftp-only\\nfiles = /etc/%s\\n' $f"
    builds += " >/etc/jailssh/jails/changing.conf; (jailssh apply; jailssh image gc) >/dev/null 2>&1; done; done"
    host.sh(f"({builds}; touch /root/built) & while [ ! -e /root/built ]; do"
            " jailssh check --json >>/root/checks 2>>/root/told; done; wait; true")  # fmt: skip
    text = host.sh("cat /root/checks")
    ids = {line.split('"')[3] for line in text.splitlines() if '"id": "JSH-1' in line}
    assert ids <= {"JSH-109"}, text[-4000:]  # between the change of the jail and its image
    assert text.count('"findings"') >= 3
    host.sh(
        "jailssh deluser dora --yes --remove-home; rm -f /etc/jailssh/jails/changing.conf;"
        " jailssh apply; jailssh image gc"
    )
    assert host.ids() == set()


def test_no_room_for_what_is_kept_loses_nothing(host: Host) -> None:
    host.sh("mount -t tmpfs -o size=4k none /var/lib/jailssh/check; usermod -s /bin/bash alice")
    try:
        code, facts = host.check()
        assert code == 2
        assert "JSH-201" in {each["id"] for each in facts["findings"]}
        assert "no space left" in str(facts["unseen"])
    finally:
        host.sh(f"umount /var/lib/jailssh/check; usermod -s {LOGIN} alice")
    assert host.ids() == set()


@pytest.mark.parametrize(
    ("change", "back", "cure"),
    [
        ("gpasswd -d bob jailssh", "gpasswd -a bob jailssh", "gpasswd --add bob jailssh"),
        (f"mv {DROP_IN} /root", f"mv /root/20-jailssh.conf {DROP_IN}", "jailssh setup"),
    ],
)
def test_the_cure_where_sshd_does_not_force_the_login_program(host: Host, change: str, back: str, cure: str) -> None:
    host.sh(change)
    try:
        found = host.check("bob")[1]["findings"]
    finally:
        host.sh(back)
    assert [each["cure"] for each in found if each["id"] == "JSH-301"] == [cure]
