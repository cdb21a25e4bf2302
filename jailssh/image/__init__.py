"""The immutable trees that jails show: made from a manifest, kept in one pool, with their generations."""
