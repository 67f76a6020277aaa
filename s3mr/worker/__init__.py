"""One attempt, from request to report."""
