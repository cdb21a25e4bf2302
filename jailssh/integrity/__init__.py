"""How this host is checked: findings, the table of checks, what they share, what is kept, suppressions, reports."""
