"""The verdict on a whole run: output against oracle, failures against what was done, liveness against bounds."""

import json
import math
from typing import TYPE_CHECKING, Final

import google_crc32c

from s3mr import limits
from s3mr.model import keys
from s3mr.model.job import JobState, Phase
from tests.simulation import oracle
from tests.simulation.scenario import Scenario

CANCEL_BOUND_S: Final = 260.0

if TYPE_CHECKING:
    from tests.simulation.world import World


def bound_s(scenario: Scenario) -> float:
    """Return how long after the world has healed everything must have ended (L1, L2, L4).

    What hangs is over with its lease; then at most one more attempt a task, in waves of what runs at once; and the
    longest that a service's refusal is waited for, or a paused process stands still.
    """
    tasks = sum(map(len, scenario.texts)) // scenario.split_size_bytes + len(scenario.texts) + scenario.reducers
    waves = math.ceil(tasks / min(scenario.capacity, scenario.concurrency)) + 2
    lease_s = limits.lease_s(scenario.task_timeout_s, waiting_s=scenario.waiting_s)
    return 900.0 + (lease_s + scenario.task_timeout_s) * 4 + 4 * waves


def check_cancelled(world: "World") -> None:
    """L4: a cancel ends a job within a tick and a lease; a coordinator that stands still may wake up late."""
    for job_id in world.history.cancelled & world.facts.jobs.keys() - world.facts.erased:
        job = world.facts.jobs[job_id]
        if not job.phase.terminal:
            world.facts.broken("L4", f"job {job_id} was cancelled, and is {job.phase}")


def unfinished(world: "World") -> str:
    """Return what still goes on, or an empty string."""
    jobs = world.facts.jobs
    for job_id, job in jobs.items():
        if job_id in world.facts.erased:
            continue
        if not job.released:
            return f"job {job_id} is {job.phase}, {job.done} of {job.cursor} tasks done"
        if job_id not in world.cloud.swept:
            return f"job {job_id} was never swept"
    for person in world.people:
        if not person.jobs and person.refused is None:
            return "a job was never submitted"
    return ""


def judge(world: "World") -> str | None:
    """Return what is wrong with how it all ended."""
    if waiting := unfinished(world):
        return f"L1: nothing happens any more, and {waiting}"
    jobs = [job for job_id, job in world.facts.jobs.items() if job_id not in world.facts.erased]
    for job in world.facts.jobs.values():
        if wrong := _judge_end(world, job):
            return wrong
    for person in world.people:
        if person.refused is not None and not _may_be_refused(world):
            return f"somebody was refused: {person.refused}"
    return _left(world, jobs)


def _judge_end(world: "World", job: JobState) -> str | None:
    name, scenario = f"job {job.spec.job_id}", world.scenario
    if job.phase is Phase.SUCCEEDED:
        return _judge_output(world, job)
    if job.phase is Phase.CANCELLED:
        return None if job.spec.job_id in world.history.cancelled else f"S9: {name} was cancelled by nobody"
    if job.attempts == 0 and job.cursor == 0:
        return None  # given up before it began
    rivals = len(world.facts.jobs) > 1
    if not world.history.excuses(job, scenario, job.ended_at or 0.0, rivals=rivals):
        story = job.failure.story() if job.failure else "no reason"
        return f"L5: {name} failed without a cause: {story}"
    return None


def _judge_output(world: "World", job: JobState) -> str | None:
    """S4: the output is the sequential run's, byte for byte. S14: no record was dropped."""
    wanted = [oracle.expected(world.scenario, inputs) for inputs in (world.sources, world.inputs.objects)]
    visible = {name: body for name, body in world.folder.objects.items() if name != keys.SUCCESS}
    found = b"".join(visible[name] for name in sorted(visible)) if world.scenario.map_only else visible
    if found not in wanted:  # the inputs may have changed before the job was planned
        return f"S4: the output is {found!r} and should be {wanted[0]!r}"
    records = {oracle.records_in(inputs) for inputs in (world.sources, world.inputs.objects)}
    if job.counters.records_in not in records:
        return f"S14: {job.counters.records_in} of {records} records were read"
    lines = sum(body.count(b"\n") for body in visible.values())
    if job.counters.records_out != lines:
        return f"S14: {lines} records were written, and {job.counters.records_out} counted"
    success = json.loads(world.folder.objects[keys.SUCCESS])
    for part in success["parts"]:
        body = visible[part["name"]]
        if (len(body), f"{google_crc32c.value(body):08x}") != (part["size_bytes"], part["crc32c"]):
            return f"S3: {part['name']} is not what _SUCCESS says of it"
    return None


def _may_be_refused(world: "World") -> bool:
    """Whether there was a reason: a rival, another job of one's own, inputs that changed, a plan that is gone."""
    others = len(world.facts.jobs) > 1 or len(world.people) > 1
    done = any(job.phase is Phase.SUCCEEDED for job in world.facts.jobs.values())  # driven on by somebody else
    return others or done or world.history.inputs_changed or world.history.damages > 0


def _left(world: "World", jobs: list[JobState]) -> str | None:
    """S7: nothing is left behind of what nobody needs."""
    succeeded = [job for job in jobs if job.phase is Phase.SUCCEEDED]
    if len([job for job in world.facts.jobs.values() if job.phase is Phase.SUCCEEDED]) > 1:
        return "S2: two jobs succeeded into one output"
    if world.folder.uploads:
        return f"S7: uploads were left open: {sorted(world.folder.uploads)}"
    if not any(job.phase is Phase.SUCCEEDED for job in world.facts.jobs.values()) and world.folder.objects:
        return f"S7: no job succeeded, and the output holds {sorted(world.folder.objects)}"
    late = world.faults.counts["late-effect"]
    for job in succeeded:
        left = [key for key in world.bucket.objects if key.split("/")[1] == job.spec.job_id]
        if left and not late:
            return f"S7: job {job.spec.job_id} succeeded and left {left}"
    for job_id in world.facts.erased:
        left = [key for key in world.bucket.objects if key.split("/")[1] == job_id]
        if left and not late:
            return f"S7: job {job_id} was cleaned and left {left}"
    return None
