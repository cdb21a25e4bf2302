"""The sftp plugin."""
