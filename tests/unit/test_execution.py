"""The execution of an attempt: results and errors of map, combine and reduce, and their reports."""

import errno
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest

from s3mr.errors import InvariantError, RequestError, TransientError, UserCodeError
from s3mr.model.job import FailureKind, Phase
from s3mr.model.manifest import unpack_pieces
from s3mr.model.report import Report
from s3mr.worker.execution import failure_report
from s3mr.worker.user_functions import Functions
from tests.unit.workshop import Cloud


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


TEXTS = [["to be or", "not to be"], [], ["be", "", "that is"]]


COUNTS = b"be\t3\nis\t1\nnot\t1\nor\t1\nthat\t1\nto\t2\n"


@pytest.mark.parametrize("layout", ["packed", "split"])
@pytest.mark.parametrize("reducers", [1, 3, 20])
@pytest.mark.parametrize("combine", [None, total])
def test_map_and_reduce_count_words(layout: str, reducers: int, combine: Any) -> None:
    cloud = Cloud(TEXTS, Functions(map=words, combine=combine, reduce=total), reducers=reducers, layout=layout)
    maps = [report.manifest for report in cloud.map_all()]
    reduces = [cloud.run(Phase.REDUCE, task).manifest for task in range(reducers)]
    lines = sorted(b"".join(cloud.output.parts.values()).splitlines(keepends=True))
    assert b"".join(lines) == COUNTS
    pieces = [list(unpack_pieces(each.pieces)) for each in maps if each and each.pieces]
    for partition, manifest in enumerate(reduces):
        assert manifest is not None
        assert manifest.books is not None
        assert manifest.books.records == sum(each[partition].records for each in pieces)
        assert manifest.books.checksum == sum(each[partition].crc32c for each in pieces) % 2**32
        assert manifest.part is not None
        assert manifest.part.name == f"part-{partition:05}"
        assert manifest.duration_s == manifest.counters.busy_s == 1.0
        assert manifest.counters.records_out == manifest.part.records
    first = maps[0]
    assert first is not None
    assert (first.counters.records_in, first.counters.bytes_in, first.counters.pairs_mapped) == (2, 19, 6)
    assert (first.key_type, maps[1] and maps[1].key_type) == ("str", None)


def test_a_map_task_without_pairs_stores_nothing() -> None:
    cloud = Cloud([[]], Functions(map=words, reduce=total))
    cloud.map_all()
    assert [key for key in cloud.store.objects if key.startswith("jobs/")] == []


@pytest.mark.parametrize(("layout", "objects"), [("packed", 1), ("split", 4)])
def test_objects_are_named_after_their_worker(layout: str, objects: int) -> None:
    cloud = Cloud([["a b c d e f g h i j k"]], Functions(map=words, reduce=total), reducers=4, layout=layout)
    cloud.run(Phase.MAP, 0)
    cloud.run(Phase.MAP, 0)
    names = [f"jobs/job/map/worker-{worker:016x}-0" for worker in (1, 2)]
    assert all(sum(key.startswith(name) for key in cloud.store.objects) == objects for name in names)


def test_a_job_without_reduce_writes_the_pairs_as_emitted() -> None:
    cloud = Cloud(TEXTS, Functions(map=words), reducers=0)
    report = cloud.run(Phase.MAP, 0)
    assert report.manifest is not None
    assert report.manifest.part is not None
    assert report.manifest.counters.records_out == 6
    assert cloud.output.parts == {"part-00000": b"to\t1\nbe\t1\nor\t1\nnot\t1\nto\t1\nbe\t1\n"}


def raising(_source: str, line: str) -> Iterator[tuple[str, int]]:
    yield "a", 1
    if "bad" in line:
        raise ValueError("cannot read this")


def leaving(_source: str, _line: str) -> Iterator[tuple[str, int]]:
    raise SystemExit(3)


def of_record(result: Any) -> Callable[[str, str], Any]:
    return lambda _source, line: result if line == "bad" else ()


class Broken:
    def __iter__(self) -> Iterator[int]:
        raise LookupError("no such column")


WRONG_IN_ANY_JOB = [
    (of_record([Broken()]), "map yielded a value of type Broken"),
    (raising, "map raised ValueError: cannot read this"),
    (leaving, "map raised SystemExit: 3"),
    (lambda _line: (), "map raised TypeError"),
    (of_record(None), "map returned None; it must return an iterable of pairs"),
    (of_record(7), "map returned a value of type int"),
    (of_record(["ab"]), "map yielded 'ab'"),
    (of_record([(1, 2, 3)]), "tuple of 3"),
]


WRONG_IN_A_SHUFFLE = [
    (of_record([("a", {1})]), "sorted"),
    (of_record([(None, 1)]), "NoneType"),
    (of_record([("a", 1), (1, 1)]), "mixed types"),
]


@pytest.mark.parametrize(
    ("function", "message", "reducers"),
    [(*wrong, 3) for wrong in WRONG_IN_ANY_JOB + WRONG_IN_A_SHUFFLE] + [(*wrong, 0) for wrong in WRONG_IN_ANY_JOB],
)
def test_an_error_in_map_is_reported_with_source_and_record(function: Any, message: str, reducers: int) -> None:
    lines = ["good", "bad", "good"] if function is not leaving else ["bad"]
    lines = ["bad"] if "TypeError" in message else lines
    cloud = Cloud([lines], Functions(map=function, reduce=total if reducers else None), reducers=reducers)
    failure = cloud.run(Phase.MAP, 0).failure
    assert failure is not None
    assert failure.kind is FailureKind.USER
    assert message in failure.message
    assert (failure.source, failure.record) == ("input.txt", "'bad'")
    assert (failure.phase, failure.task, failure.attempt) == (Phase.MAP, 0, 2)
    assert cloud.output.parts == {}
    assert cloud.output.abandoned == ([] if reducers else ["part-00000"])


def test_a_traceback_shows_only_the_users_frames_with_paths_in_the_bundle() -> None:
    cloud = Cloud([["bad"]], Functions(map=raising, reduce=total, folder=__file__.rpartition("/")[0]))
    failure = cloud.run(Phase.MAP, 0).failure
    assert failure is not None
    assert failure.traceback is not None
    lines = failure.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(",")[0].strip() for line in lines if "File" in line] == ['File "test_execution.py"']
    assert lines[-1] == "ValueError: cannot read this"


@pytest.mark.parametrize(
    ("combine", "message"),
    [
        (lambda _key, values: [("other", sum(values))], "must yield the key that it was called with"),
        (lambda _key, values: [sum(values)], "combine yielded 2"),
        (lambda key, _values: [(key, {1})], "sorted"),
        (lambda _key, _values: None, "combine returned None"),
        (lambda _key, values: [("b", sum(values) // 0)], "combine raised ZeroDivisionError"),
    ],
)
def test_an_error_in_combine_is_reported_with_its_key(combine: Any, message: str) -> None:
    cloud = Cloud([["a a"]], Functions(map=words, combine=combine, reduce=total))
    failure = cloud.run(Phase.MAP, 0).failure
    assert failure is not None
    assert (failure.kind, failure.record) == (FailureKind.USER, "'a'")
    assert message in failure.message


@pytest.mark.parametrize(
    ("partition", "message"),
    [(lambda _key, reducers: reducers, "from 0 to 2"), (lambda _key, _reducers: 1 // 0, "partition raised Zero")],
)
def test_an_error_in_partition_is_reported_with_its_key(partition: Any, message: str) -> None:
    cloud = Cloud([["a"]], Functions(map=words, partition=partition, reduce=total))
    failure = cloud.run(Phase.MAP, 0).failure
    assert failure is not None
    assert (failure.kind, failure.record) == (FailureKind.USER, "'a'")
    assert message in failure.message


def test_a_users_partition_is_called_once_for_many_pairs_of_a_key() -> None:
    asked = []

    def partition(key: str, reducers: int) -> int:
        asked.append(key)
        return len(key) % reducers

    Cloud([["a bb a a bb"] * 100], Functions(map=words, partition=partition, reduce=total)).map_all()
    assert len(asked) <= 200  # for each batch of records


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda key, _values: [(key, 1 // 0)], "reduce raised ZeroDivisionError"),
        (lambda _key, _values: None, "reduce returned None"),
        (lambda key, _values: [key], "reduce yielded 'a'"),
    ],
)
def test_an_error_in_reduce_is_reported_with_its_key_and_leaves_no_part(function: Any, message: str) -> None:
    cloud = Cloud([["a"]], Functions(map=words, reduce=function), reducers=1)
    cloud.map_all()
    failure = cloud.run(Phase.REDUCE, 0).failure
    assert failure is not None
    assert (failure.kind, failure.record) == (FailureKind.USER, "'a'")
    assert message in failure.message
    assert (cloud.output.parts, cloud.output.abandoned) == ({}, ["part-00000"])


@pytest.mark.parametrize("words_count", [3, 60_000])
@pytest.mark.parametrize("place", [-1, 10, 50])
def test_a_damaged_piece_is_reported_with_its_name(words_count: int, place: int) -> None:
    line = " ".join(f"{number * 2654435761 % 2**64:x}" for number in range(words_count))
    cloud = Cloud([[line]], Functions(map=words, reduce=total), reducers=1)
    cloud.map_all()
    (name,) = [key for key in cloud.store.objects if key.startswith("jobs/")]
    damaged = bytearray(cloud.store.objects[name])
    assert (len(damaged) > 256 * 1024) == (words_count > 3)  # streamed, or read whole
    damaged[place] ^= 1
    cloud.store.objects[name] = bytes(damaged)
    failure = cloud.run(Phase.REDUCE, 0).failure
    assert failure is not None
    assert failure.kind is FailureKind.INVARIANT
    assert name in failure.message
    assert cloud.output.abandoned == ["part-00000"]


def test_a_reduce_that_reads_no_values_still_counts_all_records() -> None:
    cloud = Cloud(TEXTS, Functions(map=words, reduce=lambda key, _values: [(key, 0)]), reducers=1)
    cloud.map_all()
    manifest = cloud.run(Phase.REDUCE, 0).manifest
    assert manifest is not None
    assert manifest.books is not None
    assert manifest.books.records == 9


@pytest.mark.parametrize(
    ("error", "kind", "words_in_it"),
    [
        (UserCodeError("x"), FailureKind.USER, "x"),
        (RequestError("x"), FailureKind.REQUEST, "x"),
        (TransientError("x"), FailureKind.TRANSIENT, "x"),
        (InvariantError("x"), FailureKind.INVARIANT, "x"),
        (OSError(errno.ENOSPC, "full"), FailureKind.REQUEST, "TMPDIR"),
        (MemoryError(), FailureKind.CRASH, "--memory"),
    ],
)
def test_each_error_becomes_the_failure_that_the_coordinator_acts_on(
    error: Exception, kind: FailureKind, words_in_it: str
) -> None:
    def away() -> BinaryIO:
        raise error

    cloud = Cloud([["a"]], Functions(map=words, reduce=total))
    cloud.scratch = away
    failure = cloud.run(Phase.MAP, 0).failure
    assert failure is not None
    assert failure.kind is kind
    assert words_in_it in failure.message


def test_an_attempt_that_starts_too_late_for_its_lease_does_nothing() -> None:
    cloud = Cloud([["a"]], Functions(map=words, reduce=total))
    report = cloud.run(Phase.MAP, 0, start_by=0.5)
    assert report.failure is not None
    assert report.failure.kind is FailureKind.NO_ROOM
    assert not cloud.store.objects


def test_an_error_that_cannot_be_put_into_a_report_ends_the_worker() -> None:
    cloud = Cloud([["a"]], Functions(map=words, reduce=total))
    request = cloud.request(Phase.MAP, 0)
    with pytest.raises(LookupError, match="ours"):
        failure_report(request, worker=None, error=LookupError("ours"))


def test_a_failed_system_call_is_a_crash_that_may_succeed_on_another_worker() -> None:
    cloud = Cloud([["a"]], Functions(map=words, reduce=total))
    request = cloud.request(Phase.MAP, 0)
    failure = failure_report(request, worker=None, error=OSError(errno.EMFILE, "too many")).failure
    assert failure is not None
    assert failure.kind is FailureKind.CRASH
    assert "too many" in failure.message


def test_long_and_unprintable_texts_are_shortened_to_fit_into_a_report() -> None:
    def shouting(_source: str, _line: str) -> Iterator[tuple[str, int]]:
        raise ValueError("\udcff" + "x" * 100_000)

    cloud = Cloud([["\udcff" * 1000]], Functions(map=shouting, reduce=total))
    report = cloud.run(Phase.MAP, 0)
    assert report.failure is not None
    assert len(report.failure.message) <= 8000
    assert Report.model_validate_json(report.model_dump_json()) == report
