"""Read inputs from files and from S3: each name is passed to the adapter for it."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

from s3mr.adapters import input_names
from s3mr.adapters.aws.s3_uri import is_foreign, is_s3
from s3mr.adapters.input_names import Candidate
from s3mr.errors import RequestError
from s3mr.model.plan import InputObject
from s3mr.ports import Found, Inputs


class ExpandingInputs(Inputs, Protocol):
    """Inputs that can expand one argument at a time."""

    def expand(self, argument: str) -> Iterator[Candidate]:
        """Yield the candidates for one argument."""


class AnyInputs:
    """Finds and reads files and S3 objects. It calls ``s3_factory`` only when the first ``s3://`` name comes."""

    def __init__(self, local: ExpandingInputs, s3_factory: Callable[[], ExpandingInputs]) -> None:
        self._local = local
        self._s3_factory = s3_factory

    def find(self, arguments: Sequence[str]) -> Found:
        """Expand all arguments, in order.

        Raises:
            RequestError: an argument matches nothing, names something that cannot be read, or there are no inputs.
        """
        return input_names.collect(arguments, self._expand)

    def look_up(self, source: str) -> InputObject | None:
        """Return the object with exactly this name, as it is now."""
        return self._of(source).look_up(source)

    def stream(self, source: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes ``[start, stop)`` of ``source``."""
        return self._of(source).stream(source, etag=etag, start=start, stop=stop)

    def _expand(self, argument: str) -> Iterator[Candidate]:
        if is_foreign(argument) and not os.path.lexists(argument.partition("/")[0]):  # no folder has such a name
            raise RequestError(f"not an input: {argument}; name a file, a folder, a glob or s3://bucket/prefix/")
        return self._of(argument).expand(argument)

    @cached_property
    def _s3(self) -> ExpandingInputs:
        return self._s3_factory()

    def _of(self, source: str) -> ExpandingInputs:
        return self._s3 if is_s3(source) else self._local
