"""Languages and tools of another Debian than this machine's in a tree, an image and a live root.

In jails they are tried by real logins; https is tried in the tree, whose room has a server of its own.
"""

from __future__ import annotations

import pytest

from tests.harness.languages import ROWS, faults, login_faults, script
from tests.system.booted import ALL, BootedTree, languaged
from tests.system.people import SSH

pytestmark = [
    pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn"),
    pytest.mark.parametrize("tree", languaged(), indirect=True),
]

# Those of booted.LARGE_LANGUAGES.
LARGE = (
    "composer", "node", "npm", "mysql", "mysqldump", "psql", "pg_dump", "java", "borg", "hg", "vim", "mc", "emacs",
)  # fmt: skip
NAMES = (
    "python3", "perl", "ruby", "php", "lua5.4", "tclsh", "gcc", "git", "tmux", "tput", "infocmp", "curl", "wget", "jq",
    "sqlite3", "iconv", "man", *(LARGE if ALL else ()),
)  # fmt: skip
# Named by their packages in the jails: what comes so must work as well.
PACKAGED = {
    name: package
    for name, package in {
        "php": "php-cli", "composer": "composer", "java": "default-jre-headless", "psql": "postgresql-client",
        "mysql": "mariadb-client", "emacs": "emacs-nox", "tclsh": "tcl",
    }.items() if name in NAMES
}  # fmt: skip
JAILS = {"image": "langs", "live": "lives"}

_said: dict[tuple[str, str], str] = {}


def jail_files() -> dict[str, str]:
    """Return the files of both jails."""
    named = " ".join(name for name in NAMES if name not in {*PACKAGED, "mysqldump", "pg_dump"})
    packages = " ".join(PACKAGED.values())
    image = f"plugins = shell\ntmp_size = 256M\npackages = {packages}\n[shell]\nprograms = {named}\n"
    return {"langs": image, "lives": "plugins = shell\nroot = live\ntmp_size = 256M\n"}


def said(tree: BootedTree, kind: str) -> str:
    """Return what was said in a tree (``--verify``) or by a login into a jail; each is made once."""
    key = (tree.suite, kind)
    if key not in _said:
        _said[key] = _verified(tree) if kind == "tree" else _logged_in(tree, JAILS[kind])
    return _said[key]


def _verified(tree: BootedTree) -> str:
    spec = "".join(f"program {name}\n" for name in (*NAMES, "sleep"))
    tree.run("cat >/root/t.jailspec", input=spec, check=True)
    done = tree.run("jailssh build /root/t.jailspec /srv/languages --verify; rm -rf /srv/languages", timeout=600)
    return done.stdout + done.stderr


def _logged_in(tree: BootedTree, jail: str) -> str:
    tree.run(f"mkdir -p /etc/jailssh/jails; cat >/etc/jailssh/jails/{jail}.conf", input=jail_files()[jail], check=True)
    tree.run(
        f"useradd -m {jail}; jailssh adduser {jail} --jail {jail} --key /root/key.pub --yes", check=True, timeout=600
    )
    # Debian's php has its name from alternatives; a login has what it would find on the host.
    done = tree.run(f"ssh {SSH} {jail}@localhost sh", input=script(NAMES), timeout=600)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_it_works_in_a_tree(tree: BootedTree, name: str) -> None:
    assert name in ROWS
    assert faults(name, said(tree, "tree")) == ""


@pytest.mark.parametrize("kind", JAILS)
@pytest.mark.parametrize("name", NAMES)
def test_it_works_in_a_jail(tree: BootedTree, kind: str, name: str) -> None:
    assert login_faults(name, said(tree, kind)) == ""


@pytest.mark.parametrize("kind", JAILS)
def test_extensions_of_php_are_those_of_the_host(tree: BootedTree, kind: str) -> None:
    said(tree, kind)
    inside = tree.sh(f"ssh -n {SSH} {JAILS[kind]}@localhost php -m")
    assert inside == tree.sh("php -m")
    assert {"mbstring", "curl", "Phar"} <= set(inside.split())
