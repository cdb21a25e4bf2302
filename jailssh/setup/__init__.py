"""The set-up of the host: group, directories, drop-in, PAM, the proof of a login, and what stays open beside a jail."""
