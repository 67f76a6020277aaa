"""Normalize the name of an output. Jobs claim their output by its name, so each output must have only one."""

import os
from pathlib import Path

from s3mr.adapters.aws.s3_uri import S3Uri, is_foreign, is_s3, parse_s3_uri
from s3mr.adapters.files.os_errors import translated_os
from s3mr.errors import RequestError


def normal_output(output: str) -> str:
    """Return the normal name of the folder or ``s3://`` prefix ``output``.

    The name of a folder is absolute and has no links: ``out``, ``./out/`` and ``in/../out`` are the same. The name of a
    prefix has no slash at its end.

    Raises:
        RequestError: ``output`` is neither, or a prefix with ``//``, ``/./`` or ``/../`` in it: S3 keeps these
            unchanged, but most tools do not.
    """
    if is_s3(output):
        return _normal_prefix(output)
    if not output or "\0" in output or is_foreign(output):
        raise RequestError(f"--output {output!r}: name a folder, or s3://bucket/prefix")
    with translated_os("the current folder"):
        return os.path.realpath(Path(output).expanduser())


def _normal_prefix(output: str) -> str:
    bucket, key = parse_s3_uri(output)
    prefix = key.rstrip("/")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise RequestError(f"--output {output}: write the prefix without empty names, '.' and '..' in it")
    return str(S3Uri(bucket, prefix))
