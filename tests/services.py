"""Services that outlive a command, as a user's own would: the embedded cloud's server, with the user's access key."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from s3mr.local.listener import Listener
from s3mr.settings import AccessKey

USERS_OWN = AccessKey("users", "own")


@dataclass(frozen=True)
class Services:
    """Running services and their ``process``."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def services(*, stdout: int = subprocess.PIPE, stderr: int | None = None) -> Iterator[Services]:
    """Serve S3 and DynamoDB until the block ends."""
    listening = Listener.begun(USERS_OWN)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "s3mr.local.embedded_server"],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **listening.to_environment()},
        pass_fds=[listening.socket.fileno()],
    ) as process:
        url = f"http://{listening.address}"
        listening.socket.close()  # so that requests fail once the services have ended
        yield Services(url, process)
        if process.stdin and not process.stdin.closed:
            process.communicate()
