"""The rsync plugin: rsync over ssh, to and from configured directories.

What a client asks for is built by server_options() of rsync's options.c: ``rsync --server``, ``--sender`` if files
go to the client, one cluster of letters that ends in ``e`` and the client's capabilities, long options, a lone
``.``, the paths.  The options are those of rsync's own rrsync, 3.5.0, without the ones that run something, write
elsewhere or lift a limit.  Filter rules travel inside the protocol where no allow-list sees them; they are why
the jail must hold nothing that the account may not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial
from jailssh_plugins.roots import mounts, paths
from jailssh_plugins.rsync import trials
from jailssh_plugins.rsync.client_options import BOTH, DELETE, LETTERS, LINK_LETTERS, OVERWRITES, PULL, PUSH


class Rsync:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "rsync"
    summary = "rsync over ssh, to and from configured directories"
    options = (
        Option("read", "paths", "", "directories to copy from", listed=Listed.ALL),
        Option("write", "paths", "", "directories to copy to; to allow both, list one in both", listed=Listed.WRITABLE),
        Option("delete", "bool", "yes", "allow the --delete and --remove options when copying to this host"),
        Option("overwrite", "bool", "yes", "overwrite existing files; no: leave them as they are (--ignore-existing)"),
        Option("munge", "bool", "no", "make symbolic links unusable on this host (--munge-links)"),
        Option("confine", "bool", "no", "add --drop-D and --confine-root; needs rsync 3.5.0 or later on this host"),
        Option("probe", "bool", "no", "answer the command true, with which some backup programs test the connection"),
        Option("follow_links", "bool", "no", "allow -L, -k, -K, --copy-unsafe-links, which follow links on this host"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """The rsync program alone."""
        return ImageNeeds(programs=(_find_rsync(jail),))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule for each direction that has a directory."""
        read = paths(settings, "read", account, self.name)
        write = paths(settings, "write", account, self.name)
        if not read and not write:
            raise ConfigError("[rsync]", "no directory is set", hint="set read or write, as in: write = ~/backup")
        rsync = _find_rsync(jail)
        rules = []
        ways = (("pull", ("--server", "--sender"), (read, ())), ("push", ("--server",), ((), write)))
        for way, literals, (pulled, pushed) in ways:
            roots = pulled or pushed
            rule = _rule(f"rsync.{way}", rsync, literals, roots or read or write, account, settings)
            held = mounts(pulled, pushed, account, self.name).accessible_directories
            # The way that has no directory is read as the other one, to say that it is not this account's.
            told = (126, f"this account allows only {'uploads' if write else 'downloads'}")
            rules.append(replace(rule, accessible_directories=held) if roots else replace(rule, builtin_reply=told))
        rules += [_secluded(f"rsync.{way}.secluded", rsync, literals) for way, literals, _ in ways]
        if settings["probe"]:
            rules.append(Rule("rsync.probe", self.name, rsync, ("true",), builtin_reply=(0, "")))
        place = mounts(read, write, account, self.name)
        reach = _reach(write, overwrite=bool(settings["overwrite"]), delete=bool(settings["delete"]))
        return PluginResult(tuple(rules), "rsync", binds=place.binds, home=place.home, reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """The beginning of a transfer in each direction, and ways to make rsync do more."""
        read, write = (paths(settings, name, account, self.name) for name in ("read", "write"))
        letters = "" if settings["follow_links"] else LINK_LETTERS
        delete, probe = bool(settings["delete"]), bool(settings["probe"])
        return tuple(trials.trials(read, write, letters=letters, delete=delete, probe=probe))


def _reach(write: tuple[str, ...], *, overwrite: bool, delete: bool) -> Reach:
    """Return what is promised: whatever of the two is off is worth nothing where another program does it."""
    return Reach(
        writes=write,
        changes=write if overwrite or delete else (),
        keeps=() if overwrite and delete else write,
    )


def _find_rsync(jail: Jail) -> str:
    path = jail.find_program("rsync")
    if path is None:
        raise ConfigError("rsync", "not found on this host", hint="install rsync")
    return path


def _rule(
    rule: str,
    rsync: str,
    literals: tuple[str, ...],
    roots: tuple[str, ...],
    account: Account,
    settings: Mapping[str, Value],
) -> Rule:
    pull = "--sender" in literals
    if settings["confine"] and len(roots) > 1:
        raise ConfigError(
            "[rsync] confine",
            "rsync can be confined to one directory only",
            hint="list one directory in read and write",
        )
    keep = not settings["overwrite"]
    longs = {**BOTH, **(PULL if pull else PUSH)}
    if not pull and settings["delete"]:
        longs.update(DELETE)
    letters = LETTERS
    if settings["follow_links"]:
        letters += LINK_LETTERS
    else:
        del longs["copy-unsafe-links"]
    if keep:
        letters = letters.replace("b", "")
        for name in ("backup-dir",) if pull else OVERWRITES:
            del longs[name]
    # Relative paths begin in the home, as without jailssh, if any of the directories is there.
    in_home = any(is_below(root, account.home) for root in roots)
    return replace(
        _server(rule, rsync, literals, letters),
        long_options=tuple(sorted(longs.items())),
        argv_insert=_inserted(roots[0], settings, pull=pull),
        operand_marker=".",
        operands=(1, 1024 if pull else 1, "path"),
        relative_to=account.home if in_home else roots[0],
        path_roots=roots,
        glob=pull,
        # popt reads aliases from $HOME/.popt, which the user could write.
        environment=(("HOME", "/"),),
    )


def _secluded(rule: str, rsync: str, literals: tuple[str, ...]) -> Rule:
    """Return the answer to a client that sends its arguments by standard input, after the one cluster of letters."""
    return replace(
        _server(rule, rsync, literals, LETTERS + LINK_LETTERS + "s"),
        required_letters="s",
        operands=(0, 1024, "text"),
        builtin_reply=(126, "rsync's -s (--secluded-args, --protect-args) is not allowed here; use --no-s"),
    )


def _server(rule: str, rsync: str, literals: tuple[str, ...], letters: str) -> Rule:
    """Return what all rules for a client's command have, with these letters in its one cluster."""
    return Rule(
        id=rule,
        plugin="rsync",
        program=rsync,
        command_names=tuple(dict.fromkeys(("rsync", "/usr/bin/rsync", rsync))),
        literal_words=literals,
        short_flags=letters,
        cluster_tail=("e", "capabilities"),
        short_options=(("@", "int:0:2147483647"), ("B", "int:0:536870912")),
    )


def _inserted(root: str, settings: Mapping[str, Value], *, pull: bool) -> tuple[str, ...]:
    """Return the options that are added behind the client's, as rrsync adds them."""
    confine = ("--drop-D",) * (not pull) + (f"--confine-root={root}",) if settings["confine"] else ()
    munge = ("--munge-links",) if settings["munge"] else ()
    keep = () if pull or settings["overwrite"] else ("--ignore-existing",)
    return (*confine, *munge, *keep)


plugin = Rsync()
