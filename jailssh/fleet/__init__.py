"""One description of many hosts: made into a signed bundle, of which each host takes its own part."""
