"""What must hold of the programs in Python: files that root trusts, whole changes, undo, plans and settings."""

from __future__ import annotations

from tests.mutations.table import Mutation

FS, EDITOR = "tests/unit/files/test_fs.py", "tests/unit/files/test_editor.py"
LISTED = "tests/unit/config/test_directories.py"
COMPILE, CODEC, VECTORS = (
    "tests/unit/plan/test_compile.py",
    "tests/unit/plan/test_codec.py",
    "tests/golden/test_vectors.py",
)
CONFIG, GRAMMAR = "tests/unit/config/test_config.py", "tests/unit/policy/test_rules.py"
CLASSES, FIELDS = "tests/unit/policy/test_value_class.py", "tests/unit/policy/test_rule_fields.py"
COMPANIONS, RESOLVE = "tests/unit/closure/test_companions.py", "tests/unit/image/test_resolve.py"
LIVE = "tests/root/image/test_live.py::test_only_what_all_may_read_is_copied"
SANDBOX = "tests/root/host/test_sandbox.py"
ADDUSER = "tests/root/users/test_adduser.py"
LEADER, ARCHIVE = "tests/root/change/test_leader.py", "tests/unit/carrying/test_archive.py"


def python(name: str, old: str, new: str, *tests: str) -> Mutation:
    """Return a mutation of a file of the package."""
    return Mutation(name, "jailssh", old, new, tests)


FILES = (
    python("files: no link is followed to a directory", "_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW |",
        "_DIR = os.O_RDONLY | os.O_DIRECTORY |", FS),
    python("files: no link is read", "\nREAD = os.O_RDONLY | os.O_NOFOLLOW |", "\nREAD = os.O_RDONLY |", FS),
    python("files: a trusted file has one name", "if single_link and info.st_nlink != 1:", "if False:", FS),
    python("files: a trusted file is root's", "if info.st_uid not in (0, os.geteuid()):", "if False:", FS),
    python("files: its group does not write it", "if info.st_mode & stat.S_IWGRP:", "if False:", FS),
    python("files: others do not write it", 'return "writable by everyone" if info.st_mode & stat.S_IWOTH else ""',
        'return ""', FS),
    python("files: a trusted file is a file",
        'if not stat.S_ISREG(info.st_mode):\n        return "is not a regular file"',
        'if False:\n        return "is not a regular file"', FS),
    python("files: a trusted file has a bound", "    if info.st_size > limit:", "    if False:", FS),
    python("files: what is written is on the disk before it has its name",
        "            os.fsync(fd)\n            yield put", "            yield put", FS),
    python("files: a write that fails leaves nothing",
        "        if not is_put:\n", "        if False:\n",
        FS),
    python("files: the removal of a tree stays on its mount, at its top", "        _stay(top, mount, name)\n", "",
        FS),
    python("files: the removal of a tree stays on its mount, below", "        _stay(fd, mount, name)\n", "", FS),
    python("files: the removal of a tree follows nothing",
        "return stat.S_ISDIR(os.stat(name, dir_fd=dirfd, follow_symlinks=False).st_mode)\n\n\n@contextmanager",
        "return stat.S_ISDIR(os.stat(name, dir_fd=dirfd).st_mode)\n\n\n@contextmanager", FS),
    python("files: a lock is root's file", "if not stat.S_ISREG(os.fstat(fd).st_mode) or distrust(os.fstat(fd)):",
        "if False:", FS),
    python("files: a tree ends at a mount", "_RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS |", "_RESOLVE_NO_MAGICLINKS |",
        EDITOR),
    python("files: a tree ends at a mount, the old way too", "if os.fstat(fd).st_dev != device:", "if False:",
        EDITOR),
    python("files: nothing in a tree is followed", "_RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH",
        "_RESOLVE_NO_MAGICLINKS | _RESOLVE_BENEATH", EDITOR),
)  # fmt: skip

UNDO = (
    python("undo: the inverse is written before the act",
        "        self._write()\n        self._fault(f\"{point}: noted\")\n        act()",
        "        act()\n        self._fault(f\"{point}: noted\")\n        self._write()",
        f"{ADDUSER}::test_killed_at_any_point_what_confines_holds_and_what_lets_in_is_taken_back"),
    python("undo: an error takes the steps back", "                    self.rollback()\n",
        "                    self.finish()\n", f"{ADDUSER}::test_a_failure_in_the_middle_is_taken_back"),
    python("undo: what opens is taken back", "opened = [step for step in self.steps if not step.confines]",
        "opened: list[Inverse] = []",
        f"{ADDUSER}::test_killed_at_any_point_what_confines_holds_and_what_lets_in_is_taken_back"),
    python("undo: what confines stays",
        "kept = [done for step in self.steps if step.confines and (done := for_good(step))]",
        "kept = []; take_back(step for step in self.steps if step.confines)",
        f"{ADDUSER}::test_killed_at_any_point_what_confines_holds_and_what_lets_in_is_taken_back"),
    python("undo: a shell that somebody has changed stays", "if entry and entry.uid == uid and entry.shell == new:",
        "if entry and entry.uid == uid:", f"{ADDUSER}::test_a_shell_changed_since_is_left_alone"),
    python("undo: an account of another uid is another's",
        "    if entry and entry.uid == uid and entry.shell == new:", "    if entry and entry.shell == new:",
        f"{ADDUSER}::test_an_account_of_another_uid_keeps_its_shell_when_the_change_is_taken_back"),
    python("undo: an account that was used stays", "    return not ours or not _is_unused(entry, dev, ino)\n",
        "    return not ours\n", f"{ADDUSER}::test_an_account_that_was_created_and_used_is_never_deleted"),
    python("undo: an account made by hand stays", "    return not ours or not _is_unused(entry, dev, ino)\n",
        "    return not _is_unused(entry, dev, ino)\n",
        f"{ADDUSER}::test_an_account_made_by_hand_meanwhile_stays_when_the_change_is_taken_back"),
    python("undo: a signal waits for the end of a step", "    with handled(_SIGNALS, note):\n",
        "    with handled((), note):\n", f"{ADDUSER}::test_a_signal_waits_for_the_end_of_a_step"),
    python("undo: what was not decided is rolled back", "        if leader is not None and leader.decided:\n",
        "        if leader is not None:\n", LEADER),
    python("undo: what was decided is completed",
        "        if leader is not None and leader.decided:\n            self.commit()\n            return True\n",
        "", LEADER),
    python("undo: a part that cannot be rolled back keeps the leader",
        "if left := _led(self._layout, self.subject):", "if left := []:", LEADER),
    python("archive: a section has its digest", "if _digest(text) != head[5]:", "if False:", ARCHIVE),
    python("archive: the whole has its digest", "if _digest(text[: -len(lines[-2]) - 1]) != end[2]:", "if False:",
        ARCHIVE),
    python("archive: a path stays below", 'return "" if all(map(_PART.match, parts)) else', 'return "" if parts else',
        ARCHIVE),
    python("archive: only what export writes is read", "    if write(found) != data:", "    if False:", ARCHIVE),
    python("archive: no name stands twice", "            if order <= last:", "            if False:", ARCHIVE),
)  # fmt: skip

PLANS = (
    python("plans: nothing of the system is shown", "        if path and path.split(\"/\")[1] in RESERVED:",
        "        if False:", COMPILE),
    python("plans: no home is the system's", "    if top in RESERVED:", "    if False:", COMPILE),
    python("plans: the homes of others are not shown", "    if is_below(home, bind.path):\n", "    if False:\n",
        COMPILE),
    python("plans: a directory is a plain path", "    if not is_clean_absolute(bind.path) or bind.path == \"/\":",
        "    if False:", COMPILE),
    python("plans: a home is a plain path", "    if not is_clean_absolute(home) or home == \"/\":",
        "    if home == \"//\":", COMPILE),
    python("plans: programs are of the image", "        if hidden:\n", "        if False:\n", COMPILE),
    python("plans: root's group is nobody's", "    if 0 in kept:\n", "    if False:\n", COMPILE),
    python("plans: groups are kept where they are named", "if name in jail.supplementary_groups}", "}", COMPILE),
    python("plans: what the host reads in a home is covered",
        " for name, kind in covers()] if view.home != Shown.NONE else []", " for name, kind in ()]", COMPILE),
    python("plans: a writable directory is no other's writable one", "other.writable >= bind.writable", "True",
        COMPILE),
    python("plans: rules are checked", "    check_rules(rules)\n    view", "    view", COMPILE),
    python("rules: an operand is of no class of options", "        if kind in OPTIONS_ONLY:", "        if False:",
        GRAMMAR),
    python("rules: a pattern of words begins with no dash", '    if found.pattern.startswith("-"):', "    if False:",
        GRAMMAR),
    python("rules: an option's value is no repository", "    if not REPOSITORIES.isdisjoint(of_options):",
        "    if False:", GRAMMAR),
    python("rules: paths have directories",
        "    if not PATHS.isdisjoint(of_options | of_operands) and not rule.path_roots:", "    if False:", GRAMMAR),
    python("rules: a class is whole", "if kind is None or bool(colon) != bool(form) or (form and not found):",
        "if kind is None:", CLASSES),
    python("rules: a directory is writable only where it says so",
        'return value if isinstance(value, str) else "rw" if value else "ro"',
        'return value if isinstance(value, str) else "rw"', FIELDS),
    python("plans: gecos ends no line", "char for char in account.gecos if char.isprintable() and char != \":\"",
        "char for char in account.gecos", COMPILE),
    python("plans: no mount below what the user can change",
        "        if target and any(is_below(target, above) for above in writable):", "        if False:", CODEC,
        VECTORS),
    python("plans: records in their order", "        elif verb.phase < phase:", "        elif False:", CODEC,
        VECTORS),
    python("plans: a record that comes once comes once", "        if verb.once and verb.name in seen:",
        "        if False:", CODEC, VECTORS),
    python("plans: uids are users'", "if not 0 < plan.uid <= MAX_UID or not 0 < plan.gid <= MAX_UID:", "if False:",
        CODEC, VECTORS),
)  # fmt: skip

SETTINGS = (
    python("settings: no control character", "    if _CONTROL.search(text):\n", "    if False:\n", CONFIG),
    python("settings: a path is a plain one", "    if path not in (\"\", \"~\") and not is_clean_absolute(plain):",
        "    if False:", CONFIG),
    python("settings: a word is a plain one", "    if text and not _WORD.match(text):", "    if False:", CONFIG),
    python("settings: a choice is one of them", "        if raw not in listed:", "        if False:", CONFIG),
    python("settings: a comma stands in quotes", "    if not isinstance(raw, str):\n        raise",
        "    if False:\n        raise", CONFIG),
    python("settings: an address has no bits outside of its network",
        "        network = ipaddress.ip_network(word)\n",
        "        network = ipaddress.ip_network(word, strict=False)\n", CONFIG, "tests/unit/config/test_limits.py"),
    python("settings: directories of a jail are there",
        "        and not os.path.isdir(account.source_of(bind))",
        "        and False",
        "tests/root/config/test_config_faults.py"
        "::test_a_mistake_is_named_with_file_line_and_cure[root that does not exist]"),
    python("directories: nothing is read-only in what is writable", "    if inside and held:", "    if False:", LISTED),
    python("directories: who is not named sees nothing",
        "        if each.who and account.roles.isdisjoint(each.who):", "        if False:", LISTED),
    python("directories: what sessions do not see is not shown elsewhere",
        "            if is_below(inside, name) or is_below(name, inside):", "            if False:", LISTED),
)  # fmt: skip

LANGUAGES = (
    python("languages: what comes along everybody may read", "        return found.info.st_mode & wanted == wanted and",
        "        return", COMPANIONS),
    python("languages: and everybody can reach", " and all(map(self._is_passable, found.dirs))", "", COMPANIONS),
    python("languages: settings of a live root are for everybody", "info.st_mode & stat.S_IROTH:", "True:", LIVE),
    python("languages: and so are the directories", " and info.st_mode & _ENTER == _ENTER:", ":", LIVE),
    python("languages: the status of packages is root's",
        "fs.read_trusted(path, limit, trusted_root=trusted_root).decode("
        "\"utf-8\", \"surrogateescape\")\n\n\ndef installed",
        "open(path, errors=\"surrogateescape\").read()\n\n\ndef installed", "tests/unit/closure/test_packages.py"),
    python("languages: a jail for repositories has git alone", "None if bare else self._started", "self._started",
        COMPANIONS, RESOLVE),
    python("languages: what is required is there", "        for pattern, needed in row.required:",
        "        for pattern, needed in ():", COMPANIONS, RESOLVE),
    python("languages: who serves a trial has no rights", "            os.setresuid(_BESIDE, _BESIDE, _BESIDE)\n", "",
        SANDBOX),
    python("languages: and sees no files",
        "            os.chroot(\"dev\")\n            os.chdir(\"/\")\n", "", SANDBOX),
)  # fmt: skip

RULES = FILES + UNDO + PLANS + SETTINGS + LANGUAGES
