"""Real logins on loopback: what a jail must allow works, and what it must deny does not."""
