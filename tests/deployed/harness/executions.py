"""Step Functions: moto's interpreter, with the permissions of roles; EventBridge gets an event for every end.

moto's interpreter runs the state machine. Its calls of Lambda and of Step Functions go through the cloud's own endpoint
under the state machine's role. This module corrects what moto gets wrong (see docs/operating.md).
Source: Step Functions Developer Guide, "EventBridge for Step Functions execution status changes".
"""

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from moto.stepfunctions.parser.api import ExecutionStatus, InvalidExecutionInput
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sfn
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from tests.deployed.harness.constants import ACCOUNT, REGION

RETRY_FACTOR: Final = 0.02
_parse: Final = AmazonStateLanguageParser.parse
Client = Callable[[str, str, str], Any]  # (role ARN, the service that assumes the role, the called service)
Event = dict[str, Any]


class StepFunctionsClient:
    """A client of Step Functions that accepts an integration's parameters, which begin with capitals."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def start_execution(self, **given: Any) -> dict[str, Any]:
        answer = self._client.start_execution(**{name[0].lower() + name[1:]: value for name, value in given.items()})
        return {"executionArn": answer["executionArn"], "startDate": answer["startDate"].isoformat()}


class ShortSleeps:
    """A clock for the interpreter's retries that waits for a shorter time than AWS."""

    @staticmethod
    def sleep(wait_s: float) -> None:
        time.sleep(wait_s * RETRY_FACTOR)


class Executions:
    """Gives the interpreter its clients, and publishes the end of every execution."""

    def __init__(self, client: Client, publish: Callable[[Event], None]) -> None:
        self._client = client
        self._publish = publish
        lambda_eval_utils.boto_client_for = self._client_for
        state_task_service_sfn.boto_client_for = self._client_for
        self._terminated = BaseExecutionWorkerCommunication.terminated
        self._stop = Execution.stop
        retrier_decl.time = ShortSleeps
        AmazonStateLanguageParser.parse = staticmethod(_parsed)
        InvalidExecutionInput.TYPE = "InvalidExecutionInput"  # moto's error has no code
        BaseExecutionWorkerCommunication.terminated = lambda ended: self._ended(ended)  # noqa: PLW0108 - becomes a method
        Execution.stop = lambda execution, **how: self._stopped(execution, **how)  # noqa: PLW0108 - becomes a method

    def close(self) -> None:
        """Stop all executions without an event, and restore moto."""
        for machine in stepfunctions_parser_backends[ACCOUNT][REGION].state_machines:
            for execution in machine.executions:
                if execution.exec_status is ExecutionStatus.RUNNING:
                    execution.exec_status = ExecutionStatus.ABORTED
                    self._stop(execution, dt.datetime.now(tz=dt.UTC), None, None)
        BaseExecutionWorkerCommunication.terminated = self._terminated
        Execution.stop = self._stop
        retrier_decl.time = time
        AmazonStateLanguageParser.parse = staticmethod(_parse)

    def _client_for(self, region: str, service: str, state_credentials: Any) -> Any:
        assert region == REGION
        client = self._client(state_credentials.role_arn, "states.amazonaws.com", service)
        return StepFunctionsClient(client) if service == "stepfunctions" else client

    def _ended(self, ended: BaseExecutionWorkerCommunication) -> None:
        if ended.execution.exec_status is not ExecutionStatus.RUNNING:
            return  # it was stopped before its task ended
        self._terminated(ended)
        self._publish_end(ended.execution)

    def _stopped(self, execution: Execution, *, stop_date: dt.datetime, error: str | None, cause: str | None) -> None:
        """Stop at once, even while its task runs: moto waits for the task."""
        if execution.exec_status is not ExecutionStatus.RUNNING:
            return
        self._stop(execution, stop_date, error, cause)
        execution.exec_status, execution.stop_date = ExecutionStatus.ABORTED, stop_date
        self._publish_end(execution)

    def _publish_end(self, execution: Execution) -> None:
        threading.Thread(target=self._publish, args=(event_of(execution),), name="event", daemon=True).start()


@cache
def _syntax(definition: str) -> Any:
    """Return the syntax tree of a state machine. moto takes a quarter of a second to make one."""
    return _parse(definition)[1]


def _parsed(definition: str) -> tuple[Any, Any]:
    """Return a new program for each execution, over the syntax tree that all executions of a state machine share."""
    return Preprocessor().visit(_syntax(definition)), _syntax(definition)


def event_of(execution: Execution) -> Event:
    """Return the event that says how an execution ended."""
    status = execution.exec_status
    succeeded = status is ExecutionStatus.SUCCEEDED
    detail = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": status.value,
        "startDate": int(execution.start_date.timestamp() * 1000),
        "stopDate": int(execution.stop_date.timestamp() * 1000) if execution.stop_date else None,
        "input": json.dumps(execution.input_data),
        "output": json.dumps(execution.output) if succeeded else None,
        "inputDetails": {"included": True},
        "outputDetails": {"included": True} if succeeded else None,
        "error": execution.error,
        "cause": execution.cause,
    }
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": REGION,
        "resources": [execution.exec_arn],
        "detail": detail,
    }
