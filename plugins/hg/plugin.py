"""The hg plugin: Mercurial over ssh (``hg -R PATH serve --stdio``) for listed repositories.

Each repository is a rule of its own, word for word: Mercurial reads options anywhere on its command line, and a path
such as ``--config=…`` has run programs before (CVE-2017-9462), so no word of the client's reaches it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial, denied, quoted
from jailssh_plugins.pythons import ENVIRONMENT, modules
from jailssh_plugins.roots import covered, mounts, paths

# hgrc(5): an empty HGRCPATH reads no configuration but the repository's own, HGRCSKIPREPO not even that: its extensions
# are code that runs in hg itself.  HGPLAIN drops aliases and pagers.
_ENV = (*ENVIRONMENT, ("HGRCPATH", ""), ("HGRCSKIPREPO", "1"), ("HGPLAIN", "1"), ("HOME", "/"))


class Hg:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "hg"
    summary = "Mercurial over ssh, for listed repositories"
    options = (
        Option("read", "paths", "", "repositories to clone and pull, mounted read-only", listed=Listed.INSTEAD),
        Option("write", "paths", "", "repositories to push to, too", listed=Listed.INSTEAD),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """The hg script with its interpreter, Python's modules and Mercurial's."""
        return ImageNeeds(
            bare_programs=(_find_hg(jail),), optional_files=modules("mercurial", "hgext", "hgext3rd", "hgdemandimport")
        )

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule for each repository and each way to write its path."""
        read = paths(settings, "read", account, self.name)
        write = paths(settings, "write", account, self.name)
        if not read and not write:
            raise ConfigError("[hg]", "no repository is set", hint="set read or write, as in: write = /srv/hg/x")
        for path in read:
            if covered(path, write):
                raise ConfigError("[hg] read", f"{path} is also in write, so it cannot be read-only")
        place = mounts(read, write, account, self.name)
        reach = Reach((*read, *write), write)
        hg = _find_hg(jail)
        spelled = [(path, text) for path in (*read, *write) for text in _spellings(path, account)]
        rules = [
            replace(_rule(hg, number, path, text), accessible_directories=((path, path in write),))
            for number, (path, text) in enumerate(spelled, 1)
        ]
        return PluginResult(tuple(rules), "hg", binds=place.binds, home=place.home, reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The server of each repository says what it can do, and takes no word of the client's."""
        places = (*paths(settings, "read", account, self.name), *paths(settings, "write", account, self.name))
        uses = [
            Trial(
                f"hg.serve.{number}",
                "a server for a clone",
                command=f"hg -R {quoted(path)} serve --stdio",
                input=b"hello\n",
                shows="capabilities:",
                needs=(f"{path}/.hg",),
            )
            for number, path in enumerate(places, 1)
        ]
        one = quoted(places[0])
        others = (f"hg -R {one} serve --stdio --debugger", f"hg -R {one} --config=alias.serve=!id serve --stdio",
                  "hg -R /etc serve --stdio", f"hg -R {one} serve", f"hg -R '{places[0]}/../x' serve --stdio",
                  f"hg -R {one} --config ui.debugger=id serve --stdio", "hg clone / /tmp/x", f"hg -R {one} log",
                  "hg -R --config=alias.serve=!id serve --stdio", "hg serve --stdio")  # fmt: skip
        return (*uses, *denied("hg.program", "an option of the client's, or another command", *others))


def _spellings(path: str, account: Account) -> Iterator[str]:
    """Yield how URLs name ``path``: ``ssh://host//abs/path``, and ``ssh://host/path`` from the home on."""
    yield path
    if path != account.home and is_below(path, account.home):
        yield path[len(account.home.rstrip("/")) + 1 :]


def _rule(hg: str, number: int, path: str, text: str) -> Rule:
    if text.startswith("-"):
        raise ConfigError(f"[hg] {path}", "begins with '-', so Mercurial reads it as an option", hint="rename it")
    return Rule(
        id=f"hg.serve.{number}",
        plugin="hg",
        program=hg,
        command_names=tuple(dict.fromkeys(("hg", "/usr/bin/hg", hg))),
        literal_words=("-R", text, "serve", "--stdio"),
        environment=_ENV,
        noexec=True,
    )


def _find_hg(jail: Jail) -> str:
    path = jail.find_program("hg")
    if path is None:
        raise ConfigError("hg", "not found on this host", hint="install mercurial")
    return path


plugin = Hg()
