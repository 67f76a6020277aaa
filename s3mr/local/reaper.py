"""A command's side of its caretaker: what must be gone when the command ends, whatever it dies of."""

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

END_S = 5.0  # that the caretaker has to clean up


def start_reaper(endpoint_url: str | None) -> "Reaper":
    """Start what takes care of this command; without an endpoint, that is the embedded cloud's server as well.

    It takes longer to start than all that the command imports: so it comes first.

    Raises:
        RequestError: the system has no room for it.
    """
    check_descriptors()
    if endpoint_url is not None:
        return Reaper("s3mr.local.reaper_process", os.environ)
    users_own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Reaper("s3mr.local.embedded_server", users_own, Listener.begun())


class Reaper:
    """Holds the caretaker's pipe: it ends with this object, or with this process."""

    def __init__(self, module: str, environment: Mapping[str, str], listening: Listener | None = None) -> None:
        """Start ``module``, which calls `start_reaping`; the embedded cloud's server is told where it listens."""
        self.listening = listening
        if listening is None:
            self._process = start(module, environment)
        else:
            named = {**environment, **listening.to_environment()}
            self._process = start(module, named, inherited=[listening.socket.fileno()])
        self._watch: threading.Thread | None = None
        self._left: set[Path] = set()
        self._template: ForkServer | None = None

    def prepare_workers(self) -> None:
        """Have workers forked, where that can be done; to be called before this process imports what is not ours."""
        with without_collections():
            from s3mr.adapters.aws.clients import preload
            from s3mr.processes.fork_server import start_fork_server

            preload()
        self._template = start_fork_server()

    def start_worker(self, environment: Mapping[str, str], stderr: int | None) -> Worker:
        """Start a worker that prints to ``stderr``, or to ours."""
        return (self._template.start if self._template else start_worker)(environment, stderr)

    def begun(self) -> bool:
        """Wait until the server has begun, or has ended; from then on, see to it that nobody waits for a dead one."""
        stdout, listening = self._process.stdout, self.listening
        if stdout is None or listening is None or not stdout.readline():
            return False

        def watch() -> None:
            stdout.read()  # until its end, which is the process'
            listening.refuse()

        thread = threading.Thread(target=watch, name="s3mr-watch", daemon=True)
        thread.start()
        self._watch = thread
        return True

    @property
    def status(self) -> int | None:
        """How the process has ended; None while it lives."""
        return self._process.poll()

    def kill_at_end(self, group: int) -> None:
        """Have a process group killed."""
        self._tell(kill=group)

    def spare(self, group: int) -> None:
        """Take `kill_at_end` back."""
        self._tell(spare=group)

    def remove_at_end(self, path: Path) -> None:
        """Have a folder removed."""
        self._left.add(path)
        self._tell(remove=str(path))

    def keep(self, path: Path) -> None:
        """Take `remove_at_end` back."""
        self._left.discard(path)
        self._tell(keep=str(path))

    def temporary_folder(self, prefix: str) -> Path:
        """Make a folder that is removed at the end; it is announced before it exists, so that none is ever left."""
        folder = Path(tempfile.gettempdir()) / f"{prefix}-{secrets.token_hex(8)}"
        self.remove_at_end(folder)
        with translated_os(f"make the temporary folder {folder} (TMPDIR)"):
            folder.mkdir(mode=0o700)
        return folder

    def close(self) -> None:
        """Have all of it done, and wait for that."""
        template, self._template = self._template, None
        if template:
            template.close()
        with contextlib.suppress(BrokenPipeError):  # it is dead already
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
        for path in self._left:  # the caretaker has done it, unless it was killed
            remove_folder(str(path))

    def _tell(self, **line: int | str) -> None:
        """Tell the caretaker; if it is dead, `close` does what it can."""
        pipe = self._process.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            if pipe:
                pipe.write(json.dumps(line).encode() + b"\n")
                pipe.flush()
