"""Built-in reducers give the same result, folded and merged, as the plain function over all values."""

import json
import math
import statistics
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3mr import Job, reducers
from s3mr.errors import RequestError
from s3mr.model.job import FailureKind, Phase
from s3mr.reducers import Reducer
from s3mr.worker.user_functions import Functions
from tests.unit.workshop import Cloud

numbers = st.integers() | st.integers(-3, 3) | st.floats(-1e290, 1e290) | st.booleans()
texts = st.text("abcé", max_size=3)
ANY: list[tuple[Reducer, Any]] = [
    (reducers.total, numbers),
    (reducers.count, numbers | texts | st.none() | st.lists(numbers, max_size=2)),
    (reducers.minimum, numbers | st.just(math.nan)),
    (reducers.minimum, texts),
    (reducers.maximum, numbers | st.just(math.nan)),
    (reducers.maximum, st.lists(texts, max_size=3)),
    (reducers.mean, numbers),
    (reducers.first, numbers | texts | st.none()),
    (reducers.top(1), numbers),
    (reducers.top(3), texts),
    (reducers.distinct, numbers | texts | st.none() | st.just(math.nan)),
]
cases = st.sampled_from(ANY).flatmap(
    lambda case: st.tuples(
        st.just(case[0]), st.lists(st.lists(st.tuples(st.sampled_from("ab"), case[1]), max_size=20), max_size=4)
    )
)


def given_pairs(_source: str, line: str) -> Iterator[tuple[str, Any]]:
    yield from map(tuple, json.loads(line))


def run(reducer: Any, tasks: list[list[tuple[str, Any]]], *, memory_bytes: int) -> bytes:
    """Run the job with one line per task, and return its output."""
    lines = [[json.dumps(pairs)] for pairs in tasks]
    cloud = Cloud(lines, Functions(map=given_pairs, reduce=reducer), reducers=1)
    cloud.spec = cloud.spec.model_copy(update={"memory_bytes": memory_bytes})
    cloud.map_all()
    report = cloud.run(Phase.REDUCE, 0)
    assert report.failure is None, report.failure
    return b"".join(cloud.output.parts.values())


@given(cases, st.sampled_from([2_500, 2**24]))
def test_folding_gives_the_same_result_as_the_plain_function(case: tuple[Reducer, Any], memory_bytes: int) -> None:
    reducer, tasks = case

    def plain(key: str, values: Iterator[Any]) -> Iterator[tuple[str, Any]]:
        return reducer(key, values)

    assert run(reducer, tasks, memory_bytes=memory_bytes) == run(plain, tasks, memory_bytes=2**24)


@given(st.lists(numbers, min_size=1))
def test_the_plain_functions_agree_with_python(values: list[Any]) -> None:
    def of(reducer: Reducer) -> Any:
        ((key, result),) = reducer("k", iter(values))
        assert key == "k"
        return result

    exact = sum(map(Fraction, values))
    assert of(reducers.count) == len(values)
    assert of(reducers.minimum) == min(values)
    assert of(reducers.maximum) == max(values)
    assert of(reducers.first) is values[0]
    assert of(reducers.top(2)) == sorted(values, reverse=True)[:2]
    assert of(reducers.distinct) == list(dict.fromkeys(values))
    if all(type(value) is not float for value in values):
        assert of(reducers.total) == exact
        assert of(reducers.mean) == sum(values) / len(values)
    else:
        assert of(reducers.total) == float(exact)
        assert of(reducers.mean) == pytest.approx(float(statistics.mean(map(Fraction, values))), rel=1e-15, abs=5e-324)


def test_floats_are_added_without_intermediate_rounding() -> None:
    assert list(reducers.total("k", [1e16, 1.0, -1e16, 0.1])) == [("k", 1.1)]
    assert (
        run(reducers.total, [[("k", 1e16)], [("k", 1.0)], [("k", -1e16), ("k", 0.1)]], memory_bytes=2**24)
        == b"k\t1.1\n"
    )
    assert list(reducers.total("k", [2**53 + 1, 1.0])) == [("k", 2.0**53 + 2)]
    assert run(reducers.total, [[("k", math.inf)], [("k", -math.inf)]], memory_bytes=2**24) == b"k\tNaN\n"


def test_a_job_with_a_reducer_sends_one_state_per_key_and_task() -> None:
    cloud = Cloud([['[["a",1]]'] * 1000] * 2, Functions(map=given_pairs, reduce=reducers.mean), reducers=1)
    assert [report.manifest and report.manifest.counters.shuffle_records for report in cloud.map_all()] == [1, 1]


@pytest.mark.parametrize(
    ("reducer", "value", "message"),
    [
        (reducers.total, "a", "only int and float can be added up, not str"),
        (reducers.mean, None, "only int and float can be added up, not NoneType"),
        (reducers.distinct, [1], "reduce raised TypeError: unhashable"),
        (reducers.top(2), math.nan, "NaN has no order"),
        (Reducer("r", set, set), 1, "which cannot be serialized"),
        (Reducer("r", lambda values: [values] * 1_000_000, list), 1, "raise --memory"),
    ],
)
def test_values_that_a_reducer_cannot_handle_are_an_error_with_their_key(
    reducer: Reducer, value: Any, message: str
) -> None:
    cloud = Cloud([[json.dumps([("k", value)])]], Functions(map=given_pairs, reduce=reducer), reducers=1)
    failure = cloud.run(Phase.MAP, 0).failure
    assert failure is not None
    assert (failure.kind, failure.record) == (FailureKind.USER, "'k'")
    assert message in failure.message


def test_a_reducer_cannot_be_a_combiner_because_its_results_are_not_values() -> None:
    with pytest.raises(RequestError, match="remove combine"):
        Job(map=given_pairs, combine=reducers.count, reduce=reducers.total)
    assert repr(Job(map=given_pairs, reduce=reducers.top(3)).reduce) == "s3mr.reducers.top(3)"
    with pytest.raises(ValueError, match="at least one"):
        reducers.top(0)


def test_a_reducer_with_a_users_combiner_is_a_plain_function() -> None:
    functions = Functions(map=given_pairs, combine=lambda key, values: [(key, max(values))], reduce=reducers.count)
    cloud = Cloud([['[["a",1],["a",2]]']] * 3, functions, reducers=1)
    cloud.map_all()
    cloud.run(Phase.REDUCE, 0)
    assert cloud.output.parts == {"part-00000": b"a\t3\n"}
