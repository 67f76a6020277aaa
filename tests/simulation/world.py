"""Run one seed from its scenario to its verdict: real coordinator, recorder and workers in a simulated world."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from s3mr import limits
from s3mr.adapters.memory.memory_data import MemoryFolder, MemoryInputs
from s3mr.adapters.memory.memory_stores import MemoryJobStore, MemoryObjectStore
from s3mr.coordinator import adoption
from s3mr.errors import S3mrError
from s3mr.model.job import FailureKind, JobState, Phase
from s3mr.model.report import Report, TaskRequest
from tests.simulation import judging, stragglers
from tests.simulation.cloud import Cloud
from tests.simulation.facts import Facts
from tests.simulation.faults import Faults, Strike
from tests.simulation.history import History, attempt_of, since_start, task_of
from tests.simulation.invariants import Invariants
from tests.simulation.loop import START, Loop, Process
from tests.simulation.parts import Parts
from tests.simulation.people import Person
from tests.simulation.ports import AnyOrder, Deaths, Operations, SeededEntropy, VirtualClock
from tests.simulation.scenario import RIVAL, Scenario
from tests.simulation.submissions import Submissions
from tests.simulation.visible import read_note

LATE_S: Final = 10.0  # between the log of a launch and the launch


@dataclass(frozen=True, slots=True)
class SeedOutcome:
    """The result of one seed."""

    seed: int
    violation: str | None
    digest: str  # always the same for the same seed
    strikes: tuple[Strike, ...]
    phases: tuple[Phase, ...]  # of the jobs, at the end
    operations: int
    virtual_s: float
    trace: tuple[str, ...]


class World:
    """Runs one scenario: see the module."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        allowed: frozenset[int] | None = None,
        deaths: Deaths | None = None,
        keeps_trace: bool = False,
    ) -> None:
        self.scenario = scenario
        self.loop = Loop()
        self.faults = Faults(scenario, self.loop, allowed)
        self.history = History()
        self.table = MemoryJobStore()
        self.bucket = MemoryObjectStore()
        self.folder = MemoryFolder()
        self.sources = {f"in/{number}": text for number, text in enumerate(scenario.texts)}
        self.inputs = MemoryInputs(self.sources)
        self.facts = Facts(self.loop, self.table, self.bucket, self.folder, self.history)
        self.invariants = Invariants(self.facts, scenario)
        self.submissions = Submissions(self.facts)
        self.deaths = deaths or Deaths()
        self.operations = Operations(self.loop, self.faults, self, self.deaths, keeps_trace=keeps_trace)
        self.parts = Parts(
            scenario,
            self.operations,
            self.faults,
            self.history,
            store=self.operations.port(self.table, "table"),
            objects=self.operations.port(self.bucket, "objects"),
            inputs=self.inputs,
            folder=self.folder,
            clock=VirtualClock(self.loop, self.faults),
            entropy=SeededEntropy(scenario.seed),
            parallel=AnyOrder(self.faults),
        )
        self.cloud = Cloud(
            scenario,
            self.loop,
            self.faults,
            self,
            ticker=self.parts.ticker,
            recorder=self.parts.recorder,
            worker=self.parts.work,
        )
        self.people = [self._person("job", resumes=scenario.resumes)]
        self.cancelled = False
        self.executions = 0
        self.writes = 0  # writes of jobs, by coordinators
        self.verdicts: Counter[str] = Counter()

    def run(self) -> SeedOutcome:
        """Run the scenario, heal the world, and return the result."""
        batch, segment = self.scenario.batch, self.scenario.segment
        small = patch.multiple(limits, LAUNCH_BATCH=batch, COMMIT_BATCH=batch, INDEX_SEGMENT_TASKS=segment)
        with small, patch.object(adoption, "ADOPT_BATCH", batch):
            return self._run()

    def _run(self) -> SeedOutcome:
        scenario = self.scenario
        self.people[0].begin()
        if scenario.rival_at_s is not None:
            self.people.append(self._person(RIVAL, resumes=False))
            self.loop.after(scenario.rival_at_s, self.people[1].begin)
        for at_s, happens in (
            (scenario.cancel_at_s, self._cancel),
            (scenario.second_coordinator_at_s, self._coordinate_again),
            (scenario.stop_at_s, self._stop),
            (scenario.input_changes_at_s, self._change_input),
            (scenario.object_vanishes_at_s, self._lose_object),
            (scenario.object_shrinks_at_s, self._shorten_object),
            (scenario.upload_vanishes_at_s, self._lose_upload),
            (scenario.machine_dies_at_s, self._lose_machine),
            (scenario.looks_at_s, self._people_look),
            (scenario.heals_at_s, self._heal),
        ):
            if at_s is not None:
                self.loop.after(at_s, happens)
        try:
            self._until_quiet()
        finally:
            self.loop.close()
        violation = self.facts.violation or judging.judge(self)
        return SeedOutcome(
            seed=scenario.seed,
            violation=violation,
            digest=self.operations.digest,
            strikes=tuple(self.faults.struck),
            phases=tuple(job.phase for job in self.facts.jobs.values()),
            operations=self.operations.count,
            virtual_s=since_start(self.loop.now),
            trace=tuple(self.operations.trace),
        )

    def _until_quiet(self) -> None:
        ends_at = START + self.scenario.heals_at_s + judging.bound_s(self.scenario)
        while self.facts.violation is None and self.loop.step():
            if self.loop.now > ends_at and (goes_on := judging.unfinished(self) or ", ".join(self.loop.processes)):
                self.facts.broken("L1", f"long after the world has healed: {goes_on}")

    # External events.

    def _heal(self) -> None:
        """Stop injecting faults, and check on the jobs now and then."""
        self.faults.healed = True
        self.loop.after(judging.CANCEL_BOUND_S, lambda: judging.check_cancelled(self))
        self._look()

    def _people_look(self) -> None:
        for person in self.people:
            if not any(process.work is person for process in self.loop.processes.values()):
                person.look()

    def _look(self) -> None:
        self._people_look()
        for job_id in self.facts.jobs:
            if not self.cloud.has_coordinator(job_id) and job_id not in self.facts.erased:
                self.cloud.coordinate(job_id)
        busy = any(process.kind == "person" for process in self.loop.processes.values())
        if busy or judging.unfinished(self):
            self.loop.after(30.0, self._look)
        elif self.scenario.cleans:
            for person in self.people:
                person.clean()

    def _cancel(self) -> None:
        self.cancelled = True
        self.operations.note("somebody cancels")
        self.people[0].cancel()

    def _coordinate_again(self) -> None:
        """Start a second coordinator, as somebody does who believes that the first one is dead."""
        for job_id, job in list(self.facts.jobs.items()):
            if job.epoch and self.faults.scheduled("second-coordinator", job_id):
                self.cloud.coordinate(job_id)

    def _stop(self) -> None:
        """Stop the execution of every running job."""
        for job_id, job in list(self.facts.jobs.items()):
            if job.epoch and not job.released and self.faults.scheduled("stop", job_id):
                self.cloud.abort(job_id)

    def _lose_machine(self) -> None:
        if self.faults.scheduled("lose-machine", "all of it"):
            self.history.taken_over |= self.cloud.lose_machine()
            self.history.died |= {key for key in self.table._live if key[0] not in self.history.taken_over}

    def _change_input(self) -> None:
        content = self.inputs.objects["in/0"]
        if b"k0" in content and self.faults.scheduled("change-input", "in/0"):
            self.history.inputs_changed_at = self.loop.now
            self.inputs.objects["in/0"] = content.replace(b"k0", b"z0")

    def _lose_object(self) -> None:
        found = sorted(key for key in self.bucket.objects if not key.endswith("bundle.zip") and read_note(key) is None)
        if key := self._one_of(found, "lose-object"):
            del self.bucket.objects[key]

    def _shorten_object(self) -> None:
        """Truncate a map task's object. s3mr never does that, so it must not rely on it."""
        found = sorted(key for key, body in self.bucket.objects.items() if "/map/worker-" in key and body)
        if key := self._one_of(found, "shorten-object"):
            self.bucket.objects[key] = self.bucket.objects[key][:-1]

    def _lose_upload(self) -> None:
        if key := self._one_of(sorted(self.folder.uploads), "lose-upload"):
            del self.folder.uploads[key]

    def _one_of(self, found: list[str], fault: str) -> str | None:
        """Return a random element of ``found`` to damage now, or None for no damage."""
        if not found or not self.faults.scheduled(fault, found[-1]):
            return None
        self.history.damaged(self.loop.now)
        return found[self.faults.below(len(found))]

    # Watcher and witness: pass events to the invariants and the history.

    def before(self, process: Process, port: str, method: str, args: tuple[Any, ...]) -> None:
        self.invariants.before(process, port, method, args)

    def after(self, process: Process, port: str, method: str, args: tuple[Any, ...], more: Any, answer: Any) -> None:
        if method == "create" and answer and isinstance(process.work, Person):
            process.work.made(args[0].spec)
            self.history.began_at[args[0].spec.job_id] = process.born_at
            self.submissions.made(process, args[0].spec)
        if method == "replace" and process.kind == "tick":
            judging.check_deadline(self, process, args[0])
            self.writes += 1
            if self.writes == self.scenario.machine_dies_at_write:
                self.loop.after(0, self._lose_machine)
        if method == "request_cancel":
            self.history.cancelled.add(args[0])
        if method == "replace" and args[0].phase is self.scenario.cancel_in and not self.cancelled:
            self.loop.after(0, self._cancel)
        if method == "begin":
            judging.check_room(self, args[0])
        self.invariants.after(process, port, method, args, more, answer)
        if method == "claim_output" and process.kind == "person" and answer is None:
            job = self.facts.jobs.get(more["job_id"])
            self.submissions.check_adopted(job)
            if job is not None and job.phase.terminal:
                self.history.claimed_late.add(job.spec.job_id)
        if self.scenario.driven_early and process.kind == "person" and answer:
            self._drive_early(process, method, args)

    def harmed(self, process: Process, fault: str) -> None:
        self.history.harmed(process, fault, self.loop.now)

    def unheard(self, request: TaskRequest) -> None:
        self.history.died.add(attempt_of(request))

    def invoked(self, request: TaskRequest, payload: str) -> None:
        if self.loop.now + limits.start_s(waiting_s=self.scenario.waiting_s) > request.start_by + LATE_S:
            self.unheard(request)  # its lease began long ago
        self.history.invoked[attempt_of(request)] += 1
        judging.check_once(self, request)
        self.invariants.reports.sent(payload)

    def launched_again(self, process: Process, job_id: str, since: float) -> None:
        job = self.facts.jobs.get(job_id)
        if job is not None and job.phase.working and job_id not in self.history.cancelled | self.facts.erased:
            self.invariants.attempts.launched_again(process, job, since=since)
        self.history.taken_over.discard(job_id)

    def resumed(self, job: JobState) -> None:
        self.submissions.check_adopted(job)

    def accepted(self, job: JobState) -> None:
        self.submissions.accepted(job)

    def gave_up(self, process: Process) -> None:
        self.submissions.gave_up(process)

    def _drive_early(self, process: Process, method: str, args: tuple[Any, ...]) -> None:
        """Drive a job, as any command that finds it in the table may, once everything that it can adopt is adopted.

        Meanwhile, its submitter pauses.
        """
        if (method == "create" and args[0].spec.resumed_from is None) or (
            method == "replace" and args[0].phase.working
        ):
            self.loop.after(0, lambda: self.people[0].see_to(args[0].spec.job_id))
            if self.loop.current is process:
                self.loop.suspend(self.faults.between(0, 1))

    def executes(self, process: Process) -> None:
        self.executions += 1
        self.operations.note(f"{process.name} executes {process.work.phase} {process.work.task}")

    def no_room(self, request: TaskRequest) -> None:
        self.history.no_rooms[task_of(request)] += 1

    def reported(self, process: Process, report: dict[str, Any]) -> None:
        if (report["failure"] or {}).get("kind") == FailureKind.NO_ROOM:
            self.no_room(process.work)
        self.invariants.reports.reported(process, report)

    def lied(self, report: dict[str, Any]) -> None:
        self.invariants.reports.lied(report)

    def delivered(self, event: object) -> None:
        self.invariants.reports.delivered(event)

    def recorded(self, event: object, report: Report | None, verdict: str) -> None:
        self.operations.note(f"recorded {verdict}")
        self.verdicts[verdict] += 1
        assert self.loop.current is not None
        self.invariants.reports.recorded(self.loop.current, event, report, verdict)

    def crashed(self, process: Process, error: Exception) -> None:
        if isinstance(error, S3mrError) and (self.history.damages or process.work in self.facts.erased):
            return  # damage outside of a job's step, or an erased job: the execution fails
        self.invariants.crashed(process, error)

    def stopped(self, job_id: str) -> None:
        self.history.stopped.add(job_id)

    def ends(self, process: Process) -> None:
        self.invariants.ends(process)

    def round_over(self, job_id: str) -> None:
        stragglers.check(self, job_id)

    def _person(self, name: str, *, resumes: bool) -> Person:
        parts = self.parts
        return Person(
            self.loop,
            self.faults,
            self.cloud,
            self.table,
            parts.resumer(),
            parts.submission(name),
            resumes=resumes,
            drives=self.scenario.laptop,
            witness=self,
        )
