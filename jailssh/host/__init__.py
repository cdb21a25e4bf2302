"""The only room that changes the host: trusted files, processes, accounts, the journal."""
