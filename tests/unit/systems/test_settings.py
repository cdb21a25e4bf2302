"""The file of a system, what it depends on, and which of its settings change when."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from jailssh.core.errors import ConfigError, HostError, UsageError
from jailssh.entering.kept import Kept, Kind
from jailssh.host.paths import Layout
from jailssh.systems import changing, create, running, settings, starting, units
from jailssh.systems.settings import ROWS

DEPENDS = {"web": ["db", "cache"], "db": ["disk"], "cache": ["disk"], "disk": [], "one": ["two"], "two": ["one"]}


def test_what_a_system_depends_on_stands_before_it_and_once() -> None:
    assert starting.order(["web"], DEPENDS.__getitem__) == ["disk", "db", "cache", "web"]


def test_a_circle_is_told_with_its_names() -> None:
    with pytest.raises(HostError) as raised:
        starting.order(["one"], DEPENDS.__getitem__)
    assert raised.value.lines()[0] == (
        "jailssh: system one: cannot be started before itself: one depends on two and two depends on one"
    )


def test_addresses_are_one_of_each_kind() -> None:
    text = b"network = veth\naddress = 10.0.0.2, fd00::2\n"
    assert settings.parse("web", text, "f").address == ("10.0.0.2", "fd00::2")
    for wrong in ("10.0.0.2 10.0.0.3", "10.0.0.2/24", "::", "224.0.0.1", "fe80::1%eth0"):
        with pytest.raises(ConfigError, match="address: "):
            settings.parse("web", f"network = veth\naddress = {wrong}\n".encode(), "f")


def test_nothing_depends_on_itself() -> None:
    with pytest.raises(ConfigError, match="depends: 'web' is no name of another system"):
        settings.parse("web", b"depends = db web\n", "f")


def test_settings_in_words() -> None:
    assert changing.parse(["memory=1G", "depends=a,b", "hostname="]) == {
        "memory": "1G", "depends": "a b", "hostname": None,
    }  # fmt: skip
    for wrong in (["memory"], ["color=red"], ["cpu=1", "cpu=2"]):
        with pytest.raises(UsageError):
            changing.parse(wrong)
    assert {row.name for row in ROWS} > changing.AT_ONCE


@pytest.mark.parametrize("others", [True, False])
def test_who_starts_what_it_depends_on_may_be_another(monkeypatch: pytest.MonkeyPatch, others: bool) -> None:
    held = iter([None, object() if others else None])
    asked: list[str] = []

    def start(_layout: Layout, system: settings.System) -> str:
        asked.append(system.name)
        if system.name == "db":
            raise HostError("system db", "runs already")
        return "started"

    monkeypatch.setattr(starting, "depends_of", lambda _, name: ("db",) if name == "web" else ())
    monkeypatch.setattr(settings, "read", lambda _, name: settings.parse(name, b"", ""))
    monkeypatch.setattr(running, "held", lambda _, __: next(held))
    monkeypatch.setattr(starting, "_start", start)
    with nullcontext() if others else pytest.raises(HostError, match="system db"):
        starting.start(Layout(), "web")
    assert asked == (["db", "web"] if others else ["db"])


@pytest.mark.parametrize(("started", "text"), [("host", b""), ("none", b"network = host\n"), ("", b"network = host\n")])
def test_a_command_has_the_network_that_its_system_was_started_with(
    monkeypatch: pytest.MonkeyPatch, started: str, text: bytes
) -> None:
    """On the host's its abstract sockets are kept from it, whatever the file says by now."""
    monkeypatch.setattr(running, "filter_for_system", lambda **_: ("x86_64", b""))
    now = Kept(name="web", id=1, kind=Kind.SYSTEM, pid=2, start=3, boot="", inode=4, since=5,
               facts={"network": started} if started else {})  # fmt: skip
    root = running.User(name="root", uid=0, gid=0, home="/", login_shell="/bin/sh", groups=())
    system = settings.parse("web", text, "f")
    plan = running.joined(Layout(), system, now, root, ["/bin/true"], {}, terminal=False, folder="/")
    assert [record.args for record in plan.records if record.verb == "net"] == [
        ("host" if started == "host" else "loopback",)
    ]


@pytest.mark.parametrize(
    ("name", "inside", "stopped"),
    [("two", True, ["two"]), ("two", False, ["one", "two"]), ("disk", True, ["web", "db", "cache", "disk"]),
     ("disk", False, ["web"])],
)  # fmt: skip
def test_what_stops_a_unit_waits_for_no_circle_and_leaves_none_unasked(
    monkeypatch: pytest.MonkeyPatch, name: str, inside: bool, stopped: list[str]
) -> None:
    """Each unit of a circle waits for the next; what is still there when ExecStop= ends is killed."""
    asked: list[str] = []

    def stop(_layout: Layout, each: str) -> bool:
        asked.append(each)
        if each == "web":
            raise HostError("system web", "cannot be stopped")
        return True

    monkeypatch.setattr(create, "names", lambda _: sorted(DEPENDS))
    monkeypatch.setattr(running, "held", lambda _, __: object())
    monkeypatch.setattr(starting, "_settings", lambda _, each: settings.parse(
        each, f"depends = {' '.join(DEPENDS[each])}\n".encode() if DEPENDS[each] else b"", ""))  # fmt: skip
    monkeypatch.setattr(units, "is_inside", lambda each: inside and each == name)
    monkeypatch.setattr(units, "tell", lambda _: None)
    monkeypatch.setattr(starting, "_stop", stop)
    with pytest.raises(HostError, match="system web") if "web" in stopped else nullcontext():
        starting.stop(Layout(), name)
    assert sorted(asked) == sorted(stopped)
    assert asked[-1] == stopped[-1]
