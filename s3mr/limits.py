"""Define all limits in one place, and assert that they agree with each other.

Sizes are in bytes, times in seconds. Facts about AWS are from its documentation (Lambda quotas, DynamoDB "Service,
account, and table quotas", S3 "Multipart upload limits").
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# The size of a job.
MAP_TASKS_MAX: Final = 100_000
REDUCERS_MAX: Final = 10_000
PIECES_MAX: Final = 10_000_000  # M × R in one level of shuffle
REDUCER_BYTES: Final = 256 * MIB  # default on AWS: one reducer for this much input
REDUCERS_CHOSEN_MAX: Final = 1_000  # maximum of that default
LOCAL_REDUCER_BYTES: Final = MIB  # the same for local workers
LOCAL_REDUCERS_PER_WORKER: Final = 2  # maximum of that default
TASK_OBJECTS_MAX: Final = 1_000  # input objects that one map task may read
SPLIT_LAYOUT_PIECES_MAX: Final = 256  # up to here, `auto` writes one object per piece; beyond, one per task
INDEX_SEGMENT_TASKS: Final = 1_000  # map tasks in one object of the shuffle index
CUT_BYTES_MIN: Final = 64 * KIB  # smallest part of an object that fills a task: less is not worth a request
SPLIT_SIZE_BYTES: Final = 64 * MIB  # default: about this much at most
LOCAL_COMBINED_SPLIT_BYTES: Final = 2 * SPLIT_SIZE_BYTES  # the same for local workers of a job with a combiner
SPLIT_SIZE_BYTES_MIN: Final = MIB  # smallest default, when the input is divided equally among local workers
MEMORY_BYTES: Final = 512 * MIB
MEMORY_BYTES_MIN: Final = 16 * MIB

BLOCK_BYTES: Final = MIB  # largest block of an input that is read at once

# Frames of a run. A merge has one decoded frame of each run in memory.
FRAME_BYTES_MAX: Final = 256 * KIB  # before compression; a larger record makes a larger frame
FRAME_BYTES_MIN: Final = 16 * KIB
PIECE_BYTES_MAX: Final = 2**32 - 1  # a length in the shuffle index has four bytes

# Attempts.
ATTEMPTS: Final = 4
ATTEMPTS_MAX: Final = 100
USER_ATTEMPTS: Final = 2  # a function that raised is tried once more: the cause may be transient
TRANSIENT_ATTEMPTS: Final = 10  # a separate budget: throttling costs no attempt
NO_ROOM_ATTEMPTS: Final = 250  # takes hours: the account's concurrency may be used up for long; the deadline ends it
ATTEMPT_NUMBER_MAX: Final = 999  # three digits in an item's key
LOCAL_WORKERS_MAX: Final = 256  # processes of the embedded cloud
TASK_TIMEOUT_S: Final = 900.0  # Lambda's maximum
DEADLINE_S: Final = 24 * 3600.0  # for a whole job
DEADLINE_S_MAX: Final = 6 * 24 * 3600.0
ENVIRONMENT_ENDED_STATUS: Final = 70  # EX_SOFTWARE: a function's process ends because it must not run another bundle
EVENT_AGE_S: Final = 60.0  # how long an invocation may wait before it starts; Lambda's minimum setting
LEASE_MARGIN_S: Final = 30.0  # for the delivery of the report, and for clock skew
BACKUP_TASKS_MIN: Final = 10
BACKUP_MEDIAN_FACTOR: Final = 3.0
BACKUP_LONGER_S: Final = 10.0
BUSY_S: Final = 150.0  # how long a command retries requests to an overloaded service at an endpoint
STALL_S: Final = 10.0  # after this long without progress, a tick checks whether live tasks have already won

# Requests, items and batches.
LAUNCH_BATCH: Final = 100
COMMIT_BATCH: Final = 100  # parts completed between two writes of the cursor
MEDIAN_SAMPLE: Final = 100
SLICES_MAX: Final = 32
SLICE_TASKS: Final = 1_000  # about how many manifests one slice has
SLICE_BYTES: Final = 4 * MIB  # about how many bytes they have: DynamoDB writes 1 MB per second and partition
INVOKE_WIDTH: Final = 16  # invocations sent at once
PARAMS_BYTES_MAX: Final = 32 * KIB
FAILURE_TEXT_MAX: Final = 8_000  # characters of a message or traceback in a report
RECORD_TEXT_MAX: Final = 200  # characters of a record in an error
PRINTED_LINE_MAX: Final = 16 * KIB  # characters of one log line that user code prints; longer lines are split
ITEM_BYTES_MAX: Final = 400 * KIB  # DynamoDB
PAYLOAD_BYTES_MAX: Final = 256 * KIB  # a request and its report together, in a Lambda destination
UPLOAD_PART_BYTES: Final = 8 * MIB
UPLOAD_PARTS_MAX: Final = 2_500  # S3 allows 10,000, but the report that lists them must stay small
UPLOAD_ETAG_BYTES: Final = 40  # in JSON
SUCCESS_PART_BYTES: Final = 200  # maximum for one part in `_SUCCESS`
SUCCESS_BYTES_MAX: Final = 32 * MIB  # largest `_SUCCESS` that s3mr reads
PUT_BYTES_MAX: Final = 5 * GIB  # S3: one PutObject
DYNAMODB_REQUEST_BYTES_MAX: Final = 17 * MIB  # BatchWriteItem allows 16 MB of items
UPLOAD_ID_MAX: Final = 1_024  # characters; S3's have about 130
ETAG_MAX: Final = 64  # characters; S3's have 34, with their quotes
PART_NAME_MAX: Final = 64  # characters
KEY_TYPE_MAX: Final = 4_096  # characters of the name of a type of keys: enough for a tuple of a thousand ints
KEY_TUPLES_MAX: Final = 32  # tuples in tuples
REQUEST_NAMES_MAX: Final = 64  # operations by which requests are counted; further operations are counted as one
REQUEST_NAME_MAX: Final = 64  # characters
COUNT_MAX: Final = 2**53  # of one counter of a task; sums over all tasks are still valid numbers in JSON

# The coordinator on AWS. A round is one pass of the state machine's loop, and one call of the tick function.
ROUND_S: Final = 25.0  # how long one call keeps ticking: for longer waits, Step Functions is cheaper
POLL_S: Final = 1.0  # between two ticks: a report does not wake the coordinator
ROUNDS_MAX: Final = 70  # in one execution; then a new execution continues
ROUND_EVENTS_MAX: Final = 340  # in the execution's history: 9, plus 3 for each of 98 retries, plus a reserve
HISTORY_EVENTS_MAX: Final = 25_000  # Step Functions

# How long data is kept.
INTERMEDIATES_S: Final = 8 * 24 * 3600.0  # the bucket's lifecycle rule; also for open uploads
RECORDS_S: Final = 30 * 24 * 3600.0  # a job's items in the table, from its submission

# The user's code.
BUNDLE_BYTES_MAX: Final = 50 * MIB  # as a zip
BUNDLE_UNZIPPED_BYTES_MAX: Final = 250 * MIB
BUNDLE_FILES_MAX: Final = 10_000

# The pieces of a manifest must fit into an item, and those of a report into a payload (base64: 4/3).
PIECE_COLUMN_BYTES: Final = 12
assert REDUCERS_MAX * PIECE_COLUMN_BYTES < ITEM_BYTES_MAX
assert REDUCERS_MAX * PIECE_COLUMN_BYTES * 4 // 3 + PARAMS_BYTES_MAX + 2 * FAILURE_TEXT_MAX < PAYLOAD_BYTES_MAX
assert UPLOAD_PARTS_MAX * UPLOAD_ETAG_BYTES + PARAMS_BYTES_MAX < PAYLOAD_BYTES_MAX
# Any report of a worker must fit into an item. An escaped character takes six or twelve bytes.
assert UPLOAD_PARTS_MAX * (ETAG_MAX + 4) + 12 * (UPLOAD_ID_MAX + KEY_TYPE_MAX) + 16 * KIB < ITEM_BYTES_MAX
assert MAP_TASKS_MAX * SUCCESS_PART_BYTES + 64 * KIB < SUCCESS_BYTES_MAX
assert PRINTED_LINE_MAX * 12 < 256 * KIB  # as escaped JSON; CloudWatch truncates longer lines
assert FRAME_BYTES_MIN <= FRAME_BYTES_MAX < MEMORY_BYTES_MIN // 16
assert MEMORY_BYTES // 4 > 100 * 1000**2  # lines of 100 MB can be read by default
assert USER_ATTEMPTS <= ATTEMPTS <= ATTEMPTS_MAX
assert ATTEMPTS_MAX + TRANSIENT_ATTEMPTS + NO_ROOM_ATTEMPTS + 1 <= ATTEMPT_NUMBER_MAX  # 1 for the backup attempt
assert ROUNDS_MAX * ROUND_EVENTS_MAX < HISTORY_EVENTS_MAX
# A job keeps its intermediates until its deadline, and an ended job can be resumed for at least two days.
assert DEADLINE_S <= DEADLINE_S_MAX <= INTERMEDIATES_S - 2 * 24 * 3600.0
assert INTERMEDIATES_S < RECORDS_S


def record_bytes_max(memory_bytes: int) -> int:
    """Return how much memory an input record, a key or a value may take if the task may use ``memory_bytes``.

    Half of the memory is for sorting and merging. Besides, there can be two copies of a record: while it is read and
    decoded, or encoded and compressed.
    """
    return memory_bytes // 4


def start_s(*, waiting_s: float = EVENT_AGE_S) -> float:
    """Return how long after its launch an attempt may start.

    Half of the margin is for clock skew, the other half for the delivery of the report.
    """
    return waiting_s + LEASE_MARGIN_S / 2


def lease_s(task_timeout_s: float, *, waiting_s: float = EVENT_AGE_S) -> float:
    """Return the lease of an attempt: the time to wait for its start, to run to its timeout, and to report."""
    return waiting_s + task_timeout_s + LEASE_MARGIN_S
