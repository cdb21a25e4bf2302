"""What a program needs, found as its loader would find it; and what is remembered of that."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jailssh.closure import elf_cache as module
from jailssh.closure.closure import Closure
from jailssh.closure.elf import Abi, Elf, read_elf
from jailssh.closure.elf_cache import ElfCache
from jailssh.closure.errors import ImageError
from jailssh.closure.loader import MUSL_RESERVED, read_cache, read_loader
from jailssh.closure.sources import Sources
from jailssh.core.names import HostPath

PROGRAM = Path(os.path.realpath("/bin/sh")).read_bytes()


def compiled(place: Path, target: Any, *args: Any, source: Any = "int main(void){return 0;}\n") -> Any:
    out = place / target
    out.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-x", "c", "-", "-x", "none", "-o", out, "-Wl,--no-as-needed", *args]
    subprocess.run(command, input=source.encode(), check=True, timeout=60)
    return out


def library(place: Path, target: Any, *args: Any) -> Any:
    soname = f"-Wl,-soname,{Path(target).name}"
    return compiled(place, target, "-shared", "-fPIC", soname, *args, source="int f(void){return 1;}\n")


def closure(place: Path, path: Any, **more: Any) -> Any:
    """Return the paths that a program's closure takes."""
    sources = Sources(HostPath(str(place)))
    taken = []

    def take(wanted: Any, origin: Any) -> Any:
        taken.append(wanted)
        return sources.find(wanted)

    Closure(sources, take, lambda note: None, **more).program(HostPath(str(path)), "test")
    return taken


@pytest.mark.needs("gcc")
def test_builds_for_newer_processors_come_along(place: Path) -> None:
    one = library(place, "lib/libone.so.1")
    newer = place / "lib/glibc-hwcaps/x86-64-v3/libone.so.1"
    newer.parent.mkdir(parents=True)
    shutil.copy(one, newer)
    program = compiled(place, "bin/prog", str(one), "-Wl,-rpath,$ORIGIN/../lib")
    assert {f"{place}/bin/../lib/libone.so.1", f"{place}/bin/../lib/glibc-hwcaps/x86-64-v3/libone.so.1"} <= set(
        closure(place, program)
    )
    one.unlink()
    assert f"{place}/bin/../lib/glibc-hwcaps/x86-64-v3/libone.so.1" in closure(place, program)


@pytest.mark.needs("gcc")
def test_a_library_that_is_loaded_already_is_not_looked_for_again(place: Path) -> None:
    inner = library(place, "private/libinner.so.1")
    outer = library(place, "private/libouter.so.1", str(inner))
    link = (str(outer), str(inner), "-Wl,-rpath,$ORIGIN/private", "-Wl,--enable-new-dtags")
    program = compiled(place, "prog", *link)
    assert f"{place}/private/libinner.so.1" in closure(place, program)


@pytest.mark.needs("gcc")
def test_missing_libraries_can_be_told_instead_of_raised(place: Path) -> None:
    gone = library(place, "lib/libgone.so.1")
    program = compiled(place, "prog", str(gone), "-Wl,-rpath,$ORIGIN/lib")
    gone.unlink()
    missing: list[Any] = []
    taken = closure(place, program, missing=missing.append)
    assert [error.why.split(" (")[0] for error in missing] == ["library libgone.so.1 is not found"]
    assert any(path.endswith("/libc.so.6") for path in taken)


def test_all_programs_of_the_host_resolve_as_ldd_says() -> None:
    names = [name for name in ("bash", "git", "ssh", "python3", "perl", "systemd-analyze") if shutil.which(name)]
    sources = Sources()
    for name in names:
        path = os.path.realpath(shutil.which(name, path="/usr/bin:/bin") or "")
        if not os.path.isfile(path):
            continue
        taken: set[str] = set()

        def take(wanted: Any, origin: Any, taken: Any = taken) -> Any:
            found = sources.find(wanted)
            assert found
            taken.add(found.path)
            return found

        Closure(sources, take, lambda note: None).program(HostPath(path), "test")
        said = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=20).stdout
        assert {os.path.realpath(word) for word in said.split() if word.startswith("/")} <= taken


def test_musl_has_directories_and_names_of_its_own() -> None:
    loader = read_loader(Sources(), HostPath("/lib/ld-musl-none.so.1"))
    assert (loader.musl, loader.dirs) == (True, ("/lib", "/usr/local/lib", "/usr/lib"))
    assert "libpthread.so.0".startswith(MUSL_RESERVED)
    assert not "libcrypt.so.1".startswith(MUSL_RESERVED)


@pytest.mark.skipif(not os.path.exists("/etc/ld.so.cache"), reason="no ld.so.cache here")
def test_the_cache_is_read_as_ldconfig_reads_it() -> None:
    said = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True, timeout=20).stdout
    wanted = {(match[1], match[2]) for match in re.finditer(r"^\t(\S+) \(.*\) => (.*)$", said, re.MULTILINE)}
    got = {(name, path) for name, paths in read_cache(Sources()).items() for path in paths}
    assert got == wanted


STAMP = (1, 2, 3, 4, 5)
ELF = Elf(Abi(64, "EM_X86_64", True), True, "/lib/ld.so", ("a", "b"), ("/r",), (), False, "c")


def test_facts_come_back_as_they_were(place: Path) -> None:
    facts = ElfCache(f"{place}/facts.json")
    facts.put_elf(STAMP, ELF)
    facts.put_elf((9, 9, 9, 9, 9), None)
    facts.put_digest(STAMP, "0" * 64)
    facts.save()
    again = ElfCache(f"{place}/facts.json", str(place))
    assert (again.elf(STAMP), again.digest(STAMP)) == (ELF, "0" * 64)
    assert again.elf((9, 9, 9, 9, 9)) is False
    assert again.elf((1, 2, 3, 4, 6)) is True
    assert again.digest((1, 2, 3, 4, 6)) is None


@pytest.mark.parametrize("row", [[], [1], ["64", 1, 1, 1], {}, "x", [64, "m", 1, True, "", [], [], [], True, ""]])
def test_facts_that_make_no_sense_are_none(place: Path, row: Any) -> None:
    kept = ElfCache(f"{place}/facts.json")
    kept.put_elf(STAMP, ELF)
    kept.put_digest(STAMP, "0" * 64)
    kept.save()
    head, line = (place / "facts.json").read_text().splitlines()
    (known,) = json.loads(line)
    assert ElfCache(f"{place}/facts.json", str(place)).elf(STAMP) == ELF
    for rows in ({known: [*STAMP[2:], "short", row, 1]}, {known: row}, {known: None}, row, [row]):
        (place / "facts.json").write_text(f"{head}\n{json.dumps(rows)}\n")
        facts = ElfCache(f"{place}/facts.json", str(place))
        assert facts.elf(STAMP) is True
        assert facts.digest(STAMP) is None
        facts.put_elf(STAMP, ELF)
        assert facts.elf(STAMP) == ELF


def test_the_facts_of_earlier_runs_go_first_where_there_are_too_many(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_ROWS", 500)
    for run in range(3):
        facts = ElfCache(f"{place}/facts.json", str(place))
        for number in range(200):
            facts.put_digest((run, number, 3, 4, 5), f"{number:064x}")
        facts.save()
    again = ElfCache(f"{place}/facts.json", str(place))
    known = [sum(again.digest((run, number, 3, 4, 5)) == f"{number:064x}" for number in range(200)) for run in range(3)]
    assert known == [0, 200, 200]


def test_facts_that_others_could_have_written_are_not_read(place: Path) -> None:
    facts = ElfCache(f"{place}/facts.json")
    facts.put_elf(STAMP, ELF)
    facts.save()
    assert ElfCache(f"{place}/facts.json", str(place)).elf(STAMP) == ELF
    (place / "facts.json").chmod(0o666)
    assert ElfCache(f"{place}/facts.json", str(place)).elf(STAMP) is True


def read(place: Path, data: Any) -> Any:
    path = place / "fuzz"
    path.write_bytes(data)
    with open(path, "rb") as file:
        return read_elf(file, str(path))


@settings(max_examples=250, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(4, 1200), st.integers(0, 255)), min_size=1, max_size=12), st.booleans())
def test_damaged_programs_give_facts_or_one_kind_of_error(place: Path, changes: Any, cut: Any) -> None:
    data = bytearray(PROGRAM)
    for at, value in changes:
        data[at] = value
    if cut:
        del data[changes[0][0] * 64 :]
    try:
        elf = read(place, bytes(data))
    except ImageError as error:
        assert str(place) in str(error)
        return
    assert len(elf.needed) <= 4096
    assert all(name.isprintable() for name in elf.needed)


@settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2048))
def test_any_bytes_after_the_magic(place: Path, tail: Any) -> None:
    try:
        read(place, b"\x7fELF" + tail)
    except ImageError as error:
        assert str(place) in str(error)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (32, 2**63),  # e_phoff
        (40, 2**63),  # e_shoff
        (32, 2**64 - 1),
    ],
)
def test_absurd_offsets_end_at_once(place: Path, at: Any, value: Any) -> None:
    data = bytearray(PROGRAM)
    data[at : at + 8] = value.to_bytes(8, "little")
    data[60:62] = (0xFFFF).to_bytes(2, "little")
    started = time.monotonic()
    with pytest.raises(ImageError):
        read(place, bytes(data))
    assert time.monotonic() - started < 5


@pytest.mark.alone
def test_programs_need_not_be_read_whole(place: Path) -> None:
    (place / "big").write_bytes(PROGRAM)
    os.truncate(place / "big", 1 << 30)
    started = time.monotonic()
    with open(place / "big", "rb") as file:
        assert read_elf(file, "big").interp
    assert time.monotonic() - started < 2
