"""Why can an account not log in, and what is wrong with this host: looked at without changing anything."""
