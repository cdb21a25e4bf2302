"""Write the golden vectors: plans that both readers must accept, with their text, and plans that both must refuse.

``bad.json`` holds, for each bad plan, a part of Python's reason and the whole reason of ``login/plan.c``.  Run
``python tests/golden/generate.py`` after a change of the plan's format; a test compares the files with this.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))

from jailssh.core.closed import Network, Recorded  # noqa: E402
from jailssh.core.names import HostPath  # noqa: E402
from jailssh.plan import codec  # noqa: E402
from jailssh.plan.compile import Access, JailSettings, LogRate, RosterKey, compile_plan, compile_roster  # noqa: E402
from jailssh.plan.ops import BY_NAME, RULE_PHASE, Record  # noqa: E402
from jailssh.plugin.api import Account, Bind, PluginResult, Ports  # noqa: E402
from jailssh.policy.rules import Rule  # noqa: E402

IMAGE = HostPath("/var/lib/jailssh/images/golden/0001")
# seccomp(2): one instruction, "return ALLOW".
FILTER = ("x86_64", bytes.fromhex("060000000000ff7f"))
ALICE = Account(
    "alice", 1001, 1001, "alice", "/home/alice", gecos="Alice: Ärztin", groups=(("alice", 1001), ("staff", 50))
)

NO_GROUP: dict[str, tuple[Record, ...]] = {"forward": (Record("forward", ("a/b",)),)}


def good() -> dict[str, codec.Plan]:
    """Return the plans to accept, by file name."""
    files = Rule(
        "files.server",
        "files",
        "/usr/lib/files-server",
        ("files-server", "/usr/lib/files-server"),
        ignore_arguments=True,
    )
    shell = Rule("shell.login", "shell", "/bin/bash", (), argv0="-bash", interactive_login=True)
    every = Rule(
        "copy.in", "copy", "/usr/bin/copy", ("copy", "copy in"), argv0="copy", argv_prefix=("--safe",),
        literal_words=("--server",), short_flags="abcd", required_letters="a", cluster_tail=("e", "capabilities"),
        short_options=(("B", "int:-1:10"),),
        long_options=(("size", "size:1000"), ("mode", "enum:a,b"), ("quiet", "flag")), argv_insert=("--no-links",),
        operand_marker=".", end_of_options=True, operands=(0, 3, "path"), relative_to="/srv/data",
        path_roots=("/srv/data", "/home/alice"), glob=True,
        environment=(("COPY_HOME", "/"),), accessible_directories=(("/srv/data", False), ("/srv/data/in", True)),
    )  # fmt: skip
    report = Rule(
        "report.month", "report", "/usr/bin/report", ("report",), short_flags="v", required_letters="n",
        short_options=(("n", "int:0:9"),), long_options=(("to", "word"),), required_options=("to",),
        single_use=("n", "to"), operand_classes=("pattern:db-*", "int:1:31"),
        operands=(2, 5, "path"), relative_to="/srv/data", path_roots=("/srv/data",), create_only=True,
    )  # fmt: skip
    minimal = compile_plan(
        ALICE, JailSettings("minimal"), [PluginResult((files,), "files", home="none")], IMAGE, FILTER
    )
    one = compile_plan(ALICE, JailSettings("files"), [PluginResult((files,), "files")], IMAGE, FILTER)
    settings = JailSettings(
        "a+b", network=Network.HOST, hostname="box.example", message='only "files"\\ or copy, bitte schön',
        tmp_size=1 << 20, umask=0o27,
        limits={"as": 10**9, "core": 0, "cpu": 60, "fsize": 10**17, "nofile": 64, "nproc": 8},
        env=(("LANG", "C.UTF-8"),), supplementary_groups=("staff",), require_journal=True, accept_env=("TZ", "CI_*"),
        linger=True, by_groups=((50, True), (70, False)), log=LogRate(base=65536, peak=1 << 20, interval=5),
        record=Recorded.INPUT, recordings=HostPath("/var/lib/jailssh/recordings"), record_size=64 << 20,
    )  # fmt: skip
    results = [
        PluginResult((files,), "files", home="ro", binds=(Bind("/srv/data"), Bind("/srv/data/in", writable=True))),
        PluginResult((every, report), "copy", binds=(Bind("/mnt/a b", optional=True),), env=(("TERM", "dumb"),)),
        PluginResult((shell,), "shell", pty=True, proc=True, executable_home=True, env=(("SHELL", "/bin/bash"),)),
    ]
    none = Rule("jump.none", "jump", "/", (), interactive_login=True, builtin_reply=(126, "no session"))
    ports = Ports.of(["db.example.org:5432"], ["8022"])
    jump = PluginResult((none,), "ports", home="none", ports=ports)
    return {
        "minimal.plan": minimal,
        "jump.plan": compile_plan(ALICE, JailSettings("jump"), [jump], IMAGE, FILTER),
        "files.plan": one,
        **shared(),
        "full.plan": compile_plan(ALICE, settings, results, IMAGE, FILTER),
    }


def shared() -> dict[str, codec.Plan]:
    """Return the plans of a shared account: what its keys have, and one key's own."""
    first = ("/usr/bin/git", "init", "--bare", "%p")
    create = Rule(
        "git.create", "git", "/usr/bin/git", ("git-receive-pack",), argv_prefix=("receive-pack",),
        operands=(1, 1, "new-repository"), relative_to="/srv/git", path_roots=("/srv/git",),
        repository_patterns=("/srv/git/*/new-*",), pre_command=first, stderr_to_journal=True,
    )  # fmt: skip
    write = Rule(
        "git.receive-pack", "git", "/usr/bin/git", ("git-receive-pack",), argv_prefix=("receive-pack",),
        operands=(1, 1, "repository"), relative_to="/srv/git", path_roots=("/srv/git",),
        repository_patterns=("/srv/git/a", "/srv/git/b/**"), noexec=True,
    )  # fmt: skip
    hint = Rule(
        "git.lfs", "git", "/", ("git-lfs-authenticate",), ignore_arguments=True, builtin_reply=(126, "not served here")
    )
    access = Access(
        sessions=4, key_sessions=2, duration=3600, idle=60, nice=10, bandwidth=1 << 20,
        addresses=("10.0.0.0/8", "2001:db8::/32"), hours=((31, 480, 1080), (64, 0, 1440)),
        offsets=((0, 3600), (1774746000, 7200), (1792890000, -18000)), expires=1800000000,
    )  # fmt: skip
    keys = [
        RosterKey("bob", "0" * 16, "AAAAC3NzaC1lZDI1NTE5AAAAIEJvYg=="),
        RosterKey("alice-laptop", "0123456789abcdef", "AAAAC3NzaC1lZDI1NTE5AAAAIEFsaWNl"),
        RosterKey("carol", "0" * 16, "AAAAC3NzaC1lZDI1NTE5AAAAIENBa2V5", "carol@example.com"),
    ]
    results = [PluginResult((write, create, hint), "git", home="none", binds=(Bind("/srv/git", writable=True),))]
    return {
        "roster.plan": compile_roster(ALICE, JailSettings("hosting"), keys),
        "key.plan": compile_plan(ALICE, JailSettings("hosting", access=access), results, IMAGE, FILTER),
    }


def _tokens(plan: codec.Plan) -> list[bytes]:
    return codec.encode(plan)[:-1].split(b"\0")


def _joined(tokens: list[bytes]) -> bytes:
    return b"".join(token + b"\0" for token in tokens)


def _with(tokens: list[bytes], index: int, value: bytes) -> bytes:
    return _joined([*tokens[:index], value, *tokens[index + 1 :]])


def _with_records(plan: codec.Plan, records: list[Record]) -> bytes:
    """Return the bytes of ``plan`` with other records, unchecked."""
    body = [part.encode() for record in records for part in (record.verb, *record.args)]
    return _joined([*_tokens(plan)[:6], str(len(records)).encode(), *body, b"end"])


def _changed(plan: codec.Plan, change: dict[str, tuple[Record, ...]]) -> bytes:
    """Return the bytes of ``plan`` with the first record of each verb in ``change`` replaced, unchecked."""
    left = dict(change)
    records: list[Record] = []
    for record in plan.records:
        records.extend(left.pop(record.verb, (record,)))
    return _with_records(plan, records)


def bad() -> dict[str, tuple[bytes, str, str]]:
    """Return ``(bytes, part of Python's reason, reason in C)`` by file name."""
    plan = good()["files.plan"]
    data, tokens = codec.encode(plan), _tokens(plan)
    argument, truncated, order = "plan with a bad argument", "plan is truncated", "plan with a record out of order"
    home = Record("home", ("/home/alice",))
    before_rules = [record for record in plan.records if BY_NAME[record.verb].phase < RULE_PHASE]
    vectors = {
        "empty": (b"", "truncated", "plan is truncated or too large"),
        "no-nul": (data[:-1], "last byte is not NUL", "plan is truncated or too large"),
        "head-only": (_joined(tokens[:7]), "head is incomplete", "not a plan"),
        "magic": (_with(tokens, 0, b"jailssh-plam"), "not a plan", "not a plan"),
        "version": (_with(tokens, 1, b"2"), "version '2'", "plan of another version"),
        "uid-zero": (_with(tokens, 2, b"0"), "must be between", "plan for an impossible uid or gid"),
        "uid-large": (_with(tokens, 2, b"2147483648"), "must be between", "plan for an impossible uid or gid"),
        "uid-leading-zero": (_with(tokens, 2, b"01001"), "not a number", "plan with a bad number in its head"),
        "gid-negative": (_with(tokens, 3, b"-1"), "not a number", "plan with a bad number in its head"),
        "name": (_with(tokens, 4, b"-alice"), "is not valid", "plan with a bad account name"),
        "name-digits": (_with(tokens, 4, b"1001"), "is not valid", "plan with a bad account name"),
        "name-dollar": (_with(tokens, 4, b"al$ice"), "is not valid", "plan with a bad account name"),
        "serial": (_with(tokens, 5, b"0123456789ABCDEF"), "serial", "plan with a bad serial"),
        "count-small": (_with(tokens, 6, b"9"), "end is missing", "plan does not end where it should"),
        "count-large": (_with(tokens, 6, b"20001"), "unknown verb", "plan with too many records"),
        "trailing": (data + b"x\0", "end is missing", "plan does not end where it should"),
        "truncated": (_joined(tokens[:-4]), "truncated", truncated),
        "cut-in-record": (_joined([*tokens[:6], b"1", b"tmpfs", b"/run", b"64"]), "truncated in tmpfs", truncated),
        "verb": (_changed(plan, {"home": (Record("hone", home.args),)}), "unknown verb", "plan with an unknown verb"),
        "twice": (_changed(plan, {"home": (home, home)}), "appears twice", "plan with a duplicate record"),
        "late": (_changed(plan, {"net": (Record("net", ("none",)), home)}), "is out of order", order),
        "dotdot": (_changed(plan, {"home": (Record("home", ("/home/../etc",)),)}), "not of kind path", argument),
        "long-path": (
            _changed(plan, {"home": (Record("home", ("/" + "ä" * 2048,)),)}), "not of kind path", argument
        ),
        "relative": (_changed(plan, {"image": (Record("image", ("images/1",)),)}), "not of kind path", argument),
        "control": (_changed(plan, {"home": (Record("home", ("/home/a\nb",)),)}), "not of kind path", argument),
        "enum": (_changed(plan, {"net": (Record("net", ("some",)),)}), "not of kind enum", argument),
        "octal": (_changed(plan, {"umask": (Record("umask", ("99",)),)}), "not of kind octal", argument),
        "group-name": (_changed(good()["jump.plan"], NO_GROUP), "not of kind name", argument),
        "limit": (_changed(plan, {"umask": (Record("rlimit", ("rss", "1")),)}), "not of kind enum", argument),
        "filter": (_changed(plan, {"seccomp": (Record("seccomp", ("x86_64", "06")),)}), "not of kind hex", argument),
        "no-filter": (_changed(plan, {"seccomp": ()}), "seccomp is missing", "plan that lacks a required record"),
        "no-net": (_changed(plan, {"net": ()}), "net is missing", "plan that lacks a required record"),
        "no-rule": (_with_records(plan, before_rules), "rule is missing", "plan that lacks a required record"),
        "no-rule-head": (_changed(plan, {"rule": ()}), "before the first", "plan with a part of a rule outside a rule"),
        "class": (
            _changed(plan, {"operands": (Record("operands", ("0", "0", "any")),)}), "not of kind class", argument
        ),
        "pattern-class": (
            _changed(plan, {"operands": (Record("operands", ("0", "0", "pattern:a b")),)}),
            "not of kind class", argument,
        ),
        "no-operand-class": (
            _changed(plan, {"operands": (Record("operand", ("pattern:",)),)}), "not of kind class", argument
        ),
        "long-class": (
            _changed(plan, {"operands": (Record("operands", ("0", "0", f"enum:{'a' * 1025}")),)}),
            "not of kind class", argument,
        ),
    }  # fmt: skip
    return {f"bad-{name}.plan": vector for name, vector in {**vectors, **_bad_shared(plan)}.items()}


_BAD_NUMBERS = tuple(
    Record(verb, args)
    for verb, *each in (
        ("member", ("0",), ("-1",)),
        ("outsider", ("0",), ("2147483648",)),
        ("group", ("0",), ("4294967296",), ("2147483648",), ("-1",), ("01",)),
        ("nice", ("20",), ("-1",)),
        ("rlimit", ("cpu", "18446744073709551616"), ("cpu", "-1"), ("cpu", "1000000000000000000")),
        ("sessions", ("0",), ("1000000",)),
        ("key-sessions", ("0",), ("4294967297",)),
        ("duration", ("0",), ("31622401",)),
        ("idle", ("0",), ("99999999999",)),
        ("bandwidth", ("0",), ("9223372036854775808",)),
        ("tmpfs", ("/tmp", "0", "1777", "rw", "noexec")),
        ("hours", ("0", "0", "1"), ("128", "0", "1"), ("1", "1441", "1"), ("1", "0", "1441")),
        ("utc-offset", ("0", "86401"), ("0", "-86401"), ("0", "1-"), ("-1", "0")),
        ("operands", ("0", "1025", "text"), ("-1", "1", "text")),
        ("answer", ("1", "no"), ("256", "no"), ("125", "no")),
        ("accept-env", ("",), ("*",), ("A*B",), ("A**",), ("1A",), ("A=B",), ("A" * 65,)),
        ("record", ("/r", "0", "no"), ("r", "1", "no"), ("/r", "1", "maybe")),
    )
    for args in each
)


def _bad_shared(plan: codec.Plan) -> dict[str, tuple[bytes, str, str]]:
    """Return what is wrong with named keys and limits, as :func:`bad` does."""
    argument, jail, rule = "plan with a bad argument", Record("jail", ("a",)), Record("rule", ("a", "b", "/c"))
    return {
        "roster-no-message": (
            _with_records(plan, [jail, Record("key", ("a", "0" * 16, "A" * 16))]),
            "message is missing", "plan that lacks a required record",
        ),
        "base64": (
            _with_records(plan, [jail, Record("key", ("a", "0" * 16, "A" * 15 + "-"))]), "not of kind base64", argument
        ),
        "address": (
            _changed(plan, {"rule": (Record("address", ("10.0.0.0 8",)), rule)}), "not of kind address", argument
        ),
        "mount-below-writable": (
            _changed(plan, {"mask": (Record("bind", ("/x", "/home/alice/x", "ro", "noexec", "root", "must")),)}),
            "below a directory that the user can change", "plan with a mount below one that the user can change",
        ),
        "mount-on-writable": (
            _changed(plan, {"bind": (Record("bind", ("/x", "/tmp", "ro", "noexec", "root", "must")),)}),
            "below a directory that the user can change", "plan with a mount below one that the user can change",
        ),
        "integer": (
            _changed(plan, {"rule": (Record("utc-offset", ("0", "-")), rule)}), "not of kind int", argument
        ),
        **{
            f"number-{index}": (_changed(plan, {"rule": (record, rule)}), "not of kind", argument)
            for index, record in enumerate(_BAD_NUMBERS)
        },
        "groups": (
            _changed(plan, {"umask": tuple(Record("group", (str(gid),)) for gid in range(1, 258))}),
            "more than 256", "plan with too many groups",
        ),
    }  # fmt: skip


def outputs() -> dict[str, bytes]:
    """Return every file of this folder that is generated."""
    out: dict[str, bytes] = {}
    for name, plan in good().items():
        out[name] = codec.encode(plan)
        out[name.replace(".plan", ".txt")] = "".join(f"{line}\n" for line in codec.show(plan)).encode()
    index = {}
    for name, (data, python, c) in bad().items():
        out[name] = data
        index[name] = {"python": python, "c": c}
    out["bad.json"] = (json.dumps(index, indent=1, sort_keys=True) + "\n").encode()
    return out


if __name__ == "__main__":
    for name, data in outputs().items():
        (HERE / name).write_bytes(data)
