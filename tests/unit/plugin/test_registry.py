"""The plugin registry, with real distributions on sys.path."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from jailssh.core.errors import ConfigError
from jailssh.plugin.registry import Registry, load_registry

GOOD = """
class P:
    api_version, name, summary, options = 2, "{name}", "s", ()
    def image(self, jail, settings): ...
    def account(self, jail, account, settings): ...
plugin = P()
"""
_numbers = itertools.count()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def distribution(site: Path, name: str, plugin: str, source: str) -> None:
    module = f"plug{next(_numbers)}"
    (site / f"{module}.py").write_text(source)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[jailssh.plugins]\n{plugin} = {module}:plugin\n")


def reason(registry: Registry, name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        registry.get(name)
    return caught.value.why


def test_a_third_party_plugin_must_be_listed(site: Path) -> None:
    marker = site / "imported"
    source = f"open({str(marker)!r}, 'w').close()\n" + GOOD.format(name="zip")
    distribution(site, "jailssh-zip", "zip", source)
    registry = load_registry()
    assert reason(registry, "zip") == "is from jailssh-zip, which third_party_plugins does not list"
    assert not marker.exists()
    registry = load_registry(["zip"])
    assert registry.get("zip").name == "zip"
    assert registry.origins["zip"] == "jailssh-zip"
    assert registry.options("zip") == ()
    assert marker.exists()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('boom')", "cannot be loaded: RuntimeError: boom"),
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("", "cannot be loaded: AttributeError"),
        ("plugin = 5", "lacks api_version, name, summary, options, image, account"),
        (GOOD.format(name="zip").replace("= 2,", "= 1,"), "plugin interface is 1, expected 2"),
        (GOOD.format(name="zap"), "name is 'zap', expected 'zip'"),
    ],
)
def test_broken_plugins_are_values(site: Path, source: str, why: str) -> None:
    distribution(site, "other", "zip", source)
    registry = load_registry(["zip"])
    assert registry.broken["zip"].distribution == "other"
    assert reason(registry, "zip").startswith(why)
    assert "zip" not in registry.plugins


def test_two_distributions_with_one_name(site: Path) -> None:
    distribution(site, "one", "zip", GOOD.format(name="zip"))
    distribution(site, "two", "zip", GOOD.format(name="zip"))
    assert reason(load_registry(["zip"]), "zip") == "offered by several distributions: one and two"


def test_a_plugin_that_is_not_there(site: Path) -> None:
    assert reason(load_registry(), "no-such") == "does not exist"
