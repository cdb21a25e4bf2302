"""The host as it is: accounts, processes, the journal, the clock, programs.  With files and services it alone changes it."""
