"""Jailkit's set-ups: its ini files by their own dialects, its jails, and the accounts in them."""
