"""A web server of our own for one trial, with a certificate made for it: does a program trust what it shall trust?"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_NAME = "jailssh trial"
_ADDRESS = "127.0.0.1"
_SECONDS = 5  # for one client
# Where the libraries of TLS look, below the directory of certificates (OpenSSL, GnuTLS, Go; Java).
_BUNDLE, _JAVA = "ca-certificates.crt", "java/cacerts"
_REQUEST = 1 << 14
ANSWER = "trusted"
_REFS = f"{'0' * 39}1\trefs/heads/{ANSWER}\n"


@dataclass(frozen=True)
class Trial:
    """A server that listens in this network namespace.

    ``url``  what it answers at, with :data:`ANSWER`.  ``certificates``: what makes programs trust it, as files of
    ``/etc/ssl/certs``.  ``serve`` answers until the process is ended.
    """

    url: str
    certificates: Mapping[str, bytes]
    serve: Callable[[], None]


def listen() -> Trial:
    """Make a certificate and a listening socket; the loopback interface must be up."""
    # Imported here: it takes longer than most commands.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(_ADDRESS))]
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    der = made.public_bytes(serialization.Encoding.DER)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    context = _context(pem + secret)
    listening = socket.create_server((_ADDRESS, 0))
    files = {_BUNDLE: pem, f"{_name_hash(_NAME)}.0": pem, _JAVA: _key_store(der)}
    url = f"https://{_ADDRESS}:{listening.getsockname()[1]}/"
    return Trial(url, files, lambda: _serve(listening, context))


def _context(chain: bytes) -> ssl.SSLContext:
    """Return what speaks TLS with this certificate and key, which no name of a file system ever has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    fd = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        os.write(fd, chain)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context


def _serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        plain, _ = listening.accept()
        plain.settimeout(_SECONDS)
        try:
            with context.wrap_socket(plain, server_side=True) as client:
                request = client.recv(_REQUEST)
                body = _body(request).encode()
                head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
                client.sendall(head.encode() + (b"" if request.startswith(b"HEAD ") else body))
        except OSError:
            continue  # It does not trust us, or has gone: the program says so itself.


def _body(request: bytes) -> str:
    path = request.split(b" ")[1:2]
    if path and b"/info/refs" in path[0]:
        return _REFS
    return f"ref: refs/heads/{ANSWER}\n" if path and path[0].endswith(b"/HEAD") else f"{ANSWER}\n"


def _name_hash(common_name: str) -> str:
    """Return by which name OpenSSL looks for a certificate: X509_NAME_hash(3), for a subject of a common name alone."""
    # The canonical form: UTF8String (12), lower case; object 2.5.4.3 in a SEQUENCE in a SET.
    value = common_name.lower().encode()
    one = bytes((0x06, 3, 0x55, 4, 3, 0x0C, len(value))) + value
    one = bytes((0x31, len(one) + 2, 0x30, len(one))) + one
    return f"{struct.unpack('<I', hashlib.sha1(one).digest()[:4])[0]:08x}"  # noqa: S324 - OpenSSL's choice


def _key_store(der: bytes) -> bytes:
    """Return a key store of Java's with one certificate to trust (sun.security.provider.JavaKeyStore)."""
    alias = b"trial"
    data = struct.pack(">III", 0xFEEDFEED, 2, 1) + struct.pack(">IH", 2, len(alias)) + alias
    data += struct.pack(">QH", int(time.time() * 1000), 5) + b"X.509" + struct.pack(">I", len(der)) + der
    digest = hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + data)  # noqa: S324 - Java's choice
    return data + digest.digest()
