"""Runs in the scratch host, in namespaces of its own: the relay with many sockets, then jk_socketd, the same two ends.

Arguments: the relay, the program of both ends, messages, sockets.  Prints JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

RELAY, ENDS, COUNT, SOCKETS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
UID = 65533
PLAIN = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]


def between(into: str, out_of: str) -> dict[str, float]:
    """Send from one socket to the other; return the seconds per message and the longest wait, in microseconds."""
    with subprocess.Popen([ENDS, "sink", out_of, COUNT], stdout=subprocess.PIPE, text=True) as sink:
        while not os.path.exists(out_of):
            time.sleep(0.01)
        time.sleep(0.5)
        sent = subprocess.run([*PLAIN, ENDS, "send", into, COUNT], capture_output=True, text=True, check=True)
        found, took = sink.communicate()[0].split()
    os.unlink(out_of)
    return {"found": int(found), "us": int(took) / int(found) / 1000, "wait": float(sent.stdout)}


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has had."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
        words = stream.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def measured(child: subprocess.Popen[bytes], into: str, out_of: str) -> dict[str, float]:
    """Return what :func:`between` does, with the processor time of ``child`` for a message."""
    found = between(into, out_of)
    with open(f"/proc/{child.pid}/status", encoding="ascii") as stream:
        memory = next(int(line.split()[1]) for line in stream if line.startswith("VmRSS"))
    found |= {"cpu": processor(child.pid) / found["found"] * 1e6, "memory": memory / 1024}
    child.kill()
    child.wait()
    return found


def relay() -> dict[str, float]:
    """Measure ours."""
    os.makedirs("/run/logs")
    os.makedirs("/run/systemd/journal", exist_ok=True)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.bind("/run/logs/control")
    control.listen()
    os.dup2(control.fileno(), 3, inheritable=True)
    env = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "control"}
    child = subprocess.Popen([*PLAIN, RELAY], pass_fds=[3], env={**env, "PATH": os.environ["PATH"]})
    root = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    root.connect("/run/logs/control")
    for number in range(SOCKETS):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        made.bind(f"/run/logs/{number}")
        os.chmod(f"/run/logs/{number}", 0o666)
        uid = UID - number
        request = f"set\0{uid}\0user{number}\0shell\x00{10**9}\x00{10**9}\x001"
        socket.send_fds(root, [request.encode()], [made.fileno()])
        assert root.recv(100) == b"ok"
        made.close()
    return measured(child, "/run/logs/0", "/run/systemd/journal/socket")


def jk_socketd() -> dict[str, float]:
    """Measure Jailkit's, with the highest rates that it takes."""
    os.makedirs("/run/jk")
    rates = ["--base=1000000", "--peak=10000000", "--interval=0.01"]
    with subprocess.Popen([ENDS, "sink", "/dev/log", COUNT], stdout=subprocess.PIPE, text=True) as sink:
        while not os.path.exists("/dev/log"):
            time.sleep(0.01)
        child = subprocess.Popen(["jk_socketd", "-n", "--socket=/run/jk/log", *rates])
        while not os.path.exists("/run/jk/log"):
            time.sleep(0.01)
        time.sleep(0.5)
        sent = subprocess.run([*PLAIN, ENDS, "send", "/run/jk/log", COUNT], capture_output=True, text=True, check=True)
        found, took = sink.communicate()[0].split()
    cpu = processor(child.pid) / int(found) * 1e6
    child.kill()
    child.wait()
    return {"found": int(found), "us": int(took) / int(found) / 1000, "wait": float(sent.stdout), "cpu": cpu}


print(json.dumps({"relay": relay(), "jk_socketd": jk_socketd()}))
