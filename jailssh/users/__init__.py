"""Accounts and the set-up of the host: put into a jail, taken out, keys, what stays open."""
