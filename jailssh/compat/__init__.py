"""Jailkit's names for commands: what scripts and panels call goes on, by jailssh's verbs."""
