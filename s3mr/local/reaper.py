"""A command's handle to its reaper: a process that cleans up when the command ends, even if it is killed."""

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from s3mr.adapters.exhaustion import check_descriptors
from s3mr.adapters.files.os_errors import translated_os
from s3mr.local.listener import Listener
from s3mr.local.reaper_process import remove_folder
from s3mr.processes.process_start import Worker, start, start_worker, without_collections

if TYPE_CHECKING:
    from s3mr.processes.fork_server import ForkServer

END_S = 5.0  # time that the reaper has to clean up


def start_reaper(endpoint_url: str | None) -> "Reaper":
    """Start the reaper of this command. Without an endpoint, it is also the embedded cloud's server.

    Call this before the command's other imports: they take less time than the reaper takes to start.

    Raises:
        RequestError: the system has no room for it.
    """
    check_descriptors()
    if endpoint_url is not None:
        return Reaper("s3mr.local.reaper_process", os.environ)
    users_own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Reaper("s3mr.local.embedded_server", users_own, Listener.begun())


class Reaper:
    """Holds the pipe to the reaper process, which ends with this object or with this process."""

    def __init__(self, module: str, environment: Mapping[str, str], listening: Listener | None = None) -> None:
        """Start ``module``, which calls `start_reaping`. Pass ``listening`` to it if it is the embedded server."""
        self.listening = listening
        if listening is None:
            self._process = start(module, environment)
        else:
            extended = {**environment, **listening.to_environment()}
            self._process = start(module, extended, inherited=[listening.socket.fileno()])
        self._watch: threading.Thread | None = None
        self._left: set[Path] = set()
        self._fork_server: ForkServer | None = None

    def prepare_workers(self) -> None:
        """Fork workers from now on, if the system can. Call this before this process imports user code."""
        with without_collections():
            from s3mr.adapters.aws.clients import preload
            from s3mr.processes.fork_server import start_fork_server

            preload()
        self._fork_server = start_fork_server()

    def start_worker(self, environment: Mapping[str, str], stderr: int | None) -> Worker:
        """Start a worker that prints to ``stderr``, or to this process's own."""
        return (self._fork_server.start if self._fork_server else start_worker)(environment, stderr)

    def begun(self) -> bool:
        """Wait for the server to start; return False if it ended instead. If it dies later, close its connections."""
        stdout, listening = self._process.stdout, self.listening
        if stdout is None or listening is None or not stdout.readline():
            return False

        def watch() -> None:
            stdout.read()  # returns when the process ends
            listening.refuse()

        thread = threading.Thread(target=watch, name="s3mr-watch", daemon=True)
        thread.start()
        self._watch = thread
        return True

    @property
    def status(self) -> int | None:
        """The exit status of the process; None while it runs."""
        return self._process.poll()

    def kill_at_end(self, group: int) -> None:
        """Kill a process group when the command ends."""
        self._tell(kill=group)

    def spare(self, group: int) -> None:
        """Undo `kill_at_end`."""
        self._tell(spare=group)

    def remove_at_end(self, path: Path) -> None:
        """Remove a folder when the command ends."""
        self._left.add(path)
        self._tell(remove=str(path))

    def keep(self, path: Path) -> None:
        """Undo `remove_at_end`."""
        self._left.discard(path)
        self._tell(keep=str(path))

    def temporary_folder(self, prefix: str) -> Path:
        """Make a folder that is removed at the end. The reaper learns of it before it exists, so it is never left."""
        folder = Path(tempfile.gettempdir()) / f"{prefix}-{secrets.token_hex(8)}"
        self.remove_at_end(folder)
        with translated_os(f"make the temporary folder {folder} (TMPDIR)"):
            folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Clean up now, and wait until that is done."""
        fork_server, self._fork_server = self._fork_server, None
        if fork_server:
            fork_server.close()
        with contextlib.suppress(BrokenPipeError):  # the reaper has died
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._watch and self.listening:
            self.listening.end()
            self._watch.join()
        if self._process.stdout:
            self._process.stdout.close()
        if self.listening:
            self.listening.socket.close()
        for path in self._left:  # already removed, unless the reaper was killed
            remove_folder(str(path))

    def _tell(self, **line: int | str) -> None:
        """Send a line to the reaper. If it has died, `close` cleans up what it can."""
        pipe = self._process.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            if pipe:
                pipe.write(json.dumps(line).encode() + b"\n")
                pipe.flush()
