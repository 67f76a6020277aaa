"""The template of a worker function's environment: started anew, sealed, and then forked for each invocation.

``python -m s3mr.processes.sealed_fork_server_process CONTROL SEALED FORBIDDEN GROUP`` imports what workers need,
seals itself if SEALED is not empty, tries whether its seal holds, says so on the socket CONTROL, and serves there like
any other template. FORBIDDEN is ``host:port``, to which the seal must let nobody connect, GROUP the group that workers
belong to; both may be empty.
"""

import errno
import os
import socket
import sys
from typing import Final

from s3mr.processes.process_start import without_collections
from s3mr.settings import Settings

SEALED: Final = b"sealed"
OPEN: Final = b"open"
GO: Final = b"go"
SAID_BYTES_MAX: Final = 1_000
_REFUSED: Final = (errno.EACCES, errno.EPERM)


def main() -> None:
    """Be a template until the socket ends."""
    control, sealed, forbidden, group = socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:5]
    with without_collections():
        from s3mr.processes import chaos, fork_server
        from s3mr.wiring import Stack

        assert chaos  # noqa: S101 - all that workers import is imported here
        stack = Stack(Settings.from_environment(os.environ))
        stack.prepare_workers()
    if not sealed:
        control.send(OPEN)
    elif not _sealed(control, forbidden, int(group) if group else None):
        return
    fork_server.serve(control, stack)


def _sealed(control: socket.socket, forbidden: str, group: int | None) -> bool:
    """Seal this process, and say whether the seal holds."""
    from s3mr.processes.seal import seal

    try:
        if group is not None:  # what user code makes can be told from what others of its user make
            os.setgroups([])
            os.setgid(group)
        listener = seal()
    except OSError as error:
        control.send(f"no seal: {error}".encode())
        return False
    socket.send_fds(control, [SEALED], [listener])
    os.close(listener)
    if control.recv(len(GO)) != GO:  # from here, somebody supervises
        return False
    try:
        _try_it(forbidden)
    except OSError as error:
        control.send(f"no seal that holds: {error}".encode())
        return False
    control.send(SEALED)
    return True


def _try_it(forbidden: str) -> None:
    """Connect to a port of our own, and try to connect to what is forbidden.

    Raises:
        OSError: the one does not work, or the other does.
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
    raise OSError(f"{forbidden} can be connected to")


if __name__ == "__main__":
    main()
