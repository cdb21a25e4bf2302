"""What ``jailssh selftest`` tries of scp's old protocol, scp(1) and rcp's words of old: ``scp -t``, ``scp -f``."""

from __future__ import annotations

from collections.abc import Iterator

from jailssh.plugin.api import Account
from jailssh.plugin.trials import PLACE, TOKEN, Trial, denied

_TEXT = "a file of a selftest\n"


def trials(account: Account, *, upload: bool, download: bool) -> Iterator[Trial]:
    """Yield what is to be tried of the directions that are allowed, and of the one that is not."""
    said = f"C0644 {len(_TEXT)} {TOKEN}-scp\n{_TEXT}\0".encode()
    up = f"scp -t '{PLACE}'"
    down = f"scp -f '{PLACE}/ready'"
    if upload:
        # The sink answers a byte 0 to the beginning, the line and the file.
        yield Trial("scp.upload", "a file to this host (scp -O)", command=up, input=said, shows="\0\0\0",
                    place=account.home, files=(("ready", _TEXT),))  # fmt: skip
    else:
        yield from denied("scp.no-upload", "a file to this host, which the settings refuse", "scp -t .")
    if download:
        yield Trial("scp.download", "a file from this host (scp -O)", command=down, input=b"\0\0\0", shows=_TEXT,
                    place=account.home, files=(("ready", _TEXT),))  # fmt: skip
        yield Trial("scp.outside", "a file of the host", attack=True, command="scp -f /etc/shadow", input=b"\0\0\0",
                    exits=(), hides="root:")  # fmt: skip
    else:
        yield from denied("scp.no-download", "a file from this host, which the settings refuse", "scp -f .")
    yield from denied(
        "scp.program", "a program by an option of scp (-S, -o, -F, -J, -D)",
        "scp -S /tmp/evil -f x", "scp -f -S /tmp/evil x", "scp -tS/tmp/evil .", "scp -o ProxyCommand=id -f x h:y",
        "scp -oProxyCommand=id a b:c", "scp -to ProxyCommand=id .", "scp -F cfg -t x", "scp -J host -t x",
        "scp -D /tmp/evil x y:", "scp -tD/tmp/evil .", "scp a b:c", "scp -3 a:b c:d", "./scp -t .",
    )  # fmt: skip
    yield from denied("scp.dotdot", "a path with '..' in it", "scp -f ../../etc/shadow", "scp -t a/../../x")
    yield from denied("scp.other-user", "a path of another account", "scp -f ~root/.ssh/id_rsa", "scp -t ~root")
    # What a source sends names one file of the directory.
    if upload:
        yield Trial(
            "scp.name", "a name that leads elsewhere", attack=True, command=up, exits=(), place=account.home,
            input=f"C0644 1 ../{TOKEN}\nx\0".encode(), files=(("ready", _TEXT),),
        )  # fmt: skip
