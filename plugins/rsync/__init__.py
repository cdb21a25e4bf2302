"""The rsync plugin."""
