"""Implement the ports with AWS services."""
