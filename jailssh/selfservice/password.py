"""An account's password, changed by PAM as passwd(1) changes it: the present one is verified, the new one judged.

The process that does this holds two passwords, so it is one of its own that ends then: see :func:`keep_secret`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import secrets
from contextlib import suppress
from typing import Any

from jailssh.core.closed import Word
from jailssh.core.errors import HostError
from jailssh.core.names import escape
from jailssh.host import accounts

OWN_SERVICE, SERVICE = "jailssh-passwd", "passwd"
"""The PAM service: the first where the administrator has made a file for it, else that of passwd(1)."""
_STACKS = ("/etc/pam.d", "/usr/lib/pam.d")
_PR_SET_DUMPABLE = 4


class Verdict(Word):
    """What came of it."""

    CHANGED = "changed"
    WRONG = "wrong"
    REFUSED = "refused"
    FAILED = "failed"


def keep_secret() -> None:
    """Have the kernel write no core file of this process and its children, and let nobody trace them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def service() -> str:
    """Return the PAM service by which passwords are changed."""
    own = any(os.path.isfile(f"{folder}/{OWN_SERVICE}") for folder in _STACKS)
    return OWN_SERVICE if own else SERVICE


def is_missing(name: str) -> bool:
    """True if the account is this host's and no password was ever set: what useradd leaves, and no lock over a hash."""
    return accounts.is_local(name) and accounts.password_hash(name) in ("*", "!", "!!")


def is_known(name: str) -> bool:
    """True if the account has a password that this host keeps and that may fit; not a locked or an empty one."""
    return accounts.is_local(name) and accounts.has_password(name) and bool(accounts.password_hash(name))


def unguessable() -> tuple[bytes, str]:
    """Return a password that nobody knows or guesses, and its hash (crypt(3)).

    It stands in for the present one while a first one is set: modules judge a password as the account's own change only
    if there is one to verify.
    """
    clear, salt = secrets.token_hex(32), f"$6${secrets.token_hex(8)}"
    for library in ("libcrypt.so.1", "libcrypt.so.2"):
        with suppress(OSError):
            crypt = ctypes.CDLL(library).crypt
            crypt.restype, crypt.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_char_p)
            hashed = (crypt(clear.encode(), salt.encode()) or b"").decode("ascii", "replace")
            if hashed.startswith(f"{salt}$"):
                return clear.encode(), hashed
    raise HostError("crypt(3)", "makes no hash by SHA-512")


def change(name: str, old: bytes, new: bytes) -> tuple[Verdict, str]:
    """Put ``new`` in the place of ``old``; return what came of it, and what PAM's modules said.

    For a process of its own: it loads PAM's modules.  A delay after a wrong password is waited for.
    """
    # Imported here: it loads libraries, and nobody but this process needs them.
    from pam import __internals as binding

    libc, libpam = ctypes.CDLL(None), ctypes.CDLL("libpam.so.0")
    libc.strdup.restype, libc.strdup.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    libc.calloc.restype, libc.calloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t, ctypes.c_size_t)
    said: list[str] = []
    phase = [True]

    def converse(count: int, messages: Any, answers: Any, _data: Any) -> int:
        return _converse(binding, libc, (count, messages, answers), (old, new, phase[0]), said)

    handle, flags = binding.PamHandle(), binding.PAM_DISALLOW_NULL_AUTHTOK
    conversation = binding.PamConv(binding.conv_func(converse), None)
    text = name.encode("utf-8", "surrogateescape")
    if libpam.pam_start(service().encode(), text, binding.byref(conversation), binding.byref(handle)):
        return Verdict.FAILED, "PAM cannot be started"
    pointer = ctypes.c_void_p(handle.handle)
    libpam.pam_set_item(pointer, binding.PAM_RUSER, ctypes.c_char_p(text))
    code = libpam.pam_authenticate(pointer, flags)
    if code != binding.PAM_SUCCESS:
        libpam.pam_end(pointer, code)
        wrong = code in (binding.PAM_AUTH_ERR, binding.PAM_PERM_DENIED, binding.PAM_MAXTRIES, binding.PAM_USER_UNKNOWN)
        return Verdict.WRONG if wrong else Verdict.FAILED, "; ".join(said) or f"authentication: PAM code {code}"
    phase[0] = False
    said.clear()
    before = accounts.password_hash(name)
    # Else root would be asked, and may take any password: with this the modules judge it as the account's.
    code = libpam.pam_chauthtok(pointer, binding.PAM_CHANGE_EXPIRED_AUTHTOK)
    libpam.pam_end(pointer, code)
    if code == binding.PAM_SUCCESS and accounts.password_hash(name) != before:
        return Verdict.CHANGED, ""
    # Modules say it again for each try that they give.
    reasons = [text for text in dict.fromkeys(said) if not text.startswith("Changing password for ")]
    return Verdict.REFUSED, "; ".join(reasons) or f"PAM code {code}"


def _converse(
    binding: Any, libc: Any, asked: tuple[int, Any, Any], known: tuple[bytes, bytes, bool], said: list[str]
) -> int:
    """Answer PAM's questions (pam_conv(3)); one that is not understood ends the conversation."""
    count, messages, answers = asked
    old, new, verifying = known
    array = ctypes.cast(libc.calloc(count, ctypes.sizeof(binding.PamResponse)), ctypes.POINTER(binding.PamResponse))
    for at in range(count):
        message = messages[at].contents
        text = (message.msg or b"").decode("utf-8", "replace")
        if message.msg_style in (binding.PAM_ERROR_MSG, binding.PAM_TEXT_INFO):
            said.append(escape(text.strip(), 200))
            continue
        answer = answer_to(text, old, new, verifying=verifying)
        if message.msg_style != binding.PAM_PROMPT_ECHO_OFF or answer is None:
            said.append(f"a question that only a person can answer: {escape(text.strip(), 100)}")
            return int(binding.PAM_CONV_ERR)
        # A copy that PAM overwrites and frees; set as a pointer, since ctypes would set one to bytes of its own.
        ctypes.c_void_p.from_buffer(array[at]).value = libc.strdup(answer)
    answers[0] = array
    return 0


def answer_to(prompt: str, old: bytes, new: bytes, *, verifying: bool) -> bytes | None:
    """Return what a module asks for in its own words, in C's locale; None for what cannot be told.

    ``verifying``: nothing but the present password is ever given then.
    """
    words = prompt.casefold()
    is_new = any(word in words for word in ("new", "retype", "reenter", "re-enter", "again"))
    is_old = any(word in words for word in ("current", "old"))
    if "password" not in words or (is_new and is_old):
        return None
    if verifying:
        return None if is_new else old
    return new if is_new else old if is_old else None
