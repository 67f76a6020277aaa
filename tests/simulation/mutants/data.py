"""Mutants of the data plane."""

from typing import Final

from tests.simulation.mutation import Mutant, mutant

_MEMORY_DATA: Final = "s3mr.adapters.memory.memory_data"

DATA: Final[tuple[Mutant, ...]] = (
    mutant(
        "types-of-keys-are-not-compared",
        "s3mr.coordinator.barrier",
        21,
        ("            if one.key_type is not None:\n", "            if False:\n"),
    ),
    mutant(
        "lose-a-line-at-a-split",
        "s3mr.formats.text",
        4,
        ("    blocks = read(split.start - 1, split.stop)\n", "    blocks = read(split.start, split.stop)\n"),
    ),
    mutant(
        "trust-a-changed-input",
        _MEMORY_DATA,
        50,
        ("if self._object(source).etag != etag:", "if False:"),
    ),
    mutant(
        "values-in-any-order",
        "s3mr.worker.reduce_execution",
        7,
        (
            "enumerate(decode_column(column, tasks=tasks), start=first):",
            "reversed(list(enumerate(decode_column(column, tasks=tasks), start=first))):",
        ),
    ),
    mutant(
        "offsets-of-the-wrong-piece",
        "s3mr.shuffle.shuffle_index",
        19,
        ("list(map(add, offsets, lengths))", "list(lengths)"),
    ),
)
