"""Files as of fstab(5): what a line becomes, and which lines are refused."""

from __future__ import annotations

import pytest

from jailssh.core.errors import ConfigError
from jailssh.entering.fstab import parse

GOOD = {
    "tmpfs /tmp tmpfs size=1m,mode=1777 0 0": ("new-fs", "tmpfs", "/tmp", "", "size=1m,mode=1777", "f:1", "must"),
    "tmpfs tmp tmpfs": ("new-fs", "tmpfs", "/tmp", "", "", "f:1", "must"),
    "tmpfs\t/a\\040b\ttmpfs\tro,noexec": ("new-fs", "tmpfs", "/a b", "ro,noexec", "", "f:1", "must"),
    "proc /proc proc hidepid=2,subset=pid": ("new-fs", "proc", "/proc", "", "hidepid=2,subset=pid", "f:1", "must"),
    "devpts dev/pts devpts newinstance,ptmxmode=0666,gid=5":
        ("new-fs", "devpts", "/dev/pts", "", "ptmxmode=0666,gid=5", "f:1", "must"),
    "sysfs /sys sysfs defaults": ("new-fs", "sysfs", "/sys", "ro", "", "f:1", "must"),
    "/usr usr none bind,ro,nosuid,nodev,noexec,noatime":
        ("clone", "/usr", "/usr", "no", "ro,noexec,noatime", "f:1", "must"),
    "/usr /usr none rbind,rslave,nofail,x-foo,relatime": ("clone", "/usr", "/usr", "yes", "slave", "f:1", "optional"),
    "/usr /usr none bind,ro,rw,mkdir": ("clone", "/usr", "/usr", "no", "", "f:1", "make"),
    "/usr /usr none bind,user,noauto": ("clone", "/usr", "/usr", "no", "", "f:1", "must"),
}  # fmt: skip
BAD = {
    "one": "1 field, not",
    "a b c d e": "numbers",
    "a b c d 0 0 0": "7 fields",
    "/usr ../x none bind": "plain path",
    "/usr /a/../x none bind": "plain path",
    "/usr / none bind": "plain path",
    "tmpfs /x tmpfs roxyz": "unknown option 'roxyz'",
    "tmpfs /x tmpfs devfoo": "unknown option",
    "tmpfs /x tmpfs remount": "unknown option",
    "tmpfs /x tmpfs dev": "weaker",
    "/usr /x none bind,suid": "weaker",
    "/usr /x none bind,size=1m": "none of a bind",
    "/dev /dev none rbind": "not shown",
    "/dev/pts /dev/pts none bind": "not shown",
    "/proc /proc none rbind": "not shown",
    "/ /host none rbind": "not shown",
    "/dev/vda /x ext4": "type 'ext4'",
    "x /x bind": "type 'bind'",
}


@pytest.mark.parametrize("line", GOOD)
def test_line(line: str) -> None:
    (record,) = parse(f"{line}\n\n# comment\n", "f")
    assert (record.verb, *record.args) == GOOD[line]


@pytest.mark.parametrize("line", BAD)
def test_refused_with_file_and_line(line: str) -> None:
    with pytest.raises(ConfigError, match=BAD[line]) as caught:
        parse(f"# comment\n\n{line}\n", "/etc/f")
    assert caught.value.what == "/etc/f:3"
