"""The host as it is: accounts, processes, the journal, the clock, programs.  It, files and services change it."""
