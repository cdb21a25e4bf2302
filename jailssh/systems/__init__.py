"""Whole systems in jails: made, started, listed, entered, stopped and removed, each with an init of its own."""
