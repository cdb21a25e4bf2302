"""Ports that sshd forwards without a session: how they may be written, and what stands for them."""

from __future__ import annotations

import pytest

from jailssh.core.ports import GROUP_PREFIX, MOST, Ports, groups_among, of_answer


def test_one_place_has_one_spelling() -> None:
    ports = Ports.of(
        ["DB.example.org:5432", "[2001:DB8:0::5]:22", "*:22", "10.0.0.1:*", "[10.0.0.1]:7"], ["8022", "[::1]:9000"]
    )
    assert ports.open == ("*:22", "10.0.0.1:*", "10.0.0.1:7", "[2001:db8::5]:22", "db.example.org:5432")
    assert ports.listen == ("[::1]:9000", "localhost:8022")


NO_PLACES = (
    "*:*", "h", "h:", "h:0", "h:022", "h:65536", ":22", "::1:22", "[::1]", "[h]:22", "h?:22", "h*:22", "!h:22",
    "h i:22", "-h:22", "h..i:22", "any", "none", "h:ssh", "127.1:22", "0x7f000001:22", "0x7f.1:22", "010.0.0.1:22",
    "2130706433:22", "ä:22", "h:22\n",
)  # fmt: skip


@pytest.mark.parametrize("word", NO_PLACES)
def test_what_is_no_place_to_connect_to(word: str) -> None:
    with pytest.raises(ValueError, match=r"is not|neither|every port"):
        Ports.of([word], [])


@pytest.mark.parametrize(
    "word", ["80", "0", "localhost:80", "*:8022", "host:8022", "70000", "localhost:70000", "any", "[h]:8022"]
)
def test_what_is_no_place_to_listen_at(word: str) -> None:
    with pytest.raises(ValueError, match=r"is not|root alone|neither"):
        Ports.of([], [word])


def test_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        Ports.of([f"h:{port}" for port in range(1, MOST + 2)], [])


def test_a_group_stands_for_one_list_alone() -> None:
    one = Ports.of(["h:1", "h:2"], [])
    assert one.group == Ports.of(["h:2", "h:1", "h:1"], []).group
    others = [Ports.of(["h:1"], []), Ports.of([], ["8022"]), Ports.of(["h:1", "h:2"], ["8022"]), Ports.of(["h:12"], [])]
    assert len({one.group, *(each.group for each in others)}) == 5
    assert one.group.startswith(GROUP_PREFIX)
    assert len(one.group) <= 32
    assert groups_among(["staff", one.group]) == [one.group]


@pytest.mark.parametrize(
    ("opened", "listened", "way", "gateway"),
    [(["h:1"], [], "local", "no"), ([], ["8022"], "remote", "no"), (["h:1"], ["127.0.0.1:8022"], "yes", "no"),
     (["h:1"], ["0.0.0.0:8022"], "yes", "clientspecified"), ([], ["[2001:db8::1]:8022"], "remote", "clientspecified")],
)  # fmt: skip
def test_what_sshd_has_to_say(opened: list[str], listened: list[str], way: str, gateway: str) -> None:
    ports = Ports.of(opened, listened)
    settings = ports.settings()
    assert (settings["allowtcpforwarding"], settings["gatewayports"], settings["maxsessions"]) == (way, gateway, "0")
    assert of_answer({name: [value] for name, value in settings.items()}) == ports
    # What an administrator writes in its place, or what sshd says without any.
    assert of_answer({}).group != ports.group
    assert (
        of_answer({**{name: [value] for name, value in settings.items()}, "permitopen": ["any"]}).group != ports.group
    )
