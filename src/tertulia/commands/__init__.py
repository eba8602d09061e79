"""The commands, a file each: what can be said, and what is done then."""
