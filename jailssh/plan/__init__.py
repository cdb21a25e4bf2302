"""The contract between the planes: the plan's verbs, its encoding, and the pure compiler that makes it."""
