"""The command line: parse, call, print."""

from s3mr.cli.main import main

__all__ = ["main"]
