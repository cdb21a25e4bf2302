"""The shell plugin: an interactive login, and ``ssh host command`` if wanted.

Whoever has a shell can run what the image holds, so here the jail alone is the border.  bash is started as a login
shell, as sshd does (argv[0] begins with ``-``); a command is handed to ``bash -c`` unsplit.
"""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial
from jailssh_plugins.shell import trials

_COREUTILS = (
    "[ b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dirname du echo env "
    "expand expr factor false fmt fold head groups id install join link ln logname ls md5sum mkdir mkfifo mktemp mv "
    "nice nl nohup nproc numfmt od paste pathchk pr printenv printf pwd readlink realpath rm rmdir seq sha1sum "
    "sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail tee test "
    "timeout touch tr true truncate tsort tty uname unexpand uniq unlink vdir wc whoami yes"
)
_OTHERS = (
    "sh awk mawk gawk grep egrep fgrep sed diff diff3 sdiff cmp patch find xargs file which getopt column hexdump rev "
    "tar gzip gunzip zcat bzip2 bunzip2 bzcat xz unxz xzcat zstd zip unzip cpio less more nano vi vim vim.tiny bc ed "
    "clear tput reset tset infocmp locale getent hostname kill "
    "flock setsid ps top pgrep pkill pidof free uptime watch w "
    "man tmux run-parts"
)
"""The last is called by Debian's /etc/profile from release 13 on."""
_FILES = (
    "/etc/profile",
    "/etc/profile.d",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/etc/inputrc",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/DIR_COLORS",
    "/etc/terminfo",
    "/usr/share/awk",
)


class Shell:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "shell"
    summary = "interactive login with bash and the usual tools"
    options = (
        Option("shell", "path", "/bin/bash", "shell, an absolute path on this host"),
        Option("commands", "bool", "yes", "allow commands: ssh host command"),
        Option("programs", "words", "", "additional programs for the image, by name or absolute path"),
        Option("tools", "bool", "yes", "put the usual tools into the image; no: only the shell and programs"),
        Option("executable_home", "bool", "yes", "allow programs and scripts in the home"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """The shell, the tools that this host has, and the data of a terminal session."""
        extra = settings["programs"]
        wanted = extra if isinstance(extra, tuple) else ()
        tools = bool(settings["tools"])
        return ImageNeeds(
            programs=(_find_shell(jail, settings), *wanted),
            optional_programs=(*_COREUTILS.split(), *_OTHERS.split()) if tools else (),
            optional_files=_FILES if tools else (),
            # Of a session alone, as /tmp is: what is kept longer belongs into the home.  The second is PHP's
            # (session.save_path).
            links=(("/var/tmp", "../tmp"), ("/var/lib/php/sessions", "../../../tmp")),  # noqa: S108
            data=("nss", "locale", "terminfo", "zoneinfo"),
        )

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:  # noqa: ARG002
        """The login, and a rule for everything that no other plugin's rule allows."""
        shell = _find_shell(jail, settings)
        name = shell.rsplit("/", 1)[-1]
        rules = [Rule("shell.login", self.name, shell, (), argv0=f"-{name}", interactive_login=True)]
        if settings["commands"]:
            rules.append(
                Rule(
                    "shell.command",
                    self.name,
                    shell,
                    ("*",),
                    argv0=name,
                    argv_prefix=("-c",),
                    operands=(0, 1024, "text"),
                )
            )
        return PluginResult(
            tuple(rules),
            "shell",
            env=(("SHELL", str(settings["shell"])), ("LESSSECURE", "1"), ("SYSTEMD_PAGERSECURE", "1")),
            pty=True,
            proc=True,
            executable_home=bool(settings["executable_home"]),
            reach=Reach(writes=("/",)),
        )

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """Commands that must work, and ways out of the jail for who has a shell."""
        if not settings["commands"]:
            return trials.login_only()
        return tuple(trials.trials(account, programs=bool(settings["executable_home"]), tools=bool(settings["tools"])))


def _find_shell(jail: Jail, settings: Mapping[str, Value]) -> str:
    wanted = str(settings["shell"])
    path = jail.find_program(wanted)
    if not wanted.startswith("/") or path is None:
        raise ConfigError(
            "[shell] shell", f"{wanted!r} is not a program on this host", hint="use the absolute path of a shell"
        )
    return path


plugin = Shell()
