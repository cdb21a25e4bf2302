"""Sessions that run now: seen in the kernel's own tables, ended."""
