"""EventBridge: rules that start executions with their target's role; events that cannot be delivered go to a queue.

An event is not retried if its target denies access. Source: EventBridge User Guide, "How EventBridge retries
delivering events", "Using dead-letter queues to process undelivered events".
"""

import contextlib
import json
import uuid
from typing import Any, Final

from botocore.exceptions import ClientError
from moto.events.models import events_backends
from moto.sqs.models import sqs_backends

from tests.deployed.harness.access import Access
from tests.deployed.harness.constants import ACCOUNT, REGION
from tests.deployed.harness.executions import Client, Event
from tests.deployed.harness.needs import Need
from tests.deployed.harness.resources import QUEUE_POLICIES

SERVICE: Final = "events.amazonaws.com"


class Rules:
    """Applies the rules of moto's default event bus."""

    def __init__(self, client: Client, access: Access) -> None:
        self._client = client
        self._access = access

    def deliver(self, event: Event) -> None:
        """Deliver an event to the targets of every matching rule."""
        for rule in list(events_backends[ACCOUNT][REGION].event_buses["default"].rules.values()):
            if rule.state == "ENABLED" and rule.event_pattern.matches_event(event):
                for target in rule.targets:
                    self._start(rule.arn, target, event)

    def _start(self, rule_arn: str, target: dict[str, Any], event: Event) -> None:
        assert ":stateMachine:" in target["Arn"], "only state machines are targets here"
        path = target.get("InputPath", "$")
        assert path in {"$", "$.detail"}
        given = event if path == "$" else event["detail"]
        with contextlib.suppress(ConnectionError):  # the cloud is closing
            try:
                self._client(target["RoleArn"], SERVICE, "stepfunctions").start_execution(
                    stateMachineArn=target["Arn"], name=f"{uuid.uuid4()}_{uuid.uuid4()}", input=json.dumps(given)
                )
            except ClientError as error:
                self._keep(rule_arn, target, event, error)

    def _keep(self, rule_arn: str, target: dict[str, Any], event: Event, error: ClientError) -> None:
        queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
        if queue_arn is None:
            return
        queue = sqs_backends[ACCOUNT][REGION].get_queue(queue_arn.rpartition(":")[2])
        policy = QUEUE_POLICIES.get(queue.physical_resource_id, '{"Statement": []}')
        need = Need("sqs:SendMessage", queue_arn, {"aws:sourcearn": (rule_arn,)})
        if not self._access.lets(SERVICE, policy, need):
            return
        said = {"RULE_ARN": rule_arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": error.response["Error"]["Code"]}
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
        sqs_backends[ACCOUNT][REGION].send_message(queue.name, json.dumps(event), message_attributes=attributes)
