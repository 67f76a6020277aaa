"""The check of the books before the commit reports every way in which they do not balance, and only those."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from s3mr.api import Job
from s3mr.coordinator.commit import prepare
from s3mr.errors import InvariantError, UserCodeError
from s3mr.model.job import JobState, Phase
from s3mr.model.manifest import Books, Manifest
from s3mr.ports import JobStore
from tests.unit.word_count import WORD_COUNT, words, world
from tests.world import World

Change = Callable[[list[Manifest]], object]


class Winners:
    """A table with only these winners."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self._manifests = manifests

    def all_manifests(self, _job: JobState, _phase: Phase) -> Iterator[Manifest]:
        return iter(self._manifests)


def last_winners(job: Job) -> tuple[World, list[Manifest]]:
    """Return a job whose last task has just won, and the winners of its last phase."""
    one = world(job)
    state = one.submit()
    while True:
        winners = list(one.real_store.all_manifests(state, state.spec.last_phase))
        if len(winners) == state.spec.tasks(state.spec.last_phase):
            return one, winners
        one.tick()
        one.work()


def prepared(job: Job, change: Change = lambda _winners: None) -> int:
    """Prepare the commit after ``change`` has changed some winners; return the number of output records."""
    one, winners = last_winners(job)
    change(winners)
    return prepare(one.state(), cast("JobStore", Winners(winners)), one.real_objects).records_out


def read(winners: list[Manifest], **books: int) -> None:
    """Make the second reducer report that it read more."""
    books_of_task = winners[1].books
    assert books_of_task is not None
    winners[1] = winners[1].model_copy(update={"books": books_of_task + Books(**books)})


def consumed(winners: list[Manifest], more_bytes: int) -> None:
    """Make a map task report that it consumed other bytes."""
    counters = winners[0].counters
    more = counters.model_copy(update={"bytes_in": counters.bytes_in + more_bytes})
    winners[0] = winners[0].model_copy(update={"counters": more})


@pytest.mark.parametrize("job", [WORD_COUNT, Job(map=words)], ids=["with reduce", "without"])
def test_correct_books_balance_and_their_counters_are_those_of_the_winners(job: Job) -> None:
    _, winners = last_winners(job)
    assert prepared(job) == sum(one.counters.records_out for one in winners) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda winners: read(winners, records=1), "reduce task 1 read"),
        (lambda winners: read(winners, checksum=1), "reduce task 1 read"),
        (lambda winners: winners.__setitem__(1, winners[1].model_copy(update={"books": None})), "task 1 read nothing"),
        (lambda winners: winners.pop(), "reduce task 2 of 3 has no winner"),
        (lambda winners: winners.pop(1), "reduce task 1 of 3 has no winner"),
        (lambda winners: winners.clear(), "reduce task 0 of 3 has no winner"),
    ],
)
def test_a_reducer_that_is_missing_or_did_not_read_all_its_input_stops_the_commit(change: Change, message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        prepared(WORD_COUNT, change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda winners: consumed(winners, 1), "map tasks read"),
        (lambda winners: consumed(winners, -1), "map tasks read"),
        (lambda winners: winners.pop(), "map tasks have a winner"),
    ],
)
def test_an_input_byte_read_twice_or_never_stops_the_commit_of_a_job_without_reduce(
    change: Change, message: str
) -> None:
    with pytest.raises(InvariantError, match=message):
        prepared(Job(map=words), change)


def test_winners_with_two_types_of_keys_stop_the_commit() -> None:
    def retyped(winners: list[Manifest]) -> None:
        winners[:2] = [
            one.model_copy(update={"key_type": key_type})
            for one, key_type in zip(winners, ("int", "str"), strict=False)
        ]

    with pytest.raises(UserCodeError, match="mixed types"):
        prepared(Job(map=words), retyped)
