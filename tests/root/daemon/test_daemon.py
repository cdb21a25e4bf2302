"""jailsshd: real sockets, real peers, real images; the server's bounds with a stand-in for the work."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jailssh.daemon import daemon as relay
from jailssh.daemon import last_good, status
from jailssh.daemon.service import Service
from jailssh.host.paths import Layout
from jailssh.host.sockets import listen_at
from jailssh.jail.configuration import installed_plugins
from jailssh.plugin.api import Account
from jailssh.publish.plan_files import read_plan
from tests.root.publish_lab import install_entry_points

pytestmark = pytest.mark.needs("root")

SOURCE = Path(__file__).resolve().parents[3]
ALICE, BOB = 61001, 61002
PEOPLE = {uid: Account(name, uid, uid, name, f"/home/{name}") for name, uid in (("alice", ALICE), ("bob", BOB))}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    install_entry_points(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    installed_plugins.cache_clear()
    layout = Layout(root=str(tmp_path / "root"))
    for folder in (layout.jails, layout.users, layout.run, layout.state):
        os.makedirs(folder)
    return layout


def ask_as(layout: Layout, uid: int, say: bytes = b"") -> str:
    """Connect as ``uid`` from a child and return the whole answer."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(layout.run)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(30)
                peer.connect("jailsshd.sock")
                if say:
                    peer.send(say)
                while data := peer.recv(4096):
                    os.write(writer, data)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        answer = stream.read().decode()
    os.waitpid(pid, 0)
    return answer


@contextmanager
def serving(layout: Layout, answer: Callable[[int], str], remembered: Callable[[int], str | None] = lambda _: None,
            timeout: float = 30) -> Iterator[relay.PlanServer]:  # fmt: skip
    with listen_at(layout.socket, 0o666, backlog=600) as listener:
        server = relay.PlanServer(listener, answer, remembered, lambda: timeout)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(30)
            assert not thread.is_alive()


Records = list[tuple[str, dict[str, str]]]


@pytest.fixture
def service(layout: Layout) -> Iterator[tuple[Service, Records]]:
    records: Records = []
    made = Service(layout, lambda event, message, fields: records.append((event, fields)), PEOPLE.get)
    with serving(layout, made.answer, made.remembered):
        yield made, records


@pytest.mark.needs("sshd")
def test_a_plan_on_demand(layout: Layout, service: tuple[Service, Records]) -> None:
    Path(layout.users, "alice.conf").write_text(f"uid = {ALICE}\njail = sftp-only\n")
    assert ask_as(layout, ALICE) == "ok\n"
    plan = read_plan(layout, ALICE)
    assert plan is not None
    events = service[1]
    assert [event for event, _ in events] == ["image-built", "plan-compiled"]
    assert events[1][1]["JAILSSH_PLAN"] == plan.serial
    assert (events[1][1]["JAILSSH_USER"], events[1][1]["JAILSSH_JAIL"]) == ("alice", "sftp-only")
    os.unlink(f"{layout.plans}/{ALICE}")
    assert ask_as(layout, ALICE) == "ok\n"
    assert [event for event, _ in events[2:]] == ["plan-compiled"]
    assert read_plan(layout, ALICE) == plan


@pytest.mark.needs("sshd")
def test_users_of_one_jail_wait_for_one_build(layout: Layout, service: tuple[Service, Records]) -> None:
    for name, uid in (("alice", ALICE), ("bob", BOB)):
        Path(layout.users, f"{name}.conf").write_text(f"uid = {uid}\njail = sftp-only\n")
    answers: list[str] = []
    threads = [threading.Thread(target=lambda uid=uid: answers.append(service[0].answer(uid))) for uid in (ALICE, BOB)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == ["ok", "ok"]
    assert sorted(event for event, _ in service[1]) == ["image-built", "plan-compiled", "plan-compiled"]


def test_who_is_in_no_jail_is_refused_and_costs_nothing_again(layout: Layout, service: tuple[Service, Records]) -> None:
    answers = {ask_as(layout, uid) for uid in (BOB, BOB, BOB)}
    assert len(answers) == 1
    line = answers.pop()
    assert line.startswith("no not-jailed ")
    assert len(service[1]) == 1
    event, fields = service[1][0]
    assert (event, fields["JAILSSH_REASON"], fields["JAILSSH_UID"]) == ("plan-failed", "not-jailed", str(BOB))
    assert line == f"no not-jailed {fields['JAILSSH_REFERENCE']}\n"
    assert ask_as(layout, 63000).startswith("no not-jailed ")


@pytest.mark.parametrize(("text", "code"), [("jail = nosuch\n", "bad-config"), ("nonsense\n", "bad-config")])
def test_the_answer_tells_no_detail(layout: Layout, service: tuple[Service, Records], text: str, code: str) -> None:
    Path(layout.users, "alice.conf").write_text(f"uid = {ALICE}\n{text}")
    answer = ask_as(layout, ALICE)
    assert answer == f"no {code} {service[1][0][1]['JAILSSH_REFERENCE']}\n"
    assert not os.path.exists(f"{layout.plans}/{ALICE}")


def test_a_refusal_is_forgotten_after_two_seconds(layout: Layout) -> None:
    now = [100.0]
    service = Service(layout, lambda *_: None, lambda _: None, lambda: now[0])
    line = service.answer(BOB)
    assert service.remembered(BOB) == line
    now[0] += 1.9
    assert service.remembered(BOB) == line
    now[0] += 0.2
    assert service.remembered(BOB) is None


def test_an_error_that_nobody_expected_is_an_answer(layout: Layout) -> None:
    def find(uid: int) -> Account | None:
        raise RuntimeError("directory\nservice down")

    sent: Records = []
    service = Service(layout, lambda event, message, fields: sent.append((event + message, fields)), find)
    assert service.answer(ALICE).startswith("no build-failed ")
    assert "RuntimeError: directory" in sent[0][0]


def test_the_same_uid_waits_for_one_job(layout: Layout) -> None:
    gate, calls = threading.Event(), []

    def answer(uid: int) -> str:
        calls.append(uid)
        gate.wait(20)
        return "ok"

    with serving(layout, answer):
        peers = [connect(layout) for _ in range(200)]
        until(lambda: bool(calls))
        gate.set()
        assert {read_all(peer) for peer in peers} == {"ok\n"}
    assert calls == [0]


def test_too_many_connections_of_one_uid_are_busy(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_PER_UID", 3)
    gate = threading.Event()
    with serving(layout, lambda _: "ok" if gate.wait(20) else ""):
        peers = [connect(layout) for _ in range(5)]
        assert [read_all(peer) for peer in peers[3:]] == ["no busy\n"] * 2
        gate.set()
        assert [read_all(peer) for peer in peers[:3]] == ["ok\n"] * 3


def test_jobs_and_connections_beyond_the_bound_wait(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_THREADS", 1)
    monkeypatch.setattr(relay, "MAX_CONNECTIONS", 2)
    gate = threading.Event()
    with serving(layout, lambda _: "ok" if gate.wait(20) else ""):
        peers = [connect(layout) for _ in range(3)]
        answers: list[str] = []
        others = [threading.Thread(target=lambda uid=uid: answers.append(ask_as(layout, uid))) for uid in (ALICE, BOB)]
        for other in others:
            other.start()
        gate.set()
        assert [read_all(peer) for peer in peers] == ["ok\n"] * 3
        for other in others:
            other.join(20)
        assert answers == ["ok\n", "ok\n"]


def test_time_is_bounded_and_the_server_lives_on(layout: Layout) -> None:
    gate = threading.Event()
    with serving(layout, lambda uid: "ok" if uid == ALICE or gate.wait(20) else "", timeout=0.3):
        assert read_all(connect(layout)) == "no build-timeout\n"
        assert ask_as(layout, ALICE) == "ok\n"
        gate.set()


def test_what_a_peer_says_or_does_not_wait_for_is_of_no_account(layout: Layout) -> None:
    with serving(layout, lambda _: "ok"):
        assert ask_as(layout, ALICE, b"uid=0\n" * 1000) in ("ok\n", "")
        for _ in range(50):
            connect(layout).close()
        assert ask_as(layout, BOB) == "ok\n"


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [RuntimeError("of\nnobody"), SystemExit(3), MemoryError()])
def test_a_job_that_raises_is_an_answer(
    layout: Layout, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def answer(uid: int) -> str:
        raise error

    with serving(layout, answer):
        for _ in range(3):
            assert ask_as(layout, ALICE) == "no build-failed\n"
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"jailsshd: cannot serve the login of uid {ALICE}: {type(error).__name__}")


def test_a_connection_that_cannot_be_served_is_answered_and_ends_nobody_else(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [True, True]

    def remembered(_uid: int) -> str | None:
        if bad:
            bad.pop()
            raise RuntimeError("first")
        return None

    with serving(layout, lambda _: "ok", remembered):
        assert [ask_as(layout, ALICE) for _ in range(3)] == ["no build-failed\n", "no build-failed\n", "ok\n"]
    assert "cannot serve a connection: RuntimeError: first" in capsys.readouterr().err


def test_without_a_thread_the_answer_is_busy(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread:
        def __init__(self, **_: object) -> None:
            pass

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    real = threading.Thread
    with serving(layout, lambda _: "ok"):
        monkeypatch.setattr(threading, "Thread", lambda **words: NoThread(**words))
        answers = [ask_as(layout, ALICE) for _ in range(3)]
        monkeypatch.setattr(threading, "Thread", real)
        assert answers == ["no busy\n"] * 3
        assert ask_as(layout, ALICE) == "ok\n"


def test_clients_that_misbehave_do_not_hold_others_up(layout: Layout) -> None:
    with serving(layout, lambda _: "ok"):
        talkers = [connect(layout) for _ in range(200)]
        for number, peer in enumerate(talkers):
            with suppress(OSError):  # it is answered and closed whatever it says
                peer.send(b"\0\xff" * 10000) if number % 2 else peer.shutdown(socket.SHUT_RDWR)
            if number % 3 == 0:
                peer.close()
        assert ask_as(layout, ALICE) == "ok\n"
        for peer in talkers:
            peer.close()
        assert ask_as(layout, BOB) == "ok\n"


BROKEN_MAIN = [b"build_timeout = soon\n", b"\xff\xfe\0", b"[[[\n", b"nonsense = 1\n", b"x" * (2 << 20)]


@pytest.mark.parametrize("text", BROKEN_MAIN)
def test_a_mistake_in_the_main_file_leaves_the_last_good_one_in_use(layout: Layout, text: bytes) -> None:
    Path(layout.config_file).write_text("build_timeout = 77\n")
    sent: Records = []
    service = Service(layout, lambda event, message, fields: sent.append((message, fields)), PEOPLE.get)
    assert service.build_timeout() == 77
    assert service.trouble() == ""
    Path(layout.config_file).write_bytes(text)
    assert service.build_timeout() == 77
    assert service.answer(ALICE).startswith("no not-jailed ")
    assert service.trouble().startswith(f"uses the last valid {layout.config_file}: ")
    # A daemon that was started anew goes by it as well.
    again = Service(layout, lambda event, message, fields: sent.append((message, fields)), PEOPLE.get)
    assert again.build_timeout() == 77
    assert again.answer(ALICE).startswith("no not-jailed ")
    assert layout.config_file in again.trouble()
    Path(layout.config_file).write_text("build_timeout = 78\n")
    assert (again.build_timeout(), again.trouble()) == (78, "")


@pytest.mark.parametrize("text", BROKEN_MAIN)
def test_where_there_never_was_a_good_one_the_answer_has_a_reason(layout: Layout, text: bytes) -> None:
    Path(layout.config_file).write_bytes(text)
    sent: Records = []
    service = Service(layout, lambda event, message, fields: sent.append((message, fields)), PEOPLE.get)
    assert service.build_timeout() > 0
    assert service.answer(ALICE).startswith("no bad-config ")
    assert layout.config_file in sent[0][0]
    assert service.trouble().startswith("refuses all first logins: ")


def test_a_damaged_kept_file_is_none(layout: Layout) -> None:
    Path(layout.config_file).write_bytes(b"nonsense = 1\n")
    Path(last_good.kept_path(layout)).write_bytes(b"\xff also nonsense")
    service = Service(layout, lambda *_: None, PEOPLE.get)
    assert service.answer(ALICE).startswith("no bad-config ")
    assert "jailssh.conf" in service.trouble()


def test_the_status_is_told_and_read_back(layout: Layout) -> None:
    told: list[str] = []
    teller = status.Teller(layout, told.append)
    teller.tell()
    for line, trouble in (("ok", ""), ("no not-jailed 12345678", ""), ("no build-failed", "jailssh.conf: wrong")):
        teller.count(line, trouble)
    assert told == [
        "STATUS=0 plans made, 0 refused",
        "STATUS=1 plan made, 0 refused",
        "STATUS=1 plan made, 1 refused",
        "STATUS=1 plan made, 2 refused, 1 of them because of an internal error; jailssh.conf: wrong",
    ]
    found = status.read(layout)
    assert found is not None
    assert (found.pid, found.answered, found.refused, found.failed) == (os.getpid(), 1, 2, 1)
    for damaged in (b"", b"{", b"[]", b"{}", b"\xff" * 9, b"[" * 60000, b'{"pid": "x", "started": 1}'):
        Path(status.path(layout)).write_bytes(damaged)
        assert status.read(layout) is None


def test_the_socket_replaces_what_is_there(layout: Layout) -> None:
    Path(layout.socket).symlink_to("/etc/passwd")
    with listen_at(layout.socket, 0o666, backlog=5):
        info = os.lstat(layout.socket)
        assert stat.S_ISSOCK(info.st_mode)
        assert stat.S_IMODE(info.st_mode) == 0o666
        assert os.listdir(layout.run) == ["jailsshd.sock"]


DRIVER = """
import json, os, sys
spec = json.loads(sys.argv[1])
sys.path[:0] = spec["path"]
from jailssh.host.paths import Layout
from jailssh.core.errors import JailsshError
from jailssh.daemon import daemon
if spec["fd"]:
    os.dup2(spec["fd"], 3)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
daemon.IDLE_EXIT = spec["idle"]
layout = Layout(root=spec["root"])
try:
    with daemon.listening(layout) as (listener, by_systemd):
        daemon.run(layout, listener, by_systemd)
except JailsshError as error:
    sys.exit("\\n".join(error.lines()))
"""


def start(
    layout: Layout, notify: str, listener: socket.socket | None = None, idle: float = 600
) -> subprocess.Popen[str]:
    fd = listener.fileno() if listener else 0
    spec = {"path": [str(SOURCE)], "root": layout.root, "fd": fd, "idle": idle}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(spec)],
        env={"NOTIFY_SOCKET": notify, "PATH": "/usr/bin:/bin"},
        pass_fds=(fd,) if fd else (),
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def notifications(layout: Layout) -> Iterator[tuple[str, socket.socket]]:
    path = f"{layout.run}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(30)
        yield path, receiver


def told(receiver: socket.socket) -> bytes:
    """Return the next notification that is no status line."""
    while (data := receiver.recv(1000)).startswith(b"STATUS="):
        pass
    return data


def test_plain_start_ready_second_one_refused_and_stop(layout: Layout) -> None:
    with notifications(layout) as (path, receiver), start(layout, path) as first:
        assert told(receiver) == b"READY=1"
        assert ask_as(layout, 63001).startswith("no not-jailed ")
        with start(layout, path) as second:
            assert second.wait(30) == 1
            assert second.stderr is not None
            assert second.stderr.read() == f"jailssh: jailsshd: is already running (process {first.pid})\n"
        assert ask_as(layout, 63002).startswith("no not-jailed ")
        first.send_signal(signal.SIGTERM)
        assert told(receiver) == b"STOPPING=1"
        assert first.wait(30) == 0
        with start(layout, path) as again:
            assert told(receiver) == b"READY=1"
            assert ask_as(layout, 63003).startswith("no not-jailed ")
            again.kill()


def test_socket_activation_and_idle_exit(layout: Layout) -> None:
    with notifications(layout) as (path, receiver), listen_at(layout.socket, 0o666, backlog=5) as listener:
        with start(layout, path, listener, idle=0.2) as process:
            assert told(receiver) == b"READY=1"
            assert process.wait(30) == 0
        peer = connect(layout)
        with start(layout, path, listener, idle=0.2) as process:
            assert read_all(peer).startswith("no not-jailed ")
            assert process.wait(30) == 0


def connect(layout: Layout) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(30)
    here = os.open(layout.run, os.O_PATH)
    try:
        peer.connect(f"/proc/self/fd/{here}/jailsshd.sock")
    finally:
        os.close(here)
    return peer


def read_all(peer: socket.socket) -> str:
    with peer:
        data = b""
        while part := peer.recv(4096):
            data += part
    return data.decode()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_start_loads_nothing_that_it_does_not_need() -> None:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import jailssh.daemon.daemon; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    roots = {name.split(".")[0] for name in done.stdout.split()}
    assert roots & {"argparse", "asyncio", "concurrent", "elftools", "http", "paramiko", "rich", "seccomp"} == set()
