"""gitolite's set-up: its rules by the order that decides, its keys and groups, as one table of rights."""
