"""Define the tree of errors, divided by what to do when you catch them.

S3mrError
├── UserCodeError    the user's function raised or is wrong: fail the task, show the traceback
├── RequestError     the request can never succeed: refuse it, and say what to change
│   └── MissingError the bucket or the table does not exist: its content is gone
├── TransientError   a service is busy or unreachable: retry within the budget
├── InvariantError   a bug in s3mr, or a write by another program: stop the job, keep the evidence
├── JobFailedError   the job that you waited for has failed: nothing was written to its output
└── DetachedError    the job that you waited for cannot be reached, but keeps running: look again later

Adapters translate errors of libraries to these once, where they call the library.
"""


class S3mrError(Exception):
    """Any error that s3mr raises on purpose. Its message is written for the person who runs the job."""


class UserCodeError(S3mrError):
    """A user's function raised, or returned an object that s3mr cannot use.

    ``traceback`` is the user's own, without frames of s3mr. ``source`` and ``record`` are what the function was called
    with. Each is None if it does not apply.
    """

    def __init__(
        self,
        message: str,
        *,
        traceback: str | None = None,
        source: str | None = None,
        record: str | None = None,
    ) -> None:
        super().__init__(message)
        self.traceback = traceback
        self.source = source
        self.record = record


class RequestError(S3mrError):
    """The request can never succeed. The message says what to change."""


class MissingError(RequestError):
    """The bucket or the table does not exist, so its content is gone."""


class TransientError(S3mrError):
    """A service refused or failed for now. A retry may help."""


class InvariantError(S3mrError):
    """An invariant is broken: by a bug in s3mr, or by another program that wrote where only s3mr may."""


class JobFailedError(S3mrError):
    """A job ended without success. The message says why, with the user's traceback if there is one."""


class DetachedError(S3mrError):
    """A job keeps running but cannot be reached. The message says why, and how to find it again."""
