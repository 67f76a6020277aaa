"""The safety invariants S1 to S14, checked after every effect on the table, the bucket and the output.

A violation is reported with the invariant's number in the design's section 8, and what was observed.
"""

from typing import Any, Final

from s3mr import limits
from s3mr.coordinator.recorder import Verdict
from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from s3mr.model.manifest import Manifest, Part
from s3mr.model.report import TaskRequest
from tests.simulation.attempts import Attempts
from tests.simulation.facts import Facts
from tests.simulation.history import attempt_of
from tests.simulation.loop import Process
from tests.simulation.reports import Reports, own_token
from tests.simulation.scenario import Scenario
from tests.simulation.visible import Visible, read_note

_ORDER: Final = (
    Phase.MAP, Phase.REDUCE, Phase.COMMITTING, Phase.STOPPING, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED
)  # fmt: skip
_PORTS: Final = {
    "worker": ("objects", "inputs", "output", "part"),
    "record": ("table",),
    "tick": ("table", "objects", "output", "invoker"),
    "person": ("table", "objects", "inputs", "output"),
}
_ALLOWED: Final = {  # to workers
    "objects": ("put", "stream"),
    "inputs": ("stream",),
    "output": ("open_part",),
    "part": ("write", "finish", "abandon"),
}

_FENCED: Final = ("complete", "publish", "withdraw", "discard_open", "seal", "release_output")  # by an earlier write


class Invariants:
    """Watches one world, and reports its findings to the `Facts`."""

    def __init__(self, facts: Facts, scenario: Scenario) -> None:
        self._facts, self._check = facts, facts.check
        self.attempts = Attempts(facts, scenario)
        self.reports = Reports(facts)
        self.visible = Visible(facts)
        self._workers: dict[str, Process] = {}  # the first process with each worker ID
        self._leaders: dict[tuple[str, int], Process] = {}  # the process that wrote under each epoch
        self._ends: set[Process] = set()  # ticks that are to end their job
        self._leads: set[Process] = set()  # ticks that have written their job since they observed it
        self._overtaken: set[Process] = set()  # ticks whose last write was refused
        self._cancelling: set[Process] = set()  # ticks that have read that a working job is to be cancelled
        self._ignored: dict[Process, int] = {}  # completions that a tick has counted as ignored

    # Operations.

    def before(self, process: Process, port: str, method: str, args: tuple[Any, ...]) -> None:
        """S12: a process does only what its role allows. S9: an overtaken coordinator does nothing more."""
        self._check(port in _PORTS[process.kind], "S12", f"{process.name} used {port}.{method}")
        if process in self._overtaken:
            self._check(method == "observe", "S9", f"{process.name} was overtaken, and used {port}.{method}")
            self._overtaken.discard(process)
            self.attempts.overtaken(process)
        if process.kind == "tick" and method in _FENCED and not self._facts.jobs[process.work].released:
            self._check(process in self._leads, "S9", f"{process.name} used {port}.{method}, and leads nothing")
        if port == "invoker":
            self.attempts.asked(process, attempt_of(args[0]))
        if process.kind != "worker":
            return
        self._check(method in _ALLOWED[port], "S12", f"{process.name} used {port}.{method}")
        job = self._facts.jobs[process.work.spec.job_id]
        self.attempts.works(process)
        if port == "part":
            self.reports.wrote(process, method)
        if port != "inputs" and method != "stream" and job.spec.job_id not in self._facts.erased:
            late_s = self._facts.loop.now - job.last_lease_until
            self._check(late_s <= 0, "S7", f"{process.name} wrote {late_s:.1f} s after the last lease")
        if port == "objects" and method == "put":
            own, note = f"{object_names.pieces_prefix(process.work.spec.job_id)}worker-", read_note(args[0])
            self._check(note is not None or args[0].startswith(own), "S12", f"{process.name} put {args[0]}")
            self._uses_worker(process, note.worker if note else args[0].removeprefix(own).split("-")[0])

    def after(self, process: Process, port: str, method: str, args: tuple[Any, ...], more: Any, answer: Any) -> None:
        """Check what the operation has changed."""
        if process.kind == "tick":
            self._after_tick(process, method, args, answer)
        if port == "table":
            if method == "record_failure":
                self.reports.noted(process, args[0], more["phase"], more["attempt"], answer=answer)
            if method == "record_failure" and answer:
                self.attempts.failed(args[0], more["phase"], more["attempt"], more["failure"].kind, more["failed_at"])
            self._after_table(process, method, args, more, answer)
        elif port == "objects" and method in ("put", "copy", "delete"):
            self.visible.after_objects(process, method, args)
        elif port == "invoker":
            self._invoked(process, args[0])
        elif port == "output" and method != "check":
            if method == "open_part":
                self._uses_worker(process, answer._worker)
                self.visible.opened(answer._number)
            if method == "complete":
                self._completed(process, args[0])
            self.visible.after_output()

    def _after_tick(self, process: Process, method: str, args: tuple[Any, ...], answer: Any) -> None:
        """L4: a tick that has read a cancel request does nothing before it starts to end the job."""
        if method == "observe":
            self.attempts.observed(process, answer)
            self._leads.discard(process)
            asked = answer is not None and answer.cancel_requested and answer.job.phase.working
            (self._cancelling.add if asked else self._cancelling.discard)(process)
        elif method == "replace" and process in self._ends:
            self._check(not args[0].phase.working, "L1", f"{process.name} was to end its job, and goes on")
        elif process in self._cancelling and method in ("replace", "begin", "claim_output"):
            self._cancelling.discard(process)
            stops = method == "replace" and args[0].phase is Phase.STOPPING and args[0].cancelled
            self._check(stops, "L4", f"{process.name} had read of a cancel, and did {method}")

    def _completed(self, process: Process, part: Part) -> None:
        """S10: a commit saves its progress, so that the next tick does not complete all parts again."""
        ahead = int(part.name.removeprefix(object_names.PART_PREFIX)) - self._facts.jobs[process.work].cursor
        self._check(ahead < limits.COMMIT_BATCH, "S10", f"{part.name} is completed, and {ahead} more may be again")

    # Attempts and executions.

    def _invoked(self, process: Process, request: TaskRequest) -> None:
        """S5: a reducer starts only after all map winners are fixed."""
        if request.spec.job_id in self._facts.erased:
            return  # the caller paused for so long that the job was erased
        job = self._facts.jobs[request.spec.job_id]
        own = request.token == own_token(job, attempt_of(request))
        self._check(own, "S1", f"{request.phase} {request.task} was invoked with a token that is not its attempt's")
        self.attempts.invoked(process, attempt_of(request))
        if request.phase is Phase.REDUCE:
            won = len(self._facts.winning(job.spec.job_id, Phase.MAP))
            self._check(won == job.spec.map_tasks, "S5", f"a reducer was started with {won} map winners")

    def ends(self, process: Process) -> None:
        """Record that a tick is to end its job."""
        self._ends.add(process)

    def crashed(self, process: Process, error: Exception) -> None:
        """Tick, record and workers raise no error, except for a busy service."""
        self._facts.broken("bug", f"{process.name} raised {type(error).__name__}: {error}")

    def _uses_worker(self, process: Process, worker: str) -> None:
        first = self._workers.setdefault(worker, process)
        self._check(first is process, "S8", f"{process.name} and {first.name} are both worker {worker}")

    # The table.

    def _after_table(self, process: Process, method: str, args: tuple[Any, ...], more: Any, answer: Any) -> None:
        if method == "replace" and process.kind == "tick":
            (self._leads if answer else self._overtaken).add(process)
        if method in ("create", "replace") and answer:
            self._job_written(process, self._facts.table.read_job(args[0].spec.job_id))
        elif method == "commit":
            self._winners_kept(process)
        elif method == "begin":
            for one in args[1]:
                self.attempts.begin(args[0], one)
        elif method == "erase":
            self._erased(args[0].spec.job_id)
        elif method == "seal":
            self._winners_kept(process)
        elif method == "count_ignored":
            self._ignored[process] = answer
            self._check(answer == self._known_ignored(args[0]), "S10", f"{answer} completions are ignored")
        elif method == "release_output":
            self.visible.claim_released(more["job_id"])

    def _job_written(self, process: Process, job: JobState | None) -> None:
        if job is None:
            return
        before = self._facts.jobs.get(job.spec.job_id)
        leader = self._leaders.setdefault((job.spec.job_id, job.epoch), process)
        same = before == job and process.kind == leader.kind == "person"  # both only adopt: neither leads
        both = f"{leader.name} and {process.name} both wrote under epoch {job.epoch}"
        self._check(leader is process or same, "S9", both)
        self._facts.jobs[job.spec.job_id] = job
        if before is None:
            self._created(job)
        if before is None or before == job:
            return
        name = f"job {job.spec.job_id}"
        self._check(before.epoch <= job.epoch <= before.epoch + 1, "S9", f"{name}: epoch {before.epoch} → {job.epoch}")
        self._check(
            _ORDER.index(before.phase) <= _ORDER.index(job.phase), "S9", f"{name}: {before.phase} → {job.phase}"
        )
        self._check(not before.phase.terminal or job.phase is before.phase, "S6", f"{name}: {before.phase} changed")
        self._check(
            job.phase is not Phase.SUCCEEDED or before.phase in (Phase.COMMITTING, Phase.SUCCEEDED),
            "S9",
            f"{name} succeeded without a commit",
        )
        self._check((job.spec, job.secret) == (before.spec, before.secret), "S9", f"{name}: what was asked changed")
        leased = before.last_lease_until <= job.last_lease_until
        self._check(leased, "S7", f"{name}: the last lease ends earlier than one that was given")
        self.attempts.logged(process, before, job)
        won = len(self._facts.winning(job.spec.job_id, job.phase))
        plausible = not job.phase.working or 0 <= job.done <= won
        self._check(plausible, "S10", f"{name}: {job.done} tasks are said to be done, {won} are")
        self._check(before.phase.working or job.cancelled == before.cancelled, "S9", f"{name}: cancelled too late")
        if job.phase is Phase.COMMITTING and before.phase is not Phase.COMMITTING:
            self.visible.committing(job)
            self.reports.committing(job)
            self._facts.check_all_won(job)
            self._check(
                job.ignored == self._ignored.get(process), "S10", f"{name}: {job.ignored} are said to be ignored"
            )
        if job.failure is not None and before.failure is None:
            self.attempts.stopping(process, job)
        if job.phase.terminal and not before.phase.terminal:
            self.visible.ended(job)
        if job.released and not before.released:
            self.visible.released(job)

    def _created(self, job: JobState) -> None:
        """S3: a job is created only after everything that its workers read."""
        needs = (object_names.plan(job.spec.job_id), object_names.bundle(job.spec.job_id))
        missing = [key for key in needs if key not in self._facts.bucket.objects]
        there = not missing or self._facts.history.damages > 0
        self._check(there, "S3", f"job {job.spec.job_id} is written down without {missing}")

    def _known_ignored(self, job: JobState) -> int:
        """Return how many executions have completed in vain."""
        log, job_id = self._facts.table.log, job.spec.job_id
        known = (one for key, one in log.items() if key[0] == job_id)
        return sum(verdict == Verdict.IGNORED and report.manifest is not None for report, verdict, _ in known)

    def _winners_kept(self, process: Process) -> None:
        """S1: winners never change. S3: their objects exist. S6: no task wins after the end."""
        standing = self._facts.table._winners
        for key, manifest in self._facts.winners.items():
            if standing.get(key) is not manifest:
                self._facts.broken("S1", f"the winner of {key} was replaced by {standing.get(key)}")
        for key, found in standing.items():
            if key in self._facts.winners or not isinstance(found, Manifest) or key[0] in self._facts.erased:
                continue  # a late write after a clean names an erased job
            self._facts.won(key, found)
            job = self._facts.jobs[key[0]]
            by_person = process.kind == "person"  # adopted for a job that was given up, and that no process drives
            self._check(by_person or not job.phase.terminal, "S6", f"{key} was won after the job had {job.phase}")
            self.reports.won(key, found)
            self._facts.check_stored(job, found)

    def _erased(self, job_id: str) -> None:
        self._facts.erased.add(job_id)
        self._facts.winners = {key: one for key, one in self._facts.winners.items() if key[0] != job_id}
