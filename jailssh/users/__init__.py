"""Accounts: put into a jail, taken out, one or many, locked, and their keys."""
