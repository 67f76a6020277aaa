"""Define the result of verifying an output: what was read, and what differed."""

from s3mr.model.frozen_model import FrozenModel


class Difference(FrozenModel):
    """One difference: the object, what differs, and both values."""

    name: str  # below the output
    what: str  # existence, size_bytes, records, crc32c; of _SUCCESS: content, job_id, parts, or a counter
    expected: str | int
    found: str | int


class Proof(FrozenModel):
    """What was read of an output, and the differences, up to a maximum number."""

    job_id: str | None  # from ``_SUCCESS``, if it can be read
    proven: bool
    parts: int  # read completely
    records: int
    size_bytes: int
    differences: tuple[Difference, ...]
    differences_count: int  # including those that are not listed
