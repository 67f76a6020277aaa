"""Mutants of the fence, the phases and the winners."""

from typing import Final

from tests.simulation.mutation import Mutant, mutant

_TRANSITIONS: Final = "s3mr.coordinator.transitions"
_TICKING: Final = "s3mr.coordinator.ticker"
_RECORDING: Final = "s3mr.coordinator.recorder"
_LEADING: Final = "s3mr.coordinator.fence"
_SCHEDULING: Final = "s3mr.policy.scheduler"
_MEMORY: Final = "s3mr.adapters.memory.memory_stores"

DECIDING: Final[tuple[Mutant, ...]] = (
    # The fence and the phases.
    mutant("skip-the-epoch", _LEADING, 1, ('"epoch": self.job.epoch + 1', '"epoch": self.job.epoch')),
    mutant(
        "one-epoch-a-tick",  # an old bug: a tick could write back what it read between two writes of another tick
        _LEADING,
        154,
        ("        self.job = job\n", "        self.job = job\n        self._read = job.epoch\n"),
        ('"epoch": self.job.epoch + 1', '"epoch": max(self.job.epoch, self._read + 1)'),
    ),
    mutant(
        "replace-without-condition",
        _MEMORY,
        17,
        ("if existing is None or (existing.epoch != epoch and existing != job):", "if existing is None:"),
    ),
    mutant("two-that-write-the-same-both-lead", _LEADING, 204, ('"writer": self._writer}', '"writer": ""}')),
    mutant("cancel-is-not-heard", _TICKING, 14, ("        elif seen.cancel_requested:\n", "        elif False:\n")),
    mutant("lost-race-is-won", _LEADING, 24, ("            raise FencedError\n", "            pass\n")),
    mutant(
        "cancel-after-the-point-of-no-return",
        _TICKING,
        24,
        (
            "        elif job.phase is Phase.COMMITTING:\n",
            "        elif job.phase is Phase.COMMITTING and not seen.cancel_requested:\n",
        ),
    ),
    mutant(
        "reduce-before-the-barrier",
        _SCHEDULING,
        1,
        ("if not verdicts and job.cursor == job.spec.tasks(job.phase):", "if job.cursor == job.spec.tasks(job.phase):"),
    ),
    mutant(
        "cursor-kept-into-reduce",
        _TRANSITIONS,
        1,
        ('            "cursor": 0,\n            "done": 0,', '            "done": 0,'),
    ),
    mutant(
        "wins-after-the-end",
        _TICKING,
        19,
        ("            self.store.seal(job, phase, sorted(begun))\n", ""),
    ),
    mutant(
        "seal-forgets-the-launch-log",
        _TICKING,
        149,
        ("                begun |= {one.task for one in job.launching.attempts}\n", "                pass\n"),
    ),
    # Winners.
    mutant("last-attempt-wins", _MEMORY, 7, ("            if key not in self._winners:\n", "            if True:\n")),
    mutant(
        "trust-an-unverified-token",
        _RECORDING,
        46,
        ("if not compare_digest(token", "if False and compare_digest(token"),
    ),
    mutant(
        "trust-what-a-manifest-says",
        _RECORDING,
        46,
        ("failure = report.failure or _malformed(job, report)", "failure = report.failure"),
    ),
    mutant(
        "forget-before-the-commit",
        _RECORDING,
        7,
        (
            "        answer = self.store.commit(job, report.manifest)\n",
            "        mine = [AttemptId(task=report.task, attempt=report.attempt)]\n"
            "        self.store.forget(report.job_id, report.phase, mine)\n"
            "        answer = self.store.commit(job, report.manifest)\n",
        ),
    ),
    mutant(
        "one-worker-id-an-attempt",
        "s3mr.worker.execution",
        1,
        ("worker = context.entropy.hex(_WORKER_DIGITS)", "worker = request.token[:_WORKER_DIGITS]"),
    ),
    mutant(
        "report-before-the-bytes",
        "s3mr.worker.map_execution",
        11,
        (
            "            context.store.put(key, file)\n    return pieces",
            "            request.attempt > 1 or context.store.put(key, file)\n    return pieces",
        ),
    ),
    mutant(
        "count-a-duplicate",
        "s3mr.coordinator.barrier",
        9,
        (
            "            self._counters += one.counters\n",
            "            self._counters += one.counters\n"
            "            self._counters += one.counters if one.attempt > 1 else Counters()\n",
        ),
    ),
    mutant(
        "a-second-failure-is-noted",
        _MEMORY,
        47,
        ("if one is None or one.failure is not None:", "if one is None:"),
    ),
    mutant("log-nothing", _RECORDING, 2, ("if verdict is not Verdict.WON:", "if verdict is Verdict.FORGED:")),
    mutant(
        "ignored-are-not-counted",
        _TRANSITIONS,
        7,
        ('"counters": job.counters + counters, "ignored": ignored}', '"counters": job.counters + counters}'),
    ),
    mutant(
        "believe-of-which-task-a-manifest-is",
        _RECORDING,
        256,
        (
            "(manifest.phase, manifest.task, manifest.attempt, manifest.worker) != own",
            "(manifest.phase, manifest.attempt, manifest.worker) != (own[0], own[2], own[3])",
        ),
    ),
    # What a tick does only once it leads.
    mutant(
        "commit-without-a-fence",
        _TICKING,
        1,
        ("        lead.renew()  # fences off an older tick before the first part is completed\n", ""),
    ),
    mutant(
        "stop-without-a-fence",
        _TICKING,
        2,
        ("        job = lead.renew()\n        for phase in", "        job = lead.job\n        for phase in"),
    ),
    mutant(
        "release-without-a-fence",
        _TICKING,
        1,
        ("        job = lead.renew()\n        job_id =", "        job = lead.job\n        job_id ="),
    ),
    mutant("done-is-kept-into-reduce", _TRANSITIONS, 1, ('            "done": 0,\n', "")),
    mutant(
        "judge-silence-by-a-later-clock",
        _TICKING,
        1399,
        ("stop or self._overdue(seen.job), now)", "stop or self._overdue(seen.job), self.clock.now())"),
    ),
)
