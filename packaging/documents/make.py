"""make.py [DIRECTORY]: write what is made from the code below DIRECTORY, as below a prefix.

Without DIRECTORY it is the one that meson installs into.  Manual pages, shell completion, the journal's catalog.
Needs the packages that jailssh itself needs, and nothing of the host.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]


def made() -> dict[str, str]:
    """Return the text of each file by its path below the prefix."""
    import catalog
    import completion
    import manual

    files = {f"share/man/man{name[-1]}/{name}": text for name, text in manual.pages().items()}
    files["lib/systemd/catalog/jailssh.catalog"] = catalog.catalog()
    files["share/bash-completion/completions/jailssh"] = completion.bash()
    files["share/zsh/site-functions/_jailssh"] = completion.zsh()
    files["share/fish/vendor_completions.d/jailssh.fish"] = completion.fish()
    return files


def main(arguments: list[str]) -> None:
    """Do what the module's docstring says."""
    if len(arguments) > 1:
        raise SystemExit(__doc__)
    target = Path(arguments[0] if arguments else os.environ["MESON_INSTALL_DESTDIR_PREFIX"])
    sys.path[1:1] = [str(SOURCE), str(SOURCE / "packaging")]
    from metadata import write_metadata

    with tempfile.TemporaryDirectory() as folder:
        # The plugins are found by the metadata of a distribution, which a source tree does not have.
        write_metadata(Path(folder))
        sys.path.append(folder)
        files = made()
    for name, text in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
