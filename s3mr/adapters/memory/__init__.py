"""Honest fakes of the ports, in memory."""
