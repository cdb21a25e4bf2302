"""The git plugin: clone, fetch, push and create for the repositories below configured directories.

git(1) SECURITY and git-config(1): hooks and several settings of a repository run programs.  core.hooksPath points to
an empty directory of the image, or to that of the administrator's own hooks; system and user configuration are not
read, so ``uploadpack.packObjectsHook`` (which git takes from there) cannot be set; whatever else a repository's own
configuration names would have to exist in the image, which holds git and no shell, since all that the user can
write to is mounted noexec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute
from jailssh.plugin.api import (
    API_VERSION,
    Account,
    Grant,
    ImageNeeds,
    Jail,
    Listed,
    Option,
    PluginResult,
    Reach,
    Rule,
    Value,
)
from jailssh.plugin.trials import Trial
from jailssh_plugins.git import after, commands, trials
from jailssh_plugins.git.hooks import NO_HOOKS, find_judge, hook_folder, hooks_of, own_hooks
from jailssh_plugins.git.program import find_git
from jailssh_plugins.git.served import Served, allowed, has_table, references
from jailssh_plugins.git.serving import CONFIG, JUDGED, Pairs, environment, judging, signers, spellings, switches
from jailssh_plugins.roots import paths

_NO_LFS = (
    "Git LFS is not available here; store large files on an HTTP server and set its URL: "
    "git config -f .lfsconfig lfs.url https://..."
)
_NO_ARCHIVE = "git archive --remote is not available here; make the archive from a clone: git clone --depth 1 ..."
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*\Z")


class Git:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "git"
    summary = "git clone, fetch and push below configured directories"
    options = (
        Option(
            "read", "paths", "", "directories of repositories to clone and fetch, mounted read-only", listed=Listed.READ
        ),
        Option("write", "paths", "", "directories of repositories to push to, too", listed=Listed.WRITABLE),
        Option("roots", "paths", "", "directories of the repositories in rights", listed=Listed.INSTEAD),
        Option(
            "rights", "rights", "", "table of who may read, write, create which repositories; replaces read and write"
        ),
        Option("branch", "word", "main", "first branch of a repository that a push creates"),
        Option("hooks", "paths", "", "hooks for every repository, files in one directory below /etc"),
        Option("programs", "words", "", "programs that the hooks call, by name or path"),
        Option(
            "after_push",
            "texts",
            "",
            "what follows a push: lines of a repository, a reference, and a command or an address",
        ),
        Option("after_push_seconds", "int", "60", "seconds in which all of that must be done"),
        Option("webhook_secret", "path", "", "file of root's with the key that signs what is sent to addresses"),
        Option("archive", "bool", "no", "allow git archive --remote"),
        Option("commands", "words", "", "commands of ssh: info, list, create, describe, set-head, delete"),
        Option("push_options", "bool", "no", "take push options (git push -o), which hooks get"),
        Option("partial_clone", "bool", "no", "allow clones without large files (git clone --filter)"),
        Option("max_pack", "size?", "", "maximum size of a push, as in 500M; empty means no limit"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """git itself: everything that serving needs is built into that one program; the hooks with what they need."""
        roots = settings["roots"] if isinstance(settings["roots"], tuple) else ()
        # One image for all keys of an account, also for those that see no repository.
        tops = {f"/{path.split('/')[1]}" for path in roots if is_clean_absolute(path) and path != "/"}
        more = settings["programs"] if isinstance(settings["programs"], tuple) else ()
        ours: list[str] = []
        links: tuple[tuple[str, str], ...] = ()
        if has_table(settings) or commands.commands_of(settings):
            ours.append(commands.find(jail))
        if own := own_hooks(settings):
            ours.append(judge := find_judge(jail))
            links = tuple((f"{hook_folder(settings)}/{name}", judge) for name in own)
        return ImageNeeds(
            bare_programs=(find_git(jail), *ours),
            programs=(*hooks_of(settings), *after.programs_of(settings), *more, "true"),
            dirs=(NO_HOOKS, *sorted(tops)),
            links=links,
        )

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule for each service, with the repositories that it may be asked about."""
        git, archive = find_git(jail), bool(settings["archive"])
        may, place = allowed(account, settings)
        more = settings["programs"] if isinstance(settings["programs"], tuple) else ()
        config = (("core.hooksPath", hook_folder(settings)), *signers(more), *CONFIG, *switches(settings))
        rules = [_answer("git.lfs", git, ("lfs-authenticate", "lfs-transfer"), _NO_LFS)]
        who = "account" if account.name in account.roles else "key"
        if Grant.READ in may:
            rules.append(_service("upload-pack", git, may[Grant.READ], config))
            if archive:
                rules.append(_service("upload-archive", git, may[Grant.READ], config))
            else:
                rules.append(_answer("git.no-archive", git, ("upload-archive",), _NO_ARCHIVE))
            if Grant.WRITE not in may and Grant.CREATE not in may:
                rules.append(_answer("git.read-only", git, ("receive-pack",), f"pushing is not allowed for this {who}"))
        else:
            no = f"no repository access for this {who}"
            rules.append(_answer("git.no-rights", git, ("upload-pack", "receive-pack", "upload-archive"), no))
        most = settings["max_pack"]
        if isinstance(most, int) and most >= 0:
            config = (*config, ("receive.maxInputSize", str(most)))
        hooks: dict[str, str] = {}  # what our own hooks know the repository and the lines by
        writes = may[Grant.WRITE].like if Grant.WRITE in may else ()
        if (lines := references(account, settings, writes, commands.copies(settings))) is not None:
            config = (*config, *JUDGED)
            hooks.update(judging(git, lines))
        pushed = may.get(Grant.WRITE) or may.get(Grant.CREATE)
        if pushed and (told := after.variables(settings, pushed.base, jail)):
            hooks.update((("JAILSSH_REPOSITORY", "%p"), *told))
        config_of_new = (*config, ("init.defaultBranch", _branch(settings)))
        if Grant.WRITE in may:
            rules.append(_service("receive-pack", git, may[Grant.WRITE], config, tuple(hooks.items())))
        if Grant.CREATE in may:
            making = {"JAILSSH_ROOTS": "\n".join(may[Grant.CREATE].roots), "JAILSSH_GIT": git, **hooks}
            rule = _service("receive-pack", git, may[Grant.CREATE], config_of_new, tuple(making.items()))
            first = (commands.find(jail), "ensure", "%p")
            rules.append(replace(rule, id="git.create", operands=(1, 1, "new-repository"), pre_command=first))
        names = ["git"]
        if commands.commands_of(settings):
            forced = environment(config_of_new)
            given = list(commands.rules(jail, account, settings, may, forced, judging(git, lines or ())))
            names += dict.fromkeys(rule.command_names[0] for rule in given if not rule.builtin_reply)
            rules += given
        # What it writes has the form of repositories; still nothing that another program trusts or keeps belongs there.
        seen = [served.roots for served in may.values()]
        written = may[Grant.WRITE].roots if Grant.WRITE in may else ()
        reach = Reach(trusts=tuple(dict.fromkeys(path for roots in seen for path in roots)), writes=written)
        logs = bool(after.lines_of(settings))
        return PluginResult(tuple(rules), ", ".join(names), binds=place.binds, home=place.home, reach=reach, logs=logs)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The beginning of a fetch and of a push, and ways to something else than a repository."""
        may, _ = allowed(account, settings)
        # Below a directory without patterns each name is a repository's.
        like = {right: served.like or tuple(f"{root}/*" for root in served.roots) for right, served in may.items()}
        roots = next((served.roots for served in may.values()), None) or paths(settings, "roots", account, self.name)
        wanted = commands.commands_of(settings)
        return tuple(trials.trials(like, roots, archive=bool(settings["archive"]), commands=wanted))


def _branch(settings: Mapping[str, Value]) -> str:
    name = str(settings["branch"])
    if not _BRANCH.match(name):
        raise ConfigError("[git] branch", f"{name!r} is not a branch name")
    return name


def _answer(rule: str, git: str, services: tuple[str, ...], text: str) -> Rule:
    words = tuple(word for service in services for word in spellings(service))
    return Rule(rule, "git", git, words, ignore_arguments=True, builtin_reply=(126, text))


def _service(service: str, git: str, served: Served, config: Pairs, more: Pairs = ()) -> Rule:
    return Rule(
        id=f"git.{service}",
        plugin="git",
        program=git,
        command_names=spellings(service),
        argv_prefix=(service,),
        operands=(1, 1, "repository"),
        relative_to=served.base,
        path_roots=served.roots,
        repository_patterns=served.like,
        environment=(*environment(config), *more),
    )


plugin = Git()
