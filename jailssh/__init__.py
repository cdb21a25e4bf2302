"""jailssh confines SSH logins: one jail per account, built on demand, logged to the journal."""

__version__ = "0.1.0"
