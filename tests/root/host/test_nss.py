"""Found, absent and unknown are three answers of the name service, and none of them takes for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.source import put_source
from tests.root.nss_lab import Directory

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("gcc")]

# Runs the expressions one after the other, or all at once in threads; prints value or error, and the seconds, of each.
DRIVER = """
import json, sys, threading, time
from jailssh.core.errors import JailsshError
from jailssh.host import accounts, nss
nss._asker = nss.Asker(float(sys.argv[1]))
answers = [None] * len(sys.argv[3:])
def run(number, text):
    begun = time.monotonic()
    try:
        answer = ["value", __builtins__.eval(text)]
    except JailsshError as error:
        answer = [type(error).__name__, str(error)]
    answers[number] = [*answer, time.monotonic() - begun]
threads = [threading.Thread(target=run, args=row) for row in enumerate(sys.argv[3:])]
for thread in threads:
    thread.start()
    if sys.argv[2] == "in turn":
        thread.join()
for thread in threads:
    thread.join()
nss._asker.close()
print(json.dumps(answers, default=lambda entry: [entry.name, entry.uid, entry.groups]))
"""


class Lab:
    def __init__(self, host: ScratchHost, directory: Directory) -> None:
        self.host = host
        self.directory = directory

    def ask(self, *expressions: str, limit: float = 1, how: str = "in turn") -> list[Any]:
        argv = ["/usr/bin/python3", "-B", "-c", DRIVER, str(limit), how, *expressions]
        done = self.host.run(argv, env={"PYTHONPATH": "/usr/local/source"})
        assert done.code == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    def helpers(self) -> list[str]:
        return [line for line in self.host.pids().values() if "nss_helper" in line]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("local")
    folder.chmod(0o755)
    put_source(folder / "source")
    with ScratchHost(install={str(folder): "/usr/local"}) as host:
        directory = Directory(host, tmp_path_factory.mktemp("nss"))
        directory.account("dora", 40001, "/home/dora", "/bin/sh")
        directory.group("people", 40100, "dora", "local")
        host.run(["useradd", "--uid", "4321", "local"], check=True)
        yield Lab(host, directory)


@pytest.fixture
def lab(scratch: Lab) -> Lab:
    scratch.directory.state("up")
    scratch.directory.order("files fake")
    return scratch


def test_up(lab: Lab) -> None:
    found = lab.ask("accounts.find('dora')", "accounts.find_uid(40001)", "accounts.find('nobody-here')",
                    "accounts.find_uid(40002)", "accounts.find('local')", "accounts.group_id('people')",
                    "accounts.group_id('nothing')", "accounts.members('people')", "accounts.group_name(40100)",
                    "accounts.group_name(40101)", "accounts.find('x\\0y')")  # fmt: skip
    dora = ["dora", 40001, [["40001", 40001], ["people", 40100]]]
    assert [row[:2] for row in found] == [["value", value] for value in (
        dora, dora, None, None, ["local", 4321, [["local", 4321], ["people", 40100]]], 40100, None, ["dora", "local"],
        "people", "40101", None,
    )]  # fmt: skip


@pytest.mark.parametrize("order", ["files fake", "fake files", "files"])
@pytest.mark.parametrize("action", ["", " [SUCCESS=merge]"])
def test_many_questions_get_the_answers_of_the_first_ones(lab: Lab, order: str, action: str) -> None:
    """The files are read as a whole then; groups that a directory has local accounts in count as before."""
    groups = order.replace("files", f"files{action}")
    lab.host.write("/etc/nsswitch.conf", f"passwd: {order}\ngroup: {groups}\n")
    asked = [
        "accounts.find('dora')", "accounts.find('local')", "accounts.find_uid(4321)", "accounts.find('nobody-here')",
        "accounts.group_id('people')", "accounts.group_id('local')", "accounts.group_id('nothing')",
        "accounts.members('people')",
    ]  # fmt: skip
    found = lab.ask(*asked * 6)
    assert [row[:2] for row in found] == [row[:2] for row in found[: len(asked)]] * 6
    lab.directory.state("away")
    rows = lab.ask(*["accounts.group_id('root')"] * 20, *asked[:2], asked[3])
    assert {row[0] for row in rows[-3:]} == ({"value"} if order == "files" else {"UnansweredError"})


# "fake files": what the C library says in the end is that the files do not have it, as if nothing were away.
@pytest.mark.parametrize("order", ["files fake", "fake files", "files fake systemd", "files [NOTFOUND=continue] fake"])
@pytest.mark.parametrize("state", ["away", "busy"])
def test_away(lab: Lab, order: str, state: str) -> None:
    lab.directory.order(order)
    lab.directory.state(state)
    asked = ("accounts.find('dora')", "accounts.find_uid(40001)", "accounts.group_id('people')",
             "accounts.members('people')", "accounts.group_exists('nothing')", "accounts.group_name(40100)",
             # A local account: which groups it is in cannot be said.
             "accounts.find('local')")  # fmt: skip
    for row in lab.ask(*asked):
        assert row[0] == "UnansweredError", row
        assert "fake is unavailable" in row[1] if state == "away" else "fake is busy" in row[1]
    # Local groups are told apart from what nobody has.
    assert lab.ask("accounts.group_id('root')")[0][:2] == ["value", 0]


def test_a_service_that_is_not_installed_is_asked_by_nobody(lab: Lab) -> None:
    lab.directory.order("files missing fake")
    assert [row[:2] for row in lab.ask("accounts.find('nobody-here')", "accounts.group_id('people')")] == [
        ["value", None], ["value", 40100],
    ]  # fmt: skip


def test_files_that_cannot_be_read(lab: Lab) -> None:
    lab.host.run(["mv", "/etc/group", "/etc/group.away"], check=True)
    try:
        rows = lab.ask("accounts.find('local')", "accounts.group_exists('root')")
    finally:
        lab.host.run(["mv", "/etc/group.away", "/etc/group"], check=True)
    for row in rows:
        assert row[0] == "UnansweredError"
        assert "/etc/group: No such file" in row[1]


def test_sssd_that_does_not_listen(lab: Lab) -> None:
    """Some builds of its module say "not found" then."""
    lab.directory.install("sss")
    lab.directory.order("files sss")
    assert lab.ask("accounts.find('nobody-here')")[0][:2] == ["value", None]
    lab.host.run(["mkdir", "-p", "/etc/sssd"], check=True)
    lab.host.write("/etc/sssd/sssd.conf", "[sssd]\n", 0o600)
    try:
        (row,) = lab.ask("accounts.find('nobody-here')")
    finally:
        lab.host.run(["rm", "/etc/sssd/sssd.conf"], check=True)
    assert row[0] == "UnansweredError"
    assert "sssd does not listen" in row[1]


def test_one_that_hangs_holds_up_nobody_else(lab: Lab) -> None:
    lab.directory.state("hang dora")
    lab.directory.account("dave", 40003, "/home/dave", "/bin/sh")
    slow, *others = lab.ask(
        "accounts.find('dora')", "accounts.find('dave')", *["accounts.group_id('people')"] * 10, limit=6, how="at once"
    )
    assert slow[0] == "UnansweredError"
    assert "no answer of the name service within 6 seconds" in slow[1]
    assert 5.5 < slow[2] < 12
    assert [row[0] for row in others] == ["value"] * 11
    assert max(row[2] for row in others) < 5
    assert lab.helpers() == []


def test_many_that_hang_are_bounded(lab: Lab) -> None:
    """Three wait for their end, the rest is not asked; who is local is found nevertheless."""
    lab.host.write("/etc/nsswitch.conf", "passwd: files fake\ngroup: files\n")
    lab.directory.state("hang")
    found = lab.ask(*[f"accounts.find('dora{n}')" for n in range(300)], "accounts.find('local')", limit=0.5)
    assert {row[0] for row in found[:-1]} == {"UnansweredError"}
    assert found[-1][:2] == ["value", ["local", 4321, [["local", 4321]]]]
    assert sum(row[2] for row in found) < 6
    assert "no answer of the name service within" in found[0][1]
    assert "the name service does not answer" in found[250][1]
    assert lab.helpers() == []


def test_one_that_was_started_before_answers_at_once(lab: Lab) -> None:
    found = lab.ask("nss.warm() or time.sleep(0.5) or len(nss._asker._idle)", "accounts.find('dora').uid")
    assert [row[1] for row in found] == [1, 40001]


COPIED = """
import json, os, threading, time
from jailssh.host import accounts, nss
kept = [open("/etc/passwd"), os.pipe()]
nss.warm()
helper = nss._asker._idle[0]._process
uid = accounts.find("dora").uid
place = f"/proc/{helper.pid}"
own_session = os.getsid(helper.pid) == helper.pid
files = sorted(os.listdir(place + "/fd"))
print(json.dumps([type(helper).__name__, files, own_session, os.readlink(place + "/cwd"), uid]))
nss.close()
print(os.path.exists(place))
"""


def test_a_copy_of_the_command_keeps_nothing_of_its_files(lab: Lab) -> None:
    """Of a process with one thread the helper is a copy; a lock or a pipe of the command must not live on in it."""
    done = lab.host.run(["/usr/bin/python3", "-B", "-c", COPIED], env={"PYTHONPATH": "/usr/local/source"})
    facts, ended = done.stdout.splitlines()
    assert json.loads(facts) == ["_Forked", ["0", "1", "2"], True, "/", 40001]
    assert ended == "False"


def test_a_helper_that_was_killed_is_replaced(lab: Lab) -> None:
    kill = "__import__('os').kill(nss._asker._idle[0]._process.pid, 9)"
    found = lab.ask("accounts.find('dora').uid", kill, "accounts.find('dora').uid")
    assert [row[:2] for row in found] == [["value", 40001], ["value", None], ["value", 40001]]


def test_a_command_that_is_killed_leaves_no_helper_that_hangs(lab: Lab) -> None:
    lab.directory.state("hang")
    argv = ["/usr/bin/python3", "-B", "-c", DRIVER, "1", "in turn", "accounts.find('dora')"]
    with lab.host.popen(argv, env={"PYTHONPATH": "/usr/local/source"}) as child:
        soon(lambda: len(lab.helpers()) == 1)
        (pid,) = [pid for pid, line in lab.host.pids().items() if "nss.Asker(float" in line]
        lab.host.run(["kill", "-KILL", str(pid)], check=True)
        child.communicate()
    soon(lambda: lab.helpers() == [])


def soon(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
