"""What a program needs: found on the host as its loader would find it, written down in a manifest."""
