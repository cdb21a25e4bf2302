"""Maps of ids, and who a command is."""

from __future__ import annotations

import pytest

from jailssh.core.errors import UsageError
from jailssh.entering import ids
from jailssh.entering.capabilities import number_of


def test_map() -> None:
    assert ids.id_map("0 100000 5,5 200000 10", 0, "-M") == [(0, 100000, 5), (5, 200000, 10)]
    assert ids.id_map(None, 0, "-M") == [(0, 65534, 1)]
    assert ids.id_map(None, 1000, "-M") == [(0, 1000, 1)]


@pytest.mark.parametrize(
    "text",
    ["garbage", "", "0 1", "0 1 0", "0 1 -1", "0 4294967295 1", "0 1 5,3 100 5", "0 1 5,5 3 5", "0 1 2 3", "x y z",
     ",".join(f"{n} {n} 1" for n in range(341))],
)  # fmt: skip
def test_bad_map(text: str) -> None:
    with pytest.raises(UsageError):
        ids.id_map(text, 0, "-M")


@pytest.mark.parametrize("user", ["nosuchuser", "12abc", "-1", "4294967295", "99999999999999999999", "", "root x"])
def test_unknown_user_is_not_root(user: str) -> None:
    with pytest.raises(UsageError):
        ids.identity(user, None)


@pytest.mark.parametrize("group", ["nosuchgroup", "-1", "4294967295", "1x"])
def test_unknown_group_is_not_roots(group: str) -> None:
    with pytest.raises(UsageError):
        ids.identity(None, group)


def test_number_without_entry_needs_a_group() -> None:
    with pytest.raises(UsageError, match="no group"):
        ids.identity("54321", None)
    found = ids.identity("54321", "54322")
    assert (found.uid, found.gid) == (54321, 54322)


def test_capabilities() -> None:
    assert (number_of("net_bind_service"), number_of("CAP_SYS_ADMIN"), number_of("checkpoint_restore")) == (10, 21, 40)
    with pytest.raises(UsageError):
        number_of("everything")
