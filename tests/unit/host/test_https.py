"""The web server of a trial: who trusts its certificate gets an answer, who does not is not hurt by it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from jailssh.host import https


@pytest.fixture(scope="module")
def trial() -> https.Trial:
    made = https.listen()
    threading.Thread(target=made.serve, daemon=True).start()
    return made


def asked(trial: https.Trial, path: str, context: ssl.SSLContext) -> str:
    with urllib.request.urlopen(trial.url + path, context=context, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_who_trusts_it_gets_the_answer(trial: https.Trial, name: str) -> None:
    trusting = ssl.create_default_context(cadata=trial.certificates["ca-certificates.crt"].decode())
    named = https.Trial(trial.url.replace("127.0.0.1", name), trial.certificates, trial.serve)
    assert asked(named, "", trusting) == "trusted\n"
    assert asked(named, "x.git/info/refs?service=git-upload-pack", trusting).endswith("\trefs/heads/trusted\n")
    assert asked(named, "x.git/HEAD", trusting) == "ref: refs/heads/trusted\n"


def test_who_does_not_is_refused_and_the_next_one_is_served(trial: https.Trial) -> None:
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        asked(trial, "", ssl.create_default_context())
    test_who_trusts_it_gets_the_answer(trial, "localhost")


def test_two_certificates_are_two(trial: https.Trial) -> None:
    other = https.listen()
    assert other.certificates["ca-certificates.crt"] != trial.certificates["ca-certificates.crt"]
    assert other.url != trial.url


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_openssl_finds_it_by_its_name(trial: https.Trial, tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    file.write_bytes(trial.certificates["ca-certificates.crt"])
    argv = ["openssl", "x509", "-in", str(file), "-noout", "-hash"]
    name = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    assert trial.certificates[f"{name}.0"] == file.read_bytes()


@pytest.mark.skipif(not shutil.which("keytool"), reason="no Java here")
def test_java_reads_its_key_store(trial: https.Trial, tmp_path: Path) -> None:
    file = tmp_path / "cacerts"
    file.write_bytes(trial.certificates["java/cacerts"])
    argv = ["keytool", "-list", "-v", "-keystore", str(file), "-storepass", "changeit"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "CN=jailssh trial" in done.stdout
