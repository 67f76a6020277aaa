"""One cloud and one deployed stack for all tests. Each test gets its own inputs and outputs."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.deployed.harness.building import build
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import REGION
from tests.deployed.harness.lambda_service import Delivery
from tests.deployed.harness.person import Person
from tests.deployed.harness.stack import Stack, deploy
from tests.deployed.harness.waiting import TaskGate
from tests.deployed.run import INPUTS, OUTPUTS, WORKERS, prepare
from tests.warm_commands import WarmCommands

ROOT_OUTPUT = "deployed-root"  # an output bucket in which tests write to the root
VAULT = "deployed-vault"  # an input and output bucket that is encrypted with another key
LAST = "test_every_permission_of_every_role_is_used_by_a_test"
BOOKS_MAX = 8
BUCKETS = {"InputBuckets": INPUTS, "OutputBuckets": f"{OUTPUTS},{ROOT_OUTPUT}"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the test that checks all others last."""
    items.sort(key=lambda item: item.name == LAST)


@pytest.fixture(scope="session")
def aws() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def built() -> Path:
    return build()


@pytest.fixture(scope="session")
def stack(aws: Cloud, built: Path) -> Stack:
    return prepare(aws, built, **BUCKETS)


@pytest.fixture(scope="session")
def key(aws: Cloud) -> str:
    """A KMS key."""
    return str(aws.administrators("kms").create_key()["KeyMetadata"]["Arn"])


@pytest.fixture(scope="session")
def encrypted(aws: Cloud, built: Path, stack: Stack, key: str) -> Stack:
    """A second stack, encrypted with the key, on the buckets of the first and one with another key."""
    assert stack.cloud is aws
    other, s3 = aws.administrators("kms").create_key()["KeyMetadata"]["Arn"], aws.administrators("s3")
    s3.create_bucket(Bucket=VAULT, CreateBucketConfiguration={"LocationConstraint": REGION})
    by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": other}}
    s3.put_bucket_encryption(Bucket=VAULT, ServerSideEncryptionConfiguration={"Rules": [by_default]})
    buckets = {name: f"{given},{VAULT}" for name, given in BUCKETS.items()}
    return deploy(aws, built, "sealed", **buckets, WorkersMax=WORKERS, KmsKeyArn=key, DataKmsKeyArns=other)


@pytest.fixture(scope="session")
def submitter(aws: Cloud, stack: Stack) -> dict[str, str]:
    return aws.add_user("submitter", stack.resource("SubmitPolicy"))


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return iter(range(0, 100_000, 1_000))


@pytest.fixture
def person(
    stack: Stack, submitter: dict[str, str], tmp_path: Path, numbers: Iterator[int], warm_commands: WarmCommands
) -> Person:
    first = next(numbers)
    return Person(stack, submitter, tmp_path, INPUTS, OUTPUTS, warm_commands, iter(range(first, first + 1_000)))


@pytest.fixture
def sealed(aws: Cloud, encrypted: Stack, tmp_path: Path, numbers: Iterator[int], warm_commands: WarmCommands) -> Person:
    first = next(numbers)
    credentials = aws.add_user(f"sealed-{first}", encrypted.resource("SubmitPolicy"))
    return Person(encrypted, credentials, tmp_path, INPUTS, OUTPUTS, warm_commands, iter(range(first, first + 1_000)))


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[TaskGate]:
    gate = TaskGate(tmp_path)
    yield gate
    gate.open()  # tasks do not wait for a test that has ended


@pytest.fixture
def late_and_duplicate_events(aws: Cloud) -> Iterator[Delivery]:
    """Deliver events late, and often twice."""
    aws.service.delivery = Delivery(seed=7, doubled=0.5, late=0.5, late_s_max=1.0)
    yield aws.service.delivery
    aws.service.delivery = Delivery()


@pytest.fixture(scope="session")
def books() -> list[str]:
    """Real books from the folder ``S3MR_BOOKS`` if it is set, else random texts."""
    if "S3MR_BOOKS" in os.environ:
        paths = sorted(path for path in Path(os.environ["S3MR_BOOKS"]).iterdir() if path.is_file())
        return [path.read_text() for path in sorted(paths, key=lambda path: path.stat().st_size)[:BOOKS_MAX]]
    random = Random(3)
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyzé", k=random.randint(1, 9))) for _ in range(2_000)]
    return ["\n".join(" ".join(random.choices(words, k=random.randint(0, 14))) for _ in range(1_500)) for _ in range(5)]


@pytest.fixture(scope="session")
def expected_counts(books: list[str]) -> list[str]:
    """The sorted output lines of word count on the books, computed without s3mr."""
    counts = Counter(word for text in books for line in text.split("\n") for word in line.split())
    return sorted(f"{word}\t{count}" for word, count in counts.items())
