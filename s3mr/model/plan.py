"""Define the plan: which bytes of which inputs each map task reads."""

from dataclasses import dataclass

from pydantic import ConfigDict, Field

from s3mr.model.frozen_model import FrozenModel


@dataclass(frozen=True, slots=True)
class InputObject:
    """One file or object to read. ``source`` is its path or ``s3://bucket/key``."""

    source: str
    size_bytes: int
    etag: str  # changes when the content changes


class Split(FrozenModel):
    """A half-open byte range ``[start, stop)`` of one input object. It is empty only if the object is empty."""

    model_config = ConfigDict(str_max_length=None)  # a file name may be invalid UTF-8, and is kept unchanged

    source: str
    size_bytes: int = Field(ge=0)  # of the whole object
    etag: str
    start: int = Field(ge=0)
    stop: int = Field(ge=0)

    def model_post_init(self, _context: object) -> None:
        if not (self.start < self.stop <= self.size_bytes or self.start == self.stop == self.size_bytes == 0):
            raise ValueError(f"empty, inverted or overlong split: {self}")

    @property
    def whole(self) -> bool:
        return self.stop - self.start == self.size_bytes


class MapTask(FrozenModel):
    """The splits that one map task reads, in order."""

    splits: tuple[Split, ...]


class Pointer(FrozenModel):
    """A byte range of an object, and its CRC-32C."""

    offset_bytes: int = Field(ge=0)
    length_bytes: int = Field(ge=0)
    crc32c: int = Field(ge=0, lt=2**32)
