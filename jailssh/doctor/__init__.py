"""Why an account cannot log in, step by step, and what is wrong with this host.  Changes nothing."""
