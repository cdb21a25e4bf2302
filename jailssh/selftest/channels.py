"""Requests of the SSH protocol that lead past a jail, sent by hand: what the server says to each.

OpenSSH's PROTOCOL and RFC 4254 have their form.  paramiko has no way to send most of them, or to hear the answer.
"""

from __future__ import annotations

import threading

import paramiko
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST

from jailssh.selftest.client import CONNECTING, FAILURES, Connection, bounded, is_answering
from jailssh.selftest.report import shown

_WINDOW = 1 << 21
_PACKET = 1 << 15
_PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 section 5.1."""
_TUN_POINT_TO_POINT = 1
_TUN_ANY = 0x7FFFFFFF

_SFTP_ASKS = b"\0\0\0\5\1\0\0\0\3" + b"\0\0\0\x0a\x10\0\0\0\1\0\0\0\1."
"""SSH_FXP_INIT of version 3, to which every server has an answer, and SSH_FXP_REALPATH of where it begins."""
_SFTP_VERSION = b"\0\0\0\5\2\0\0\0\3"
_SFTP_DENIED = (b"\x65", b"\0\0\0\3")
"""What the login program answers to one that is denied: SSH_FXP_VERSION, then SSH_FXP_STATUS and its code."""
_MOST = 1 << 16
"""Bytes of an answer: more than two packets have."""
_OUTSIDE = ("/etc/ssh/sshd_config", "/etc/jailssh/keys", "/var/lib/jailssh/plan.v1", "/etc/shadow", "/proc/1")

Answer = tuple[bool | None, str]
"""True if it was refused, None if the server gave no answer, and what it did."""


def direct_tcpip(connection: Connection) -> Answer:
    """Ask for a connection to the sshd itself, which would take it."""
    place = connection.place
    try:
        connection.transport().open_channel(
            "direct-tcpip", (place.address, place.port), ("127.0.0.1", 1), timeout=CONNECTING
        ).close()
    except paramiko.ChannelException as error:
        return _refused(error)
    except FAILURES as error:
        return None, _silence(error)
    return False, "a connection was opened"


def direct_streamlocal(connection: Connection, path: str) -> Answer:
    """Ask for a connection to the Unix socket ``path``, at which somebody listens."""
    body = paramiko.Message()
    body.add_string(path)
    body.add_string("")
    body.add_int(0)
    return _opened(connection.transport(), "direct-streamlocal@openssh.com", body)


def tunnel(connection: Connection) -> Answer:
    """Ask for a tunnel device."""
    body = paramiko.Message()
    body.add_int(_TUN_POINT_TO_POINT)
    body.add_int(_TUN_ANY)
    return _opened(connection.transport(), "tun@openssh.com", body)


def tcpip_forward(connection: Connection) -> Answer:
    """Ask the server to listen at a port of this host."""
    return _global(connection, "tcpip-forward", ("127.0.0.1", 0))


def streamlocal_forward(connection: Connection, path: str) -> Answer:
    """Ask the server to listen at the Unix socket ``path``."""
    return _global(connection, "streamlocal-forward@openssh.com", (path,))


def agent(connection: Connection) -> Answer:
    """Ask for the forwarding of an agent."""
    return _requested(connection, "auth-agent-req@openssh.com", paramiko.Message())


def x11(connection: Connection) -> Answer:
    """Ask for the forwarding of X11."""
    body = paramiko.Message()
    body.add_boolean(False)
    body.add_string("MIT-MAGIC-COOKIE-1")
    body.add_string("00" * 16)
    body.add_int(0)
    return _requested(connection, "x11-req", body)


def subsystem(connection: Connection, name: str) -> Answer:
    """Ask for a subsystem; a server that begins one and then ends has refused it too, if all it said is so by SFTP."""
    with connection.channel() as channel:
        try:
            channel.invoke_subsystem(name)
        except FAILURES as error:
            return answer_of(connection, error)
        try:
            channel.sendall(_SFTP_ASKS)
            channel.shutdown_write()
            said = b""
            while len(said) < _MOST and (more := channel.recv(_MOST)):
                said += more
            code = channel.recv_exit_status()
        except FAILURES as error:
            return answer_of(connection, error)
    if code < 0 and not said and not connection.answers():
        return None, "no answer: the connection ended"
    denied = not said or denies(said)
    return denied and code != 0, f"it began and ended with exit {code}" + ("" if denied else " and spoke")


def denies(said: bytes) -> bool:
    """Return whether all that an SFTP server has said is its version, and that each request is denied."""
    if not said.startswith(_SFTP_VERSION):
        return False
    said = said.removeprefix(_SFTP_VERSION)
    while said:
        end = 4 + int.from_bytes(said[:4], "big")
        packet, said = said[:end], said[end:]
        if len(packet) != end or (packet[4:5], packet[9:13]) != _SFTP_DENIED:  # type and code
            return False
    return True


def files_of_host(connection: Connection, name: str) -> Answer:
    """Ask a subsystem that speaks SFTP for files that are in no jail."""
    try:
        with connection.sftp(name) as client:
            for path in _OUTSIDE:
                try:
                    client.stat(path)
                    return False, f"{path} is there"
                except TimeoutError:
                    raise
                except OSError:
                    continue
    except FAILURES as error:
        return answer_of(connection, error)
    return (True, "none is there") if connection.answers() else (None, "no answer: the connection ended")


def _global(connection: Connection, kind: str, data: tuple[object, ...]) -> Answer:
    transport = connection.transport()
    with bounded(transport):
        answer = transport.global_request(kind, data, wait=True)
    if answer is None:
        # That is what it returns, too, where the connection has ended.
        return (True, "refused") if is_answering(transport) else (None, "no answer: the connection ended")
    transport.global_request(f"cancel-{kind}", data, wait=False)
    return False, "the server listens"


def _requested(connection: Connection, kind: str, body: paramiko.Message) -> Answer:
    with connection.channel() as channel:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string(kind)
        message.add_boolean(True)
        message.add_bytes(body.asbytes())
        channel._event_pending()
        channel.transport._send_user_message(message)
        try:
            channel._wait_for_event()
        except FAILURES as error:
            return answer_of(connection, error)
    return False, "granted"


def _opened(transport: paramiko.Transport, kind: str, body: paramiko.Message) -> Answer:
    """Open a channel of a kind that paramiko cannot; OpenSSH says of most that it failed, also where it may not."""
    message = paramiko.Message()
    with transport.lock:
        number = transport._next_channel()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string(kind)
        message.add_int(number)
        message.add_int(_WINDOW)
        message.add_int(_PACKET)
        message.add_bytes(body.asbytes())
        channel = paramiko.Channel(number)
        transport._channels.put(number, channel)
        transport.channel_events[number] = event = threading.Event()
        transport.channels_seen[number] = True
        channel._set_transport(transport)
        channel._set_window(_WINDOW, _PACKET)
    transport._send_user_message(message)
    if not event.wait(CONNECTING):
        return None, "no answer"
    if transport._channels.get(number) is not None:
        channel.close()
        return False, "a channel was opened"
    error = transport.get_exception()
    return (True, _ended(error)) if is_answering(transport) else (None, _silence(error))


def _refused(error: paramiko.ChannelException) -> Answer:
    if error.code == _PROHIBITED:
        return True, "refused: administratively prohibited"
    # It was tried, and only what is behind it did not answer: nothing forbids it.
    return False, f"tried by the server, which failed: {shown(str(error))}"


def answer_of(connection: Connection, error: BaseException) -> Answer:
    """Return what a request that failed comes to: a refusal if the server still answers, no answer otherwise."""
    if isinstance(error, TimeoutError) or not connection.answers():
        return None, _silence(error)
    return True, _ended(error)


def _silence(error: BaseException | None) -> str:
    return f"no answer: {shown(str(error)) if error and str(error) else 'the connection ended'}"


def _ended(error: BaseException | None) -> str:
    return f"refused: {shown(str(error)) or 'the channel was closed'}"
