"""Every bound in one place, and how the bounds agree.

Sizes are bytes, times seconds. Facts about AWS are quoted from its documentation (Lambda quotas, DynamoDB
"Service, account, and table quotas", S3 "Multipart upload limits").
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# The shape of a job.
MAP_TASKS_MAX: Final = 100_000
REDUCERS_MAX: Final = 10_000
PIECES_MAX: Final = 10_000_000  # M × R in one level of shuffle
REDUCER_BYTES: Final = 256 * MIB  # of input a reducer, on AWS, where the job does not say how many there are …
REDUCERS_CHOSEN_MAX: Final = 1_000  # … and never more than this
LOCAL_REDUCER_BYTES: Final = MIB  # the same for workers here, …
LOCAL_REDUCERS_PER_WORKER: Final = 2  # … of whom each has this many at most
TASK_OBJECTS_MAX: Final = 1_000  # input objects that one map task may read
SPLIT_LAYOUT_PIECES_MAX: Final = 256  # `auto` writes one object a piece up to here, one a task beyond
INDEX_SEGMENT_TASKS: Final = 1_000  # map tasks in one object of the shuffle index
CUT_BYTES_MIN: Final = 64 * KIB  # of an object, to fill a task: less is not worth a request
SPLIT_SIZE_BYTES: Final = 64 * MIB  # where nobody says: about so much at most, …
LOCAL_COMBINED_SPLIT_BYTES: Final = 2 * SPLIT_SIZE_BYTES  # … more for workers here whose pairs are combined, …
SPLIT_SIZE_BYTES_MIN: Final = MIB  # … and not less than this, that all workers here have as much to do
MEMORY_BYTES: Final = 512 * MIB
MEMORY_BYTES_MIN: Final = 16 * MIB

BLOCK_BYTES: Final = MIB  # of an input at a time, at most

# Frames of a run. A merge holds one decoded frame of each run that it reads.
FRAME_BYTES_MAX: Final = 256 * KIB  # before compression; one larger record makes a larger frame
FRAME_BYTES_MIN: Final = 16 * KIB
PIECE_BYTES_MAX: Final = 2**32 - 1  # a length in the shuffle index has four bytes

# Attempts.
ATTEMPTS: Final = 4
ATTEMPTS_MAX: Final = 100
USER_ATTEMPTS: Final = 2  # a function that raised is tried once more: it may have met a passing fault
TRANSIENT_ATTEMPTS: Final = 10  # a budget of their own: throttling costs no attempt
NO_ROOM_ATTEMPTS: Final = 250  # hours of them: the account's concurrency may be taken for long; the deadline ends it
ATTEMPT_NUMBER_MAX: Final = 999  # three digits in an item's key
LOCAL_WORKERS_MAX: Final = 256  # processes of the embedded cloud
TASK_TIMEOUT_S: Final = 900.0  # Lambda's longest
DEADLINE_S: Final = 24 * 3600.0  # of a whole job
DEADLINE_S_MAX: Final = 6 * 24 * 3600.0
ENVIRONMENT_ENDED_STATUS: Final = 70  # EX_SOFTWARE: a worker function's process ends rather than serve another's code
EVENT_AGE_S: Final = 60.0  # how long an invocation may wait before it starts; Lambda's shortest setting
LEASE_MARGIN_S: Final = 30.0  # the report's way back, and clocks that differ
BACKUP_TASKS_MIN: Final = 10
BACKUP_MEDIAN_FACTOR: Final = 3.0
BACKUP_LONGER_S: Final = 10.0
BUSY_S: Final = 150.0  # for which a command waits for services at an endpoint that say they are busy
STALL_S: Final = 10.0  # without progress for so long, tick asks whether live tasks have already won

# Requests, items and batches.
LAUNCH_BATCH: Final = 100
COMMIT_BATCH: Final = 100  # parts completed between two writes of the cursor
MEDIAN_SAMPLE: Final = 100
SLICES_MAX: Final = 32
SLICE_TASKS: Final = 1_000  # manifests in one slice, about …
SLICE_BYTES: Final = 4 * MIB  # … and their bytes: DynamoDB takes 1 MB a second and partition
INVOKE_WIDTH: Final = 16  # invocations sent at once
PARAMS_BYTES_MAX: Final = 32 * KIB
FAILURE_TEXT_MAX: Final = 8_000  # characters of a message or traceback that a report carries
RECORD_TEXT_MAX: Final = 200  # characters of a record that an error shows
PRINTED_LINE_MAX: Final = 16 * KIB  # characters of what user code prints that are one line of a log
ITEM_BYTES_MAX: Final = 400 * KIB  # DynamoDB
PAYLOAD_BYTES_MAX: Final = 256 * KIB  # a request and its report together, in a Lambda destination
UPLOAD_PART_BYTES: Final = 8 * MIB
UPLOAD_PARTS_MAX: Final = 2_500  # S3 takes 10,000; a report that names them all must stay small
UPLOAD_ETAG_BYTES: Final = 40  # in JSON
SUCCESS_PART_BYTES: Final = 200  # what `_SUCCESS` says of one part, at most
SUCCESS_BYTES_MAX: Final = 32 * MIB  # a `_SUCCESS` that is read back
PUT_BYTES_MAX: Final = 5 * GIB  # S3: one PutObject
DYNAMODB_REQUEST_BYTES_MAX: Final = 17 * MIB  # BatchWriteItem takes 16 MB of items
UPLOAD_ID_MAX: Final = 1_024  # characters; S3's have some 130
ETAG_MAX: Final = 64  # characters; S3's have 34, with their quotes
PART_NAME_MAX: Final = 64  # characters
KEY_TYPE_MAX: Final = 4_096  # characters of a spelled type of keys: a tuple of a thousand ints
KEY_TUPLES_MAX: Final = 32  # tuples in tuples
REQUEST_NAMES_MAX: Final = 64  # operations of services that a job's requests are counted by; what is more is one
REQUEST_NAME_MAX: Final = 64  # characters
COUNT_MAX: Final = 2**53  # of anything that one task counts; sums over all tasks of a job stay numbers of any JSON

# The coordinator on AWS. A round is one execution of the state machine's loop, and one call of tick's function.
ROUND_S: Final = 25.0  # how long one call goes on ticking: then waiting in Step Functions is cheaper
POLL_S: Final = 1.0  # between two ticks: nothing wakes the coordinator when a report comes
ROUNDS_MAX: Final = 70  # of one execution; then a fresh one goes on
ROUND_EVENTS_MAX: Final = 340  # in the execution's history: 9, and 3 for each of 98 retries; some to spare
HISTORY_EVENTS_MAX: Final = 25_000  # Step Functions

# What is kept how long.
INTERMEDIATES_S: Final = 8 * 24 * 3600.0  # the bucket's lifecycle rule; also for open uploads
RECORDS_S: Final = 30 * 24 * 3600.0  # items of a job in the table, from its submission

# The user's code.
BUNDLE_BYTES_MAX: Final = 50 * MIB  # as a zip
BUNDLE_UNZIPPED_BYTES_MAX: Final = 250 * MIB
BUNDLE_FILES_MAX: Final = 10_000

# A task that owns every piece of a manifest must fit into an item, and its report into a payload (base64: 4/3).
PIECE_COLUMN_BYTES: Final = 12
assert REDUCERS_MAX * PIECE_COLUMN_BYTES < ITEM_BYTES_MAX
assert REDUCERS_MAX * PIECE_COLUMN_BYTES * 4 // 3 + PARAMS_BYTES_MAX + 2 * FAILURE_TEXT_MAX < PAYLOAD_BYTES_MAX
assert UPLOAD_PARTS_MAX * UPLOAD_ETAG_BYTES + PARAMS_BYTES_MAX < PAYLOAD_BYTES_MAX
# Whatever a worker reports fits into an item; a character that is escaped takes six bytes, or twelve.
assert UPLOAD_PARTS_MAX * (ETAG_MAX + 4) + 12 * (UPLOAD_ID_MAX + KEY_TYPE_MAX) + 16 * KIB < ITEM_BYTES_MAX
assert MAP_TASKS_MAX * SUCCESS_PART_BYTES + 64 * KIB < SUCCESS_BYTES_MAX
assert PRINTED_LINE_MAX * 12 < 256 * KIB  # as escaped JSON; CloudWatch cuts what is longer
assert FRAME_BYTES_MIN <= FRAME_BYTES_MAX < MEMORY_BYTES_MIN // 16
assert MEMORY_BYTES // 4 > 100 * 1000**2  # lines of 100 MB are read without asking for it
assert USER_ATTEMPTS <= ATTEMPTS <= ATTEMPTS_MAX
assert ATTEMPTS_MAX + TRANSIENT_ATTEMPTS + NO_ROOM_ATTEMPTS + 1 <= ATTEMPT_NUMBER_MAX  # and one backup
assert ROUNDS_MAX * ROUND_EVENTS_MAX < HISTORY_EVENTS_MAX
# A job that runs to its deadline still has its intermediates; one that has ended may be resumed for two days at least.
assert DEADLINE_S <= DEADLINE_S_MAX <= INTERMEDIATES_S - 2 * 24 * 3600.0
assert INTERMEDIATES_S < RECORDS_S


def record_bytes_max(memory_bytes: int) -> int:
    """How much an input record, a key or a value may take where a task may use ``memory_bytes``.

    Half of that sorts and merges. Of one record there may be two copies besides: as it is read and decoded, or encoded
    and compressed.
    """
    return memory_bytes // 4


def start_s(*, waiting_s: float = EVENT_AGE_S) -> float:
    """How long after its launch an attempt may begin; half of the margin is for clocks, half for the report's way."""
    return waiting_s + LEASE_MARGIN_S / 2


def lease_s(task_timeout_s: float, *, waiting_s: float = EVENT_AGE_S) -> float:
    """How long an attempt may stay silent: it may wait, run to its limit, and report; only then is it lost."""
    return waiting_s + task_timeout_s + LEASE_MARGIN_S
