"""What pushes in jails are told to: addresses of the administrator's, by signed requests, after the push."""
