"""The hooks of every repository: the administrator's, ours where a table has rights to references, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below, is_clean_absolute
from jailssh.plugin.api import Jail, Value
from jailssh_plugins.git.after import lines_of
from jailssh_plugins.rights import has_references

NO_HOOKS = "/etc/jailssh/no-hooks"
"""The empty, root-owned directory of the image that stands in for every repository's hooks."""

REF_HOOKS = "/etc/jailssh/ref-hooks"
"""The same with hooks of our own in it, where the administrator has no hooks."""

JUDGE = "jailssh-refs"
"""The program that these hooks are: it does what its name says."""

AFTER = "post-receive"
"""The hook that runs what after_push says."""

HOOKS = "pre-receive update post-receive post-update reference-transaction push-to-checkout pre-auto-gc proc-receive"
"""What serving runs, githooks(5)."""


def hooks_of(settings: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the hooks' files; raise unless all are hooks in one directory that nothing in a jail hides."""
    hooks = settings["hooks"] if isinstance(settings["hooks"], tuple) else ()
    for path in hooks:
        if not is_clean_absolute(path) or not is_below(path, "/etc"):
            raise ConfigError(
                "[git] hooks", f"{path} is not a file below /etc", hint="as in: /etc/jailssh/hooks/update"
            )
        if os.path.basename(path) not in HOOKS.split():
            raise ConfigError("[git] hooks", f"{path} does not have the name of a server hook", hint=HOOKS)
    if len({os.path.dirname(path) for path in hooks}) > 1:
        raise ConfigError("[git] hooks", "are in several directories", hint="move all hooks to one directory")
    if judges(settings) and "proc-receive" in map(os.path.basename, hooks):
        why = "a hook proc-receive cannot be where the table has rights to references, which are carried out by one"
        raise ConfigError("[git] hooks", why, hint="pre-receive and update run beside it")
    if lines_of(settings) and (mine := next((path for path in hooks if os.path.basename(path) == AFTER), "")):
        why = f"a hook {AFTER} cannot be beside after_push, which is one"
        raise ConfigError("[git] hooks", why, hint=f"give it a line there: ** refs/** {mine}")
    return hooks


def judges(settings: Mapping[str, Value]) -> bool:
    """True if the table has rights to references."""
    lines = settings["rights"]
    return isinstance(lines, tuple) and has_references(lines)


def own_hooks(settings: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the names of the hooks that are a program of ours."""
    return (*(("proc-receive",) if judges(settings) else ()), *((AFTER,) if lines_of(settings) else ()))


def find_judge(jail: Jail) -> str:
    """Return the path of our own hook in the image."""
    path = jail.find_program(JUDGE)
    if path is None:
        raise ConfigError(JUDGE, "not found on this host", hint="install jailssh anew")
    return path


def hook_folder(settings: Mapping[str, Value]) -> str:
    """Return the directory of the image that git takes hooks from."""
    none = REF_HOOKS if own_hooks(settings) else NO_HOOKS
    return os.path.dirname(next(iter(hooks_of(settings)), f"{none}/"))
