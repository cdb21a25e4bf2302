"""Public keys in the forms that people have them: taken as what they are, or told how to get what can be taken."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from jailssh.cli.adduser import read_key_file
from jailssh.config.key_formats import as_openssh
from jailssh.config.keys import Key
from jailssh.core.errors import UsageError

PPK = b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 2\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "k"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "alice at home", "-f", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


def exported(pair: Path, form: str) -> bytes:
    command = ["ssh-keygen", "-e", "-m", form, "-f", f"{pair}.pub"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def read(tmp_path: Path, data: bytes) -> list[Key]:
    path = tmp_path / "given"
    path.write_bytes(data)
    return read_key_file(str(path), f"--key {path}")


def own(pair: Path) -> str:
    return Path(f"{pair}.pub").read_text().split()[1]


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"], ids=["unix", "dos"])
def test_rfc_4716_is_taken(pair: Path, tmp_path: Path, newline: bytes) -> None:
    data = exported(pair, "RFC4716").replace(b"\n", newline)
    (key,) = read(tmp_path, data)
    assert (key.kind, key.blob) == ("ssh-rsa", own(pair))
    assert "converted by" in key.comment  # as ssh-keygen writes it
    assert len(read(tmp_path, data + exported(pair, "RFC4716"))) == 1  # the same twice


@pytest.mark.needs("ssh")
def test_headers_that_go_on_in_the_next_line(pair: Path, tmp_path: Path) -> None:
    lines = exported(pair, "RFC4716").splitlines()
    head = [lines[0], b'Comment: "one\\', b'two"', b"Subject: alice", b"x-private: a:b"]
    body = [line for line in lines[1:] if b":" not in line]
    (key,) = read(tmp_path, b"\n".join([*head, *body, b""]))
    assert (key.blob, key.comment) == (own(pair), "onetwo")


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_text_as_windows_writes_it(pair: Path, tmp_path: Path, encoding: str) -> None:
    (key,) = read(tmp_path, Path(f"{pair}.pub").read_text().encode(encoding))
    assert key.blob == own(pair)


@pytest.mark.needs("ssh")
def test_a_key_itself_and_standard_input(pair: Path) -> None:
    text = Path(f"{pair}.pub").read_text()
    assert read_key_file(text.strip(), "--key")[0].blob == own(pair)
    script = "from jailssh.cli.adduser import read_key_file; print(read_key_file('-', '--key -')[0].blob)"
    done = subprocess.run([sys.executable, "-c", script], input=text, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == own(pair), done.stderr


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("form", ["PKCS8", "PEM"])
def test_forms_that_are_told_how_to_convert(pair: Path, tmp_path: Path, form: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, exported(pair, form))
    path = tmp_path / "given"
    command = (caught.value.hint or "").removeprefix("convert it: ").replace("FILE", str(path))
    done = subprocess.run(command.split(), capture_output=True, check=True, timeout=60)
    assert read(tmp_path, done.stdout)[0].blob == own(pair)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (PPK, "is a PuTTY private key"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "is a private key"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "is an OpenPGP key"),
        (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", "damaged RFC 4716"),
        (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAA=A\n---- END SSH2 PUBLIC KEY ----\n", "damaged"),
        (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAC3NzaC1lZDI1NTE5\n---- END SSH2 PUBLIC KEY ----\n", "damaged"),
        (b"\xff\xfex", "UTF-16"),
        (b"", "does not contain a public key"),
    ],
)
def test_what_is_no_key_is_named(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read(tmp_path, data)


def test_random_text_ends_in_words() -> None:
    base = b'---- BEGIN SSH2 PUBLIC KEY ----\nComment: "a\\\nb"\nAAAAB3NzaC1yc2E=\n---- END SSH2 PUBLIC KEY ----\n'
    for at in range(len(base)):
        for byte in (b"", b"\n", b"\\", b":", b"\xff", b"=" * 70000):
            try:
                as_openssh(base[:at] + byte + base[at + 1 :], "x")
            except UsageError as error:
                assert error.what == "x"


@pytest.mark.parametrize(
    "repeated",
    [b"\n", b"a:b\\\n", b"a:b\n", b"A", b"---- BEGIN SSH2 PUBLIC KEY ----\n", b" ", b"\\"],
    ids=["lines", "headers that go on", "headers", "text", "begins", "blanks", "backslashes"],
)
def test_a_hostile_file_does_not_take_for_ever(repeated: bytes) -> None:
    data = b"---- BEGIN SSH2 PUBLIC KEY ----\n" + repeated * (200_000 // len(repeated))
    began = time.process_time()
    with pytest.raises(UsageError, match="damaged"):
        as_openssh(data, "x")
    assert time.process_time() - began < 5
