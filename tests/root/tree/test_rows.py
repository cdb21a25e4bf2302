"""Builds as an administrator makes them: one small spec for each thing that can be said, and what is on disk then."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jailssh.tree.target import Target
from jailssh.tree.verify import verify
from tests.harness.source import put_source
from tests.root.build_site import REPO, Site, announce_plugins, site, states

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]


def test_a_file_alone_makes_the_target(site: Site) -> None:
    assert site.build("SRC/data.txt /f\n/g => /f\n") == 0
    assert site.read("/f") == "hello\n"
    assert site.mode("/f") == 0o640
    assert stat.S_IMODE(site.tree.stat().st_mode) == 0o755
    assert (site.tree / "g").stat().st_ino == (site.tree / "f").stat().st_ino != site.data.stat().st_ino


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_modes_do_not_depend_on_the_umask(site: Site, umask: Any) -> None:
    os.umask(umask)
    assert site.build("SRC/data.txt /x/y.txt 600\n/d/e/ 700\n/t/ 1777\n/dev/null c 1 3 666\nSRC/data.txt /e/f\n") == 0
    modes = [site.mode(path) for path in ("/x", "/x/y.txt", "/d", "/d/e", "/t", "/dev", "/dev/null", "/e/f")]
    assert modes == [0o755, 0o600, 0o755, 0o700, 0o1777, 0o755, 0o666, 0o640]
    assert os.lstat(f"{site.tree}/dev/null").st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize(
    ("text", "path", "mode"),
    [("SRC/data.txt /x 600\nSRC/data.txt /x 644\n", "/x", 0o644), ("/d/ 700\n/d/ 755\n", "/d", 0o755)],
)
def test_the_last_wins_and_with_compat_the_first(site: Site, text: Any, path: Any, mode: Any) -> None:
    assert site.build(text) == 0
    assert site.mode(path) == mode
    assert site.build(text, "--compat=jailtime") == 0
    assert site.mode(path) != mode


def test_of_two_files_the_later_on_the_command_line_wins(site: Site) -> None:
    a = site.spec("SRC/data.txt /x\n", "a.jailspec")
    b = site.spec("/etc/hostname /x\n", "b.jailspec")
    assert site.run("build", a, b, str(site.tree)) == 0
    assert site.read("/x") == Path("/etc/hostname").read_text()
    assert site.run("build", b, a, str(site.tree), "-v") == 0
    assert site.read("/x") == "hello\n"
    assert "b.jailspec:1" in site.err


def test_commands_run_last_in_order_in_the_tree_with_a_clean_environment(site: Site) -> None:
    text = 'run echo b >> ./log; pwd; echo oops >&2\nSRC/data.txt /f\nrun read x; echo "got=$x"\n'
    text += 'run cat f >> log; echo "FOO=$FOO JAIL=$JAIL $(id -u) $(umask)"\n'
    site.tree.mkdir()
    argv = [sys.executable, "-m", "jailssh", "--root", str(site.base / "state"), "build", site.spec(text)]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"], "FOO": "secret"}
    done = subprocess.run([*argv, str(site.tree)], env=env, capture_output=True, text=True, input="typed\n", timeout=30)
    assert done.returncode == 0
    assert site.read("/log") == "b\nhello\n"
    assert done.stdout.splitlines()[:3] == [str(site.tree), "got=", f"FOO= JAIL={site.tree} 0 0022"]
    assert "oops" in done.stderr


def test_a_command_that_fails_is_named_and_no_new_tree_appears(site: Site) -> None:
    assert site.build("SRC/data.txt /f\nrun exit 7\n") == 1
    assert "t.jailspec:2" in site.err
    assert "status 7" in site.err
    assert not site.tree.exists()


def test_bash_with_its_closure_runs_inside(site: Site) -> None:
    assert site.build("/bin/bash\n") == 0
    assert os.readlink(site.tree / "bin") == "usr/bin"
    names = {path.name for path in site.tree.rglob("*")}
    assert {"bash", "libc.so.6", "libtinfo.so.6", "ld-linux-x86-64.so.2"} <= names or "ld-linux" in str(names)
    assert site.inside("/bin/bash", "-c", "echo $((6*7))").stdout == "42\n"


def test_an_explicit_directory_in_the_place_of_a_host_link_is_kept_and_filled(site: Site) -> None:
    assert site.build("/bin/\n/lib64/\n/bin/bash\n") == 0
    assert (site.tree / "bin").is_dir()
    assert not (site.tree / "bin").is_symlink()
    assert (site.tree / "bin/bash").is_file()
    assert site.inside("/bin/bash", "-c", "echo ok").stdout == "ok\n"


def test_links_of_alternatives_work_inside(site: Site) -> None:
    assert site.build("/usr/bin/awk\n") == 0
    assert (site.tree / "usr/bin/awk").is_symlink()
    assert site.inside("/usr/bin/awk", "BEGIN { print 6*7 }").stdout == "42\n"


@pytest.mark.needs("gcc")
def test_a_library_that_is_not_there_is_an_error_or_a_note(site: Site) -> None:
    binary = Path(shutil.which("true") or "").read_bytes().replace(b"libc.so.6\0", b"libX.so.6\0")
    (site.src / "prog").write_bytes(binary)
    (site.src / "prog").chmod(0o755)
    assert site.build("SRC/prog /m\n") == 1
    assert f"{site.src}/prog: library libX.so.6 is not found" in site.err
    assert "t.jailspec:1" in site.err
    assert not site.tree.exists()
    assert site.build("SRC/prog /m\n", "--allow-missing") == 0
    assert "libX.so.6 is not found" in site.err


def test_the_working_directory_is_never_searched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.src)
    (site.src / "libc.so.6").write_text("planted")
    library = next(Path("/lib").glob("*/libacl.so.1"))
    assert site.build(f"{library}\n") == 0
    assert not (site.tree / "libc.so.6").exists()
    assert any(path.stat().st_size > 100_000 for path in site.tree.rglob("libc.so.6"))


def test_a_static_program_brings_nothing(site: Site) -> None:
    assert site.build("/sbin/ldconfig\n") == 0
    files = [path for path in site.tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path.name for path in files] == ["ldconfig"]


def test_name_lookups_warn_without_accounts_and_work_with_them(site: Site) -> None:
    text = "/usr/bin/id\n/usr/bin/getent\n"
    assert site.build(text) == 0
    assert "getent, id will know no names" in site.err
    assert site.build(text + "section uidbasics\nuser root\n") == 0
    assert site.inside("/usr/bin/getent", "passwd", "root").stdout.startswith("root:x:0:0:")
    assert "shadow" not in " ".join(path.name for path in site.tree.rglob("*"))


def test_set_id_bits_need_an_explicit_word(site: Site) -> None:
    assert site.build("/usr/bin/passwd /p\n/usr/bin/passwd /q setuid\n") == 0
    assert site.mode("/p") == 0o755
    assert site.mode("/q") & 0o4000
    assert "/p loses its set-id bit" in site.err


def test_owner_time_and_capabilities(site: Site) -> None:
    os.chown(site.data, 1234, 1234)
    os.utime(site.data, (1e9, 1e9))
    shutil.copy("/bin/true", site.src / "cap")
    subprocess.run(["setcap", "cap_net_raw+ep", str(site.src / "cap")], check=True)
    assert site.build("SRC/data.txt /f\nSRC/data.txt /g owner=keep\nSRC/data.txt /h owner=7:8\nSRC/cap /c\n") == 0
    owners = {name: (os.stat(site.tree / name).st_uid, os.stat(site.tree / name).st_gid) for name in "fgh"}
    assert owners == {"f": (0, 0), "g": (1234, 1234), "h": (7, 8)}
    assert os.stat(site.tree / "f").st_mtime == 1e9
    assert "security.capability" not in os.listxattr(site.tree / "c")
    assert "loses its file capabilities" in site.err


def test_a_directory_as_a_file_is_an_error_before_anything_is_written(site: Site) -> None:
    assert site.build("/etc\nSRC/nothing /x\n") == 1
    assert "t.jailspec:1" in site.err
    assert "a directory" in site.err
    assert "t.jailspec:2" in site.err
    assert not site.tree.exists()


def test_planted_links_are_replaced_and_never_followed(site: Site) -> None:
    outside = site.base / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    site.tree.mkdir()
    for name in ("f", "n", "l", "t", "h"):
        (site.tree / name).symlink_to(outside / "victim")
    for name in ("d", "k"):
        (site.tree / name).symlink_to(outside)
    (site.tree / "dangling").symlink_to(outside / "new")
    text = "SRC/data.txt /f\n/n c 1 3\n/l -> x\n/t content 'text'\nSRC/data.txt /a\n/h => /a\n"
    text = text.replace("/t content 'text'\n", "")
    text += "/d/sub/\nSRC/data.txt /d/f\n/d/n c 1 3\n/d/l -> x\nSRC/data.txt /k/f\n/dangling/\n"
    assert site.build(text) == 0
    assert sorted(path.name for path in outside.iterdir()) == ["victim"]
    assert (outside / "victim").read_text() == "untouched"
    assert site.read("/f") == site.read("/d/f") == site.read("/k/f") == "hello\n"
    assert not (site.tree / "d").is_symlink()
    assert (site.tree / "dangling").is_dir()


def test_a_link_replaces_a_file_but_no_full_directory(site: Site) -> None:
    site.tree.mkdir()
    (site.tree / "sh").write_text("old")
    assert site.build("/sh -> /bin/bash\n") == 0
    assert os.readlink(site.tree / "sh") == "/bin/bash"
    os.unlink(site.tree / "sh")
    (site.tree / "sh").mkdir()
    (site.tree / "sh/mine").write_text("precious")
    assert site.build("/sh -> /bin/bash\nSRC/data.txt /new\n") == 1
    assert "t.jailspec:1" in site.err
    assert "not empty" in site.err
    assert not (site.tree / "new").exists()
    assert (site.tree / "sh/mine").read_text() == "precious"


def test_a_target_that_is_a_file(site: Site) -> None:
    site.tree.write_text("file")
    assert site.build("/d/\n") != 0
    assert "not a directory" in site.err
    assert site.tree.read_text() == "file"


def test_a_second_build_changes_nothing(site: Site) -> None:
    text = "/opt/\n/opt/x -> y\n/dev/\n/dev/null c 1 3\n/f/\nSRC/data.txt /g\n/h => /g\n/bin/sh\nrun echo 1 >> log\n"
    assert site.build(text) == 0
    before = states(site.tree)
    assert site.build(text) == 0
    assert site.changes() == 0
    assert states(site.tree) == before
    assert site.read("/log") == "1\n"


def test_a_second_build_without_what_was_remembered_changes_nothing_either(site: Site) -> None:
    text = "/opt/x -> y\n/dev/null c 1 3\n/p p\nSRC/data.txt /g\n/h => /g\n/bin/sh\n"
    assert site.build(text) == 0
    before = states(site.tree)
    shutil.rmtree(site.base / ".root.jailssh")
    assert site.build(text) == 0
    assert site.changes() == 0
    assert states(site.tree) == before


def test_a_running_program_keeps_its_file(site: Site) -> None:
    shutil.copy("/bin/sleep", site.src / "sleep")
    assert site.build("SRC/sleep /bin/sleep\n") == 0
    process = subprocess.Popen([str(site.tree / "usr/bin/sleep"), "60"])
    try:
        with open(site.src / "sleep", "ab") as file:
            file.write(b"\0")
        assert site.build("SRC/sleep /bin/sleep\n") == 0
        assert site.changes() == 1
        assert process.poll() is None
        assert (site.tree / "usr/bin/sleep").read_bytes() == (site.src / "sleep").read_bytes()
    finally:
        process.kill()
        process.wait()


def test_prune_removes_what_a_build_put_there_and_nothing_else(site: Site) -> None:
    text = "/d1/\n/d2/\n/keep/\nSRC/data.txt /a\nSRC/data.txt /b\nSRC/data.txt /keep/c\n"
    assert site.build(text) == 0
    (site.tree / "d2/mine").write_text("user's")
    (site.tree / "b").write_text("changed by hand")
    (site.tree / "new").write_text("user's")
    assert site.build("/keep/\n") == 0
    assert (site.tree / "a").exists()
    assert site.build("/keep/\n", "--prune") == 0
    assert sorted(str(path.relative_to(site.tree)) for path in site.tree.rglob("*")) == [
        "b",
        "d2",
        "d2/mine",
        "keep",
        "new",
    ]
    assert "/b is kept" in site.err
    assert site.build("/keep/\n", "--prune") == 0
    assert site.changes() == 0


def test_a_changed_mode_is_applied(site: Site) -> None:
    assert site.build("/d1/\nSRC/data.txt /f\n") == 0
    assert site.build("/d1/ 700\nSRC/data.txt /f 600\n") == 0
    assert (site.mode("/d1"), site.mode("/f"), site.changes()) == (0o700, 0o600, 2)


def test_what_was_changed_by_hand_is_put_right(site: Site) -> None:
    assert site.build("/d1/\nSRC/data.txt /f\n") == 0
    (site.tree / "d1").chmod(0o777)
    info = (site.tree / "f").stat()
    (site.tree / "f").write_text("HELLO\n")
    os.utime(site.tree / "f", ns=(info.st_mtime_ns, info.st_mtime_ns))
    assert site.build("/d1/\nSRC/data.txt /f\n") == 0
    assert (site.mode("/d1"), site.read("/f"), site.changes()) == (0o755, "hello\n", 2)


def test_a_dry_run_lists_everything_and_writes_nothing(site: Site) -> None:
    text = "SRC/data.txt /f\n/dev/null c 1 3\n/d/\n/l -> /f\n/h => /f\nrun touch ran\n"
    assert site.build(text, "--dry-run", "--json") == 0
    facts = json.loads(site.out)
    rows = {row["path"]: row for row in facts["changes"]}
    assert {path: row["kind"] for path, row in rows.items()} == {
        "/f": "file", "/dev": "dir", "/dev/null": "char", "/d": "dir", "/l": "link", "/h": "hard",
    }  # fmt: skip
    assert rows["/dev/null"]["device"] == "1:3"
    assert rows["/f"]["origin"].endswith("t.jailspec:1:1")
    assert facts["run"] == ["touch ran"]
    assert sorted(path.name for path in site.base.iterdir()) == ["SRC", "state", "t.jailspec"]
    assert site.build("SRC/no1 /a\nSRC/no2 /b\n", "--dry-run") == 1
    assert "no1" in site.err
    assert "no2" in site.err


def test_reflink_falls_back_to_a_copy(site: Site) -> None:
    assert site.build("SRC/data.txt /f\n", "--reflink") == 0
    assert (site.read("/f"), site.mode("/f")) == ("hello\n", 0o640)


def test_jailtimes_words_for_replacing_are_taken(site: Site) -> None:
    assert site.build("SRC/data.txt /f\n", "--remove-destination") == 0
    assert site.build("SRC/data.txt /f 600\n", "--force") == 0
    assert site.mode("/f") == 0o600


def test_missing_operands(site: Site) -> None:
    assert site.run("build") == 2
    assert "missing file operand" in site.err
    assert site.run("build", "x.jailspec") == 2
    assert "missing destination operand after 'x.jailspec'" in site.err


def test_a_target_without_a_name_is_no_target(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.src)
    assert site.run("build", site.spec("SRC/data.txt /f\n"), "") == 2
    assert "target '': is empty" in site.err
    assert sorted(os.listdir(site.src)) == ["data.txt"]


def test_one_odd_file_does_not_end_the_build_of_a_tree(site: Site) -> None:
    # An interpreter that is of no system here, and a file that only begins like a program.
    program = bytearray(Path("/bin/true").read_bytes())
    at = program.index(b"/lib64/ld-linux-x86-64.so.2\0") if os.uname().machine == "x86_64" else program.index(b"/lib")
    program[at : at + 8] = b"/libexec"
    odd = {"foreign": bytes(program), "cut": bytes(program[:200]), "bytes": b"\x7fELF" + bytes(range(60))}
    for name, data in odd.items():
        (site.src / name).write_bytes(data)
        (site.src / name).chmod(0o755)
    assert site.build("tree SRC/ /t\n") == 0, site.err
    assert {name: Path(f"{site.tree}/t/{name}").read_bytes() for name in odd} == odd
    assert site.err.count("it is taken as it is, as data") == len(odd)


def test_a_truncated_program_is_named(site: Site) -> None:
    (site.src / "cut").write_bytes(Path("/bin/true").read_bytes()[:5000])
    (site.src / "cut").chmod(0o755)
    assert site.build("SRC/cut /cut\n") == 1
    assert f"{site.src}/cut: damaged ELF file" in site.err


def test_places_that_others_can_write_to_are_refused(site: Site) -> None:
    site.base.chmod(0o775)
    assert site.build("SRC/data.txt /f\n") != 0
    assert "writable by its group" in site.err
    assert not site.tree.exists()
    assert site.build("SRC/data.txt /f\n", "--insecure") == 0


@pytest.mark.parametrize("path", ["/", "/usr", "/etc", "/var/lib"])
def test_directories_of_the_system_are_refused(site: Site, path: Any) -> None:
    assert site.build("SRC/data.txt /f\n", target=path) != 0
    assert "a directory of the system" in site.err


def test_a_spec_that_others_can_write_is_refused(site: Site) -> None:
    spec = site.spec("run touch /run/jailssh-test-pwned\n")
    os.chmod(spec, 0o666)
    assert site.run("build", spec, str(site.tree)) == 1
    assert "others could write commands into it" in site.err
    assert not site.tree.exists()


def test_the_shipped_git_spec(site: Site) -> None:
    text = "/dev/null c 1 3\nrun chmod 666 ./dev/null\n\n/usr/bin/git\n/usr/bin/git-shell\n/usr/bin/git-upload-pack\n"
    assert site.build(text) == 0
    assert (site.mode("/dev/null"), site.mode("/dev")) == (0o666, 0o755)
    assert "usage: git" in site.inside("/usr/bin/git-upload-pack").stderr
    assert site.build(text) == 0
    assert site.changes() == 0


def test_two_builds_of_one_tree_wait_for_each_other(site: Site) -> None:
    spec = site.spec("SRC/data.txt /f\nrun touch started; while [ ! -e go ]; do :; done; rm started go\n")
    site.tree.mkdir()
    argv = [sys.executable, "-m", "jailssh", "--root", str(site.base / "state"), "build", spec, str(site.tree)]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    first = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 30
    while not (site.tree / "started").exists():
        assert time.monotonic() < limit and first.poll() is None
    second = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert second.stderr
        assert second.stderr.readline() == f"waiting for process {first.pid}, which builds the same tree\n"
        (site.tree / "go").touch()
        assert first.wait(30) == 0
        out, _ = second.communicate(timeout=30)
        assert second.returncode == 0
        assert out.endswith(": 0 changes\n")
    finally:
        for process in (first, second):
            process.kill()
            process.wait()


def test_devices_without_the_right_to_make_them(site: Site) -> None:
    spec = site.spec("/dev/null c 1 3\nSRC/data.txt /f\n")
    site.data.chmod(0o644)
    place = site.base / "own"
    place.mkdir()
    os.chown(place, 65534, 65534)
    put_source(site.base / "source")  # the checkout itself may be closed to others
    subprocess.run(["chmod", "-R", "a+rX", str(site.base / "source")], check=True)
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-m", "jailssh"]
    argv += ["--root", str(site.base / "state"), "build", spec, str(place / "tree")]
    env = {"PYTHONPATH": str(site.base / "source"), "PATH": os.environ["PATH"]}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "t.jailspec:1:1: /dev/null: operation not permitted" in done.stderr
    assert "--skip-devices" in done.stderr
    done = subprocess.run([*argv, "--skip-devices"], env=env, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / "tree/f").stat().st_uid == 65534


def test_cp_adds_to_a_tree_with_the_closure(site: Site) -> None:
    assert site.build("/bin/bash\n") == 0
    assert site.run("cp", str(site.tree), "ls", "/etc/hostname") == 0
    assert site.inside("/bin/bash", "-c", "ls /etc").stdout == "hostname\n"
    assert site.run("cp", str(site.tree), "ls", "/etc/hostname") == 0
    assert site.changes() == 0
    assert site.run("cp", str(site.tree), "no-such-program", "./relative") == 1
    assert site.run("cp", "nowhere", "ls") == 2


def test_verify_names_what_does_not_start(site: Site) -> None:
    assert site.build("/bin/bash\n", "--verify") == 0
    library = next(site.tree.rglob("libtinfo.so.6*"))
    for path in site.tree.rglob("libtinfo.so.6*"):
        path.unlink()
    assert library.name.startswith("libtinfo")
    assert any("bash" in failure and "libtinfo" in failure for failure in verify(Target(str(site.tree))).failures)


def test_specs_by_name_of_section_and_profile(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    announce_plugins(site.base / "site")
    monkeypatch.syspath_prepend(str(site.base / "site"))
    assert site.run("build", "section:uidbasics", "sftp-only", str(site.tree)) == 0
    assert list(site.tree.rglob("sftp-server"))
    assert site.run("build", "no-such-section", str(site.tree / "x")) == 1
    assert "no section" in site.err


def test_the_sections_of_a_shell_work_inside(site: Site) -> None:
    assert site.run("build", "section:basicshell", str(site.tree)) == 0
    script = "ls /dev > /dev/null && echo text > /tmp/x && cat /tmp/x && mktemp > /dev/null && echo done"
    done = site.inside("/bin/sh", "-c", script)
    assert (done.stdout, done.stderr) == ("text\ndone\n", "")
    assert site.mode("/tmp") == 0o1777
    assert site.run("build", "section:basicshell", str(site.tree)) == 0
    assert site.changes() == 0


@pytest.mark.skipif(not os.path.exists("/usr/bin/perl"), reason="no perl here")
def test_perl_has_its_compiled_modules(site: Site) -> None:
    assert site.build("/usr/bin/perl\n/dev/null c 1 3 666\n") == 0
    assert site.inside("/usr/bin/perl", "-MPOSIX", "-e", "print POSIX::floor(3.5)").stdout == "3"


@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="no python here")
def test_python_has_its_library_and_scripts_bring_it(site: Site) -> None:
    (site.src / "hello").write_text("#!/usr/bin/env python3\nimport json, ctypes, socket\nprint(json.dumps([1]))\n")
    (site.src / "hello").chmod(0o755)
    assert site.build("SRC/hello /bin/hello\n") == 0
    done = site.inside("/usr/bin/env", "PATH=/usr/bin", "hello")
    assert (done.stdout, done.stderr) == ("[1]\n", "")


def test_sections_of_a_jk_init_file_by_name(site: Site) -> None:
    ini = site.base / "jk_init.ini"
    paths = "paths = cat, /no/such/file, /etc/host*\n"
    ini.write_text(f"[mine]\ncomment = x\n{paths}users = root\ndevices = /dev/null\nemptydirs = /svr\n")
    ini.chmod(0o644)
    assert site.run("build", "--jk-init", str(ini), "section:mine", str(site.tree)) == 0
    assert site.inside("/bin/cat", "/etc/hostname").stdout == Path("/etc/hostname").read_text()
    assert site.read("/etc/passwd").startswith("root:x:0:0:")
    assert os.lstat(site.tree / "dev/null").st_rdev == os.makedev(1, 3)
    assert (site.tree / "svr").is_dir()
