"""Translate botocore's errors, once, for all adapters that call AWS.

| error of AWS | error of s3mr |
| --- | --- |
| no or wrong credentials, no permission, no such bucket, table or function, wrong region | RequestError |
| throttled, 5xx, connection broken, timeout | TransientError |
| anything else | InvariantError |

Source: "Common Errors" of the service API references; botocore's ``retries/standard.py`` for throttling errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore import exceptions as boto

from s3mr.errors import InvariantError, MissingError, RequestError, S3mrError, TransientError

_THROTTLED: Final = {
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",  # another request on the key is in flight
    "ExecutionLimitExceeded",  # Step Functions: too many running executions
    "InternalError",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
_ADVICE: Final = {
    "NoSuchBucket": "there is no such bucket: check its name",
    "InvalidBucketName": "this is not a valid bucket name: check it",
    "ResourceNotFoundException": "there is no such table, function or state machine: check the stack's name and region",
    "StateMachineDoesNotExist": "there is no such state machine: check the stack's name and region",
    "StateMachineDeleting": "the stack is being deleted",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION to the bucket's",
    "301": "the bucket is in another region: set AWS_REGION to the bucket's",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION to the bucket's",
    "IllegalLocationConstraintException": "the bucket is in another region: set AWS_REGION to the bucket's",
    "InvalidAccessKeyId": "the access key does not exist: check your AWS credentials",
    "SignatureDoesNotMatch": "the secret key does not match the access key: check your AWS credentials",
    "InvalidClientTokenId": "the access key does not exist: check your AWS credentials",
    "UnrecognizedClientException": "the credentials are not valid: check your AWS credentials",
    "InvalidSignatureException": "the credentials are not valid: check your AWS credentials",
    "ExpiredToken": "the credentials have expired: sign in again",
    "ExpiredTokenException": "the credentials have expired: sign in again",
    "InvalidToken": "the session token is not valid: sign in again",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "RequestExpired": "this machine's clock is wrong: set it",
    "InvalidObjectState": "it is archived: restore it from Glacier first",
}
_MISSING: Final = ("NoSuchBucket", "ResourceNotFoundException")
_DENIED: Final = (
    "check the credentials in use, their IAM policy (for jobs on a stack, the policy in its output SubmitPolicyArn) "
    "and the bucket's policy"
)
_READS: Final = ("GetObject", "HeadObject", "CopyObject")
_GONE: Final = (
    ", or the object does not exist (S3 hides the difference from callers who cannot list the bucket): look for it "
    "with aws s3 ls; if it is missing, run the job again; otherwise,"
)
_CREDENTIALS: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.NoAuthTokenError,
)
_CONNECTION: Final = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, boto.ChecksumError)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate botocore's errors in this context. ``what`` is the attempted action: "reading s3://bucket/key".

    Raises:
        RequestError: access, credentials, a name or a region is wrong; the message says what to check.
        TransientError: throttling, a failure of the service, or a broken connection.
        InvariantError: any other error.
    """
    try:
        yield
    except boto.ClientError as error:
        raise _translate(what, error) from error
    except _CREDENTIALS as error:
        raise RequestError(f"{what}: there are no valid AWS credentials ({error}): set them, or sign in") from error
    except boto.NoRegionError as error:
        raise RequestError(f"{what}: no AWS region is set: set AWS_REGION") from error
    except _CONNECTION as error:
        raise TransientError(f"{what}: {error}") from error
    except boto.BotoCoreError as error:
        raise InvariantError(f"{what}: {error}") from error


def code_of(error: boto.ClientError) -> str:
    """Return the error's code, such as ``NoSuchKey``. If the response has no body, it is the HTTP status: ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of the response; 0 if it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_busy(status: int, code: str) -> bool:
    """Whether a response means that the service is overloaded, so that a retry may help."""
    return code in _THROTTLED or status >= 500 or status == 429


def is_denied(error: BaseException | None) -> bool:
    """Whether ``error`` is a response that access is denied."""
    return isinstance(error, boto.ClientError) and (
        code_of(error).startswith("AccessDenied") or (code_of(error) in ("", "403") and status_of(error) == 403)
    )


def _translate(what: str, error: boto.ClientError) -> S3mrError:
    code, status = code_of(error), status_of(error)
    if code in _ADVICE:
        return (MissingError if code in _MISSING else RequestError)(f"{what}: {_ADVICE[code]} ({code})")
    if is_busy(status, code):
        return TransientError(f"{what}: {error}")
    if status in (401, 403) or code.startswith("AccessDenied"):
        return RequestError(f"{what}: {_denied(error)}")
    return InvariantError(f"{what}: {error}")


def _denied(error: boto.ClientError) -> str:
    """Return what to check, and AWS's own message, which usually names the permission and the resource.

    Source: S3 API reference, GetObject: without s3:ListBucket, the response for a missing object is 403.
    """
    also = _GONE if error.operation_name in _READS else ":"
    return f"access denied{also} {_DENIED} ({error})"
