"""The git plugin."""
