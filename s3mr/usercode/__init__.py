"""A user's code: where it is, bundled, imported, its parameters and its tracebacks."""
