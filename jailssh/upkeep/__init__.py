"""Images later on: they follow the host's packages, are audited, mended and listed."""
