"""The borg plugin."""
