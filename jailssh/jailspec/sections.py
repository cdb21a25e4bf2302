"""The shipped sections: the names that Jailkit's ``jk_init.ini`` made known, written for the systems of today.

A section is text in the jailspec language.  What Jailkit's own section of the same name lacks stands apart as its
repairs: they complete a section of the administrator's ``jk_init.ini`` as well as ours.  A program without which a
section would be pointless is not optional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Repair:
    """What a section gets besides, and why."""

    why: str
    text: str = ""


@dataclass(frozen=True)
class Shipped:
    """A section's comment for lists, and its text without the repairs."""

    comment: str
    text: str


_DEV = Repair("it has no working /dev", "section devbasics\n")
_TMP = Repair("it has no /tmp", "section tmpbasics\n")
_LOCALE = Repair("it has no locale that today's programs expect", "data locale\n")
_CERTIFICATES = Repair("without CA certificates no https works", "data ca-certificates\n")
_NSS = Repair("its paths of NSS modules know few architectures", "data nss\n")
_PERL = Repair(
    "perl finds its compiled modules only in the library directory of the architecture",
    """\
tree /usr/lib/*/perl optional
tree /usr/lib/*/perl5 optional
tree /usr/lib/*/perl-base optional
tree /etc/perl optional
""",
)
_GIT = Repair(
    "git runs its helpers by a shell and common programs",
    """\
program sh
program sed cat grep expr tr env basename dirname uname less optional
tree /usr/libexec/git-core optional
tree /usr/share/git-core optional
/etc/gitconfig optional
""",
)
_TERMINFO = Repair("terminals are described in several places", "data terminfo\n")

REPAIRS: Final[dict[str, tuple[Repair, ...]]] = {
    "uidbasics": (_NSS,),
    "netbasics": (_NSS,),
    "logbasics": (Repair("the time zone is a link into zoneinfo", "data zoneinfo\n"),),
    "cvs": (_DEV, _TMP),
    "git": (_DEV, _TMP, _GIT, _PERL, _CERTIFICATES, _LOCALE),
    "scp": (_DEV,),
    "sftp": (_DEV,),
    "ssh": (_DEV,),
    "rsync": (_DEV,),
    "procmail": (_TMP,),
    "basicshell": (_DEV, _TMP, _LOCALE),
    "interactiveshell": (_DEV, _TMP, _LOCALE, _TERMINFO),
    "midnightcommander": (Repair("its programs are helped by scripts", "tree /usr/lib/mc optional\n"),),
    "extendedshell": (_DEV, _TMP, _LOCALE),
    "terminfo": (_TERMINFO,),
    "editors": (
        _TMP,
        Repair("the editors' settings lie elsewhere", "tree /etc/vim optional\n/etc/nanorc optional\n"),
    ),
    "netutils": (_CERTIFICATES,),
    "openvpn": (_DEV,),
    "apache": (
        _DEV,
        _TMP,
        Repair(
            "the server is called apache2 today",
            "program apache2 optional\ntree /usr/lib/apache2/modules optional\ntree /etc/apache2 optional\n",
        ),
    ),
    "perl": (_PERL,),
    "xauth": (Repair("X lies in the common directories today", "program xauth optional\n"),),
    "vncserver": (
        Repair(
            "the server has another name and its fonts another place",
            "program Xtigervnc Xtightvnc optional\ntree /usr/share/fonts optional\ntree /usr/share/X11 optional\n",
        ),
        _TMP,
    ),
    "ping": (
        Repair("a jail has no set-id programs: ping works where sysctl net.ipv4.ping_group_range has the user's group"),
    ),
}

SHIPPED: Final[dict[str, Shipped]] = {
    "devbasics": Shipped(
        "the devices that every program may expect",
        """\
/dev/null c 1 3 666
/dev/zero c 1 5 666
/dev/full c 1 7 666
/dev/random c 1 8 666
/dev/urandom c 1 9 666
/dev/tty c 5 0 666
/dev/ptmx c 5 2 666
/dev/pts/
/dev/shm/ 1777
/dev/fd -> /proc/self/fd
/dev/stdin -> /proc/self/fd/0
/dev/stdout -> /proc/self/fd/1
/dev/stderr -> /proc/self/fd/2
""",
    ),
    "tmpbasics": Shipped("places for temporary files", "/tmp/ 1777\n/var/tmp/ 1777\n"),  # noqa: S108
    "uidbasics": Shipped("user and group names", "/etc/ld.so.conf optional\n/etc/nsswitch.conf optional\n"),
    "netbasics": Shipped(
        "names of hosts, protocols and services",
        "/etc/{resolv.conf,host.conf,hosts,protocols,services} optional\n",
    ),
    "logbasics": Shipped("time zone and log socket", "/etc/localtime optional\nneed logsocket\n"),
    "jk_lsh": Shipped(
        "Jailkit's limited shell",
        """\
section uidbasics logbasics
/usr/sbin/jk_lsh optional
/etc/jailkit/jk_lsh.ini optional
user root
group root
""",
    ),
    "limitedshell": Shipped("the same as jk_lsh", "section jk_lsh\n"),
    "cvs": Shipped("CVS", "program cvs\n"),
    "git": Shipped(
        "git, both sides",
        """\
section editors perl
program git
/usr/bin/git* optional
tree /usr/lib/git-core optional
program pager optional
""",
    ),
    "scp": Shipped("scp", "section netbasics uidbasics\nprogram scp\n"),
    "sftp": Shipped(
        "the server of sftp",
        """\
section netbasics uidbasics
/usr/lib/{openssh/,misc/,ssh/,}sftp-server optional
/usr/libexec/{openssh/,}sftp-server optional
""",
    ),
    "ssh": Shipped(
        "the ssh client",
        "section netbasics uidbasics\nprogram ssh\n/etc/ssh/ssh_config optional\ntree /etc/ssh/ssh_config.d optional\n",
    ),
    "rsync": Shipped("rsync", "section netbasics uidbasics\nprogram rsync\n"),
    "procmail": Shipped("procmail, mail delivery", "section devbasics\nprogram procmail sh\n"),
    "basicshell": Shipped(
        "bash with the basic programs",
        """\
section uidbasics
program sh bash cat chmod cp date dd echo false grep ln ls mkdir mktemp mv pwd rm rmdir sed sleep sync touch true
program cpio egrep fgrep gunzip gzip more tar uncompress zcat optional
/etc/{motd,issue,bash.bashrc,bashrc,profile} optional
user root
group root
""",
    ),
    "interactiveshell": Shipped(
        "a full shell for people", "section uidbasics basicshell terminfo editors extendedshell\n"
    ),
    "midnightcommander": Shipped(
        "Midnight Commander",
        """\
section basicshell terminfo
program mc mcedit mcview mcdiff optional
tree /usr/share/mc optional
tree /etc/mc optional
""",
    ),
    "extendedshell": Shipped(
        "a shell with awk, find, less, sort and such",
        """\
section basicshell midnightcommander editors
program awk cut du env find head id md5sum nice sort tac tail tee tr uname uniq wc whoami
program bunzip2 bzip2 clear ldd less watch xargs xz optional
""",
    ),
    "terminfo": Shipped("descriptions of terminals", "tree {/etc,/usr/share,/lib}/terminfo optional\n"),
    "editors": Shipped(
        "vim, nano and joe",
        """\
section terminfo
program joe nano vi vim optional
/etc/vimrc optional
tree /etc/joe optional
tree /usr/share/{joe,nano,vim} optional
""",
    ),
    "netutils": Shipped(
        "clients for the network: wget, curl, ftp, rsync, ssh, scp",
        """\
section netbasics ssh sftp scp
program curl ftp host lynx rsync smbclient wget optional
/etc/wgetrc optional
""",
    ),
    "apacheutils": Shipped("htpasswd", "program htpasswd\n"),
    "extshellplusnet": Shipped(
        "extendedshell, netutils and apacheutils",
        "section extendedshell netutils\nprogram htpasswd optional\n",
    ),
    "openvpn": Shipped(
        "the OpenVPN daemon",
        """\
section netbasics uidbasics
program openvpn
/dev/net/tun c 10 200 666
user root nobody
group root nogroup optional
need logsocket
""",
    ),
    "apache": Shipped(
        "the Apache web server, its modules and settings",
        """\
section netbasics uidbasics
/usr/sbin/apache optional
user root
group root
user www-data optional
group www-data optional
""",
    ),
    "perl": Shipped(
        "perl and its modules",
        "program perl\ntree /usr/lib/{perl,perl5} optional\ntree /usr/share/{perl,perl5} optional\n",
    ),
    "xauth": Shipped("X authentication", "/etc/ld.so.conf optional\n"),
    "xclients": Shipped("the least for X clients", "section xauth\n/usr/share/X11/rgb.txt optional\n"),
    "vncserver": Shipped("a VNC server", "section xclients\nprogram Xvnc Xrealvnc optional\n"),
    "ping": Shipped("ping", "program ping\n"),
}


def shipped_text(name: str) -> str:
    """Return a shipped section as text: its repairs, then what it has itself."""
    return "".join(repair.text for repair in REPAIRS.get(name, ())) + SHIPPED[name].text
