"""jk_init, jk_cp and jk_update under Jailkit's names, in a directory of root's."""

from __future__ import annotations

import os

import pytest

from jailssh.compat import names, trees
from tests.root.build_site import Site, site

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[str], str]:
    code = names.main(argv)
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_a_jail_is_made_filled_and_updated(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    ini = site.base / "jk_init.ini"
    ini.write_text("[mine]\npaths = cat\nemptydirs = /svr\n")
    ini.chmod(0o644)
    jail, victim = str(site.tree), site.base / "victim"
    victim.mkdir()
    (victim / "file").write_text("kept\n")
    code, out, err = run(capsys, "jk_init", "-k", "-f", "-c", str(ini), "-j", jail, "mine")
    assert code == 0, err
    assert f"Copying /usr/bin/cat to {jail}/usr/bin/cat" in out
    assert all(line.startswith(("Creating ", "Copying ")) for line in out)
    assert "jk_init: runs: jailssh build --jk-init" in err
    assert os.path.isdir(f"{jail}/svr")
    code, out, err = run(capsys, "jk_cp", "-j", f"{jail}/", "/usr/bin/id")
    assert (code, f"Copying /usr/bin/id to {jail}/usr/bin/id" in out) == (0, True), err

    with open(f"{jail}/usr/bin/id", "ab") as stream:
        stream.write(b"older")
    assert run(capsys, "jk_cp", "-j", jail, "/usr/bin/id")[0] == 1, "only with -f"
    assert site.tree.joinpath("usr/bin/id").read_bytes().endswith(b"older")
    for name in ("usr/bin/gone", "usr/share/own"):
        site.tree.joinpath(name).parent.mkdir(exist_ok=True)
        site.tree.joinpath(name).write_text("x")
    os.chown(f"{jail}/usr/share/own", 1003, 1003)
    os.symlink(victim, f"{jail}/usr/out")
    os.makedirs(f"{jail}/opt/app")

    code, out, err = run(capsys, "jk_update", f"--jail={jail}", "-d", "--skip=/opt")
    would = {f"will update outdated file {jail}/usr/bin/id", f"will remove deprecated file {jail}/usr/bin/gone"}
    assert would <= set(out)
    assert site.tree.joinpath("usr/bin/gone").exists(), "a dry run changes nothing"
    code, out, err = run(capsys, "jk_update", f"--jail={jail}", "-k", "--skip=/opt")
    assert code == 0, err
    assert {
        f"skip {jail}/opt",
        f"removing outdated file {jail}/usr/bin/id",
        f"Copying /usr/bin/id to {jail}/usr/bin/id",
        f"removing deprecated file {jail}/usr/bin/gone",
        f"removing deprecated file {jail}/usr/out",
    } == set(out)
    assert "not root's, so it stays: /usr/share/own" in err
    assert site.tree.joinpath("usr/share/own").exists()
    assert (victim / "file").read_text() == "kept\n", "no link is entered"
    assert site.tree.joinpath("opt/app").exists()
    assert not site.tree.joinpath("usr/bin/id").read_bytes().endswith(b"older")
    assert run(capsys, "jk_update", f"--jail={jail}", "--skip=/opt")[1] == [f"skip {jail}/opt"]


def test_a_section_of_the_file_says_what_is_updated(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jail = str(site.tree)
    assert run(capsys, "jk_init", "-f", "-j", jail, "uidbasics")[0] == 0
    for path in ("usr/bin/gone", "opt/kept/gone", "srv/gone"):
        site.tree.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        site.tree.joinpath(path).write_text("x")
    ini = site.base / "jk_update.ini"
    ini.write_text(f"[{jail}]\ndirectories = /usr/bin, /opt, /srv\nskips = /opt/kept/\nhardlinks = 1\n")
    monkeypatch.setattr(trees, "UPDATE", str(ini))
    for section in ("-c", "--configsection"):
        code, out, err = run(capsys, "jk_update", "--dry-run", "-v", section, jail)
        assert (code, f"skip {jail}/opt/kept" in out) == (0, True), err
        removed = {line for line in out if "deprecated" in line}
        assert removed == {f"will remove deprecated file {jail}/{path}" for path in ("usr/bin/gone", "srv/gone")}
    assert run(capsys, "jk_update", "-c", f"{jail}/none")[0] == 1
    # A directory of the command line that is not there is an error before anything is done.
    code, out, err = run(capsys, "jk_update", "-j", jail, "/srv", "/none")
    assert (code, out, "/none is no directory of the jail" in err) == (1, [], True)
    assert (
        run(capsys, "jk_update", "-v", "-j", jail, "-s", "/srv/gone", "-s", "/opt", f"{jail}/srv", "/usr/bin")[0] == 0
    )
    assert [site.tree.joinpath(path).exists() for path in ("usr/bin/gone", "opt/kept/gone", "srv/gone")] == [
        False, True, True,
    ]  # fmt: skip


def test_an_unsafe_place_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.base.chmod(0o777)
    code, out, err = run(capsys, "jk_init", "-f", "-j", str(site.tree), "sftp")
    assert (code != 0, out) == (True, [])
    assert str(site.base) in err
