"""Encode and decode the table's items: keys, attributes, and the condition of each write.

pk                     sk                             written by      condition
job#<id>               job                            submit, tick    must not exist; the epoch is mine
job#<id>               cancel                         cancel          none
job#<id>               live#<phase>#<task>#<attempt>  tick, record    none; adding a failure: live, not failed
job#<id>#<slice>       manifest#<phase>#<task>        record, tick    must not exist
job#<id>#<slice>       attempt#<phase>#<task>#…       record          none
job#<id>#<slice>       forged#attempt#…               record          none
output#<uri>           claim                          submit          absent, mine, or its owner is released
jobs                   <id>                           submit          none: a list, for people

All items except claims expire (TTL), at a time when any job as old has ended, and have the schema version.
"""

from typing import Any

from pydantic import ValidationError

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.model.job import SCHEMA_VERSION, AttemptId, Failure, JobState, LiveAttempt, Phase
from s3mr.model.manifest import Manifest
from s3mr.model.report import Report
from s3mr.ports import Logged

Item = dict[str, Any]

ABSENT = "attribute_not_exists(pk)"
EPOCH_IS = "epoch = :epoch"
LIVE_AND_NOT_FAILED = "attribute_exists(pk) AND attribute_not_exists(failure)"
CLAIM_FREE = "attribute_not_exists(pk) OR job_id = :job_id"
CLAIM_MINE = "job_id = :job_id"

TASK_DIGITS = 6


def text(value: str) -> Item:
    return {"S": value}


def number(value: float) -> Item:
    return {"N": repr(value)}


def job_key(job_id: str, sort: str = "job") -> Item:
    return {"pk": text(f"job#{job_id}"), "sk": text(sort)}


def kept(key: Item, since: float, **attributes: Item) -> Item:
    """Return an item that expires when it cannot be needed any more. ``since`` is its job's start, or later."""
    stamps = {"expires_at": number(int(since + limits.RECORDS_S)), "schema_version": number(SCHEMA_VERSION)}
    return {**key, **attributes, **stamps}


def of_this_schema(item: Item) -> bool:
    return bool(item.get("schema_version") == number(SCHEMA_VERSION))


def job_item(job: JobState) -> Item:
    key = job_key(job.spec.job_id)
    return kept(key, job.created_at, epoch=number(job.epoch), body=text(job.model_dump_json()))


def read_job(item: Item) -> JobState:
    """Decode a job.

    Raises:
        RequestError: it was written by another version of s3mr with another schema.
    """
    if not of_this_schema(item):
        raise RequestError(
            f"{item['pk']['S']} was written by a version of s3mr with another schema than this version's, "
            f"{SCHEMA_VERSION}: use the version that submitted it"
        )
    try:
        return JobState.model_validate_json(item["body"]["S"])
    except ValidationError as error:
        raise RequestError(f"{item['pk']['S']} cannot be read by this version of s3mr: update it") from error


LISTED = "jobs"


def listed_item(job: JobState) -> Item:
    return kept({"pk": text(LISTED), "sk": text(job.spec.job_id)}, job.created_at)


def cancel_item(job_id: str, at: float) -> Item:
    return kept(job_key(job_id, "cancel"), at)


def live_key(job_id: str, phase: Phase, one: AttemptId | LiveAttempt) -> Item:
    return job_key(job_id, f"live#{phase}#{one.task:0{TASK_DIGITS}d}#{one.attempt:03d}")


def live_item(job_id: str, one: LiveAttempt) -> Item:
    body = one.model_dump_json(exclude={"failure", "failed_at"})
    return kept(live_key(job_id, one.phase, one), one.launched_at, body=text(body))


def read_live(item: Item) -> LiveAttempt:
    """Decode a live attempt. Its failure is a separate attribute, because another writer adds it."""
    one = LiveAttempt.model_validate_json(item["body"]["S"])
    if "failure" not in item:
        return one
    failure = Failure.model_validate_json(item["failure"]["S"])
    return one.model_copy(update={"failure": failure, "failed_at": float(item["failed_at"]["N"])})


def slice_key(job: JobState, task: int, sort: str) -> Item:
    return {"pk": text(slice_name(job, task % job.spec.slices)), "sk": text(sort)}


def slice_name(job: JobState, index: int) -> str:
    return f"job#{job.spec.job_id}#{index}"


def manifest_key(job: JobState, phase: Phase, task: int) -> Item:
    return slice_key(job, task, f"manifest#{phase}#{task:0{TASK_DIGITS}d}")


def manifest_item(job: JobState, manifest: Manifest) -> Item:
    """Encode a manifest. The pieces are a separate attribute of bytes: in JSON, they would take a third more."""
    body = text(manifest.model_dump_json(exclude={"pieces"}))
    item = kept(manifest_key(job, manifest.phase, manifest.task), job.created_at, body=body)
    if manifest.pieces is not None:
        item["pieces"] = {"B": manifest.pieces}
    return item


def sealed_item(job: JobState, phase: Phase, task: int) -> Item:
    return kept(manifest_key(job, phase, task), job.created_at, sealed={"BOOL": True})


FORGED = "forged#"


def attempt_prefix(phase: Phase, task: int) -> str:
    return f"attempt#{phase}#{task:0{TASK_DIGITS}d}#"


def attempt_item(job: JobState, report: Report, *, verdict: str, at: float) -> Item:
    kind = FORGED if verdict == "forged" else ""  # a separate key: a forgery must not overwrite an attempt's item
    sort = f"{kind}{attempt_prefix(report.phase, report.task)}{report.attempt:03d}#{report.worker}"
    return kept(
        slice_key(job, report.task, sort),
        job.created_at,
        verdict=text(verdict),
        completed={"BOOL": report.manifest is not None},
        failure=text(report.failure.model_dump_json() if report.failure else ""),
        at=number(at),
    )


def read_attempt(item: Item) -> Logged:
    *_, attempt, worker = item["sk"]["S"].split("#")
    failure = item["failure"]["S"]
    return Logged(
        attempt=int(attempt),
        worker=None if worker == "None" else worker,
        verdict=item["verdict"]["S"],
        failure=Failure.model_validate_json(failure) if failure else None,
        at=float(item["at"]["N"]),
    )


def read_manifest(item: Item) -> Manifest | None:
    """Decode a manifest; None if the task is sealed.

    Raises:
        InvariantError: the item is not a manifest.
    """
    if "sealed" in item:
        return None
    try:
        manifest = Manifest.model_validate_json(item["body"]["S"])
    except ValidationError as error:
        raise InvariantError(f"{item['pk']['S']} / {item['sk']['S']} is not a manifest: {error}") from error
    return manifest.model_copy(update={"pieces": item["pieces"]["B"]}) if "pieces" in item else manifest


def claim_key(output: str) -> Item:
    return {"pk": text(f"output#{output}"), "sk": text("claim")}
