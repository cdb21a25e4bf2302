"""What languages and tools open by names that no ELF header shows: a row for each, data alone.

In a pattern ``{prefix}`` is the directory two above the program (``/usr`` for ``/usr/bin/perl``), ``{version}`` what
its name says of its version (``3.11`` of ``python3.11``), ``*`` as in glob(7); ``A|B`` is one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Language:
    """One language or tool.

    ``program``   a regular expression for the whole base name of the program, its links followed.
    ``own``       the files of the program's package and of the packages of its source that it depends on are its own.
    ``packages``  patterns of names of other installed packages whose files belong to it.
    ``paths``     patterns of files and directories of it; what maintainer scripts make is found only so.
    ``modules``   where modules are installed: all of them for the program itself, for the script of a package what
                  that package depends on.
    ``programs``  what it starts by name, where the host has it.  ``data``: data sets.
    ``leave``     patterns of names below ``paths`` and ``modules`` that nobody needs; with ``/`` in front from the top.
    ``required``  (pattern, package) without which it does not run.
    ``pages``     patterns of names of pages of the manual, besides the program's own, for who has man(1).
    ``manual``    it shows pages of the manual: those of all programs that are there.
    """

    name: str
    program: str
    own: bool = False
    packages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    required: tuple[tuple[str, str], ...] = ()
    pages: tuple[str, ...] = ()
    manual: bool = False


_HTTPS = ("ca-certificates",)
_TERMINAL = ("terminfo",)

LANGUAGES: tuple[Language, ...] = (
    Language(
        name="python",
        program=r"python(?P<version>3\.\d+)t?",
        paths=("{prefix}/lib/python{version}", "{prefix}/lib64/python{version}", "/etc/python{version}",
               "/usr/share/python-wheels"),
        modules=("{prefix}/lib/python3/dist-packages", "{prefix}/lib/python{version}/*-packages",
                 "{prefix}/lib64/python{version}/*-packages", "/usr/local/lib/python{version}/*-packages"),
        data=("zoneinfo", *_HTTPS),
        leave=("/test", "/idlelib", "/lib2to3/tests", "/turtledemo", "/config-*", "/*-packages"),
        required=(("{prefix}/lib*/python{version}/encodings", "libpython{version}-minimal"),
                  ("{prefix}/lib*/python{version}/json", "libpython{version}-stdlib")),
    ),
    Language(
        name="perl",
        program=r"perl(?:5(?:\.\d+)*)?",
        paths=("{prefix}/lib/*/perl-base", "{prefix}/share/perl/5*", "{prefix}/lib/*/perl/5*", "/etc/perl"),
        modules=("{prefix}/share/perl5", "{prefix}/lib/*/perl5", "{prefix}/lib/perl5", "{prefix}/lib64/perl5",
                 "/usr/local/share/perl/*", "/usr/local/lib/*/perl"),
        required=(("{prefix}/lib/*/perl-base|{prefix}/lib*/perl5|{prefix}/share/perl5", "perl-base"),),
        pages=("perl*",),
    ),
    Language(
        name="ruby",
        program=r"ruby(?:\d+(?:\.\d+)?)?",
        paths=("{prefix}/lib/ruby", "{prefix}/lib/*/ruby", "{prefix}/lib64/ruby", "{prefix}/share/ruby",
               "{prefix}/share/rubygems*"),
        modules=("{prefix}/lib/ruby/vendor_ruby", "{prefix}/lib/*/ruby/vendor_ruby", "{prefix}/share/gems",
                 "/var/lib/gems"),
        data=_HTTPS,
        leave=("ri", "doc"),
        required=(("{prefix}/lib*/ruby|{prefix}/lib/*/ruby|{prefix}/share/ruby", "ruby"),),
    ),
    Language(
        name="node",
        program=r"node(?:js|-\d+)?",
        own=True,
        modules=("{prefix}/share/nodejs", "{prefix}/lib/nodejs", "{prefix}/lib/*/nodejs", "{prefix}/lib/node_modules",
                 "/usr/local/lib/node_modules"),
        paths=("/etc/npmrc",),
        data=_HTTPS,
    ),
    Language(
        name="php",
        program=r"php(?P<version>\d+\.\d+)?",
        paths=("/etc/php/{version}/cli", "/etc/php/{version}/mods-available", "/etc/php.ini", "/etc/php.d",
               "{prefix}/lib/php/20*", "{prefix}/lib64/php"),
        modules=("{prefix}/share/php", "{prefix}/share/pear"),
        data=("zoneinfo", *_HTTPS),
        required=(("/etc/php/{version}/cli/php.ini|/etc/php.ini|{prefix}/lib/php.ini", "php{version}-cli"),),
    ),
    Language(
        name="java",
        program=r"java|javac|jar|jshell|keytool",
        paths=("{prefix}/lib", "{prefix}/conf", "{prefix}/release", "{prefix}/jre"),
        data=("zoneinfo", *_HTTPS),
        leave=("/src.zip", "*.diz", "/*.sym"),
        required=(("{prefix}/lib/modules|{prefix}/jre/lib/rt.jar|{prefix}/lib/rt.jar", "default-jre-headless"),
                  ("{prefix}/conf/security/java.security|{prefix}/*/security/java.security|"
                   "{prefix}/jre/lib/security/java.security", "default-jre-headless")),
    ),
    Language(
        name="lua",
        program=r"lua(?:jit)?(?P<version>\d\.\d)?(?:-.*)?",
        modules=("{prefix}/share/lua/{version}", "{prefix}/lib/*/lua/{version}", "{prefix}/lib*/lua/{version}"),
    ),
    Language(
        name="tcl",
        program=r"(?:tclsh|wish)(?P<version>\d\.\d)?",
        own=True,
        paths=("{prefix}/share/tcltk/tcl{version}", "{prefix}/share/tcl{version}", "{prefix}/lib*/tcl{version}"),
        modules=("{prefix}/share/tcltk", "{prefix}/lib/tcltk", "{prefix}/lib/*/tcltk"),
        required=(("{prefix}/share/tcl*/tcl{version}/init.tcl|{prefix}/share/tcl{version}/init.tcl|"
                   "{prefix}/lib*/tcl{version}/init.tcl", "libtcl{version}"),),
    ),
    Language(
        name="R",
        program=r"R(?:script)?",
        own=True,
        paths=("/usr/lib/R", "/usr/lib64/R", "/usr/share/R", "/etc/R"),
        modules=("/usr/local/lib/R",),
        programs=("sh", "sed", "grep", "uname", "rm", "tr", "ls", "cat", "expr", "which", "date", "mkdir", "basename"),
        data=("zoneinfo",),
        leave=("/library/*/doc", "/library/*/help", "/library/*/html", "/library/translations"),
        required=(("/usr/lib/R/library/base|/usr/lib64/R/library/base", "r-base-core"),),
    ),
    Language(
        name="gcc",
        program=r"(?:[\w-]+-)?(?:gcc|g\+\+|cc|c\+\+|cpp)(?:-\d+)?",
        own=True,
        packages=("libc6-dev", "libcrypt-dev", "linux-libc-dev", "libstdc++-*-dev", "libgcc-*-dev"),
        programs=("as", "ld", "ar", "nm", "ranlib", "strip", "ld.bfd"),
        leave=("plugin", "install-tools"),
    ),
    Language(
        name="git",
        program=r"git",
        paths=("{prefix}/lib/git-core", "{prefix}/libexec/git-core", "{prefix}/share/git-core/templates",
               "/etc/gitconfig"),
        data=_HTTPS,
        required=(("{prefix}/lib/git-core|{prefix}/libexec/git-core", "git"),),
        pages=("git*",),
    ),
    Language(
        name="mysql",
        program=r"(?:mariadb|mysql)(?:-?(?:admin|check|dump|import|show|slap))?",
        own=True,
        paths=("/etc/mysql", "/etc/my.cnf", "/etc/my.cnf.d", "{prefix}/lib/*/libmariadb*/plugin",
               "{prefix}/lib*/mariadb/plugin", "{prefix}/share/mysql/charsets", "{prefix}/share/mariadb/charsets"),
    ),
    # Debian's psql, pg_dump and so on are this script, which starts those of the newest version.
    Language(
        name="postgresql",
        program=r"pg_wrapper",
        own=True,
        packages=("postgresql-client-[0-9]*",),
        paths=("/etc/postgresql-common",),
        data=("zoneinfo",),
        required=(("/usr/lib/postgresql/*/bin/psql", "postgresql-client"),),
    ),
    Language(name="postgresql", program=r"psql|pg_dump|pg_restore|pg_dumpall", data=("zoneinfo",)),
    Language(name="mercurial", program=r"hg", paths=("/etc/mercurial",), data=_HTTPS),
    Language(name="borg", program=r"borg"),
    Language(name="rdiff-backup", program=r"rdiff-backup"),
    Language(name="composer", program=r"composer", data=_HTTPS),
    Language(name="npm", program=r"(?:npm|npx)(?:-cli\.js)?", data=_HTTPS),
    Language(name="restic", program=r"restic", data=_HTTPS),
    Language(name="rclone", program=r"rclone", data=_HTTPS),
    Language(
        name="vim",
        program=r"vim?(?:\.\w+)?|nvim",
        own=True,
        paths=("/etc/vim", "/etc/vimrc", "{prefix}/share/vim"),
        data=_TERMINAL,
        leave=("doc", "tutor", "lang"),
    ),
    Language(
        name="mc",
        program=r"mc|mcedit|mcview",
        own=True,
        paths=("/etc/mc", "{prefix}/share/mc", "{prefix}/lib/mc", "{prefix}/libexec/mc"),
        data=_TERMINAL,
        leave=("help", "hints", "examples"),
        required=(("{prefix}/share/mc/skins/default.ini", "mc-data"),),
    ),
    Language(
        name="emacs",
        program=r"emacs(?:-[\w.+-]+)?",
        own=True,
        paths=("/etc/emacs", "{prefix}/share/emacs", "{prefix}/lib/emacs", "{prefix}/libexec/emacs"),
        data=_TERMINAL,
        leave=("tutorials", "refcards", "images"),
        required=(("{prefix}/share/emacs/*/lisp", "emacs-common"),),
    ),
    Language(name="tmux", program=r"tmux|screen", paths=("/etc/tmux.conf", "/etc/screenrc"),
             data=("locale", *_TERMINAL)),
    Language(name="ncurses", program=r"tput|infocmp|tset|reset|clear|less|top|htop", data=_TERMINAL),
    Language(name="nano", program=r"nano", paths=("{prefix}/share/nano", "/etc/nanorc"), data=_TERMINAL,
             pages=("nanorc",)),
    # man-db starts what groff has; its cache of pages and its index are not needed.
    Language(
        name="man",
        program=r"man",
        own=True,
        paths=("{prefix}/lib/man-db", "{prefix}/libexec/man-db", "/etc/manpath.config", "/etc/man_db.conf",
               "{prefix}/share/groff/*", "{prefix}/lib/groff", "/etc/groff"),
        programs=("groff", "nroff", "troff", "grotty", "preconv", "tbl", "eqn", "neqn", "pic", "soelim", "col",
                  "locale", "gzip", "pager", "less"),
        data=("locale", *_TERMINAL),
        leave=("devps", "devpdf", "devdvi", "devhtml", "devcp1047", "devlbp", "devlj4", "devX*", "oldfont"),
        required=(("{prefix}/share/groff/*/tmac/an*.tmac", "groff-base"),),
        manual=True,
    ),
    Language(name="curl", program=r"curl", data=("nss", *_HTTPS)),
    Language(name="wget", program=r"wget2?", paths=("/etc/wgetrc",), data=("nss", *_HTTPS)),
    Language(
        name="imagemagick",
        program=r"(?:animate|compare|composite|conjure|convert|display|identify|import|magick|mogrify|montage|stream)"
                r"(?:-im\d.*)?",
        own=True,
        paths=("/etc/ImageMagick-*", "{prefix}/lib/*/ImageMagick-*", "{prefix}/lib64/ImageMagick-*",
               "{prefix}/share/ImageMagick-*"),
    ),
    Language(
        name="zsh",
        program=r"zsh(?:\d.*)?",
        own=True,
        paths=("/etc/zsh", "/etc/zshrc", "/etc/zshenv", "/etc/zprofile"),
        data=_TERMINAL,
        leave=("help",),
    ),
    Language(
        name="fish",
        program=r"fish",
        own=True,
        paths=("/etc/fish", "{prefix}/share/fish"),
        data=_TERMINAL,
        required=(("{prefix}/share/fish/config.fish", "fish-common"),),
    ),
    Language(name="iconv", program=r"iconv", data=("gconv",)),
    Language(name="file", program=r"file", paths=("{prefix}/lib/file", "{prefix}/share/misc/magic.mgc", "/etc/magic")),
    Language(name="sqlite", program=r"sqlite3"),
    Language(name="jq", program=r"jq"),
    Language(name="bc", program=r"bc|dc"),
)  # fmt: skip

# What else programs that everybody may run read in /etc; all that everybody may read of it.
_OTHERS = (
    "DIR_COLORS", "alternatives", "bash.bashrc", "bash_completion.d", "bashrc", "debian_version", "environment.d",
    "fonts", "ghostscript", "groff", "highlight", "host.conf", "inputrc", "java*", "ld.so.cache", "locale.alias",
    "localtime", "lsb-release", "magic.mime", "manpath.config", "mime.types", "networks", "os-release",
    "pki/ca-trust/extracted", "pki/tls/cert.pem", "pki/tls/certs", "profile", "profile.d", "protocols", "python3",
    "redhat-release", "rpc", "services", "shells", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "xattr.conf",
)  # fmt: skip


def languages_of(program: str) -> Iterator[tuple[Language, str]]:
    """Yield the rows for a program's base name, with the version that the name says."""
    for row in LANGUAGES:
        if match := re.fullmatch(row.program, program):
            yield row, match.groupdict().get("version") or ""


def settings_of_all() -> tuple[str, ...]:
    """Return patterns of what languages and tools read in ``/etc``, whatever their version."""
    rows = (path for row in LANGUAGES for path in row.paths if path.startswith("/etc/"))
    return tuple(dict.fromkeys((*(path.replace("{version}", "*") for path in rows), *(f"/etc/{n}" for n in _OTHERS))))
