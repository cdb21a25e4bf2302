"""Configuration made effective: plans and keys where sshd and the login program read them."""
