"""What rsync's clients send, judged by the real matcher; rows as in ``test_commands.py``."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("login-program")

HOME = "/home/alice"
CAN = "e.iLsfxCIvu"


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        ("all", "rsync --server . .", ("rsync.push", ["rsync", "--server", ".", "."])),
        (
            "all",
            "rsync --server --sender -e.LsfxC . .",
            ("rsync.pull", ["rsync", "--server", "--sender", "-e.LsfxC", ".", "."]),
        ),
        (
            "backup",
            f"rsync --server -vlogDtpr{CAN} . backup/",
            ("rsync.push", ["rsync", "--server", f"-vlogDtpr{CAN}", ".", "backup/"]),
        ),
        (
            "backup",
            f"/usr/bin/rsync --server -logDtpr{CAN} . ~/backup/a\\ b",
            ("rsync.push", ["rsync", "--server", f"-logDtpr{CAN}", ".", HOME + "/backup/a b"]),
        ),
        (
            "append",
            f"rsync --server -logDtpr{CAN} . new",
            ("rsync.push", ["rsync", "--server", f"-logDtpr{CAN}", "--ignore-existing", ".", "/srv/in/new"]),
        ),
        ("append", f"rsync --server -blogDtpr{CAN} . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --partial-dir p . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --append . x", "option-not-allowed"),
        # D19
        ("append", "rsync --server -e.L --delete . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --delete-excluded . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --max-delete=5 . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --force . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --remove-source-files . x", "option-not-allowed"),
        ("all", "rsync --server -e.L -@-1 . x", "value-not-allowed"),
        ("pull", "rsync --server --sender -e.L --delete-missing-args . pub", "option-not-allowed"),
        ("pull", "rsync --server --sender -e.L --backup-dir ../x . pub", "path-dotdot"),
        (
            "pull",
            f"rsync --server --sender -vlogDtpr{CAN} . /srv/data/a pub/b",
            ("rsync.pull", ["rsync", "--server", "--sender", f"-vlogDtpr{CAN}", ".", "/srv/data/a", "pub/b"]),
        ),
        ("pull", f"rsync --server -vlogDtpr{CAN} . /srv/data/a", "word-missing"),
        ("backup", f"rsync --server --sender -vlogDtpr{CAN} . backup/", "option-not-allowed"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . .", "path-outside"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . backup2", "path-outside"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . backup/../x", "path-dotdot"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . /etc", "path-outside"),
        # A01
        ("all", f"rsync --server --sender -vlogDtpr{CAN} . data; id", "shell-metacharacter"),
        # A16, A17, A20
        ("all", "rsync --server -- . x", "option-not-allowed"),
        ("all", "rsync --serv --send . x", "word-missing"),
        ("all", "rsync --server --rs=sh . x", "option-not-allowed"),
        ("all", "rsync --server --daem . x", "option-not-allowed"),
        ("all", "rsync --daemon", "word-missing"),
        ("all", "rsync --server --daemon .", "option-not-allowed"),
        ("all", "rsync --server --config=/tmp/x . x", "option-not-allowed"),
        ("all", "rsync --server --sender=1 . x", "option-not-allowed"),
        ("all", "rsync --server=1 . x", "word-missing"),
        ("all", "rsync --server --delete=1 . x", "value-not-allowed"),
        # D01, D02
        ("all", "rsync -e 'sh -c id' x: y", "word-missing"),
        ("all", "rsync --rsh=id x: y", "word-missing"),
        ("all", "rsync --server --rsh=id . x", "option-not-allowed"),
        ("all", "rsync --server '-esh -c id' . x", "value-not-allowed"),
        ("all", "rsync --server -e sh . x", "value-not-allowed"),
        ("all", "rsync --server -M--rsh=id . x", "option-not-allowed"),
        # D07, D08, D11, D14, D16
        ("all", "rsync --server -e.L --log-file=x . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L --log-file=x . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L --files-from=/etc/shadow . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --files-from - . x", "option-not-allowed"),
        ("all", f"rsync --server --sender -lLogDtpr{CAN} . x", "option-not-allowed"),
        ("all", f"rsync --server -lKogDtpr{CAN} . x", "option-not-allowed"),
        ("all", f"rsync --server --sender -lkogDtpr{CAN} . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --copy-unsafe-links . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --inplace --write-devices . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L --copy-devices . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --no-munge-links . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --debug=all . x", "option-not-allowed"),
        ("backup", "rsync --server -e.L --temp-dir /etc . backup", "path-outside"),
        ("backup", "rsync --server -e.L --backup-dir ../.. . backup", "path-dotdot"),
        ("backup", "rsync --server -e.L --partial-dir=/tmp . backup", "path-outside"),
        ("backup", "rsync --server -e.L --link-dest=/etc . backup", "path-outside"),
        ("backup", "rsync --server -e.L --copy-dest /etc . backup", "path-outside"),
        ("backup", "rsync --server -e.L --compare-dest /etc . backup", "path-outside"),
        ("all", "rsync --server -e.L --link-dest . backup", "word-missing"),
        ("all", "rsync --server -e.L --max-alloc=0 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --compress-threads=256 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --timeout=0 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --bwlimit=1e9 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --bwlimit= . x", "value-not-allowed"),
        # -s sends the arguments where no allow-list sees them
        ("all", f"rsync --server -slogDtpr{CAN}", "option-not-allowed"),
        ("all", f"rsync --server --sender -slogDtpr{CAN}", "option-not-allowed"),
        ("all", "rsync --server --secluded-args . x", "option-not-allowed"),
        ("all", "rsync --server --remove-source-files --sender . x", "option-not-allowed"),
        ("all", "rsync --server --sender --remove-source-files . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L .", "operand-count"),
        ("all", "rsync --server -e.L . a b", "operand-count"),
        ("all", "rsync --server -e.L a", "word-missing"),
        ("all", "rsync", "word-missing"),
    ],
)
def test_rsync(decide, jail, command, expected):
    assert decide(jail, command) == expected


# What rsync 3.5.0 sends for the option in the comment, recorded with a program in place of ssh.
PUSHED = [
    "-e.LsfxCIvu",
    f"-lHogDtpAXr{CAN}",  # -aHAX
    f"-vvvlogDtpr{CAN}",
    "-ne.LsfxCIvu",
    f"-logDtprz{CAN}",
    f"-logDtpr{CAN} --delete",
    f"-logDtpr{CAN} --delete-before",
    f"-logDtpr{CAN} --delete-after",
    f"-logDtpr{CAN} --delete-delay",
    f"-logDtpr{CAN} --delete-during",
    f"-logDtpr{CAN} --delete-excluded",
    f"-logDtpr{CAN} --delete --force --ignore-errors",
    f"-logDtpr{CAN} --delete-missing-args",
    f"-logDtpr{CAN} --max-delete=5",
    f"-logDtpr{CAN} --max-delete=-1",  # --max-delete=0
    f"-blogDtpr{CAN}",
    f"-blogDtpr{CAN} --suffix=.bak",
    f"-logDtpr{CAN} --log-format=X --partial",  # -P
    f"-logDtpr{CAN} --log-format=%i",
    f"-logDtpr{CAN} --log-format=%i%I",
    f"-logDtpr{CAN} --inplace",
    f"-logDtpr{CAN} --append --append",  # --append-verify
    f"-logDtpr{CAN} --bwlimit=1536",
    f"-logDtpr{CAN} --min-size=1024 --max-size=1572864",
    f"-logDtpr{CAN} --iconv=ISO-8859-1",
    f"-logDtpr{CAN} --iconv=.",
    f"-logDtpr{CAN} --numeric-ids",
    f"-logDtpr{CAN} --timeout=60",
    f"-logDtpr{CAN} -B1024",
    f"-logDtpr{CAN} -@2",
    f"-logDtpr{CAN} --modify-window=2",
    f"-logDtprR{CAN} --no-implied-dirs",
    f"-logDtprS{CAN}",
    f"-lWogDtpr{CAN}",
    f"-lyogDtpr{CAN}",
    f"-logDtprc{CAN} --checksum-choice=md5",
    f"-logDtpr{CAN} --compress-level=3 --compress-choice=zstd",
    f"-logDtpr{CAN} --new-compress",
    f"-ulogDtpr{CAN}",
    f"-logDtprI{CAN}",
    f"-logDtpr{CAN} --size-only",
    f"-logDtpr{CAN} --existing",
    f"-logDtpr{CAN} --ignore-existing",
    f"-logDtpr{CAN} --remove-source-files",
    f"-logDtpr{CAN} --info=STATS2",
    f"-logDtpr{CAN} --stats",
    f"-logDtpr{CAN} --super",
    f"-logDtpr{CAN} --fake-super",  # -M--fake-super
    f"-logDtprxx{CAN}",
    f"-logDtUpr{CAN}",
    f"-logDtpr{CAN} --open-noatime",
    f"-lOJogDtpr{CAN}",
    f"-logDtpr{CAN} --delay-updates",
    f"-logDtpr{CAN} --mkpath",
    f"-logDtpr{CAN} --preallocate",
    f"-logDtpr{CAN} --fsync",
    f"-logDtpr{CAN} --msgs2stderr",
    f"-logDtpr{CAN} --max-alloc=2G",
    f"-logDtpr{CAN} --checksum-seed=7",
    f"-logDtpr{CAN} --safe-links",
    f"-qlogDtpr{CAN}",
    "-lde.LsfxCIvu",
    f"-logDtprC{CAN}",
    f"-lmogDtpr{CAN}",
    f"-logDtpr{CAN} --list-only",
    f"-logDtpr{CAN} --no-specials",
    f"-logDtpr{CAN} --only-write-batch=X",
    f"-logtpr{CAN}",
    "-logDtpRe.LsfxCIvu",  # --files-from of the client's side
    f"-logDtpr{CAN} --partial-dir .rsync-partial",
    f"-blogDtpr{CAN} --backup-dir old --suffix=.bak",
    f"-logDtpr{CAN} --link-dest prev",
    "-vlogDtprze.iLsfxCIvu --delete-during --partial-dir=.rsync-partial --timeout=60",
]


@pytest.mark.parametrize("options", PUSHED)
def test_rsync_options_that_a_pushing_client_sends(decide, options):
    """Options go through unchanged; a relative directory is relative to the destination, as rsync(1) says."""
    command = f"rsync --server {options} . backup/x"
    argv = ["rsync", "--server", *options.split(), ".", "backup/x"]
    assert decide("backup", command) == ("rsync.push", argv)


@pytest.mark.parametrize(
    ("option", "word", "executed"),
    [
        ("--usermap=\\*:root", "--usermap=*:root", []),
        ("--temp-dir ~/backup/tmp", "--temp-dir", [HOME + "/backup/tmp"]),
        ("--link-dest /home/alice/backup/1", "--link-dest", [HOME + "/backup/1"]),
        ("--partial-dir=/home/alice/backup/p", "--partial-dir=/home/alice/backup/p", []),
    ],
)
def test_rsync_values(decide, option, word, executed):
    argv = ["rsync", "--server", "-e.L", word, *executed, ".", "backup/x"]
    assert decide("backup", f"rsync --server -e.L {option} . backup/x") == ("rsync.push", argv)


PULLED = [
    "-e.LsfxCIvu",
    f"-lHogDtpAXr{CAN}",
    f"-logDtprz{CAN} --skip-compress=gz/jpg",
    "-logDtpre.LsfxCIvu",  # --delete-before, --delay-updates, -m
    f"-blogDtpr{CAN} --backup-dir old --suffix=.bak",
    f"-logDtpr{CAN} --append --append",
    f"-logDtpr{CAN} --inplace",
    f"-logDtpr{CAN} --bwlimit=1536",
    f"-logDtpr{CAN} --numeric-ids",
    f"-logDtpr{CAN} --timeout=60",
    f"-logDtpr{CAN} --ignore-errors",
    f"-logDtpr{CAN} --ignore-missing-args",
    f"-logDtpr{CAN} --list-only",
    f"-logDtpr{CAN} --checksum-seed=7",
    f"-logDtpr{CAN} --safe-links",
    f"-logDtpr{CAN} --info=STATS2",
    f"-logDtprR{CAN} --no-implied-dirs",
    "-logDtpRe.LsfxCIvu --files-from=- --from0",
    "-logDtpe.LsfxCIvu --files-from=- --from0 --no-relative",
]


@pytest.mark.parametrize("options", PULLED)
def test_rsync_options_that_a_pulling_client_sends(decide, options):
    argv = ["rsync", "--server", "--sender", *options.split(), ".", "/srv/data/x"]
    assert decide("pull", f"rsync --server --sender {options} . /srv/data/x") == ("rsync.pull", argv)
