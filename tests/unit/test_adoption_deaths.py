"""Resumes that die at any call, over honest fakes: the job that they leave can be resumed, taken up or cancelled."""

import pytest

from s3mr.errors import RequestError
from s3mr.model.job import Phase
from tests.claims import holder_of
from tests.unit.resumed_jobs import FaultyJob, failed, finished, map_winners, resumed, resumer
from tests.world import Killed, World


def killed_at(call: int, *, after: bool) -> tuple[World, str] | None:
    """Return a resume that died at its ``call``-th call, or None if it had fewer."""
    one = failed(FaultyJob())
    old, one.switch.calls = one.job_id, 0
    one.switch.at, one.switch.after = call, after
    try:
        resumer(one).plan_again(old)
    except Killed:
        one.switch.at = None
        return one, old
    return None


@pytest.mark.parametrize("after", [False, True])
def test_a_resume_that_dies_at_any_call_can_be_repeated(*, after: bool) -> None:
    call = 0
    while (world := killed_at(call := call + 1, after=after)) is not None:
        one, old = world
        try:
            resumed(one, old)
        except RequestError as error:  # it died in the last call but one: it holds the output, and can be driven
            (holder,) = [job.spec.job_id for job in one.real_store.newest(9) if job.spec.job_id in str(error)]
            one.job_id = resumer(one).take_up(holder).spec.job_id
        state = finished(one)
        assert state.attempts == state.spec.map_tasks + state.spec.reducers - len(map_winners(one, old))
    assert call > 20


@pytest.mark.parametrize("after", [False, True])
def test_a_job_left_by_a_dying_resume_can_be_taken_up_and_adopts_everything(*, after: bool) -> None:
    call, seen = 0, 0
    while (world := killed_at(call := call + 1, after=after)) is not None:
        one, old = world
        left = [job for job in one.real_store.newest(9) if job.spec.job_id != old]
        for job in left:
            seen += 1
            one.job_id = resumer(one).take_up(job.spec.job_id).spec.job_id
            state = finished(one)
            assert state.attempts == state.spec.map_tasks + state.spec.reducers - len(map_winners(one, old))
    assert seen > 10


@pytest.mark.parametrize("after", [False, True])
def test_a_job_left_by_a_dying_resume_can_be_cancelled(*, after: bool) -> None:
    call = 0
    while (world := killed_at(call := call + 1, after=after)) is not None:
        one, old = world
        for job in (job for job in one.real_store.newest(9) if job.spec.job_id != old):
            one.job_id = job.spec.job_id
            one.real_store.request_cancel(one.job_id, at=one.clock.now())
            assert one.finish().phase is Phase.CANCELLED
        assert holder_of(one.real_store, "mem://out") is None
