"""Accounts: put into a jail, taken out, one or many, locked, renamed, and their keys."""
