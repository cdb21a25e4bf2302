"""Set-ups of other programs that confine accounts: their files, read as those programs read them."""
