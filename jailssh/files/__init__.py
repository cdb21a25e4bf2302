"""Files that root changes in places that others can write to: by descriptor, atomically, without following links."""
