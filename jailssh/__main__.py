"""``python -m jailssh``: the command, from a source tree or an installation."""

from jailssh.cli.main import program

program()
