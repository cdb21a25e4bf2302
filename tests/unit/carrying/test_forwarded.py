"""What `forward = inside` set on a host stays there: the group and the day of expiry that go with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.carrying import archive, collect
from jailssh.carrying.archive import Archive, CarriedAccount
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.services.sshd import FORWARD_GROUP

ENTRY = accounts.AccountEntry(
    "alice",
    1001,
    1001,
    group="alice",
    home="/home/alice",
    shell="/bin/sh",
    gecos="",
    groups=(("alice", 1001), ("jailssh", 990), (FORWARD_GROUP, 991), ("staff", 50)),
)
DAYS = [(None, None), (accounts.GATED, None), (1, 1), (20000, 20000)]


@pytest.mark.parametrize(("day", "carried"), [*DAYS, (0, 1)])
def test_export_leaves_it_out(tmp_path: Path, day: int | None, carried: int | None) -> None:
    host = collect._Host(secrets=False)
    host.passwords = {"alice": ("*", accounts.PasswordAges(False, None, None, None, day))}
    found = collect._account(Layout(root=str(tmp_path)), ENTRY, ("sftp-only",), host, [])
    assert (found.groups, found.expires) == (("staff",), carried)


@pytest.mark.parametrize(("day", "brought"), DAYS)
def test_import_leaves_it_out_of_what_an_older_version_wrote(day: int | None, brought: int | None) -> None:
    plain = CarriedAccount("alice", 1001, 1001, group="alice", home="/home/alice", groups=("staff",), expires=brought)
    carried = replace(plain, groups=(FORWARD_GROUP, "jailssh", "staff"), expires=day)
    data = archive.write(Archive(accounts={"alice": carried}, groups={FORWARD_GROUP: 991, "staff": 50}))
    assert collect.without_doors(archive.read(data, "a.txt")).accounts == {"alice": plain}
