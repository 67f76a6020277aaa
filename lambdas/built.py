"""Imported before all else: a package that was built for another Python or processor says so, and what to do."""

try:
    import pydantic_core  # noqa: F401 - compiled, and needed by every handler anyway
except ImportError as error:
    import platform

    raise ImportError(
        f"this package was not built for Python {platform.python_version()} on {platform.machine()}: give sam build "
        "and sam deploy the same Runtime and Architecture"
    ) from error
