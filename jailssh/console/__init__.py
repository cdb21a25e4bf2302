"""The command's own process: entry point, output, what every verb gets."""
