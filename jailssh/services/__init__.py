"""What else runs on the host: sshd, PAM, systemd's units and slices, mail, cron and at, sessions."""
