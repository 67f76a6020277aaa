"""Commit a job: publish the winners' parts as its output, all or none (design: "Commit").

`prepare` checks that every task has a winner, and balances the books. Then tick writes phase COMMITTING, the point of
no return. `complete` only goes forward from a cursor. If it dies, it can be repeated.
"""

from collections.abc import Callable, Iterable, Iterator

from s3mr import limits
from s3mr.batching import batched
from s3mr.coordinator.barrier import MapAudit, read_books
from s3mr.coordinator.sweep import discard_uploads
from s3mr.errors import InvariantError
from s3mr.model.job import JobState, Phase
from s3mr.model.manifest import Books, Part
from s3mr.model.statistics import Counters
from s3mr.model.success import PartEntry, Success
from s3mr.ports import JobStore, ObjectStore, Output, Parallel

COMPLETE_WIDTH = 16  # uploads completed at once


def prepare(job: JobState, store: JobStore, objects: ObjectStore) -> Counters:
    """Check that every task of the last phase has a winner, and return the sum of their counters.

    Raises:
        UserCodeError: map tasks of a job without reduce yielded keys of different types.
        InvariantError: a task has no winner, or a reducer did not read what the maps wrote for it.
    """
    winners = store.all_manifests(job, job.spec.last_phase)
    if job.spec.last_phase is Phase.MAP:
        audit = MapAudit(job.spec)
        for _ in audit.watch(winners):
            pass
        return audit.balance()
    counters, seen = Counters(), 0
    for one, expected in zip(winners, read_books(job.spec, objects), strict=False):
        if one.task != seen:
            break
        seen += 1
        if one.books != expected:
            raise InvariantError(_unbalanced(one.task, expected, one.books))
        counters += one.counters
    if seen != job.spec.reducers:
        raise InvariantError(f"reduce task {seen} of {job.spec.reducers} has no winner at the commit")
    return counters


def complete(
    job: JobState,
    store: JobStore,
    objects: ObjectStore,
    output: Output,
    parallel: Parallel,
    *,
    save_cursor: Callable[[int], object],
) -> None:
    """Complete the winners' parts from the job's cursor on, abort all other uploads, and publish ``_SUCCESS``.

    Raises:
        InvariantError: a part is lost, another object has its name, or another job commits to the output.
    """
    output.begin_commit()
    winners: dict[str, PartEntry] = {}  # all winners, by upload, so that the table is read only once
    left = (part for number, part in enumerate(_noted(winning_parts(job, store), winners)) if number >= job.cursor)
    done = job.cursor
    for batch in batched(left, limits.COMMIT_BATCH):
        for _ in parallel.map(output.complete, batch, width=COMPLETE_WIDTH):
            done += 1
        if done < job.spec.tasks(job.spec.last_phase):
            save_cursor(done)
    discard_uploads(objects, output, job.spec, completed=winners, last=False)
    parts = winners.values()
    output.publish(success(job, parts), frozenset(part.name for part in parts))


def winning_parts(job: JobState, store: JobStore) -> Iterator[Part]:
    """Return the parts of all tasks that have a winner, in order."""
    return (one.part for one in store.all_manifests(job, job.spec.last_phase) if one.part is not None)


def success(job: JobState, parts: Iterable[PartEntry]) -> bytes:
    """Return the content of ``_SUCCESS``. It depends only on the job and its winners, so it can be written again."""
    return Success.of(job.spec.job_id, job.counters, parts).encode()


def _noted(parts: Iterable[Part], winners: dict[str, PartEntry]) -> Iterator[Part]:
    """Yield ``parts`` unchanged, and add the ``_SUCCESS`` entry of each to ``winners``."""
    for part in parts:
        winners[part.upload] = PartEntry.of(part)
        yield part


def _unbalanced(task: int, expected: Books, read: Books | None) -> str:
    return f"reduce task {task} read {read or 'nothing'} from the shuffle, but the map tasks wrote {expected} for it"
