from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import moto
import pytest
from botocore.config import Config
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_s3 import S3Client

from s3mr.adapters.aws.dynamodb import DynamoDBJobStore
from tests.contract.misbehaving import Fault, MisbehavingApp, none
from tests.serving import application, serving

BUCKET, TABLE = "bucket", "table"


def _answering_no_such_upload(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Answer as AWS does; moto 5.2 raises KeyError."""

    def answering(backend: S3Backend, bucket: str, upload: str, *arguments: Any) -> Any:
        if upload not in backend.get_bucket(bucket).multiparts:
            raise NoSuchUpload(upload_id=upload)
        return operation(backend, bucket, upload, *arguments)

    return answering


@pytest.fixture(scope="session")
def s3_client() -> S3Client:
    """A client without retries. moto answers it while a `mock_aws` is active, and no real service ever does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(name, raising=False)
        return boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def s3(s3_client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """An S3 in this process, with one empty bucket named "bucket"."""
    for operation in ("complete_multipart_upload", "upload_part"):
        monkeypatch.setattr(S3Backend, operation, _answering_no_such_upload(getattr(S3Backend, operation)))
    with moto.mock_aws():
        s3_client.create_bucket(Bucket=BUCKET)
        yield s3_client


@dataclass(frozen=True, slots=True)
class FaultyServices:
    """S3 and DynamoDB behind a fault, over real connections. Clients do not retry."""

    app: MisbehavingApp
    s3: S3Client
    dynamodb: DynamoDBClient

    @property
    def store(self) -> DynamoDBJobStore:
        """The job store in the table."""
        return DynamoDBJobStore(self.dynamodb, TABLE)

    def meet(self, fault: Fault) -> None:
        """Inject ``fault`` from now on."""
        self.app.fault = fault


@pytest.fixture(scope="session")
def served() -> Iterator[FaultyServices]:
    """Services that tests share; each test gets its own state."""
    app = MisbehavingApp(application())
    once = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={})
    with serving(app) as url:
        known: dict[str, Any] = {
            "endpoint_url": url,
            "region_name": "us-east-1",
            "aws_access_key_id": "testing",
            "aws_secret_access_key": "testing",
            "config": once,
        }
        session = boto3.session.Session()
        yield FaultyServices(app, session.client("s3", **known), session.client("dynamodb", **known))


@pytest.fixture
def services(served: FaultyServices) -> Iterator[FaultyServices]:
    """Services with an empty bucket and a table, and without a fault yet."""
    served.meet(none)
    served.app.calls.clear()
    served.store.create_table()
    served.s3.create_bucket(Bucket=BUCKET)
    yield served
    served.meet(none)
    for upload in served.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        served.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for found in served.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        served.s3.delete_object(Bucket=BUCKET, Key=found["Key"])
    served.s3.delete_bucket(Bucket=BUCKET)
