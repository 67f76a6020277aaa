"""Encode and decode ``_SUCCESS``, the description of a committed output."""

import json
from collections.abc import Iterable
from typing import Self

from pydantic import ConfigDict, Field, ValidationError

from s3mr import limits
from s3mr.model import object_names
from s3mr.model.frozen_model import FrozenModel
from s3mr.model.job import JobId
from s3mr.model.manifest import Part
from s3mr.model.statistics import Counters


class _Exact(FrozenModel):
    """A value whose JSON must have the exact types: a number is not text, and 1.0 is not an integer."""

    model_config = ConfigDict(strict=True)


class Totals(_Exact):
    """The counters of a job that depend only on its input and its code."""

    records_in: int
    bytes_in: int
    pairs_mapped: int
    shuffle_records: int
    shuffle_bytes: int
    records_out: int
    bytes_out: int

    @classmethod
    def of(cls, counters: Counters) -> Self:
        return cls(**counters.model_dump(include=set(cls.model_fields)))


class PartEntry(_Exact):
    """One part as ``_SUCCESS`` describes it."""

    name: str
    size_bytes: int = Field(ge=0)
    records: int = Field(ge=0)
    crc32c: str = Field(pattern=r"^[0-9a-f]{8}$")

    @classmethod
    def of(cls, part: Part) -> Self:
        return cls(name=part.name, size_bytes=part.size_bytes, records=part.records, crc32c=f"{part.crc32c:08x}")


class Success(_Exact):
    """The content of ``_SUCCESS``."""

    job_id: JobId
    counters: Totals
    parts: tuple[PartEntry, ...] = Field(max_length=limits.MAP_TASKS_MAX)

    @classmethod
    def of(cls, job_id: str, counters: Counters, parts: Iterable[PartEntry]) -> Self:
        return cls(job_id=job_id, counters=Totals.of(counters), parts=tuple(parts))

    def encode(self) -> bytes:
        """Return the content of the file. Equal values give equal bytes."""
        return json.dumps(self.model_dump(), indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Parse what `encode` wrote. The names of parts must be their numbers, without a gap.

        Raises:
            ValueError: `encode` cannot have written it. The message says in one line what is wrong.
        """
        try:
            read = cls.model_validate_json(encoded)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ascii(".".join(map(str, first["loc"])))[1:-1]  # an unknown field can have any name
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
        for number, part in enumerate(read.parts):
            if part.name != object_names.part(number):
                raise ValueError(f"part {number} must be named {object_names.part(number)!r}, not {part.name!r}")
        return read
