"""What programs bring along: made languages in a directory of the test's own, with made packages."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.closure.closure import Closure
from jailssh.closure.companions import Companions, Taking
from jailssh.closure.errors import ImageError
from jailssh.closure.languages import LANGUAGES, languages_of, settings_of_all
from jailssh.closure.sources import Found, Sources
from jailssh.core.errors import JailsshError, parts
from jailssh.core.names import HostPath
from tests.unit.closure.dpkg import Dpkg

ELF = "/usr/bin/true"
PACKAGE = "Package: {}\nStatus: install ok installed\nArchitecture: all\nSource: {}\nDepends: {}\n\n"


class Lab:
    """``top`` stands for ``/usr``: programs in ``bin``; :meth:`taken` starts some and says what came along."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.dpkg = Dpkg(top)
        self.dpkg.status("")
        self.notes: list[str] = []
        self.data: list[str] = []
        self.all: list[str] = []

    def program(self, name: str, text: str = "") -> Path:
        """Make a program: a script with this text, or one of the host's under another name."""
        path = self.top / "bin" / name
        path.parent.mkdir(exist_ok=True)
        if text:
            path.write_text(text)
        else:
            shutil.copy(ELF, path)
        path.chmod(0o755)
        return path

    def file(self, name: str, text: str = "x", mode: int = 0o644) -> Path:
        """Make a file that everybody may read."""
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def taken(
        self, *programs: Path, packages: tuple[str, ...] = (), missing: list[ImageError] | None = None
    ) -> set[str]:
        """Return what was taken below ``top``, but for directories."""
        sources = Sources(HostPath(str(self.top)))
        files: set[str] = set()

        def take(path: str, _: str) -> Found:
            found = sources.find(HostPath(path))
            assert found is not None
            self.all.append(path)
            files.update(each for each, _ in found.links)
            files.update([] if found.is_dir else [found.path])
            return found

        taking = Taking(
            take,
            lambda name, _: self.data.append(name),
            self.notes.append,
            missing.append if missing is not None else None,
        )
        companions = Companions(sources, taking, self.dpkg.packages())
        companions.closure = Closure(sources, take, self.notes.append, started=companions.started)
        for program in programs:
            companions.closure.program(HostPath(str(program)), "test")
        for package in packages:
            companions.package(package, "test")
        return {path.removeprefix(f"{self.top}/") for path in files if path.startswith(f"{self.top}/")}


@pytest.fixture
def lab() -> Iterator[Lab]:
    old = os.umask(0o022)
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="jailssh-test-"))
    path.chmod(0o755)
    yield Lab(path)
    os.umask(old)
    shutil.rmtree(path)


def python(lab: Lab) -> Path:
    for name in ("encodings/__init__.py", "json/__init__.py", "json/__pycache__/x.pyc", "test/t.py", "os.py"):
        lab.file(f"lib/python3.99/{name}")
    lab.file("lib/python3/dist-packages/one/a.py")
    lab.file("lib/python3/dist-packages/two/test/b.py")
    return lab.program("python3.99")


LIBRARY = {"lib/python3.99/encodings/__init__.py", "lib/python3.99/json/__init__.py", "lib/python3.99/os.py"}
MODULES = {"lib/python3/dist-packages/one/a.py", "lib/python3/dist-packages/two/test/b.py"}


def test_a_language_brings_its_library_and_all_modules(lab: Lab) -> None:
    assert lab.taken(python(lab)) == {"bin/python3.99", *LIBRARY, *MODULES}
    assert lab.data == ["zoneinfo", "ca-certificates"]
    assert lab.notes == []


def test_nothing_comes_with_a_bare_program(lab: Lab) -> None:
    sources = Sources(HostPath(str(lab.top)))
    told: list[str] = []
    closure = Closure(
        sources, lambda path, _: sources.find(HostPath(path)) or pytest.fail(path), told.append,
        started=lambda found, *_: told.append(found.path),
    )  # fmt: skip
    closure.program(HostPath(str(python(lab))), "test", bare=True)
    assert told == []
    closure.program(HostPath(str(lab.top / "bin/python3.99")), "test")
    assert told == [str(lab.top / "bin/python3.99")]


def test_a_script_of_nobody_s_may_want_any_module(lab: Lab) -> None:
    python(lab)
    script = lab.program("script", f"#!{lab.top}/bin/python3.99\n")
    assert lab.taken(script) == {"bin/python3.99", "bin/script", *LIBRARY, *MODULES}


def test_the_script_of_a_package_brings_what_that_depends_on(lab: Lab) -> None:
    python(lab)
    script = lab.program("script", f"#!{lab.top}/bin/python3.99\n")
    lab.dpkg.status(PACKAGE.format("app", "app", "python3-one") + PACKAGE.format("python3-one", "one", "none"))
    lab.dpkg.list("app", str(script))
    lab.dpkg.list("python3-one", f"{lab.top}/lib/python3/dist-packages/one/a.py", f"{lab.top}/share/other")
    lab.file("share/other")
    assert lab.taken(script) == {"bin/python3.99", "bin/script", *LIBRARY, "lib/python3/dist-packages/one/a.py"}


def test_what_not_everybody_may_read_stays_out(lab: Lab) -> None:
    program = python(lab)
    lab.file("lib/python3.99/secret.py", mode=0o640)
    lab.file("lib/python3.99/shut/open.py").parent.chmod(0o700)
    lab.file("lib/python3.99/named/open.py").parent.chmod(0o711)
    assert lab.taken(program) == {"bin/python3.99", *LIBRARY, *MODULES}


def test_what_others_could_have_written_stays_out_and_is_said(lab: Lab) -> None:
    program = python(lab)
    folder = lab.top / "lib/python3/dist-packages"
    folder.chmod(0o777)
    (lab.top / "lib/python3.99/os.py").chmod(0o666)
    assert lab.taken(program) == {"bin/python3.99", *LIBRARY} - {"lib/python3.99/os.py"}
    assert [note.partition(": ")[0] for note in lab.notes] == ["left out, as not only root can write it"] * 2
    assert str(folder) in lab.notes[1]


def test_a_language_without_its_library_is_an_error_with_the_cure(lab: Lab) -> None:
    program = lab.program("python3.99")
    with pytest.raises(JailsshError) as raised:
        lab.taken(program)
    errors = parts(raised.value)
    assert f"{lab.top}/lib*/python3.99/encodings" in str(errors[0])
    assert "apt-get install libpython3.99-minimal" in errors[0].hint
    missing: list[ImageError] = []
    assert lab.taken(program, missing=missing) == {"bin/python3.99"}
    assert len(missing) == 2


def venv(lab: Lab, name: str = "venv") -> Path:
    room = lab.top / name
    (room / "bin").mkdir(parents=True)
    (room / "bin/python").symlink_to(lab.top / "bin/python3.99")
    lab.file(f"{name}/pyvenv.cfg", f"home = {lab.top}/bin\nversion = 3.99.1\n")
    lab.file(f"{name}/lib/python3.99/site-packages/three.py")
    (room / "lib64").symlink_to("lib")
    return room


def test_the_script_of_a_venv_named_alone(lab: Lab) -> None:
    python(lab)
    room = venv(lab)
    script = room / "bin/tool"
    script.write_text(f"#!{room}/bin/python\n")
    script.chmod(0o755)
    own = {"venv/bin/python", "venv/bin/tool", "venv/pyvenv.cfg", "venv/lib64",
           "venv/lib/python3.99/site-packages/three.py"}  # fmt: skip
    assert lab.taken(script) == {"bin/python3.99", *LIBRARY, *own}, "without the modules outside of it"
    with (room / "pyvenv.cfg").open("a") as file:
        file.write("include-system-site-packages = true\n")
    assert lab.taken(script) == {"bin/python3.99", *LIBRARY, *MODULES, *own}
    assert lab.taken(script, lab.top / "bin/python3.99") == {"bin/python3.99", *LIBRARY, *MODULES, *own}


def test_a_venv_with_a_copy_of_the_interpreter(lab: Lab) -> None:
    python(lab)
    room = venv(lab)
    (room / "bin/python").unlink()
    shutil.copy(ELF, room / "bin/python3")
    taken = lab.taken(room / "bin/python3")
    assert {"venv/bin/python3", "venv/pyvenv.cfg", "bin/python3.99", *LIBRARY} <= taken
    assert not MODULES & taken
    lab.file("venv/pyvenv.cfg", f"home = {lab.top}/bin\nversion = 3.98.1\n")
    with pytest.raises(ImageError, match=r"lacks the Python 3\.98 of the virtual environment") as raised:
        lab.taken(room / "bin/python3")
    assert raised.value.hint == "make the environment anew"


def test_a_language_that_not_everybody_can_reach_is_not_whole(lab: Lab) -> None:
    for name in ("encodings/x.py", "json/x.py"):
        lab.file(f"deep/lib/python3.99/{name}")
    program = lab.top / "deep/bin/python3.99"
    program.parent.mkdir()
    shutil.copy(ELF, program)
    assert "deep/lib/python3.99/json/x.py" in lab.taken(program)
    (lab.top / "deep").chmod(0o700)
    with pytest.raises(JailsshError) as raised:
        lab.taken(program)
    assert [f"not everybody may read {lab.top}/deep/lib/python3.99/" in str(one) for one in parts(raised.value)] == [
        True, True,
    ]  # fmt: skip


def test_the_package_of_a_tool_and_those_of_its_source(lab: Lab) -> None:
    program = lab.program("emacs-nox")
    (lab.top / "share/emacs/1/lisp").mkdir(parents=True)
    lab.dpkg.status(
        PACKAGE.format("emacs-nox", "emacs", "emacs-common, foreign") + PACKAGE.format("emacs-common", "emacs", "none")
        + PACKAGE.format("foreign", "other", "none")
    )  # fmt: skip
    lab.dpkg.list("emacs-nox", str(program))
    lab.dpkg.list("emacs-common", "/etc/hosts", "/usr/share/doc/bash/copyright", "/usr/lib/os-release")
    lab.dpkg.list("foreign", "/usr/share/common-licenses")
    asked: list[str] = []
    sources = Sources(HostPath(str(lab.top)))

    def take(path: str, _: str) -> Found:
        asked.append(path)
        return sources.find(HostPath(path)) or pytest.fail(path)

    companions = Companions(sources, Taking(take, lambda *_: None, lab.notes.append), lab.dpkg.packages())
    companions.closure = Closure(sources, take, lab.notes.append, started=companions.started)
    companions.closure.program(HostPath(str(program)), "test")
    assert {"/etc/hosts", "/usr/lib/os-release"} <= set(asked)
    assert not {"/usr/share/doc/bash/copyright", "/usr/share/common-licenses"} & set(asked)


@pytest.mark.parametrize("own", ["/usr/share/doc/bash/copyright", "/usr/bin/sh"], ids=["nothing", "a link"])
def test_a_package_of_nothing_but_links_stands_for_those_that_it_names(lab: Lab, own: str) -> None:
    rows = (("meta", "real, none"), ("real", "meta-common, lib"), ("meta-common", "none"), ("lib", "none"))
    lab.dpkg.status("".join(PACKAGE.format(name, name, needs) for name, needs in rows))
    lab.dpkg.list("meta", own)
    for name, path in (("real", "/usr/bin/true"), ("meta-common", "/usr/bin/false"), ("lib", "/usr/bin/env")):
        lab.dpkg.list(name, path)
    lab.taken(packages=("meta",))
    assert {"/usr/bin/true", "/usr/bin/false"} <= set(lab.all), "that of the dependency, and that of the same name"
    assert "/usr/bin/env" not in lab.all
    assert ("/usr/bin/sh" in lab.all) == (own == "/usr/bin/sh")


def test_a_package_with_a_program_brings_its_own_alone(lab: Lab) -> None:
    lab.dpkg.status(PACKAGE.format("real", "real", "other") + PACKAGE.format("other", "other", "none"))
    lab.dpkg.list("real", "/usr/bin/true", "/usr/share/doc/bash/copyright")
    lab.dpkg.list("other", "/usr/bin/false")
    lab.taken(packages=("real",))
    assert "/usr/bin/true" in lab.all
    assert not {"/usr/bin/false", "/usr/share/doc/bash/copyright"} & set(lab.all)


def test_a_link_to_a_directory_brings_what_is_in_it(lab: Lab) -> None:
    jvm = lab.top / "jvm"
    (jvm / "bin").mkdir(parents=True)
    shutil.copy(ELF, jvm / "bin/java")
    lab.file("jvm/lib/modules")
    lab.file("jvm/lib/src.zip")
    (jvm / "conf").symlink_to(lab.top / "etc-java")
    lab.file("etc-java/security/java.security")
    taken = lab.taken(jvm / "bin/java")
    assert {"jvm/bin/java", "jvm/lib/modules", "jvm/conf"} <= taken
    assert "jvm/lib/src.zip" not in taken


def manual(lab: Lab, *more: str) -> Path:
    lab.file("share/groff/1.99/tmac/an.tmac")
    for page in (
        "man1/one.1.gz",
        "man1/one-more.1.gz",
        "man1/one.x.1.gz",
        "man1/[.1",
        "man8/two.8",
        "man5/one.5.gz",
        "man1/man.1.gz",
        "man1/git-log.1.gz",
        "man7/gitdates.7.gz",
        "man3/one.3.gz",
        "man1/none.1.gz",
        *more,
    ):
        lab.file(f"share/man/{page}")  # fmt: skip
    return lab.program("man")


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_the_manual_has_the_pages_of_all_that_is_started(lab: Lab, first: bool) -> None:
    man = manual(lab)
    (lab.top / "share/man/man1/also.1.gz").symlink_to("none.1.gz")
    for name in ("one", "[", "two", "real"):
        lab.program(name)
    (lab.top / "bin/also").symlink_to("real")
    others = [lab.top / "bin" / name for name in ("one", "[", "two", "also")]
    taken = lab.taken(*([man, *others] if first else [*others, man]))
    assert {path for path in taken if path.startswith("share/man/")} == {
        f"share/man/{page}"
        for page in ("man1/one.1.gz", "man5/one.5.gz", "man1/[.1", "man8/two.8", "man1/man.1.gz", "man1/also.1.gz",
                     "man1/none.1.gz")
    }  # fmt: skip
    assert lab.notes == []


def test_a_tool_with_pages_of_its_own_brings_them_to_the_manual(lab: Lab) -> None:
    man, git = manual(lab, "man1/gone.1"), lab.program("git")
    lab.file("lib/git-core/git-log")
    (lab.top / "share/man/man1/git-log.1.gz").chmod(0o640)
    (lab.top / "share/man/man7/gitdates.7.gz").with_name("gitmore.7").symlink_to("nothing")
    pages = {path for path in lab.taken(man, git) if path.startswith("share/man/")}
    assert pages == {"share/man/man7/gitdates.7.gz", "share/man/man1/man.1.gz"}  # not what not everybody may read


@pytest.mark.parametrize("room", ["lib", "libexec"])
def test_a_tool_among_its_own_programs_needs_what_it_needs_elsewhere(lab: Lab, room: str) -> None:
    lab.file(f"{room}/git-core/git-log")
    lab.file("share/git-core/templates/description")
    inside = lab.top / room / "git-core/git"
    lab.program("git").rename(inside)
    assert lab.taken(inside) >= {f"{room}/git-core/git-log", "share/git-core/templates/description"}


def test_without_the_manual_nobody_needs_pages(lab: Lab) -> None:
    manual(lab)
    assert not [path for path in lab.taken(lab.program("one")) if path.startswith("share/man/")]


def test_the_manual_without_what_formats_it_is_an_error_with_the_cure(lab: Lab) -> None:
    man = manual(lab)
    shutil.rmtree(lab.top / "share/groff")
    with pytest.raises(ImageError, match="without which man does not work") as error:
        lab.taken(man)
    assert "groff-base" in str(error.value.hint)


def test_every_row_is_found_by_the_program_of_its_name() -> None:
    programs = (
        "python3.11 perl perl5.36.0 ruby3.1 node php8.2 composer java lua5.4 tclsh8.6 R Rscript git mysql mariadb "
        "x86_64-linux-gnu-gcc-12 x86_64-linux-gnu-g++-12 mysqldump mariadb-dump pg_wrapper psql borg hg vim.basic "
        "vim.nox nano mc emacs-nox tmux tput infocmp curl wget convert-im6.q16 rdiff-backup restic rclone sqlite3 jq "
        "bc zsh fish file npm-cli.js iconv man"
    )
    for name in programs.split():
        assert list(languages_of(name)), name
    for name in ("python", "bash", "gccgo", "mcopy", "github", "vimdiff-x", "rustc"):
        assert not list(languages_of(name)), name
    assert {row.name: version for row, version in languages_of("php8.2")} == {"php": "8.2"}


def test_settings_of_all_name_nothing_secret() -> None:
    patterns = settings_of_all()
    assert {"/etc/php/*/cli", "/etc/ImageMagick-*", "/etc/emacs", "/etc/java*", "/etc/alternatives"} <= set(patterns)
    for secret in ("/etc/ssl/private", "/etc/shadow", "/etc/ssh", "/etc/jailssh", "/etc/passwd"):
        assert not any(Path(secret).match(pattern) or pattern in ("/etc", "/etc/ssl") for pattern in patterns), secret
    assert len({row.name for row in LANGUAGES}) > 30
