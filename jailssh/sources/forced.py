"""What one forced command lets its caller do, and the settings of a jail that come nearest to it.

``command=`` of authorized_keys and ``ForceCommand`` of sshd_config run instead of what the client asks for, through the
account's shell; ``internal-sftp`` runs in sshd itself.  What a program lets through is taken from the program, and a
command that is not known is a fixed command line or is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jailssh.core.errors import JailsshError
from jailssh.core.names import is_below, is_clean_absolute
from jailssh.sources import shell_words
from jailssh.sources.found import Effect, Fate, Host, Person, Settings
from jailssh.sources.shell_words import NO_SHELLS, ORIGINAL, SHELLS, Unclear

INTERNAL = "internal-sftp"
_REQUESTS = (
    "open close read write lstat fstat setstat fsetstat opendir readdir remove mkdir rmdir realpath stat rename "
    "readlink symlink posix-rename statvfs fstatvfs hardlink fsync lsetstat limits expand-path copy-data "
    "home-directory users-groups-by-id"
)
REQUESTS = frozenset(_REQUESTS.split())
"""The requests that the sftp plugin knows by name; sftp-server takes any other name in silence."""
_SIZE = re.compile(r"([0-9]+)([KMGT]?)B?\Z", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9_.,:+@%=/~-]+\Z")
"""A word that the command plugin takes literally."""
_OWNERS: Mapping[str, str] = {
    "gitlab-shell": "GitLab", "gitea": "Gitea", "forgejo": "Forgejo", "gogs": "Gogs", "gerrit": "Gerrit",
    "gl-auth-command": "gitolite 2", "gitolite-shell": "gitolite", "kallithea-cli": "Kallithea",
    "rhodecode-ssh-wrapper": "RhodeCode",
    "dokku": "Dokku", "gitosis-serve": "gitosis", "soft": "Soft Serve", "sshcommand": "sshcommand",
    "git-annex-shell": "git-annex", "lxd": "LXD", "teleport": "Teleport",
}  # fmt: skip
"""Programs that serve an account by keys and rights of their own."""
INTERPRETERS = SHELLS | {
    "busybox", "csh", "fish", "node", "perl", "php", "python", "python3", "ruby", "screen", "tcsh", "tmux",
}  # fmt: skip
"""Programs that run whatever they are given."""
_NOTHING = frozenset({"echo", "printf", "false", "true", "nologin", "exit", "sleep", "cat", ":"})
_RCLONE = ("--append-only", "--config=/dev/null", "--quiet", "--verbose", "-q", "-v", "-vv")
"""Options of rclone that stand for what the plugin does, or make no difference."""
Notes = list[tuple[Effect, str]]


@dataclass(frozen=True)
class Forced:
    """What a command comes to: ``settings`` of the jail, ``uses`` in words of USES, a name, and what to say of it.

    ``fate``: LEAVE where no jail comes near, REFUSED where the command fails today; ``why`` says so.
    """

    fate: Fate
    settings: Settings = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    called: str = ""
    notes: tuple[tuple[Effect, str], ...] = ()
    why: str = ""


class Left(Exception):
    """No jail comes near; the text says why."""


class Refuses(Exception):
    """Today's program ends with an error."""


@dataclass
class Context:
    """Whose command it is and what is said of it so far; ``directory``: in which it begins."""

    person: Person
    host: Host
    directory: str
    notes: Notes = field(default_factory=list)

    def say(self, effect: Effect, text: str) -> None:
        """Note something about the command."""
        if (effect, text) not in self.notes:
            self.notes.append((effect, text))

    def path(self, text: str) -> str:
        """Return a path of the command as a jail's settings write it: below the home with ``~``."""
        return tilde(self.absolute(text), home_of(self.person))

    def absolute(self, text: str) -> str:
        """Return the clean absolute path that ``text`` means; raises :class:`Left` for what is none."""
        if ORIGINAL in text:
            raise Left("the client says which path it is")
        path = text if text.startswith("/") else f"{self.directory}/{text}"
        path = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
        # A "%" would be a specifier there, for another directory.
        odd = not path.isprintable() or path != path.strip() or set(path) & set("\"',#%")
        if not is_clean_absolute(path) or odd:
            raise Left(f"{text!r} is not a path that a jail's settings can name")
        home = home_of(self.person)
        if path == "/" or (path != home and is_below(home, path)):
            raise Left(f"{path} holds the homes of accounts, so it cannot be one of a jail's directories")
        return path


def home_of(person: Person) -> str:
    """Return the home without a ``/./``, as the kernel takes it."""
    return "/" + "/".join(part for part in person.home.split("/") if part not in ("", "."))


def tilde(path: str, home: str) -> str:
    """Return ``path`` with ``~`` for the home, so that accounts with the same set-up share a jail."""
    return "~" + path[len(home) :] if home != "/" and is_below(path, home) else path


def judge(command: str, person: Person, host: Host) -> Forced:
    """Return what ``command`` comes to for an account."""
    context = Context(person, host, home_of(person))
    try:
        settings, uses, called = _judged(command, context)
    except Left as error:
        return Forced(Fate.LEAVE, notes=tuple(context.notes), why=str(error))
    except Refuses as error:
        return Forced(Fate.REFUSED, notes=tuple(context.notes), why=str(error))
    return Forced(Fate.MIGRATE, settings, uses, called, tuple(context.notes))


Result = tuple[dict[str, dict[str, str | tuple[str, ...]]], tuple[str, ...], str]


def _judged(command: str, context: Context) -> Result:
    if is_internal(command):
        return sftp(command.split(" ")[1:], context)
    shell = context.person.shell.rsplit("/", 1)[-1] or "sh"
    if shell in NO_SHELLS:
        raise Refuses(f"the login shell {context.person.shell} runs no command")
    if shell not in SHELLS and not all(_PLAIN.match(word) for word in command.split()):
        raise Left(f"the login shell {context.person.shell} reads it in its own way")
    home = home_of(context.person)
    known = {"HOME": home, "USER": context.person.name, "LOGNAME": context.person.name}
    try:
        line = shell_words.read(command, known)
    except Unclear as error:
        first = command.split()[:1]
        if first and first[0].rsplit("/", 1)[-1] in _NOTHING:
            raise Left("it shows a text or ends, and nobody can do anything with it") from None
        raise Left(f"it {error}") from None
    if line.directory:
        at_home = line.directory.startswith("~")
        context.directory = context.absolute(home + line.directory[1:] if at_home else line.directory)
        context.say(Effect.CHANGED, f"it begins in {context.directory} today, in the jail at the home")
    settings, uses, called = _program(line.words, context)
    top = settings[""]
    if line.umask:
        top["umask"] = line.umask
    if line.nice:
        settings["limits"] = {"nice": str(line.nice)}
    for name in sorted(line.variables):
        context.say(Effect.LOST, f"the variable {name} is not set in the jail")
    return settings, uses, called


def is_internal(command: str) -> bool:
    """True if sshd takes the command for its own sftp server."""
    return re.match(rf"{INTERNAL}(?:[ \t]|\Z)", command) is not None


def jail(plugin: str, **settings: str | tuple[str, ...]) -> dict[str, dict[str, str | tuple[str, ...]]]:
    """Return the settings of a jail with one plugin."""
    return {"": {"plugins": plugin}, plugin: dict(settings)} if settings else {"": {"plugins": plugin}}


def sftp(words: Sequence[str], context: Context, *, start: Callable[[str], str] | None = None) -> Result:
    """Return what ``internal-sftp`` or ``sftp-server`` does with these flags, as getopt(3) reads them there.

    ``start`` gives the start directory as the jail's settings name it, where that is not a path of this host.
    """
    found = jail("sftp")
    own: dict[str, str | tuple[str, ...]] = {}
    rest = [word for word in words if word]
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        letters = rest.pop(0)[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "dflPpQu":
                value = letters or (rest.pop(0) if rest else None)
                letters = ""
                if value is None:
                    raise Refuses(f"sftp-server's option -{letter} has no value")
                _sftp_value(letter, value, own, context, start)
            elif letter == "R":
                own["read_only"] = "yes"
            elif letter not in "ce":
                raise Refuses(f"sftp-server does not know the option -{letter}")
    if own:
        found["sftp"] = own
    if not start:
        context.say(Effect.CLOSED, "files outside of the home, which nothing but their modes kept from it")
    name = "sftp-ro" if own.get("read_only") else "sftp"
    return found, ("sftp", "scp"), name


def _sftp_value(
    letter: str,
    value: str,
    own: dict[str, str | tuple[str, ...]],
    context: Context,
    start: Callable[[str], str] | None,
) -> None:
    if letter == "u":
        if not re.match(r"[0-7]{1,4}\Z", value) or int(value, 8) > 0o777:
            raise Refuses(f"{value!r} is no umask")
        own["umask"] = f"{int(value, 8):03o}"
    elif letter == "d":
        path = re.sub(r"%(.)", lambda found: _token(found[1], context), value)
        own["start"] = start(path) if start else _start(path, context)
        if not own["start"]:
            del own["start"]
    elif letter in "Pp":
        name = "deny_requests" if letter == "P" else "allow_requests"
        if name in own:
            raise Refuses(f"sftp-server's option -{letter} is given twice")
        names = [word for word in value.split(",") if word]
        known = tuple(dict.fromkeys(word for word in names if word in REQUESTS))
        for word in names:
            if word not in REQUESTS:
                context.say(Effect.NOTE, f"-{letter} {word}: no request has this name, so it has no effect")
        if letter == "p" and not known:
            raise Refuses(f"-p {value!r} permits no request")
        if known:
            own[name] = known
    elif letter == "Q":
        raise Refuses("-Q prints the requests and ends")


def _start(path: str, context: Context) -> str:
    """Return a start directory in the home, "" for one that the jail does not show."""
    try:
        found = context.path(path)
    except Left:
        found = path
    if found.startswith("~"):
        return found
    context.say(Effect.CHANGED, f"a session begins in the home, since the jail does not have {path}")
    return ""


def _token(letter: str, context: Context) -> str:
    if letter not in "du%":
        raise Refuses(f"%{letter} in the start directory is not known to sftp-server")
    return {"d": home_of(context.person), "u": context.person.name, "%": "%"}[letter]


def _program(words: Sequence[str], context: Context) -> Result:
    name = words[0].rsplit("/", 1)[-1]
    plain = name.removesuffix(".py").removesuffix(".pl").removesuffix(".sh")
    if plain in _OWNERS:
        raise Left(f"{_OWNERS[plain]} serves this account with keys and rights of its own")
    for pattern, handler in _HANDLERS:
        if re.match(rf"(?:{pattern})\Z", plain):
            return handler(words, context)
    return _fixed(words, name, context)


def _rrsync(words: Sequence[str], context: Context) -> Result:
    options = {"-ro": False, "-wo": False, "-munge": False, "-no-del": False, "-no-lock": False,
               "-no-overwrite": False, "-absolute": False}  # fmt: skip
    given = []
    for word in words[1:]:
        if word in options:
            options[word] = True
        elif word.startswith("-"):
            raise Refuses(f"rrsync does not know the option {word!r}")
        else:
            given.append(word)
    if len(given) != 1 or (options["-ro"] and options["-wo"]):
        raise Refuses("rrsync takes one directory, and one of -ro and -wo")
    path = context.path(given[0])
    own: dict[str, str | tuple[str, ...]] = {}
    if not options["-wo"]:
        own["read"] = (path,)
    if not options["-ro"]:
        own["write"] = (path,)
    if options["-munge"]:
        own["munge"] = "yes"
    if options["-no-del"] and not options["-ro"]:
        own["delete"] = "no"
    if options["-no-overwrite"] and not options["-ro"]:
        own["overwrite"] = "no"
    own["probe"] = "yes"
    if path != "~":
        where = "the home" if path.startswith("~") else "the first directory"
        text = f"paths are those of this host, relative ones begin in {where}: what was HOST:/x is HOST:{path}/x"
        context.say(Effect.CHANGED, text)
    else:
        context.say(Effect.CHANGED, "a path from the top of the directory, HOST:/x, is written HOST:x")
    return jail("rsync", **own), ("rsync",), f"rsync{'-ro' if options['-ro'] else '-wo' if options['-wo'] else ''}"


def _rsync(words: Sequence[str], context: Context) -> Result:
    if words[1:2] != ["--server"]:
        return _fixed(words, "rsync", context)
    sender, operands = "--sender" in words, list(words[2:])
    if "." not in operands or any(word.startswith("--daemon") for word in words):
        raise Left("rsync runs with a configuration of its own, or without a path")
    given = operands[operands.index(".") + 1 :]
    if not given or ORIGINAL in given:
        raise Left("the client says which files rsync takes")
    own: dict[str, str | tuple[str, ...]] = {
        "read" if sender else "write": tuple(dict.fromkeys(context.path(word) for word in given))
    }
    if not sender and not any(word.startswith(("--delete", "--remove")) for word in words):
        own["delete"] = "no"
    if not sender and "--ignore-existing" in words:
        own["overwrite"] = "no"
    if "--munge-links" in words:
        own["munge"] = "yes"
    context.say(Effect.CHANGED, "rsync ran with options of its own; now the client's hold, within what the jail allows")
    return jail("rsync", **own), ("rsync",), "rsync-ro" if sender else "rsync-wo"


def _borg(words: Sequence[str], context: Context) -> Result:
    words = [part for word in words[1:] for part in (word.split("=", 1) if word.startswith("--") else [word])]
    own: dict[str, list[str]] = {"repositories": [], "paths": []}
    single: dict[str, str | tuple[str, ...]] = {}
    verbs, umask, rest = [], "", list(words)
    while rest:
        word = rest.pop(0)
        if word in ("--restrict-to-path", "--restrict-to-repository", "--storage-quota", "--umask", "--lock-wait"):
            if not rest:
                raise Refuses(f"borg's option {word} has no value")
            value = rest.pop(0)
            if word == "--storage-quota":
                single["storage_quota"] = _quota(value)
            elif word.startswith("--restrict"):
                own["paths" if word.endswith("path") else "repositories"].append(context.path(value))
            elif word == "--umask":
                umask = value
        elif word == "--append-only":
            single["append_only"] = "yes"
        elif word in ("--info", "--debug", "--verbose", "-v", "--warning", "--error", "--critical", "--show-rc"):
            continue
        elif word.startswith("-") or ORIGINAL in word:
            raise Left(f"borg's option {word.replace(ORIGINAL, '$SSH_ORIGINAL_COMMAND')!r} is not one for a jail")
        else:
            verbs.append(word)
    if verbs != ["serve"]:
        raise Left(f"borg runs {' '.join(verbs) or 'nothing'}, not serve")
    if not own["paths"] and not own["repositories"]:
        own["paths"] = ["~"]
        context.say(Effect.LOST, "repositories outside of the home, which nothing kept from this key")
    settings = jail("borg", **{name: tuple(dict.fromkeys(paths)) for name, paths in own.items() if paths}, **single)
    if umask:
        settings[""]["umask"] = umask
    return settings, ("borg",), "borg-append" if single.get("append_only") else "borg"


def _quota(text: str) -> str:
    found = _SIZE.match(text)
    if not found:
        raise Refuses(f"{text!r} is no size for borg")
    return found[1] + found[2].upper()


def _rclone(words: Sequence[str], context: Context) -> Result:
    if words[1:3] != ["serve", "restic"] or "--stdio" not in words:
        raise Left("rclone runs something else than serve restic --stdio")
    rest = [word for word in words[3:] if word != "--stdio"]
    appending = "--append-only" in rest
    private = [word for word in rest if word.startswith("-") and word not in _RCLONE]
    given = [word for word in rest if not word.startswith("-")]
    if private or len(given) != 1:
        raise Left(f"rclone has {'options ' + ' '.join(private) if private else 'not one path'}")
    if ":" in given[0].split("/")[0]:
        raise Left(f"{given[0]!r} is a remote of rclone, not a directory of this host")
    own = {"repository": context.path(given[0]), "append_only": "yes" if appending else "no"}
    return jail("restic", **own), ("restic",), "restic" if appending else "restic-rw"


def _sftp_server(words: Sequence[str], context: Context) -> Result:
    return sftp(words[1:], context)


def _git_shell(words: Sequence[str], context: Context) -> Result:
    words = words[1:] if words[0].rsplit("/", 1)[-1] == "git" else words
    if words[1:] != ["-c", ORIGINAL]:
        raise Left("git-shell does not get the client's own command")
    if context.host.kind(f"{home_of(context.person)}/git-shell-commands"):
        context.say(Effect.LOST, "the commands in ~/git-shell-commands")
    context.say(Effect.CHANGED, "only repositories below the home are served; others have to be named in [git] write")
    context.say(Effect.CLOSED, "hooks in the repositories do not run: [git] hooks names those that shall")
    return jail("git", write=("~",), archive="yes"), ("git",), "git"


def _svnserve(words: Sequence[str], context: Context) -> Result:
    root, user, tunnel, read_only, rest = "", "", False, False, list(words[1:])
    while rest:
        word = rest.pop(0)
        name, equal, value = word.partition("=")
        if name in ("-r", "--root", "--tunnel-user") or (word.startswith("-r") and word[1:2] != "-"):
            if not equal:
                value = word[2:] if word[:2] == "-r" and word != "-r" else rest.pop(0) if rest else ""
            root, user = (root, value) if name == "--tunnel-user" else (value, user)
        elif word in ("-t", "--tunnel", "-R", "--read-only", "-tR", "-Rt"):
            tunnel = tunnel or word in ("-t", "--tunnel", "-tR", "-Rt")
            read_only = read_only or word in ("-R", "--read-only", "-tR", "-Rt")
        else:
            raise Left(f"svnserve's option {word!r} is not one for a jail")
    if not tunnel:
        raise Left("svnserve runs without -t")
    if not root:
        raise Left("svnserve has no -r DIR, so it serves every repository of this host")
    if user and user != context.person.name:
        text = f"changes are recorded as {context.person.name}, not as {user}, and rights in authz by that name too"
        context.say(Effect.CHANGED, text)
    context.say(
        Effect.CLOSED, "hooks of a repository do not run, and a commit that a hook should have judged is refused"
    )
    own = {"root": context.path(root), **({"read_only": "yes"} if read_only else {})}
    return jail("svn", **own), ("svn",), "svn-ro" if read_only else "svn"


def _hg_ssh(words: Sequence[str], context: Context) -> Result:
    repositories = [word for word in words[1:] if word != "--read-only"]
    if not repositories or any(word.startswith("-") for word in repositories):
        raise Refuses("hg-ssh takes repositories, and --read-only")
    own = {"read" if "--read-only" in words else "write": tuple(context.path(word) for word in repositories)}
    context.say(Effect.CLOSED, "extensions and hooks that .hg/hgrc of a repository names do not run")
    return jail("hg", **own), ("hg",), "hg"


def _fixed(words: Sequence[str], name: str, context: Context) -> Result:
    if name in _NOTHING:
        raise Left("it shows a text or ends, and nobody can do anything with it")
    if name in INTERPRETERS:
        raise Left(f"{name} is a shell or an interpreter: whoever calls it can run anything, or it runs a script")
    if name in ("sudo", "doas", "su", "ssh", "chroot", "docker", "podman", "lxc", "nsenter", "systemd-run"):
        raise Left(f"{name} runs something as another account or elsewhere")
    if any(ORIGINAL in word for word in words):
        raise Left(f"{name} judges the client's command, and by what rules only it knows")
    if not all(_PLAIN.match(word) for word in words):
        raise Left("a word of it has a character that the command plugin does not take")
    program = words[0]
    text = _text_of(program, context) if "/" in program else ""
    if text is None:
        raise Left(f"{program} is not a program of root's, so who may change it decides what runs")
    if "SSH_ORIGINAL_COMMAND" in text:
        raise Left(f"{program} judges the client's command (SSH_ORIGINAL_COMMAND), and by what rules only it knows")
    line = " ".join(words)
    context.say(Effect.CHANGED, f"it ran whatever the client sent; now the client has to send: {line}")
    context.say(Effect.CHANGED, "directories that it reads or writes have to be named in [command] read and write")
    return (
        jail("command", commands=(line,)),
        ("command",),
        f"command-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}",
    )


def _text_of(program: str, context: Context) -> str | None:
    """Return what is in a program of root's, None where there is none."""
    if not is_clean_absolute(program) or is_below(program, home_of(context.person)):
        return None
    try:
        return context.host.read(program)
    except JailsshError as error:
        raise Left(f"{program} cannot be judged: {error.why}") from error


_HANDLERS: tuple[tuple[str, Callable[[Sequence[str], Context], Result]], ...] = (
    ("rrsync", _rrsync),
    ("rsync", _rsync),
    (r"borg(?:backup)?[12]?(?:-linux.*)?", _borg),
    ("rclone", _rclone),
    ("sftp-server", _sftp_server),
    ("git-shell|git", _git_shell),
    ("svnserve", _svnserve),
    ("hg-ssh", _hg_ssh),
)
