"""Write one part into a multipart upload, which is not visible before it is completed."""

from typing import TYPE_CHECKING, Final

import google_crc32c
from botocore.exceptions import ClientError

from s3mr import limits
from s3mr.adapters.aws.aws_errors import code_of, translated
from s3mr.adapters.aws.s3_uri import S3Uri
from s3mr.model.manifest import Part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DOUBLE_EVERY: Final = 150  # upload parts; their sizes double, so that together they reach S3's largest object


class S3PartWriter:
    """Writes one part into an upload, which is not visible before it is completed.

    It buffers one upload part: 8 MiB at first, and twice as much after every `_DOUBLE_EVERY` upload parts.
    """

    def __init__(self, client: "S3Client", uri: S3Uri, *, name: str, worker: str, upload: str) -> None:
        self._client = client
        self._uri = uri
        self._name = name
        self._worker = worker
        self._upload = upload
        self._buffer = bytearray()
        self._etags: list[str] = []
        self._size_bytes = 0
        self._crc32c = 0

    def write(self, data: bytes) -> None:
        """Append ``data``. It is sent when the buffer is full."""
        self._buffer += data
        self._size_bytes += len(data)
        self._crc32c = google_crc32c.extend(self._crc32c, data)
        if len(self._buffer) >= upload_part_bytes(len(self._etags)):
            self._send()

    def finish(self, *, records: int) -> Part:
        """Upload the rest (an empty part is one empty upload part), and return what is needed to complete it."""
        if self._buffer or not self._etags:
            self._send()
        return Part(
            name=self._name,
            upload=self._upload,
            worker=self._worker,
            etags=tuple(self._etags),
            size_bytes=self._size_bytes,
            records=records,
            crc32c=self._crc32c,
        )

    def abandon(self) -> None:
        """Abort the upload."""
        with translated(f"abandoning {self._uri}"):
            abort_upload(self._client, self._uri, self._upload)

    def _send(self) -> None:
        with translated(f"writing {self._uri}"):
            answer = self._client.upload_part(
                Bucket=self._uri.bucket,
                Key=self._uri.key,
                UploadId=self._upload,
                PartNumber=len(self._etags) + 1,
                Body=bytes(self._buffer),
            )
        self._etags.append(answer["ETag"])
        self._buffer.clear()


def upload_part_bytes(number: int) -> int:
    """Return the minimum size of upload part ``number`` (from 0)."""
    return min(limits.UPLOAD_PART_BYTES << (number // _DOUBLE_EVERY), limits.PUT_BYTES_MAX)


def abort_upload(client: "S3Client", uri: S3Uri, upload: str) -> None:
    """Abort an upload. It is not an error if it does not exist any more. The caller translates botocore's errors."""
    try:
        client.abort_multipart_upload(Bucket=uri.bucket, Key=uri.key, UploadId=upload)
    except ClientError as error:
        if code_of(error) != "NoSuchUpload":
            raise
