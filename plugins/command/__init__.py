"""The command plugin."""
