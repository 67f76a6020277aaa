"""Mutants of the output, of cleaning up and of resuming."""

from typing import Final

from tests.simulation.mutation import Mutant, mutant

_TICKING: Final = "s3mr.coordinator.ticker"
_COMMITTING: Final = "s3mr.coordinator.commit"
_MEMORY: Final = "s3mr.adapters.memory.memory_stores"
_MEMORY_DATA: Final = "s3mr.adapters.memory.memory_data"
_ADOPTING: Final = "s3mr.coordinator.adoption"
_RESUMING: Final = "s3mr.coordinator.resumer"
_SUBMITTING: Final = "s3mr.coordinator.submission"

ENDING: Final[tuple[Mutant, ...]] = (
    # The output.
    mutant(
        "success-before-the-parts",
        _COMMITTING,
        1,
        (
            "    done = job.cursor\n",
            "    done = job.cursor\n    output.publish(success(job, ()))\n",
        ),
    ),
    mutant(
        "one-part-is-forgotten",
        _COMMITTING,
        139,
        ("if number >= job.cursor)", "if number >= job.cursor + bool(job.cursor))"),
    ),
    mutant(
        "complete-a-losers-upload",
        _MEMORY_DATA,
        1,
        (
            "upload = self._folder.uploads.pop(part.upload, None)",
            "number = next((n for n, one in self._folder.uploads.items() if one.name == part.name), '')\n"
            "        upload = self._folder.uploads.pop(number, None)",
        ),
    ),
    mutant(
        "forget-to-abort",
        _COMMITTING,
        1,
        ("    discard_uploads(objects, output, job.spec, completed=winners, last=False)\n", ""),
    ),
    mutant(
        "fail-on-an-unknown-answer",
        _TICKING,
        19,
        ("except (UserCodeError, RequestError, InvariantError) as error:", "except S3mrError as error:"),
        ("from s3mr.errors import ", "from s3mr.errors import S3mrError, "),
    ),
    mutant(
        "a-failure-keeps-its-parts",
        _TICKING,
        138,
        ("            output.withdraw(commit.winning_parts(job, self.store))\n", ""),
    ),
    mutant(
        "abort-another-jobs-uploads",
        _MEMORY_DATA,
        401,
        (
            "        for one in opened:\n            self._folder.uploads.pop(one.upload, None)\n",
            "        names = {one.name for one in opened}\n"
            "        for number in [n for n, one in self._folder.uploads.items() if one.name in names]:\n"
            "            del self._folder.uploads[number]\n",
        ),
    ),
    mutant(
        "run-without-a-claim",
        _TICKING,
        57,
        ("if not job.attempts and not self._guarded", "if False and not self._guarded"),
    ),
    mutant(
        "claim-what-is-claimed",
        _MEMORY,
        52,
        ("            if holder != job_id and job is not None and not job.released:\n", "            if False:\n"),
    ),
    mutant(
        "success-counts-otherwise",
        _COMMITTING,
        1,
        ("Success.of(job.spec.job_id, job.counters, parts)", "Success.of(job.spec.job_id, job.map_counters, parts)"),
    ),
    # Leftovers.
    mutant(
        "losers-stay-open-after-a-failure",
        _TICKING,
        17,
        ("            discard_uploads(self.objects, output, job.spec, last=True)\n", ""),
    ),
    mutant(
        "a-success-keeps-its-pieces",
        _TICKING,
        1,
        (
            "            if not job.spec.keep_intermediate:\n                sweep",
            "            if False:\n                sweep",
        ),
    ),
    mutant(
        "no-last-sweep",
        "s3mr.coordinator.tick_round",
        221,
        ('"done": tick.swept,', '"done": tick.over,'),
    ),
    mutant(
        "sweep-while-attempts-live",
        _TICKING,
        97,
        ("left_s = max(0.0, seen.job.last_lease_until - self.clock.now())", "left_s = 0.0"),
    ),
    mutant(
        "sweep-what-a-resume-needs",
        _TICKING,
        2,
        (
            "        if job.phase is Phase.SUCCEEDED:\n            if not job.spec.keep_intermediate:\n",
            "        if job.phase.terminal:\n            if not job.spec.keep_intermediate:\n",
        ),
    ),
    mutant(
        "give-up-the-claim-first",
        _TICKING,
        115,
        (
            "            discard_uploads(self.objects, output, job.spec, last=True)\n",
            "            discard_uploads(self.objects, output, job.spec, last=True)\n"
            "            self.store.release_output(job.spec.output, job_id=job_id)\n",
        ),
    ),
    # Uploads and their notes, and jobs of other tables.
    mutant(
        "open-without-a-note",
        "s3mr.worker.part_lines",
        1,
        (
            'context.store.put(object_names.upload_note(job_id, OpenedPart(name, worker, upload)), b"")',
            "_ = OpenedPart(name, worker, upload)",
        ),
    ),
    mutant("commit-beside-another-job", _COMMITTING, 134, ("    output.begin_commit()\n", "")),
    mutant(
        "a-commit-that-failed-never-ends",
        _MEMORY_DATA,
        115,
        (
            "                del self._folder.objects[part.name], self._folder.identities[part.name]\n"
            "        self._end_commit()\n",
            "                del self._folder.objects[part.name], self._folder.identities[part.name]\n",
        ),
    ),
    mutant(
        "a-commit-never-ends",
        _MEMORY_DATA,
        1,
        (
            "        self._folder.published_by = self._job_id\n        self._end_commit()\n",
            "        self._folder.published_by = self._job_id\n",
        ),
    ),
    # Resuming.
    mutant(
        "adopt-nothing",
        _ADOPTING,
        10,
        ("batched(self.store.all_manifests(old, Phase.MAP), ADOPT_BATCH)", "batched([], ADOPT_BATCH)"),
    ),
    mutant("adopt-what-is-cut-short", _ADOPTING, 471, (" and self.objects.size(copy.target) == copy.size_bytes", "")),
    mutant(
        "adopt-what-is-gone",
        _ADOPTING,
        223,
        ("whole = [one for one in wanted if one.task not in missing]", "whole = wanted"),
    ),
    mutant("resume-with-other-inputs", _RESUMING, 29, ("        self.check_inputs(old.spec)\n", "")),
    mutant(
        "adopt-nothing-when-taken-up",
        _RESUMING,
        276,
        ("if job.spec.resumed_from is not None and job.epoch == 0:", "if False:"),
    ),
    # The claim.
    mutant(
        "the-claim-stays",
        _TICKING,
        1,
        (
            "        self.store.release_output(job.spec.output, job_id=job_id)\n        lead.save(transitions.released",
            "        lead.save(transitions.released",
        ),
    ),
    mutant(
        "begin-without-a-look-at-the-output", _TICKING, 740, ("        self.output_of(job.spec).check_empty()\n", "")
    ),
    mutant(
        "look-before-claiming-in-a-tick",
        _TICKING,
        701,
        (
            "        claim_output(self.store, job.spec)\n        self.output_of(job.spec).check_empty()\n",
            "        self.output_of(job.spec).check_empty()\n        claim_output(self.store, job.spec)\n",
        ),
    ),
    mutant(
        "look-before-claiming-when-submitting",
        _SUBMITTING,
        394,
        (
            "        claim_output(self.store, spec)\n"
            "        self.output_of(spec).check(deadline_s=spec.deadline_s)\n\n\ndef check_texts",
            "        self.output_of(spec).check(deadline_s=spec.deadline_s)\n"
            "        claim_output(self.store, spec)\n\n\ndef check_texts",
        ),
    ),
    mutant(
        "submit-without-a-second-look",
        _SUBMITTING,
        394,
        (
            "        self.output_of(spec).check(deadline_s=spec.deadline_s)\n\n\ndef check_texts",
            "\n\ndef check_texts",
        ),
    ),
    mutant(
        "a-resumed-job-needs-no-claim",
        _TICKING,
        223,
        ("if not job.attempts and not self._guarded", "if not job.attempts and not job.cursor and not self._guarded"),
    ),
    # Submitters, beside other processes.
    mutant(
        "adopt-beside-a-coordinator",
        _RESUMING,
        668,
        ("if job.spec.resumed_from is not None and job.epoch == 0:", "if job.spec.resumed_from is not None:"),
    ),
    mutant(
        "resume-without-the-code",
        _RESUMING,
        10,
        ("for key in (object_names.plan, object_names.bundle):\n", "for key in (object_names.plan,):\n"),
    ),
    mutant(
        "claim-before-adopting",
        _SUBMITTING,
        10,
        (
            "            job = prepare(job)\n            self.take_output(spec)\n",
            "            self.take_output(spec)\n            job = prepare(job)\n",
        ),
    ),
    mutant(
        "give-up-a-claim-that-a-coordinator-needs",
        _SUBMITTING,
        168,
        (
            "epoch=job.epoch):\n            self.store.release",
            "epoch=job.epoch) or True:\n            self.store.release",
        ),
    ),
    mutant("refused-and-not-given-up", _SUBMITTING, 2, ("            self.abandon(job, why=str(error))\n", "")),
)
