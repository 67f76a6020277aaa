"""Stacks with other parameters, created, used and deleted: encrypted with a key, or without declared buckets."""

from dataclasses import replace
from pathlib import Path

from tests.deployed.conftest import VAULT
from tests.deployed.harness.cloud import Cloud
from tests.deployed.harness.constants import ROOT
from tests.deployed.harness.lambda_resources import FUNCTIONS
from tests.deployed.harness.person import Person
from tests.deployed.harness.stack import deploy
from tests.deployed.run import INPUTS
from tests.warm_commands import WarmCommands

WORDCOUNT = ROOT / "examples" / "wordcount.py"


def test_a_stack_with_its_own_key_encrypts_its_objects_with_it(sealed: Person, key: str) -> None:
    bucket = sealed.stack.outputs["BucketName"]
    output = f"s3://{bucket}/output/sealed/"
    sealed.run("run", WORDCOUNT, sealed.upload("a b a"), "--output", output, "--reducers", "1")
    head = sealed.s3.head_object(Bucket=bucket, Key="output/sealed/part-00000")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


KEPT = """
    job = Job(map=lambda source, line: [(line, 1)])
"""


def test_buckets_encrypted_with_other_keys_can_be_used_if_the_keys_are_declared(sealed: Person) -> None:
    vault = replace(sealed, inputs=VAULT, outputs=VAULT)
    for job in (WORDCOUNT, vault.job(KEPT)):
        output = vault.output()
        vault.run("run", job, vault.upload("a"), "--output", output)
        assert vault.lines(output) == ["a\t1"]


def test_a_stack_without_declared_buckets_uses_its_own_and_is_deleted_completely(
    aws: Cloud, built: Path, tmp_path: Path, warm_commands: WarmCommands
) -> None:
    brief = deploy(aws, built, "brief", CoordinatorReservedConcurrency="2")
    reserved = {one.name: one.reserved for one in FUNCTIONS if one.name.startswith("brief")}
    assert reserved == {"brief-tick": 2, "brief-record": 2, "brief-map": None, "brief-reduce": None}
    bucket = brief.outputs["BucketName"]
    user = aws.add_user("brief", brief.resource("SubmitPolicy"))
    person = Person(brief, user, tmp_path, bucket, bucket, warm_commands)
    person.s3.put_object(Bucket=bucket, Key="input/a", Body=b"a b a")
    person.run("run", WORDCOUNT, f"s3://{bucket}/input/", "--output", f"s3://{bucket}/output/", "--reducers", "1")
    refused = person.run("run", WORDCOUNT, f"s3://{INPUTS}/", "--output", f"s3://{bucket}/output/more/", expect=2)
    assert "InputBuckets" in refused.stderr
    aws.service.settle(60)
    brief.delete()
    assert not [function.name for function in FUNCTIONS if function.name.startswith("brief")]
    assert bucket not in [one["Name"] for one in person.s3.list_buckets()["Buckets"]]
    assert not [name for name in aws.administrators("dynamodb").list_tables()["TableNames"] if name.startswith("brief")]
    assert not [
        role for role in aws.administrators("iam").list_roles()["Roles"] if role["RoleName"].startswith("brief")
    ]
