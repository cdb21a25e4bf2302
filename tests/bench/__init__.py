"""The benchmark: jailssh beside plain programs, Jailkit and bubblewrap, as ratios of medians taken in one run."""
