"""A bundle says what the tree said, each host gets its own part, and a tree with a mistake makes none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedFile
from jailssh.core.errors import JailsshError
from jailssh.fleet import bundle, tree

FLEET = "hosts = web1 web2 db1.example.org\n[groups]\nb = web1 web2\na = web1\n"
TREE = {
    "fleet.conf": FLEET,
    "all/jails/x.conf": "plugins = sftp\n",
    "all/readme": "all\n",
    "groups/a/readme": "a\n",
    "groups/b/readme": "b\n",
    "hosts/db1.example.org/users/olaf.conf": "uid = 7001\njail = x\n",
    "hosts/db1.example.org/accounts/olaf.conf": "# ours\n\nhome = /home/olaf\nuid = 7001\ngid = 7001\ngroup = olaf\n",
}


def files(**more: str) -> dict[str, CarriedFile]:
    return {path: CarriedFile(0o644, text) for path, text in (TREE | more).items()}


def test_it_comes_back_and_each_host_gets_its_part() -> None:
    body = bundle.written(bundle.made(7, files()))
    found = bundle.read(body, "b")
    assert found == bundle.made(7, files()) and bundle.written(found) == body
    texts = {host: {path: each.text for path, each in found.part(host).items()} for host in found.fleet.hosts}
    jail = {"jails/x.conf": "plugins = sftp\n"}
    # The group that fleet.conf has last goes before the others.
    assert texts["web1"] == jail | {"readme": "a\n"} and texts["web2"] == jail | {"readme": "b\n"}
    assert texts["db1.example.org"].keys() == {"jails/x.conf", "readme", "users/olaf.conf", "accounts/olaf.conf"}
    assert found.part("db1") == found.part("WEB1") == {}
    assert bundle.account_of("all/accounts/olaf.conf", TREE["hosts/db1.example.org/accounts/olaf.conf"]).uid == 7001


def test_when_it_was_signed_is_said_and_is_no_part_of_the_description() -> None:
    one, other, none = (bundle.made(7, files(), when) for when in (1_700_000_000, 1_800_000_000, 0))
    assert bundle.read(bundle.written(one), "b") == one != other
    assert bundle.read(bundle.written(none), "b").time == 0
    assert bundle.description_digest(one) == bundle.description_digest(other) == bundle.description_digest(none)
    assert bundle.description_digest(bundle.made(8, files())) != bundle.description_digest(none)


ROWS = {
    "no hosts": ({"fleet.conf": "[groups]\na = web1\n"}, "names no hosts"),
    "a group's host": ({"fleet.conf": FLEET + "c = web9\n"}, "host web9 of group c is not among hosts"),
    "a word": ({"fleet.conf": "host = web1\n"}, "'host' is not understood"),
    "a host's name": ({"fleet.conf": "hosts = web1 ../x\n"}, "is not a host name"),
    "a place": ({"al/readme": ""}, "is in none of all"),
    "a host": ({"hosts/web9/readme": ""}, "fleet.conf does not name web9"),
    "a file for a group": ({"groups/a": ""}, "fleet.conf does not name a"),
    "a directory that is a file": ({"all": ""}, "is in none of all"),
    "signers": ({"all/signers": ""}, "is each host's own"),
    "in the place of a command": ({"all/pull.conf/x": ""}, "is each host's own"),
    "a command": ({"groups/a/pull.conf": ""}, "is each host's own"),
    "an account": ({"all/accounts/olaf.conf": "uid = 7001\n"}, "missing or not understood"),
    "a field": (
        {"all/accounts/o.conf": "uid = 7001\ngid = 7001\ngroup = o\nhome = /home/o\nshell = /bin/sh\n"},
        "is not written as an archive has it: shell = /bin/sh",
    ),
    "a password": (
        {"all/accounts/o.conf": f"uid = 7001\ngid = 7001\ngroup = o\nhome = /home/o\npassword = $6$a${'x' * 86}\n"},
        "has a password",
    ),
    "an account's file": ({"all/users/olaf.conf": "jail = x\n"}, "required setting 'uid' is missing"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_mistake_makes_none(name: str) -> None:
    more, said = ROWS[name]
    with pytest.raises(JailsshError) as caught:
        bundle.made(1, files(**more))
    assert said in "\n".join(caught.value.lines())


def test_what_is_none_is_refused() -> None:
    for data, said in (
        (archive.write(Archive()), "is an archive and no bundle"),
        (archive.write(Archive({"serial": CarriedFile(0o644, "serial = 007\n")})), "is an archive and no bundle"),
        (archive.write(Archive({"serial": CarriedFile(0o644, "serial = 7\n")})), "fleet.conf: is missing"),
    ):
        with pytest.raises(JailsshError, match=said):
            bundle.read(data, "b")
    with pytest.raises(JailsshError, match="would take everything away"):
        bundle.made(1, {"fleet.conf": CarriedFile(0o644, FLEET)})
    with pytest.raises(JailsshError, match="is not between"):
        bundle.made(1 << 60, files())
    signed = b"x\n-----BEGIN SSH SIGNATURE-----\nAAAA\n"
    assert bundle.split(b"|-----BEGIN SSH SIGNATURE-----\n" + signed, "b") == (
        b"|-----BEGIN SSH SIGNATURE-----\nx\n", signed[2:],
    )  # fmt: skip


def test_a_tree_is_read_without_its_links_and_modes_and_notes(tmp_path: Path) -> None:
    for path, text in TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for path in (".git/config", "README.md", "all/old~", "all/.swp"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("no part\n")
    (tmp_path / "all/readme").chmod(0o600)
    assert tree.files_of(str(tmp_path)) == files()
    os.symlink("/etc/passwd", tmp_path / "all/link")
    os.mkfifo(tmp_path / "all/pipe")
    (tmp_path / "all/binary").write_bytes(b"\xff\x00")
    with pytest.raises(JailsshError) as caught:
        tree.files_of(str(tmp_path))
    said = "\n".join(caught.value.lines())
    assert "link: cannot be in a bundle" in said and "pipe: cannot" in said and "binary: cannot be in a bundle" in said
