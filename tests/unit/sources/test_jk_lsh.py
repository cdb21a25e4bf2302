"""Import of jk_lsh.ini: what Jailkit's parser finds in the text, and the warnings where that surprises."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.config import jails, reader
from jailssh.console.main import main
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.jailkit import jk_lsh
from jailssh.plan import codec
from jailssh.plugin.api import Jail
from jailssh.plugin.registry import load_registry
from tests.login.jails import ALICE, plan_with

PLAIN = "[alice]\npaths=/usr/bin\nexecutables=/usr/bin/id,/usr/bin/printf\numask=022\n"


def imported(text: str, *, legacy_umask: bool = False, strict: bool = False) -> jk_lsh.Imported:
    return jk_lsh.read(text, "alice", "staff", legacy_umask=legacy_umask, strict=strict)


def executables(text: str) -> object:
    """Return the command lines that the text comes to."""
    return imported(text).settings["command"]["commands"]


def warned(text: str) -> str:
    return "\n".join(f"{warning.line}: {warning.text}" for warning in imported(text).warnings)


def test_plain() -> None:
    result = imported(PLAIN)
    assert result.section == "alice"
    assert result.settings == {
        "": {"plugins": ("command",), "umask": "022"},
        "command": {"commands": ("id <anything>", "printf <anything>")},
    }
    assert [warning.line for warning in result.warnings] == [3, 3]
    assert "does not check arguments" in result.warnings[0].text


def test_a_section_of_the_user_comes_before_the_group_and_the_default() -> None:
    sections = {name: f"[{name}]\nexecutables=/usr/bin/x{number}\numask=022\n"
                for number, name in enumerate(("DEFAULT", "group staff", "alice", "group other"))}  # fmt: skip
    assert executables("".join(sections.values())) == ("/usr/bin/x2 <anything>",)
    del sections["alice"]
    assert executables("".join(sections.values())) == ("/usr/bin/x1 <anything>",)
    del sections["group staff"]
    assert executables("".join(sections.values())) == ("/usr/bin/x0 <anything>",)
    del sections["DEFAULT"]
    with pytest.raises(ConfigError, match="no section for alice"):
        imported("".join(sections.values()))


def test_nothing_is_inherited() -> None:
    with pytest.raises(ConfigError, match="the section has no executables"):
        imported("[DEFAULT]\nexecutables=/usr/bin/id\n[alice]\npaths=/usr/bin\n")


@pytest.mark.parametrize("name", ["default", "group  staff", "Alice", " alice "])
def test_a_section_that_only_looks_like_it(name: str) -> None:
    text = f"[{name}]\nexecutables=/usr/bin/a\n[alice]\nexecutables=/usr/bin/b\numask=022\n"
    assert executables(text) == ("/usr/bin/b <anything>",)
    assert ("has no effect" in warned(text)) is (name.strip().lower() == "alice")
    with pytest.raises(ConfigError, match="no section"):
        imported(f"[{name}]\nexecutables=/usr/bin/a\n")


def test_the_first_of_two_sections() -> None:
    text = PLAIN + "[alice]\nexecutables=/usr/bin/other\n"
    assert executables(text) == ("id <anything>", "printf <anything>")
    assert "5: this second section [alice] has no effect" in warned(text)


def test_a_section_within_a_value() -> None:
    text = "[other]\nenvironment = X=[alice]\nexecutables=/usr/bin/id\numask=022\n"
    assert executables(text) == ("/usr/bin/id <anything>",)
    assert "2: [alice] is within a value" in warned(text)
    with pytest.raises(ConfigError, match="no section"):
        imported("# [alice]\nexecutables=/usr/bin/id\n")


def test_a_section_name_that_makes_jailkit_crash() -> None:
    assert "makes Jailkit crash" in warned(PLAIN + f"[{'x' * 256}]\n")


@pytest.mark.parametrize(("written", "name"), [("exec", "executables"), ("exec utables", "executables"),
                                               ("e", "executables"), ("p", "paths"), ("u", "umask")])  # fmt: skip
def test_a_key_that_is_the_beginning_of_another(written: str, name: str) -> None:
    text = PLAIN.replace(f"{name}=", f"{written} =")
    assert imported(text).settings["command"] == imported(PLAIN).settings["command"]
    assert f"{written!r} is read as {name}" in warned(text)


def test_a_beginning_of_two_keys_is_both() -> None:
    assert "'e' is read as environment" in warned(PLAIN.replace("executables=", "e="))


@pytest.mark.parametrize("line", [";executables=/bin/sh", "executable s2=/bin/sh", "=/bin/sh", "EXECUTABLES=/bin/sh"])
def test_a_key_without_effect(line: str) -> None:
    text = PLAIN.replace("[alice]\n", f"[alice]\n{line}\n")
    assert imported(text).settings == imported(PLAIN).settings
    assert "2: " in warned(text)


def test_a_key_twice() -> None:
    text = PLAIN + "executables=/bin/sh\n"
    assert imported(text).settings == imported(PLAIN).settings
    assert "5: 'executables' has no effect: it was set above" in warned(text)


def test_comments_and_line_ends() -> None:
    assert imported("#x\r\n" + PLAIN.replace("\n", "\r\n#executables=/bin/sh\r\n")).settings == imported(PLAIN).settings
    text = PLAIN.replace("printf", "printf # both")
    assert executables(text) == ("id <anything>",)
    assert "the comment is part of the value" in warned(text)


def test_a_long_value_is_cut() -> None:
    names = ",".join(f"/usr/bin/program-{number:03}" for number in range(60))
    text = f"[alice]\nexecutables={names}\numask=022\n"
    assert len(executables(text)) < 60  # type: ignore[arg-type]
    assert "after the first 1023 bytes" in warned(text)


def test_only_what_paths_has_is_found_by_its_name() -> None:
    assert executables("[alice]\nexecutables=/opt/a,/usr/bin/b\npaths=/usr/bin\numask=0\n") == (
        "/opt/a <anything>",
        "b <anything>",
    )
    text = "[alice]\nexecutables=/usr/bin/a,/usr/local/bin/a\npaths=/usr/local/bin,/usr/bin\numask=0\n"
    assert executables(text) == ("/usr/bin/a <anything>", "a <anything>")
    assert "looks in /usr/local/bin first" in warned(text.replace(",/usr/local/bin/a", ""))


@pytest.mark.parametrize("program", ["id", "/usr/bin/../bin/id", "/usr//bin/id", "/usr/bin/a b"])
def test_a_program_that_no_command_can_have(program: str) -> None:
    text = PLAIN.replace("/usr/bin/printf", program)
    assert executables(text) == ("id <anything>",)
    assert f"{program} cannot be" in warned(text)


def test_umask() -> None:
    without = PLAIN.replace("umask=022\n", "")
    assert "umask" not in imported(without).settings[""]
    assert "Jailkit uses 000" in warned(without)
    assert imported(without, legacy_umask=True).settings[""]["umask"] == "000"
    assert "Jailkit uses 000" in warned(PLAIN.replace("022", "rw"))
    assert imported(PLAIN.replace("022", "0027x")).settings[""]["umask"] == "027"
    assert "Jailkit uses 000" not in warned(PLAIN)


def test_environment() -> None:
    text = PLAIN + "environment = FOO=bar, X= y, A=b=c, D, [v]=1\n"
    assert imported(text).settings["env"] == {"FOO": "bar", "X": "y", "[v]": "1"}
    assert "A=b=c has no effect" in warned(text)
    assert "D has no effect" in warned(text)


def test_word_expansion() -> None:
    assert "is not a number" in warned(PLAIN + "allow_word_expansion=yes\n")
    assert "jailssh does not" in warned(PLAIN + "allow_word_expansion=1\n")
    assert "expan" not in warned(PLAIN + "allow_word_expansion=0\n")


PROGRAMS = "/usr/lib/openssh/sftp-server,/usr/bin/scp,/usr/bin/rsync,/usr/bin/git-upload-pack,/usr/bin/svnserve"


def test_programs_with_a_plugin() -> None:
    text = f"[DEFAULT]\npaths=/usr/bin\nexecutables={PROGRAMS}\numask=022\n"
    result = imported(text)
    assert result.settings[""]["plugins"] == ("sftp", "scp", "rsync", "git", "svn")
    assert result.settings["git"] == {"read": "~"}
    assert result.settings["rsync"] == {"read": "~", "write": "~"}
    assert "rsync: Jailkit allows all of the jail" in warned(text)
    assert imported(text.replace("svnserve", "git-receive-pack")).settings["git"] == {"write": "~"}
    both = text.replace("git-upload-pack", "git-upload-archive")
    assert imported(both).settings["git"] == {"archive": "yes", "read": "~"}


def test_a_program_that_clients_cannot_reach_by_name() -> None:
    text = "[alice]\nexecutables=/usr/bin/rsync,/usr/lib/openssh/sftp-server\numask=022\n"
    assert imported(text).settings[""]["plugins"] == ("sftp", "command")
    assert "which is not in paths" in warned(text)


def test_scp_alone() -> None:
    assert "OpenSSH 9" in warned("[alice]\nexecutables=/usr/bin/scp\npaths=/usr/bin\numask=022\n")


def test_strict_refuses() -> None:
    with pytest.raises(ManyErrors) as caught:
        imported(PLAIN, strict=True)
    assert all("jk_lsh.ini:3" in line for line in caught.value.lines())
    with pytest.raises(ConfigError, match=r"jk_lsh\.ini:3"):
        imported(PLAIN.replace(",/usr/bin/printf", ""), strict=True)
    assert imported("[alice]\nexecutables=/usr/lib/sftp-server\numask=022\n", strict=True).warnings == ()


def test_nothing_that_can_be_imported() -> None:
    with pytest.raises(ConfigError, match="none of its executables"):
        imported("[alice]\nexecutables=id\numask=022\n")


@pytest.mark.parametrize(
    "text", ["", "[", "[alice", "[alice]", "=\n[alice]\n=", "[alice]executables=/a/b\0c", "\udcff["]
)
def test_any_text_ends_in_a_result_or_an_error(text: str) -> None:
    with pytest.raises(JailsshError):
        imported(text)


@pytest.fixture
def decide(tmp_path: Path, match_build: Path) -> Callable[[str, str], str]:
    """Import a text, write the jail file, read it back, make the rules, and let the real matcher judge."""

    def run(text: str, command: str) -> str:
        registry = load_registry()
        document = reader.read_document(imported(text).as_text(), "imported.conf")
        config = jails.read_jail("imported", document, registry.options)
        host = Jail("imported", config.plugins, lambda name: name if "/" in name else f"/usr/bin/{name}")
        results = [registry.get(name).account(host, ALICE, config.options[name]) for name in config.plugins]
        plan = tmp_path / "plan"
        plan.write_bytes(codec.encode(plan_with([rule for result in results for rule in result.rules])))
        done = subprocess.run([match_build, plan, command], capture_output=True, text=True, timeout=10)
        return done.stdout.split("\t")[0] if done.returncode in (0, 3) else done.stderr

    return run


@pytest.mark.needs("login-program")
@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("id", "allow"), ("/usr/bin/id", "allow"), ("  id   -u ", "allow"), ("printf %s a b", "allow"),
        ("/bin/id", "deny"), ("../bin/id", "deny"), ("sh", "deny"), ("id;id", "deny"), ("", "deny"), (" ", "deny"),
        ("$UNDEF", "deny"), ("id\n-u", "deny"),
    ],
)  # fmt: skip
def test_what_jailkit_allows_and_denies(decide: Callable[[str, str], str], command: str, verdict: str) -> None:
    assert decide(PLAIN, command) == verdict


TRANSFERS = f"[DEFAULT]\npaths=/usr/bin\nexecutables={PROGRAMS}\numask=022\n"


@pytest.mark.needs("login-program")
@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("/usr/lib/openssh/sftp-server", "allow"), ("scp -t up2", "allow"), ("scp -f file", "allow"),
        ("rsync --server -logDtpre.iLsfxCIvu . rs1", "allow"), ("git-upload-pack '/home/alice/repo.git'", "allow"),
        ("git-receive-pack '/home/alice/repo.git'", "deny"), ("rsync -e /home/alice/evil x:y z", "deny"),
        ("rsync --rsh=/home/alice/evil x:y z", "deny"), ("scp -S /home/alice/evil x:y z", "deny"),
        ("rsync --daemon", "deny"), ("git-upload-pack --upload-pack=x /home/alice/r", "deny"), ("id", "deny"),
    ],
)  # fmt: skip
def test_transfers_without_the_holes(decide: Callable[[str, str], str], command: str, verdict: str) -> None:
    assert decide(TRANSFERS, command) == verdict


def test_the_command_prints_the_jail_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "jk_lsh.ini"
    path.write_text("[group staff]\npaths=/usr/bin\nexecutables=/usr/bin/id\n")
    words = ["config", "import", str(path), "--user", "nobody-of-that-name"]
    assert main([*words, "--group", "staff"]) == 0
    text = capsys.readouterr().out
    assert 'commands = "id <anything>"' in text
    assert "# line 3: /usr/bin/id: Jailkit does not check arguments" in text
    assert main(words) == 2
    assert "hint: add its primary group: --group" in capsys.readouterr().err
    assert main(["config", "import", str(tmp_path / "gone"), "--user", "alice", "--group", "staff"]) != 0
    assert main(["config", "import", "--user", "alice"]) == 2
    path.write_text(path.read_text() + "#" * (1 << 20))
    assert main([*words, "--group", "staff"]) == 2
    assert "bytes, the limit for a jk_lsh.ini" in capsys.readouterr().err
    assert main(["config", "check", "--group", "staff"]) == 2
