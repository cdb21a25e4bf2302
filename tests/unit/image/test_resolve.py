"""What an image holds of languages and packages of this host."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.closure.errors import ImageError
from jailssh.closure.packages import installed
from jailssh.core.errors import JailsshError, parts
from jailssh.core.names import HostPath, JailPath
from jailssh.image.network import name_needs, network_needs
from jailssh.image.resolve import resolve
from jailssh.plugin.api import ImageNeeds


def paths(needs: ImageNeeds) -> set[str]:
    return {entry.path for entry in resolve([("test", needs)]).entries}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory outside /tmp, since a jail has its own /tmp."""
    old = os.umask(0o022)
    path = Path(tempfile.mkdtemp(dir="/srv" if os.geteuid() == 0 else "/var/tmp", prefix="jailssh-test-"))
    path.chmod(0o755)
    yield path
    os.umask(old)
    shutil.rmtree(path)


def test_git_alone_and_git_as_a_tool() -> None:
    bare, whole = paths(ImageNeeds(bare_programs=("git",))), paths(ImageNeeds(programs=("git",)))
    assert not [path for path in bare if "git-core" in path or path.startswith("/etc/ssl") or path.endswith("/sh")]
    assert {"/usr/bin/dash", "/etc/ssl/certs/ca-certificates.crt"} <= whole
    assert [path for path in whole if path.endswith("git-core/git-remote-https")]
    assert not [path for path in whole if path.startswith(("/usr/share/doc/", "/usr/share/man/", "/etc/ssl/private"))]


def test_a_program_that_two_need_brings_its_language_whoever_comes_first() -> None:
    needs = [("plugin", ImageNeeds(bare_programs=("git",))), ("user", ImageNeeds(programs=("git",)))]
    for order in (needs, needs[::-1]):
        assert [entry for entry in resolve(order).entries if entry.path.endswith("git-core/git-remote-https")]


def test_a_language_that_is_not_whole_is_an_error_with_the_cure(place: Path) -> None:
    shutil.copy("/usr/bin/true", place / "python3.99")
    with pytest.raises(JailsshError) as raised:
        resolve([("shell", ImageNeeds(programs=(f"{place}/python3.99",)))], trusted_root=HostPath(str(place)))
    first, second = parts(raised.value)
    assert "without which python does not work" in str(first)
    assert first.hint == "apt-get install libpython3.99-minimal, or leave the program out"
    assert second.hint == "apt-get install libpython3.99-stdlib, or leave the program out"


def test_an_odd_file_in_a_directory_is_data_and_one_named_itself_an_error(place: Path) -> None:
    (place / "folder").mkdir()
    odd = place / "folder/odd.so"
    odd.write_bytes(b"\x7fELF" + b"\xff" * 60)
    manifest = resolve([("tool", ImageNeeds(files=(f"{place}/folder",)))], trusted_root=HostPath(str(place)))
    assert manifest.get(JailPath(str(odd)))
    assert [note for note in manifest.notes if "odd.so" in note and note.endswith("it is taken as it is, as data")]
    with pytest.raises(ImageError, match=r"odd\.so"):
        resolve([("tool", ImageNeeds(files=(str(odd),)))], trusted_root=HostPath(str(place)))


def test_packages_by_name() -> None:
    name = next(one for one in ("bc", "nano", "sed", "grep") if one in installed().by_name)
    taken = paths(ImageNeeds(packages=(name,)))
    assert f"/usr/bin/{name}" in taken
    assert not [path for path in taken if path.startswith(("/usr/share/doc/", "/usr/share/man/"))]
    with pytest.raises(ImageError, match="package no-such: not installed") as raised:
        paths(ImageNeeds(packages=("no-such",)))
    assert raised.value.hint == "apt-get install no-such"


def test_a_damaged_library_among_modules_is_data_with_a_note(place: Path) -> None:
    prefix = place / "usr"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy("/usr/bin/true", prefix / "bin/lua5.9")
    folder = prefix / "share/lua/5.9"
    folder.mkdir(parents=True)
    (folder / "odd.so").write_bytes(b"\x7fELF" + b"\xff" * 60)
    manifest = resolve([("shell", ImageNeeds(programs=(f"{prefix}/bin/lua5.9",)))], trusted_root=HostPath(str(place)))
    assert manifest.get(JailPath(f"{folder}/odd.so"))
    assert [note for note in manifest.notes if "odd.so" in note and note.endswith("it is taken as it is, as data")]


def test_a_jail_with_the_host_s_network_finds_names_and_trusts_servers() -> None:
    ((origin, need),) = network_needs()
    manifest = resolve([(origin, need)])
    resolver = manifest.get(JailPath("/etc/resolv.conf"))
    assert resolver is not None
    assert resolver.text == Path("/etc/resolv.conf").read_text()
    assert manifest.get(JailPath("/etc/ssl/certs/ca-certificates.crt"))
    assert manifest.get(JailPath("/etc/hosts"))


@pytest.mark.parametrize(
    ("name", "line"),
    [("jail", "127.0.1.1 jail\n"), ("web.example.org", "127.0.1.1 web.example.org web\n"), ("localhost", "")],
)
def test_a_jails_own_host_name_is_in_its_hosts(name: str, line: str) -> None:
    shell = ("shell", ImageNeeds(data=("nss",)))
    manifest = resolve([*name_needs(name, (shell,)), shell])
    entry = manifest.get(JailPath("/etc/hosts"))
    assert entry is not None
    assert entry.text == f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{line}"


def test_a_hosts_file_of_the_administrators_is_left_alone() -> None:
    for own in (ImageNeeds(files=("/etc/hosts",)), ImageNeeds(texts=(("/etc/hosts", "192.0.2.1 web\n"),))):
        assert name_needs("jail", (("mine", own),)) == ()
