import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jailssh.closure.elf import read_elf
from jailssh.closure.errors import ImageError, UnsafeModeError
from jailssh.closure.loader import read_conf
from jailssh.closure.sources import Sources
from jailssh.core.errors import ManyErrors
from jailssh.core.names import HostPath
from jailssh.image.resolve import resolve
from jailssh.plugin.api import ImageNeeds

SHELL = os.path.realpath("/bin/sh")


def paths(place: Path, **needs: Any) -> Any:
    manifest = resolve([("test", ImageNeeds(**needs))], trusted_root=HostPath(str(place)))
    return {entry.path: entry for entry in manifest.entries}


def parse(data: Any, place: Path) -> Any:
    (place / "elf").write_bytes(data)
    with open(place / "elf", "rb") as file:
        return read_elf(file, str(place / "elf"))


def compile_c(place: Path, *args: Any, source: Any = "int main(void){return 0;}\n", target: Any = "prog") -> Any:
    out = place / target
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["gcc", "-x", "c", "-", "-x", "none", "-o", out, *args], input=source.encode(), check=True, timeout=60
    )
    return out


def shared(place: Path, target: Any, *args: Any, source: Any = "int f(void){return 1;}\n") -> Any:
    return compile_c(place, "-shared", "-fPIC", f"-Wl,-soname,{Path(target).name}", *args, source=source, target=target)


def test_the_facts_of_a_real_program(place: Path) -> None:
    elf = parse(Path(SHELL).read_bytes(), place)
    assert elf.loadable
    assert os.path.exists(elf.interp)
    assert any(name.startswith("libc.") for name in elf.needed)


@pytest.mark.parametrize("length", [4, 5, 16, 20, 63, 64, 65, 200, 600, 1000, 5000, 20000])
def test_a_truncated_file_is_an_error_that_names_it(place: Path, length: Any) -> None:
    with pytest.raises(ImageError, match=f"{place}/elf: damaged"):
        parse(Path(SHELL).read_bytes()[:length], place)


def test_damaged_files_give_no_other_error(place: Path) -> None:
    good = Path(SHELL).read_bytes()
    chance = random.Random(7)
    outcomes = set()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(4, 4096)] = chance.randrange(256)
        try:
            parse(bytes(data), place)
            outcomes.add("read")
        except ImageError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_too_many_sections_are_refused(place: Path) -> None:
    data = bytearray(Path(SHELL).read_bytes())
    data[60:62] = (60000).to_bytes(2, "little")
    with pytest.raises(ImageError):
        parse(bytes(data), place)


@pytest.mark.parametrize("name", ["sh", "bash", "git", "rsync", "scp", "/usr/lib/openssh/sftp-server"])
def test_the_closure_is_that_of_the_loader(place: Path, name: Any) -> None:
    if not (shutil.which(name) or os.path.exists(name)):
        pytest.skip(f"{name} is not here")
    listed = subprocess.run(
        ["ldd", shutil.which(name) or name], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    wanted = {os.path.realpath(word) for word in listed.split() if word.startswith("/")}
    got = paths(place, bare_programs=(name,))
    files = {path for path, entry in got.items() if entry.kind == "file"}
    assert wanted <= files
    extra = {Path(path).name for path in files - wanted} - {Path(os.path.realpath(shutil.which(name) or name)).name}
    assert extra <= {"libgcc_s.so.1"}


def test_links_are_kept_as_on_the_host(place: Path) -> None:
    (place / "real").mkdir()
    shutil.copy(SHELL, place / "real/prog-1.2")
    (place / "real/prog-1").symlink_to("prog-1.2")
    (place / "link").symlink_to(place / "real")
    (place / "prog").symlink_to("link/prog-1")
    got = paths(place, programs=(str(place / "prog"),))
    assert got[f"{place}/prog"].target == "link/prog-1"
    assert got[f"{place}/link"].target == str(place / "real")
    assert got[f"{place}/real/prog-1"].target == "prog-1.2"
    assert got[f"{place}/real/prog-1.2"].kind == "file"


def test_cyclic_links_are_an_error(place: Path) -> None:
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    with pytest.raises(ImageError, match="too many levels of symbolic links"):
        paths(place, programs=(str(place / "a"),))


def test_a_missing_library_is_named_with_its_binary(place: Path) -> None:
    data = Path(SHELL).read_bytes()
    assert data.count(b"libc.so.6\0") >= 1
    (place / "prog").write_bytes(data.replace(b"libc.so.6\0", b"libX.so.6\0"))
    (place / "prog").chmod(0o755)
    with pytest.raises(ImageError, match=rf"{place}/prog: library libX.so.6 is not found"):
        paths(place, programs=(str(place / "prog"),))


def test_all_errors_are_reported_in_one_run(place: Path) -> None:
    with pytest.raises(ManyErrors) as caught:
        paths(place, programs=("no-such-1", "no-such-2"), files=("/no/such/3",))
    assert [error.what for error in caught.value.errors] == ["program no-such-1", "program no-such-2", "/no/such/3"]
    assert f"{place}" not in paths(place, optional_programs=("no-such",), optional_files=("/no/such",))


@pytest.mark.needs("gcc")
def test_runpath_with_origin(place: Path) -> None:
    lib = shared(place, "lib/libtestone.so.1")
    args = ("-Wl,--no-as-needed", str(lib), "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib")
    prog = compile_c(place, *args, target="bin/prog")
    assert f"{place}/lib/libtestone.so.1" in paths(place, programs=(str(prog),))


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("tags", ["--disable-new-dtags", "--enable-new-dtags"])
def test_rpath_is_inherited_and_runpath_is_not(place: Path, tags: Any) -> None:
    two = shared(place, "lib/libtesttwo.so.1")
    one = shared(place, "lib/libtestone.so.1", "-Wl,--no-as-needed", str(two))
    link = ("-Wl,--no-as-needed", str(one), f"-Wl,{tags},-rpath,${{ORIGIN}}/lib", "-Wl,--allow-shlib-undefined")
    prog = compile_c(place, *link, f"-Wl,-rpath-link,{place}/lib")
    if tags == "--disable-new-dtags":
        assert f"{place}/lib/libtesttwo.so.1" in paths(place, programs=(str(prog),))
    else:
        with pytest.raises(ImageError, match=r"libtestone.so.1: library libtesttwo.so.1 is not found"):
            paths(place, programs=(str(prog),))


@pytest.mark.needs("gcc")
def test_libraries_that_need_each_other(place: Path) -> None:
    shared(place, "lib/liba.so")
    b = shared(place, "lib/libb.so", "-Wl,--no-as-needed", f"-L{place}/lib", "-la", "-Wl,-rpath,$ORIGIN")
    a = shared(place, "lib/liba.so", "-Wl,--no-as-needed", str(b), "-Wl,-rpath,$ORIGIN")
    prog = compile_c(place, "-Wl,--no-as-needed", str(a), "-Wl,-rpath,$ORIGIN/lib")
    assert {f"{place}/lib/liba.so", f"{place}/lib/libb.so"} <= set(paths(place, programs=(str(prog),)))


@pytest.mark.needs("gcc")
def test_a_library_of_another_machine_is_passed_over(place: Path) -> None:
    lib = shared(place, "good/libtestone.so.1")
    data = bytearray(lib.read_bytes())
    data[18:20] = (243).to_bytes(2, "little")
    (place / "bad").mkdir()
    (place / "bad/libtestone.so.1").write_bytes(data)
    prog = compile_c(place, "-Wl,--no-as-needed", str(lib), "-Wl,-rpath,$ORIGIN/bad:$ORIGIN/good")
    got = paths(place, programs=(str(prog),))
    assert f"{place}/good/libtestone.so.1" in got
    assert f"{place}/bad/libtestone.so.1" not in got


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("holds", [True, False])
def test_a_runpath_that_others_can_write_is_refused(place: Path, holds: Any) -> None:
    lib = shared(place, "lib/libtestone.so.1")
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    if holds:
        shutil.copy(lib, place / "open")
    prog = compile_c(place, "-Wl,--no-as-needed", str(lib), "-Wl,-rpath,$ORIGIN/open:$ORIGIN/lib")
    with pytest.raises(UnsafeModeError, match=rf"{place}/prog: it searches {place}/open .*writable by its group"):
        paths(place, programs=(str(prog),))


@pytest.mark.needs("gcc")
def test_a_static_program_needs_nothing(place: Path) -> None:
    prog = compile_c(place, "-static", "-nostdlib", source="void _start(void){for(;;);}\n")
    files = [path for path, entry in paths(place, programs=(str(prog),)).items() if entry.kind == "file"]
    assert files == [str(prog)]


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_program_that_others_can_write_is_refused(place: Path, mode: Any) -> None:
    shutil.copy(SHELL, place / "prog")
    (place / "prog").chmod(mode)
    with pytest.raises(UnsafeModeError, match=f"{place}/prog: writable by"):
        paths(place, programs=(str(place / "prog"),))


def script(place: Path, line: Any, name: Any = "script") -> Any:
    (place / name).write_text(f"{line}\necho\n")
    (place / name).chmod(0o755)
    return str(place / name)


def test_scripts_bring_their_interpreter(place: Path) -> None:
    got = paths(place, programs=(script(place, "#! /bin/sh -e"),))
    assert SHELL in got
    assert any(path.endswith("/libc.so.6") for path in got)


@pytest.mark.parametrize("line", ["#!/usr/bin/env sh", "#!/usr/bin/env -S A=1 sh -e"])
def test_env_brings_what_it_runs(place: Path, line: Any) -> None:
    got = paths(place, programs=(script(place, line),))
    assert SHELL in got
    assert os.path.realpath("/usr/bin/env") in got


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("#!/no/such", "its interpreter /no/such is not on this host"),
        ("#!sh", "names no absolute path"),
        ("#!", "names no absolute path"),
        ("#!/usr/bin/env no-such-thing", "its interpreter 'no-such-thing' is not on this host"),
        ("#!/usr/bin/env ../sh", "neither a bare name nor an absolute path"),
        ("echo", "neither an ELF program nor a script"),
    ],
)
def test_scripts_that_cannot_run(place: Path, line: Any, why: Any) -> None:
    with pytest.raises(ImageError, match=why):
        paths(place, programs=(script(place, line),))


def test_scripts_that_interpret_each_other(place: Path) -> None:
    one, two = str(place / "one"), str(place / "two")
    script(place, f"#!{two}", "one")
    script(place, f"#!{one}", "two")
    with pytest.raises(ImageError, match="too many interpreters"):
        paths(place, programs=(one,))


def test_loader_configuration(place: Path) -> None:
    (place / "conf.d").mkdir()
    (place / "conf.d/b.conf").write_text("/b/lib\n")
    (place / "conf.d/a.conf").write_text("# text\n/a/lib # more\nhwcap 1 nosegneg\n")
    (place / "conf.d/a.off").write_text("/off\n")
    (place / "ld.so.conf").write_text("include\tconf.d/*.conf\n/first /second:/third=libc6\nrelative\n/last")
    dirs = read_conf(Sources(HostPath(str(place))), HostPath(str(place / "ld.so.conf")))
    assert dirs == ["/a/lib", "/b/lib", "/first", "/second", "/third", "/last"]


def test_loader_configuration_that_includes_itself(place: Path) -> None:
    (place / "ld.so.conf").write_text("include ld.so.conf\n")
    with pytest.raises(ImageError, match="nested too deeply"):
        read_conf(Sources(HostPath(str(place))), HostPath(str(place / "ld.so.conf")))
