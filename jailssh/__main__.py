"""``python -m jailssh``: the command, from a source tree or an installation."""

import sys

from jailssh.cli.main import main

sys.exit(main())
