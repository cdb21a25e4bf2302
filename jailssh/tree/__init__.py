"""Stand-alone trees: from jailspecs to a directory that the administrator names."""
