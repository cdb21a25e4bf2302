"""The git plugin: clone, fetch and push for the repositories below configured directories.

git(1) SECURITY and git-config(1): hooks and several settings of a repository run programs.  Hooks are switched off
by pointing core.hooksPath to an empty directory of the image; system and user configuration are not read, so
``uploadpack.packObjectsHook`` (which git takes from there) cannot be set; whatever else a repository's own
configuration names would have to exist in the image, which holds git and no shell, since all that the user can
write to is mounted noexec.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Option, PluginResult, Rule, Value
from jailssh_plugins.roots import covered, mounts, paths

NO_HOOKS = "/usr/share/jailssh/no-hooks"
"""The empty, root-owned directory of the image that stands in for every repository's hooks."""

# enter_repo() of git tries these suffixes; safe.directory must name the directory that it ends in, and no other.
_REPOSITORIES = ("%p", "%p/.git", "%p.git", "%p.git/.git")

_CONFIG = (
    ("core.hooksPath", NO_HOOKS),
    ("core.fsmonitor", "false"),
    # No transport: an object missing from a partial clone must not make the server fetch it from elsewhere.
    ("protocol.allow", "never"),
    # A clean-up after a push must end before the session does, or it would be killed half done.
    ("gc.autoDetach", "false"),
    *(("safe.directory", path) for path in _REPOSITORIES),
)


class Git:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "git"
    summary = "git clone, fetch and push below configured directories"
    options = (
        Option("read", "paths", "", "directories whose repositories may be cloned and fetched; mounted read-only"),
        Option("write", "paths", "", "directories whose repositories may also be pushed to"),
        Option("archive", "bool", "no", "allow git archive --remote"),
        Option("max_pack", "size?", "", "the most that one push may send, as in 500M; empty is no limit"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """git itself: everything that serving needs is built into that one program."""
        return ImageNeeds(programs=(_find_git(jail),), dirs=(NO_HOOKS,))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule for each service, with the directories that it may be asked about."""
        read = paths(settings, "read", account, self.name)
        write = paths(settings, "write", account, self.name)
        if not read and not write:
            raise ConfigError("[git]", "names no directory", hint="set read or write, as in: write = /srv/git")
        for path in read:
            if covered(path, write):
                raise ConfigError("[git] read", f"{path} is below a directory in write, so it cannot be read-only")
        git = _find_git(jail)
        roots = (*read, *(path for path in write if path not in read))
        rules = [_service("upload-pack", git, roots, roots[0])]
        if settings["archive"]:
            rules.append(_service("upload-archive", git, roots, roots[0]))
        if write:
            most = settings["max_pack"]
            limit = (("receive.maxInputSize", str(most)),) if isinstance(most, int) and most >= 0 else ()
            rules.append(_service("receive-pack", git, write, roots[0], limit))
        place = mounts(read, write, account, self.name)
        if place.home == "rw" and any(is_below(path, account.home) for path in read):
            raise ConfigError("[git] read", "is in the home, which write makes writable", hint="use one of them there")
        return PluginResult(tuple(rules), "git", binds=place.binds, home=place.home)


def _find_git(jail: Jail) -> str:
    path = jail.find_program("git")
    if path is None:
        raise ConfigError("git", "not found on this host", hint="install git")
    return path


def _service(
    service: str, git: str, roots: tuple[str, ...], base: str, config: tuple[tuple[str, str], ...] = ()
) -> Rule:
    """Return the rule for ``service`` in the spellings of git, of people, and of ``--upload-pack=/usr/bin/…``."""
    return Rule(
        id=f"git.{service}",
        plugin="git",
        program=git,
        words=(
            f"git-{service}",
            f"git {service}",
            f"/usr/bin/git-{service}",
            f"/usr/bin/git {service}",
            f"/usr/lib/git-core/git-{service}",
            f"/usr/libexec/git-core/git-{service}",
        ),
        fixed=(service,),
        operands=(1, 1, "path"),
        base=base,
        roots=roots,
        env=_environment((*_CONFIG, *config)),
    )


def _environment(config: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the variables: no configuration but the repository's own and what stands here, which wins over it."""
    env = [("HOME", "/"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ATTR_NOSYSTEM", "1")]
    env += [("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("GIT_CONFIG_COUNT", str(len(config)))]
    for number, (key, value) in enumerate(config):
        env += [(f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value)]
    return tuple(env)


plugin = Git()
