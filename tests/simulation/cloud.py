"""A simulated cloud that runs tick, record and the workers as Lambda and Step Functions do, at their worst.

Sources: AWS Lambda developer guide, "Asynchronous invocation" (at least once; event age; two retries; destinations);
Step Functions developer guide, "Error handling" (a state's retriers).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final, Protocol

from s3mr.coordinator.destinations import receive
from s3mr.coordinator.recorder import Recorder
from s3mr.coordinator.relaunch import launch_again
from s3mr.coordinator.tick_round import perform
from s3mr.coordinator.ticker import NoSuchJobError, Ticker
from s3mr.errors import TransientError
from s3mr.model.report import Report, TaskRequest
from tests.simulation.faults import Faults
from tests.simulation.forging import forgeries, garbled, lies_for
from tests.simulation.loop import End, Loop, Process
from tests.simulation.ports import VirtualClock
from tests.simulation.scenario import Scenario

RECORD_TRIES: Final = 3  # the first try, and Lambda's two retries
RECORD_RETRY_S: Final = (20.0, 120.0)
TICK_TRIES: Final = 8  # the template's retriers
TICK_TIMEOUT_S: Final = 900.0
ROOM_AGAIN_S: Final = 2.0
TAKE_OVER_AGAIN_S: Final = 0.5
START_MARGIN_S: Final = 15.0  # how long after an invocation's age an attempt may start


class CloudWitness(Protocol):
    """Receives events of attempts and jobs, to judge their failures."""

    def unheard(self, request: TaskRequest) -> None: ...

    def invoked(self, request: TaskRequest, payload: str) -> None: ...

    def launched_again(self, process: Process, job_id: str, since: float) -> None: ...

    def executes(self, process: Process) -> None: ...

    def no_room(self, request: TaskRequest) -> None: ...

    def reported(self, process: Process, report: dict[str, Any]) -> None: ...

    def lied(self, report: dict[str, Any]) -> None: ...

    def delivered(self, event: object) -> None: ...

    def recorded(self, event: object, report: Report | None, verdict: str) -> None: ...

    def crashed(self, process: Process, error: Exception) -> None: ...

    def stopped(self, job_id: str) -> None: ...

    def ends(self, process: Process) -> None: ...

    def round_over(self, job_id: str) -> None: ...


class Cloud:
    """Functions and executions. ``worker`` executes a request in the current process."""

    def __init__(
        self,
        scenario: Scenario,
        loop: Loop,
        faults: Faults,
        witness: CloudWitness,
        *,
        ticker: Callable[["Cloud"], Ticker],
        recorder: Callable[[], Recorder],
        worker: Callable[[TaskRequest], Report],
    ) -> None:
        self._scenario, self._loop, self._faults, self._witness = scenario, loop, faults, witness
        self._clock = VirtualClock(loop, faults)
        self._ticker = ticker(self)
        self._make_recorder = recorder
        self._recorder = recorder()
        self._worker = worker
        self._running, self._concurrency = 0, scenario.concurrency
        self._executions: defaultdict[str, set[int]] = defaultdict(set)  # by job: running executions
        self._numbers: Iterator[int] = count()
        self._holding: set[int] = set()  # executions that need not claim their job's output
        self._machine = 0  # its number; actions planned on a lost machine are dropped
        self.swept: set[str] = set()  # jobs that no longer need a coordinator

    # Workers.

    def invoke(self, request: TaskRequest) -> None:
        """Accept an invocation (the `Invoker` port): it is delivered at least once, or lost."""
        payload, where = request.model_dump_json(), f"{request.phase} {request.task}"
        if self._faults.strikes("refuse-invocation", where):
            raise TransientError("429 Too Many Requests")
        self._witness.invoked(request, payload)
        if self._faults.strikes("lose-invocation", where):
            self._witness.unheard(request)
            return
        copies = 2 + self._faults.below(2) if self._faults.strikes("repeat-invocation", where) else 1
        for _ in range(copies):
            late = self._faults.strikes("late-invocation", where)
            delay_s = self._faults.between(0, self._scenario.waiting_s) if late else self._faults.latency_s()
            until = max(self._loop.now + self._scenario.waiting_s, request.start_by - START_MARGIN_S)
            self._later(delay_s, partial(self._start, payload, until))

    def _start(self, payload: str, until: float) -> None:
        request = TaskRequest.model_validate_json(payload)
        if self._running >= self._concurrency:
            left_s = until - self._loop.now
            if left_s > 0:
                self._later(min(ROOM_AGAIN_S, left_s), partial(self._start, payload, until))
            else:
                self._witness.no_room(request)
                self._arrive(request, _failure(request, "EventAgeExceeded"))
            return
        self._running += 1

        def ended(end: End) -> None:
            self._worked(process, end)

        process = self._loop.spawn("worker", partial(self._execute, request), ended, work=request, skew_s=self._skew())
        self._witness.executes(process)
        self._later(self._scenario.task_timeout_s, partial(self._time_out, process))

    def _execute(self, request: TaskRequest) -> dict[str, Any]:
        if self._faults.strikes("hang", f"{request.phase} {request.task}"):
            self._loop.suspend(self._faults.between(0, 2 * self._scenario.task_timeout_s))
        return self._worker(request).model_dump(mode="json")

    def _time_out(self, process: Process) -> None:
        if process.alive:
            self._witness.unheard(process.work)
            process.kill()

    def _worked(self, process: Process, end: End) -> None:
        self._running -= 1
        request: TaskRequest = process.work
        if end.error is not None:
            self._witness.crashed(process, end.error)
        elif not end.killed:
            self._witness.reported(process, end.value)
            self._arrive(
                request, {"requestContext": {"condition": "Success"}, "responsePayload": self._maybe_lie(end.value)}
            )
        elif not self._faults.strikes("no-destination", f"{request.phase} {request.task}"):
            self._arrive(request, _failure(request, "RetriesExhausted"))

    # Reports.

    def _maybe_lie(self, report: dict[str, Any]) -> dict[str, Any]:
        """Return a worker's report, which may be a lie in place of ``report``."""
        lies = lies_for(report)
        if not lies or not self._faults.strikes("lie", f"{report['phase']} {report['task']}"):
            return report
        lie = lies[self._faults.below(len(lies))]
        self._witness.lied(lie)
        return lie

    def _arrive(self, request: TaskRequest, event: dict[str, Any]) -> None:
        """Deliver a destination's record of one execution."""
        where = f"{request.phase} {request.task}"
        if self._faults.strikes("forge", where):
            self._witness.unheard(request)
            for forged in forgeries(request, event):
                self._later(self._faults.between(0, 3), partial(self._record, None, forged, RECORD_TRIES))
        if self._faults.strikes("lose-report", where):
            self._witness.unheard(request)
            return
        if self._faults.strikes("garble", where):
            self._witness.unheard(request)
            event = garbled(event, self._faults)
        copies = 2 + self._faults.below(2) if self._faults.strikes("repeat-report", where) else 1
        for number in range(copies):
            late = self._faults.strikes("late-report", where)
            if late and not number:
                self._witness.unheard(request)
            delay_s = self._faults.between(0, 300) if late else self._faults.latency_s()
            self._later(delay_s, partial(self._record, request, event, RECORD_TRIES))

    def _record(self, request: TaskRequest | None, event: dict[str, Any], tries: int) -> None:
        if not self._faults.below(4):
            self._recorder = self._make_recorder()  # a new environment has no state

        def body() -> None:
            self._witness.delivered(event)
            report, verdict = receive(self._recorder, event)
            self._witness.recorded(event, report, verdict)

        def ended(end: End) -> None:
            if end.error is not None and not isinstance(end.error, TransientError):
                self._witness.crashed(process, end.error)
            elif end.killed or end.error is not None:
                if request is not None:
                    self._witness.unheard(request)
                if tries > 1:
                    again = partial(self._record, None, event, tries - 1)
                    self._later(self._faults.between(*RECORD_RETRY_S), again)

        process = self._loop.spawn("record", body, ended, work=request, skew_s=self._skew())

    # The coordinator.

    def coordinate(self, job_id: str, *, stop: str | None = None, holds: bool = False) -> None:
        """Start an execution of the state machine for a job. ``holds``: its caller has just claimed the output."""
        execution = next(self._numbers)
        self._executions[job_id].add(execution)
        self._holding |= {execution} if holds else set()
        self._round(execution, {"job_id": job_id, "round": 0, "stop": stop}, TICK_TRIES)

    def has_coordinator(self, job_id: str) -> bool:
        """Return whether an execution runs, or none is needed."""
        return bool(self._executions[job_id]) or job_id in self.swept

    def abort(self, job_id: str) -> None:
        """Stop a job's executions, as somebody does in the console. A rule starts an execution that ends the job.

        A running tick continues.
        """
        self._executions[job_id].clear()
        self._witness.stopped(job_id)
        self.coordinate(job_id, stop="its execution was stopped")

    def lose_machine(self) -> set[str]:
        """Kill everything that runs, as if one laptop were the whole cloud; another one takes over its jobs.

        Return the jobs that are taken over.
        """
        driven = sorted(job_id for job_id, executions in self._executions.items() if executions)
        for process in list(self._loop.processes.values()):
            if process.kind != "person":
                process.kill()
        self._machine += 1
        if self._scenario.room_after is not None:
            self._concurrency = self._scenario.room_after
            self._ticker = replace(self._ticker, capacity=self._concurrency)
        for job_id in driven:
            self._executions[job_id].clear()
            self._take_over(job_id, next(self._numbers), since=self._loop.now)
        return set(driven)

    def _take_over(self, job_id: str, execution: int, *, since: float) -> None:
        self._executions[job_id].add(execution)

        def ended(end: End) -> None:
            self._executions[job_id].discard(execution)
            if end.killed or isinstance(end.error, TransientError):
                self._executions[job_id].add(execution)
                self._later(TAKE_OVER_AGAIN_S, partial(self._take_over, job_id, execution, since=since))
            elif end.error is not None:
                self._witness.crashed(process, end.error)
            else:
                self._witness.launched_again(process, job_id, since)
                self.coordinate(job_id)

        body = partial(launch_again, self._ticker, job_id)
        process = self._loop.spawn("tick", body, ended, work=job_id, skew_s=self._skew())

    def _later(self, delay_s: float, action: Callable[[], object]) -> None:
        """Run ``action`` after ``delay_s``, unless the machine is lost before."""
        machine = self._machine
        self._loop.after(delay_s, lambda: action() if machine == self._machine else None)

    def _round(self, execution: int, event: dict[str, Any], tries: int) -> None:
        job_id = event["job_id"]
        going_on = self._executions[job_id]
        if execution not in going_on:
            return

        def body() -> dict[str, Any]:
            ticker = replace(self._ticker, holds=job_id) if execution in self._holding else self._ticker
            return perform(ticker, dict(event), self._clock)

        def ended(end: End) -> None:
            self._witness.round_over(job_id)
            if end.error is not None and not isinstance(end.error, TransientError):
                self._witness.crashed(process, end.error)
            if isinstance(end.error, NoSuchJobError) or self._faults.strikes("lose-coordinator", job_id):
                going_on.discard(execution)
            elif end.value is None:
                self._again(execution, event, tries)
            elif end.value["done"]:
                going_on.discard(execution)
                self.swept.add(job_id)
            else:
                following = {**event, "round": end.value["round"]}
                self._later(end.value["wait_s"], partial(self._round, execution, following, TICK_TRIES))

        process = self._loop.spawn("tick", body, ended, work=job_id, skew_s=self._skew())
        if event["stop"] is not None:
            self._witness.ends(process)
        self._later(TICK_TIMEOUT_S, process.kill)

    def _again(self, execution: int, event: dict[str, Any], tries: int) -> None:
        """Retry a round. When all retries are used up, the execution fails, and another one ends the job."""
        if tries > 1:
            delay_s = 2.0 ** (TICK_TRIES - tries + 1)
            self._later(delay_s, partial(self._round, execution, event, tries - 1))
        elif execution in self._executions[event["job_id"]]:
            self._executions[event["job_id"]].discard(execution)
            self._witness.stopped(event["job_id"])
            self._later(1.0, lambda: self.coordinate(event["job_id"], stop="its execution failed"))

    def _skew(self) -> float:
        skew_s = self._scenario.skew_s
        return self._faults.between(-skew_s, skew_s) if skew_s and not self._faults.healed else 0.0


def _failure(request: TaskRequest, condition: str) -> dict[str, Any]:
    return {
        "requestContext": {"condition": condition},
        "requestPayload": request.model_dump(mode="json"),
        "responsePayload": {"errorMessage": "Runtime exited without providing a reason"},
    }
