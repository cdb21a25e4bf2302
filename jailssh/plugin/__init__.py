"""The interface that a plugin is written against, and the registry that finds plugins."""

from jailssh.plugin.api import Account, Bind, ImageNeeds, Jail, Option, Plugin, PluginResult

__all__ = ["Account", "Bind", "ImageNeeds", "Jail", "Option", "Plugin", "PluginResult"]
