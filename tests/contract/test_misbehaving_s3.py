"""How the S3 adapters handle services that misbehave: errors by key, truncated bodies, lost responses."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from s3mr import limits
from s3mr.adapters.aws.s3_output import S3Output
from s3mr.adapters.aws.s3_store import S3ObjectStore
from s3mr.errors import InvariantError, RequestError, TransientError
from s3mr.model.manifest import Part
from tests.contract.conftest import BUCKET, FaultyServices
from tests.contract.misbehaving import (
    Answer,
    Ask,
    Call,
    answer_lost,
    cut_short,
    first_key_is_not_deleted,
    none,
    refused,
)
from tests.contract.test_job_store_contract import RIVAL, WORKER

OUT = "s3://bucket/out"
SLOW_DOWN = refused("503 Slow Down", "SlowDown")


# Objects.


def test_a_request_never_deletes_more_keys_than_s3_allows(services: FaultyServices) -> None:
    asked: list[int] = []

    def counted(call: Call, ask: Ask) -> Answer:
        asked.append(call.body.count(b"<Key>"))
        return ask(call)

    services.meet(counted)
    S3ObjectStore(services.s3, BUCKET).delete(f"{number}" for number in range(1_001))
    assert asked == [1_000, 1]


def test_an_object_that_is_too_large_for_one_request_is_refused_before_it_is_sent(
    services: FaultyServices, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("w+b") as file:
        file.truncate(limits.PUT_BYTES_MAX + 1)
        services.app.calls.clear()
        with pytest.raises(RequestError, match="--split-size"):
            S3ObjectStore(services.s3, BUCKET).put("a", file)
    assert not services.app.calls


def test_keys_that_s3_did_not_delete_are_reported(services: FaultyServices) -> None:
    objects = S3ObjectStore(services.s3, BUCKET)
    for key in ("a", "b", "c"):
        objects.put(key, b"x")
    services.meet(first_key_is_not_deleted)
    with pytest.raises(InvariantError, match=r"did not delete 1 objects.*'a'"):
        objects.delete(["a", "b", "c"])
    assert list(objects.list("")) == ["a"]
    services.meet(none)
    objects.delete(["a"])
    assert list(objects.list("")) == []


@pytest.mark.parametrize("after_bytes", [0, 1, 99_999])
def test_a_truncated_object_is_never_accepted_as_complete(services: FaultyServices, after_bytes: int) -> None:
    objects = S3ObjectStore(services.s3, BUCKET)
    objects.put("a", bytes(100_000))
    services.meet(cut_short(after_bytes))
    with pytest.raises(TransientError, match="a"):
        list(objects.stream("a"))
    with pytest.raises(TransientError, match="a"):
        list(objects.stream("a", start=0, stop=100_000))


# The output.


def uploaded(output: S3Output, data: bytes = b"content") -> Part:
    output.check(deadline_s=limits.DEADLINE_S)
    writer = output.open_part("part-00000", worker=WORKER, announce=len)
    writer.write(data)
    return writer.finish(records=1)


def test_repeating_a_completion_whose_response_was_lost_counts_as_done(services: FaultyServices) -> None:
    output = S3Output(services.s3, OUT, "job-1")
    part = uploaded(output)
    services.meet(answer_lost("POST uploadId"))
    with pytest.raises(TransientError):
        output.complete(part)
    output.complete(part)
    services.meet(answer_lost("PUT"))
    with pytest.raises(TransientError):
        output.publish(b"{}", {"part-00000"})
    output.publish(b"{}", {"part-00000"})
    assert services.s3.get_object(Bucket=BUCKET, Key="out/part-00000")["Body"].read() == b"content"
    assert services.s3.get_object(Bucket=BUCKET, Key="out/_SUCCESS")["Body"].read() == b"{}"


def test_a_conflict_with_a_concurrent_request_does_not_decide_the_winner(services: FaultyServices) -> None:
    output = S3Output(services.s3, OUT, "job-1")
    part = uploaded(output)
    writes: Sequence[tuple[str, Callable[[], object]]] = (
        ("POST uploadId", lambda: output.complete(part)),
        ("PUT", lambda: output.publish(b"{}", {"part-00000"})),
    )
    for name, write in writes:
        services.meet(refused("409 Conflict", "ConditionalRequestConflict", of=name))
        with pytest.raises(TransientError):
            write()
        services.meet(none)
        write()


def test_an_object_with_our_name_but_another_size_is_not_accepted_as_ours(services: FaultyServices) -> None:
    output = S3Output(services.s3, OUT, "job-1")
    part = uploaded(output)
    output.complete(part)
    ours = services.s3.head_object(Bucket=BUCKET, Key="out/part-00000")["Metadata"]
    services.s3.put_object(Bucket=BUCKET, Key="out/part-00000", Body=b"cont", Metadata=ours)
    with pytest.raises(InvariantError, match="another object is in the way"):
        output.complete(part)
    output.withdraw([part])
    assert services.s3.get_object(Bucket=BUCKET, Key="out/part-00000")["Body"].read() == b"cont"


def test_a_losing_execution_with_the_same_bytes_is_not_accepted_as_the_winner(services: FaultyServices) -> None:
    output = S3Output(services.s3, OUT, "job-1")
    part = uploaded(output)
    output.complete(part)
    rival = output.open_part("part-00000", worker=RIVAL, announce=len)
    rival.write(b"content")
    with pytest.raises(InvariantError, match="another object is in the way"):
        output.complete(rival.finish(records=1))
