"""Accounts and the set-up of the host: put into a jail, taken out, keys, undo of every change, what stays open."""
