"""The hg plugin."""
