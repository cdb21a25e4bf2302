"""The verbs of the command that look and tell, and change nothing unless they are told to mend."""
