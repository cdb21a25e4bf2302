"""A scratch host: namespaces in which real sshd, accounts and services are tried; nothing of it remains."""
