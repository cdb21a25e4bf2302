"""The restic plugin."""
