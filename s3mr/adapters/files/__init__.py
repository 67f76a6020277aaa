"""Implement the ports with this machine's files."""
