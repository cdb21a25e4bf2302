"""A service of systemd's for a daemon that ``launch`` starts.  Pure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

# What jailssh-run needs to build the tree, and gives up before the daemon begins.
_NEEDED = ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL",
           "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_CHOWN", "CAP_FOWNER")  # fmt: skip
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.:,=+@-")


def service(name: str, program: str, words: Sequence[str], args: argparse.Namespace) -> str:
    """Return the text of the file ``/etc/systemd/system/NAME.service``."""
    capabilities = dict.fromkeys([*_NEEDED, *(f"CAP_{each.upper().removeprefix('CAP_')}" for each in args.keep_cap)])
    if args.new_network_ns:
        capabilities["CAP_NET_ADMIN"] = None
    where = [path for path in (*(each.split(":")[0] for each in args.bind), args.overlay) if path and path[0] == "/"]
    mounts = [f"RequiresMountsFor={' '.join(map(_quoted, where))}"] if where else []
    return "\n".join([
        f"# /etc/systemd/system/{name}.service",
        "[Unit]",
        f"Description={name} in a jail",
        "Documentation=man:jailssh-launch(8)",
        "Wants=network-online.target",
        "After=network-online.target nss-user-lookup.target",
        *mounts,
        "",
        "[Service]",
        f"Type={'notify' if args.notify else 'exec'}",
        "# What the daemon says of itself is passed on by a process beside it.",
        "NotifyAccess=all",
        f"ExecStart={' '.join(map(_quoted, [program, *words]))}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "# The one that waits for the daemon passes signals on, and ends as it does.",
        "KillMode=mixed",
        "SuccessExitStatus=143",
        "Restart=on-failure",
        "RestartSec=1s",
        "UMask=0022",
        "",
        "# The jail is jailssh's; this is for what builds it.",
        f"CapabilityBoundingSet={' '.join(capabilities)}",
        "LockPersonality=yes",
        "ProtectClock=yes",
        "ProtectKernelLogs=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "SystemCallArchitectures=native",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ])  # fmt: skip


def _quoted(word: str) -> str:
    """Return a word as it stands in a line of systemd.service(5)."""
    if word and set(word) <= _PLAIN:
        return word
    inside = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    inside = "".join(f"\\x{byte:02x}" if byte < 32 or byte == 127 else chr(byte) for byte in map(ord, inside))
    return f'"{inside}"'
