"""A host's configuration, keys and accounts as one readable archive, and what it becomes on another host."""
