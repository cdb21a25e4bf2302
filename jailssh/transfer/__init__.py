"""The verbs of the command that bring whole set-ups in and out: those of other programs, those of other hosts."""
