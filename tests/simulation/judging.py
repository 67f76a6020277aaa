"""The verdict on a whole run: output against oracle, failures against their causes, liveness against time limits."""

import json
import math
from typing import TYPE_CHECKING, Final

import google_crc32c

from s3mr import limits
from s3mr.model import object_names
from s3mr.model.job import JobSpec, JobState, Phase
from s3mr.model.report import TaskRequest
from tests.simulation import oracle
from tests.simulation.history import attempt_of
from tests.simulation.loop import Process
from tests.simulation.scenario import Scenario

CANCEL_BOUND_S: Final = 260.0
_CALM_S_MAX: Final = 6.0
_DISTURBING: Final = ("lose-coordinator", "truncate", "flip")

if TYPE_CHECKING:
    from tests.simulation.world import World


def bound_s(scenario: Scenario) -> float:
    """Return how long after the world has healed everything must have ended (L1, L2, L4).

    A hanging attempt ends with its lease. Then each task has at most one more attempt, in waves of concurrent ones. Add
    the longest retry of a refused request, or the longest pause of a process.
    """
    tasks = sum(map(len, scenario.texts)) // scenario.split_size_bytes + len(scenario.texts)
    tasks += max(scenario.reducers, scenario.rival_reducers)
    waves = math.ceil(tasks / min(scenario.capacity, scenario.concurrency)) + 2
    lease_s = limits.lease_s(scenario.task_timeout_s, waiting_s=scenario.waiting_s)
    return 900.0 + (lease_s + scenario.task_timeout_s) * 4 + 4 * waves


def check_cancelled(world: "World") -> None:
    """L4: a cancel ends a job within a tick and a lease. A paused coordinator may resume late."""
    for job_id in world.history.cancelled & world.facts.jobs.keys() - world.facts.erased:
        job = world.facts.jobs[job_id]
        if not job.phase.terminal:
            world.facts.broken("L4", f"job {job_id} was cancelled, and is {job.phase}")


def check_deadline(world: "World", process: Process, job: JobState) -> None:
    """L1: a coordinator that starts after a job's deadline ends the job."""
    late_s = process.born_at - job.created_at - job.spec.deadline_s - 2 * world.scenario.skew_s
    ends = late_s < 0 or not job.phase.working or job.spec.job_id in world.history.taken_over
    world.facts.check(ends, "L1", f"job {job.spec.job_id} goes on {late_s:.0f} s after its deadline")


def check_room(world: "World", job_id: str) -> None:
    """S10: at most as many attempts run at once as allowed, unless a coordinator that paused begins some again."""
    counts, scenario = world.faults.counts, world.scenario
    stands_still = ("pause", "late-effect", "second-coordinator", "stop", "lose-machine")
    slow = counts["slow"] and scenario.io_rates["tick"]  # alone, it lets no other process begin anything meanwhile
    if any(counts[fault] for fault in stands_still) or slow or scenario.skew_s:
        return
    live = [one for key, one in world.table._live.items() if key[0] == job_id]
    running = sum(one.failure is None and one.lease_until > world.loop.now for one in live)
    room = min(scenario.capacity, scenario.workers or scenario.capacity)
    world.facts.check(running <= room, "S10", f"{running} attempts run at once, and there is room for {room}")


def disturbed(world: "World") -> bool:
    """Return whether something may have disturbed the coordinator, so that it may be late, or repeat something."""
    scenario = world.scenario
    return bool(
        scenario.io_rates["tick"]
        or scenario.storm
        or scenario.second_coordinator_at_s
        or scenario.stop_at_s
        or scenario.machine_dies_at_s
        or scenario.machine_dies_at_write
        or world.faults.counts["slow"]
        or world.deaths.met > 1  # after one, all begun attempts have won before a coordinator comes back
        or any(name in scenario.rates for name in _DISTURBING)
    )


def check_once(world: "World", request: TaskRequest) -> None:
    """S10: an undisturbed coordinator begins an attempt once."""
    again = world.history.invoked[attempt_of(request)] > 1
    world.facts.check(not again or disturbed(world), "S10", f"{request.phase} {request.task} was begun again")


def unfinished(world: "World") -> str:
    """Return what is unfinished, or an empty string."""
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
    """Return the violation at the end of a run, if any."""
    facts = world.facts
    if waiting := unfinished(world):
        facts.broken("L1", f"nothing happens any more, and {waiting}")
    for job in facts.jobs.values():
        _judge_end(world, job)
    for person in world.people:
        refused = person.refused is not None and not _may_be_refused(world, str(person.refused))
        facts.check(not refused, "S9", f"somebody was refused: {person.refused}")
    _judge_output_place(world)
    for job_id, job in facts.jobs.items():
        _judge_left(world, job, erased=job_id in facts.erased)
    return facts.violation


def _judge_end(world: "World", job: JobState) -> None:
    facts, history, name = world.facts, world.history, f"job {job.spec.job_id}"
    if job.phase is Phase.SUCCEEDED:
        _judge_output(world, job)
        _judge_success(world, job)
        _judge_calm(world, job)
    elif job.phase is Phase.CANCELLED:
        facts.check(job.spec.job_id in history.cancelled, "S9", f"{name} was cancelled by nobody")
    elif job.attempts or (job.cursor and not job.spec.resumed_from):  # otherwise it was given up before it began
        story = job.failure.story() if job.failure else "no reason"
        lied = bool(world.invariants.reports.untrue[job.spec.job_id])
        ended_at = job.ended_at or 0.0
        message = job.failure.message if job.failure else ""
        rivalled = not job.attempts and _by_rival(world, message, job.spec)
        rivalled |= world.scenario.rival_elsewhere and _by_rival_at_commit(world, message, job.spec)
        excused = history.excuses(job, world.scenario, ended_at, rivalled=rivalled, lied=lied)
        facts.check(excused, "L5", f"{name} failed without a cause: {story}")


def _judge_output(world: "World", job: JobState) -> None:
    """S4: the output equals the sequential run's, byte for byte. S14: no record was dropped."""
    facts = world.facts
    inputs = (world.sources, world.inputs.objects)  # inputs may have changed before the job was planned
    scenario = world.scenario.job_of(job.spec.bundle.name)
    wanted = [oracle.expected(scenario, each) for each in inputs]
    visible = _visible(world)
    found = b"".join(visible[name] for name in sorted(visible)) if scenario.map_only else visible
    facts.check(found in wanted, "S4", f"the output is {found!r} and should be {wanted[0]!r}")
    records, read = {oracle.records_in(each) for each in inputs}, job.counters.records_in
    facts.check(read in records, "S14", f"{read} of {records} records were read")
    lines, counted = sum(body.count(b"\n") for body in visible.values()), job.counters.records_out
    facts.check(counted == lines, "S14", f"{lines} records were written, and {counted} counted")


def _judge_success(world: "World", job: JobState) -> None:
    """S3: the parts match ``_SUCCESS``, and its counters match the job's."""
    visible, success = _visible(world), json.loads(world.folder.objects[object_names.SUCCESS])
    counted, published = job.counters.model_dump(), success["counters"]
    same = published == {name: counted[name] for name in published}
    world.facts.check(same, "S3", f"_SUCCESS counts {published}, and its job {counted}")
    for part in success["parts"]:
        body = visible.get(part["name"], b"")
        same = (len(body), f"{google_crc32c.value(body):08x}") == (part["size_bytes"], part["crc32c"])
        world.facts.check(same, "S3", f"{part['name']} is not what _SUCCESS says of it")


def _judge_calm(world: "World", job: JobState) -> None:
    """S10: without faults and with enough capacity, nothing is done twice."""
    tasks = job.spec.map_tasks + job.spec.reducers
    if (
        world.faults.struck
        or world.deaths.met
        or len(world.facts.jobs) > 1
        or world.scenario.concurrency < tasks
        or not tasks
    ):
        return
    done = (job.attempts, job.retried, job.ignored, world.executions)
    world.facts.check(done == (tasks, 0, 0, tasks), "S10", f"{tasks} tasks took {done} attempts in a calm world")
    world.facts.check(world.verdicts == {"won": tasks}, "S10", f"{tasks} tasks came to {dict(world.verdicts)}")
    if min(world.scenario.capacity, world.scenario.workers or tasks) >= tasks:
        took_s, asked = (job.ended_at or 0.0) - job.created_at, world.operations.count
        in_time = took_s < _CALM_S_MAX + 0.25 * tasks + 2 * world.scenario.skew_s
        world.facts.check(in_time, "L1", f"a job took {took_s:.1f} s in a calm world")
        world.facts.check(
            asked < 90 + 18 * tasks + job.spec.map_tasks * job.spec.reducers,
            "L1",
            f"{tasks} tasks took {asked} operations in a calm world",
        )


def _may_be_refused(world: "World", message: str) -> bool:
    """Return whether there was a reason: a rival, another job of the same person, changed inputs, a missing plan."""
    done = any(job.phase is Phase.SUCCEEDED for job in world.facts.jobs.values())  # driven by another process
    reasons = done or world.history.inputs_changed_at is not None or world.history.damages > 0
    return reasons or _by_rival(world, message, None)


def _by_rival(world: "World", message: str, spec: JobSpec | None) -> bool:
    """Return whether another job really had or had filled the output; this alone excuses an error about a rival."""
    others = [job for job in world.facts.jobs.values() if spec is None or job.spec.job_id != spec.job_id]
    held = any(f"job {job.spec.job_id} writes to" in message for job in others)
    filled = "not empty" in message and any(job.spec.job_id in world.history.committed for job in others)
    return held or filled


def _by_rival_at_commit(world: "World", message: str, spec: JobSpec) -> bool:
    """Return whether a job of another table really committed first."""
    others = [job for job in world.facts.jobs.values() if job.spec.output != spec.output]
    committed = any(job.spec.job_id in world.history.committed for job in others)
    return committed and ("another job commits here" in message or "in the way" in message)


def _judge_output_place(world: "World") -> None:
    """S2, S7: at most one job succeeded into the output; otherwise it is empty; and no upload is open there."""
    succeeded = sum(job.phase is Phase.SUCCEEDED for job in world.facts.jobs.values())
    visible, noted = sorted(world.folder.objects), world.invariants.visible.noted
    uploads = sorted(number for number, one in world.folder.uploads.items() if one.data or number in noted)
    world.facts.check(succeeded <= 1, "S2", "two jobs succeeded into one output")
    world.facts.check(succeeded == 1 or not visible, "S7", f"no job succeeded, and the output holds {visible}")
    world.facts.check(object_names.COMMITTING not in visible, "S7", "a commit has never ended")
    world.facts.check(not uploads, "S7", f"uploads were left open: {uploads}")


def _judge_left(world: "World", job: JobState, *, erased: bool) -> None:
    """S7: a success or a cleaned-up job leaves only what was to be kept."""
    facts, job_id = world.facts, job.spec.job_id
    stale = any(world.faults.counts[fault] for fault in ("late-effect", "pause", "slow", "second-coordinator"))
    kept = [key for key in world.bucket.objects if key.split("/")[1] == job_id]
    adopts = job.spec.resumed_from is not None  # a paused process may do so very late, or write the index
    left = [key for key in kept if not (stale and (adopts or "/index/" in key))]
    if erased or (job.phase is Phase.SUCCEEDED and not job.spec.keep_intermediate):
        facts.check(not left or world.faults.counts["late-effect"] > 0, "S7", f"job {job_id} has left {left}")
    elif job.spec.keep_intermediate:
        facts.check(bool(kept), "S7", f"job {job_id} was to keep its intermediates, and has none")
    live = [key for key in world.table._live if key[0] == job_id]
    facts.check(not live or erased or stale, "S7", f"attempts of a job that has ended are still live: {live}")
    claims = facts.table._claims.get(job.spec.output) == job_id  # already void
    late = job_id in world.history.claimed_late
    facts.check(not claims or stale or late, "S7", f"job {job_id} has ended, and its claim stands")


def _visible(world: "World") -> dict[str, bytes]:
    return {name: body for name, body in world.folder.objects.items() if name.startswith(object_names.PART_PREFIX)}
