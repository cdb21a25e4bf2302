"""Changes of several steps that are made whole or not at all, and how they are taken back."""
