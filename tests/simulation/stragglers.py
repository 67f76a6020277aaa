"""L1, L3: a finished phase ends; a task that runs far longer than the others has a backup, if there is capacity."""

from itertools import groupby
from typing import TYPE_CHECKING, Final

from s3mr import limits
from s3mr.model.job import JobState, LiveAttempt
from tests.simulation import judging

if TYPE_CHECKING:
    from tests.simulation.world import World

_SLACK_S: Final = 6.0  # some ticks, and slow operations
_MOVES_ON_S: Final = limits.STALL_S + limits.ROUND_S + _SLACK_S


def check(world: "World", job_id: str) -> None:
    """Check a job whose coordinator has just ended a round, unless something may have disturbed it."""
    job = world.facts.jobs.get(job_id)
    if job is None or not job.phase.working or judging.disturbed(world) or job.launching is not None:
        return
    won = [at for key, at in world.facts.won_at.items() if key[:2] == (job_id, job.phase)]
    if len(won) == job.spec.tasks(job.phase) > 0 and world.loop.now - max(won) > _MOVES_ON_S:
        world.facts.broken("L1", f"every {job.phase} task has won, and the job does not go on")
    _check_backups(world, job)


def _check_backups(world: "World", job: JobState) -> None:
    total, job_id = job.spec.tasks(job.phase), job.spec.job_id
    if total < limits.BACKUP_TASKS_MIN or job.cursor < total:
        return
    winners = world.facts.winning(job_id, job.phase)
    live = [one for key, one in sorted(world.table._live.items()) if key[:2] == (job_id, job.phase)]
    running = [one for one in live if one.failure is None and one.lease_until > world.loop.now]
    if (
        2 * len(winners) < total + 2
        or len(running) != len(live)
        or len(running) >= min(world.scenario.capacity, world.scenario.workers or 1000)
    ):
        return
    won_at = (at for key, at in world.facts.won_at.items() if key[:2] == (job_id, job.phase))
    if world.loop.now - max(*won_at, *(one.launched_at for one in live), 0.0) < _SLACK_S:
        return  # the last task was begun just now, or a slot has become free
    longest_s = max(one.duration_s for one in winners)
    patience_s = max(limits.BACKUP_MEDIAN_FACTOR * longest_s, longest_s + limits.BACKUP_LONGER_S) + _SLACK_S
    won = {one.task for one in winners}
    for task, attempts in groupby(running, key=lambda one: one.task):
        if task not in won and _alone(world, list(attempts), patience_s):
            world.facts.broken("L3", f"{job.phase} {task} has run for {patience_s} s and has no backup")


def _alone(world: "World", attempts: list[LiveAttempt], patience_s: float) -> bool:
    since_s = world.loop.now - attempts[-1].launched_at - world.scenario.skew_s * 2
    return since_s > patience_s and not any(one.backup for one in attempts)
