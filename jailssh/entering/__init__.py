"""Entering a tree: `jailssh run`.  Options become a plan of ``jailssh-run`` (``jailssh/run/``), which carries it out."""
