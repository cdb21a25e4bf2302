from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.plan.compile import Access
from jailssh.plan.limits import allows_address
from jailssh.selftest import servers
from jailssh.selftest.report import CannotTryError

LAYOUT = Layout()
ALICE = AccountEntry("alice", 1000, 1000, group="alice", home="/home/alice", shell=LAYOUT.login_program, gecos="",
                     groups=(("alice", 1000),))  # fmt: skip
RIGHT = {"pubkeyauthentication": ["yes"], "authenticationmethods": ["any"], "usepam": ["yes"],
         "authorizedkeysfile": [f"{LAYOUT.keys}/%u"]}  # fmt: skip


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(install, "read_optional", lambda path: b"ssh-ed25519 AAAAkey comment\n")
    return "/etc/ssh/key"


def test_where_it_listens(key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        values = {"hostkey": [key], "listenaddress": [f"0.0.0.0:{port}", f"[::]:{port}", f"127.0.0.1:{port}"]}
        found = servers.places(values)
    assert [(place.address, place.port) for place in found] == [("127.0.0.1", port)]
    assert found[0].host_keys == {"AAAAkey"}
    assert servers.sources(found) == ["127.0.0.1", "::1"]


def test_nothing_listens(key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with pytest.raises(CannotTryError, match=f"does not run: nothing listens at 127.0.0.1 port {port}") as raised:
        servers.places({"hostkey": [key], "listenaddress": [f"0.0.0.0:{port}"]})
    assert raised.value.exit_code == 2


def test_no_host_key_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(CannotTryError, match="none of its host keys can be read"):
        servers.places({"hostkey": [str(tmp_path / "none")], "listenaddress": ["0.0.0.0:22"]})


@pytest.mark.parametrize(
    ("values", "shadow", "why"),
    [
        ({}, "alice:*:1:0:99999:7:::", ""),
        ({"pubkeyauthentication": ["no"]}, "", "PubkeyAuthentication is off"),
        ({"authenticationmethods": ["publickey,password"]}, "", "AuthenticationMethods is publickey,password"),
        ({"authorizedkeysfile": [".ssh/authorized_keys"]}, "", "AuthorizedKeysFile is .ssh/authorized_keys, expected"),
        ({}, "alice:*:1:0:99999:7::10:", "account has expired"),
        ({}, "alice:*:1:0:99999:7::99999:", ""),
        ({}, "alice:*:0:0:99999:7:::", "password has expired and must be changed"),
        ({}, "alice:!:1:0:99999:7:::", ""),
        ({"usepam": ["no"]}, "alice:!:1:0:99999:7:::", "account is locked"),
    ],
)
def test_why_an_account_cannot_log_in(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, list[str]], shadow: str, why: str
) -> None:
    monkeypatch.setattr(accounts, "_rows", lambda _: [shadow.split(":")] if shadow else [])
    monkeypatch.setattr(servers, "_NOLOGIN", ())
    found = "; ".join(servers.why_not(LAYOUT, ALICE, {**RIGHT, **values}))
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_a_host_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nologin").touch()
    monkeypatch.setattr(servers, "_NOLOGIN", (str(tmp_path / "nologin"),))
    monkeypatch.setattr(accounts, "_rows", lambda _: [])
    (found,) = servers.why_not(LAYOUT, ALICE, RIGHT)
    assert found.endswith("nologin exists, so PAM refuses all logins but root's")


@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [((), True), (("192.0.2.0/24",), False), (("127.0.0.0/8",), True), (("::1/128", "127.0.0.1/32"), True)],
)
def test_addresses_that_a_jail_allows(addresses: tuple[str, ...], allowed: bool) -> None:
    assert allows_address(Access(addresses=addresses), "127.0.0.1") is allowed
