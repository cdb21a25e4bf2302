"""Entering jails and trees on this host, by who is on it: ``run``, ``session``, ``launch`` and ``enter``.

The options of ``run`` and ``launch`` become a plan, which ``jailssh-run`` (``jailssh/run/``) carries out; what several
commands share is held by a first process that a registry knows (``kept``).  ``enter`` becomes the login program, which
looks for a plan that root has published.
"""
