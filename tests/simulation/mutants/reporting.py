"""Mutants of tokens, reports and their checks."""

from typing import Final

from tests.simulation.mutation import Mutant, mutant

_RECORDING: Final = "s3mr.coordinator.recorder"
_REPORT: Final = "s3mr.model.report"
_BARRIER: Final = "s3mr.coordinator.barrier"
_COMMITTING: Final = "s3mr.coordinator.commit"

REPORTING: Final[tuple[Mutant, ...]] = (
    # Tokens: coordinator and recorder agree on all of these.
    mutant("one-token-for-both-phases", _REPORT, 1, ('f"{phase}|{task}|{attempt}"', 'f"{task}|{attempt}"')),
    mutant("one-token-for-all-tasks", _REPORT, 1, ('f"{phase}|{task}|{attempt}"', 'f"{phase}|{attempt}"')),
    mutant("one-token-for-all-attempts", _REPORT, 1, ('f"{phase}|{task}|{attempt}"', 'f"{phase}|{task}"')),
    mutant("a-token-without-the-secret", _REPORT, 1, ("hmac.new(bytes.fromhex(secret)", "hmac.new(bytes(32)")),
    # Failures.
    mutant(
        "fail-without-a-token",
        _RECORDING,
        46,
        ("if not compare_digest(", "if report.failure is None and not compare_digest("),
    ),
    mutant(
        "fail-another-attempt",
        _RECORDING,
        351,
        (
            "        if failure is not None:\n",
            "        if failure is not None:\n"
            "            told = report.task if failure.task is None else failure.task\n"
            "            attempt = AttemptId(task=told, attempt=failure.attempt or report.attempt)\n",
        ),
    ),
    mutant(
        "fail-without-a-name",
        "s3mr.worker.execution",
        2,
        (
            "        return failure_report(request, worker=worker, error=error)\n",
            "        return failed(request, worker=None, error=error)\n",
        ),
    ),
    mutant(
        "fail-and-leave-the-part-open",
        "s3mr.worker.part_lines",
        15,
        ("            part.abandon()\n", "            pass\n"),
    ),
    # Books.
    mutant("books-are-not-compared", _COMMITTING, 93, ("        if one.books != expected:", "        if False:")),
    mutant(
        "bytes-read-are-not-compared", _BARRIER, 261, ("if self._counters.bytes_in != spec.input_bytes:", "if False:")
    ),
    mutant(
        "commit-without-an-audit",
        _COMMITTING,
        261,
        ("        return audit.balance()\n", "        return audit._counters\n"),
    ),
    mutant(
        "checksums-of-pieces-are-not-compared",
        "s3mr.worker.reduce_execution",
        296,
        (
            "if (length_bytes, crc32c) != (stored.piece.length_bytes, stored.piece.crc32c):",
            "if length_bytes != stored.piece.length_bytes:",
        ),
    ),
)
