"""Storms at an endpoint: services that answer 503 for a while."""

from collections import Counter

import pytest

from tests.integration.endpoint.conftest import EXPECTED, Place, lines_of
from tests.integration.endpoint.storms import proxy_of

TRIES = 6  # answered with 503: botocore gives up after five


@pytest.mark.parametrize("stormy", ["HEAD", "PutItem", "Query"])
def test_a_job_survives_a_storm_of_503_answers_and_reports_it_once(place: Place, endpoint: str, stormy: str) -> None:
    seen: Counter[bool] = Counter()

    def busy(operation: str) -> bool:
        if not operation.startswith(stormy):
            return False
        seen[True] += 1
        return seen[True] <= TRIES

    with proxy_of(endpoint) as proxy:
        proxy.busy = busy
        place.url = proxy.url
        done = place.s3mr(*place.run("--output", "out"))
        place.assert_nothing_left()
    stderr = done.stderr.decode()
    assert (done.returncode, proxy.refused) == (0, TRIES), stderr
    assert stderr.count("a service is busy (503)") == 1
    assert lines_of(place.here / "out") == EXPECTED
