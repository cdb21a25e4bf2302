"""The scp plugin."""
