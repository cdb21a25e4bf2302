"""The verbs of the command that start something in a jail or a tree for who calls them."""
