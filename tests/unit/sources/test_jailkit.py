"""What is found of Jailkit's set-ups: what Jailkit acts on, not what its files seem to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from jailssh.jail.profiles import shipped_profiles
from jailssh.jailkit import source as jailkit
from jailssh.migration.wanted import wanted
from jailssh.sources.found import Effect, Fate, Found, Person
from tests.unit.source_tools import AHost

J = "/srv/j1"
SHELL = "/usr/sbin/jk_chrootsh"
SFTP = "/usr/lib/openssh/sftp-server"
DIR, PROGRAM = (0o40755, 0, 0), (0o100755, 0, 0)


def person(name: str = "u", uid: int = 1003, **more: Any) -> Person:
    given = {"group": name, "home": f"{J}/./home/{name}", "shell": SHELL, **more}
    return Person(name, uid, uid, **given)


def a_host(
    people: tuple[Person, ...] = (),
    *,
    shell: str = "/usr/sbin/jk_lsh",
    files: Mapping[str, str | None] | None = None,
    programs: tuple[str, ...] = (),
    subsystem: str = SFTP,
    sshd: Mapping[str, str] | None = None,
    **more: Any,
) -> AHost:
    """Return a host with a sound jail and accounts in it; ``files`` are put over that, None removes one."""
    people = people or (person(),)
    host_programs = ("/usr/bin/bash", "/bin/bash", "/bin/sh", SFTP, "/usr/bin/rsync", "/usr/bin/git-upload-pack",
                     "/usr/bin/id", "/usr/bin/scp", "/usr/bin/cvs")  # fmt: skip
    texts: dict[str, str | None] = {
        "/etc/passwd": "".join(f"{each.name}:x:{each.uid}:{each.gid}::{each.home}:{each.shell}\n" for each in people),
        SHELL: "", "/sbin/jk_chrootsh": "", "/etc/jailkit/jk_chrootsh.ini": "",
        f"{J}/etc/passwd": "".join(
            f"{each.name}:x:{each.uid}:{each.gid}::{each.home.rpartition('/./')[2].join(('/', ''))}:{shell}\n"
            for each in people
        ),
        f"{J}/etc/group": "".join(f"{each.group}:x:{each.gid}:\n" for each in people),
        f"{J}{shell}": "",
        f"{J}/etc/jailkit/jk_lsh.ini": f"[DEFAULT]\nexecutables={SFTP}\numask=022\n",
        **dict.fromkeys(host_programs, ""),
        **{f"{J}{path}": "" for path in programs},
    }  # fmt: skip
    texts |= files or {}
    homes = {each.home.replace("/./", "/"): (0o40750, each.uid, each.gid) for each in people}
    modes = {f"{J}{path}": PROGRAM for path in programs}
    return AHost(
        people,
        {path: text for path, text in texts.items() if text is not None},
        homes | more.pop("dirs", {}),
        settings={"": {"subsystem": f"sftp {subsystem}", **(sshd or {})}},
        modes=modes | more.pop("modes", {}),
        **more,
    )


def one(host: AHost) -> Found:
    (found,) = jailkit.find(host)
    return found


def texts(found: Found, effect: Effect | None = None) -> str:
    return "\n".join(each.text for each in found.remarks if effect in (None, each.effect))


@pytest.mark.parametrize("spelling", [SHELL, "/sbin/jk_chrootsh", "/usr/local/sbin/jk_chrootsh"])
def test_every_spelling_of_the_shell(spelling: str) -> None:
    found = one(a_host((person(shell=spelling),), files={spelling: ""}))
    assert (found.fate, found.account, found.source, found.where) == (Fate.MIGRATE, "u", "jailkit", "/etc/passwd:1")
    assert (found.home, found.inside) == (f"{J}/home/u", "/home/u")
    assert found.settings == {"": {"plugins": ("sftp",)}}
    assert (found.called, found.uses) == ("jailkit-default", ("sftp", "scp"))


def test_the_filter_of_the_jail_decides_and_not_that_of_the_host() -> None:
    host = a_host(files={"/etc/jailkit/jk_lsh.ini": "[DEFAULT]\npaths=/usr/bin\nexecutables=/usr/bin/rsync\n"})
    assert one(host).settings[""]["plugins"] == ("sftp",)


def test_a_filter_of_many_programs() -> None:
    text = (
        "[u]\npaths=/usr/bin\n"
        f"executables=/usr/bin/id, /usr/bin/rsync,/usr/bin/git-upload-pack, {SFTP}, /usr/bin/scp, /opt/x/report\n"
        "umask=027\nenvironment=FOO=bar\n"
    )
    found = one(a_host(files={f"{J}/etc/jailkit/jk_lsh.ini": text}))
    assert found.settings == {
        "": {"plugins": found.settings[""]["plugins"], "umask": "027"},
        "command": {"commands": ("id <anything>",)},
        "rsync": {"read": "~", "write": "~"},
        "git": {"read": "~"},
        "env": {"FOO": "bar"},
    }
    assert set(found.settings[""]["plugins"]) == {"command", "rsync", "git", "sftp", "scp"}
    assert set(found.uses) == {"command", "rsync", "sftp", "scp", "scp-old"}, "quotes make git fail today"
    assert "fails without allow_word_expansion" in texts(found, Effect.CHANGED)
    assert "/opt/x/report is in the jail and not on this host" in texts(found, Effect.LOST)
    assert "rsync -e PROGRAM" in texts(found, Effect.CLOSED)
    assert found.called == "jailkit-u"


def test_expansion_of_words_is_lost_and_makes_git_work_today() -> None:
    text = "[group staff]\nallow_word_expansion=1\npaths=/usr/bin\nexecutables=/usr/bin/git-upload-pack\numask=022\n"
    found = one(a_host((person(group="staff"),), files={f"{J}/etc/jailkit/jk_lsh.ini": text}))
    assert (found.uses, found.called) == (("git",), "jailkit-staff")
    assert "expands variables" in texts(found, Effect.LOST)


def test_a_filter_without_umask_and_with_misread_keys() -> None:
    text = f"[DEFAULT]\r\nexec = {SFTP}\r\nenvironment = X=[v]\r\n"
    found = one(a_host(files={f"{J}/etc/jailkit/jk_lsh.ini": text}))
    assert found.settings[""]["plugins"] == ("sftp",)
    assert "writable for all" in texts(found, Effect.CLOSED)
    assert "'exec' is read as executables" in texts(found, Effect.NOTE)
    assert any(each.where == f"{J}/etc/jailkit/jk_lsh.ini:2" for each in found.remarks)


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "no shell": (1, {"files": {SHELL: None}}),
    "root": (12, {"people": (person(uid=0),)}),
    "folder": (14, {"dirs": {"/etc/jailkit": (0o40757, 0, 0)}}),
    "no home": (16, {"people": (person(home=""),)}),
    "no mark": (17, {"people": (person(home="/home/u"),)}),
    "mark at the end": (17, {"people": (person(home=f"{J}/."),)}),
    "jail is /": (17, {"people": (person(home="/./home/u"),)}),
    "no jail": (19, {"people": (person(home="/srv/none/./home/u"),)}),
    "dots": (21, {"people": (person(home="/srv/x/../j1/./home/u"),), "dirs": {"/srv/x/../j1": DIR}}),
    "two marks": (21, {"people": (person(home="/srv/./j1/./home/u"),), "dirs": {"/srv/./j1": DIR}}),
    "two slashes": (21, {"people": (person(home="/srv//j1/./home/u"),), "dirs": {"/srv//j1": DIR}}),
    "link above": (21, {"links": {"/srv": "/data"}, "dirs": {J: DIR}}),
    "jail g+w": (53, {"dirs": {J: (0o40775, 0, 0)}}),
    "jail of u": (53, {"dirs": {J: (0o40755, 1003, 0)}}),
    "etc o+w": (53, {"dirs": {f"{J}/etc": (0o40757, 0, 0)}}),
    "home missing": (53, {"people": (person(home=f"{J}/./home/v"),), "dirs": {}}),
    "home g+w": (53, {"dirs": {f"{J}/home/u": (0o40775, 1003, 1003)}}),
    "home o+w": (53, {"dirs": {f"{J}/home/u": (0o40757, 1003, 1003)}}),
    "owner": (53, {"dirs": {f"{J}/home/u": (0o40755, 1004, 1003)}}),
    "group": (53, {"dirs": {f"{J}/home/u": (0o40755, 1003, 100)}}),
    "home is a file": (41, {"dirs": {f"{J}/home/u": (0o100644, 1003, 1003)}}),
    "not in the jail": (35, {"files": {f"{J}/etc/passwd": "root:x:0:0::/root:/bin/sh\n"}}),
    "uid": (35, {"files": {f"{J}/etc/passwd": "u:x:1004:1003::/home/u:/usr/sbin/jk_lsh\n"}}),
    "name": (35, {"files": {f"{J}/etc/passwd": "v:x:1003:1003::/home/u:/usr/sbin/jk_lsh\n"}}),
    "no group": (35, {"files": {f"{J}/etc/group": ""}}),
    "group name": (37, {"files": {f"{J}/etc/group": "other:x:1003:\n"}}),
    "home in the jail": (39, {"files": {f"{J}/etc/passwd": "u:x:1003:1003::/home/v:/usr/sbin/jk_lsh\n"}}),
    "shell missing": (111, {"files": {f"{J}/usr/sbin/jk_lsh": None}}),
    "blank before the shell": (111, {"files": {"/etc/jailkit/jk_chrootsh.ini": "[u]\ninjail_shell = /bin/sh\n"}}),
    "no filter": (1, {"files": {f"{J}/etc/jailkit/jk_lsh.ini": None}}),
    "no section": (3, {"files": {f"{J}/etc/jailkit/jk_lsh.ini": "[default]\nexecutables=/bin/sh\n"}}),
    "no executables": (5, {"files": {f"{J}/etc/jailkit/jk_lsh.ini": "[u]\npaths=/bin\n[DEFAULT]\nexecutables=/x\n"}}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_refused_today_with_the_exit_code(case: str) -> None:
    code, what = REFUSED[case]
    host = a_host(what.get("people", ()), **{key: value for key, value in what.items() if key != "people"})
    if case in ("home missing", "no jail"):
        host.dirs = {}
    found = one(host)
    assert (found.fate, f"exit code {code}" in texts(found)) == (Fate.REFUSED, True), texts(found)


@pytest.mark.parametrize("gone", [{SHELL: None}, {"/etc/jailkit/jk_chrootsh.ini": None}])
def test_what_jailkit_allowed_is_known_where_its_package_is_gone(gone: dict[str, str | None]) -> None:
    """Removed, with its files or without; the jail has its own, and who is in it can be brought in by name."""
    found = one(a_host(files=gone))
    assert (found.fate, found.settings[""]["plugins"]) == (Fate.REFUSED, ("sftp",)), texts(found)
    assert wanted([found], shipped_profiles(), {}, {}, refused=["u"]).jails == {"u": "sftp-only"}


def test_nobody_is_brought_in_of_whom_nothing_is_known() -> None:
    found = one(a_host((person(home="/home/u"),)))
    plan = wanted([found], shipped_profiles(), {}, {}, refused=["u"])
    assert (plan.jails, plan.texts) == ({}, {})
    assert "what it may do is not known" in plan.left[0].remarks[-1].text


@pytest.mark.parametrize("shell", ["/usr/sbin/jk_lsh", "/usr/local/sbin/jk_lsh"])
def test_the_filter_as_a_login_shell_goes_by_the_hosts_file(shell: str) -> None:
    files = {
        "/etc/jailkit/jk_lsh.ini": "[DEFAULT]\npaths=/usr/bin\nexecutables=/usr/bin/rsync,/usr/bin/id\numask=022\n",
        shell: "", "/home/u/x": "", "/usr/bin/su": "",
    }  # fmt: skip
    host = a_host((person(home="/home/u", shell=shell),), files=files, modes={"/usr/bin/su": (0o104755, 0, 0)})
    found = one(host)
    assert (found.fate, found.home, found.inside, found.uses) == (Fate.MIGRATE, "", "", ("command", "rsync"))
    assert found.settings["command"]["commands"] == ("id <anything>",)
    assert "rsync -e PROGRAM" in texts(found, Effect.CLOSED) and "/usr/bin/su" not in texts(found)
    none = one(a_host((person(home="/home/u", shell=shell),), files={shell: ""}))
    assert (none.fate, "exit code 1" in texts(none)) == (Fate.REFUSED, True)
    gone = one(a_host((person(home="/home/u", shell=shell),), files={**files, shell: None}))
    assert gone.fate is Fate.REFUSED
    open_to_all = one(
        a_host((person(home="/home/u", shell=shell),), files=files, dirs={"/etc/jailkit": (0o40757, 0, 0)})
    )
    assert open_to_all.fate is Fate.LEAVE


def test_a_blank_before_the_shell_is_not_meant() -> None:
    text = "[u]\ninjail_shell = /bin/sh\n"
    found = one(a_host(files={"/etc/jailkit/jk_chrootsh.ini": text, f"{J}/bin/sh": ""}))
    assert (found.fate, found.settings["shell"]["shell"]) == (Fate.REFUSED, "/bin/sh")
    assert texts(found).count("exit code 111") == 1


def test_a_name_that_means_another_program_here_is_a_path() -> None:
    """The jail's PATH finds /usr/local/bin/id first, which jk_lsh does not allow."""
    text = "[u]\npaths=/usr/bin\nexecutables=/usr/bin/id,/bin/cat\numask=022\n"
    found = one(a_host(files={f"{J}/etc/jailkit/jk_lsh.ini": text, "/usr/local/bin/id": "", "/bin/cat": ""}))
    assert found.settings["command"]["commands"] == ("/usr/bin/id <anything>", "/bin/cat <anything>")
    assert "id: is /usr/local/bin/id in a jail" in texts(found, Effect.CHANGED)


def test_a_refused_account_can_be_brought_in_by_name_where_its_policy_is_known() -> None:
    found = one(a_host(dirs={f"{J}/home/u": (0o40775, 1003, 1003)}))
    assert (found.fate, found.settings[""]["plugins"]) == (Fate.REFUSED, ("sftp",))
    plan = wanted([found], shipped_profiles(), {}, {}, refused=["u"])
    assert plan.jails == {"u": "sftp-only"}


@pytest.mark.parametrize(
    ("text", "home", "fate"),
    [
        ("[DEFAULT]\nrelax_home_group_permissions=1\n", (0o40775, 1003, 1003), Fate.MIGRATE),
        ("[DEFAULT]\nrelax_home_group_permissions=yes\n", (0o40775, 1003, 1003), Fate.REFUSED),
        ("[DEFAULT]\nrelax_home_group=1\n", (0o40755, 1003, 100), Fate.MIGRATE),
        # Let in by a key that Jailkit takes for another: strict until the administrator says what is meant.
        ("[DEFAULT]\nrelax_home_group=1\n", (0o40775, 1003, 1003), Fate.LEAVE),
        ("[group u]\nrelax_home_owner=1\n", (0o40755, 1, 1003), Fate.MIGRATE),
        ("[DEFAULT]\nrelax_home_group_permissions=1\n", (0o40777, 1003, 1003), Fate.REFUSED),
        ("[DEFAULT]\nrelax_home_other_permissions=1\n", (0o40757, 1003, 1003), Fate.MIGRATE),
        # One section alone acts.
        ("[u]\nenv=TZ\n[DEFAULT]\nrelax_home_group=1\n", (0o40755, 1003, 100), Fate.REFUSED),
    ],
)
def test_relaxed_checks_of_a_home_are_flagged(text: str, home: tuple[int, int, int], fate: Fate) -> None:
    found = one(a_host(files={"/etc/jailkit/jk_chrootsh.ini": text}, dirs={f"{J}/home/u": home}))
    assert found.fate is fate
    if fate is Fate.MIGRATE:
        assert any(each.where.startswith("/etc/jailkit/jk_chrootsh.ini:") for each in found.remarks)
    if fate is Fate.LEAVE:
        assert "chmod g-w /srv/j1/home/u" in texts(found)


def test_the_shell_of_the_section_and_a_passwd_that_is_not_asked() -> None:
    text = "[DEFAULT]\ninjail_shell=/bin/sh\nskip_injail_passwd_check=1\nenv=TZ, LD_LIBRARY_PATH, TERM\n"
    nobody = {f"{J}/etc/passwd": "", "/etc/jailkit/jk_chrootsh.ini": text, f"{J}/bin/sh": ""}
    found = one(a_host(files=nobody))
    assert (found.fate, found.settings["shell"]["shell"]) == (Fate.MIGRATE, "/bin/sh")
    assert found.settings[""]["accept_env"] == ("TZ",)
    assert "LD_LIBRARY_PATH does not pass" in texts(found, Effect.CLOSED)
    without = nobody | {"/etc/jailkit/jk_chrootsh.ini": "[DEFAULT]\nskip_injail_passwd_check=1\n"}
    assert one(a_host(files=without)).fate is Fate.REFUSED


BASIC = ("/bin/bash", "/usr/bin/ls", "/usr/bin/cat", "/usr/bin/grep", "/usr/bin/rsync", "/opt/only/here")


def test_a_real_shell_with_the_programs_that_the_jail_holds() -> None:
    there = dict.fromkeys((f"{J}/web/index.html", "/usr/bin/ls", "/usr/bin/cat", "/usr/bin/grep"), "")
    host = a_host(shell="/bin/bash", programs=(*BASIC, SFTP, "/usr/bin/own-tool"), files=there)
    found = one(host)
    assert found.settings == {
        "": {"plugins": ("shell", "sftp")},
        "shell": {"programs": ("cat", "grep", "ls", "rsync")},
    }
    assert set(found.uses) == {"shell", "command", "rsync", "sftp", "scp"}
    assert "own-tool" in texts(found, Effect.LOST)
    assert "directories beside the home, which a jail does not show: /web" in texts(found, Effect.LOST)


def test_few_programs_are_no_reason_for_all_the_usual_tools() -> None:
    found = one(a_host(shell="/bin/bash", programs=("/bin/bash", "/usr/bin/rsync")))
    assert found.settings["shell"] == {"programs": ("rsync",), "tools": "no"}


def test_a_login_shell_that_drops_commands() -> None:
    text = "[DEFAULT]\ninjail_login_shell=1\n"
    found = one(a_host(shell="/bin/bash", programs=BASIC, files={"/etc/jailkit/jk_chrootsh.ini": text}))
    assert found.uses == ("shell",)
    assert "jails run it" in texts(found, Effect.CHANGED)


def test_what_jailkit_lets_slip_is_told_from_facts() -> None:
    sshd = {"allowtcpforwarding": "yes", "x11forwarding": "no", "permituserenvironment": "yes"}
    two = (person(), person("v", 1004))
    setuid = {f"{J}/usr/bin/id": (0o104755, 0, 0)}
    files = {f"{J}/etc/jailkit/jk_lsh.ini": "[DEFAULT]\nexecutables=/usr/bin/id\n"}
    found, _ = jailkit.find(
        a_host(two, subsystem="internal-sftp", sshd=sshd, programs=("/usr/bin/id",), modes=setuid, files=files)
    )
    closed = texts(found, Effect.CLOSED)
    for part in ("internal-sftp", "allowtcpforwarding", "PermitUserEnvironment", "/usr/bin/id", "1 other accounts"):
        assert part in closed, part
    assert "x11forwarding" not in closed
    assert "sftp" not in found.settings
    quiet = texts(one(a_host()), Effect.CLOSED)
    assert not any(word in quiet for word in ("forwarding", "internal-sftp", "owner", "other accounts"))


def test_sftp_that_no_server_answers_is_not_brought_in() -> None:
    text = "[DEFAULT]\npaths=/usr/bin\nexecutables=/usr/lib/sftp-server,/usr/bin/rsync\numask=022\n"
    found = one(a_host(files={f"{J}/etc/jailkit/jk_lsh.ini": text}))
    assert found.settings[""]["plugins"] == ("rsync",)
    assert "sftp-server has no effect" in texts(found)


def test_data_of_users_in_directories_of_the_system() -> None:
    found = one(a_host(dirs={f"{J}/opt/app": (0o40755, 1003, 1003)}))
    assert "/opt/app (uid 1003)" in texts(found, Effect.LOST)


def test_the_other_files() -> None:
    files = {
        "/etc/jailkit/jk_socketd.ini": f"[{J}/dev/log]\nbase=5\npeak=100\n[/srv/j9/dev/log]\nbase=512\n",
        "/etc/jailkit/jk_check.ini": f"[{J}]\nignorepatheverywhere = /srv/j1/g, \n"
        "[/home/testchroot]\nignorepathoncompare=/x\n",
        "/etc/jailkit/jk_update.ini": f"[{J}]\nskips = /opt\nhardlinks = 1\n",
        "/etc/jailkit/jk_init.ini": "[mine]\npaths = %\n[basicshell]\npaths = sh\n[mine]\npaths = x\n",
        "/etc/jailkit/jk_uchroot.ini": f"[DEFAULT]\nallowed_jails = {J}/, /srv/j2\n",
        "/etc/postfix/main.cf": "# mailbox_command = x\nmailbox_command = /usr/sbin/jk_procmailwrapper\n",
    }
    found = one(a_host(files=files))
    said = texts(found)
    for part in (
        "passes 511 bytes in 5 s, 2048 at a peak", "leaves out 1 path of /srv/j1", "an empty path",
        "[/home/testchroot]: there is no such jail", "skips /opt", "Jailkit never heeded it",
        "sections of its own: mine",
        "lets it into /srv/j1, /srv/j2", "goes to procmail",
    ):  # fmt: skip
        assert part in said, part
    assert "/srv/j9" not in said
    assert found.fate is Fate.MIGRATE
    assert found.settings[""]["log"] == "yes"
    assert found.settings["limits"] == {"log_base": "511", "log_peak": "2048", "log_interval": "5"}
    broken = one(a_host(files={"/etc/jailkit/jk_check.ini": "x\n", "/etc/jailkit/jk_update.ini": "[a]\n[a]\n"}))
    assert texts(broken).count("cannot read it") == 2


@pytest.mark.parametrize(
    ("lines", "limits"),
    [
        ("", ("511", "2048", "5")),
        ("base=5\npeak=100\ninterval=0\n", ("511", "2048", "5")),
        ("base=4000\npeak=100\n", ("4000", "4000", "5")),
        ("base=1000\npeak=9000\ninterval=10.0\n", ("1000", "9000", "10")),
        ("base=1000\npeak=9000\ninterval=0.5\n", ("2000", "9000", "1")),
        ("base=1000\npeak=9000\ninterval=2.5\n", ("1200", "9000", "3")),
    ],
)
def test_what_jk_socketd_passes_an_account_may_log(lines: str, limits: tuple[str, str, str]) -> None:
    found = one(a_host(files={"/etc/jailkit/jk_socketd.ini": f"[{J}/dev/log]\n{lines}"}))
    assert tuple(found.settings["limits"].values()) == limits
    # Another socket of the same jail is no way to log.
    other = one(a_host(files={"/etc/jailkit/jk_socketd.ini": f"[{J}/run/other]\n{lines}"}))
    assert "limits" not in other.settings
    assert "log" not in other.settings[""]


def test_a_mark_with_another_shell_is_listed_and_left() -> None:
    people = (person(shell="/bin/bash"), person("ftp1", 1005, home="/srv/ftp/./", shell="/usr/sbin/nologin"))
    uchroot = {"/etc/jailkit/jk_uchroot.ini": f"[u]\nallowed_jails={J}\n"}
    found = jailkit.find(a_host(people, files=uchroot))
    assert [each.fate for each in found] == [Fate.LEAVE, Fate.LEAVE]
    assert "/bin/bash" in texts(found[0])
    assert "jk_uchroot lets it into" in texts(found[0])


def test_a_file_that_others_can_change_is_no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    from jailssh.core.errors import HostError

    host = a_host()
    text = host.read

    def read(path: str) -> str | None:
        if path == f"{J}/etc/passwd":
            raise HostError(path, "can be changed by others than root")
        return text(path)

    monkeypatch.setattr(host, "read", read)
    found = one(host)
    assert (found.fate, "can be changed by others" in texts(found)) == (Fate.LEAVE, True)


@pytest.mark.parametrize("more", [{"groups": ("sudo",)}, {"local": False}])
def test_whom_adduser_would_not_take(more: dict[str, Any]) -> None:
    assert one(a_host((person(**more),))).fate is Fate.LEAVE


def test_two_hundred_accounts_of_one_jail_share_what_is_equal() -> None:
    people = tuple(person(f"u{number}", 2000 + number) for number in range(200))
    text = f"[DEFAULT]\nexecutables={SFTP}\numask=027\n[u7]\npaths=/usr/bin\nexecutables=/usr/bin/rsync\numask=027\n"
    plan = wanted(jailkit.find(a_host(people, files={f"{J}/etc/jailkit/jk_lsh.ini": text})), shipped_profiles(), {}, {})
    assert sorted(plan.texts) == ["jailkit-default", "jailkit-u7"]
    assert [name for name, jail in plan.jails.items() if jail == "jailkit-u7"] == ["u7"]
    assert len(plan.jails) == 200
    assert not plan.left


def test_nobody_is_found_on_a_host_without_jailkit() -> None:
    assert jailkit.find(AHost([Person("a", 1000, 1000, group="a", home="/home/a", shell="/bin/bash")])) == []
