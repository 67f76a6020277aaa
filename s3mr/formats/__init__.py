"""Convert bytes to records, and pairs to bytes. `get_format` finds a format by name; `register_format` adds one."""

from s3mr.formats.registry import Batch, Format, Read, SplittableFormat, get_format, register_format
from s3mr.formats.text import BlockFormat, TextFormat
from s3mr.formats.whole import WholeFormat

__all__ = ["Batch", "Format", "Read", "SplittableFormat", "get_format", "register_format"]

register_format(TextFormat())
register_format(BlockFormat())
register_format(WholeFormat())
