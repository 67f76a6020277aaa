"""L3: a task that runs far longer than the others has a backup attempt, where there is room for one."""

from itertools import groupby
from typing import TYPE_CHECKING, Final

from s3mr import limits
from s3mr.model.job import LiveAttempt
from s3mr.model.manifest import Manifest

if TYPE_CHECKING:
    from tests.simulation.world import World

_SLACK_S: Final = 6.0  # some ticks, and operations that take long
_DISTURBING: Final = ("lose-coordinator", "truncate", "flip")


def check(world: "World", job_id: str) -> None:
    """Look at a job whose coordinator has just ended a round, unless something may have disturbed that."""
    job = world.facts.jobs.get(job_id)
    if job is None or not job.phase.working or _disturbed(world):
        return
    total = job.spec.tasks(job.phase)
    if total < limits.BACKUP_TASKS_MIN or job.cursor < total or job.launching is not None:
        return
    winners = [
        one for key, one in world.table._winners.items() if key[:2] == (job_id, job.phase) and isinstance(one, Manifest)
    ]
    live = [one for key, one in sorted(world.table._live.items()) if key[:2] == (job_id, job.phase)]
    running = [one for one in live if one.failure is None and one.lease_until > world.loop.now]
    if (
        2 * len(winners) < total + 2
        or len(running) != len(live)
        or len(running) >= min(world.scenario.capacity, world.scenario.workers or 1000)
    ):
        return
    longest_s = max(one.duration_s for one in winners)
    patience_s = max(limits.BACKUP_MEDIAN_FACTOR * longest_s, longest_s + limits.BACKUP_LONGER_S) + _SLACK_S
    won = {one.task for one in winners}
    for task, attempts in groupby(running, key=lambda one: one.task):
        if task not in won and _alone(world, list(attempts), patience_s):
            world.facts.broken("L3", f"{job.phase} {task} has run for {patience_s} s and has no backup")


def _alone(world: "World", attempts: list[LiveAttempt], patience_s: float) -> bool:
    since_s = world.loop.now - attempts[-1].launched_at - world.scenario.skew_s * 2
    return since_s > patience_s and not any(one.backup for one in attempts)


def _disturbed(world: "World") -> bool:
    scenario = world.scenario
    return bool(
        scenario.io_rates["tick"]
        or scenario.storm
        or scenario.second_coordinator_at_s
        or any(name in scenario.rates for name in _DISTURBING)
    )
