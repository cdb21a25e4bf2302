"""OpenSSH's server: test a configuration, ask what it means for one account, make the running one read it again.

sshd(8): ``-t`` tests a configuration, ``-T -C user=…`` prints what holds for one connection; both read the file given
with ``-f``.  sshd takes the first value it meets (sshd_config(5)), so what counts is asked from sshd itself.
"""

from __future__ import annotations

import glob
import os
import re
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence

from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.core.names import escape
from jailssh.core.ports import GROUP_PREFIX, of_answer
from jailssh.files import fs
from jailssh.host import accounts, install, process
from jailssh.host.paths import Layout

_INCLUDE = re.compile(r"\s*include[\s=]+(.*)", re.IGNORECASE)
_MATCH = re.compile(r"\s*match\s", re.IGNORECASE)
_NO_DIRECTORY = re.compile(r"Missing privilege separation directory: (/(?:var/)?run/[\w./-]+)")
LIMIT = 1 << 20
"""The most bytes that a file of sshd's configuration may have."""
HOME_KEYS = ".ssh/authorized_keys"
"""The file of keys in a home, as ``AuthorizedKeysFile`` has it."""
KEY_PROGRAM = "/usr/bin/sss_ssh_authorizedkeys"
"""SSSD's program that prints the keys of an account, and asks about no other one; it needs SSSD's service ``ssh``."""
ASK_KEYS = f"{KEY_PROGRAM} %u"
"""The ``AuthorizedKeysCommand`` of jails with ``directory_keys``."""
AUTH_FILE = "SSH_USER_AUTH"
"""The variable with which sshd names the file that says how somebody logged in (``ExposeAuthInfo``)."""
FORWARD_GROUP = "jailssh-forward"
"""The group for whose members sshd forwards ports, from and to the network of the account."""
_OWN = "JAILSSH_"
_UNITS = ("ssh.service", "sshd.service")


def directory_keys(name: str, seconds: float, program: str = KEY_PROGRAM) -> str:
    """Return the lines that SSSD has for an account; :class:`HostError` with its reason where it does not say."""
    done = process.run([program, name], check=False, timeout=seconds)
    if done.code != 0:
        raise HostError(program, process.last_line(done.stderr) or f"exit status {done.code}")
    return done.stdout


def main_config(layout: Layout) -> str:
    """Return the path of the main configuration file."""
    return f"{layout.root}/etc/ssh/sshd_config"


def read_main(layout: Layout) -> str:
    """Return the text of the main configuration file; :class:`HostError` where there is none."""
    data = install.read_optional(main_config(layout))
    if data is None:
        raise HostError(main_config(layout), "does not exist", hint="apt-get install openssh-server")
    return data.decode("utf-8", "surrogateescape")


def read_part(path: str) -> str:
    """Return the text of a file that the configuration includes; what it leads to, for a link, as sshd reads it."""
    return fs.read_trusted(os.path.realpath(path), LIMIT).decode("utf-8", "surrogateescape")


def _include_line(layout: Layout, text: str) -> int | None:
    """Return the index of the line that includes the drop-in's directory outside of any Match block, or None."""
    directory = os.path.dirname(layout.sshd_drop_in).removeprefix(layout.root)
    wanted = {f"{directory}/*.conf", f"{os.path.basename(directory)}/*.conf"}
    for index, line in enumerate(text.splitlines()):
        if _MATCH.match(line):
            return None
        found = _INCLUDE.match(line)
        if found and wanted & {word.strip('"') for word in found.group(1).split()}:
            return index
    return None


def check_include(layout: Layout) -> None:
    """Raise :class:`HostError` unless the main file reads the drop-in's directory for everybody."""
    if _include_line(layout, read_main(layout)) is None:
        raise HostError(
            main_config(layout),
            f"does not include {os.path.dirname(layout.sshd_drop_in)}/*.conf before its first Match block",
            hint=f"add at the top of {main_config(layout)}: Include {os.path.dirname(layout.sshd_drop_in)}/*.conf",
        )


def earlier_matches(layout: Layout) -> list[str]:
    """Return ``file:line: text`` of each Match that sshd reads before the drop-in, so that its settings win.

    Settings outside of Match never do: sshd lays those of matching blocks over them.
    """
    text = read_main(layout)
    stop = _include_line(layout, text)
    found = _matches(main_config(layout), text.splitlines()[:stop])
    for path in _drop_ins(layout):
        if path >= layout.sshd_drop_in:
            break
        found += _matches(path, read_part(path).splitlines())
    return found


def _matches(path: str, lines: list[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if _MATCH.match(line) and line.split()[1:] != ["all"]
    ]


def _drop_ins(layout: Layout) -> list[str]:
    return sorted(glob.glob(f"{glob.escape(os.path.dirname(layout.sshd_drop_in))}/*.conf"))


def forced_program(layout: Layout) -> str | None:
    """Return the login program that the installed drop-in names: another one's if another installation is set up."""
    text = (install.read_optional(layout.sshd_drop_in) or b"").decode("utf-8", "replace")
    found = re.search(r"^ *ForceCommand (\S+)$", text, re.MULTILINE)
    return found[1] if found else None


def test_candidate(layout: Layout, drop_in: str, probe: str) -> None:
    """Raise :class:`JailsshError` unless sshd accepts the whole configuration with ``drop_in`` in its place.

    A copy of the main file names the drop-ins one by one, the candidate among them, so nothing is in place yet.
    ``probe`` is the drop-in written for one user who need not exist, ``jailssh-probe``: with it sshd is asked whether
    the forced command would hold.
    """
    directory = f"{layout.root}/run"
    for text in (drop_in, probe):
        with install.temporary(directory, text.encode()) as candidate:
            main = main_with(layout, candidate).encode("utf-8", "surrogateescape")
            with install.temporary(directory, main) as config:
                test(config)
                if text is probe:
                    check_forced(effective("jailssh-probe", config), layout, "jailssh-probe")


def main_with(layout: Layout, candidate: str) -> str:
    """Return the main file with each drop-in named, ``candidate`` in the place of ours."""
    lines = read_main(layout).splitlines()
    index = _include_line(layout, "\n".join(lines))
    if index is None:
        raise ConfigError(main_config(layout), "does not include the drop-ins")
    files = sorted({*_drop_ins(layout), layout.sshd_drop_in})
    named = [candidate if path == layout.sshd_drop_in else path for path in files]
    lines[index] = "Include " + " ".join(f'"{path}"' for path in named)
    return "\n".join(lines) + "\n"


def test(config: str) -> None:
    """Raise :class:`JailsshError` unless sshd accepts the configuration file ``config``."""
    result = _sshd("-t", "-f", config)
    if result.code != 0:
        raise JailsshError(
            "sshd -t", _reason(result.stderr), hint="the configuration of sshd is unchanged; check it: sshd -t"
        )


def effective(
    user: str, config: str, options: Sequence[str] = (), connection: str = "host=localhost,addr=127.0.0.1"
) -> dict[str, list[str]]:
    """Return what sshd would use for a connection of ``user``: keyword in lower case to its values in order.

    ``connection``: where it comes from, as ``-C`` of sshd(8) has it; to port 22 where it names none.
    """
    if ",lport=" not in connection:  # A Match line about the port makes sshd refuse to say anything without one.
        connection += ",lport=22"
    result = _sshd("-T", "-f", config, *options, "-C", f"user={user},{connection}")
    if result.code != 0:
        raise JailsshError("sshd -T", _reason(result.stderr))
    values: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword.lower(), []).append(value)
    return values


def check_forced(
    values: Mapping[str, list[str]],
    layout: Layout,
    user: str,
    *,
    home_keys: bool = False,
    jumps: Sequence[str] | None = None,
) -> None:
    """Raise :class:`JailsshError` unless ``values`` (of :func:`effective`) put ``user`` into the login program.

    ``home_keys``: a jail may say of this account that keys in its home count too.  ``jumps``: as for :func:`faults`,
    None for all that it is in.
    """
    forwards = accounts.is_listed_member(user, FORWARD_GROUP)
    if jumps is None:
        jumps = accounts.listed_groups(user, GROUP_PREFIX)
    for keyword, why in faults(values, layout, home_keys=home_keys, forwards=forwards, jumps=jumps):
        hint = f"an earlier sshd_config line overrides the drop-in; check: sshd -T -C user={user},host=h,addr=::1"
        try:
            check_include(layout)
        except HostError as error:
            hint = error.hint or hint  # Nothing overrides it: it is not read at all.
        if keyword == ACCEPT_ENV:
            hint = "remove it from sshd_config; AcceptEnv adds up over all matching Match blocks"
        raise JailsshError(f"sshd for {user}", why, hint=hint)


ACCEPT_ENV = "acceptenv"
PERMIT = "permitopen"
"""The keyword of what is wrong with the ports that sshd permits."""
_WORDS = ("yes", "no", "none", "local", "remote", "clientspecified")


def wanted(layout: Layout) -> dict[str, str]:
    """Return what must hold for every jailed account: keyword in lower case to its one value."""
    return {
        "forcecommand": layout.login_program,
        "disableforwarding": "yes",
        "permituserrc": "no",
        "chrootdirectory": "none",
        "permittunnel": "no",
        # Without it nobody could say whose login to a shared account it is.
        "exposeauthinfo": "yes",
        "ignorerhosts": "yes",
        "authorizedkeysfile": f"{layout.keys}/%u",
    }


FORWARDING = {
    "disableforwarding": "no",
    "allowstreamlocalforwarding": "no",
    "allowagentforwarding": "no",
    "x11forwarding": "no",
    "gatewayports": "no",
    "kbdinteractiveauthentication": "no",
    "usepam": "yes",
}
"""What must hold for an account that sshd forwards ports for.  Without PAM it would do so in the host's network."""


def faults(
    values: Mapping[str, list[str]],
    layout: Layout,
    *,
    home_keys: bool = False,
    forwards: bool = False,
    jumps: Sequence[str] = (),
) -> Iterator[tuple[str, str]]:
    """Yield keyword and reason of each value that does not hold a jailed account; arguments as :func:`check_forced`.

    ``forwards``: it is in :data:`FORWARD_GROUP`.  ``jumps``: the groups that it is in of those for whose members sshd
    forwards ports instead of a session.
    """
    expected = {**wanted(layout), **(FORWARDING if forwards else {})}
    if jumps:
        ports = of_answer(values)
        expected |= ports.settings()
        if [ports.group] != list(jumps):
            yield PERMIT, f"sshd permits other ports than those of group {', '.join(jumps)}: {ports.said() or 'none'}"
    for keyword, value in expected.items():
        got = values.get(keyword, ["nothing"])[0]
        both = home_keys and keyword == "authorizedkeysfile" and got == f"{value} {HOME_KEYS}"
        # From 10.4 on, sshd prints words of its own with capitals.
        if got != value and not both and not (value in _WORDS and got.lower() == value):
            yield keyword, f"{keyword} is {got!r}, expected {value!r}"
    taken = [word for value in values.get(ACCEPT_ENV, []) for word in value.split() if _takes_ours(word)]
    if taken:
        yield ACCEPT_ENV, f"acceptenv is {' '.join(taken)}: a client can forge the name of its key"


def kept_out(values: Mapping[str, list[str]], user: str, groups: Collection[str]) -> str:
    """Return which list of ``values`` (of :func:`effective`) lets ``user`` in from nowhere, as sshd asks them; or "".

    sshd_config(5): DenyUsers, AllowUsers, DenyGroups, AllowGroups.  An entry ``USER@HOST`` depends on the client, so it
    neither denies everything nor allows nothing.
    """
    for keyword, names in (("users", {user}), ("groups", set(groups))):
        denied, allowed = (
            [word for value in values.get(f"{verb}{keyword}", []) for word in value.split()]
            for verb in ("deny", "allow")
        )
        if hit := [word for word in denied if _fits(word, names)]:
            return f"Deny{keyword.capitalize()} {hit[0]}"
        if allowed and not any(_fits(word.partition("@")[0], names) or _fits(word, names) for word in allowed):
            return f"Allow{keyword.capitalize()} {' '.join(allowed)}"
    return ""


def _fits(pattern: str, names: Collection[str]) -> bool:
    """True if one of ``names`` fits a pattern of ssh_config(5): ``*`` and ``?``."""
    shape = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return any(re.fullmatch(shape, name, re.DOTALL) for name in names)


def _takes_ours(pattern: str) -> bool:
    """True if a pattern of AcceptEnv (``*`` and ``?``) can take a variable that says who logged in."""
    fixed = re.split(r"[*?]", pattern, maxsplit=1)[0]
    if fixed == pattern:
        return pattern == AUTH_FILE or pattern.startswith(_OWN)
    return any(name.startswith(fixed) for name in (AUTH_FILE, _OWN)) or fixed.startswith(_OWN)


def warnings(values: Mapping[str, list[str]], accept_env: Sequence[str] = ()) -> list[str]:
    """Return what is not wrong but weaker than it should be in ``values`` (of :func:`effective`).

    ``accept_env``: the names that some jail passes on.
    """
    found = []
    if values.get("permituserenvironment", ["no"])[0] != "no":
        found.append(
            "PermitUserEnvironment is on: Match blocks cannot disable it; the login program clears these variables"
        )
    kept = {"LANG", "LC_*", "GIT_PROTOCOL", *accept_env}
    extra = [word for value in values.get("acceptenv", []) for word in value.split() if word not in kept]
    if extra:
        found.append(f"AcceptEnv also accepts {' '.join(extra)} from another Match block; the login program drops them")
    principals = values.get("authorizedprincipalsfile", ["none"])[0]
    if principals != "none" and (not principals.startswith("/") or "%h" in principals):
        found.append(f"AuthorizedPrincipalsFile {principals} is in homes: files there authorize certificates")
    if values.get("usepam", ["no"])[0].lower() != "yes":
        found.append("UsePAM is off: accounts with a password locked by '!' cannot log in with a key")
        found.append("UsePAM is off: login shells other than the login program are not refused")
    return found


def _sshd(*args: str) -> process.Completed:
    """Run sshd; where only its directory below /run is missing (sshd not started yet), make that and run it again."""
    argv = ["sshd", *args]
    result = process.run(argv, check=False, timeout=30)
    missing = _NO_DIRECTORY.search(result.stderr)
    if result.code != 0 and missing:
        fs.ensure_dir(missing.group(1), 0o755)
        result = process.run(argv, check=False, timeout=30)
    return result


def _reason(stderr: str) -> str:
    return escape("; ".join(line.strip() for line in stderr.splitlines() if line.strip()), 800) or "no reason given"


def reload() -> str:
    """Make a running sshd read its configuration again; return one line saying what was done.

    A configuration that sshd does not accept is never handed to a running sshd: it would end.
    """
    result = _sshd("-t")
    if result.code != 0:
        raise JailsshError(
            "sshd -t", _reason(result.stderr), hint="sshd is not reloaded; check its configuration: sshd -t"
        )
    if process.has_systemd():
        for unit in _UNITS:
            if process.run(["systemctl", "--quiet", "is-active", unit], check=False, timeout=10).code == 0:
                verb = "restart" if _by_socket(unit) else "reload"
                process.run(["systemctl", verb, unit], timeout=60)
                return f"{verb}ed {unit}"
    pid = _daemon_pid()
    if pid is None:
        return "no running sshd found (systemd, /run/sshd.pid); if one runs, reload it: kill -HUP PID"
    os.kill(pid, signal.SIGHUP)
    return f"sent SIGHUP to sshd, process {pid}"


def _by_socket(unit: str) -> bool:
    """True if systemd listens for the unit, and a stop of it ends no session.

    The sshd of Debian 13 does not find the socket again after SIGHUP and ends (``Cannot bind any address``); systemctl
    says that the reload went well or that it failed, as it comes.  Who connects during a restart waits at the socket.
    """
    shown = process.run(["systemctl", "show", "--property=TriggeredBy,KillMode", unit], check=False, timeout=10).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    sockets = [name for name in values.get("TriggeredBy", "").split() if name.endswith(".socket")]
    if not sockets or values.get("KillMode") != "process":
        return False
    return process.run(["systemctl", "--quiet", "is-active", *sockets], check=False, timeout=10).code == 0


def _daemon_pid() -> int | None:
    """Return the process that sshd's pid file names, if it is sshd itself."""
    for path in ("/run/sshd.pid", "/var/run/sshd.pid"):
        try:
            with open(path, encoding="ascii") as stream:
                pid = int(stream.read())
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("sshd"):
                return pid
        except (OSError, ValueError):
            continue
    return None
