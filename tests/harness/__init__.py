"""What the root and sshd tests share: a client that speaks real SSH, the probe, and the fixtures for them."""
