"""AWS Lambda: synchronous and asynchronous invocations, as AWS documents them.

Asynchronous delivery is at least once: a test can ask for duplicate and late events. Retries, event age, throttling,
destinations and dead letters follow the settings of the invoked qualifier; the function's own role sends the records.
Source: Lambda Developer Guide, "Invoking a function asynchronously", "Capturing records of asynchronous invocations".
"""

import contextlib
import itertools
import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from botocore.exceptions import ClientError

from tests.deployed.harness.environment import InvocationOutcome, until_deadline_ms
from tests.deployed.harness.environments import Closed, Environments
from tests.deployed.harness.functions import Function, Functions, InvokeConfig, Version
from tests.deployed.harness.runtime_api import Invocation

ASYNC_BYTES_MAX: Final = 1024 * 1024
SYNC_BYTES_MAX: Final = 6 * 1024 * 1024
RETRY_S: Final = 0.5  # AWS: one minute, then two
THROTTLED_S: Final = 0.2  # AWS: one second, growing to five minutes


class Throttled(Exception):  # noqa: N818 - it is an answer to a request
    """All concurrency is in use."""


@dataclass(frozen=True)
class Delivery:
    """How badly events are delivered: the chances of a duplicate and of a delay of at most ``late_s_max``."""

    seed: int = 0
    doubled: float = 0.0
    late: float = 0.0
    late_s_max: float = 0.0


@dataclass(frozen=True)
class Event:
    """An accepted asynchronous invocation."""

    request_id: str
    function: Function
    qualifier: str
    version: Version
    config: InvokeConfig
    payload: bytes
    accepted_at: float

    @property
    def arn(self) -> str:
        return f"{self.function.arn}:{self.qualifier}"


@dataclass
class LambdaService:
    """All functions of the cloud, and their invocations. ``client`` makes a client with a role's permissions."""

    functions: Functions
    environments: Environments
    client: Callable[[str, str], Any]
    delivery: Delivery = field(default_factory=Delivery)
    undelivered: list[str] = field(default_factory=list)
    lost: Callable[[Event], bool] = lambda _event: False
    _running: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _pending: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def invoke(
        self, function: Function, qualifier: str, payload: bytes, request_id: str
    ) -> tuple[Version, InvocationOutcome]:
        """Invoke and wait for the outcome.

        Raises:
            NoSuchFunction, Throttled, Closed
        """
        version = function.version(qualifier)
        with self._concurrency(function):
            outcome = self.environments.invoke(
                version,
                lambda: Invocation(request_id, f"{function.arn}:{qualifier}", payload, until_deadline_ms(version)),
            )
        return version, outcome

    def accept(self, function: Function, qualifier: str, payload: bytes) -> str:
        """Accept an event for delivery at least once; return its request ID.

        Raises:
            NoSuchFunction
        """
        version = function.version(qualifier)
        config = function.invoke_configs.get(qualifier, InvokeConfig())
        event = Event(str(uuid.uuid4()), function, qualifier, version, config, payload, time.monotonic())
        if self.lost(event):
            return event.request_id
        random = Random(f"{self.delivery.seed}|{next(self._numbers)}")
        for _ in range(2 if random.random() < self.delivery.doubled else 1):
            late_s = random.uniform(0, self.delivery.late_s_max) if random.random() < self.delivery.late else 0.0
            with self._changed:
                self._pending += 1
            threading.Thread(target=self._deliver, args=(event, late_s), name="delivery", daemon=True).start()
        return event.request_id

    def settle(self, within_s: float) -> None:
        """Wait until every accepted event is processed.

        Raises:
            TimeoutError: that takes longer.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._pending, within_s):
                raise TimeoutError(f"{self._pending} events are still being processed")

    @contextlib.contextmanager
    def _concurrency(self, function: Function) -> Iterator[None]:
        with self._changed:
            if function.reserved is not None and self._running[function.name] >= function.reserved:
                raise Throttled(function.name)
            self._running[function.name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[function.name] -= 1

    def _deliver(self, event: Event, late_s: float) -> None:
        try:
            time.sleep(late_s)
            with contextlib.suppress(Closed):
                self._try(event)
        finally:
            with self._changed:
                self._pending -= 1
                self._changed.notify_all()

    def _try(self, event: Event) -> None:
        tries, outcome = 0, None
        while True:
            if time.monotonic() - event.accepted_at > event.config.event_age_s_max:
                return self._give_up(event, "EventAgeExceeded", tries, outcome)
            try:
                _, outcome = self.invoke(event.function, event.qualifier, event.payload, event.request_id)
            except Throttled:
                if event.function.reserved == 0:
                    return self._give_up(event, "ZeroReservedConcurrency", tries, outcome)
                time.sleep(THROTTLED_S)
                continue
            tries += 1
            if not outcome.failed:
                return self._send_record(event, event.config.on_success, "Success", tries, outcome)
            if tries > event.config.retries_max:
                return self._give_up(event, "RetriesExhausted", tries, outcome)
            time.sleep(RETRY_S)

    def _give_up(self, event: Event, condition: str, tries: int, outcome: InvocationOutcome | None) -> None:
        self._send_record(event, event.config.on_failure, condition, tries, outcome)
        if event.version.dead_letters:
            attributes = {"RequestID": event.request_id, "ErrorCode": "200"}
            if outcome:
                attributes["ErrorMessage"] = str(json.loads(outcome.payload).get("errorMessage", ""))[:1024]
            self._queue(event, event.version.dead_letters, event.payload.decode(), attributes)

    def _send_record(
        self, event: Event, destination: str | None, condition: str, tries: int, outcome: InvocationOutcome | None
    ) -> None:
        if destination is None:
            return
        record = record_of(event, condition, tries, outcome)
        if ":sqs:" in destination:
            self._queue(event, destination, record.decode(), {})
            return
        try:
            self.client(event.version.role, "lambda").invoke(
                FunctionName=destination, InvocationType="Event", Payload=record
            )
        except ClientError as error:
            self.undelivered.append(f"{event.arn} → {destination}: {error}")

    def _queue(self, event: Event, queue_arn: str, body: str, attributes: dict[str, str]) -> None:
        sqs = self.client(event.version.role, "sqs")
        url = f"{sqs.meta.endpoint_url}/{queue_arn.split(':')[4]}/{queue_arn.split(':')[5]}"
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value}
        try:
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)
        except ClientError as error:
            self.undelivered.append(f"{event.arn} → {queue_arn}: {error}")


def record_of(event: Event, condition: str, tries: int, outcome: InvocationOutcome | None) -> bytes:
    """Return the record for a destination, without the payloads if it would be too large."""
    context = {
        "requestId": event.request_id,
        "functionArn": event.arn,
        "condition": condition,
        "approximateInvokeCount": tries,
    }
    at = time.time()
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z",
        "requestContext": context,
        "requestPayload": json.loads(event.payload),
    }
    if outcome:
        error = {"functionError": "Unhandled"} if outcome.failed else {}
        record["responseContext"] = {"statusCode": 200, "executedVersion": event.version.number, **error}
        record["responsePayload"] = json.loads(outcome.payload)
    encoded = json.dumps(record).encode()
    if len(encoded) <= ASYNC_BYTES_MAX:
        return encoded
    return json.dumps({name: value for name, value in record.items() if not name.endswith("Payload")}).encode()
