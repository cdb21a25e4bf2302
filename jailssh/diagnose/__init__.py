"""Why something is allowed or denied, what looks wrong, and what would change it."""
