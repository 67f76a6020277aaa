"""Facts that documents quote, from where the code has them: bounds, times, prices, exit statuses."""

from docs.generate.tables import table
from s3mr import limits
from s3mr.cli.exit_status import EXIT_DETACHED, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED
from s3mr.model import prices
from s3mr.model.cost import ROUND_TRANSITIONS, TICK_GB
from s3mr.policy.retries import BACKOFF_S, BACKOFF_S_MAX


def limits_table() -> str:
    """Return the bounds that you can meet."""
    rows = [
        ("map tasks of a job", f"{limits.MAP_TASKS_MAX:,}"),
        ("reducers of a job", f"{limits.REDUCERS_MAX:,}"),
        ("map tasks × reducers", f"{limits.PIECES_MAX:,}"),
        ("input objects that one map task reads", f"{limits.TASK_OBJECTS_MAX:,}"),
        ("worker processes on this machine", f"{limits.LOCAL_WORKERS_MAX:,}"),
        ("attempts of a task (`--attempts`)", f"{limits.ATTEMPTS:,} by default, at most {limits.ATTEMPTS_MAX:,}"),
        ("attempts after a function of yours has raised", f"{limits.USER_ATTEMPTS:,}"),
        ("time of one attempt (`--task-timeout`)", f"{duration(limits.TASK_TIMEOUT_S)} by default"),
        (
            "time of a whole job (`--deadline`)",
            f"{duration(limits.DEADLINE_S)} by default, at most {duration(limits.DEADLINE_S_MAX)}",
        ),
        (
            "memory for sorting and merging in a worker (`--memory`)",
            f"{size(limits.MEMORY_BYTES)} by default, at least {size(limits.MEMORY_BYTES_MIN)}",
        ),
        (
            "an input record, a key or a value",
            (
                f"a quarter of `--memory`: {size(limits.record_bytes_max(limits.MEMORY_BYTES))} by default, "
                f"{size(limits.record_bytes_max(limits.MEMORY_BYTES_MIN))} with the least memory"
            ),
        ),
        ("the job's code as a zip file", size(limits.BUNDLE_BYTES_MAX)),
        ("the job's code unpacked", size(limits.BUNDLE_UNZIPPED_BYTES_MAX)),
        ("files in the job's code", f"{limits.BUNDLE_FILES_MAX:,}"),
        ("intermediate objects on a stack are kept", duration(limits.INTERMEDIATES_S)),
        ("the record of a job on a stack is kept", duration(limits.RECORDS_S)),
    ]
    return table(["limit", "value"], rows)


def defaults_table() -> str:
    """Return what s3mr chooses if you do not say."""
    rows = [
        (
            "map tasks",
            (
                f"splits of at most {size(limits.SPLIT_SIZE_BYTES)}; on this machine the same number for "
                "every worker, at least "
                f"{size(limits.SPLIT_SIZE_BYTES_MIN)} each, and at most {size(limits.LOCAL_COMBINED_SPLIT_BYTES)} "
                "if pairs are combined"
            ),
        ),
        (
            "reducers on this machine",
            f"one for each {size(limits.LOCAL_REDUCER_BYTES)} of input, but one to two a worker",
        ),
        (
            "reducers on a stack",
            f"one for each {size(limits.REDUCER_BYTES)} of input, at most {limits.REDUCERS_CHOSEN_MAX:,}",
        ),
        (
            "layout of intermediate objects",
            f"`split` up to {limits.SPLIT_LAYOUT_PIECES_MAX:,} pieces, `packed` beyond",
        ),
    ]
    return table(["choice", "default"], rows)


def timings_table() -> str:
    """Return the times and counts that the protocol depends on."""
    rows = [
        ("event age: how long an invocation may wait", duration(limits.EVENT_AGE_S)),
        ("lease margin: the report's way back, and clocks that differ", duration(limits.LEASE_MARGIN_S)),
        (
            "lease of an attempt: event age + task timeout + margin",
            f"{duration(limits.lease_s(limits.TASK_TIMEOUT_S))} with the default timeout",
        ),
        ("start-by time: an attempt that begins later does nothing", f"{duration(limits.start_s())} after its launch"),
        ("no progress, until a tick looks for winners that it has missed", duration(limits.STALL_S)),
        ("attempts launched in one batch", f"{limits.LAUNCH_BATCH:,}"),
        ("parts completed between two writes of the commit's cursor", f"{limits.COMMIT_BATCH:,}"),
        ("map tasks in one segment of the shuffle index", f"{limits.INDEX_SEGMENT_TASKS:,}"),
        (
            "a frame of the shuffle, before compression",
            f"{size(limits.FRAME_BYTES_MIN)} to {size(limits.FRAME_BYTES_MAX)}",
        ),
        ("slices of a job's manifests in the table", f"1 to {limits.SLICES_MAX:,}"),
        ("attempts, per task (`--attempts`)", f"{limits.ATTEMPTS:,}"),
        ("attempts, if a function of yours raises", f"{limits.USER_ATTEMPTS:,}"),
        ("failures, if a service refuses for now", f"{limits.TRANSIENT_ATTEMPTS:,}"),
        ("tasks of a phase, from which backup attempts begin", f"{limits.BACKUP_TASKS_MIN:,}"),
        (
            "a straggler has run",
            f"{limits.BACKUP_MEDIAN_FACTOR:g} times the median, and {duration(limits.BACKUP_LONGER_S)} longer than it",
        ),
        ("backoff after a transient failure, with jitter", f"{BACKOFF_S / 2:g} s to {BACKOFF_S_MAX * 1.5:g} s"),
        ("time between two ticks on a stack", duration(limits.POLL_S)),
        ("a round of ticks on a stack", duration(limits.ROUND_S)),
        ("rounds of one execution", f"{limits.ROUNDS_MAX:,}"),
        ("a command waits for busy services at an endpoint", duration(limits.BUSY_S)),
    ]
    return table(["what", "value"], rows)


def statuses_table() -> str:
    """Return how the command exits."""
    rows = [
        ("0", "The job succeeded, or the command did what you asked."),
        (
            str(EXIT_FAILED),
            (
                "The job failed in a task: an exception, a value that cannot be serialized, a damaged gzip file. "
                "`s3mr verify` found a difference. `s3mr doctor` found a problem."
            ),
        ),
        (
            str(EXIT_REFUSED),
            (
                "s3mr refused before it started anything: there is no input or no job, an option is wrong, the output "
                "is not empty, there is nothing to verify."
            ),
        ),
        (
            str(EXIT_DETACHED),
            (
                "s3mr lost sight of a job on a stack, because credentials expired or the network was away for 5 "
                "minutes. The job keeps running. `s3mr watch` finds it again."
            ),
        ),
        (
            str(EXIT_INTERRUPTED),
            (
                "You pressed Ctrl-C, or the command got SIGTERM or SIGHUP. The message says so if the output was "
                "already committed."
            ),
        ),
    ]
    return table(["status", "meaning"], rows)


def prices_table() -> str:
    """Return what the estimate of a job's cost multiplies."""
    rows = [
        ("Lambda, a GB-second (arm64)", dollars(prices.LAMBDA_GB_S_USD)),
        ("Lambda, 1 million requests", dollars(prices.LAMBDA_REQUEST_USD * 1_000_000)),
        ("S3, 1,000 PUT, COPY, POST or LIST requests", dollars(prices.S3_PUT_CLASS_USD * 1_000)),
        ("S3, 1,000 GET and other requests", dollars(prices.S3_GET_CLASS_USD * 1_000)),
        ("DynamoDB, 1 million write units", dollars(prices.DYNAMODB_WRITE_UNIT_USD * 1_000_000)),
        ("DynamoDB, 1 million read units", dollars(prices.DYNAMODB_READ_UNIT_USD * 1_000_000)),
        ("Step Functions, 1,000 transitions", dollars(prices.STEP_FUNCTIONS_TRANSITION_USD * 1_000)),
    ]
    return table(["what AWS bills", "US dollars"], rows, right=1)


def coordinator_table() -> str:
    """Return what coordinating costs: rounds of ticks, one after another."""
    round_s = limits.ROUND_S + limits.POLL_S
    gb_s = limits.ROUND_S * TICK_GB
    round_usd = gb_s * prices.LAMBDA_GB_S_USD + ROUND_TRANSITIONS * prices.STEP_FUNCTIONS_TRANSITION_USD
    rows = [
        ("a round and the wait after it", duration(round_s)),
        ("transitions of the state machine in a round", f"{ROUND_TRANSITIONS}"),
        ("GB-seconds of tick in a round", f"{gb_s:g}"),
        ("an hour of rounds, in US dollars", f"{3_600 / round_s * round_usd:.2f}"),
    ]
    return table(["what", "value"], rows, right=1)


def size(size_bytes: int) -> str:
    """Return a size as you may type it."""
    for unit, factor in (("GiB", limits.GIB), ("MiB", limits.MIB), ("KiB", limits.KIB)):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor:,} {unit}"
    return f"{size_bytes:,} bytes"


def duration(seconds: float) -> str:
    """Return a time in the largest unit that it is a whole number of, from two on."""
    for unit, factor in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % factor == 0 and seconds >= 2 * factor:
            return f"{seconds / factor:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def dollars(usd: float) -> str:
    """Return an amount without zeros at its end, in cents at least."""
    text = f"{usd:.10f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"
