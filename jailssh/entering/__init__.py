"""Entering jails and trees on this host, by who is on it: ``run`` and ``enter``.

The options of ``run`` become a plan, which ``jailssh-run`` (``jailssh/run/``) carries out; ``enter`` becomes the login
program, which looks for a plan that root has published.
"""
