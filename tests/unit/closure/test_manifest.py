import json
import os
from pathlib import Path
from typing import Any

import pytest

from jailssh.closure.errors import ImageError, SourceChangedError, UnsafeModeError
from jailssh.closure.manifest import (
    Collector,
    Entry,
    EntryKind,
    dir_entry,
    from_json,
    link_entry,
    summary_from_json,
    text_entry,
)
from jailssh.closure.sources import Seen, Sources, unchanged
from jailssh.core.names import HostPath, JailPath
from jailssh.image.resolve import resolve
from jailssh.plugin.api import ImageNeeds


def make(place: Path, *, extra_dirs: Any = (), **needs: Any) -> Any:
    return resolve([("test", ImageNeeds(**needs))], trusted_root=HostPath(str(place)), extra_dirs=extra_dirs)


def test_every_image_has_the_base(place: Path) -> None:
    manifest = make(place, extra_dirs=("/srv", "/data"))
    kinds = {entry.path: entry.kind for entry in manifest.entries}
    for path in ("/dev", "/proc", "/tmp", "/home", "/run", "/etc", "/usr", "/srv", "/data"):
        assert kinds[path] == "dir"
    assert manifest.get("/etc/passwd").target == "../run/passwd"
    assert manifest.get("/etc/group").target == "../run/group"
    assert manifest.get("/etc/nsswitch.conf").text.startswith("passwd: files\n")
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            assert manifest.get(f"/{name}").target == os.readlink(f"/{name}")


def test_a_directory_precedes_what_it_holds_and_nothing_comes_twice(place: Path) -> None:
    for name in ("a/b/c", "a-b/x", "a.b/y", "a/b-c"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
    manifest = make(place, files=(str(place),))
    seen = {""}
    for entry in manifest.entries:
        assert os.path.dirname(entry.path).rstrip("/") in seen
        assert entry.path not in seen
        seen.add(entry.path)


def test_round_trip(place: Path) -> None:
    (place / "f").write_text("x")
    (place / "f\udcff;touch PWNED;").write_text("y")
    (place / "l").symlink_to("nowhere")
    manifest = make(place, files=(str(place),), texts=(("/etc/motd", "grüß\n"),))
    again = from_json(manifest.to_json())
    assert again == manifest
    assert again.generation == manifest.generation
    summary = summary_from_json(manifest.to_json())
    assert (summary.generation, summary.count) == (manifest.generation, len(manifest.entries))
    assert (summary.bytes, summary.watch) == (manifest.bytes, manifest.watch)


def test_what_was_kept_in_one_line_is_read(place: Path) -> None:
    (place / "f").write_text("x")
    manifest = make(place, files=(str(place),))
    head, rows = map(json.loads, manifest.to_json().splitlines())
    text = json.dumps({**head, "entries": rows}) + "\n"
    assert from_json(text) == manifest
    assert summary_from_json(text) == summary_from_json(manifest.to_json())


@pytest.mark.parametrize("size", [-1, 0, 40])
def test_a_summary_tells_that_the_entries_were_cut(place: Path, size: int) -> None:
    head, rows = make(place).to_json().splitlines(keepends=True)
    with pytest.raises(ImageError, match="cut"):
        summary_from_json(head + rows[:size])


@pytest.mark.parametrize("change", ["cut", "entry", "format", "kind", "path", "list", "name", "number"])
def test_a_damaged_manifest_is_refused(place: Path, change: Any) -> None:
    text = make(place).to_json()
    data, rows = map(json.loads, text.splitlines())
    data["entries"] = rows
    if change == "entry":
        data["entries"][0]["surprise"] = 1
    elif change == "format":
        data["format"] = 99
    elif change == "kind":
        data["entries"][0]["kind"] = "device"
    elif change == "path":
        data["entries"][0]["path"] = "/a/../b"
    elif change == "list":
        data = [data]
    elif change == "number":
        data["entries"] = 0
    elif change == "name":
        data["generation"] = "0" * 20
    with pytest.raises(ImageError, match="manifest"):
        from_json(text[:-30] if change == "cut" else json.dumps(data))


def test_the_generation_is_that_of_the_content(place: Path) -> None:
    (place / "f").write_text("one")
    first = make(place, files=(str(place),))
    os.utime(place / "f", (1, 1))
    assert make(place, files=(str(place),)).generation == first.generation
    (place / "f").write_text("two")
    assert make(place, files=(str(place),)).generation != first.generation
    (place / "f").write_text("one")
    (place / "f").chmod(0o755)
    assert make(place, files=(str(place),)).generation != first.generation


def test_what_the_loader_cache_adds_is_not_part_of_the_name(place: Path) -> None:
    manifest = make(place)
    assert manifest.with_entry(
        Entry(JailPath("/etc/ld.so.cache"), EntryKind.FILE, "ldconfig", 0o644, 3, "ab")
    ).generation == (manifest.generation)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: (p / "d/new").write_text(""),
        lambda p: (p / "d/f").write_text("longer"),
        lambda p: (p / "d/f").unlink(),
        lambda p: (p / "d/f").chmod(0o600),
        lambda p: (p / "absent").write_text(""),
        lambda p: (p / "d").chmod(0o777),
        lambda p: ((p / "l").unlink(), (p / "l").symlink_to("elsewhere")),
    ],
)
def test_the_watch_notices_every_change(place: Path, change: Any) -> None:
    (place / "d").mkdir()
    (place / "d/f").write_text("x")
    (place / "l").symlink_to("d")
    manifest = make(place, files=(str(place / "d"), str(place / "l")), optional_files=(str(place / "absent"),))
    assert unchanged(from_json(manifest.to_json()).watch)
    change(place)
    assert not unchanged(from_json(manifest.to_json()).watch)


@pytest.mark.parametrize(
    "way", ["d/f", "l/f", "l/../d/f", "d/l/f", "d/../l", "d//f", "d/./f", "d/f/x", "no/f", "l/no", "d/"]
)
def test_a_path_leads_where_the_kernel_says_whatever_was_followed_before(place: Path, way: str) -> None:
    (place / "d").mkdir()
    (place / "d/f").write_text("x")
    (place / "l").symlink_to("d")
    (place / "d/l").symlink_to("../l")
    path = HostPath(f"{place}/{way}")
    new, used = Sources(HostPath(str(place))), Sources(HostPath(str(place)))
    for before in ("d", "l", "d/l", "d/f", "no"):
        used.find(HostPath(f"{place}/{before}"))
    found = new.find(path)
    assert used.find(path) == found
    # A file is nothing to go through, as for the kernel.
    assert (found and found.path) == (os.path.realpath(path) if os.path.exists(path) else None)
    if found:
        wanted = [link for link in (f"{place}/l", f"{place}/d/l") if link in dict(new.watch()) and os.path.islink(link)]
        assert sorted(link for link, _ in found.links) == sorted(wanted)


def test_what_a_run_has_seen_is_not_asked_again(place: Path) -> None:
    (place / "d").mkdir()
    first = make(place, files=(str(place / "d"),)).watch
    passed = make(place, optional_files=(str(place / "d/absent"),)).watch
    seen: Seen = {}
    assert unchanged(first, seen)
    assert unchanged(passed, seen)
    (place / "d/new").write_text("")
    assert unchanged(first, seen)
    assert not unchanged(first)
    # Nothing in the directory was asked for there, so it is as it was; with the list of its names it is not.
    again: Seen = {}
    assert unchanged(passed, again)
    assert not unchanged(first, again)


def test_set_id_bits_are_dropped_and_said(place: Path) -> None:
    (place / "f").write_text("x")
    (place / "f").chmod(0o6755)
    manifest = make(place, files=(str(place / "f"),))
    assert manifest.get(f"{place}/f").mode == 0o755
    assert any("loses its set-id bit" in note for note in manifest.notes)


def test_a_private_file_stays_private(place: Path) -> None:
    (place / "f").write_text("x")
    (place / "f").chmod(0o640)
    manifest = make(place, files=(str(place / "f"),))
    assert manifest.get(f"{place}/f").mode == 0o640
    assert any("cannot be read by the users of the jail" in note for note in manifest.notes)


def test_other_kinds_of_files_are_refused(place: Path) -> None:
    os.mkfifo(place / "pipe")
    with pytest.raises(ImageError, match="neither a file nor a directory"):
        make(place, files=(str(place),))


def test_a_name_with_control_characters_is_refused(place: Path) -> None:
    (place / "a\nb").write_text("x")
    with pytest.raises(ImageError, match="its name has control characters"):
        make(place, files=(str(place),))


def test_links_of_a_tree_bring_their_files_but_not_directories(place: Path) -> None:
    (place / "tree").mkdir()
    (place / "other/sub").mkdir(parents=True)
    (place / "other/file").write_text("x")
    (place / "other/sub/file").write_text("x")
    (place / "tree/file").symlink_to("../other/file")
    (place / "tree/sub").symlink_to("../other/sub")
    (place / "tree/none").symlink_to("/no/such")
    (place / "tree/loop").symlink_to("loop")
    manifest = make(place, files=(str(place / "tree"),))
    assert manifest.get(f"{place}/other/file").kind == "file"
    assert manifest.get(f"{place}/other/sub").kind == "dir"
    assert manifest.get(f"{place}/other/sub/file") is None
    assert manifest.get(f"{place}/tree/none").target == "/no/such"
    assert manifest.get(f"{place}/tree/loop").target == "loop"
    assert sum("is a link without a target" in note for note in manifest.notes) == 2


def test_a_link_to_what_others_can_write_brings_nothing(place: Path) -> None:
    (place / "tree").mkdir()
    (place / "secret").write_text("x")
    (place / "secret").chmod(0o666)
    (place / "tree/l").symlink_to("../secret")
    manifest = make(place, files=(str(place / "tree"),))
    assert manifest.get(f"{place}/secret") is None
    with pytest.raises(UnsafeModeError):
        make(place, files=(str(place / "tree/l"),))


X = JailPath("/etc/x")


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        (text_entry(X, "a", "git"), text_entry(X, "b", "rsync"), "for git, .* for rsync"),
        (text_entry(X, "a", "git"), dir_entry(X, "rsync"), "a directory for rsync"),
        (link_entry(X, "a", "git"), link_entry(X, "b", "rsync"), "a link to b for rsync"),
        (
            link_entry(X, "a", "git"),
            text_entry(X, "b", "rsync"),
            "a link to a for git",
        ),
    ],
)
def test_conflicts_name_both_origins(one: Any, two: Any, why: Any) -> None:
    collector = Collector()
    collector.add(one)
    collector.add(one)
    with pytest.raises(ImageError, match=why):
        collector.add(two)


def test_nothing_can_lie_below_a_file_or_link() -> None:
    for above in (text_entry(JailPath("/a"), "x", "git"), link_entry(JailPath("/a"), "b", "git")):
        collector = Collector()
        collector.add(text_entry(JailPath("/a/b"), "x", "rsync"))
        collector.add(above)
        with pytest.raises(ImageError, match=r"needed by rsync, but /a is .* for git"):
            collector.entries()


@pytest.mark.parametrize("path", ["/tmp/x", "/proc/x", "/dev/null", "/run/passwd", "/a/../b", "relative", "/a\x01"])
def test_places_that_cannot_be(path: Any) -> None:
    with pytest.raises(ImageError):
        Collector().add(text_entry(path, "x", "test"))


def test_generated_paths_follow_the_links_of_the_image(place: Path) -> None:
    collector = Collector()
    collector.add(link_entry(JailPath("/lib"), "usr/lib", "base"))
    collector.add(link_entry(JailPath("/usr/lib/x"), "../../opt/x", "base"))
    assert collector.place(JailPath("/lib/y")) == "/usr/lib/y"
    assert collector.place(JailPath("/lib/x/y")) == "/opt/x/y"
    assert collector.place(JailPath("/lib")) == "/lib"
    collector.add(link_entry(JailPath("/loop"), "loop", "base"))
    with pytest.raises(ImageError, match="too many levels"):
        collector.place(JailPath("/loop/x"))


def test_an_unknown_data_set_names_the_known_ones(place: Path) -> None:
    with pytest.raises(ImageError) as caught:
        make(place, data=("nss", "klingon"))
    assert "gconv" in caught.value.hint


def test_data_sets_bring_what_the_host_has(place: Path) -> None:
    manifest = make(place, data=("nss", "locale", "terminfo", "zoneinfo", "ca-certificates"))
    assert manifest.get("/etc/hosts").text == "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
    for path in ("/usr/lib/locale/C.utf8/LC_CTYPE", "/lib/terminfo/x/xterm", "/etc/ssl/certs/ca-certificates.crt"):
        if os.path.exists(path):
            assert manifest.get(os.path.realpath(path)).kind == "file"
    if os.path.exists("/etc/localtime"):
        assert manifest.get(os.path.realpath("/etc/localtime")).kind == "file"


def test_a_file_that_changes_while_it_is_examined(place: Path) -> None:
    (place / "f").write_text("x")
    sources = Sources(HostPath(str(place)))
    found = sources.find(HostPath(str(place / "f")))
    (place / "f").write_text("other")
    assert found
    with pytest.raises(SourceChangedError):
        sources.digest(found)
