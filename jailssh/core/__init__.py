"""The words of the project: names, errors, exit codes, journal fields. No I/O."""
