"""The summary of a job that succeeded."""

from s3mr import limits
from s3mr.cli.tables import one_line
from s3mr.model.cost import Cost, Requests
from s3mr.model.result import JobResult
from s3mr.quantities import format_size


def summary(result: JobResult, *, shown_output: str | None) -> str:
    """Return a few lines: the input, shuffle and output sizes, and the tasks, requests, cost and time."""
    counters = result.counters
    skipped = f", {result.skipped_objects:,} skipped (_ or . names)" if result.skipped_objects else ""
    objects, parts = _many(result.input_objects, "object"), _many(result.parts, "part")
    where = f": {one_line(shown_output)}" if shown_output else ""
    tries = f"{_many(result.attempts, 'attempt')}, {result.retried:,} retried"
    lines = {
        "in": f"{counters.records_in:,} records, {_size(counters.bytes_in)} in {objects}{skipped}",
        "shuffle": f"{counters.shuffle_records:,} records, {_size(counters.shuffle_bytes)}",
        "out": f"{counters.records_out:,} records, {_size(counters.bytes_out)} in {parts}{where}",
        "tasks": f"{result.map_tasks:,} map, {result.reducers:,} reduce; {tries}, "
        f"{_many(result.duplicates_ignored, 'duplicate')} ignored",
        "requests": _requests(result.requests),
        "AWS": _dollars(result.aws_cost),
        "time": f"{result.elapsed_s:.1f} s; workers busy {counters.busy_s:.1f} s",
    }
    if not result.reducers:
        del lines["shuffle"]
    return "\n".join(f"{name:<9}{text}" for name, text in lines.items())


def _size(size_bytes: int) -> str:
    return _many(size_bytes, "byte") if size_bytes < limits.KIB else format_size(size_bytes)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _requests(sent: Requests) -> str:
    s3 = f"S3 {sent.s3_put_class:,} writes and lists, {sent.s3_get_class:,} reads"
    if not sent.dynamodb:  # a stack's coordinator does not count its own requests
        return f"{s3} (by workers only)"
    return f"{s3}; DynamoDB {sent.dynamodb:,}"


def _dollars(cost: Cost) -> str:
    """Return what the same job costs on AWS."""
    parts = {
        "Lambda": cost.lambda_usd,
        "S3": cost.s3_usd,
        "DynamoDB": cost.dynamodb_usd,
        "Step Functions": cost.step_functions_usd,
    }
    return f"about {_usd(cost.total_usd)}: " + ", ".join(f"{name} {_usd(usd)}" for name, usd in parts.items())


def _usd(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.5f}"
