"""jk_init, jk_cp and jk_update under Jailkit's names, in a directory of root's."""

from __future__ import annotations

import os

import pytest

from jailssh.compat import names
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


def test_an_unsafe_place_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.base.chmod(0o777)
    code, out, err = run(capsys, "jk_init", "-f", "-j", str(site.tree), "sftp")
    assert (code != 0, out) == (True, [])
    assert str(site.base) in err
