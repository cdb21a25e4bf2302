"""The checks themselves, a file for each: how its facts are collected, and the pure judgement of them."""
