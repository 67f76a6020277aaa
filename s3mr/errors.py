"""The tree of errors, split by what the catcher must do.

S3mrError
├── UserCodeError    the user's function is wrong or raised: fail the task, show what it did
├── RequestError     can never work as asked: refuse, and name what to change
│   └── MissingError the bucket or the table does not exist: what was in it is gone
├── TransientError   a service is busy or out of reach: try again within the budget
├── InvariantError   a bug of ours or a foreign write: stop the job, keep the evidence
├── JobFailedError   the job that was waited for has failed: nothing was written to its output
└── DetachedError    the job that was waited for cannot be seen any more, and goes on: look again later

Errors of libraries are translated into these once, in the adapter that calls the library.
"""


class S3mrError(Exception):
    """Any error that s3mr raises on purpose; its text is written for the person who runs the job."""


class UserCodeError(S3mrError):
    """A user's function raised, or returned what cannot be carried on.

    ``traceback`` is the user's own, without our frames; ``source`` and ``record`` say what the function was
    given; each is None where it does not apply.
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
    """What was asked can never work; the text names what to change."""


class MissingError(RequestError):
    """The service says that the bucket or the table does not exist; so nothing that was in it does."""


class TransientError(S3mrError):
    """A service refused or failed for now; trying again may help."""


class InvariantError(S3mrError):
    """Something that must never be so: a bug of ours, or somebody else writing where only we may."""


class JobFailedError(S3mrError):
    """A job ended without success; the text is the whole story, with the user's traceback where there is one."""


class DetachedError(S3mrError):
    """A job that lives on by itself is out of sight; the text says why, and how to find it again."""
