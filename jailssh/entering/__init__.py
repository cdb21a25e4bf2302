"""Entering any tree: ``run``.  Its options become a plan, which ``jailssh-run`` (``jailssh/run/``) carries out."""
