"""Build and parse all names of objects and parts (design: "Names of objects")."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from s3mr import limits

PART_DIGITS = 5
PART_PREFIX = "part-"
_UPLOAD_NOTE: Final = re.compile(r"(?P<name>part-[0-9]{5})\.(?P<worker>[0-9a-f]{16})\.(?P<upload>[!-~]+)")


class OpenedPart(NamedTuple):
    """An upload that an attempt opened for a part, and the worker that executed the attempt."""

    name: str
    worker: str
    upload: str  # its id


def plan_prefix(job_id: str) -> str:
    """Return the prefix of everything that submit and tick write for workers to read."""
    return f"plan/{job_id}/"


def job_prefix(job_id: str) -> str:
    """Return the prefix of everything that workers write for other workers to read."""
    return f"jobs/{job_id}/"


def bundle(job_id: str) -> str:
    return f"{plan_prefix(job_id)}bundle.zip"


def plan(job_id: str) -> str:
    return f"{plan_prefix(job_id)}plan"


def index_segment(job_id: str, segment: int) -> str:
    return f"{plan_prefix(job_id)}index/{segment:05d}"


def index_books(job_id: str) -> str:
    """Return the name of the books: the records and checksum that the winning maps wrote for each partition."""
    return f"{plan_prefix(job_id)}index/books"


def uploads_prefix(job_id: str) -> str:
    """Return the prefix of the notes, one per upload. The coordinator aborts an upload, then deletes its note."""
    return f"{job_prefix(job_id)}uploads/"


def upload_note(job_id: str, opened: OpenedPart) -> str:
    return f"{uploads_prefix(job_id)}{opened.name}.{opened.worker}.{quote(opened.upload, safe='')}"


def read_upload_note(job_id: str, key: str) -> OpenedPart | None:
    """Return the upload that a note names. None if s3mr did not write it: workers may write any name there."""
    found = _UPLOAD_NOTE.fullmatch(key.removeprefix(uploads_prefix(job_id)))
    return OpenedPart(found["name"], found["worker"], unquote(found["upload"])) if found else None


def plan_objects(job_id: str, *, map_tasks: int) -> Iterator[str]:
    """Yield all names that can exist below `plan_prefix`."""
    yield from (bundle(job_id), plan(job_id), index_books(job_id))
    yield from (index_segment(job_id, segment) for segment in range(-(-map_tasks // limits.INDEX_SEGMENT_TASKS)))


def pieces_prefix(job_id: str) -> str:
    """Return the prefix of everything that map tasks write for reducers to read."""
    return f"{job_prefix(job_id)}map/"


def packed_pieces(job_id: str, *, worker: str, map_task: int) -> str:
    return f"{pieces_prefix(job_id)}worker-{worker}-{map_task}"


def split_piece(job_id: str, *, worker: str, map_task: int, partition: int) -> str:
    return f"{packed_pieces(job_id, worker=worker, map_task=map_task)}-{partition}"


def part(task: int) -> str:
    """Return the name of one object of the output."""
    return f"{PART_PREFIX}{task:0{PART_DIGITS}d}"


SUCCESS = "_SUCCESS"
COMMITTING = "_COMMITTING"  # below an s3:// output, while a job commits to it
