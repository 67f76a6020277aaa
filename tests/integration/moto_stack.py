"""A stack in a moto server, as commands see it: outputs, aliases, bucket, table and an idle state machine.

The test drives the real coordinator and workers in place of the functions, one call at a time.
"""

import io
import json
import zipfile
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3

from s3mr.coordinator.ticker import Tick
from s3mr.model.job import SCHEMA_VERSION
from s3mr.model.report import Report, TaskRequest
from s3mr.settings import Settings
from s3mr.wiring import Stack

REGION = "eu-central-1"
TICKS_MAX = 200
KEYS = {"AWS_ACCESS_KEY_ID": "users", "AWS_SECRET_ACCESS_KEY": "own", "AWS_REGION": REGION}
_TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
_MACHINE = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}})


@cache  # creating a client takes as long as many tests
def _client(service: Any, endpoint: str | None) -> Any:
    return boto3.session.Session("users", "own", region_name=REGION).client(service, endpoint_url=endpoint)


class MotoStack:
    """One stack, at an endpoint or in this process's moto; ``outputs`` override the default stack outputs."""

    def __init__(self, endpoint: str | None, name: str, scratch: Path, **outputs: str) -> None:
        self.name = name
        self._endpoint = endpoint
        self._scratch = scratch
        self.bucket, self.table = f"{name}-bucket", f"{name}-table"
        self.s3 = self.client("s3")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self._role = self.client("iam").create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=_TRUST)
        self.outputs = {
            "SchemaVersion": str(SCHEMA_VERSION),
            "S3mrVersion": "0.1.0",
            "BucketName": self.bucket,
            "TableName": self.table,
            "JobsArn": self._state_machine(),
            "TickArn": self._function("tick"),
            "RecordArn": self._function("record"),
            "MapArn": self._function("map"),
            "ReduceArn": self._function("reduce"),
            "InputBucketNames": "-",
            "OutputBucketNames": "-",
            "FunctionRuntime": "python3.11",
            "FunctionArchitecture": "x86_64",
            "WorkerMemoryMb": "512",
            "WorkerTimeoutS": "60",
            "AttemptsMax": "4",
            "MapReserved": "-1",
            "ReduceReserved": "-1",
            **outputs,
        }
        self._deploy("create_stack")
        self.stack.store.create_table()

    def client(self, service: Any) -> Any:
        return _client(service, self._endpoint)

    def deploy(self, **outputs: str) -> None:
        """Redeploy with other outputs; each function's alias points to a new version."""
        self.outputs |= outputs
        for function in ("tick", "map", "reduce"):
            self._publish(f"{self.name}-{function}", zipped=str(self.outputs).encode())
        self._deploy("update_stack")

    @cached_property
    def stack(self) -> Stack:
        """The ports of the stack's functions; the environment must contain ``KEYS`` and the endpoint."""
        return Stack(Settings(self.bucket, self.table, scratch_folder=str(self._scratch)))

    def tick(self, job_id: str) -> Tick:
        """Run one tick and every task that it launches, and record their reports."""
        requests: list[TaskRequest] = []
        stack = self.stack
        ticked = stack.ticker(_Collector(requests), capacity=4).tick(job_id)
        handler, recorder = stack.task_handler(), stack.recorder()
        for request in requests:
            recorder.record(Report.model_validate(handler.handle(request.model_dump(mode="json"))))
        return ticked

    def bring_to_its_end(self, job_id: str) -> Tick:
        """Tick until the job has released everything."""
        for _ in range(TICKS_MAX):
            ticked = self.tick(job_id)
            if ticked.over:
                return ticked
        raise AssertionError(f"{job_id} does not end")

    def log(self, function: str, *lines: dict[str, Any] | str, at: float) -> None:
        """Write log lines, as a function does."""
        logs, group = self.client("logs"), f"/aws/lambda/{self.name}-{function}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName="one")
        events = [
            {"timestamp": int(at * 1000) + index, "message": line if isinstance(line, str) else json.dumps(line)}
            for index, line in enumerate(lines)
        ]
        logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)

    def executions(self) -> list[dict[str, Any]]:
        """The executions of the state machine with their inputs, sorted by name."""
        machine = self.client("stepfunctions")
        found = machine.list_executions(stateMachineArn=self.outputs["JobsArn"])["executions"]
        return sorted(
            (machine.describe_execution(executionArn=one["executionArn"]) for one in found), key=lambda one: one["name"]
        )

    def _deploy(self, how: str) -> None:
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in self.outputs.items()},
        }
        getattr(self.client("cloudformation"), how)(StackName=self.name, TemplateBody=json.dumps(template))

    def _state_machine(self) -> str:
        arn: str = self.client("stepfunctions").create_state_machine(
            name=f"{self.name}-jobs", definition=_MACHINE, roleArn=self._role["Role"]["Arn"]
        )["stateMachineArn"]
        return arn

    def _function(self, function: str) -> str:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("tick.py", "")
        client = self.client("lambda")
        name = f"{self.name}-{function}"
        client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="tick.handler",
            Role=self._role["Role"]["Arn"],
            Code={"ZipFile": code.getvalue()},
        )
        version = client.publish_version(FunctionName=name)["Version"]
        arn: str = client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)["AliasArn"]
        return arn

    def _publish(self, name: str, *, zipped: bytes) -> None:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("tick.py", zipped)
        client = self.client("lambda")
        client.update_function_code(FunctionName=name, ZipFile=code.getvalue())
        version = client.publish_version(FunctionName=name)["Version"]
        client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)


class _Collector:
    def __init__(self, requests: list[TaskRequest]) -> None:
        self._requests = requests

    def invoke(self, request: TaskRequest) -> None:
        self._requests.append(request)
