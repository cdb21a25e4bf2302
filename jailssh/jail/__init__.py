"""What a jail is and who is in one: configuration and plugins, read to definitions."""
