"""What became of verifying an output: what was read, and what differed."""

from s3mr.model.frozen_model import FrozenModel


class Difference(FrozenModel):
    """One thing that is not as it should be: of which object, what about it, and both sides."""

    name: str  # below the output
    what: str  # existence, size_bytes, records, crc32c; of _SUCCESS: content, job_id, parts, or a counter
    expected: str | int
    found: str | int


class Proof(FrozenModel):
    """What was read of an output, and every difference, up to a bound."""

    job_id: str | None  # as ``_SUCCESS`` says, if it can be read
    proven: bool
    parts: int  # read to their ends
    records: int
    size_bytes: int
    differences: tuple[Difference, ...]
    differences_count: int  # also those that are not among them
