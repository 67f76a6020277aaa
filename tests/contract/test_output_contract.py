"""What every `Output` promises: on memory, on a folder, on S3, and on an S3 that lists entry by entry."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import pytest
from mypy_boto3_s3 import S3Client

from s3mr import limits
from s3mr.adapters.folder_output import FolderOutput
from s3mr.adapters.memory_data import MemoryFolder, MemoryOutput
from s3mr.adapters.s3_output import S3Output
from s3mr.errors import InvariantError, RequestError, S3mrError
from s3mr.model.manifest import Part
from s3mr.ports import Output
from tests.contract.conftest import Services
from tests.contract.misbehaving import one_entry_a_page

DAY_S = 24 * 3600.0
W1, W2, W3 = "1" * 16, "2" * 16, "3" * 16


@dataclass(frozen=True)
class Place:
    """Where outputs appear: makes an `Output` for a job, shows what everybody sees, and writes there unasked."""

    output: Callable[[str], Output]
    seen: Callable[[], dict[str, bytes]]
    meddle: Callable[[str, bytes], object]
    left_open: Callable[[], int]
    keep_uploads: Callable[[int], object]  # for so many days, and no longer


def memory_place() -> Place:
    folder = MemoryFolder()
    return Place(
        output=lambda job_id: MemoryOutput(folder, job_id),
        seen=lambda: dict(folder.objects),
        meddle=folder.objects.__setitem__,
        left_open=lambda: len(folder.uploads),
        keep_uploads=lambda days: setattr(folder, "uploads_kept_s", days * DAY_S),
    )


def folder_place(target: Path) -> Place:
    def seen() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in target.iterdir()} if target.exists() else {}

    def meddle(name: str, data: bytes) -> None:
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)

    def left_open() -> int:
        return sum(1 for path in target.parent.rglob("part-*.*"))

    return Place(lambda job_id: FolderOutput(target, job_id), seen, meddle, left_open, keep_uploads=lambda _days: None)


def s3_place(client: S3Client) -> Place:
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

    return Place(
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
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return memory_place()
    if request.param == "s3, entry by entry":
        services: Services = request.getfixturevalue("services")
        services.meet(one_entry_a_page)
        return s3_place(services.s3)
    if request.param == "folder":
        return folder_place(tmp_path / "deep" / "er" / "out")
    return s3_place(request.getfixturevalue("s3"))


@pytest.fixture
def output(place: Place) -> Output:
    output = place.output("job-1")
    output.check(deadline_s=limits.DEADLINE_S)
    return output


def upload(output: Output, name: str, data: bytes, *, worker: str = W1) -> Part:
    writer = output.open_part(name, worker=worker)
    for byte in data:
        writer.write(bytes([byte]))
    return writer.finish(records=len(data))


def test_a_job_writes_its_parts_and_success_last(place: Place, output: Output) -> None:
    parts = [upload(output, "part-00000", b"zero"), upload(output, "part-00001", b"one", worker=W2)]
    for part in parts:
        output.complete(part)
    assert "_SUCCESS" not in place.seen()
    output.publish(b"{}")
    assert place.seen() == {"part-00000": b"zero", "part-00001": b"one", "_SUCCESS": b"{}"}
    assert place.left_open() == 0


def test_a_part_says_what_was_written(output: Output) -> None:
    part = upload(output, "part-00003", b"content")
    assert (part.name, part.worker, part.size_bytes, part.records) == ("part-00003", W1, 7, 7)
    assert part.crc32c == google_crc32c.value(b"content")


def test_empty_parts_are_parts(place: Place, output: Output) -> None:
    part = upload(output, "part-00000", b"")
    assert (part.size_bytes, part.crc32c) == (0, 0)
    output.complete(part)
    output.publish(b"{}")
    assert place.seen() == {"part-00000": b"", "_SUCCESS": b"{}"}


def test_nothing_is_seen_before_it_is_completed(place: Place, output: Output) -> None:
    writer = output.open_part("part-00000", worker=W1)
    writer.write(b"x")
    upload(output, "part-00001", b"y")
    assert place.seen() == {}
    writer.abandon()


def test_two_workers_on_one_part_never_touch_each_others_bytes(place: Place, output: Output) -> None:
    first, second = output.open_part("part-00000", worker=W1), output.open_part("part-00000", worker=W2)
    first.write(b"first")
    second.write(b"second")
    loser, winner = first.finish(records=1), second.finish(records=1)
    output.complete(winner)
    output.discard_open(["part-00000"], still_ours=lambda: True)
    output.publish(b"{}")
    assert loser.upload != winner.upload
    assert place.seen()["part-00000"] == b"second"
    assert place.left_open() == 0


def test_completing_and_publishing_again_is_harmless(place: Place, output: Output) -> None:
    part = upload(output, "part-00000", b"content")
    for _ in range(2):
        output.complete(part)
    for _ in range(2):
        output.publish(b"{}")
    place.output("job-1").complete(part)
    place.output("job-1").publish(b"{}")
    assert place.seen() == {"part-00000": b"content", "_SUCCESS": b"{}"}


def test_an_abandoned_part_leaves_nothing(place: Place, output: Output) -> None:
    writer = output.open_part("part-00000", worker=W1)
    writer.write(b"x")
    writer.abandon()
    assert place.left_open() == 0


def test_an_upload_that_was_discarded_is_lost(place: Place, output: Output) -> None:
    part = upload(output, "part-00000", b"content")
    output.discard_open(["part-00000"], still_ours=lambda: True)
    with pytest.raises(InvariantError, match="the upload is lost"):
        output.complete(part)
    assert place.seen() == {}


def test_a_second_winner_of_a_part_is_in_the_way(place: Place, output: Output) -> None:
    first, second = (upload(output, "part-00000", data, worker=w) for data, w in ((b"one", W1), (b"two", W2)))
    output.complete(first)
    with pytest.raises(InvariantError, match="another object is in the way"):
        output.complete(second)
    output.publish(b"{}")
    assert place.seen()["part-00000"] == b"one"


def test_discarding_touches_exactly_the_named_parts(place: Place, output: Output) -> None:
    kept = upload(output, "part-00001", b"kept")
    for worker in (W1, W2, W3):
        upload(output, "part-00000", b"loser", worker=worker)
    output.discard_open(["part-00000", "part-0000", "part-00002"], still_ours=lambda: True)
    assert place.left_open() == 1
    output.complete(kept)
    output.publish(b"{}")
    assert place.seen() == {"part-00001": b"kept", "_SUCCESS": b"{}"}


def test_discarding_leaves_what_may_be_another_jobs(place: Place, output: Output) -> None:
    theirs = place.output("job-2")
    theirs.check(deadline_s=1.0)
    upload(theirs, "part-00000", b"theirs")
    output.discard_open(["part-00000"], still_ours=lambda: False)
    assert place.left_open() == 1


def test_discarding_again_or_nothing_is_harmless(place: Place, output: Output) -> None:
    upload(output, "part-00000", b"x")
    for _ in range(2):
        output.discard_open(["part-00000"], still_ours=lambda: True)
    output.discard_open([], still_ours=lambda: True)
    assert place.left_open() == 0


def test_a_withdrawn_job_leaves_nothing_open_or_completed(place: Place, output: Output) -> None:
    completed, open_one = upload(output, "part-00000", b"completed"), upload(output, "part-00001", b"open")
    output.complete(completed)
    for _ in range(2):
        output.discard_open(["part-00000", "part-00001"], still_ours=lambda: True)
        output.withdraw([completed, open_one])
    assert place.seen() == {}
    assert place.left_open() == 0


def test_withdrawing_never_deletes_what_is_not_ours(place: Place, output: Output) -> None:
    part = upload(output, "part-00000", b"ours")
    place.meddle("part-00000", b"another job's")
    output.withdraw([part])
    assert place.seen() == {"part-00000": b"another job's"}


def test_an_output_that_is_not_empty_is_refused(place: Place) -> None:
    place.meddle("notes.txt", b"mine")
    with pytest.raises(RequestError, match="not empty"):
        place.output("job-1").check(deadline_s=limits.DEADLINE_S)
    with pytest.raises(RequestError, match="not empty"):
        place.output("job-1").check_empty()
    assert place.seen() == {"notes.txt": b"mine"}


def test_a_look_whether_an_output_is_empty_makes_nothing(place: Place, tmp_path: Path) -> None:
    place.output("job-1").check_empty()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("days", [1, 3])
def test_a_job_may_take_as_long_as_the_place_keeps_open_uploads(place: Place, days: int) -> None:
    place.keep_uploads(days)
    place.output("job-1").check(deadline_s=days * DAY_S)


def test_a_job_that_may_take_longer_than_the_place_keeps_open_uploads_is_refused(place: Place) -> None:
    place.keep_uploads(3)
    output = place.output("job-1")
    if isinstance(output, FolderOutput):  # it keeps what is in it
        output.check(deadline_s=limits.DEADLINE_S_MAX)
        return
    with pytest.raises(RequestError, match="--deadline"):
        output.check(deadline_s=3 * DAY_S + 1)


def test_a_foreign_success_is_in_the_way(place: Place, output: Output) -> None:
    place.meddle("_SUCCESS", b"another job's")
    with pytest.raises(InvariantError):
        output.publish(b"{}")
    assert place.seen() == {"_SUCCESS": b"another job's"}


def test_checking_again_is_harmless(place: Place, output: Output) -> None:
    part = upload(output, "part-00000", b"x")
    place.output("job-1").check(deadline_s=limits.DEADLINE_S)
    output.complete(part)
    output.publish(b"{}")
    assert place.seen()["part-00000"] == b"x"


def test_a_zombie_that_goes_on_after_the_end_is_never_seen(place: Place, output: Output) -> None:
    winner = upload(output, "part-00000", b"winner", worker=W1)
    zombie = output.open_part("part-00000", worker=W2)
    zombie.write(b"zombie")
    output.complete(winner)
    output.discard_open(["part-00000"], still_ours=lambda: True)
    output.publish(b"{}")
    with suppress(S3mrError):  # it may be told
        zombie.write(b"more")
        zombie.finish(records=1)
        upload(output, "part-00000", b"another zombie", worker=W3)
    assert place.seen() == {"part-00000": b"winner", "_SUCCESS": b"{}"}
