"""The svn plugin."""
