"""Refused resumes over honest fakes leave nothing behind."""

from collections.abc import Callable

import pytest

from s3mr.api import Job
from s3mr.errors import RequestError
from s3mr.model import object_names
from s3mr.model.job import Phase
from tests.claims import holder_of
from tests.unit.resumed_jobs import FaultyJob, failed, finished, resumer
from tests.unit.word_count import TEXT, total, words
from tests.world import World


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b.txt": b"the end\n\nof the dog"}, "changed since it was planned: b.txt"),
        ({}, "vanished since it was planned: b.txt"),
    ],
)
def test_a_changed_input_is_refused_by_name(change: dict[str, bytes], message: str) -> None:
    one = failed(FaultyJob())
    del one.reader.objects["b.txt"]
    one.reader.objects.update(change)
    before = dict(one.real_objects.objects)
    with pytest.raises(RequestError, match=message):
        resumer(one).plan_again(one.job_id)
    assert one.real_objects.objects == before
    assert len(one.real_store.newest(10)) == 1


def test_a_job_that_cannot_be_resumed_is_refused() -> None:
    one = World(Job(map=words, reduce=total), TEXT)
    one.submit()
    with pytest.raises(RequestError, match="has not ended, or still releases its output"):
        resumer(one).plan_again(one.job_id)
    finished(one)
    with pytest.raises(RequestError, match="nothing to resume"):
        resumer(one).plan_again(one.job_id)
    with pytest.raises(RequestError, match="nothing to continue"):
        resumer(one).take_up(one.job_id)
    for refused in (resumer(one).plan_again, resumer(one).take_up):
        with pytest.raises(RequestError, match="there is no job nobody"):
            refused("nobody")


@pytest.mark.parametrize("key", [object_names.plan, object_names.bundle])
def test_a_job_that_was_cleaned_cannot_be_resumed(key: Callable[[str], str]) -> None:
    one = failed(FaultyJob())
    del one.real_objects.objects[key(one.job_id)]
    with pytest.raises(RequestError, match="has been cleaned up or has expired"):
        resumer(one).plan_again(one.job_id)


def test_a_full_or_claimed_output_is_refused_and_the_new_job_holds_nothing() -> None:
    one = failed(FaultyJob())
    one.folder.objects["theirs"] = b""
    with pytest.raises(RequestError, match="not empty"):
        resumer(one).plan_again(one.job_id)
    del one.folder.objects["theirs"]
    old, rival = one.job_id, one.submit()
    with pytest.raises(RequestError, match=rival.spec.job_id):
        resumer(one).plan_again(old)
    refused = max(one.real_store.newest(10), key=lambda job: job.spec.job_id)
    assert (refused.phase, refused.released, refused.spec.resumed_from) == (Phase.FAILED, True, old)
    assert holder_of(one.real_store, "mem://out") == rival.spec.job_id
    finished(one)
