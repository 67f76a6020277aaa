"""How the table's items are spelled: keys, attributes, and the conditions under which each is written.

pk                     sk                             written by      condition
job#<id>               job                            submit, tick    must not exist; the epoch is mine
job#<id>               cancel                         cancel          none
job#<id>               live#<phase>#<task>#<attempt>  tick, record    none; adding a failure: live, not failed
job#<id>#<slice>       manifest#<phase>#<task>        record, tick    must not exist
job#<id>#<slice>       attempt#<phase>#<task>#…       record          none
output#<uri>           claim                          submit          absent, mine, or its owner has ended
"""

from typing import Any

from s3mr.model.job import AttemptId, Failure, JobState, LiveAttempt, Phase
from s3mr.model.manifest import Manifest

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


def job_item(job: JobState) -> Item:
    return {**job_key(job.spec.job_id), "epoch": number(job.epoch), "body": text(job.model_dump_json())}


def read_job(item: Item) -> JobState:
    return JobState.model_validate_json(item["body"]["S"])


def live_key(job_id: str, phase: Phase, one: AttemptId | LiveAttempt) -> Item:
    return job_key(job_id, f"live#{phase}#{one.task:0{TASK_DIGITS}d}#{one.attempt:03d}")


def live_item(job_id: str, one: LiveAttempt) -> Item:
    body = one.model_dump_json(exclude={"failure", "failed_at"})
    return {**live_key(job_id, one.phase, one), "body": text(body)}


def read_live(item: Item) -> LiveAttempt:
    """Read a live attempt; its failure was added beside its body by another writer."""
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
    """The pieces are kept as bytes beside the JSON, which would need a third more."""
    item = manifest_key(job, manifest.phase, manifest.task)
    item["body"] = text(manifest.model_dump_json(exclude={"pieces"}))
    if manifest.pieces is not None:
        item["pieces"] = {"B": manifest.pieces}
    return item


def sealed_item(job: JobState, phase: Phase, task: int) -> Item:
    return {**manifest_key(job, phase, task), "sealed": {"BOOL": True}}


def read_manifest(item: Item) -> Manifest | None:
    """Read a manifest item; None where the task is sealed."""
    if "sealed" in item:
        return None
    manifest = Manifest.model_validate_json(item["body"]["S"])
    return manifest.model_copy(update={"pieces": item["pieces"]["B"]}) if "pieces" in item else manifest


def claim_key(output: str) -> Item:
    return {"pk": text(f"output#{output}"), "sk": text("claim")}
