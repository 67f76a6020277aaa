"""Call the user's functions, and raise their errors as `UserCodeError` with the user's own traceback.

An error of s3mr that passes through a user's function (such as a failed read while it iterates over values) is raised
unchanged, even if the function swallows it. So no record is lost silently.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple

from s3mr import limits
from s3mr.errors import UserCodeError
from s3mr.formats.output_lines import format_pair, format_pairs
from s3mr.quantities import format_size
from s3mr.reducers import Reducer
from s3mr.shuffle.external_sort import Group, TrackedValues
from s3mr.shuffle.group_buffer import Combine, Folding
from s3mr.shuffle.key_types import Key
from s3mr.shuffle.pair_buffer import FillError, as_pair
from s3mr.shuffle.partitioning import Partition, by_function, by_hash
from s3mr.shuffle.sort_buffer import SortBuffer
from s3mr.shuffle.value_types import Value, check_value, sized_snapshot
from s3mr.usercode.tracebacks import users_traceback
from s3mr.worker.part_lines import Lines

_LINES: Final = 256  # lines formatted in one call
_SHORT: Final = 1024  # characters: pairs with longer keys or values are formatted one by one


@dataclass(frozen=True, slots=True)
class Functions:
    """A job's loaded functions. ``folder`` is the unpacked bundle: tracebacks show paths relative to it."""

    map: Callable[[str, Any], Any]
    reduce: Callable[[Key, Iterator[Value]], Any] | None = None
    combine: Callable[[Key, Iterator[Value]], Any] | None = None
    partition: Callable[[Key, int], Any] | None = None
    folder: str = ""


class UserCode:
    """Calls a job's functions for one task. Every error of these functions is raised as a `UserCodeError`."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._reducer = functions.reduce if isinstance(functions.reduce, Reducer) and not functions.combine else None
        self.records = 0  # passed to map so far

    def map_into(self, buffer: SortBuffer, batches: Iterable[tuple[str, Sequence[Any]]]) -> None:
        """Add to ``buffer`` the pairs that map yields for all records."""
        for source, records in batches:
            try:
                buffer.fill(source, records, self._functions.map)
            except FillError as stopped:
                call = _Call("map", source, stopped.record)
                raise self._blamed(stopped.error, call, stopped.results, raised=stopped.in_map) from None
            self.records += len(records)

    def mapped(self, batches: Iterable[tuple[str, Sequence[Any]]]) -> Iterator[Lines]:
        """Yield the pairs that map yields for all records, as lines."""
        for source, records in batches:
            yield from self._lines("map", self._functions.map, zip(repeat(source), records))
            self.records += len(records)

    def reduced(self, groups: Iterable[Group]) -> Iterator[Lines]:
        """Yield the pairs that reduce yields for all keys, as lines."""
        if (reducer := self._reducer) is None:
            return self._lines("reduce", self._functions.reduce, groups)
        return self._lines("reduce", partial(self._finished, reducer), groups)

    @property
    def combine(self) -> Combine | None:
        """The job's combiner, as the shuffle calls it."""
        return self._combined if self._functions.combine else None

    def folding(self, state_bytes_max: int) -> Folding | None:
        """How map tasks fold values, if the job uses a ready-made reducer and no combiner."""
        if (reducer := self._reducer) is None:
            return None
        fold, merge = (partial(self._folded, function, state_bytes_max) for function in (reducer.fold, reducer.merge))
        return Folding(fold, merge, reducer.step)

    def partition(self, reducers: int) -> Partition:
        """Return the job's partition function: the user's own, or by hash."""
        if self._functions.partition is None:
            return by_hash(reducers)
        choose = by_function(self._functions.partition, reducers)

        def partition(keys: Sequence[Key]) -> list[int]:
            chosen = dict.fromkeys(keys, 0)
            for key in chosen:
                try:
                    chosen[key] = choose(key)
                except UserCodeError as error:
                    raise _located(error, _Call("partition", key, reducers)) from None
                except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
                    raise self._raised(error, _Call("partition", key, reducers)) from None
            return [chosen[key] for key in keys]

        return partition

    def _lines(  # noqa: C901 - a hot loop avoids calls
        self,
        name: str,
        function: Any,  # noqa: ANN401 - the user's
        calls: Iterable[tuple[Any, Any]],
    ) -> Iterator[Lines]:
        """Yield the pairs that ``function``, called ``name`` in errors, yields for each of ``calls``, as lines.

        Short pairs are collected and formatted together. Each keeps its call, so a call with a large key or record
        flushes them.
        """
        waiting: list[tuple[Any, Any]] = []
        callers: list[tuple[Any, Any]] = []
        for call in calls:
            results: Iterable[Any] = ()
            in_function = True
            try:
                results = function(*call)
                for pair in results:
                    in_function = False
                    if type(pair) is not tuple or len(pair) != 2:
                        pair = as_pair(name, pair)  # noqa: PLW2901 - replaced by a plain tuple
                    key, value = pair
                    if (
                        type(key) is str
                        and len(key) <= _SHORT
                        and (type(value) is int or (type(value) is str and len(value) <= _SHORT))
                    ):
                        waiting.append(pair)
                        callers.append(call)
                        if len(waiting) == _LINES:
                            yield _joined(name, waiting, callers)
                    else:
                        if waiting:
                            yield _joined(name, waiting, callers)
                        yield format_pair(key, value), 1
                    in_function = True
                in_function = False
                about = call[name == "map"]
                if waiting and (type(about) is not str or len(about) > _SHORT):
                    yield _joined(name, waiting, callers)
            except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
                raise self._blamed(error, _Call(name, *call), results, raised=in_function) from None
            if type(call[1]) is TrackedValues and call[1].error:
                raise call[1].error
        if waiting:
            yield _joined(name, waiting, callers)

    def _combined(self, key: Key, values: Iterator[Value]) -> Iterator[Value]:
        """Yield the values that combine yields for one key."""
        results: Iterable[Any] = ()
        in_function = True
        try:
            results = self._functions.combine(key, values)  # type: ignore[misc] # only called if it is not None
            for pair in results:
                in_function = False
                own, value = pair if type(pair) is tuple and len(pair) == 2 else as_pair("combine", pair)
                if own is not key:
                    _check_same(key, own)
                yield value if type(value) is int else sized_snapshot(value)[1]
                in_function = True
        except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
            raise self._blamed(error, _Call("combine", key, values), results, raised=in_function) from None
        if type(values) is TrackedValues and values.error:
            raise values.error

    @staticmethod
    def _finished(reducer: Reducer, key: Key, states: Iterator[Value]) -> tuple[tuple[Key, Value]]:
        return ((key, reducer.finish(reducer.merge(list(states)))),)

    def _folded(self, function: Callable[[list[Value]], Value], bytes_max: int, key: Key, values: list[Value]) -> Value:
        try:
            state = function(values)
        except BaseException as error:  # noqa: BLE001 - the user's values can raise anything when compared or added
            raise self._raised(error, _Call("reduce", key, values)) from None
        if type(state) is int:  # not larger than the values, whose sizes were checked
            return state
        call = _Call("reduce", key, values)
        try:
            size_bytes = check_value(state)
        except UserCodeError as error:
            raise _located(error, call) from None
        if size_bytes > bytes_max:
            what = f"{self._functions.reduce!r} needs {format_size(size_bytes)} for one key"
            raise _located(UserCodeError(f"{what}: raise --memory (it may use a quarter of it)"), call)
        return state

    def _blamed(self, error: BaseException, call: "_Call", results: object, *, raised: bool) -> BaseException:
        """Return the exception to raise for ``error``, which occurred in ``call`` or while its ``results`` were read.

        ``raised`` is true if the user's function raised it.
        """
        if type(call.second) is TrackedValues and call.second.error:
            return call.second.error
        if not raised:
            return _located(error, call) if isinstance(error, UserCodeError) else error
        if hasattr(results, "__iter__"):
            return self._raised(error, call)
        what = "None" if results is None else f"a value of type {type(results).__name__}"
        refused = UserCodeError(f"{call.name} returned {what}; it must return an iterable of pairs: use yield")
        return _located(refused, call)

    def _raised(self, error: BaseException, call: "_Call") -> UserCodeError:
        """Return ``error``, which the user's function raised, with its message and the user's traceback."""
        what, text = users_traceback(error, folder=self._functions.folder)
        raised = UserCodeError(f"{call.name} raised {what}"[: limits.FAILURE_TEXT_MAX], traceback=text)
        return _located(raised, call)


class _Call(NamedTuple):
    """One call of a user's function, with its two arguments."""

    name: str
    first: Any
    second: Any


def _joined(name: str, pairs: list[tuple[Any, Any]], callers: list[tuple[Any, Any]]) -> Lines:
    """Format ``pairs`` as lines, and empty both lists."""
    lines, count = format_pairs(pairs), len(pairs)
    if lines is None:
        each = []
        for pair, call in zip(pairs, callers, strict=True):
            try:
                each.append(format_pair(*pair))
            except UserCodeError as error:
                raise _located(error, _Call(name, *call)) from None
        lines = b"".join(each)
    pairs.clear()
    callers.clear()
    return lines, count


def _check_same(key: Key, own: object) -> None:
    if type(own) is not type(key) or own != key:
        raise UserCodeError(
            f"combine was called with the key {_shown(key)} and yielded {_shown(own)}; "
            "it must yield the key that it was called with"
        )


def _located(error: UserCodeError, call: _Call) -> UserCodeError:
    """Add to ``error`` the record or key that the function was called with, unless it has one already."""
    if error.source is error.record is None:
        if call.name == "map":
            error.source, error.record = call.first, _shown(call.second)
        else:
            error.record = _shown(call.first)
    return error


def _shown(value: Any) -> str:  # noqa: ANN401 - a record, a key, or any object that a function yielded
    """Return the start of ``repr(value)``."""
    short = value[: limits.RECORD_TEXT_MAX] if type(value) in (str, bytes) else value
    try:
        return repr(short)[: limits.RECORD_TEXT_MAX]
    except Exception:  # noqa: BLE001 - the user's class may fail in `__repr__`
        return f"a value of type {type(value).__name__}"
