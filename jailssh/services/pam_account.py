"""What PAM says of an account that is about to log in, and of what its answer is made: the stack of a service.

The account phase runs for real, in a process that may be stopped: a module may hang, crash, or change its process.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from jailssh.host import bounded

SERVICE = "sshd"
TRIAL = "jailssh-check"
"""The terminal of what is nobody's login."""
_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
_MODULES = ("/usr/lib/*/security", "/usr/lib/security", "/usr/lib64/security", "/lib/*/security", "/lib/security",
            "/lib64/security")  # fmt: skip
_LIMIT = 1 << 20
_DEEPEST = 10
_LINE = re.compile(r"(-?)(\w+)\s+(\[[^]]*\]|\S+)\s+(\S+)\s*(.*)")
_ASK_FOR_NO_MORE = frozenset(
    f"pam_{name}.so" for name in (
        "cap", "deny", "ecryptfs", "env", "faildelay", "faillock", "group", "lastlog", "listfile", "localuser", "mount",
        "nologin", "permit", "rootok", "securetty", "shells", "succeed_if", "tally2", "unix", "usertype", "warn",
    )
)  # fmt: skip
"""Modules of the auth phase that ask for nothing, or for the password alone."""
_INCLUDES = ("include", "substack")


@dataclass(frozen=True)
class PamLine:
    """A line of a stack: the file that it is in, its phase, control, module and arguments, as they are written there.

    ``optional``: a module that is not there is passed over without a word.
    """

    file: str
    phase: str
    control: str
    module: str
    optional: bool
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class PamAnswer:
    """How the account phase ended: PAM's return value, what PAM calls it, and what modules said to the user."""

    code: int
    name: str
    said: tuple[str, ...]


def services() -> list[str]:
    """Return the services that have a stack of their own, sorted."""
    return sorted({name for folder in _FOLDERS if os.path.isdir(folder) for name in os.listdir(folder)})


def service_file(service: str = SERVICE) -> str | None:
    """Return the file of a service, None where PAM would take that of ``other``."""
    return next((f"{folder}/{service}" for folder in _FOLDERS if os.path.isfile(f"{folder}/{service}")), None)


def stack(service: str = SERVICE) -> list[PamLine]:
    """Return the lines of a service and of all that it includes, in order; of a file that is not there none."""
    return list(_lines(service, None, 0))


def _lines(service: str, only: str | None, depth: int) -> Iterator[PamLine]:
    path = service if service.startswith("/") else service_file(service)
    if path is None or depth > _DEEPEST:
        return
    text = ""
    with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read(_LIMIT)
    for line in _whole(text):
        words = line.split()
        if words[:1] == ["@include"] and len(words) > 1:
            yield from _lines(words[1], only, depth + 1)
        elif found := _LINE.match(line):
            dash, phase, control, module, rest = found.groups()
            if only is not None and phase.lower() != only:
                continue
            if control.lower() in _INCLUDES:
                yield from _lines(module, phase.lower(), depth + 1)
            else:
                yield PamLine(path, phase.lower(), control.lower(), module, bool(dash), tuple(rest.split()))


def _whole(text: str) -> Iterator[str]:
    """Yield the lines without comments, and those that end in a backslash with the next that has more than one."""
    whole = ""
    for each in text.split("\n"):
        line = each.partition("#")[0].strip(" \t")
        if line.endswith("\\"):
            whole += f"{line[:-1]} "
        elif line:
            yield whole + line
            whole = ""


def asks_for_more(lines: Iterable[PamLine]) -> bool:
    """True if a module of the auth phase may ask for something else than the password of the host's own files."""
    asked = (os.path.basename(line.module) for line in lines if line.phase == "auth")
    return any(module not in _ASK_FOR_NO_MORE for module in asked)


def modules() -> frozenset[str]:
    """Return the names in the directories of modules."""
    folders = [folder for pattern in _MODULES for folder in glob.glob(pattern)]
    return frozenset(name for folder in folders for name in os.listdir(folder))


def has_module(module: str) -> bool:
    """True if PAM finds a module of this name; False too where it would not find any."""
    if module.startswith("/"):
        return os.path.isfile(module)
    return any(os.path.isfile(f"{folder}/{module}") for pattern in _MODULES for folder in glob.glob(pattern))


def ask(user: str, seconds: float, service: str = SERVICE, terminal: str = "ssh") -> PamAnswer:
    """Return what the account phase says of ``user`` for a login from this host.

    The modules run, as they do for a login, with what they do beside: log, count, forget failures.  ``terminal``: what
    they are told of where the login is; with :data:`TRIAL` our own part of the stack makes no record.  Raises
    :class:`jailssh.host.bounded.NoAnswerError` where they hang, :class:`HostError` where they crash or there is no PAM.
    """
    why = "a module crashed, or python-pam cannot be loaded"
    found = json.loads(bounded.ask(f"PAM of {service}", lambda: _phase(user, service, terminal), seconds, ended=why))
    return PamAnswer(found["code"], found["name"], tuple(found["said"]))


def _phase(user: str, service: str, terminal: str) -> bytes:
    """Run the account phase in this process, with nothing of the caller's open to what the modules print."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    # Imported here: it loads libraries, and nobody but this process needs them.
    from pam import __internals as binding

    libpam = binding.PamAuthenticator()
    said: list[str] = []

    def converse(count: int, messages: object, answers: object, _data: object) -> int:
        code: int = binding.my_conv(count, messages, answers, libpam.libc, said, b"", "utf-8")
        return code

    handle = binding.PamHandle()
    conversation = binding.PamConv(binding.conv_func(converse), None)
    name = user.encode("utf-8", "surrogateescape")
    code = libpam.pam_start(service.encode(), name, binding.byref(conversation), binding.byref(handle))
    if code == binding.PAM_SUCCESS:
        for item, value in ((binding.PAM_RHOST, b"localhost"), (binding.PAM_TTY, terminal.encode())):
            libpam.pam_set_item(handle, item, binding.c_char_p(value))
        code = libpam.pam_acct_mgmt(handle, 0)
    names = {value: each for each, value in vars(binding).items() if each in _CODES}
    return json.dumps({"code": code, "name": names.get(code, str(code)), "said": said}).encode()


_CODES = (
    "PAM_SUCCESS", "PAM_OPEN_ERR", "PAM_SYMBOL_ERR", "PAM_SERVICE_ERR", "PAM_SYSTEM_ERR", "PAM_BUF_ERR",
    "PAM_PERM_DENIED", "PAM_AUTH_ERR", "PAM_CRED_INSUFFICIENT", "PAM_AUTHINFO_UNAVAIL", "PAM_USER_UNKNOWN",
    "PAM_MAXTRIES", "PAM_NEW_AUTHTOK_REQD", "PAM_ACCT_EXPIRED", "PAM_SESSION_ERR", "PAM_CRED_UNAVAIL",
    "PAM_CRED_EXPIRED", "PAM_CRED_ERR", "PAM_NO_MODULE_DATA", "PAM_CONV_ERR", "PAM_AUTHTOK_ERR",
    "PAM_AUTHTOK_EXPIRED", "PAM_MODULE_UNKNOWN", "PAM_IGNORE", "PAM_ABORT", "PAM_TRY_AGAIN",
)  # fmt: skip
"""The names of return values in PAM's own words; other constants of the binding have the same numbers."""
