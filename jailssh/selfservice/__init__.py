"""Self-service: what accounts in jails ask to be changed of themselves, judged and done by rules of the administrator."""
