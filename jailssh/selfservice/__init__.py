"""Self-service: what accounts in jails ask to be changed of themselves, judged by the administrator's rules."""
