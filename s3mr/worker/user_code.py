"""Calls of the user's functions, and what goes wrong in them, as `UserCodeError` that shows *their* traceback.

An error of ours that passes through a user's function (a read that failed while it iterated over values) stays
what it is, even where the function swallowed it: no record is dropped silently.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from s3mr import limits
from s3mr.errors import UserCodeError
from s3mr.shuffle.keys import Key
from s3mr.shuffle.partitioning import by_function, by_hash
from s3mr.shuffle.sorting import no_pair
from s3mr.shuffle.values import CONTAINERS, Value, check_value, snapshot
from s3mr.tracebacks import users_traceback


@dataclass(frozen=True, slots=True)
class Functions:
    """A job's functions, loaded. ``folder`` is where the bundle lies: tracebacks show paths relative to it."""

    map: Callable[[str, Any], Any]
    reduce: Callable[[Key, Iterator[Value]], Any] | None = None
    combine: Callable[[Key, Iterator[Value]], Any] | None = None
    partition: Callable[[Key, int], Any] | None = None
    folder: str = ""


class UserCode:
    """One task's calls of a job's functions; everything that it raises of them is a `UserCodeError`."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._record: tuple[str, Any] | None = None
        self.records = 0  # given to map so far

    def mapped(self, records: Iterable[tuple[str, Any]]) -> Iterator[Any]:
        """Yield what map yields for all ``records``, unchecked."""
        for source, record in records:
            self._record = source, record
            self.records += 1
            yield from self._results("map", self._functions.map, source, record)

    def reduced(self, key: Key, values: Iterator[Value]) -> Iterator[tuple[Any, Any]]:
        """Yield the pairs that reduce yields for one key."""
        if self._functions.reduce is None:
            raise ValueError("a job without reduce")
        watched = _Watched(values)
        for pair in self._results("reduce", self._functions.reduce, key, watched):
            if type(pair) not in (tuple, list) or len(pair) != 2:
                raise self.about(no_pair("reduce", pair), key)
            yield pair

    @property
    def combine(self) -> Callable[[Key, Iterator[Value]], Iterator[Value]] | None:
        """The job's combiner, as the shuffle calls it: yields values that can be carried."""
        return self._combined if self._functions.combine else None

    def partition(self, reducers: int) -> Callable[[Key], int]:
        """The partition of a key: the user's choice, or by hash."""
        if self._functions.partition is None:
            return by_hash(reducers)
        choose = by_function(self._functions.partition, reducers)

        def partition(key: Key) -> int:
            try:
                return choose(key)
            except UserCodeError as error:
                raise self.about(error, key) from None
            except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
                raise self._raised("partition", error, key, reducers) from None

        return partition

    def about(self, error: UserCodeError, key: Key) -> UserCodeError:
        """Say in ``error`` which key it is about."""
        error.record = error.record or _shown(key)
        return error

    def about_record(self, error: UserCodeError) -> UserCodeError:
        """Say in ``error`` which record map was given, unless it is about something else."""
        if error.source is error.record is None and self._record is not None:
            source, record = self._record
            error.source, error.record = source, _shown(record)
        return error

    def _combined(self, key: Key, values: Iterator[Value]) -> Iterator[Value]:
        watched = _Watched(values)
        for pair in self._results("combine", self._functions.combine, key, watched):
            if type(pair) not in (tuple, list) or len(pair) != 2:
                raise self.about(no_pair("combine", pair), key)
            own, value = pair
            if type(own) is not type(key) or own != key:
                raise self.about(
                    UserCodeError(
                        f"combine was given the key {_shown(key)} and yielded {_shown(own)}; "
                        "it must yield the key that it was given"
                    ),
                    key,
                )
            try:
                check_value(value)
            except UserCodeError as error:
                raise self.about(error, key) from None
            yield snapshot(value) if type(value) in CONTAINERS else value

    def _results(self, name: str, function: Any, first: Any, second: Any) -> Iterator[Any]:  # noqa: ANN401
        """Yield what ``function(first, second)`` yields."""
        try:
            results = function(first, second)
            iterable = hasattr(results, "__iter__")
            if iterable:
                yield from results
        except GeneratorExit:
            raise  # nobody wants more of its pairs
        except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
            if isinstance(second, _Watched) and second.error:
                raise second.error from None
            raise self._raised(name, error, first, second) from None
        if isinstance(second, _Watched) and second.error:
            raise second.error
        if not iterable:
            what = "None" if results is None else f"a value of type {type(results).__name__}"
            bare = UserCodeError(f"{name} returned {what}; it must return an iterable of pairs: use yield")
            raise self._located(bare, name, first, second)

    def _raised(self, name: str, error: BaseException, first: Any, second: Any) -> UserCodeError:  # noqa: ANN401
        """Return what ``error``, raised by ``function(first, second)``, is for the person who wrote it."""
        what, text = users_traceback(error, folder=self._functions.folder)
        raised = UserCodeError(f"{name} raised {what}"[: limits.FAILURE_TEXT_MAX], traceback=text)
        return self._located(raised, name, first, second)

    def _located(self, error: UserCodeError, name: str, first: Any, second: Any) -> UserCodeError:  # noqa: ANN401
        if name == "map":
            error.source, error.record = first, _shown(second)
        else:
            error.record = _shown(first)
        return error


class _Watched:
    """Values on their way to a user's function; ``error`` is what broke them off, also if it was swallowed."""

    def __init__(self, values: Iterator[Value]) -> None:
        self.error: BaseException | None = None
        self._values = self._watch(values)

    def __iter__(self) -> Iterator[Value]:
        return self._values  # a loop need not come through here for each value

    def __next__(self) -> Value:
        return next(self._values)

    def _watch(self, values: Iterator[Value]) -> Iterator[Value]:
        try:
            yield from values
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise


def _shown(value: Any) -> str:  # noqa: ANN401 - a record, a key, or whatever a function yielded for one
    """Return ``repr(value)``, cut."""
    short = value[: limits.RECORD_TEXT_MAX] if type(value) in (str, bytes) else value
    try:
        return repr(short)[: limits.RECORD_TEXT_MAX]
    except Exception:  # noqa: BLE001 - a class of the user's may fail even here
        return f"a value of type {type(value).__name__}"
