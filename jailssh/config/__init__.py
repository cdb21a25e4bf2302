"""What the administrator writes: the settings, their reader, and how they combine.  Gets text, reads no file."""
