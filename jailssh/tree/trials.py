"""What ``--verify`` has each language do: a program, a module of it, and where it speaks https a request."""

from __future__ import annotations

from dataclasses import dataclass

from jailssh.host.https import ANSWER

HELLO, MODULE, HTTPS = "a program", "a module", "https"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One thing that a language must be able to do.

    ``name``      the language.  ``program``: a regular expression for the base name by which it is started.
    ``kind``      what is tried.
    ``steps``     command lines, one after the other, in an empty directory: each must end well, and the last one say
                  ``says`` (a regular expression).  ``{program}``, ``{url}`` and ``{host}`` (of the server) stand for
                  what they say.
    ``files``     (name, text) in that directory.
    ``if_there``  paths (``{prefix}``: two above the program) one of which must be in the tree, or it is not tried.
    ``fails``     the last step ends with another status than 0: it is a client, and there is no server.
    """

    name: str
    program: str
    kind: str
    steps: tuple[tuple[str, ...], ...]
    says: str = "hello"
    files: tuple[tuple[str, str], ...] = ()
    if_there: tuple[str, ...] = ()
    fails: bool = False


_P = "{program}"
_PYTHON = r"python3(?:\.\d+)?"
_PHP = r"php(?:\d+\.\d+)?"
_C = '#include <stdio.h>\n#include <errno.h>\nint main(void) { puts("hello"); return errno; }\n'
_CC = '#include <iostream>\n#include <map>\nint main() { std::cout << "hello" << std::endl; }\n'
_GIT_HTTPS = ("{prefix}/lib/git-core/git-remote-https", "{prefix}/libexec/git-core/git-remote-https")
_KEYTOOL = (_P, "-Xmx64m", "-m", "java.base/sun.security.tools.keytool.Main")
_PERL = 'use List::Util "sum"; use POSIX "floor"; use Data::Dumper; print sum(1, 2) == floor(3.5) ? "hello" : "no"'
_RUBY = 'require "net/http"; require "openssl"; puts Net::HTTP.get(URI("{url}"))'
_NODE = 'require("https").get("{url}", r => r.on("data", d => process.stdout.write(d)))'
_PHP_MODULES = 'date("c"); json_encode([1]); echo "hello";'
_CLIENT = r"(?i)can't connect|could not connect|connection to server|connection refused"
_GIT = ("-c", "user.name=a", "-c", "user.email=a@b", "-C", "x")

TRIALS: tuple[Trial, ...] = (
    Trial(name="python", program=_PYTHON, kind=HELLO, steps=((_P, "-c", "print('hello')"),)),
    Trial(name="python", program=_PYTHON, kind=MODULE,
          steps=((_P, "-c", "import ssl, json, ctypes, decimal, multiprocessing; print('hello')"),)),
    Trial(name="python", program=_PYTHON, kind="zones", if_there=("/usr/share/zoneinfo/Europe/Berlin",),
          steps=((_P, "-c", "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin'); print('hello')"),)),
    Trial(name="python", program=_PYTHON, kind=HTTPS, says=ANSWER,
          steps=((_P, "-c", "import urllib.request as r; print(r.urlopen('{url}').read())"),)),
    Trial(name="perl", program="perl", kind=HELLO, steps=((_P, "-e", 'print "hello"'),)),
    Trial(name="perl", program="perl", kind=MODULE, steps=((_P, "-e", _PERL),)),
    Trial(name="ruby", program=r"ruby(?:\d.*)?", kind=HELLO, steps=((_P, "-e", 'puts "hello"'),)),
    Trial(name="ruby", program=r"ruby(?:\d.*)?", kind=MODULE,
          steps=((_P, "-e", 'require "json"; require "zlib"; puts JSON.generate(["hello"])'),)),
    Trial(name="ruby", program=r"ruby(?:\d.*)?", kind=HTTPS, says=ANSWER, steps=((_P, "-e", _RUBY),)),
    Trial(name="node", program="node|nodejs", kind=HELLO, steps=((_P, "-e", 'console.log("hello")'),)),
    Trial(name="node", program="node|nodejs", kind=MODULE,
          steps=((_P, "-e", 'require("crypto"); require("zlib"); console.log("hello")'),)),
    Trial(name="node", program="node|nodejs", kind=HTTPS, says=ANSWER,
          steps=((_P, "--use-openssl-ca", "-e", _NODE),)),
    Trial(name="npm", program="npm", kind=HELLO, says=r"^\d+\.", steps=((_P, "--version"),)),
    Trial(name="npm", program="npm", kind=MODULE, says='"name": "x"', files=(("package.json", '{"name": "x"}'),),
          steps=((_P, "--offline", "pkg", "get"),)),
    Trial(name="php", program=_PHP, kind=HELLO, steps=((_P, "-r", 'echo "hello";'),), says=r"\Ahello"),
    Trial(name="php", program=_PHP, kind=MODULE, steps=((_P, "-r", _PHP_MODULES),), says=r"\Ahello\Z"),
    Trial(name="php", program=_PHP, kind=HTTPS, says=ANSWER,
          steps=((_P, "-r", 'echo file_get_contents("{url}");'),)),
    Trial(name="composer", program="composer", kind=HELLO, says="Composer", steps=((_P, "--no-ansi", "--version"),)),
    Trial(name="composer", program="composer", kind=MODULE, says="valid",
          files=(("composer.json", '{"name": "a/b", "description": "c", "license": "MIT", "require": {}}'),),
          steps=((_P, "--no-ansi", "--no-interaction", "validate", "--no-check-publish"),)),
    Trial(name="java", program="java", kind=HELLO, says="(?i)version", steps=((_P, "-Xmx64m", "-version"),)),
    Trial(name="java", program="java", kind=MODULE, says="java.base", steps=((_P, "-Xmx64m", "--list-modules"),)),
    Trial(name="java", program="java", kind=HTTPS, says="jailssh trial",
          steps=((*_KEYTOOL, "-list", "-cacerts", "-storepass", "changeit"),
                 (*_KEYTOOL, "-printcert", "-sslserver", "{host}"))),
    Trial(name="lua", program=r"lua(?:\d\.\d)?", kind=HELLO, steps=((_P, "-e", 'print("hello")'),)),
    Trial(name="lua", program=r"lua(?:\d\.\d)?", kind=MODULE, steps=((_P, "-e", 'print(os.date and "hello")'),)),
    Trial(name="tcl", program=r"tclsh(?:\d\.\d)?", kind=HELLO, files=(("a.tcl", "puts hello\n"),),
          steps=((_P, "a.tcl"),)),
    Trial(name="tcl", program=r"tclsh(?:\d\.\d)?", kind=MODULE,
          files=(("a.tcl", "package require http\nputs hello\n"),), steps=((_P, "a.tcl"),)),
    Trial(name="R", program="Rscript", kind=HELLO, steps=((_P, "-e", 'cat("hello")'),)),
    Trial(name="R", program="Rscript", kind=MODULE,
          steps=((_P, "-e", 'library(stats); library(tools); cat(if (median(1:3) == 2) "hello")'),)),
    Trial(name="R", program="Rscript", kind=HTTPS, says=ANSWER, steps=((_P, "-e", 'cat(readLines("{url}"))'),)),
    Trial(name="gcc", program=r"gcc(?:-\d+)?|cc", kind=HELLO, files=(("a.c", _C),),
          steps=((_P, "-o", "a", "a.c"), ("./a",))),
    Trial(name="g++", program=r"g\+\+(?:-\d+)?", kind=HELLO, files=(("a.cc", _CC),),
          steps=((_P, "-o", "a", "a.cc"), ("./a",))),
    Trial(name="git", program="git", kind=HELLO, says="git version", steps=((_P, "--version"),)),
    Trial(name="git", program="git", kind=MODULE, says="hello",
          if_there=("{prefix}/lib/git-core/git", "{prefix}/libexec/git-core/git"),
          steps=((_P, "init", "-q", "x"), (_P, *_GIT, "commit", "-q", "--allow-empty", "-m", "hello"),
                 (_P, "clone", "-q", "x", "y"), (_P, "-C", "y", "log"))),
    Trial(name="git", program="git", kind=HTTPS, says=ANSWER, if_there=_GIT_HTTPS,
          steps=((_P, "ls-remote", "{url}x.git"),)),
    Trial(name="mysql", program="mysql|mariadb", kind=HELLO, says="Ver|from", steps=((_P, "--version"),)),
    Trial(name="mysql", program="mysql|mariadb", kind=MODULE, says=_CLIENT, fails=True,
          steps=((_P, "--default-character-set=utf8mb4", "--protocol=tcp", "-h", "127.0.0.1", "-P", "1", "-e", "1"),)),
    Trial(name="mysqldump", program="mysqldump|mariadb-dump", kind=HELLO, says="Ver|from", steps=((_P, "--version"),)),
    Trial(name="psql", program="psql", kind=HELLO, says="PostgreSQL", steps=((_P, "--version"),)),
    Trial(name="psql", program="psql", kind=MODULE, says=_CLIENT, fails=True,
          steps=((_P, "-h", "127.0.0.1", "-p", "1", "-U", "a", "-c", "select 1"),)),
    Trial(name="pg_dump", program="pg_dump", kind=HELLO, says="PostgreSQL", steps=((_P, "--version"),)),
    Trial(name="borg", program="borg", kind=HELLO, says=r"borg \d", steps=((_P, "--version"),)),
    Trial(name="borg", program="borg", kind=MODULE, says="Repository ID",
          steps=((_P, "init", "-e", "none", "r"), (_P, "info", "r"))),
    Trial(name="hg", program="hg", kind=HELLO, says=r"Mercurial", steps=((_P, "--version", "-q"),)),
    Trial(name="hg", program="hg", kind=MODULE,
          files=(("f", "text\n"),),
          steps=((_P, "init", "."), (_P, "commit", "-A", "-u", "a", "-m", "hello", "f"), (_P, "log"))),
    Trial(name="vim", program=r"vim(?:\.(?:basic|nox|gtk3?))?", kind=HELLO,
          steps=((_P, "-N", "-u", "NONE", "-es", "-c", 'verbose echo "hello"', "-c", "q"),)),
    Trial(name="vim", program=r"vim(?:\.(?:basic|nox|gtk3?))?", kind="syntax", says="1",
          if_there=("/usr/share/vim/vim*/syntax/syntax.vim",),
          steps=((_P, "-N", "-u", "NONE", "-es", "-c", "syntax on", "-c", 'verbose echo exists("g:syntax_on")', "-c",
                  "q"),)),
    Trial(name="nano", program="nano", kind=HELLO, says="nano", steps=((_P, "--version"),)),
    Trial(name="mc", program="mc", kind=HELLO, says="Commander", steps=((_P, "--version"),)),
    Trial(name="emacs", program=r"emacs(?:-nox)?", kind=HELLO,
          steps=((_P, "-Q", "--batch", "--eval", '(message "hello")'),)),
    Trial(name="emacs", program=r"emacs(?:-nox)?", kind=MODULE,
          steps=((_P, "-Q", "--batch", "--eval", "(progn (require 'dired) (require 'json) (message \"hello\"))"),)),
    Trial(name="tmux", program="tmux", kind=HELLO, says="tmux", steps=((_P, "-V"),)),
    Trial(name="tmux", program="tmux", kind=MODULE, says="hello:", if_there=("/usr/bin/sleep", "/bin/sleep"),
          steps=((_P, "-f", "/dev/null", "-S", "t", "new-session", "-d", "-s", "hello", "sleep 5", ";",
                  "list-sessions"),)),
    Trial(name="man", program="man", kind=HELLO, says="man", steps=((_P, "--version"),)),
    Trial(name="man", program="man", kind=MODULE, files=(("a.1", '.TH A 1\n.SH NAME\na \\- hello\n'),),
          steps=((_P, "-l", "a.1"),)),
    Trial(name="tput", program="tput", kind=HELLO, says="80", steps=((_P, "-T", "xterm", "cols"),)),
    Trial(name="infocmp", program="infocmp", kind=HELLO, says="cursor|cup=", steps=((_P, "xterm"),)),
    Trial(name="curl", program="curl", kind=HELLO, says="curl", steps=((_P, "--version"),)),
    Trial(name="curl", program="curl", kind=HTTPS, says=ANSWER, steps=((_P, "-sS", "{url}"),)),
    Trial(name="wget", program="wget", kind=HELLO, says="Wget", steps=((_P, "--version"),)),
    Trial(name="wget", program="wget", kind=HTTPS, says=ANSWER, steps=((_P, "-q", "-O", "-", "{url}"),)),
    Trial(name="imagemagick", program=r"convert|convert-im6.*|magick", kind=HELLO, says="PNG",
          steps=((_P, "-size", "8x8", "xc:red", "x.png"), (_P, "x.png", "info:"))),
    Trial(name="rdiff-backup", program="rdiff-backup", kind=HELLO, says="rdiff-backup", steps=((_P, "--version"),)),
    Trial(name="rdiff-backup", program="rdiff-backup", kind=MODULE, says="",
          files=(("a.txt", "hello"),), steps=((_P, "/etc/ssl", "b"),), if_there=("/etc/ssl",)),
    Trial(name="restic", program="restic", kind=HELLO, says="restic", steps=((_P, "version"),)),
    Trial(name="rclone", program="rclone", kind=HELLO, says="rclone", steps=((_P, "version"),)),
    Trial(name="rclone", program="rclone", kind=HTTPS, says=ANSWER,
          steps=((_P, "copyurl", "{url}", "--stdout"),)),
    Trial(name="svn", program="svn", kind=HELLO, says="version", steps=((_P, "--version"),)),
    Trial(name="sqlite", program="sqlite3", kind=HELLO, says="2", steps=((_P, ":memory:", "select 1 + 1"),)),
    Trial(name="jq", program="jq", kind=HELLO, says="2", steps=((_P, "-n", "1 + 1"),)),
    Trial(name="bc", program="bc", kind=HELLO, says="^2$", files=(("a", "1 + 1\n"),), steps=((_P, "-q", "a"),)),
    Trial(name="zsh", program="zsh", kind=HELLO, steps=((_P, "-fc", "print hello"),)),
    Trial(name="zsh", program="zsh", kind=MODULE, steps=((_P, "-fc", "zmodload zsh/datetime && print hello"),)),
    Trial(name="fish", program="fish", kind=HELLO, steps=((_P, "-c", "echo hello"),)),
    Trial(name="fish", program="fish", kind=MODULE, says="^2$", steps=((_P, "-c", "math 1 + 1"),)),
    Trial(name="iconv", program="iconv", kind=MODULE, says="hello", files=(("a", "hello"),),
          steps=((_P, "-f", "LATIN1", "-t", "UTF-8", "a"),)),
)  # fmt: skip
