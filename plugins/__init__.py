"""The plugins that come with jailssh.  Installed as the package ``jailssh_plugins``, one folder each."""
