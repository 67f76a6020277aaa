"""The mutants: each breaks one promise of the protocol, and the simulator must notice every one.

A mutant that survives is a hole in the invariants. Left out are changes that another check makes harmless (two
checksums over the same bytes, say): they cannot be seen from outside, by anybody.
"""

from typing import Final

from tests.simulation.mutation import Mutant

_TICKING: Final = "s3mr.coordinator.ticking"
_RECORDING: Final = "s3mr.coordinator.recording"
_COMMITTING: Final = "s3mr.coordinator.committing"
_LAUNCHING: Final = "s3mr.coordinator.launching"
_LEADING: Final = "s3mr.coordinator.leading"
_RETRYING: Final = "s3mr.policy.retrying"
_SCHEDULING: Final = "s3mr.policy.scheduling"
_MEMORY: Final = "s3mr.adapters.memory"
_MEMORY_DATA: Final = "s3mr.adapters.memory_data"


def _mutant(name: str, module: str, seed: int, *changes: tuple[str, str]) -> Mutant:
    return Mutant(name, module, seed, changes)


MUTANTS: Final = (
    # The fence and the phases.
    _mutant("skip-the-epoch", _LEADING, 1, ('"epoch": self.job.epoch + 1', '"epoch": self.job.epoch')),
    _mutant(
        "one-epoch-a-tick",  # as it once was: what a tick read between two writes of another, it could write back
        _LEADING,
        5,
        ("        self.job = job\n", "        self.job = job\n        self._read = job.epoch\n"),
        ('"epoch": self.job.epoch + 1', '"epoch": max(self.job.epoch, self._read + 1)'),
    ),
    _mutant(
        "replace-without-condition",
        _MEMORY,
        3,
        ("if standing is None or (standing.epoch != epoch and standing != job):", "if standing is None:"),
    ),
    _mutant("two-that-write-the-same-both-lead", _LEADING, 5, ('"writer": self._writer}', '"writer": ""}')),
    _mutant("cancel-is-not-heard", _TICKING, 11, ("        elif seen.cancel_requested:\n", "        elif False:\n")),
    _mutant("lost-race-is-won", _LEADING, 3, ("            raise FencedError\n", "            pass\n")),
    _mutant(
        "cancel-after-the-point-of-no-return",
        _TICKING,
        24,
        (
            "        elif job.phase is Phase.COMMITTING:\n",
            "        elif job.phase is Phase.COMMITTING and not seen.cancel_requested:\n",
        ),
    ),
    _mutant(
        "reduce-before-the-barrier",
        _SCHEDULING,
        2,
        ("if not verdicts and job.cursor == job.spec.tasks(job.phase):", "if job.cursor == job.spec.tasks(job.phase):"),
    ),
    _mutant(
        "cursor-kept-into-reduce",
        _TICKING,
        1,
        ("                cursor=0,\n                done=0,", "                done=0,"),
    ),
    _mutant(
        "wins-after-the-end",
        _TICKING,
        15,
        ("            self.store.seal(job, phase, sorted(begun))\n", ""),
    ),
    _mutant(
        "seal-forgets-the-launch-log",
        _TICKING,
        367,
        ("                begun |= {one.task for one in job.launching.attempts}\n", "                pass\n"),
    ),
    # Winners.
    _mutant("last-attempt-wins", _MEMORY, 6, ("            if key not in self._winners:\n", "            if True:\n")),
    _mutant("trust-an-unverified-token", _RECORDING, 128, ("if not compare_digest(token, report.token):", "if False:")),
    _mutant(
        "trust-what-a-manifest-says",
        _RECORDING,
        128,
        ("failure = report.failure or _malformed(job, report)", "failure = report.failure"),
    ),
    _mutant(
        "forget-before-the-commit",
        _RECORDING,
        24,
        (
            "        answer = self.store.commit(job, report.manifest)\n",
            "        mine = [AttemptId(task=report.task, attempt=report.attempt)]\n"
            "        self.store.forget(report.job_id, report.phase, mine)\n"
            "        answer = self.store.commit(job, report.manifest)\n",
        ),
    ),
    _mutant(
        "one-worker-id-an-attempt",
        "s3mr.worker.executing",
        6,
        ("worker = surroundings.entropy.hex(_WORKER_DIGITS)", "worker = request.token[:_WORKER_DIGITS]"),
    ),
    _mutant(
        "report-before-the-bytes",
        "s3mr.worker.mapping",
        3,
        (
            "            surroundings.store.put(key, file)\n    return pieces",
            "            request.attempt > 1 or surroundings.store.put(key, file)\n    return pieces",
        ),
    ),
    _mutant(
        "count-a-duplicate",
        "s3mr.coordinator.barrier",
        2,
        (
            "            self._counters += one.counters\n",
            "            self._counters += one.counters\n"
            "            self._counters += one.counters if one.attempt > 1 else Counters()\n",
        ),
    ),
    # Launching, leases and budgets.
    _mutant(
        "launch-log-not-repeated",
        _TICKING,
        28,
        ("        elif job.launching is not None:\n", "        elif False:\n"),
    ),
    _mutant(
        "invoke-before-the-log",
        _LAUNCHING,
        1,
        ("        self.store.begin(job.spec.job_id, _live(job, attempts, self._lease_s(job)))\n", ""),
        (
            "        if refused:\n",
            "        self.store.begin(job.spec.job_id, _live(job, attempts, self._lease_s(job)))\n"
            "        if refused:\n",
        ),
    ),
    _mutant("begin-too-late", "s3mr.worker.executing", 25, ("if started_at > request.start_by:", "if False:")),
    _mutant("leases-never-end", _RETRYING, 3, ("if one.failure or one.lease_until > now:", "if True:")),
    _mutant(
        "leases-end-at-once",
        _LAUNCHING,
        45,
        ("            lease_until=at + lease_s,", "            lease_until=at + 1.0,"),
    ),
    _mutant(
        "one-attempt-too-many",
        _RETRYING,
        10,
        (
            "spent[FailureKind.USER] + spent[FailureKind.CRASH] >= spec.attempts",
            "spent[FailureKind.USER] + spent[FailureKind.CRASH] > spec.attempts",
        ),
    ),
    _mutant(
        "throttling-costs-attempts",
        _RETRYING,
        28,
        (
            "spent[FailureKind.USER] + spent[FailureKind.CRASH] >= spec.attempts",
            "sum(spent.values()) >= spec.attempts",
        ),
    ),
    _mutant(
        "no-room-costs-attempts",
        "s3mr.coordinator.receiving",
        360,
        ("kind=FailureKind.NO_ROOM if no_room else FailureKind.CRASH", "kind=FailureKind.CRASH"),
    ),
    _mutant("raise-as-often-as-you-like", _RETRYING, 1, ("if spent[FailureKind.USER] >= user_max:", "if False:")),
    _mutant("a-backup-a-tick", _SCHEDULING, 50, ("if not any(one.backup for one in attempts) and now", "if now")),
    _mutant("no-backups", _SCHEDULING, 2, ("if job.median_s is None:", "if True:")),
    _mutant("more-than-there-is-room-for", _SCHEDULING, 15, ("free=capacity - len(running)", "free=capacity")),
    _mutant(
        "launched-again-for-nothing",
        _LAUNCHING,
        45,
        ("            changes = {}\n        lead.save(launching=None)\n", "            changes = {}\n"),
    ),
    _mutant(
        "the-first-batch-is-all",
        _LAUNCHING,
        37,
        ("cursor=min(cursor, max([job.cursor, *fresh])),", "cursor=cursor,"),
    ),
    _mutant(
        "throttled-means-launched",
        _LAUNCHING,
        154,
        ("            raise next(answer for answer in answers if answer is not None)\n", ""),
    ),
    _mutant("stop-is-not-heard", _TICKING, 60, ("stop or self._overdue(seen.job)", "self._overdue(seen.job)")),
    _mutant("deadline-is-not-heard", _TICKING, 58, ("stop or self._overdue(seen.job)", "stop")),
    # The output.
    _mutant(
        "success-before-the-parts",
        _COMMITTING,
        1,
        (
            "    done = job.cursor\n",
            "    done = job.cursor\n    output.publish(success(job, winning_parts(job, store)))\n",
        ),
    ),
    _mutant(
        "one-part-is-forgotten",
        _COMMITTING,
        478,
        ("if number >= job.cursor)", "if number >= job.cursor + bool(job.cursor))"),
    ),
    _mutant(
        "complete-a-losers-upload",
        _MEMORY_DATA,
        17,
        (
            "upload = self._folder.uploads.pop(part.upload, None)",
            "number = next((n for n, one in self._folder.uploads.items() if one.name == part.name), '')\n"
            "        upload = self._folder.uploads.pop(number, None)",
        ),
    ),
    _mutant(
        "forget-to-abort",
        _COMMITTING,
        6,
        ("    output.discard_open(part_names(job), still_ours=", "    _ = (part_names(job), "),
    ),
    _mutant(
        "fail-on-an-unknown-answer",
        _TICKING,
        28,
        ("except (UserCodeError, RequestError, InvariantError) as error:", "except S3mrError as error:"),
        ("from s3mr.errors import ", "from s3mr.errors import S3mrError, "),
    ),
    _mutant(
        "a-failure-keeps-its-parts",
        _TICKING,
        174,
        ("            output.withdraw(committing.winning_parts(job, self.store))\n", ""),
    ),
    _mutant(
        "abort-another-jobs-uploads",
        _TICKING,
        18,
        ("still_ours=lambda: mine() == job_id)", "still_ours=lambda: True)"),
    ),
    _mutant("run-without-a-claim", _TICKING, 361, ("if not job.attempts and (refusal", "if False and (refusal")),
    _mutant(
        "claim-what-is-claimed",
        _MEMORY,
        228,
        ("                if job is not None and not job.released:\n", "                if False:\n"),
    ),
    # What is left behind.
    _mutant(
        "losers-stay-open-after-a-failure",
        _TICKING,
        15,
        (
            "            output.discard_open(committing.part_names(job), still_ours=",
            "            _ = (committing.part_names(job), ",
        ),
    ),
    _mutant(
        "a-success-keeps-its-pieces",
        _TICKING,
        1,
        ("                sweep(self.objects, job_id)\n", "                pass\n"),
    ),
    _mutant(
        "no-last-sweep",
        "s3mr.coordinator.driving",
        63,
        ('"done": tick.swept,', '"done": tick.over,'),
    ),
    _mutant(
        "sweep-while-attempts-live",
        _TICKING,
        63,
        ("left_s = max(0.0, seen.job.last_lease_until - self.clock.now())", "left_s = 0.0"),
    ),
    _mutant(
        "sweep-what-a-resume-needs",
        _TICKING,
        1,
        (
            "        if job.phase is Phase.SUCCEEDED:\n            if not job.spec.keep_intermediate:\n"
            "                sweep(self.objects, job_id)\n        else",
            "        sweep(self.objects, job_id)\n"
            "        if job.phase is Phase.SUCCEEDED:\n            pass\n        else",
        ),
    ),
    # The data plane.
    _mutant(
        "types-of-keys-are-not-compared",
        "s3mr.coordinator.barrier",
        54,
        ("            if one.key_type is not None:\n", "            if False:\n"),
    ),
    _mutant(
        "lose-a-line-at-a-split",
        "s3mr.formats.text",
        2,
        ("    blocks = read(split.start - 1, split.stop)\n", "    blocks = read(split.start, split.stop)\n"),
    ),
    _mutant(
        "trust-a-changed-input",
        _MEMORY_DATA,
        81,
        ("if self._object(source).etag != etag:", "if False:"),
    ),
    _mutant(
        "values-in-any-order",
        "s3mr.shuffle.merging",
        16,
        ("            before.extend(values)\n", "            before[:0] = values\n"),
    ),
    _mutant(
        "offsets-of-the-wrong-piece",
        "s3mr.shuffle.index",
        13,
        ("list(map(add, offsets, lengths))", "list(lengths)"),
    ),
)


def named(name: str) -> Mutant:
    """Return the mutant of that name."""
    return next(one for one in MUTANTS if one.name == name)
