"""The contract of `Parallel`, `Clock` and `Entropy`: the machine's own, and those for tests."""

import threading
from collections.abc import Iterator

import pytest

from s3mr.adapters.system import InTurn, SystemClock, SystemEntropy, Threads
from s3mr.ports import Clock, Entropy, Parallel
from tests.world import CountingEntropy, ManualClock


@pytest.fixture(params=[Threads(threads_max=4), InTurn()], ids=["threads", "in turn"])
def parallel(request: pytest.FixtureRequest) -> Parallel:
    return request.param  # type: ignore[no-any-return]


def test_results_come_in_the_order_of_the_items(parallel: Parallel) -> None:
    assert list(parallel.map(lambda number: number * number, range(50), width=4)) == [n * n for n in range(50)]
    assert list(parallel.map(str, [], width=4)) == []


def test_an_error_is_raised_at_its_position(parallel: Parallel) -> None:
    results = parallel.map(lambda number: 10 // number, [5, 2, 0, 1], width=4)
    assert [next(results), next(results)] == [2, 5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_are_not_taken_further_ahead_than_the_width(parallel: Parallel) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = parallel.map(str, items(), width=4)
    for number in range(10):
        assert next(results) == str(number)
        assert len(taken) <= number + 4


def test_calls_in_threads_overlap() -> None:
    meeting = threading.Barrier(3, timeout=30)
    assert len(list(Threads(threads_max=3).map(lambda _: meeting.wait(), range(3), width=3))) == 3


def test_all_calls_have_ended_when_an_error_is_raised() -> None:
    begun, failed, over = threading.Event(), threading.Event(), threading.Event()

    def call(number: int) -> None:
        if number == 0:
            begun.wait(30)
            failed.set()
            raise ZeroDivisionError
        begun.set()
        failed.wait(30)
        over.wait(0.2)  # longer than the error takes to arrive
        over.set()

    with pytest.raises(ZeroDivisionError):
        list(Threads(threads_max=2).map(call, range(2), width=2))
    assert over.is_set()


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_time_passes_during_a_sleep(clock: Clock) -> None:
    before = clock.now()
    clock.sleep(0.01)
    assert clock.now() >= before + 0.009


@pytest.mark.parametrize("entropy", [SystemEntropy(), CountingEntropy()])
def test_entropy_returns_as_many_digits_as_requested_and_never_repeats(entropy: Entropy) -> None:
    drawn = [entropy.hex(16) for _ in range(100)]
    assert all(len(one) == 16 and set(one) <= set("0123456789abcdef") for one in drawn)
    assert len(set(drawn)) == 100
    assert len(entropy.hex(7)) == 7
