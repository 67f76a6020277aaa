"""The embedded cloud's server: which service answers a request, however it is signed."""

from typing import Any

import pytest

from s3mr.local.server import Signed, WsgiApp

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=key/20260102/eu-west-1/{}/aws4_request, SignedHeaders=host;x-amz-date, Signature=0a1b"
)


@pytest.mark.parametrize(
    ("environ", "answering"),
    [
        ({"HTTP_AUTHORIZATION": SIGNED.format("s3")}, "s3"),
        (
            {"HTTP_AUTHORIZATION": SIGNED.format("dynamodb"), "HTTP_X_AMZ_TARGET": "DynamoDB_20120810.PutItem"},
            "dynamodb",
        ),
        (
            {"HTTP_AUTHORIZATION": SIGNED.format("dynamodb"), "HTTP_X_AMZ_TARGET": "DynamoDBStreams_20120810.X"},
            "others",
        ),
        ({"HTTP_AUTHORIZATION": SIGNED.format("dynamodb")}, "others"),
        ({"HTTP_AUTHORIZATION": SIGNED.format("lambda")}, "others"),
        ({"HTTP_AUTHORIZATION": "AWS s3/aws4_request:signature"}, "others"),
        ({"HTTP_AUTHORIZATION": ""}, "others"),
        ({}, "others"),
    ],
)
def test_the_service_that_a_request_is_signed_for_answers_it_and_moto_finds_all_others(
    environ: dict[str, Any], answering: str
) -> None:
    signed = Signed({service: named(service) for service in ("s3", "dynamodb")}, named("others"))
    assert list(signed(environ, lambda *_: None)) == [answering.encode()]


def named(service: str) -> WsgiApp:
    return lambda _environ, _start_response: [service.encode()]
