"""Explain the error if the package was built for another Python or processor. Import this before anything else."""

try:
    import pydantic_core  # noqa: F401 - a compiled module that every handler needs anyway
except ImportError as error:
    import platform

    raise ImportError(
        f"this package was not built for Python {platform.python_version()} on {platform.machine()}: pass the same "
        "Runtime and Architecture to sam build and sam deploy"
    ) from error
