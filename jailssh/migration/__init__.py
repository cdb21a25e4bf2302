"""Bringing in what other programs confine: an inventory, jails of ours for it, the change of each account, and back."""
