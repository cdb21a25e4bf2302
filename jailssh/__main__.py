"""``python -m jailssh``: the command, from a source tree or an installation."""

from jailssh.console.main import program

program()
