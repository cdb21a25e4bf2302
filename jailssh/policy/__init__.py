"""What an account may run: the rule grammar and the seccomp filter. Compiled here, enforced by the login program."""
