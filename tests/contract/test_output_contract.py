"""The contract of `Output`: in memory, in a folder, on S3, and on an S3 that lists one entry at a time."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import pytest
from mypy_boto3_s3 import S3Client

from s3mr import limits
from s3mr.adapters.aws.s3_output import S3Output
from s3mr.adapters.files.folder_output import FolderOutput
from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryOutput
from s3mr.errors import InvariantError, RequestError, S3mrError, TransientError
from s3mr.model.manifest import Part
from s3mr.model.object_names import OpenedPart
from s3mr.ports import Output, PartWriter
from tests.contract.conftest import FaultyServices
from tests.contract.misbehaving import one_entry_a_page

DAY_S = 24 * 3600.0
W1, W2, W3 = "1" * 16, "2" * 16, "3" * 16


@dataclass(frozen=True)
class OutputStorage:
    """Storage for outputs: makes a job's `Output`, shows what is visible, and writes as another process would."""

    output: Callable[[str], Output]
    seen: Callable[[], dict[str, bytes]]
    meddle: Callable[[str, bytes], object]
    left_open: Callable[[], int]
    keep_uploads: Callable[[int], object]  # for this many days


def memory_place() -> OutputStorage:
    folder = MemoryFolder()
    return OutputStorage(
        output=lambda job_id: MemoryOutput(folder, job_id),
        seen=lambda: dict(folder.objects),
        meddle=folder.objects.__setitem__,
        left_open=lambda: len(folder.uploads),
        keep_uploads=lambda days: setattr(folder, "uploads_kept_s", days * DAY_S),
    )


def folder_place(target: Path) -> OutputStorage:
    def seen() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in target.iterdir()} if target.exists() else {}

    def meddle(name: str, data: bytes) -> None:
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)

    def left_open() -> int:
        return sum(1 for path in target.parent.rglob("part-*.*"))

    return OutputStorage(
        lambda job_id: FolderOutput(target, job_id), seen, meddle, left_open, keep_uploads=lambda _days: None
    )


def s3_place(client: S3Client) -> OutputStorage:
    client.put_object(Bucket="bucket", Key="out-of-the-way/part-00000", Body=b"a neighbour's")

    def seen() -> dict[str, bytes]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="out/")
        listed = [each for page in pages for each in page.get("Contents", [])]
        return {
            each["Key"].removeprefix("out/"): client.get_object(Bucket="bucket", Key=each["Key"])["Body"].read()
            for each in listed
        }

    def left_open() -> int:
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket="bucket")
        return sum(len(page.get("Uploads", [])) for page in pages)

    return OutputStorage(
        output=lambda job_id: S3Output(client, "s3://bucket/out", job_id),
        seen=seen,
        meddle=lambda name, data: client.put_object(Bucket="bucket", Key=f"out/{name}", Body=data),
        left_open=left_open,
        keep_uploads=lambda days: client.put_bucket_lifecycle_configuration(
            Bucket="bucket",
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "tidy",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days},
                    }
                ]
            },
        ),
    )


@pytest.fixture(params=["memory", "folder", "s3", "s3, entry by entry"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> OutputStorage:
    if request.param == "memory":
        return memory_place()
    if request.param == "s3, entry by entry":
        services: FaultyServices = request.getfixturevalue("services")
        services.meet(one_entry_a_page)
        return s3_place(services.s3)
    if request.param == "folder":
        return folder_place(tmp_path / "deep" / "er" / "out")
    return s3_place(request.getfixturevalue("s3"))


@pytest.fixture
def output(place: OutputStorage) -> Output:
    output = place.output("job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    return output


def begin(output: Output, name: str, *, worker: str = W1) -> PartWriter:
    return output.open_part(name, worker=worker, announce=len)


def upload(output: Output, name: str, data: bytes, *, worker: str = W1) -> Part:
    writer = begin(output, name, worker=worker)
    for byte in data:
        writer.write(bytes([byte]))
    return writer.finish(records=len(data))


def committed(output: Output, *parts: Part) -> None:
    output.begin_commit()
    for part in parts:
        output.complete(part)
    output.publish(b"{2}", {part.name for part in parts})


def of(*parts: Part) -> list[OpenedPart]:
    """Return the uploads of these parts."""
    return [OpenedPart(part.name, part.worker, part.upload) for part in parts]


def test_a_job_writes_its_parts_and_success_last(place: OutputStorage, output: Output) -> None:
    parts = [upload(output, "part-00000", b"zero"), upload(output, "part-00001", b"one", worker=W2)]
    output.begin_commit()
    for part in parts:
        output.complete(part)
    assert "_SUCCESS" not in place.seen()
    output.publish(b"{}", {"part-00000", "part-00001"})
    assert place.seen() == {"part-00000": b"zero", "part-00001": b"one", "_SUCCESS": b"{}"}
    assert place.left_open() == 0


def test_a_part_describes_what_was_written(output: Output) -> None:
    part = upload(output, "part-00003", b"content")
    assert (part.name, part.worker, part.size_bytes, part.records) == ("part-00003", W1, 7, 7)
    assert part.crc32c == google_crc32c.value(b"content")


def test_a_part_can_be_empty(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"")
    assert (part.size_bytes, part.crc32c) == (0, 0)
    output.complete(part)
    output.publish(b"{}", {"part-00000"})
    assert place.seen() == {"part-00000": b"", "_SUCCESS": b"{}"}


def test_a_part_is_not_visible_before_it_is_completed(place: OutputStorage, output: Output) -> None:
    writer = begin(output, "part-00000", worker=W1)
    writer.write(b"x")
    upload(output, "part-00001", b"y")
    assert place.seen() == {}
    writer.abandon()


def test_two_workers_can_write_the_same_part_independently(place: OutputStorage, output: Output) -> None:
    first, second = begin(output, "part-00000", worker=W1), begin(output, "part-00000", worker=W2)
    first.write(b"first")
    second.write(b"second")
    loser, winner = first.finish(records=1), second.finish(records=1)
    output.complete(winner)
    output.discard_open(of(loser))
    output.publish(b"{}", {"part-00000"})
    assert loser.upload != winner.upload
    assert place.seen()["part-00000"] == b"second"
    assert place.left_open() == 0


def test_completing_and_publishing_are_idempotent(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"content")
    for _ in range(2):
        output.begin_commit()
        output.complete(part)
    for _ in range(2):
        output.publish(b"{}", {"part-00000"})
    again = place.output("job-1")
    again.begin_commit()
    again.complete(part)
    again.publish(b"{}", {"part-00000"})
    assert place.seen() == {"part-00000": b"content", "_SUCCESS": b"{}"}


def test_an_abandoned_part_leaves_nothing(place: OutputStorage, output: Output) -> None:
    writer = begin(output, "part-00000", worker=W1)
    writer.write(b"x")
    writer.abandon()
    assert place.left_open() == 0


def test_an_upload_that_was_discarded_is_lost(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"content")
    output.discard_open(of(part))
    with pytest.raises(InvariantError, match="the upload is lost"):
        output.complete(part)
    assert place.seen() == {}


def test_a_second_winner_cannot_replace_a_completed_part(place: OutputStorage, output: Output) -> None:
    first, second = (upload(output, "part-00000", data, worker=w) for data, w in ((b"one", W1), (b"two", W2)))
    output.complete(first)
    with pytest.raises(InvariantError, match="another object is in the way"):
        output.complete(second)
    output.publish(b"{}", {"part-00000"})
    assert place.seen()["part-00000"] == b"one"


def test_uploads_are_announced_before_any_data_is_sent_to_them(place: OutputStorage, output: Output) -> None:
    told: list[str] = []
    writer = output.open_part("part-00000", worker=W1, announce=told.append)
    assert (told == []) == isinstance(output, FolderOutput)
    part = writer.finish(records=0)
    assert told in ([], [part.upload])
    output.discard_open(OpenedPart(part.name, W1, one) for one in told)
    assert place.left_open() == 0


def test_an_upload_that_cannot_be_announced_is_not_left_open(place: OutputStorage, output: Output) -> None:
    def refuse(upload: str) -> None:
        raise TransientError(upload)

    with suppress(TransientError):
        output.open_part("part-00000", worker=W1, announce=refuse).abandon()
    assert place.left_open() == 0


def test_discarding_touches_only_the_jobs_own_uploads(place: OutputStorage, output: Output) -> None:
    theirs = place.output("job-2")
    theirs.check(deadline_s=1.0)
    kept = upload(theirs, "part-00000", b"theirs")
    losers = [upload(output, "part-00000", b"loser", worker=worker) for worker in (W1, W2, W3)]
    output.discard_open(of(*losers))
    output.withdraw(losers)
    assert place.left_open() == 1
    theirs.complete(kept)
    theirs.publish(b"{}", {"part-00000"})
    assert place.seen() == {"part-00000": b"theirs", "_SUCCESS": b"{}"}


def test_discarding_is_idempotent(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"x")
    for _ in range(2):
        output.discard_open(of(part))
    output.discard_open([])
    assert place.left_open() == 0


def test_a_withdrawn_job_leaves_nothing_open_or_completed(place: OutputStorage, output: Output) -> None:
    completed, open_one = upload(output, "part-00000", b"completed"), upload(output, "part-00001", b"open")
    output.begin_commit()
    output.complete(completed)
    for _ in range(2):
        output.discard_open(of(completed, open_one))
        output.withdraw([completed, open_one])
    assert place.seen() == {}
    assert place.left_open() == 0


def test_only_one_of_two_independent_jobs_commits(place: OutputStorage, output: Output) -> None:
    theirs = place.output("job-2")
    theirs.check(deadline_s=1.0)
    mine, other = upload(output, "part-00000", b"mine"), upload(theirs, "part-00000", b"theirs")
    others = upload(theirs, "part-00001", b"more of theirs")
    output.begin_commit()
    if not isinstance(theirs, FolderOutput):  # separate staging folders: both may begin, the first to publish wins
        with pytest.raises(InvariantError):
            theirs.begin_commit()
    output.complete(mine)
    output.publish(b"{}", {"part-00000"})
    with pytest.raises(InvariantError):
        committed(theirs, other, others)
    theirs.discard_open(of(other, others))
    theirs.withdraw([other, others])
    assert place.seen() == {"part-00000": b"mine", "_SUCCESS": b"{}"}
    assert place.left_open() == 0


def test_a_part_of_another_job_is_not_published(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"ours")
    output.complete(part)
    place.meddle("part-00077", b"somebody else's")
    with pytest.raises(InvariantError):
        output.publish(b"{}", {"part-00000"})
    output.withdraw([part])
    assert place.seen() == {"part-00077": b"somebody else's"}


def test_publishing_again_after_the_end_keeps_later_objects(place: OutputStorage, output: Output) -> None:
    output.complete(upload(output, "part-00000", b"ours"))
    output.publish(b"{}", {"part-00000"})
    place.meddle("part-00077", b"somebody else's")
    output.publish(b"{}", {"part-00000"})
    assert place.seen() == {"part-00000": b"ours", "part-00077": b"somebody else's", "_SUCCESS": b"{}"}


def test_withdrawing_deletes_only_our_own_objects(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"ours")
    place.meddle("part-00000", b"another job's")
    output.withdraw([part])
    assert place.seen() == {"part-00000": b"another job's"}


def test_an_output_that_is_not_empty_is_refused(place: OutputStorage) -> None:
    place.meddle("notes.txt", b"mine")
    with pytest.raises(RequestError, match="not empty"):
        place.output("job-1").check(deadline_s=limits.DEADLINE_S)
    with pytest.raises(RequestError, match="not empty"):
        place.output("job-1").check_empty()
    assert place.seen() == {"notes.txt": b"mine"}


def test_checking_that_an_output_is_empty_creates_nothing(place: OutputStorage, tmp_path: Path) -> None:
    place.output("job-1").check_empty()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("days", [1, 3])
def test_a_job_may_take_as_long_as_open_uploads_are_kept(place: OutputStorage, days: int) -> None:
    place.keep_uploads(days)
    place.output("job-1").check(deadline_s=days * DAY_S)


def test_a_job_that_may_take_longer_than_open_uploads_are_kept_is_refused(place: OutputStorage) -> None:
    place.keep_uploads(3)
    output = place.output("job-1")
    if isinstance(output, FolderOutput):  # a folder keeps them
        output.check(deadline_s=limits.DEADLINE_S_MAX)
        return
    with pytest.raises(RequestError, match="--deadline"):
        output.check(deadline_s=3 * DAY_S + 1)


def test_a_job_cannot_publish_over_another_jobs_success(place: OutputStorage, output: Output) -> None:
    place.meddle("_SUCCESS", b"another job's")
    with pytest.raises(InvariantError):
        output.publish(b"{}", ())
    assert place.seen() == {"_SUCCESS": b"another job's"}


def test_checking_is_idempotent(place: OutputStorage, output: Output) -> None:
    part = upload(output, "part-00000", b"x")
    place.output("job-1").check(deadline_s=limits.DEADLINE_S)
    output.complete(part)
    output.publish(b"{}", {"part-00000"})
    assert place.seen()["part-00000"] == b"x"


def test_output_of_a_zombie_after_the_end_is_never_visible(place: OutputStorage, output: Output) -> None:
    winner = upload(output, "part-00000", b"winner", worker=W1)
    told: list[str] = []
    zombie = output.open_part("part-00000", worker=W2, announce=told.append)
    zombie.write(b"zombie")
    output.complete(winner)
    output.discard_open(OpenedPart("part-00000", W2, one) for one in told)
    output.publish(b"{}", {"part-00000"})
    with suppress(S3mrError):  # it may get an error
        zombie.write(b"more")
        zombie.finish(records=1)
        upload(output, "part-00000", b"another zombie", worker=W3)
    assert place.seen() == {"part-00000": b"winner", "_SUCCESS": b"{}"}
