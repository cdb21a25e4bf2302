"""jailsshd: makes images and plans on demand for logins that have none."""
