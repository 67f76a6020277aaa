import pytest
from botocore import exceptions as boto

from s3mr.adapters.aws.aws_errors import code_of, status_of, translated
from s3mr.errors import InvariantError, RequestError, S3mrError, TransientError


def answer(code: str, status: int, operation: str = "GetObject", why: str = "why") -> boto.ClientError:
    return boto.ClientError(
        {"Error": {"Code": code, "Message": why}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@pytest.mark.parametrize(
    ("error", "ours", "text"),
    [
        (answer("AccessDenied", 403), RequestError, "access denied"),
        (answer("403", 403), RequestError, "access denied"),
        (answer("AccessDeniedException", 400), RequestError, "access denied"),
        (answer("NoSuchBucket", 404), RequestError, "no such bucket"),
        (answer("ResourceNotFoundException", 400), RequestError, "no such table"),
        (answer("PermanentRedirect", 301), RequestError, "AWS_REGION"),
        (answer("ExpiredTokenException", 400), RequestError, "sign in"),
        (answer("RequestTimeTooSkewed", 403), RequestError, "clock"),
        (boto.NoCredentialsError(), RequestError, "credentials"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), RequestError, "credentials"),
        (boto.ProfileNotFound(profile="work"), RequestError, "work"),
        (boto.NoRegionError(), RequestError, "AWS_REGION"),
        (answer("SlowDown", 503), TransientError, "SlowDown"),
        (answer("InternalError", 500), TransientError, "InternalError"),
        (answer("Anything", 502), TransientError, "Anything"),
        (answer("ThrottlingException", 400), TransientError, "Throttling"),
        (answer("ProvisionedThroughputExceededException", 400), TransientError, "Throughput"),
        (answer("TooManyRequestsException", 429), TransientError, "TooMany"),
        (answer("ConditionalRequestConflict", 409), TransientError, "Conflict"),
        (answer("RequestTimeout", 400), TransientError, "Timeout"),
        (boto.EndpointConnectionError(endpoint_url="https://s3"), TransientError, "https://s3"),
        (boto.ReadTimeoutError(endpoint_url="https://s3"), TransientError, "https://s3"),
        (boto.ConnectionClosedError(endpoint_url="https://s3"), TransientError, "https://s3"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), TransientError, "2"),
        (answer("ValidationException", 400), InvariantError, "ValidationException"),
        (boto.ParamValidationError(report="wrong"), InvariantError, "wrong"),
    ],
)
def test_every_error_of_botocore_is_translated_with_the_attempted_action(
    error: Exception, ours: type[S3mrError], text: str
) -> None:
    with (
        pytest.raises(ours, match=rf"(?s)^reading s3://bucket/key: .*{text}") as raised,
        translated("reading s3://bucket/key"),
    ):
        raise error
    assert raised.value.__cause__ is error


def test_other_errors_are_not_translated() -> None:
    for error in (RequestError("mine"), KeyError("bug")):
        with pytest.raises(type(error)) as raised, translated("x"):
            raise error
        assert raised.value is error


def test_a_response_without_details_has_an_empty_code_and_status() -> None:
    error = boto.ClientError({}, "HeadObject")
    assert (code_of(error), status_of(error)) == ("", 0)


def test_a_missing_permission_is_reported_with_awss_name_and_its_policy() -> None:
    machine = "arn:aws:states:eu-central-1:123456789012:stateMachine:s3mr-jobs"
    why = f"User: arn:aws:iam::123456789012:user/ada is not authorized to perform: states:StartExecution on: {machine}"
    with pytest.raises(RequestError) as refused, translated("starting the coordinator of job 1"):
        raise answer("AccessDeniedException", 400, "StartExecution", why)
    message = str(refused.value)
    assert message.startswith("starting the coordinator of job 1: access denied: check the credentials in use")
    assert why in message
    assert "SubmitPolicyArn" in message
    assert "gone" not in message


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject"])
def test_a_denied_read_names_both_causes_no_access_or_no_object(operation: str) -> None:
    with pytest.raises(RequestError) as refused, translated("reading s3://bucket/key"):
        raise answer("AccessDenied" if operation == "GetObject" else "403", 403, operation)
    message = str(refused.value)
    assert message.startswith("reading s3://bucket/key: access denied, or the object does not exist")
    assert (
        "look for it with aws s3 ls; if it is missing, run the job again; otherwise, check the credentials" in message
    )
    assert operation in message
