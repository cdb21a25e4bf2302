"""What Jailkit lets an account do although nobody meant it to, and what a jail does not let through.  From facts."""

from __future__ import annotations

from collections.abc import Iterator

from jailssh.jailkit.jail import Jail
from jailssh.sources.found import Effect, Host, Person, Remark, Settings

_FORWARDING = (
    "allowtcpforwarding",
    "allowstreamlocalforwarding",
    "x11forwarding",
    "allowagentforwarding",
    "permittunnel",
)
_RUNNERS = {
    "rsync": "rsync -e PROGRAM",
    "scp": "scp -S PROGRAM",
    "git": "git-upload-pack of a repository with hooks",
    "cvs": "cvs with CVSROOT/loginfo",
    "hg": "hg --config hooks",
    "command": "programs that start others",
}
_SET_ID = 0o6000
_MOST = 20


def slips(host: Host, person: Person, jail: Jail, where: str, settings: Settings) -> Iterator[Remark]:
    """Yield remarks about an account whose jail has these settings; ``where``: the file that confines its commands."""
    yield from _of_sshd(host, person, jail)
    runners = [text for plugin, text in _RUNNERS.items() if plugin in settings and "shell" not in settings]
    if runners:
        text = f"Jailkit passes all arguments, so other programs run: {', '.join(runners)}"
        yield Remark(Effect.CLOSED, where, text)
    if not jail.path:
        return  # the host itself
    set_id = sorted(path for path, mode in jail.programs().values() if mode & _SET_ID)
    if set_id:
        text = f"programs of the jail gain the rights of their owner: {_shown(set_id)}; in a jail they do not"
        yield Remark(Effect.CLOSED, jail.path, text)
    if len(jail.accounts) > 1:
        text = (
            f"it sees the homes of the {len(jail.accounts) - 1} other accounts of the jail as far as their modes allow"
        )
        yield Remark(Effect.CLOSED, jail.path, text)
    data = jail.users_data()
    if data:
        shown = _shown([f"{path} (uid {uid})" for path, uid in data])
        text = f"data of users in directories of the system: {shown}; a jail does not show it, and nothing removes it"
        yield Remark(Effect.LOST, jail.path, text)


def _of_sshd(host: Host, person: Person, jail: Jail) -> Iterator[Remark]:
    sshd = host.sshd(person.name)
    where = "/etc/ssh/sshd_config"
    if sshd.get("subsystem", "").startswith("sftp internal-sftp") and sshd.get("forcecommand", "none") == "none":
        text = "Subsystem sftp internal-sftp: sftp does not go through the shell and shows the files of the host"
        yield Remark(Effect.CLOSED, where, text)
    if open_now := [name for name in _FORWARDING if sshd.get(name, "no") not in ("no", "")]:
        yield Remark(Effect.CLOSED, where, f"forwarding, which Jailkit does not see: {', '.join(open_now)}")
    if sshd.get("permituserenvironment", "no") != "no":
        yield Remark(
            Effect.CLOSED, where, "PermitUserEnvironment: the account sets the environment of Jailkit's programs"
        )
    home = f"{jail.path}{person.home[len(jail.path) + 2 :]}" if person.home.startswith(jail.path) else person.home
    if sshd.get("permituserrc", "no") == "yes" and host.kind(f"{home}/.ssh/rc"):
        yield Remark(Effect.CLOSED, f"{home}/.ssh/rc", "sshd runs this at each login; in a jail it does not")


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
