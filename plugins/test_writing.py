"""The guide in README.md, followed to the letter: its plugin is built, installed by pip, found, and judges commands."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.abilities import REPO
from tests.login.jails import plan_with

README = Path(__file__).with_name("README.md").read_text()
ASK = """
import dataclasses, json, sys
sys.path[:0] = [{repo!r}, {site!r}]
from jailssh.config import jails, reader
from jailssh.plugin.api import Account, Jail
from jailssh.plugin.registry import load_registry
assert "jailssh_darcs" not in sys.modules
before = load_registry().broken["darcs"].reason
assert "jailssh_darcs" not in sys.modules
registry = load_registry(["darcs"])
config = jails.read_jail("j", reader.read_document({jail!r}, "j.conf"), registry.options)
jail = Jail("j", config.plugins, {{"darcs": "/usr/bin/darcs"}}.get)
plugin = registry.get("darcs")
account = Account("alice", 1000, 1000, "alice", "/home/alice")
result = plugin.account(jail, account, config.options["darcs"])
image = plugin.image(jail, config.options["darcs"])
facts = {{"before": before, "origin": registry.origins["darcs"], "programs": image.programs,
          "rules": [dataclasses.asdict(rule) for rule in result.rules], "binds": [bind.path for bind in result.binds]}}
print(json.dumps(facts))
"""


def blocks(kind: Any) -> Any:
    """Return the README's code blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def named(text: Any) -> Any:
    """Return the file name in a block's first line, and the rest."""
    head, rest = text.split("\n", 1)
    return head.removeprefix("# "), rest


def test_every_shipped_plugin_is_in_the_table() -> None:
    entry_points = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["entry-points"]["jailssh.plugins"]
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/plugin.py")}
    named = {folder: folder.replace("_", "-") for folder in folders}
    assert set(entry_points) == set(named.values())
    assert [name for folder, name in named.items() if f"[{name}]({folder}/README.md)" not in README] == []
    assert all((REPO / "plugins" / name / "README.md").exists() for name in folders)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*/plugin.py")), ids=lambda path: path.parent.name)
def test_a_plugin_is_short_and_its_readme_names_every_option(path: Any) -> None:
    assert len(path.read_text().splitlines()) <= 200
    options = re.findall(r'\bOption\(\s*"([a-z_]+)"', path.read_text())
    assert options
    readme = path.with_name("README.md").read_text()
    assert [name for name in options if f"| `{name}` |" not in readme] == []


@pytest.fixture
def facts(tmp_path: Path) -> Any:
    """What the installed plugin says, asked in a Python of its own."""
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for kind in ("toml", "python"):
        name, text = named(blocks(kind)[0])
        (source / name).write_text(text)
    # Nothing is fetched: the build uses the setuptools that is there.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
               "--no-cache-dir", "--disable-pip-version-check", "--target", str(site), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    jail = next(text for text in blocks("ini") if "[darcs]" in text)
    ask = ASK.format(repo=str(REPO), site=str(site), jail=jail)
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.needs("pip", "login-program")
def test_a_plugin_made_by_the_guide(facts: Any, tmp_path: Path, match_build: Any) -> None:
    assert facts["before"] == "is from jailssh-darcs, which third_party_plugins does not list"
    assert facts["origin"] == "jailssh-darcs"
    assert facts["programs"] == ["/usr/bin/darcs"]
    assert facts["binds"] == ["/srv/darcs"]

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    rules = [Rule(**{name: frozen(value) for name, value in rule.items()}) for rule in facts["rules"]]
    plan = tmp_path / "plan"
    plan.write_bytes(codec.encode(plan_with(rules)))
    for command, answer in (
        ("darcs apply --all --repodir x", "allow\tdarcs.apply\t/usr/bin/darcs"),
        ("darcs apply --all --repodir /etc", "deny\tpath-outside"),
        ("darcs apply --all --repodir --posthook=id x", "deny\toption-not-allowed"),
        ("darcs apply --all --repodir x --posthook=id", "deny\toperand-count"),
        ("darcs transfer-mode", "deny\tword-missing"),
    ):
        done = subprocess.run([match_build, plan, command], capture_output=True, text=True, timeout=10)
        assert done.stdout.startswith(answer), done.stdout
