"""Count the requests of a job, and estimate what it costs on AWS.

The counts are exact: each process counts its requests, and a task's count is in its manifest. Requests of attempts that
did not win are billed, too, but are not counted.

The cost is an estimate, also for a job that ran on AWS. It is computed from the job's figures (tasks, attempts, busy
seconds of workers, elapsed seconds, requests to S3) and the prices in `prices`, for a stack with the template's
defaults. For a job that ran on this machine, it assumes the same speed on AWS, and objects in place of files.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final, Self

from s3mr import limits
from s3mr.model import prices
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import JobState

WORKER_GB: Final = 1769 / 1024  # template.yaml: WorkerMemory …
TICK_GB: Final = 1.0
RECORD_GB: Final = 0.5
RECORD_S: Final = 0.05  # about, for one report
ROUND_TRANSITIONS: Final = 4
ENDING_TICKS: Final = 4  # one at the barrier, two to commit, one to release
JOB_WRITE_UNITS: Final = 3  # the job's item has about 2 KB
LIVE_BYTES: Final = 400
MANIFEST_BYTES: Final = 1_000  # without its column of pieces
PART_PUTS: Final = 4  # create the upload, write its note, upload the data, complete it
JOB_PUTS: Final = 11  # plan, bundle, books, `_COMMITTING`, `_SUCCESS`, and list requests


class Requests(FrozenModel):
    """Requests that were sent, with retries, and with the creation of bucket and table if they did not exist."""

    s3_put_class: int  # PUT, COPY, POST, LIST
    s3_get_class: int  # GET, HEAD
    s3_free: int  # DELETE, AbortMultipartUpload
    dynamodb: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Self:
        """Add up ``counts``, which are by operation, such as ``{"s3:PutObject": 3}``."""
        put, free = (prices.s3_requests(counts, names) for names in (prices.S3_PUT_CLASS, prices.S3_FREE))
        return cls(
            s3_put_class=put,
            s3_get_class=prices.s3_requests(counts, ("",)) - put - free,
            s3_free=free,
            dynamodb=sum(count for name, count in counts.items() if name.startswith("dynamodb:")),
        )


class Cost(FrozenModel):
    """The estimated cost of a job on AWS, in US dollars at the prices in `s3mr.model.prices`."""

    total_usd: float
    lambda_usd: float  # GB-seconds and requests
    s3_usd: float  # requests; without storage and transfer out of the region
    dynamodb_usd: float  # write and read units
    step_functions_usd: float  # state transitions

    @classmethod
    def estimate(cls, job: JobState, counts: Mapping[str, int], *, whole: bool) -> Self:
        """Return the estimate for a job that has succeeded.

        Args:
            job: its final state.
            counts: the known requests, by operation.
            whole: whether the counts include the coordinator's requests.
        """
        elapsed_s = max(0.0, (job.ended_at or job.created_at) - job.created_at)
        rounds = 1 + ceil(elapsed_s / (limits.ROUND_S + limits.POLL_S))  # 1 for the last round, which sweeps
        services = {
            "lambda_usd": _lambda_usd(job, elapsed_s, rounds),
            "s3_usd": _s3_usd(job, Requests.of(counts), whole=whole),
            "dynamodb_usd": _dynamodb_usd(job, elapsed_s),
            "step_functions_usd": rounds * ROUND_TRANSITIONS * prices.STEP_FUNCTIONS_TRANSITION_USD,
        }
        return cls(**services, total_usd=sum(services.values()))


def _lambda_usd(job: JobState, elapsed_s: float, rounds: int) -> float:
    """Return the cost of busy workers, of the coordinator for the elapsed time, and of record for each report."""
    gb_s = job.counters.busy_s * WORKER_GB + elapsed_s * TICK_GB + job.attempts * RECORD_S * RECORD_GB
    return gb_s * prices.LAMBDA_GB_S_USD + (2 * job.attempts + rounds) * prices.LAMBDA_REQUEST_USD


def _s3_usd(job: JobState, sent: Requests, *, whole: bool) -> float:
    """Return the cost of counted requests, plus an estimate for requests that were not counted.

    Those are requests for inputs and outputs that were files here, or requests of a stack's coordinator.
    """
    spec, parts = job.spec, job.spec.tasks(job.spec.last_phase)
    puts, gets = sent.s3_put_class, sent.s3_get_class
    if not spec.output.startswith("s3://"):
        puts += PART_PUTS * parts
        gets += max(spec.input_objects, spec.map_tasks)
    elif not whole:
        puts += parts + ceil(spec.map_tasks / limits.INDEX_SEGMENT_TASKS) + JOB_PUTS
        gets += ceil(job.attempts / limits.LAUNCH_BATCH)
    return puts * prices.S3_PUT_CLASS_USD + gets * prices.S3_GET_CLASS_USD


def _dynamodb_usd(job: JobState, elapsed_s: float) -> float:
    """Return the cost of units: an attempt takes three writes; a tick reads job and live attempts, and writes a job."""
    spec = job.spec
    ticks = elapsed_s / limits.POLL_S + ENDING_TICKS
    live_at_once = job.counters.busy_s / max(elapsed_s, limits.POLL_S)
    map_bytes = MANIFEST_BYTES + limits.PIECE_COLUMN_BYTES * spec.reducers
    writes = 2 * job.attempts + spec.map_tasks * ceil(map_bytes / 1024) + spec.reducers + 2 * ticks * JOB_WRITE_UNITS
    read_bytes = spec.map_tasks * map_bytes + 2 * spec.tasks(spec.last_phase) * MANIFEST_BYTES
    reads = ticks * ceil((1024 * JOB_WRITE_UNITS + live_at_once * LIVE_BYTES) / 4096) + ceil(read_bytes / 4096)
    return writes * prices.DYNAMODB_WRITE_UNIT_USD + reads * prices.DYNAMODB_READ_UNIT_USD
