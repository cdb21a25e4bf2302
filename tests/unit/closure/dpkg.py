"""Made files of dpkg's, in a directory of the test's own."""

from __future__ import annotations

from pathlib import Path

from jailssh.closure.packages import Packages, installed


class Dpkg:
    """``folder`` stands for /var/lib/dpkg."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / "dpkg"
        for name in ("info", "alternatives"):
            (self.folder / name).mkdir(parents=True)

    def status(self, text: str) -> None:
        """Write the status of all packages."""
        (self.folder / "status").write_text(text)

    def list(self, name: str, *paths: str) -> None:
        """Write which files a package has."""
        (self.folder / "info" / f"{name}.list").write_text("/.\n" + "".join(f"{path}\n" for path in paths))

    def choice(self, name: str, text: str) -> None:
        """Write a file of update-alternatives(1)."""
        (self.folder / "alternatives" / name).write_text(text)

    def packages(self) -> Packages:
        """Return what is read of it."""
        return installed(str(self.folder), str(self.place))
