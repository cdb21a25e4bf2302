"""How git is started to serve one repository: its spellings, its configuration, its environment."""

from __future__ import annotations

Pairs = tuple[tuple[str, str], ...]

CONFIG: Pairs = (
    ("core.fsmonitor", "false"),
    # No transport: an object missing from a partial clone must not make the server fetch it from elsewhere.
    ("protocol.allow", "never"),
    # A clean-up after a push must end before the session does, or it would be killed half done.
    ("gc.autoDetach", "false"),
    # Repositories may have another owner: this one, bare or beside its working tree, and no other.
    ("safe.directory", "%p"),
    ("safe.directory", "%p/.git"),
)
"""Configuration for every service, beside the place of the hooks."""


def spellings(service: str) -> tuple[str, ...]:
    """Return the first words of git, of people, and of ``--upload-pack=/usr/bin/…``."""
    return (
        f"git-{service}",
        f"git {service}",
        f"/usr/bin/git-{service}",
        f"/usr/bin/git {service}",
        f"/usr/lib/git-core/git-{service}",
        f"/usr/libexec/git-core/git-{service}",
    )


def environment(config: Pairs) -> Pairs:
    """Return the variables: no configuration but the repository's own and what stands here, which wins over it."""
    env = [("HOME", "/"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ATTR_NOSYSTEM", "1")]
    env += [("GIT_TERMINAL_PROMPT", "0"), ("GIT_NO_LAZY_FETCH", "1"), ("GIT_CONFIG_COUNT", str(len(config)))]
    for number, (key, value) in enumerate(config):
        env += [(f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value)]
    return tuple(env)
