"""The table that counts requests keeps the contract of every `JobStore`, so its counts are those of a real table."""

from typing import Any, cast

import pytest

from s3mr.adapters.aws.dynamodb import DynamoDBJobStore
from s3mr.ports import JobStore
from tests.contract.test_job_store_contract import *  # noqa: F403 - the suite, over one more store
from tests.simulation.scale.meter import Meter
from tests.simulation.scale.services import Table, TableClient


@pytest.fixture  # type: ignore[no-redef] # in place of the suite's
def store() -> JobStore:
    meter = Meter()
    client = TableClient(Table(meter, lambda: 0.0), meter, lambda _: None)
    return DynamoDBJobStore(cast("Any", client), "counting")
