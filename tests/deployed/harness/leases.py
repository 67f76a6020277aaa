"""Simulate the time after a job: its last lease expires, and its coordinator is called once more."""

import json
from typing import Final

from tests.deployed.harness.person import Person

SETTLE_S: Final = 60.0


def expire_leases(person: Person, job_id: str) -> None:
    """Act as if 15 minutes had passed."""
    dynamodb, table = person.stack.cloud.administrators("dynamodb"), person.stack.outputs["TableName"]
    key = {"pk": {"S": f"job#{job_id}"}, "sk": {"S": "job"}}
    job = json.loads(dynamodb.get_item(TableName=table, Key=key)["Item"]["body"]["S"])
    body = {"S": json.dumps(job | {"last_lease_until": 0.0})}
    dynamodb.update_item(
        TableName=table, Key=key, UpdateExpression="SET body = :body", ExpressionAttributeValues={":body": body}
    )


def run_last_round(person: Person, job_id: str) -> None:
    """Sweep leftovers of attempts that outlived their job, once they can no longer run."""
    cloud = person.stack.cloud
    cloud.service.settle(SETTLE_S)
    expire_leases(person, job_id)
    name = f"{person.stack.name}-tick"
    payload = json.dumps({"job_id": job_id, "round": 1})
    answer = json.loads(cloud.administrators("lambda").invoke(FunctionName=name, Payload=payload)["Payload"].read())
    if not answer.get("done"):
        raise AssertionError(f"the last round of {job_id} did not sweep: {answer}")
