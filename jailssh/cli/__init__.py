"""The command ``jailssh``: one module per verb; the only room that parses arguments and talks to people.

A verb's module has ``EXAMPLES`` (command lines as typed, the first word is ``jailssh``), ``add_arguments(parser)`` and
``run(args, context)``, which returns the exit code.  With ``TAKES_COMMAND = True`` what follows ``--`` is not
parsed: ``args.command`` is the list of its words, None without ``--``.
"""
