"""The plan compiler: which mounts, files and variables an account gets, and what cannot be compiled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jailssh.core.closed import Network
from jailssh.core.errors import ConfigError
from jailssh.core.home_readers import covers
from jailssh.core.names import HostPath
from jailssh.plan.codec import Plan, decode, encode
from jailssh.plan.compile import Access, JailSettings, LogRate, compile_plan
from jailssh.plan.view import tops_of
from jailssh.plugin.api import Account, Bind, PluginResult
from jailssh.policy.rules import Rule

FILTER = ("x86_64", bytes(8))
ALICE = Account("alice", 1001, 1002, "alice", "/home/alice", groups=(("alice", 1002), ("staff", 50), ("disk", 6)))
RULE = Rule("files.server", "files", "/usr/lib/files", ("files",))
SHELL = Rule("shell.login", "shell", "/bin/bash", (), interactive_login=True)
FILES = PluginResult((RULE,), "files")


def plan_of(*results: PluginResult, account: Account = ALICE, **settings: object) -> Plan:
    jail = replace(JailSettings("jail"), **settings)  # type: ignore[arg-type]
    return compile_plan(account, jail, results or (FILES,), HostPath("/var/lib/jailssh/images/jail/1"), FILTER)


def args(plan: Plan, verb: str) -> list[Any]:
    return [record.args for record in plan.records if record.verb == verb]


def test_same_input_same_bytes_and_readable_back() -> None:
    one, two = plan_of(), plan_of()
    assert encode(one) == encode(two)
    assert decode(encode(one)) == one


def test_serial_follows_the_content() -> None:
    serials = {plan_of(**change).serial for change in ({}, {"umask": 0o77}, {"network": "host"}, {"message": "x"})}
    assert len(serials) == 4
    assert plan_of(account=replace(ALICE, uid=1003)).serial not in serials


def test_home_and_ssh_mask() -> None:
    plan = plan_of()
    assert args(plan, "bind") == [("/home/alice", "/home/alice", "rw", "noexec", "user", "must")]
    masks = {(verb, path) for verb in ("mask", "mask-file") for (path,) in args(plan, verb)}
    verbs = {"directory": "mask", "file": "mask-file"}
    assert masks == {(verbs[kind], f"/home/alice/{name}") for name, kind in covers()}
    assert {("mask", "/home/alice/.ssh"), ("mask-file", "/home/alice/.forward")} <= masks
    assert ("/home", "65536", "755", "ro", "noexec") in args(plan, "tmpfs")
    assert args(plan, "dir") == [("/home/alice",)]


def test_services_are_shown_where_they_are_and_crontabs_are_the_homes_own() -> None:
    plan = plan_of(services=("/run/mysqld",), crontabs="/var/spool/cron/crontabs")
    binds = args(plan, "bind")
    assert ("/run/mysqld", "/run/mysqld", "ro", "noexec", "root", "optional") in binds
    assert binds[-1] == ("/home/alice/.crontab", "/var/spool/cron/crontabs", "rw", "noexec", "user", "make")
    assert args(plan, "dir") == [("/home/alice",), ("/run/mysqld",)]
    # The image has the mount point, and a tmpfs that comes over it gets one too.
    below = plan_of(replace(FILES, binds=(Bind("/var/www"),)), crontabs="/var/spool/cron/crontabs")
    assert ("/var/spool/cron/crontabs",) in args(below, "dir")


ELSEWHERE = replace(ALICE, home="/upload", host_home="/srv/sftp/alice/upload")


def test_home_shown_at_another_path() -> None:
    inside = replace(FILES, binds=(Bind("/upload/new", writable=True), Bind("/srv/git")))
    plan = plan_of(inside, account=ELSEWHERE)
    assert args(plan, "bind") == [
        ("/srv/git", "/srv/git", "ro", "noexec", "root", "must"),
        ("/srv/sftp/alice/upload", "/upload", "rw", "noexec", "user", "must"),
    ]
    only = plan_of(replace(inside, home="none"), account=ELSEWHERE)
    assert ("/srv/sftp/alice/upload/new", "/upload/new", "rw", "noexec", "user", "make") in args(only, "bind")
    assert {path.rsplit("/", 1)[0] for (path,) in args(plan, "mask")} <= {
        "/upload",
        "/upload/.config",
        "/upload/.local",
    }
    assert ("HOME", "/upload") in args(plan, "env") and args(plan, "home") == [("/upload",)]
    assert tops_of(ELSEWHERE, [inside]) == ("/srv", "/upload")
    (passwd,) = [text for path, text in args(plan, "file") if path == "/run/passwd"]
    assert ":/upload:" in passwd and "/srv/sftp" not in passwd


@pytest.mark.parametrize("path", ["/srv/sftp/alice/upload", "/srv/sftp/alice/upload/x", "/srv/sftp", "/srv"])
def test_nothing_is_shown_through_the_home_of_the_host(path: str) -> None:
    with pytest.raises(ConfigError, match="home on the host"):
        plan_of(replace(FILES, binds=(Bind(path),)), account=ELSEWHERE)


@pytest.mark.parametrize(
    ("home", "on_host"), [("/etc/x", "/srv/a"), ("/", "/srv/a"), ("/a/../b", "/srv/a"), ("/a", "/etc")]
)
def test_places_of_a_home_that_cannot_be(home: str, on_host: str) -> None:
    with pytest.raises(ConfigError, match="home"):
        plan_of(account=replace(ALICE, home=home, host_home=on_host))


def test_home_not_shown_needs_no_mask_and_still_exists() -> None:
    plan = plan_of(replace(FILES, home="none"))
    assert args(plan, "bind") == args(plan, "mask") == args(plan, "mask-file") == []
    assert args(plan, "dir") == [("/home/alice",)]


@pytest.mark.parametrize(
    ("wishes", "mode"), [(("ro",), "ro"), (("ro", "rw"), "rw"), (("none", "ro"), "ro"), (("rw", "none"), "rw")]
)
def test_strongest_wish_for_the_home_wins(wishes: tuple[str, ...], mode: str) -> None:
    results = [
        PluginResult((replace(RULE, id=f"r{n}", command_names=(f"w{n}",)),), "x", home=wish)
        for n, wish in enumerate(wishes)
    ]
    assert args(plan_of(*results), "bind")[0][2] == mode


def test_executable_home_makes_home_and_tmp_executable_and_nothing_else() -> None:
    plan = plan_of(replace(FILES, executable_home=True, binds=(Bind("/srv/data", writable=True),)))
    assert {bind[1]: bind[3] for bind in args(plan, "bind")} == {"/srv/data": "noexec", "/home/alice": "exec"}
    assert {row[0]: row[4] for row in args(plan, "tmpfs")}["/tmp"] == "exec"
    assert {row[0]: row[4] for row in args(plan_of(), "tmpfs")}["/tmp"] == "noexec"


def test_binds_get_their_way_and_home_comes_last() -> None:
    plan = plan_of(replace(FILES, binds=(Bind("/srv/git/team", optional=True), Bind("/data"))))
    assert args(plan, "bind") == [
        ("/data", "/data", "ro", "noexec", "root", "must"),
        ("/srv/git/team", "/srv/git/team", "ro", "noexec", "root", "optional"),
        ("/home/alice", "/home/alice", "rw", "noexec", "user", "must"),
    ]
    assert args(plan, "dir") == [("/home/alice",), ("/srv/git",), ("/srv/git/team",)]
    assert sorted(row[0] for row in args(plan, "tmpfs")) == ["/data", "/home", "/run", "/srv", "/tmp"]
    assert tops_of(ALICE, (replace(FILES, binds=(Bind("/data"),)),)) == ("/data", "/home")


@pytest.mark.parametrize("path", [".ssh", ".ssh/x", ".forward", ".mailfilters/a"])
@pytest.mark.parametrize("account", [ALICE, ELSEWHERE])
def test_no_plugin_shows_what_programs_of_the_host_act_on(path: str, account: Account) -> None:
    with pytest.raises(ConfigError, match="hidden from every session"):
        plan_of(replace(FILES, binds=(Bind(f"{account.home}/{path}", writable=True),)), account=account)
    plan_of(replace(FILES, binds=(Bind(f"{account.home}/s{path}"), Bind(f"{account.home}/x/{path}"))), account=account)


def test_same_and_nested_binds_are_merged() -> None:
    one = replace(FILES, binds=(Bind("/srv", optional=True), Bind("/srv/in", writable=True)))
    other = PluginResult((replace(RULE, id="b", command_names=("b",)),), "b", binds=(Bind("/srv"), Bind("/srv/out")))
    assert [bind[1:3] + bind[5:] for bind in args(plan_of(one, other), "bind")[:-1]] == [
        ("/srv", "ro", "must"),
        ("/srv/in", "rw", "must"),
    ]


@pytest.mark.parametrize(
    "home",
    ["/", "/root", "/usr/home/a", "/etc/a", "/lib64/a", "/tmp/a", "/run/a", "relative", "/home/../a", "/home//a", ""],
)
def test_impossible_homes(home: str) -> None:
    with pytest.raises(ConfigError, match="home"):
        plan_of(account=replace(ALICE, home=home))


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/share/x", "/home", "/dev/shm", "/srv/../etc", "/proc/1"])
def test_impossible_binds(path: str) -> None:
    with pytest.raises(ConfigError, match="directory"):
        plan_of(replace(FILES, binds=(Bind(path),)))


def test_directories_in_the_home_are_shown_without_the_home() -> None:
    inside = (Bind("/home/alice/in", writable=True), Bind("/home/alice/out"), Bind("/home/alice/x/y", optional=True))
    binds = args(plan_of(replace(FILES, home="none", binds=inside)), "bind")
    assert [(bind[0], bind[2], *bind[4:]) for bind in binds] == [
        ("/home/alice/in", "rw", "user", "make"),
        ("/home/alice/out", "ro", "user", "must"),
        ("/home/alice/x/y", "ro", "user", "optional"),
    ]
    assert ("/home/alice/x/y",) in args(plan_of(replace(FILES, home="none", binds=inside)), "dir")
    binds = args(plan_of(replace(FILES, home="ro", binds=inside)), "bind")
    assert [(bind[0], bind[2]) for bind in binds] == [("/home/alice", "ro"), ("/home/alice/in", "rw")]
    assert len(args(plan_of(replace(FILES, home="rw", binds=inside)), "bind")) == 1


def test_program_hidden_by_a_mount() -> None:
    with pytest.raises(ConfigError, match="/opt/tool is below /opt"):
        plan_of(replace(FILES, rules=(replace(RULE, program="/opt/tool"),), binds=(Bind("/opt/data"),)))


def test_passwd_and_group_know_root_and_the_user_only() -> None:
    account = replace(ALICE, gecos="A:B\nroot::0:0", groups=ALICE.groups)
    files: dict[str, str] = dict(args(plan_of(account=account, supplementary_groups=("staff", "nosuch")), "file"))
    assert files["/run/passwd"].splitlines() == [
        "root:x:0:0:root:/:/usr/sbin/nologin",
        "alice:x:1001:1002:ABroot00:/home/alice:/usr/sbin/nologin",
    ]
    assert files["/run/group"].splitlines() == ["root:x:0:", "alice:x:1002:", "staff:x:50:alice"]


def test_other_members_are_known_by_name_where_the_jail_says_so() -> None:
    members = {"staff": (("bob", 1003, 100), ("alice", 1001, 1002)), "disk": (("carol", 1004, 100),)}
    files = dict(args(plan_of(supplementary_groups=("staff",), members=members), "file"))
    names = [line.split(":")[:3] for line in files["/run/passwd"].splitlines()]
    assert names == [["root", "x", "0"], ["alice", "x", "1001"], ["bob", "x", "1003"]]
    many = {"staff": tuple((f"u{number}", 2000 + number, 100) for number in range(1000))}
    files = dict(args(plan_of(supplementary_groups=("staff",), members=many), "file"))
    assert len(files["/run/passwd"].splitlines()) == 2 + 256


def test_supplementary_groups_are_kept_only_where_named_and_member() -> None:
    assert args(plan_of(), "group") == []
    assert args(plan_of(supplementary_groups=("staff", "alice", "nosuch")), "group") == [("50",)]
    with pytest.raises(ConfigError, match="root's group"):
        plan_of(account=replace(ALICE, groups=(("root", 0),)), supplementary_groups=("root",))


def test_environment() -> None:
    env = dict[Any, Any](
        args(plan_of(replace(FILES, env=(("TERM", "x"), ("LANG", "C"))), env=(("LANG", "C.UTF-8"),)), "env")
    )
    assert env == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/alice", "USER": "alice", "LOGNAME": "alice",
        "SHELL": "/usr/sbin/nologin", "TERM": "x", "LANG": "C.UTF-8",
    }  # fmt: skip
    other = PluginResult((replace(RULE, id="b", command_names=("b",)),), "b", env=(("TERM", "y"),))
    with pytest.raises(ConfigError, match="TERM differently"):
        plan_of(replace(FILES, env=(("TERM", "x"),)), other)


def test_interactive_jail() -> None:
    plan = plan_of(FILES, PluginResult((SHELL,), "shell", pty=True, proc=True))
    assert args(plan, "pty") == [("yes",)]
    forgotten = plan_of(FILES, PluginResult((SHELL,), "shell", proc=True))
    assert args(forgotten, "pty") == [("yes",)]
    assert args(plan, "proc") == [()]
    assert dict(args(plan, "env"))["SHELL"] == "/bin/bash"
    assert dict(args(plan, "file"))["/run/passwd"].endswith(":/bin/bash\n")
    assert args(plan, "message") == [("this account allows: files, shell",)]
    assert args(plan_of(), "proc") == []


def test_settings_reach_the_plan() -> None:
    plan = plan_of(network="host", hostname="box", message="no", umask=0o7, limits={"nproc": 5, "core": 0},
                   require_journal=True, tmp_size=4096)  # fmt: skip
    assert args(plan, "net") + args(plan, "hostname") + args(plan, "message") == [("host",), ("box",), ("no",)]
    assert args(plan, "umask") == [("007",)]
    assert args(plan, "rlimit") == [("core", "0"), ("nproc", "5")]
    assert args(plan, "journal") == [("require",)]
    assert ("/tmp", "4096", "1777", "rw", "noexec") in args(plan, "tmpfs")
    assert args(plan, "seccomp") == [("x86_64", "0" * 16)]


def test_no_rule_is_no_plan() -> None:
    with pytest.raises(ConfigError, match="rule is missing"):
        plan_of(PluginResult((), "nothing"))


def test_two_plugins_with_one_rule() -> None:
    with pytest.raises(ConfigError, match=r"files\.server"):
        plan_of(FILES, replace(FILES, capability="other"))


def test_a_live_root_shows_the_hosts_directories_first() -> None:
    shell = PluginResult((SHELL,), "shell", home="rw")
    plan = plan_of(shell, live=("/usr", "/lib"), hide=("/usr/local/etc",))
    binds = args(plan, "bind")
    assert binds[:2] == [(path, path, "ro", "exec", "root", "must") for path in ("/usr", "/lib")]
    assert binds[-1][0] == ALICE.home
    assert args(plan, "mask")[-1] == ("/usr/local/etc",)


@pytest.mark.parametrize("path", ["/usr", "/home/x", "/opt"])
def test_only_what_is_below_a_live_root_can_be_hidden(path: str) -> None:
    with pytest.raises(ConfigError, match=f"hide: {path} is not below /usr"):
        plan_of(live=("/usr",), hide=(path,))
    assert plan_of(hide=(path,)) == plan_of()


CHANGED: dict[str, object] = {
    "name": "other", "network": Network.LOOPBACK, "hostname": "elsewhere", "message": "no", "tmp_size": 1 << 20,
    "umask": 0o077, "limits": {"nofile": 9}, "env": (("A", "b"),), "supplementary_groups": ("audio",),
    "require_journal": True, "live": (HostPath("/usr"),), "access": Access(sessions=2), "accept_env": ("LC_ALL",),
    "by_groups": ((7, True),), "log": LogRate(base=1, peak=2, interval=3),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_what_was_compiled_before_is_used_for_the_same_alone(name: str) -> None:
    """A plan is tried and then made; the second time image and filter alone may be others."""
    results = (FILES,)
    account = replace(ALICE, groups=(("audio", 29),))

    def serial(who: Account = account, image: str = "/i/1", given: Any = results, changed: Any = None) -> str:
        jail = JailSettings(**{"name": "j", **(changed or {})})
        return compile_plan(who, jail, given, HostPath(image), ("none", bytes(8))).serial

    first = serial()
    assert serial() == first != serial(image="/i/2")
    assert serial() == first != serial(changed={name: CHANGED[name]})
    assert serial() == first != serial(replace(account, home="/home/other"))
    given = [FILES]
    assert serial(given=given) == first
    given[0] = replace(FILES, capability="something else")
    assert serial(given=given) != first
