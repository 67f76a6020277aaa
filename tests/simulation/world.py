"""One seed, from its scenario to its verdict: the real coordinator, recorder and workers in a simulated world."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from s3mr import limits
from s3mr.adapters.memory import MemoryJobStore, MemoryObjectStore
from s3mr.adapters.memory_data import MemoryFolder, MemoryInputs
from s3mr.coordinator import resuming
from s3mr.errors import S3mrError
from s3mr.model.job import FailureKind, Phase
from s3mr.model.report import Report, TaskRequest
from tests.simulation import judging, stragglers
from tests.simulation.cloud import Cloud
from tests.simulation.facts import Facts
from tests.simulation.faults import Faults, Strike
from tests.simulation.history import History, since_start, task_of
from tests.simulation.invariants import Invariants
from tests.simulation.loop import START, Loop, Process
from tests.simulation.parts import Parts
from tests.simulation.people import Person
from tests.simulation.ports import AnyOrder, Deaths, Operations, SeededEntropy, VirtualClock
from tests.simulation.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    violation: str | None
    digest: str  # the same for the same seed, always
    strikes: tuple[Strike, ...]
    phases: tuple[Phase, ...]  # of the jobs, as they ended
    operations: int
    virtual_s: float
    trace: tuple[str, ...]


class World:
    """See the module."""

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
        self.invariants = Invariants(self.facts)
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
            clock=VirtualClock(self.loop),
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
        self.people = [self._person(resumes=scenario.resumes)]
        self.cancelled = False
        self.executions = 0
        self.verdicts: Counter[str] = Counter()
        self.committing_at: dict[str, float] = {}  # jobs

    def run(self) -> Outcome:
        """Let everything happen, heal the world, and say what has become of it."""
        batch, segment = self.scenario.batch, self.scenario.segment
        small = patch.multiple(limits, LAUNCH_BATCH=batch, COMMIT_BATCH=batch, INDEX_SEGMENT_TASKS=segment)
        with small, patch.object(resuming, "ADOPT_BATCH", batch):
            return self._run()

    def _run(self) -> Outcome:
        scenario = self.scenario
        self.people[0].begin()
        if scenario.rival_at_s is not None:
            self.people.append(self._person(resumes=False))
            self.loop.after(scenario.rival_at_s, self.people[1].begin)
        for at_s, happens in (
            (scenario.cancel_at_s, self._cancel),
            (scenario.second_coordinator_at_s, self._coordinate_again),
            (scenario.stop_at_s, self._stop),
            (scenario.input_changes_at_s, self._change_input),
            (scenario.object_vanishes_at_s, self._lose_object),
            (scenario.upload_vanishes_at_s, self._lose_upload),
            (scenario.heals_at_s, self._heal),
        ):
            if at_s is not None:
                self.loop.after(at_s, happens)
        try:
            self._until_quiet()
        finally:
            self.loop.close()
        violation = self.facts.violation or judging.judge(self)
        return Outcome(
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

    # What happens from outside.

    def _heal(self) -> None:
        """From here nothing goes wrong any more; and somebody looks after the jobs, now and then."""
        self.faults.healed = True
        self.loop.after(judging.CANCEL_BOUND_S, lambda: judging.check_cancelled(self))
        self._look()

    def _look(self) -> None:
        for person in self.people:
            if not any(process.work is person for process in self.loop.processes.values()):
                person.look()
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
        """Stop the execution of every job that goes on."""
        for job_id, job in list(self.facts.jobs.items()):
            if job.epoch and not job.released and self.faults.scheduled("stop", job_id):
                self.cloud.abort(job_id)

    def _change_input(self) -> None:
        if self.faults.scheduled("change-input", "in/0"):
            self.history.inputs_changed = True
            content = self.inputs.objects["in/0"]
            self.inputs.objects["in/0"] = content.replace(b"k0", b"z0") or b"k0\n"

    def _lose_object(self) -> None:
        found = sorted(key for key in self.bucket.objects if not key.endswith("bundle.zip"))
        if found and self.faults.scheduled("lose-object", found[-1]):
            self.history.damages += 1
            del self.bucket.objects[found[self.faults.below(len(found))]]

    def _lose_upload(self) -> None:
        found = sorted(self.folder.uploads)
        if found and self.faults.scheduled("lose-upload", found[0]):
            self.history.damages += 1
            del self.folder.uploads[found[self.faults.below(len(found))]]

    # The watcher and witness: invariants and history, each what is theirs.

    def before(self, process: Process, port: str, method: str, args: tuple[Any, ...]) -> None:
        self.invariants.before(process, port, method, args)

    def after(self, process: Process, port: str, method: str, args: tuple[Any, ...], more: Any, answer: Any) -> None:
        if method == "create" and answer and isinstance(process.work, Person):
            process.work.made(args[0].spec.job_id)
        if method == "replace" and answer and args[0].phase is Phase.COMMITTING:
            self.committing_at.setdefault(args[0].spec.job_id, self.loop.now)
        if method == "request_cancel":
            self.history.cancelled.add(args[0])
        if method == "replace" and args[0].phase is self.scenario.cancel_in and not self.cancelled:
            self.loop.after(0, self._cancel)
        if method == "begin":
            judging.check_room(self, args[0])
        self.invariants.after(process, port, method, args, more, answer)

    def harmed(self, process: Process, fault: str) -> None:
        self.history.harmed(process, fault)

    def harm(self, request: TaskRequest, fault: str) -> None:
        self.history.harm(request, fault)

    def invoked(self, request: TaskRequest, payload: str) -> None:
        self.invariants.invoked(request, payload)

    def executes(self, process: Process) -> None:
        self.executions += 1
        self.operations.note(f"{process.name} executes {process.work.phase} {process.work.task}")

    def no_room(self, request: TaskRequest) -> None:
        self.history.no_rooms[task_of(request)] += 1

    def reported(self, request: TaskRequest, report: dict[str, Any]) -> None:
        if (report["failure"] or {}).get("kind") == FailureKind.NO_ROOM:
            self.no_room(request)
        self.invariants.reported(report)

    def delivered(self, event: object) -> None:
        self.invariants.delivered(event)

    def recorded(self, event: object, report: Report | None, verdict: str) -> None:
        self.operations.note(f"recorded {verdict}")
        self.verdicts[verdict] += 1
        self.invariants.recorded(event, report, verdict)

    def crashed(self, process: Process, error: Exception) -> None:
        if isinstance(error, S3mrError) and (self.history.damages or process.work in self.facts.erased):
            return  # what it read was damaged outside of any job's step, or its job is gone: its execution fails
        self.invariants.crashed(process, error)

    def stopped(self, job_id: str) -> None:
        self.history.stopped.add(job_id)

    def round_over(self, job_id: str, *, stop: bool) -> None:
        job = self.facts.jobs.get(job_id)
        self.facts.check(not (stop and job and job.phase.working), "L1", f"job {job_id} was to be ended, and goes on")
        stragglers.check(self, job_id)

    def _person(self, *, resumes: bool) -> Person:
        parts = self.parts
        return Person(self.loop, self.faults, self.cloud, self.table, parts.resumer(), parts.order(), resumes=resumes)
