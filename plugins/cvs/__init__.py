"""The cvs plugin."""
