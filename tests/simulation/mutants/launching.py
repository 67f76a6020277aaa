"""Mutants of launches, leases and budgets."""

from typing import Final

from tests.simulation.mutation import Mutant, mutant

_TRANSITIONS: Final = "s3mr.coordinator.transitions"
_TICKING: Final = "s3mr.coordinator.ticker"
_LAUNCHING: Final = "s3mr.coordinator.launcher"
_RETRYING: Final = "s3mr.policy.retries"
_SCHEDULING: Final = "s3mr.policy.scheduler"
_RELAUNCHING: Final = "s3mr.coordinator.relaunch"

LAUNCHING: Final[tuple[Mutant, ...]] = (
    mutant(
        "launch-log-not-repeated",
        _TICKING,
        21,
        ("        elif job.launching is not None:\n", "        elif False:\n"),
    ),
    mutant(
        "invoke-before-the-log",
        _LAUNCHING,
        1,
        ("        self.store.begin(job.spec.job_id, _live(job, attempts, self._lease_s(job)))\n", ""),
        (
            "        if left:\n",
            "        self.store.begin(job.spec.job_id, _live(job, attempts, self._lease_s(job)))\n        if left:\n",
        ),
    ),
    mutant("begin-too-late", "s3mr.worker.execution", 22, ("if started_at > request.start_by:", "if False:")),
    mutant("leases-never-end", _RETRYING, 1, ("if one.failure or one.lease_until > now:", "if True:")),
    mutant(
        "leases-end-at-once",
        _LAUNCHING,
        1,
        ("            lease_until=at + lease_s,", "            lease_until=at + 1.0,"),
    ),
    mutant(
        "one-attempt-too-many",
        _RETRYING,
        10,
        (
            "spent[FailureKind.USER] + spent[FailureKind.CRASH] >= spec.request.attempts",
            "spent[FailureKind.USER] + spent[FailureKind.CRASH] > spec.attempts",
        ),
    ),
    mutant(
        "throttling-costs-attempts",
        _RETRYING,
        2,
        (
            "spent[FailureKind.USER] + spent[FailureKind.CRASH] >= spec.request.attempts",
            "sum(spent.values()) >= spec.attempts",
        ),
    ),
    mutant(
        "no-room-costs-attempts",
        "s3mr.coordinator.destinations",
        10,
        (
            "        kind, message = FailureKind.NO_ROOM, no_room\n",
            "        kind, message = FailureKind.CRASH, no_room\n",
        ),
    ),
    mutant("raise-as-often-as-you-like", _RETRYING, 13, ("if spent[FailureKind.USER] >= user_max:", "if False:")),
    mutant("a-backup-a-tick", _SCHEDULING, 120, ("if not any(one.backup for one in attempts) and now", "if now")),
    mutant("no-backups", _SCHEDULING, 59, ("if job.median_s is None:", "if True:")),
    mutant("more-than-there-is-room-for", _SCHEDULING, 6, ("free=capacity - len(running)", "free=capacity")),
    mutant(
        "launched-again-for-nothing",
        _LAUNCHING,
        9,
        (
            "            self._perform(lead, batch)\n        lead.save(launched(lead.job))\n",
            "            self._perform(lead, batch)\n",
        ),
    ),
    mutant(
        "the-first-batch-is-all",
        _LAUNCHING,
        7,
        ("begun = min(cursor, max([job.cursor, *fresh]))", "begun = cursor"),
    ),
    mutant(
        "throttled-means-launched",
        _LAUNCHING,
        71,
        ("            raise next(answer for answer in answers if answer is not None)\n", ""),
    ),
    mutant("stop-is-not-heard", _TICKING, 172, ("stop or self._overdue(seen.job)", "self._overdue(seen.job)")),
    mutant("deadline-is-not-heard", _TICKING, 2, ("stop or self._overdue(seen.job)", "stop")),
    mutant("retry-at-once", _RETRYING, 2, ("(last.failed_at or now) + _backoff_s(spec.job_id, last, count)", "now")),
    mutant("every-retry-waits-the-same", _RETRYING, 2, ("BACKOFF_S * 2.0 ** min(count - 1, 10)", "BACKOFF_S")),
    mutant("refused-for-ever", _RETRYING, 41, ("spent[FailureKind.TRANSIENT] >= limits.TRANSIENT_ATTEMPTS", "False")),
    mutant("backups-cost-attempts", _RETRYING, 120, ("if failure and not one.backup]", "if failure]")),
    mutant("backups-at-once", _SCHEDULING, 6, ("now - attempts[-1].launched_at >= patience_s", "True")),
    mutant(
        "repeat-what-has-won",
        _LAUNCHING,
        24,
        ("self._perform(lead, self._not_won(job, logged))", "self._perform(lead, logged)"),
    ),
    mutant(
        "won-tasks-are-not-asked-for",
        _SCHEDULING,
        59,
        ("        if stalled or idle or attempts[-1].attempt > 1:\n", "        if idle:\n"),
    ),
    # Lost machines.
    mutant(
        "launch-again-what-is-logged-alone",
        _RELAUNCHING,
        1,
        ("for one in live if one.failure is None and", "for one in live if False and"),
    ),
    mutant(
        "launch-again-what-is-not-logged-alone",
        _RELAUNCHING,
        1154,
        ("logged = job.launching.attempts if job.launching else ()", "logged = ()"),
    ),
    # Counters, and repeated writes.
    mutant(
        "count-new-tasks-alone",
        _TRANSITIONS,
        1,
        (
            '"attempts": job.attempts + len(batch),',
            '"attempts": job.attempts + sum(one.attempt == 1 for one in batch),',
        ),
    ),
    mutant(
        "refused-one-refused-all",
        _LAUNCHING,
        942,
        ("lead.save(refused(job, left))", "lead.save(refused(job, tuple(attempts)))"),
    ),
    mutant("done-counts-attempts", _TICKING, 10, ("len({one.task for one in unfinished})", "len(unfinished)")),
    mutant(
        "live-in-any-phase",
        _TICKING,
        113,
        ("live = [one for one in seen.live if one.phase is job.phase]", "live = list(seen.live)"),
    ),
    # Capacity, patience and leases.
    mutant("room-counts-tasks", _SCHEDULING, 210, ("free=capacity - len(running)", "free=capacity - len(unfinished)")),
    mutant("the-last-attempt-alone-runs", _RETRYING, 210, ("return Running(running)", "return Running(running[-1:])")),
    mutant(
        "tried-again-while-an-earlier-one-runs",
        _RETRYING,
        210,
        ("    if running:\n", "    if running and running[-1] is attempts[-1]:\n"),
    ),
    mutant(
        "what-is-not-begun-counts-as-done",
        _SCHEDULING,
        1366,
        ("total < limits.BACKUP_TASKS_MIN or job.cursor < total:", "total < limits.BACKUP_TASKS_MIN:"),
    ),
    mutant(
        "begin-until-the-lease-ends",
        _LAUNCHING,
        22,
        (
            "limits.start_s(waiting_s=waiting_s)",
            "limits.lease_s(job.spec.task_timeout_s, waiting_s=waiting_s)",
        ),
    ),
    # Clocks that are set forwards or back.
    mutant(
        "a-clock-never-steps-back",
        "s3mr.worker.execution",
        10,
        ("max(context.clock.now() - started_at, 0.0)", "context.clock.now() - started_at"),
    ),
    mutant(
        "the-last-lease-is-the-latest",
        _TRANSITIONS,
        10,
        (
            'for one in batch),\n            "last_lease_until": max(job.last_lease_until, at + lease_s),',
            'for one in batch),\n            "last_lease_until": at + lease_s,',
        ),
    ),
    mutant(
        "the-last-lease-of-a-repeated-launch-is-the-latest",
        _TRANSITIONS,
        52,
        (
            'attempts=batch),\n            "last_lease_until": max(job.last_lease_until, at + lease_s),',
            'attempts=batch),\n            "last_lease_until": at + lease_s,',
        ),
    ),
    mutant("launch-again-beyond-the-room", _RELAUNCHING, 96, ("max(1, waves)", "1")),
    mutant("launch-again-what-is-cancelled", _RELAUNCHING, 34, (" or seen.cancel_requested:", ":")),
)
