"""What an administrator writes about a jail's content: jailspec files and jk_init sections, read into statements.

Nothing is read but the files named, through a function of the caller's; see ``README.md`` for the language.
"""
