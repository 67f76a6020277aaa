"""List the prices of AWS, and the operations that each price is for.

US dollars without taxes and free tiers, us-east-1, Lambda on arm64 (the template's default). Read in November 2026 from
the pages "AWS Lambda Pricing", "Amazon S3 pricing" (Standard), "Amazon DynamoDB pricing" (on-demand capacity) and
"AWS Step Functions Pricing" (Standard workflows).
"""

from collections.abc import Mapping
from typing import Final

LAMBDA_GB_S_USD: Final = 0.0000133334
LAMBDA_REQUEST_USD: Final = 0.20 / 1_000_000
S3_PUT_CLASS_USD: Final = 0.005 / 1_000  # PUT, COPY, POST, LIST
S3_GET_CLASS_USD: Final = 0.0004 / 1_000  # GET and all other operations
DYNAMODB_WRITE_UNIT_USD: Final = 0.625 / 1_000_000  # up to 1 KB of an item
DYNAMODB_READ_UNIT_USD: Final = 0.125 / 1_000_000  # up to 4 KB, strongly consistent
STEP_FUNCTIONS_TRANSITION_USD: Final = 0.025 / 1_000

S3_FREE: Final = ("Delete", "Abort")  # "DELETE and CANCEL requests are free"; DeleteObjects, too
S3_PUT_CLASS: Final = ("Put", "Post", "Copy", "List", "Create", "Complete", "Upload")


def s3_requests(counts: Mapping[str, int], begins: tuple[str, ...]) -> int:
    """Add up the ``counts`` (``{"s3:PutObject": 3}``) of the S3 operations whose names begin with one of ``begins``."""
    return sum(count for name, count in counts.items() if name.startswith(tuple(f"s3:{one}" for one in begins)))
