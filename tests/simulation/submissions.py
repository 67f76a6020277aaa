"""The invariants of submitting and resuming: L1 (given up if refused), S4 (same inputs), S10 (adopted results)."""

from s3mr.model.job import JobSpec, JobState, Phase
from tests.simulation.facts import Facts
from tests.simulation.loop import Process


class Submissions:
    """Checks the jobs that people create."""

    def __init__(self, facts: Facts) -> None:
        self._facts, self._check = facts, facts.check
        self._made: dict[Process, str] = {}  # the job that a person's process has created
        self._made_at: dict[str, float] = {}  # when a job was first created, by the true time

    def made(self, process: Process, spec: JobSpec) -> None:
        """S4: a job with changed inputs is not resumed: it would mix old and new."""
        self._made[process] = spec.job_id
        self._made_at.setdefault(spec.job_id, self._facts.loop.now)
        old, changed_at = self._facts.jobs.get(spec.resumed_from or ""), self._facts.history.inputs_changed_at
        if old is not None and changed_at is not None:
            mixes = self._made_at[old.spec.job_id] < changed_at < process.born_at
            self._check(not mixes, "S4", f"job {old.spec.job_id} was resumed, and its inputs have changed")

    def gave_up(self, process: Process) -> None:
        """L1: a job whose submission is refused has ended, unless a process drives it."""
        job = self._facts.jobs.get(self._made.get(process, ""))
        if job is not None:
            ended = not job.phase.working or bool(job.writer)
            self._check(ended, "L1", f"job {job.spec.job_id} was refused, and not given up")

    def accepted(self, job: JobState) -> None:
        """S2: a job whose submission is accepted can begin, or has ended: the output has only its own parts."""
        if not self._facts.jobs[job.spec.job_id].phase.working:
            return
        foreign = self._facts.foreign_parts(job)
        self._check(not foreign, "S2", f"job {job.spec.job_id} was accepted, and its output holds {foreign}")

    def check_adopted(self, job: JobState | None) -> None:
        """S10: a resumed job first adopts all completed results that are undamaged."""
        if job is None or job.spec.resumed_from is None or job.spec.resumed_from in self._facts.erased:
            return
        facts, old = self._facts, job.spec.resumed_from
        if job.attempts or job.writer or not job.phase.working or job.spec.last_phase is Phase.MAP:
            return  # it is already driven, or can adopt nothing
        for one in facts.winning(old, Phase.MAP):
            done = (job.spec.job_id, Phase.MAP, one.task) in facts.winners
            left = not done and facts.is_stored(facts.jobs[old], one)
            self._check(not left, "S10", f"map {one.task} had won, and the job that resumes it has not adopted that")
