"""A tree of everything that the matcher looks at, the plan of an account that lives in it, and what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.login.jails import plan_with

FAR = ("/" + "d" * 99) * 41
"""A path that is as long as any, but for a few bytes."""
COMMANDS = (
    *(f"{verb} {name}" for verb in ("get", "put", "'get'-some", "put-some") for name in (
        "a", "a.git/", "plain", "both.git", "team/b", "tree", "linked", "c", "x/wt", "broken", "no-refs", "file",
        "alias", "short/b", "out/git/a", "gone", "up/x", "l", ".git", "a.git/refs/x", "tree/y", "new-1", "x/y/new-2",
        "a.git.git", "n/e/w", ".", "-x", "/srv", "../a", "short/.dot", "~/a", "''",
    )),
    "get a plain", "get", "any /", "any up/x", "any .x", "ls *", "ls ~/*", "ls [a-c]* -l", "ls link", "ls lin*",
    "ls x*", "ls -l *.txt 'c d'", "lx a*", "hello", "hello x", "hello x y", "bye x", "bye",
    "px x", "far xxxxxxxx", "far-get xxxx", "far-put xx", "many", "more x", "opt --size=1k+1 --dir=~/a -T~/b -T ~/c",
    "get out/other", "all *", "all -l -- a", "all -S -- a", "all -S -- a -b", "own -- a -b", "own -- -S -- a -b",
    *(f"once {rest} 3" for rest in (
        "-nx --to y db-a-b", "-n x -v --to=y db-a 3 ~/b", "-n1 --to x -n2 db-a", "--to x db-a", "-n x db-a",
        "-nx --to y /x", "--to x --to=y -n x db-a", "-vvn x --to x db-a", "-nx --to y da", "-nx --to y d-",
        "-nx --to y db-a 3 -a", "-nx --to y db-a -3", "-nx --to y db-a 0", "-nx --to y 3", "-nx --to y",
    )),
    *(f"save {rest}" for rest in (
        "--aside=a b.txt", "--aside=link .", "--aside x a", "--aside=-x .", "--aside=../x .", "--aside=~/a a",
        "--aside=loop/a/link loop", "--aside=a --aside=b /", " ".join(["--aside=a"] * 17) + " .",
    )),
    "ls loop/*/../*", "all '..'/*", "ls loop/*/*/*/*/*", "ls loop/*/c/*b", "ls [l]oop//? none/*",
)  # fmt: skip
"""What reaches every line of the matcher that looks at files."""


def make(root: Path) -> codec.Plan:
    """Make a tree of everything that the matcher looks at, and return a plan of an account that lives in it."""
    git, home = root / "git", root / "home"
    bare = ("a.git", "plain", "both", "both.git", "team/b.git", "tree/.git", "linked/real", "c.git/.git", "x/wt")
    for path in (*bare, "../other.git"):
        for name in ("objects", "refs"):
            (git / path / name).mkdir(parents=True)
        (git / path / "HEAD").write_text("ref: refs/heads/main\n" if path != "plain" else "0" * 40)
    (git / "x/wt/commondir").write_text("../../a.git\n")
    (git / "broken.git").mkdir()
    (git / "broken.git/HEAD").write_text("x")
    (git / "no-refs").mkdir()
    (git / "no-refs/HEAD").symlink_to("refs/heads/main")
    (git / "file").write_text("gitdir: a.git\n")
    links = {"linked/.git": "real", "alias": "a.git", "short": "team", "out": "..", "gone": "none", "up": "/", "l": "l"}
    for name, target in links.items():
        (git / name).symlink_to(target)
    home.mkdir()
    for name in ("a", "b.txt", "c d", "-e", "*"):
        (home / name).touch()
    (home / "link").symlink_to("/etc")
    (home / "loop").mkdir()
    for name in "abcdef":
        (home / "loop" / name).symlink_to(".")
    return plan_with(_rules(git, home, root / "none"), "tree", str(home))


def _rules(git: Path, home: Path, none: Path) -> list[Rule]:
    served: dict[str, Any] = {"relative_to": str(git), "path_roots": (str(git),)}
    words = {"repository": "get", "new-repository": "put"}
    rules = [Rule(cls, "tree", "/bin/git", (word,), operands=(1, 2, cls), **served) for cls, word in words.items()]
    patterns = ("a", "both", "team/*", "t*", "*.git", "new-*", "x/*t/*", "*/**")
    rules += [
        Rule(f"{cls}.like", "tree", "/bin/git", (f"{word}-some",), operands=(1, 1, cls), **served,
             repository_patterns=tuple(f"{git}/{pattern}" for pattern in patterns), stderr_to_journal=True)
        for cls, word in words.items()
    ]  # fmt: skip
    rules += [
        Rule("any", "tree", "/bin/git", ("any",), operands=(1, 1, "repository"), path_roots=("/", str(git / "a")),
             relative_to="/"),
        Rule("glob", "tree", "/bin/ls", ("ls",), operands=(0, 9, "path"), path_roots=(str(home),), glob=True,
             short_flags="l"),
        Rule("gone", "tree", "/bin/ls", ("lx",), operands=(0, 9, "path"), path_roots=(str(none),),
             relative_to=str(none)),
        Rule("gone.put", "tree", "/bin/ls", ("px",), operands=(1, 1, "new-repository"), path_roots=(str(none),),
             relative_to=str(none)),
        Rule("far", "tree", "/bin/ls", ("far",), operands=(1, 1, "path"), path_roots=("/",), relative_to=FAR[:4090]),
        Rule("far.get", "tree", "/bin/ls", ("far-get",), operands=(1, 1, "repository"), path_roots=("/",),
             relative_to=FAR[:4088]),
        Rule("far.put", "tree", "/bin/ls", ("far-put",), operands=(1, 1, "new-repository"), path_roots=("/",),
             relative_to=FAR[:4088]),
        Rule("options", "tree", "/bin/ls", ("opt",), path_roots=(str(home),),
             long_options=(("size", "size:2000"), ("dir", "path")), short_options=(("T", "path"),)),
        Rule("save", "tree", "/bin/ls", ("save",), long_options=(("aside", "path"),), operands=(1, 1, "path"),
             relative_to=str(home), path_roots=(str(home),)),
        Rule("once", "tree", "/bin/ls", ("once",), short_flags="v", short_options=(("n", "text"),),
             long_options=(("to", "text"),), required_letters="n", required_options=("to",),
             single_use=("v", "n", "to"), operand_classes=("pattern:d*-*", "int:1:9"), operands=(2, 4, "path"),
             path_roots=(str(home),)),
        Rule("all", "tree", "/bin/ls", ("all",), short_flags="l", short_options=(("S", "text"),),
             operands=(0, 9, "text"), glob=True),
        Rule("own", "tree", "/bin/ls", ("own",), literal_words=("--",), short_options=(("S", "text"),),
             operands=(0, 9, "text")),
        Rule("many.fixed", "tree", "/bin/ls", ("many",), argv_prefix=("-f",) * 1700),
        Rule("many.inserted", "tree", "/bin/ls", ("more",), argv_insert=("-f",) * 1700, operands=(0, 1, "text")),
        Rule("say.0", "tree", "/", ("hello",), operands=(0, 1, "word"), builtin_reply=(0, "")),
        Rule("say.126", "tree", "/", ("bye",), ignore_arguments=True, builtin_reply=(126, "not here")),
        Rule("login", "tree", "/", (), interactive_login=True, builtin_reply=(126, "not here either")),
    ]  # fmt: skip
    return rules
