"""The invariants of reports: S1 (senders), S8 (executions), S13 (sizes), S14 (results).

The token's formula is repeated here on purpose: comparing it with itself would prove nothing.
"""

import hashlib
import hmac
import json
from collections import defaultdict
from typing import Any

from s3mr import limits
from s3mr.coordinator.recorder import Verdict
from s3mr.model.job import AttemptId, JobState, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.report import Report
from tests.simulation.facts import Facts
from tests.simulation.history import Attempt, Task
from tests.simulation.loop import Process


class Reports:
    """Checks workers' reports, and how the recorder handles them."""

    def __init__(self, facts: Facts) -> None:
        self._facts, self._check = facts, facts.check
        self._reported: list[Manifest] = []  # by workers
        self._lies: list[Manifest] = []  # those of them that are false
        self.untrue: defaultdict[str, list[str]] = defaultdict(list)  # jobs: tasks whose winners are lies
        self._noted: dict[Process, Attempt | None] = {}  # the attempt whose failure a recorder has stored
        self._writing: set[Process] = set()  # workers that have written to a part, and have not abandoned it

    def sent(self, payload: str) -> None:
        """S13: a request is small enough."""
        self._check(len(payload) < limits.PAYLOAD_BYTES_MAX // 2, "S13", f"a request of {len(payload)} bytes")

    def delivered(self, event: object) -> None:
        """S13: a report is small enough."""
        self._check(len(json.dumps(event)) < limits.PAYLOAD_BYTES_MAX, "S13", "a report is too large")

    def wrote(self, process: Process, method: str) -> None:
        """Record what a worker does with its part."""
        (self._writing.discard if method == "abandon" else self._writing.add)(process)

    def reported(self, process: Process, report: dict[str, Any]) -> None:
        """S8: a report names its execution. S7: a failed execution leaves no part behind that it has begun."""
        self._check(report["worker"] is not None, "S8", f"{process.name} does not say which worker it was")
        if report["manifest"] is not None:
            self._reported.append(Manifest.model_validate(report["manifest"]))
        else:
            self._check(process not in self._writing, "S7", f"{process.name} has failed, and not abandoned its part")

    def lied(self, report: dict[str, Any]) -> None:
        """Record a false report of a worker."""
        self._lies.append(Manifest.model_validate(report["manifest"]))
        self._reported.append(self._lies[-1])

    def noted(self, process: Process, job_id: str, phase: Phase, one: AttemptId, *, answer: bool) -> None:
        """Record the attempt whose failure was stored, if it was."""
        self._noted[process] = (job_id, phase, one.task, one.attempt) if answer else None

    def recorded(self, process: Process, event: object, report: Report | None, verdict: str) -> None:
        """S1: a report counts if and only if its token is its attempt's own. S14: other results are logged."""
        if report is None or report.job_id in self._facts.erased or verdict == Verdict.UNKNOWN:
            return
        attempt = (report.job_id, report.phase, report.task, report.attempt)
        forged = report.token != own_token(self._facts.jobs[report.job_id], attempt)
        story = f"a report {'without' if forged else 'with'} its attempt's token came to {verdict}: {event}"
        self._check(forged == (verdict == Verdict.FORGED), "S1", story)
        if verdict == Verdict.WON:
            return
        noted = self._noted.get(process)
        self._check((verdict == Verdict.FAILED) == (noted is not None), "S14", f"a failure came to {verdict}: {event}")
        self._check(noted in (None, attempt), "S1", f"a report of {attempt} made {noted} fail")
        logged = (report.job_id, verdict == Verdict.FORGED, *attempt[1:], report.worker) in self._facts.table.log
        self._check(logged, "S14", f"a report came to {verdict}, and that is not logged: {event}")

    def won(self, key: Task, manifest: Manifest) -> None:
        """S1: a winner was reported by a worker, without change."""
        self._check(manifest in self._reported, "S1", f"no worker has reported the winner of {key}")
        if manifest in self._lies:
            self.untrue[key[0]].append(f"{key[1]} {key[2]}")

    def committing(self, job: JobState) -> None:
        """S14: books that do not balance are never committed."""
        untrue = self.untrue[job.spec.job_id]
        self._check(not untrue, "S14", f"job {job.spec.job_id} commits, and the books of {untrue} are wrong")


def own_token(job: JobState, attempt: Attempt) -> str:
    """Return the token of an attempt: the HMAC-SHA256 of ``phase|task|attempt`` under the job's secret."""
    _, phase, task, number = attempt
    message = "|".join((phase.value, str(task), str(number)))
    return hmac.digest(bytes.fromhex(job.secret), message.encode(), hashlib.sha256).hex()
