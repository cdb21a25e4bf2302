"""Images that follow the host: what an update does, what it leaves alone, and the way back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jailssh.change import transaction
from jailssh.cli import image as image_verb
from jailssh.closure.errors import ImageError
from jailssh.closure.manifest import Entry, EntryKind
from jailssh.console import main as cli
from jailssh.core.errors import ConfigError, UsageError
from jailssh.core.names import JailPath
from jailssh.files import blobs
from jailssh.host import journal, packages
from jailssh.host.paths import Layout
from jailssh.image import history, pool, store
from jailssh.jail import definition
from jailssh.jail.configuration import load_configuration
from jailssh.jail.this_host import ThisHost
from jailssh.plugin.api import Account
from jailssh.publish import entered, plan_files
from jailssh.publish import images as of_images
from jailssh.upkeep import generations, update
from tests.root.publish_lab import ALICE, SOURCE, published, put, user
from tests.root.update_lab import JAIL, image_of_plan, layout, place, state, write_tool

__all__ = ["layout", "place", "state"]

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]


def run(layout: Layout, *names: str) -> dict[str, update.Updated]:
    """Update the named jails, all of them without a name."""
    rows = update.update(load_configuration(layout), names or None)
    return {row.jail: row for row in rows}


def tool_in(layout: Layout, place: Path) -> str:
    path = store.current_image(layout, "lab")
    return Path(f"{path}{place}/tool").read_text().split()[-1]


def test_an_update_follows_the_host_and_publishes_plans(layout: Layout, place: Path) -> None:
    assert run(layout) == {}
    user(layout, ALICE, "lab")
    old = published(layout, ALICE).image
    assert run(layout)["lab"].state == "current"
    assert run(layout)["lab"] == update.Updated("lab", update.State.CURRENT, old.generation)
    write_tool(place, "two")
    done = run(layout)["lab"]
    assert (done.state, done.plans) == ("updated", 1)
    assert tool_in(layout, place) == "two"
    assert image_of_plan(layout) == store.current_image(layout, "lab") != old.path
    assert os.path.isdir(old.path)
    shared, copied = (os.stat(f"{path}/usr/bin/bash").st_ino for path in (old.path, image_of_plan(layout)))
    assert shared == copied


def test_plans_to_enter_a_jail_follow_as_well(layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an account whose logins are in no jail, which has no other plan."""
    monkeypatch.setattr(ThisHost, "find_account", staticmethod({ALICE.uid: ALICE, ALICE.name: ALICE}.get))
    put(f"{layout.jails}/lab.conf", f"enter = alice\n{JAIL.format(tool=place / 'tool')}")
    assert entered.publish_entries(load_configuration(layout), []) == []
    run(layout)
    write_tool(place, "two")
    done = run(layout)["lab"]
    assert (done.state, done.plans) == ("updated", 1)
    plan = plan_files.read_entry(layout, ALICE.uid, "lab")
    assert plan is not None
    assert plan.first("image") == (store.current_image(layout, "lab"),)
    # The image before it is needed by nobody, and this one by that plan alone.
    of_images.prune_images(load_configuration(layout))
    assert tool_in(layout, place) == "two"


def test_nothing_is_resolved_or_written_when_nothing_changed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    run(layout, "lab")
    run(layout)
    before = {path: path.lstat().st_ctime_ns for path in Path(layout.images).rglob("*") if path.name != ".update.lock"}
    monkeypatch.setattr(of_images, "ensure_image", None)
    assert run(layout)["lab"].state == "current"
    after = {path: path.lstat().st_ctime_ns for path in Path(layout.images).rglob("*") if path.name != ".update.lock"}
    assert after == before


def test_a_failed_update_keeps_the_image_says_so_and_is_forgotten(
    layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(journal, "record", lambda event, message, _: said.append((event, message)))
    put(f"{layout.jails}/other.conf", "extends = sftp-only\n")
    run(layout, "lab", "other")
    old = store.current_image(layout, "lab")
    (place / "tool").rename(place / "away")
    rows = run(layout)
    assert (rows["lab"].state, rows["other"].state) == ("failed", "current")
    assert store.current_image(layout, "lab") == old
    failure = history.failed_update(layout, "lab")
    assert failure is not None
    assert f"program {place}/tool is not on this host" in failure.lines[0]
    assert said[-1][0] == "image-failed"
    assert "jail lab keeps image" in said[-1][1]
    assert [row.failure for row in generations.generations_of(layout, "lab")] == [failure]
    (place / "away").rename(place / "tool")
    assert run(layout)["lab"].state == "current"
    assert history.failed_update(layout, "lab") is None


def test_an_image_without_a_rules_program_is_not_taken(
    layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(layout, "lab")
    old = store.current_image(layout, "lab")
    write_tool(place, "two")
    monkeypatch.setattr(definition.JailDefinition, "programs", lambda _: ("/usr/bin/bash", "/usr/bin/nosuch"))
    done = run(layout)["lab"]
    assert (done.state, store.current_image(layout, "lab")) == ("failed", old)
    assert "/usr/bin/nosuch is not a program in the image, but a rule runs it" in done.lines[0]
    assert len(pool.generations(layout)) == 1


def test_programs_behind_links_are_found() -> None:
    entries = {
        "/bin": ("link", "usr/bin"),
        "/usr": ("dir", ""),
        "/usr/bin": ("dir", ""),
        "/usr/bin/sh": ("link", "../../bin/dash"),
        "/usr/bin/dash": ("file", ""),
        "/usr/bin/loop": ("link", "loop"),
    }
    rows = {}
    for path, (kind, target) in entries.items():
        rows[JailPath(path)] = Entry(JailPath(path), EntryKind(kind), "test", target=target)
    assert [store.find(rows, JailPath(path)) for path in ("/bin/sh", "/usr/bin/none", "/usr/bin/loop")] == [
        rows[JailPath("/usr/bin/dash")],
        None,
        None,
    ]


def test_rollback_holds_until_the_jail_is_named(layout: Layout, place: Path) -> None:
    user(layout, ALICE, "lab")
    old = published(layout, ALICE).image
    with pytest.raises(UsageError, match="an older generation does not exist"):
        store.rollback(layout, "lab")
    write_tool(place, "two")
    run(layout)
    assert store.rollback(layout, "lab") == old.generation
    assert update.publish_plans(load_configuration(layout), "lab") == (1, [])
    assert image_of_plan(layout) == old.path
    for _ in range(2):
        assert run(layout)["lab"] == update.Updated("lab", update.State.HELD, old.generation)
    assert published(layout, ALICE).image.path == old.path
    write_tool(place, "three")
    assert run(layout)["lab"].state == "held"
    assert tool_in(layout, place) == "one"
    done = run(layout, "lab")["lab"]
    assert (done.state, done.plans) == ("updated", 1)
    assert tool_in(layout, place) == "three"
    write_tool(place, "four")
    assert run(layout)["lab"].state == "updated"


def test_a_held_image_that_cannot_serve_is_an_error(
    layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(layout, "lab")
    write_tool(place, "two")
    run(layout)
    store.rollback(layout, "lab")
    far = Account("far", 61004, 61004, "far", "/data7/far")
    user(layout, far, "lab")
    with pytest.raises(ImageError, match=r"is held at generation .* /data7: the image does not have this directory"):
        published(layout, far)


@pytest.mark.alone
def test_jails_with_the_same_content_share_one_tree(layout: Layout, place: Path) -> None:
    profiles = ("sftp-only", "scp-sftp", "rsync-backup")
    names = [f"j{number}" for number in range(50)]
    for number, name in enumerate(names):
        put(f"{layout.jails}/{name}.conf", f"extends = {profiles[number % 3]}\nsummary = {name}\n")
    assert {row.state for row in run(layout, *names).values()} == {"updated"}
    assert len(pool.generations(layout)) == 3
    run(layout)
    spent = []
    for _ in range(3):
        begun = time.process_time()
        assert {row.state for row in run(layout).values()} == {"current"}
        spent.append(time.process_time() - begun)
    assert min(spent) <= 0.3
    files = {
        (entry.digest, entry.mode): entry.size
        for generation in pool.generations(layout)
        for entry in (pool.read_manifest(layout, generation) or generations.manifest_of(layout, generation)).entries
    }
    used = subprocess.run(["du", "-sB1", layout.images], capture_output=True, text=True, check=True).stdout
    assert int(used.split()[0]) <= 1.3 * sum(files.values())


def test_symbolic_links_are_shared_like_files(layout: Layout, place: Path) -> None:
    (place / "lib").mkdir()
    (place / "lib/link").symlink_to("../tool")
    put(f"{layout.jails}/other.conf", JAIL.format(tool=f"{place}/lib/link"))
    run(layout, "lab", "other")
    inodes = {os.lstat(f"{store.current_image(layout, jail)}/etc/passwd").st_ino for jail in ("lab", "other")}
    assert len(inodes) == 1
    kept = f"{pool.pool_dir(layout)}/{pool.OBJECTS}/{blobs.name_of_link('../tool')}"
    assert os.readlink(kept) == "../tool"
    store.forget(layout, "other")
    pool.prune(layout)
    assert not os.path.lexists(kept)
    assert os.readlink(f"{store.current_image(layout, 'lab')}/etc/passwd") == "../run/passwd"


def test_names_that_are_no_jail(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="jail nosuch: does not exist"):
        run(layout, "lab", "nosuch")
    assert pool.jails_with_images(layout) == []


def test_what_nothing_uses_goes_and_what_is_used_stays(layout: Layout, place: Path) -> None:
    put(layout.config_file, "keep_generations = 1\n")
    user(layout, ALICE, "lab")
    first = published(layout, ALICE).image
    write_tool(place, "two")
    session = subprocess.Popen(
        ["unshare", "-m", "sh", "-ec", 'mount --bind "$1" /mnt; echo; read x', "sh", first.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert session.stdout is not None
    session.stdout.readline()
    run(layout)
    rows = {row.generation: row for row in generations.generations_of(layout, "lab")}
    assert rows[first.generation].sessions == (session.pid,)
    with pytest.raises(UsageError, match="mounted by 1 sessions"):
        of_images.prune_images(load_configuration(layout), [first.generation])
    session.communicate(b"\n", timeout=30)
    gone = of_images.prune_images(load_configuration(layout))
    assert gone.generations == (first.generation,)
    assert gone.bytes > 0
    (current,) = pool.generations(layout)
    with pytest.raises(UsageError, match="used by a plan"):
        of_images.prune_images(load_configuration(layout), [current])
    with pytest.raises(UsageError, match="does not exist"):
        of_images.prune_images(load_configuration(layout), ["0" * 20])


def test_a_jail_that_is_no_more(layout: Layout, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(layout, "lab")
    os.unlink(f"{layout.jails}/lab.conf")
    assert run(layout)["lab"].state == "gone"
    assert cli.main(["image", "gc", "--root", layout.root, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["jails"], len(facts["generations"])) == (["lab"], 1)
    assert (pool.jails_with_images(layout), pool.generations(layout)) == ([], [])


def test_a_union_that_nobody_has_any_more_and_nobody_can_have(layout: Layout, place: Path) -> None:
    put(f"{layout.jails}/more.conf", JAIL.format(tool=place / "tool"))
    run(layout, "lab", "lab+more")
    put(f"{layout.jails}/more.conf", JAIL.format(tool=place / "tool").replace("tools = no\n", ""))
    rows = run(layout)
    assert (rows["lab"].state, rows["lab+more"].state) == ("current", "gone")
    assert "tools is set in lab" in rows["lab+more"].lines[0]
    user(layout, ALICE, "lab more")
    put(f"{layout.jails}/more.conf", JAIL.format(tool=place / "tool"))
    published(layout)
    put(f"{layout.jails}/more.conf", JAIL.format(tool=place / "tool").replace("tools = no\n", ""))
    assert run(layout)["lab+more"].state == "failed"


def test_the_command(layout: Layout, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert cli.main([*words, "--root", layout.root]) == 0
        return capsys.readouterr().out

    assert "no images yet" in said("image", "list")
    assert "updated to image" in said("update", "lab")
    old = pool.current_generation(layout, "lab") or ""
    write_tool(place, "other")
    assert "updated to image" in said("update", "--all")
    new = pool.current_generation(layout, "lab") or ""
    assert said("image", "diff", "lab").splitlines() == [f"{old} → {new}", f"~ {place}/tool  19 → 21 bytes"]
    listed = said("image", "list").splitlines()
    assert [line.split()[1] for line in listed] == [new, old]
    assert f"{place}/tool  (shell)" in said("image", "show", "lab", "--files").splitlines()
    assert "rolled back to image" in said("image", "rollback", "lab", old[:8])
    assert "held" in said("image", "show", "lab")
    assert "held at image" in said("update", "--all")
    assert f"removed {new}" in said("image", "gc", new[:8])
    assert cli.main(["update", "--root", layout.root]) == 2
    (place / "tool").unlink()
    assert cli.main(["update", "lab", "--root", layout.root]) == 1
    assert f"[shell] programs: program {place}/tool is not on this host" in capsys.readouterr().err


def test_the_package_of_a_changed_file_is_named() -> None:
    paths = ["/usr/bin/bash", "/bin/bash", "/etc/hostname", "/usr/bin/line\nbreak"]
    owners = packages.owners(paths)
    assert owners["/usr/bin/bash"] == "bash"
    assert "/etc/hostname" not in owners


def test_waiting_for_the_package_manager(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    put(lock, "")
    code = (
        "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.lockf(f,fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    assert packages.changing([lock])
    assert not packages.settle(0.05, [lock])
    holder.communicate(timeout=30)
    assert packages.settle(10, [lock])
    assert not packages.changing([lock, str(tmp_path / "none")])


KILL = """
import os, signal, sys
from jailssh.files import fs, blobs, tree
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.jail.this_host import ThisHost
from jailssh.upkeep import update
from jailssh.plugin.api import Account
from jailssh.change import transaction
module, name, when, root = sys.argv[1:]
owner = {"fs": fs, "tree": tree, "blobs": blobs}[module]
real = getattr(owner, name)
def killed(*args, **kwargs):
    if when == "after":
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, killed)
ThisHost.find_account = staticmethod({61001: Account("alice", 61001, 61001, "alice", "/home/alice")}.get)
update.update(load_configuration(Layout(root=root)))
"""


@pytest.mark.parametrize(
    ("module", "name", "when"),
    [
        ("blobs", "keep", "after"),
        ("tree", "publish", "before"),
        ("tree", "publish", "after"),
        ("fs", "atomic_symlink_at", "before"),
        ("fs", "atomic_symlink_at", "after"),
        ("fs", "atomic_write", "after"),
        ("fs", "ensure_dir", "after"),
    ],
)
def test_killed_in_the_middle(layout: Layout, place: Path, tmp_path: Path, module: str, name: str, when: str) -> None:
    user(layout, ALICE, "lab")
    old = published(layout, ALICE).image.path
    run(layout)
    write_tool(place, "two")
    environment = {"PYTHONPATH": f"{tmp_path}/site:{SOURCE}", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", KILL, module, name, when, layout.root], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert image_of_plan(layout) == old
    assert Path(f"{old}{place}/tool").read_text().endswith("one\n")
    assert tool_in(layout, place) in ("one", "two")
    run(layout)
    assert tool_in(layout, place) == "two"
    assert image_of_plan(layout) == store.current_image(layout, "lab")


PIN = """
import os, subprocess, sys
from jailssh.host.paths import Layout
from jailssh.image import pool
layout = Layout(root=sys.argv[1])
(name,) = [each for each in pool.generations(layout) if each != pool.current_generation(layout, "lab")]
info = os.stat(pool.tree_path(layout, name))
pins = f"{layout.run}/ns"
os.makedirs(pins)
subprocess.run(["mount", "-t", "tmpfs", "none", pins], check=True)
subprocess.run(["mount", "--make-private", pins], check=True)
pin = f"{pins}/{info.st_dev:x}-{info.st_ino:x}"
open(pin, "w").close()
for _ in range(100):
    # Linux 6.18 numbers namespaces by processor, and refuses to mount one with a lower number than the mounter's.
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", "echo; read x"], stdin=-1, stdout=-1)
    holder.stdout.readline()
    done = subprocess.run(["mount", "--bind", f"/proc/{holder.pid}/ns/mnt", pin], stderr=-3)
    holder.communicate(b"\\n")
    if done.returncode == 0:
        break
print(pool.prune(layout).generations == (name,), os.listdir(pins))
print([line for line in open("/proc/self/mountinfo") if pin in line])
"""


def test_the_pinned_namespace_of_a_removed_image_goes(layout: Layout, place: Path, tmp_path: Path) -> None:
    run(layout, "lab")
    write_tool(place, "two")
    run(layout)
    environment = {"PYTHONPATH": f"{tmp_path}/site:{SOURCE}", "PATH": os.environ["PATH"]}
    argv = ["unshare", "-m", sys.executable, "-c", PIN, layout.root]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines(), done.stderr) == (["True []", "[]"], "")


def test_two_updates_at_once_do_the_work_once(layout: Layout, place: Path, tmp_path: Path) -> None:
    run(layout, "lab")
    write_tool(place, "two")
    code = (
        "import sys\nfrom jailssh.host.paths import Layout\nfrom jailssh.jail.configuration import load_configuration\n"
        "from jailssh.upkeep import update\n"
        "print(update.update(load_configuration(Layout(root=sys.argv[1])))[0].state)"
    )
    environment = {"PYTHONPATH": f"{tmp_path}/site:{SOURCE}", "PATH": os.environ["PATH"]}
    with contextlib.ExitStack() as stack:
        argv = [sys.executable, "-c", code, layout.root]
        both = [
            stack.enter_context(subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True))
            for _ in range(3)
        ]
        states = sorted(each.communicate(timeout=60)[0].strip() for each in both)
    assert states == ["current", "current", "updated"]


def test_a_rollback_that_is_interrupted_stays_in_view(
    layout: Layout, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(layout, "lab")
    write_tool(place, "two")
    run(layout, "lab")
    go_back = ["image", "rollback", "lab", "--root", layout.root]
    with monkeypatch.context() as patched:
        patched.setattr(image_verb, "publish_plans", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        assert cli.main(go_back) != 0
    (left,) = transaction.unfinished(layout)
    assert (left.subject, left.again) == ("image-lab", "jailssh image rollback lab")
    assert cli.main(["image", "rollback", "nosuch", "--root", layout.root]) == 2
    assert cli.main(go_back) in (0, 2)
    run(layout, "lab")
    write_tool(place, "three")
    run(layout, "lab")
    assert cli.main(go_back) == 0
    assert transaction.unfinished(layout) == []
    capsys.readouterr()
