"""Make moto's server, in a process of tests, list its own modules once instead of at every request."""

from moto import backends


def list_modules_once() -> None:
    """Remember the answer: listing the folder takes as long as a small request."""
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
