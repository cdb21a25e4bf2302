"""The archive of ``jailssh export``: what it says comes back, the same bytes each time, and nothing else is read."""

from __future__ import annotations

import hashlib
import io
import random
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile, Origin
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape

ALICE = CarriedAccount(
    "alice", 7001, 7001, group="alice", home="/home/alice", groups=("press", "web"), gecos="Alice Ä,,,",
    shell_before="/bin/bash", expires=47117, jails=("sftp-only",), password="$6$salt$" + "x" * 86,
    subuids=((100000, 65536),), subgids=((100000, 65536), (300000, 1)), locked=True, origin=Origin.DIRECTORY,
)  # fmt: skip
BOB = CarriedAccount("bob", 7002, 100, group="users", home="/srv/b o b")
FILES = {
    "jails/own.conf": CarriedFile(0o644, "plugins = sftp\n\n# === file jails/x mode=0644 sha256=0\n|\n=== end\n"),
    "empty": CarriedFile(0o600, ""),
    "keys/alice": CarriedFile(0o644, "ssh-ed25519 AAAA a\r\nno end"),
    "lines": CarriedFile(0o640, "\n\n"),
    "users/alice.conf": CarriedFile(0o644, "uid = 7001\njail = sftp-only\n"),
}
WHOLE = Archive(FILES, {"press": 7100, "web": 33}, {"alice": ALICE, "bob": BOB}, secrets=True)
EMPTY = hashlib.sha256(b"").hexdigest()


def sealed(*lines: str, secrets: str = "no") -> bytes:
    """Return an archive with these lines that has the digest which belongs to them."""
    body = "".join(f"{line}\n" for line in (f"{archive.MAGIC} {archive.VERSION}", *lines))
    return f"{body}=== end secrets={secrets} sha256={hashlib.sha256(body.encode()).hexdigest()}\n".encode()


def section(head: str, text: str, attributes: str = "") -> list[str]:
    """Return a section whose digest is right, whatever it says."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return [f"=== {head} {attributes}sha256={digest}", *(f"|{line}" for line in text.split("\n")[:-1])]


def account(text: str, name: str = "alice", **more: str) -> list[str]:
    """Return the section of an account with a line in the place of another one, or beside them."""
    lines = {"uid": "7001", "gid": "7001", "group": name, "home": f"/home/{name}", **more}
    found = "".join(f"{key} = {value}\n" for key, value in lines.items())
    return section(f"account {name}", found + text)


def refused(data: bytes) -> str:
    with pytest.raises(JailsshError) as caught:
        archive.read(data, "a.txt")
    return "\n".join(caught.value.lines())


def test_what_is_written_comes_back() -> None:
    data = archive.write(WHOLE)
    assert archive.read(data, "a.txt") == WHOLE
    shuffled = Archive(dict(reversed(FILES.items())), {"web": 33, "press": 7100}, {"bob": BOB, "alice": ALICE}, True)
    assert archive.write(shuffled) == data
    assert archive.read(archive.write(Archive()), "a.txt") == Archive()
    assert sealed() == archive.write(Archive())


def test_names_of_directories_and_high_ids_come_back() -> None:
    ada = replace(ALICE, name="ada$", group="domain users", subuids=((2147483648, 65536),), subgids=())
    files = {
        path: CarriedFile(0o644, "x\n") for path in ("keys/ada$", f"keys.d/ada$/{'k' * 200}.pub", "users/ada$.conf")
    }
    given = Archive(files, {}, {"ada$": ada}, secrets=True)
    assert archive.why_not_carried(ada) == ""
    assert archive.read(archive.write(given), "a.txt") == given


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"home": "/"}, "home is not a home directory"),
        ({"home": "/srv/./alice"}, "home is not a home directory"),
        ({"gid": 0}, "uid or gid is not between 1 and 2147483647"),
        ({"shell_before": "bash"}, "shell-before is not a path"),
        ({"groups": ("domain users",)}, "it would be another one in the archive"),
    ],
)
def test_what_could_not_be_read_again_is_known_before(odd: dict[str, Any], said: str) -> None:
    odd_one = replace(ALICE, **odd)
    assert archive.why_not_carried(ALICE) == ""
    assert archive.why_not_carried(odd_one) == said
    with pytest.raises((JailsshError, AssertionError)):
        assert (
            archive.read(archive.write(Archive({}, {}, {"alice": odd_one}, secrets=True)), "a.txt").accounts["alice"]
            == odd_one
        )


def test_it_is_text_in_which_content_is_no_head() -> None:
    text = archive.write(WHOLE).decode()
    assert "|# === file jails/x" in text and "\n|=== end\n" in text and "|gecos = Alice Ä,,,\n" in text
    assert len(re.findall(r"^=== ", text, re.MULTILINE)) == len(FILES) + 2 + 2 + 1


def test_one_that_is_cut_anywhere_is_refused() -> None:
    data = archive.write(WHOLE)
    for size in range(len(data)):
        assert refused(data[:size])
    assert "it is cut off or damaged" in refused(data[:-1])
    for more in (b"\n", b"x", data):
        assert refused(data + more)


def test_one_with_a_byte_changed_is_refused() -> None:
    data = bytearray(archive.write(WHOLE))
    chance = random.Random(1)
    for at in chance.sample(range(len(data)), 300):
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        assert refused(bytes(changed))
    changed = bytearray(data)
    changed[40] ^= 1
    assert "does not have its digest: it was changed or damaged" in refused(bytes(changed))


def tar(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as stream:
        info = tarfile.TarInfo("jails/own.conf")
        change(info)
        stream.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not an archive of jailssh"),
        (b"\x1f\x8b\x08\0gzip", "is not an archive of jailssh"),
        (tar(lambda info: setattr(info, "name", "../../etc/passwd")), "is not an archive of jailssh"),
        (b"jailssh-archive 2\nwhat comes one day\n", "has the format of another version: jailssh-archive 2"),
        (b"jailssh-archive 1\r\n", "another version"),
        (b"jailssh-archive 1\n\xff\n", "is not UTF-8"),
        (b"jailssh-archive 1\n", "does not have its last line"),
        (b"jailssh-archive 1\n" + b"|" * (archive.MAX_ARCHIVE), "is larger than"),
    ],
    ids=["empty", "gzip", "tar", "version", "crlf", "bytes", "cut", "large"],
)  # fmt: skip
def test_what_is_no_archive_is_refused(data: bytes, said: str) -> None:
    assert said in refused(data)


@pytest.mark.parametrize(
    "path",
    ["../passwd", "jails/../../passwd", "/etc/passwd", "jails//a", "jails/", "./a", "a/.b", ".hidden", "a\\b",
     "a/" * 8 + "a", "a" * 256, "-rf", "~", "a~", "ä", "a:b"],
)  # fmt: skip
def test_a_path_that_is_no_plain_one_below_etc_jailssh_is_refused(path: str) -> None:
    said = refused(sealed(f"=== file {path} mode=0644 sha256={EMPTY}"))
    assert "plain path below" in said or "components" in said


@pytest.mark.parametrize(
    "head",
    ["symlink a mode=0777", "link a", "device a mode=0600", "fifo a", "dir a mode=0755", "file a", "file a mode=644",
     "file a mode=0644 uid=1000", "file a mode=0644 target=/etc/shadow", "file a b mode=0644", "account a mode=0644",
     "account a unended", "group a mode=0644", "file  a mode=0644", "FILE a mode=0644"],
)  # fmt: skip
def test_there_is_no_link_no_device_and_no_owner(head: str) -> None:
    assert "is not the head of a section" in refused(sealed(f"=== {head} sha256={EMPTY}"))


@pytest.mark.parametrize("mode", ["0666", "0755", "0646", "0444", "0000", "0620", "0700"])
def test_a_mode_by_which_others_write_or_root_does_not_is_refused(mode: str) -> None:
    assert f"has mode {mode}" in refused(sealed(f"=== file a mode={mode} sha256={EMPTY}"))


def test_a_name_stands_once_and_in_its_place() -> None:
    one, two = (section(f"file {name}", "x\n", "mode=0644 ") for name in ("a", "b"))
    assert "file a is named twice" in refused(sealed(*one, *one))
    assert "file a is not in its place" in refused(sealed(*two, *one))
    assert "file a is not in its place" in refused(sealed(*account(""), *one))
    assert "account alice is named twice" in refused(sealed(*account(""), *account("", uid="7002")))


def test_a_section_has_its_digest_and_is_text() -> None:
    assert "file a does not have its digest" in refused(sealed(f"=== file a mode=0644 sha256={EMPTY}", "|x"))
    for text in ("\x1b[2J\n", "a\0b\n", "a\rb\n", "\u202e\n", "\x9b\n"):
        assert "a character that is no text" in refused(sealed(*section("file a", text, "mode=0644 "))), text
    large = "x" * archive.MAX_FILE + "\n"
    assert "is larger than" in refused(sealed(*section("file a", large, "mode=0644 ")))
    assert "is not the head of a section" in refused(sealed("|x"))


def test_what_is_shown_in_other_characters_is_no_text() -> None:
    for char in map(chr, (*range(0xD800), *range(0xE000, 0x10000))):
        assert bool(archive.why_no_text(f"a{char}b")) == (escape(char) != char and char not in "\t\n"), hex(ord(char))


def test_all_mistakes_are_told_at_once() -> None:
    said = refused(sealed(f"=== file ../a mode=0644 sha256={EMPTY}", f"=== file b mode=0666 sha256={EMPTY}"))
    assert "../a" in said and "has mode 0666" in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (account("", uid="0"), "uid or gid is not between"),
        (account("", gid="0"), "uid or gid is not between"),
        (account("", uid="4294967295"), "uid or gid is not between"),
        (account("", uid="-1"), "not understood"),
        (account("", uid="07001"), "not understood"),
        (account("", uid="٧"), "not understood"),
        (account("", uid="7" * 5000), "not understood"),
        (account("", home="/"), "home is not a home directory"),
        (account("", home="/home/../etc"), "home is not a home directory"),
        (account("", home="home"), "home is not a home directory"),
        (account("", home="/home/a:b"), "home is not a home directory"),
        (account("", group="root:x"), "a.txt:2: group name 'root:x'"),
        (account("", group="100"), "group name '100'"),
        (account("gecos = a:b\n"), "gecos"),
        (account("shell-before = bash\n"), "shell-before is not a path"),
        (account("expires = 0\n"), "expires"),
        (account("expires = 99999999999\n"), "not understood"),
        (account("expires = 4294967296\n"), "expires"),
        (account("locked = no\n"), "is not written as an archive has it"),
        (account("origin = mars\n"), "not understood"),
        (account("origin = local\n"), "is not written as an archive has it"),
        (account("jails = ../x\n"), "'../x'"),
        (account("jails = b a\n"), "is not written as an archive has it"),
        (account("subuids = 1:2:3\n"), "not understood"),
        (account("subuids = 4294967000:65536\n"), "subordinate ids"),
        (account("sudo = yes\n"), "is not written as an archive has it"),
        (account("uid = 7002\n"), "not understood"),
        (account("no equals\n"), "not understood"),
        (account("password = $6$salt$hash\n"), "has no secrets"),
        (section("account alice", "uid = 7001\n"), "missing or not understood"),
        (account("", name="-alice"), "-alice"),
        (account("", name="root:x"), "root:x"),
        (section("group web", "gid = 0\n"), "is not the gid"),
        (section("group web", "gid = 33\nmembers = alice\n"), "is not the gid"),
        (section("group -x", "gid = 33\n"), "-x"),
    ],
)  # fmt: skip
def test_an_account_is_one_of_passwd_and_shadow(lines: list[str], said: str) -> None:
    assert said in refused(sealed(*lines))


@pytest.mark.parametrize("password", ["secret", "*", "!", "$6$salt$x:0:0", "$6$"])
def test_a_password_is_a_hash_that_fits_something(password: str) -> None:
    assert "password" in refused(sealed(*account(f"password = {password}\n"), secrets="yes"))


def test_a_mutated_archive_is_refused_or_says_what_it_is() -> None:
    """Whatever is changed under a digest that is made anew: what is accepted is written in the same way."""
    lines = archive.write(replace(WHOLE)).decode().split("\n")[1:-2]
    chance = random.Random(7)
    words = ["", "..", "/", "\x1b", "=== file", "|", " = ", "0", "-1", "uid = 0", "é", "\u2028", "9" * 30]
    accepted = 0
    for _ in range(3000):
        changed = list(lines)
        for _ in range(chance.randrange(1, 3)):
            at = chance.randrange(len(changed))
            match chance.randrange(4):
                case 0:
                    del changed[at]
                case 1:
                    changed.insert(at, chance.choice(changed))
                case 2:
                    changed[at] = changed[at].replace(chance.choice(changed[at] or " "), chance.choice(words), 1)
                case _:
                    changed.insert(at, f"|{chance.choice(words)}")
        data = sealed(*digested(changed), secrets="yes")
        try:
            found = archive.read(data, "a.txt")
        except JailsshError:
            continue
        accepted += 1
        assert archive.write(found) == data
    assert accepted > 50


def digested(lines: list[str]) -> list[str]:
    """Return the lines with the digest of each section that is right for what stands in it now."""
    found = list(lines)
    heads = [at for at, line in enumerate(found) if line.startswith("===")]
    for at, end in zip(heads, [*heads[1:], len(found)], strict=True):
        content = [line[1:] for line in found[at + 1 : end]]
        ending = "" if "unended" in found[at] or not content else "\n"
        digest = hashlib.sha256(("\n".join(content) + ending).encode()).hexdigest()
        found[at] = re.sub(r"sha256=\w*", f"sha256={digest}", found[at])
    return found
