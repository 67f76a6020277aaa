"""Fake the ports in memory, with the behavior of the real services."""
