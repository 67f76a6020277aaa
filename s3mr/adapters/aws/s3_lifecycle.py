"""Check how long a bucket's lifecycle rules keep open uploads.

Source: S3 API reference, GetBucketLifecycleConfiguration; user guide, "Configuring a bucket lifecycle configuration to
delete incomplete multipart uploads". A rule for such uploads cannot filter by tags or by size.
"""

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from s3mr.adapters.aws.aws_errors import code_of, is_denied, translated
from s3mr.errors import RequestError
from s3mr.quantities import format_duration

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef

DAY_S: Final = 24 * 3600.0
_NO_RULES: Final = ("NoSuchLifecycleConfiguration", "NotImplemented")


def check_uploads_kept(client: "S3Client", bucket: str, prefix: str, *, deadline_s: float) -> None:
    """Refuse a job if a rule could abort its uploads, to keys that begin with ``prefix``, before its deadline.

    A rule takes at least a day. So for a deadline of a day or less, the rules are not read, and need no permission.

    Raises:
        RequestError: a rule is shorter than the deadline, or the rules cannot be read.
    """
    if deadline_s <= DAY_S:
        return
    for rule in _rules(client, bucket, deadline_s=deadline_s):
        days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if days is not None and deadline_s > days * DAY_S and _applies(rule, prefix):
            raise RequestError(
                f"--deadline {format_duration(deadline_s)}: bucket {bucket} aborts uploads {days} d after their start "
                f"(lifecycle rule {rule.get('ID', '')!r}), so the output could be lost: choose a deadline of at "
                f"most {days}d, or change that rule"
            )


def _rules(client: "S3Client", bucket: str, *, deadline_s: float) -> "list[LifecycleRuleOutputTypeDef]":
    what = f"reading the lifecycle rules of bucket {bucket}"
    with translated(what):
        try:
            return client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        except ClientError as error:
            if code_of(error) in _NO_RULES:
                return []
            if not is_denied(error):
                raise
            raise RequestError(
                f"{what}: access denied, so s3mr cannot tell whether uploads may stay open for "
                f"{format_duration(deadline_s)}: choose a --deadline of at most 1d, or ask for the permission "
                "s3:GetLifecycleConfiguration"
            ) from error


def _applies(rule: "LifecycleRuleOutputTypeDef", prefix: str) -> bool:
    """Whether the rule is enabled for any key that begins with ``prefix``."""
    chosen = rule.get("Filter", {})
    both = chosen.get("And", {})
    if any(name in place for place in (chosen, both) for name in _NOT_OF_UPLOADS):
        return False
    asked = chosen.get("Prefix", both.get("Prefix", rule.get("Prefix", "")))
    return rule["Status"] == "Enabled" and (prefix.startswith(asked) or asked.startswith(prefix))


_NOT_OF_UPLOADS: Final = ("Tag", "Tags", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
