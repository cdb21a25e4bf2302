"""What ``jailssh selftest`` tries of git: the beginning of a fetch and of a push, gitprotocol-pack(5), and no more.

A client that answers the list of references with a flush packet wants nothing and sends nothing, so a repository is as
it was.  Where the account may write, a repository without anything in it is made to be asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from jailssh.plugin.api import Grant
from jailssh.plugin.trials import PLACE, TOKEN, Trial, denied, quoted
from jailssh_plugins.git.commands import Command

_FLUSH = b"0000"
_EMPTY = (("HEAD", "ref: refs/heads/main\n"), ("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
          ("objects/", ""), ("refs/", ""), ("hooks/", ""))  # fmt: skip
_SERVICES = (("git-upload-pack", Grant.READ, "fetch", "a fetch from a repository"),
             ("git-receive-pack", Grant.WRITE, "push", "a push to a repository"))  # fmt: skip


def trials(
    may: Mapping[Grant, Sequence[str]], roots: Sequence[str], *, archive: bool, commands: Collection[Command]
) -> Iterator[Trial]:
    """Yield what is to be tried.

    ``may``: the patterns of the repositories that each right is given to, absolute; ``roots``: where
    repositories are.  ``archive``: git archive is allowed.  ``commands``: those of ssh that are.
    """
    if Command.LIST in commands and may.get(Grant.READ):
        yield Trial("git.list", "the list of repositories", command="list")
    for service, right, name, what in _SERVICES:
        if may.get(right):
            yield _use(service, f"git.{name}", what, may[right])
        else:
            some = quoted(f"{roots[0]}/{TOKEN}.git")
            yield from denied(f"git.no-{name}", f"{what}, for which there is no right", f"{service} {some}")
    yield from _outside(roots, set(may))
    words = ["git-shell -c id", "git", "git help", "git daemon --base-path=/",
             "git -c core.sshCommand=id upload-pack x",
             "git --exec-path=/tmp upload-pack x", "git-http-backend", "git-lfs-authenticate x download",
             "git clone ext::sh y", "git-upload-pack.sh x"]  # fmt: skip
    words += [] if archive else ["git-upload-archive x", "git-upload-archive --remote=ext::sh x"]
    yield from denied("git.program", "another program of git, or one by its options", *words)


def _use(service: str, id: str, what: str, places: Sequence[str]) -> Trial:
    """Return the trial of a service: an empty repository where a pattern lets one be, or the one that it names."""
    shows = "report-status" if service == "git-receive-pack" else "0000"
    for place in places:
        if folder := _folder(place):
            return Trial(id, what, command=f"{service} '{PLACE}'", input=_FLUSH, shows=shows, place=folder,
                         visible=True, files=_EMPTY)  # fmt: skip
    named = next((place for place in places if "*" not in place), "")
    needs = tuple(f"{named}{more}/HEAD" for more in ("", ".git", "/.git")) if named else (places[0],)
    return Trial(id, what, command=f"{service} {quoted(named or places[0])}", input=_FLUSH, shows="0000", needs=needs)


def _folder(pattern: str) -> str:
    """Return the directory in which any name fits the pattern, "" where there is none."""
    head, _, last = pattern.rpartition("/")
    return head if last in ("*", "**") and "*" not in head else ""


def _outside(roots: Sequence[str], rights: Collection[Grant]) -> Iterator[Trial]:
    inside = f"{roots[0]}/{TOKEN}"
    for service, right, _, _ in _SERVICES:
        if right not in rights:
            continue
        name = service.removeprefix("git-")
        yield from denied(
            f"git.{name}.option", "an option of git in the place of a repository",
            f"{service} --help", f"{service} '--exec=sh'", f"{service} '--upload-pack=sh' x", f"{service} -- x",
            f"{service} --stateless-rpc {inside}", f"{service} {inside} --help",
        )  # fmt: skip
        yield from denied(
            f"git.{name}.outside", "a repository outside of the directories",
            f"{service} /etc", f"{service} '{roots[0]}/../../etc'", f"{service} '../../etc'", f"{service} /",
            f"{service} ~root/x.git", f"{service} '{roots[0]}x/{TOKEN}'",
        )  # fmt: skip
        yield from denied(
            f"git.{name}.inside", "the inner files of a repository",
            f"{service} {inside}/.git/hooks", f"{service} .git", f"{service} {inside}/.git",
        )  # fmt: skip
        yield from denied(f"git.{name}.two", "two repositories at once", f"{service} {inside} {inside}")
