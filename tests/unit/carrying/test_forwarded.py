"""What `forward = inside` set on this host stays here: the group and the day of expiry that go with it."""

import pytest

from jailssh.carrying import collect
from jailssh.host import accounts
from jailssh.services.sshd import FORWARD_GROUP


def test_the_group_that_opens_forwarding_is_not_carried() -> None:
    entry = accounts.AccountEntry(
        "alice",
        1001,
        1001,
        group="alice",
        home="/home/alice",
        shell="/bin/sh",
        gecos="",
        groups=(("alice", 1001), ("jailssh", 990), (FORWARD_GROUP, 991), ("staff", 50)),
    )
    assert collect._groups(entry) == ("staff",)


@pytest.mark.parametrize(("day", "carried"), [(None, None), (accounts.GATED, None), (0, 1), (1, 1), (20000, 20000)])
def test_the_day_of_forwarding_is_not_carried_as_an_expiry(day: int | None, carried: int | None) -> None:
    assert collect._day(day) == carried
