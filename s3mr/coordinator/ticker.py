"""Tick a job, that is, take it one step further: read it from the table, decide (policy), act, and remember nothing.

A tick may die after any line. It logs launches before it performs them, and writes decisions under the epoch fence.
Everything else is idempotent. So the next tick continues from the table alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import BinaryIO

from s3mr import limits
from s3mr.coordinator import barrier, commit, transitions
from s3mr.coordinator.claim import claim_output
from s3mr.coordinator.fence import FencedError, Lead
from s3mr.coordinator.launcher import Launcher
from s3mr.coordinator.sweep import discard_uploads, sweep, sweep_leftovers
from s3mr.coordinator.transitions import PhaseProgress
from s3mr.errors import InvariantError, RequestError, TransientError, UserCodeError
from s3mr.model.job import AttemptId, Failure, FailureKind, JobSpec, JobState, LiveAttempt, Phase
from s3mr.policy import scheduler
from s3mr.ports import Clock, Entropy, JobStore, ObjectStore, Observation, Output, Parallel

TICK_SOON_S = 0.0
_WRITER_DIGITS = 16
_END_TICKS_MAX = 60  # a cancelled job needs four; more if another process ticks it as well


class NoSuchJobError(RequestError):
    """The table has no such job: it was never submitted, or it has been cleaned up."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The result of a tick: the job's new state, and when to tick again unless a report arrives before."""

    job: JobState
    wait_s: float
    swept: bool = False  # objects of late attempts are deleted, too: the job needs no more ticks

    @property
    def over(self) -> bool:
        """Whether the job has ended and released its claim, uploads and intermediates."""
        return self.job.released


@dataclass(frozen=True, slots=True)
class Ticker:
    """The coordinator: its ports, and the step that they perform."""

    store: JobStore
    objects: ObjectStore
    output_of: Callable[[JobSpec], Output]
    launcher: Launcher
    parallel: Parallel
    clock: Clock
    entropy: Entropy
    scratch: Callable[[], BinaryIO]
    capacity: int  # attempts that may run at once
    holds: str | None = None  # the job whose output this process has already claimed

    def tick(self, job_id: str, *, stop: Failure | None = None) -> Tick:
        """Take the job one step further. With ``stop``, end it, unless it has ended or is committing.

        Raises:
            NoSuchJobError: there is no such job.
            TransientError: a service is busy: tick again.
        """
        now = self.clock.now()  # before the read: if a lease has expired by now, the read sees every report in time
        seen = self.store.observe(job_id)
        if seen is None:
            raise NoSuchJobError(f"there is no job {job_id}")
        lead = self.lead(seen.job)
        if seen.job.released:
            self.store.release_output(seen.job.spec.output, job_id=job_id)  # its submitter may have claimed it late
            left_s = max(0.0, seen.job.last_lease_until - self.clock.now())
            if not left_s:
                sweep_leftovers(seen.job, self.objects, self.output_of(seen.job.spec))
            return Tick(seen.job, left_s, swept=not left_s)
        try:
            wait_s = self._step(lead, seen, stop or self._overdue(seen.job), now)
        except FencedError:
            wait_s = limits.STALL_S
        return Tick(lead.job, wait_s)

    def tick_to_end(self, job_id: str) -> JobState:
        """Tick an ending job until it holds nothing.

        Raises:
            NoSuchJobError: there is no such job.
            TransientError: a service is busy, or another process keeps hold of the job.
        """
        for _ in range(_END_TICKS_MAX):
            tick = self.tick(job_id)
            if tick.over:
                return tick.job
            self.clock.sleep(min(tick.wait_s, limits.POLL_S))
        raise TransientError(f"job {job_id} did not end after {_END_TICKS_MAX} ticks: try again")

    def lead(self, job: JobState) -> Lead:
        """Return the right to write ``job``. It ends when another tick writes the job."""
        return Lead(self.store, job, writer=self.entropy.hex(_WRITER_DIGITS))

    def _step(self, lead: Lead, seen: Observation, stop: Failure | None, now: float) -> float:
        job = lead.job
        if job.phase.terminal:
            self._release(lead, seen)
        elif job.phase is Phase.STOPPING:
            self._stop(lead, seen)
        elif job.phase is Phase.COMMITTING:
            self._guarded(lead, lambda: self._commit(lead))
        elif seen.cancel_requested:
            lead.save(transitions.stopping(lead.job, None))
        elif stop is not None:
            lead.save(transitions.stopping(lead.job, stop))
        elif job.launching is not None:
            self._guarded(lead, lambda: self.launcher.repeat(lead))
        else:
            return self._work(lead, seen, now)
        return TICK_SOON_S

    def _work(self, lead: Lead, seen: Observation, now: float) -> float:
        """Perform the actions that the policy decides on at ``now``."""
        job = lead.job
        if not job.attempts and not self._guarded(lead, lambda: self._take_output(job)):
            return TICK_SOON_S
        live = [one for one in seen.live if one.phase is job.phase]
        asked = scheduler.suspects(job, live, now=now)
        won = frozenset(self.store.manifests(job, job.phase, asked))
        progress = self._progress(job, [one for one in live if one.task not in won], now)
        learned = transitions.progressed(job, progress)
        actions = scheduler.decide(
            learned,
            live,
            won=won,
            capacity=min(self.capacity, job.spec.workers or self.capacity),
            now=now,
        )
        wait_s, wanted = TICK_SOON_S, 0
        for action in actions:
            match action:
                case scheduler.Forget(attempts):
                    self.store.forget(job.spec.job_id, job.phase, attempts)
                case scheduler.Launch(attempts, cursor):
                    wanted += len(attempts)
                    self._guarded(lead, partial(self.launcher.launch, lead, attempts, cursor=cursor, progress=progress))
                case scheduler.Advance():
                    self._guarded(lead, lambda: self._advance(lead, now))
                case scheduler.Stop(failure):
                    lead.save(transitions.stopping(lead.job, failure))
                case scheduler.Wait(seconds):
                    begun = lead.job.attempts - job.attempts
                    wait_s = seconds if begun == wanted else TICK_SOON_S  # some tasks had winners: slots are free
        if learned != job and lead.job.epoch == job.epoch:  # no write of this tick has saved it yet
            lead.save(learned)
        return wait_s

    def _take_output(self, job: JobState) -> None:
        """Claim the output of a job that has launched nothing: its submitter may have died before it did so."""
        if job.spec.job_id == self.holds:
            return
        claim_output(self.store, job.spec)
        self.output_of(job.spec).check_empty()

    def _progress(self, job: JobState, unfinished: Sequence[LiveAttempt], now: float) -> PhaseProgress:
        """Return the progress of the phase. ``unfinished`` attempts belong to tasks without a winner."""
        done = job.cursor - len({one.task for one in unfinished})
        sample = scheduler.median_sample(job, unfinished)
        durations = [one.duration_s for one in self.store.manifests(job, job.phase, sample).values()]
        return PhaseProgress(
            done=max(done, job.done),
            progressed_at=now if done > job.done else job.progressed_at,
            median_s=median(durations) if durations else job.median_s,
        )

    def _advance(self, lead: Lead, now: float) -> None:
        """Go to the next phase, because every task of this one has a winner."""
        job = lead.job
        if job.phase is not job.spec.last_phase:
            counters = barrier.write_shuffle_index(job, self.store, self.objects, scratch=self.scratch)
            lead.save(transitions.reducing(job, counters, at=now))
            return
        counters = commit.prepare(job, self.store, self.objects)
        ignored = self.store.count_ignored(job)
        lead.save(transitions.committing(job, counters, ignored=ignored))

    def _commit(self, lead: Lead) -> None:
        lead.renew()  # fences off an older tick before the first part is completed
        commit.complete(
            lead.job,
            self.store,
            self.objects,
            self.output_of(lead.job.spec),
            self.parallel,
            save_cursor=lambda parts: lead.save(transitions.completed(lead.job, parts)),
        )
        lead.save(transitions.ended(lead.job, Phase.SUCCEEDED, at=self.clock.now()))

    def _stop(self, lead: Lead, seen: Observation) -> None:
        """End a job that will not succeed. Seal its tasks first, so that no result is recorded after its end."""
        job = lead.renew()
        for phase in (Phase.MAP, Phase.REDUCE):
            begun = {one.task for one in seen.live if one.phase is phase}
            if job.launching and job.launching.phase is phase:
                begun |= {one.task for one in job.launching.attempts}
            self.store.seal(job, phase, sorted(begun))
        phase = Phase.CANCELLED if job.cancelled else Phase.FAILED
        lead.save(transitions.ended(job, phase, at=self.clock.now()))

    def _release(self, lead: Lead, seen: Observation) -> None:
        """Release what an ended job holds: open uploads, live attempts, intermediates, the claim on its output."""
        job = lead.renew()
        job_id = job.spec.job_id
        output = self.output_of(job.spec)
        if job.phase is Phase.SUCCEEDED:
            if not job.spec.keep_intermediate:
                sweep(self.objects, output, job.spec)
        else:
            discard_uploads(self.objects, output, job.spec, last=True)
            output.withdraw(commit.winning_parts(job, self.store))
        for phase in (Phase.MAP, Phase.REDUCE):
            left = [AttemptId(task=one.task, attempt=one.attempt) for one in seen.live if one.phase is phase]
            self.store.forget(job_id, phase, left)
        self.store.release_output(job.spec.output, job_id=job_id)
        lead.save(transitions.released(job))

    def _overdue(self, job: JobState) -> Failure | None:
        if self.clock.now() < job.created_at + job.spec.deadline_s:
            return None
        return Failure(
            kind=FailureKind.REQUEST,
            message=f"the job did not end within {job.spec.deadline_s:g} s: raise --deadline, or resume the job",
        )

    def _guarded(self, lead: Lead, step: Callable[[], None]) -> bool:
        """Call ``step``. If it raises an error that the job cannot survive, stop the job and return False."""
        try:
            step()
        except (UserCodeError, RequestError, InvariantError) as error:
            kinds = {UserCodeError: FailureKind.USER, RequestError: FailureKind.REQUEST}
            failure = Failure(
                kind=kinds.get(type(error), FailureKind.INVARIANT), message=str(error)[: limits.FAILURE_TEXT_MAX]
            )
            lead.save(transitions.stopping(lead.job, failure))
            return False
        return True
