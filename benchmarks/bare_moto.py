"""The floor of W0: start moto's own server, send one request to S3 and one to DynamoDB, and stop it.

    python -m benchmarks.bare_moto

The client is boto3, imported after the server was started.
"""

import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Any, Final

HOST: Final = "127.0.0.1"
START_S: Final = 30.0
PAUSE_S: Final = 0.005


def main() -> None:
    """Start the server, send the requests, and stop it."""
    with closing(socket.create_server((HOST, 0))) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _ask(port)
    finally:
        server.kill()
        server.wait()


def _ask(port: int) -> None:
    import boto3

    nobody: dict[str, Any] = {"aws_access_key_id": "bare", "aws_secret_access_key": "bare"}
    session = boto3.session.Session(**nobody, region_name="us-east-1")
    url = f"http://{HOST}:{port}"
    s3, dynamodb = session.client("s3", endpoint_url=url), session.client("dynamodb", endpoint_url=url)
    _wait_for(port)
    s3.list_buckets()
    dynamodb.list_tables()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with closing(socket.create_connection((HOST, port))):
                return
        except ConnectionRefusedError:
            time.sleep(PAUSE_S)
    raise TimeoutError(f"moto's server did not start within {START_S:g} s")


if __name__ == "__main__":
    main()
