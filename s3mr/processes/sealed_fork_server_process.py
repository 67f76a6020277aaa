"""The fork server process of a worker function's environment. It seals itself, and forks a worker per invocation.

``python -m s3mr.processes.sealed_fork_server_process CONTROL SEALED FORBIDDEN GROUP`` imports what workers need, seals
itself if SEALED is not empty, tests the seal, reports the result on the socket CONTROL, and then serves requests there.
FORBIDDEN is the address, ``host:port``, to which no worker may connect. GROUP is the group of the workers. Both may be
empty.
"""

import errno
import os
import socket
import sys
from typing import Final

from s3mr.processes.process_start import without_collections
from s3mr.settings import Settings

SEALED: Final = b"sealed"
UNSEALED: Final = b"unsealed"
GO: Final = b"go"
MESSAGE_BYTES_MAX: Final = 1_000
_REFUSED: Final = (errno.EACCES, errno.EPERM)


def main() -> None:
    """Run as a fork server until the socket ends."""
    control, sealed, forbidden, group = socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:5]
    with without_collections():
        from s3mr.processes import chaos, fork_server
        from s3mr.wiring import Stack

        assert chaos  # noqa: S101 - imported for the workers
        stack = Stack(Settings.from_environment(os.environ))
        stack.prepare_workers()
    if not sealed:
        control.send(UNSEALED)
    elif not _seal(control, forbidden, int(group) if group else None):
        return
    fork_server.serve(control, stack)


def _seal(control: socket.socket, forbidden: str, group: int | None) -> bool:
    """Seal this process, test the seal, and report the result on ``control``. Return whether the seal works."""
    from s3mr.processes.seal import seal

    try:
        if group is not None:  # marks the files of user code
            os.setgroups([])
            os.setgid(group)
        listener = seal()
    except OSError as error:
        control.send(f"the process cannot be sealed: {error}".encode())
        return False
    socket.send_fds(control, [SEALED], [listener])
    os.close(listener)
    if control.recv(len(GO)) != GO:  # sent when the supervisor is running
        return False
    try:
        _test_seal(forbidden)
    except OSError as error:
        control.send(f"the seal does not work: {error}".encode())
        return False
    control.send(SEALED)
    return True


def _test_seal(forbidden: str) -> None:
    """Connect to a port of this process, and try to connect to the forbidden address.

    Raises:
        OSError: the first connection failed, or the second one did not.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()[:2]).close()
    host, _, port = forbidden.rpartition(":")
    if not port:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port))).close()
    except OSError as error:
        if error.errno in _REFUSED:
            return
        raise
    raise OSError(f"connecting to {forbidden} is possible")


if __name__ == "__main__":
    main()
