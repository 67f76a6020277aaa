"""Handle a user's code: find, bundle and import it, pass its parameters, format its tracebacks."""
