"""The ports on this machine's files."""
