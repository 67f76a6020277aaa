"""Implement the ports: with AWS services through boto3, with this machine's files, and as fakes in memory."""
