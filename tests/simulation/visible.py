"""What may be visible in bucket and output, and what may be deleted: invariants S2, S3, S5, S7, S8 and S11."""

import json
from typing import Any

from s3mr.model import object_names
from s3mr.model.job import JobState, Phase
from tests.simulation.facts import Facts
from tests.simulation.loop import Process


class Visible:
    """Checks bucket and output after every effect on them."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._bodies: dict[str, bytes] = {}  # of every object ever stored
        self._opened_at: dict[str, float] = {}  # uploads
        self.noted: set[str] = set()  # uploads that had a note
        self._stored_at: dict[str, float] = {}  # objects
        self._ends_at: dict[str, float] = {}  # jobs: when they began to commit, or failed

    def after_objects(self, process: Process, method: str, args: tuple[Any, ...]) -> None:
        """S5: an object never changes. S11: objects of a winner are deleted only after the end."""
        if method == "delete":
            for key in args[0]:
                self._may_go(process, key)
            return
        key = args[0] if method == "put" else args[1]
        if (note := read_note(key)) is not None:
            self.noted.add(note.upload)
        body = self._facts.bucket.objects.get(key)
        if body is not None:
            self._stored_at[key] = self._facts.loop.now
            known = self._bodies.setdefault(key, body)
            self._facts.check(known == body, "S5", f"object {key} was overwritten with something else")

    def opened(self, upload: str) -> None:
        """Record when an upload was opened."""
        self._opened_at[upload] = self._facts.loop.now

    def committing(self, job: JobState) -> None:
        """Record when a job began to commit."""
        self._facts.history.committed.add(job.spec.job_id)
        self._ends_at[job.spec.job_id] = self._facts.loop.now

    def after_output(self) -> None:
        """S2, S7: only winners of a committed job are visible."""
        facts = self._facts
        for name, identity in facts.folder.identities.items():
            job = facts.jobs[identity.split("/")[0]]
            if job.spec.job_id in facts.erased:
                continue
            shown = not job.phase.working and (job.phase is Phase.SUCCEEDED or not job.released)
            facts.check(shown, "S2", f"{name} is visible while its job is {job.phase}")
            facts.check(facts.parts_of(job).get(name) == identity, "S2", f"{name} is not its winner's: {identity}")
        self._check_success()
        self._check_open()

    def ended(self, job: JobState) -> None:
        """S2, S3: the output of a success has exactly the winners' parts."""
        facts = self._facts
        if job.phase is not Phase.SUCCEEDED:
            self._ends_at[job.spec.job_id] = facts.loop.now
            return
        facts.check_all_won(job)
        parts = facts.parts_of(job)
        visible = set(facts.folder.objects) - {
            object_names.SUCCESS,
            object_names.COMMITTING,
        }  # the next job may just find that everything is complete
        facts.check(visible == set(parts), "S2", f"the output holds {sorted(visible)}, the winners {sorted(parts)}")
        facts.check(object_names.SUCCESS in facts.folder.objects, "S2", "a job succeeded without _SUCCESS")
        for (job_id, phase, _), manifest in facts.winners.items():
            if job_id == job.spec.job_id and phase is Phase.MAP:
                facts.check_stored(job, manifest)
        self._check_discarded(job)

    def claim_released(self, job_id: str) -> None:
        """S2, S7: a job that releases its claim has ended, and has removed what must not be visible."""
        job = self._facts.jobs.get(job_id)
        ended = job is None or job.phase.terminal
        self._facts.check(ended, "S2", f"job {job_id} has given up its claim, and goes on")
        if job is not None and job.phase is not Phase.SUCCEEDED:
            shown = sorted(name for name, one in self._facts.folder.identities.items() if one.startswith(f"{job_id}/"))
            self._facts.check(not shown, "S7", f"job {job_id} has given up its claim, and not {shown}")

    def released(self, job: JobState) -> None:
        """S7: objects that existed at the end and are no longer useful are gone, and so is the claim."""
        self._check_discarded(job)
        facts, job_id = self._facts, job.spec.job_id
        claims = facts.table._claims.get(job.spec.output) == job_id and job_id not in facts.history.claimed_late
        given_up = not job.writer  # by its submitter, which releases the claim only afterwards
        facts.check(not claims or given_up, "S7", f"job {job_id} is released, and its claim stands")
        if job.phase is Phase.SUCCEEDED and not job.spec.keep_intermediate:
            ended_at = self._ends_at.get(job.spec.job_id, 0.0)
            own = [key for key in self._facts.bucket.objects if key.split("/")[1] == job.spec.job_id]
            left = [key for key in own if self._stored_at[key] < ended_at]
            self._facts.check(not left, "S7", f"a success has released everything but {left}")

    def _check_discarded(self, job: JobState) -> None:
        """S7: uploads that the job's losers had open when it ended are gone."""
        facts, ended_at = self._facts, self._ends_at.get(job.spec.job_id, 0.0)
        own = {number for number, one in facts.folder.uploads.items() if one.identity.startswith(f"{job.spec.job_id}/")}
        left = [number for number in sorted(own & self.noted) if self._opened_at[number] < ended_at]
        facts.check(not left, "S7", f"losers' uploads are still open after the end: {left}")

    def _check_success(self) -> None:
        """S2: ``_SUCCESS`` comes last, and from a committed job."""
        facts = self._facts
        success = facts.folder.objects.get(object_names.SUCCESS)
        if success is None:
            return
        job = facts.jobs[json.loads(success)["job_id"]]
        if job.spec.job_id not in facts.erased:
            committed = job.phase in (Phase.COMMITTING, Phase.SUCCEEDED)
            facts.check(committed, "S2", f"_SUCCESS stands there, and the job is {job.phase}")
            whole = set(facts.parts_of(job)) == set(facts.folder.identities)
            facts.check(whole, "S2", "_SUCCESS came before all of the parts")

    def _check_open(self) -> None:
        """S11: a winner's open upload is not dropped while its job runs."""
        facts = self._facts
        if facts.history.damages:
            return
        for key, manifest in facts.winners.items():
            job, part = facts.jobs[key[0]], manifest.part
            if part is not None and (job.phase.working or job.phase is Phase.COMMITTING):
                there = part.upload in facts.folder.uploads or part.name in facts.folder.identities
                facts.check(there, "S11", f"the open upload of winner {part.name} was dropped")

    def _may_go(self, process: Process, key: str) -> None:
        """S11: a coordinator deletes only what a success has made useless; all else is kept until somebody cleans."""
        job = self._facts.jobs.get(key.split("/")[1])
        if (note := read_note(key)) is not None:
            self._facts.check(
                note.upload not in self._facts.folder.uploads, "S7", f"{key} was deleted, and is still open"
            )
            return
        if process.kind == "person":
            ended = job is None or job.phase.terminal
            self._facts.check(ended, "S11", f"{key} was deleted while its job went on")
        else:
            done = job is not None and job.phase is Phase.SUCCEEDED
            self._facts.check(done, "S11", f"{process.name} deleted {key}")


def read_note(key: str) -> object_names.OpenedPart | None:
    """Return the upload that an object is a note of, or None."""
    return object_names.read_upload_note(key.split("/")[1], key)
