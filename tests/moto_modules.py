"""Make moto's server, in a process of tests, list its own modules once instead of at every request."""

from moto import backends


def list_modules_once() -> None:
    """Remember the answer: a sampled profile showed the listing among the highest costs of a request."""
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
