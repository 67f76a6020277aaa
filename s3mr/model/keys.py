"""The one place that spells the names of objects and parts (design: "Names of objects")."""

from collections.abc import Iterator

from s3mr import limits

PART_DIGITS = 5
PART_PREFIX = "part-"


def plan_prefix(job_id: str) -> str:
    """Everything that submit and tick write for workers to read."""
    return f"plan/{job_id}/"


def job_prefix(job_id: str) -> str:
    """Everything that workers write for other workers to read."""
    return f"jobs/{job_id}/"


def bundle(job_id: str) -> str:
    return f"{plan_prefix(job_id)}bundle.zip"


def plan(job_id: str) -> str:
    return f"{plan_prefix(job_id)}plan"


def index_segment(job_id: str, segment: int) -> str:
    return f"{plan_prefix(job_id)}index/{segment:05d}"


def index_books(job_id: str) -> str:
    """What each partition must read: records and checksum, as the winning maps wrote them."""
    return f"{plan_prefix(job_id)}index/books"


def plan_objects(job_id: str, *, map_tasks: int) -> Iterator[str]:
    """All that there can be below `plan_prefix`."""
    yield from (bundle(job_id), plan(job_id), index_books(job_id))
    yield from (index_segment(job_id, segment) for segment in range(-(-map_tasks // limits.INDEX_SEGMENT_TASKS)))


def packed_pieces(job_id: str, *, worker: str, map_task: int) -> str:
    return f"{job_prefix(job_id)}map/worker-{worker}-{map_task}"


def split_piece(job_id: str, *, worker: str, map_task: int, partition: int) -> str:
    return f"{packed_pieces(job_id, worker=worker, map_task=map_task)}-{partition}"


def part(task: int) -> str:
    """The name of one object of the output."""
    return f"{PART_PREFIX}{task:0{PART_DIGITS}d}"


SUCCESS = "_SUCCESS"
