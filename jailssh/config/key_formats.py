"""Public keys in the forms that people have them, for files that an administrator names: taken, or told how.

Files that sshd or the login program read are not taken by this: there only sshd's own form counts.
"""

from __future__ import annotations

import base64
import binascii
import re

from jailssh.core.errors import UsageError

# RFC 4716, 3.2: lines may be continued by a backslash, headers have a name of at most 64 bytes.
_RFC4716 = re.compile(
    # A line can be read in one way only: a file of an account's must not take more than one look.
    rb"---- BEGIN SSH2 PUBLIC KEY ----[ \t]*\n"
    rb"(?P<headers>(?:[^\n:]{1,64}:(?:[^\n]*(?<=\\)\n)*[^\n]*(?<!\\)\n)*)"
    rb"(?P<body>[A-Za-z0-9+/=\s]++)---- END SSH2 PUBLIC KEY ----"
)
_COMMENT = re.compile(rb"^comment:[ \t]*\"?(.*?)\"?[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
# What cannot be taken -> what it is, and how to get what can.
_TOLD = (
    (b"PuTTY-User-Key-File-", "is a PuTTY private key", "export the public key: puttygen FILE -O public-openssh"),
    (b"-----BEGIN PUBLIC KEY-----", "is a PKCS8 public key", "convert it: ssh-keygen -i -m PKCS8 -f FILE"),
    (b"-----BEGIN RSA PUBLIC KEY-----", "is a PEM public key", "convert it: ssh-keygen -i -m PEM -f FILE"),
    (b"-----BEGIN PGP", "is an OpenPGP key", "export its authentication key: gpg --export-ssh-key USER"),
    (b"-----BEGIN CERTIFICATE-----", "is an X.509 certificate", "use the public key, the file that ends in .pub"),
)


def as_openssh(data: bytes, source: str) -> bytes:
    """Return the lines of sshd's form with the keys of a file; what is no other form is returned as it is.

    RFC 4716 is taken (PuTTYgen and ssh.com write it), and text in UTF-16 or with a byte-order mark (Windows).  Raises
    :class:`UsageError` naming ``source`` for a form that another program must convert.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError as error:
            raise UsageError(source, "is not readable as UTF-16 text") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    for mark, what, how in _TOLD:
        if mark in data:
            raise UsageError(source, what, hint=how)
    if b"---- BEGIN SSH2 PUBLIC KEY ----" not in data:
        return data
    found = [_line(match, source) for match in _RFC4716.finditer(data.replace(b"\r\n", b"\n"))]
    if len(found) != data.count(b"---- BEGIN SSH2"):
        raise UsageError(source, "contains a damaged RFC 4716 key", hint="convert it: ssh-keygen -i -f FILE")
    return b"".join(found)


def _line(match: re.Match[bytes], source: str) -> bytes:
    comment = _COMMENT.search(match["headers"].replace(b"\\\n", b""))
    try:
        blob = base64.b64decode(b"".join(match["body"].split()), validate=True)
        kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise UsageError(source, "contains a damaged RFC 4716 key", hint="convert it: ssh-keygen -i -f FILE") from error
    words = [kind.encode(), base64.b64encode(blob), comment[1] if comment else b""]
    return b" ".join(words).rstrip() + b"\n"


def is_key_text(argument: str) -> bool:
    """True if what was given where a file was meant is a key itself."""
    return re.match(r"(ssh-|ecdsa-|sk-)\S+ +AAAA", argument) is not None
