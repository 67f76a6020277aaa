"""What a job asked of services, and about what it costs on AWS.

The counts are exact: each process counts what it sends, and a task's count comes home in its manifest. Requests of
attempts that did not win are billed, too, but come home with nobody.

The dollars are an estimate, also for a job that ran on AWS: of the job's own figures (tasks, attempts, seconds that
workers were busy, seconds that it took, requests to S3), priced by `prices`, for a stack with the template's defaults.
A job that ran here is taken to be as fast there, and its files to be objects.
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
RECORD_S: Final = 0.05  # of one report, about
ROUND_TRANSITIONS: Final = 4
ENDING_TICKS: Final = 4  # at the barrier, two at the commit, one that releases
JOB_WRITE_UNITS: Final = 3  # the job's item has some 2 KB
LIVE_BYTES: Final = 400
MANIFEST_BYTES: Final = 1_000  # without its column of pieces
PART_PUTS: Final = 4  # an upload is created, noted, filled and completed
JOB_PUTS: Final = 11  # plan, bundle, books, `_COMMITTING`, `_SUCCESS`, and lists


class Requests(FrozenModel):
    """Requests that were sent, retries included, setting up bucket and table, too, where there were none."""

    s3_put_class: int  # PUT, COPY, POST, LIST
    s3_get_class: int  # GET, HEAD
    s3_free: int  # DELETE, AbortMultipartUpload
    dynamodb: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Self:
        """Add up ``counts`` by operation, ``{"s3:PutObject": 3}``."""
        put, free = (prices.s3_requests(counts, names) for names in (prices.S3_PUT_CLASS, prices.S3_FREE))
        return cls(
            s3_put_class=put,
            s3_get_class=prices.s3_requests(counts, ("",)) - put - free,
            s3_free=free,
            dynamodb=sum(count for name, count in counts.items() if name.startswith("dynamodb:")),
        )


class Cost(FrozenModel):
    """About what a job costs on AWS, in US dollars at the prices of `s3mr.model.prices`."""

    total_usd: float
    lambda_usd: float  # GB-seconds and requests
    s3_usd: float  # requests; not what is stored, nor what leaves the region
    dynamodb_usd: float  # write and read units
    step_functions_usd: float  # state transitions

    @classmethod
    def estimate(cls, job: JobState, counts: Mapping[str, int], *, whole: bool) -> Self:
        """Return the estimate for a job that has succeeded.

        Args:
            job: as it ended.
            counts: requests by operation that are known.
            whole: these hold the coordinator's own, too.
        """
        elapsed_s = max(0.0, (job.ended_at or job.created_at) - job.created_at)
        rounds = 1 + ceil(elapsed_s / (limits.ROUND_S + limits.POLL_S))  # and the last one, which sweeps
        services = {
            "lambda_usd": _lambda_usd(job, elapsed_s, rounds),
            "s3_usd": _s3_usd(job, Requests.of(counts), whole=whole),
            "dynamodb_usd": _dynamodb_usd(job, elapsed_s),
            "step_functions_usd": rounds * ROUND_TRANSITIONS * prices.STEP_FUNCTIONS_TRANSITION_USD,
        }
        return cls(**services, total_usd=sum(services.values()))


def _lambda_usd(job: JobState, elapsed_s: float, rounds: int) -> float:
    """Workers while they are busy, the coordinator from beginning to end, record for each report."""
    gb_s = job.counters.busy_s * WORKER_GB + elapsed_s * TICK_GB + job.attempts * RECORD_S * RECORD_GB
    return gb_s * prices.LAMBDA_GB_S_USD + (2 * job.attempts + rounds) * prices.LAMBDA_REQUEST_USD


def _s3_usd(job: JobState, sent: Requests, *, whole: bool) -> float:
    """What was sent; and what was not, because inputs or output were files here, or is not known of the coordinator."""
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
    """Each attempt is written twice and deleted once; each tick reads the job and what is live, and writes the job."""
    spec = job.spec
    ticks = elapsed_s / limits.POLL_S + ENDING_TICKS
    live_at_once = job.counters.busy_s / max(elapsed_s, limits.POLL_S)
    map_bytes = MANIFEST_BYTES + limits.PIECE_COLUMN_BYTES * spec.reducers
    writes = 2 * job.attempts + spec.map_tasks * ceil(map_bytes / 1024) + spec.reducers + 2 * ticks * JOB_WRITE_UNITS
    read_bytes = spec.map_tasks * map_bytes + 2 * spec.tasks(spec.last_phase) * MANIFEST_BYTES
    reads = ticks * ceil((1024 * JOB_WRITE_UNITS + live_at_once * LIVE_BYTES) / 4096) + ceil(read_bytes / 4096)
    return writes * prices.DYNAMODB_WRITE_UNIT_USD + reads * prices.DYNAMODB_READ_UNIT_USD
