"""What an S3 request needs: actions on a bucket or on an object, and on the key that encrypts the bucket.

Source: "Required permissions for Amazon S3 API operations" and "Enforce conditional writes" (which operations create an
object), S3 User Guide; KMS actions of multipart uploads: re:Post,
"s3-large-file-encryption-kms-key".
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from tests.deployed.harness.calls import AwsCall
from tests.deployed.harness.policies import Context

S3Need = tuple[str, str, str | None, Context]

_BUCKET_QUESTIONS = {
    "uploads": "s3:ListBucketMultipartUploads",
    "versions": "s3:ListBucketVersions",
    "location": "s3:GetBucketLocation",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "encryption": "s3:GetEncryptionConfiguration",
    "policy": "s3:GetBucketPolicy",
    "versioning": "s3:GetBucketVersioning",
    "requestPayment": "s3:GetBucketRequestPayment",
    "tagging": "s3:GetBucketTagging",
}
_OBJECT_QUESTIONS = {
    "tagging": "s3:GetObjectTagging",
    "acl": "s3:GetObjectAcl",
    "uploadId": "s3:ListMultipartUploadParts",
    "versionId": "s3:GetObjectVersion",
    "torrent": "s3:GetObjectTorrent",
}


def bucket_and_key(call: AwsCall) -> tuple[str, str | None]:
    """Return the bucket, and the key if the request names one."""
    bucket, _, key = call.path.lstrip("/").partition("/")
    return bucket, key or None


def s3_needs(call: AwsCall) -> Iterator[S3Need]:
    """Yield all actions, each with bucket, key and context."""
    bucket, key = bucket_and_key(call)
    if not bucket:
        yield "s3:ListAllMyBuckets", "*", None, {}
    elif key is None:
        yield from _bucket_needs(call, bucket)
    else:
        yield from _object_needs(call, bucket, key)


def keys_to_delete(call: AwsCall) -> list[str]:
    """Return the keys of a DeleteObjects request: each is authorized by itself."""
    return [
        element.text or ""
        for element in ET.fromstring(call.body).iter()  # noqa: S314 - of our own tests
        if element.tag.endswith("}Key") or element.tag == "Key"
    ]


def is_batch_delete(call: AwsCall) -> bool:
    """Check if this is DeleteObjects."""
    return call.method == "POST" and "delete" in call.query


def key_action(call: AwsCall) -> str | None:
    """Return the action on the bucket's KMS key that S3 takes on the caller's behalf, if the bucket has such a key."""
    if bucket_and_key(call)[1] is None:
        return None
    if call.method == "GET":
        return "kms:Decrypt" if not call.query.keys() & {"tagging", "acl", "uploadId"} else None
    if "uploadId" in call.query:
        return "kms:Decrypt" if call.method in ("PUT", "POST") else None
    return "kms:GenerateDataKey" if call.method in ("PUT", "POST") and "tagging" not in call.query else None


def _bucket_needs(call: AwsCall, bucket: str) -> Iterator[S3Need]:
    if is_batch_delete(call):
        return  # authorized key by key
    if call.method == "HEAD":
        yield "s3:ListBucket", bucket, None, {}
    elif call.method == "GET":
        action = next((action for name, action in _BUCKET_QUESTIONS.items() if name in call.query), "s3:ListBucket")
        prefix = {"s3:prefix": (call.query["prefix"],)} if "prefix" in call.query else {}
        yield action, bucket, None, prefix
    else:
        what = next(iter(call.query), "")
        yield f"s3:{call.method.capitalize()}Bucket{what.capitalize()}", bucket, None, {}


def _object_needs(call: AwsCall, bucket: str, key: str) -> Iterator[S3Need]:
    source = call.header("x-amz-copy-source")
    if source:
        from_bucket, _, from_key = source.lstrip("/").partition("/")
        yield "s3:GetObject", from_bucket, from_key, {}
    if call.method in ("GET", "HEAD"):
        question = next((action for name, action in _OBJECT_QUESTIONS.items() if name in call.query), "s3:GetObject")
        yield question, bucket, key, {}
    elif call.method == "DELETE":
        deletes = "s3:DeleteObjectVersion" if "versionId" in call.query else "s3:DeleteObject"
        yield "s3:AbortMultipartUpload" if "uploadId" in call.query else deletes, bucket, key, {}
    elif "tagging" in call.query:
        yield "s3:PutObjectTagging", bucket, key, {}
    elif "restore" in call.query:
        yield "s3:RestoreObject", bucket, key, {}
    else:
        creates = not call.query.keys() & {"uploads", "partNumber"}
        yield "s3:PutObject", bucket, key, {"s3:objectcreationoperation": ("true" if creates else "false",)}
        if call.header("x-amz-tagging"):
            yield "s3:PutObjectTagging", bucket, key, {}
