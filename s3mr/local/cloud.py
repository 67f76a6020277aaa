"""The embedded cloud as one thing: started, used, and gone without a trace.

Its folder, its server and its workers live exactly as long as this object, or as the process that holds it.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from s3mr.adapters.os_errors import translated_os
from s3mr.errors import InvariantError
from s3mr.local.pool import WorkerPool
from s3mr.model.report import Report
from s3mr.processes.chaos import Chaos
from s3mr.processes.starting import start
from s3mr.settings import Settings
from s3mr.wiring import Stack

BUCKET = "s3mr-embedded"
TABLE = "s3mr"
SERVER_END_S = 5.0


class EmbeddedCloud:
    """moto's services in a process, a folder for temporary files, and what is needed to get rid of both."""

    def __init__(self) -> None:
        users_own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._server = start("s3mr.local.server", users_own)
        self._pool: WorkerPool | None = None
        self._left: set[Path] = set()
        self.folder = self.temporary_folder("s3mr")
        port = int(_line(self._server) or 0)
        if not port:
            raise InvariantError("the embedded cloud's server did not start; what it said stands above")
        self.settings = Settings(BUCKET, TABLE, f"http://127.0.0.1:{port}", str(self.folder))
        self.stack = Stack(self.settings, on_staging=self.remove_at_end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_workers(
        self, count: int, record: Callable[[Report], object], *, chaos: str = "", stderr: int | None = None
    ) -> WorkerPool:
        """Start worker processes; they report through ``record``, and print to ``stderr``, or to ours."""
        settings = replace(self.settings, chaos=chaos)
        self._pool = WorkerPool(
            count,
            chaos=Chaos.parse(chaos),
            environment={**os.environ, **settings.to_environment(), "TMPDIR": str(self.folder)},
            stderr=stderr,
            record=record,
            born=lambda pid: self._tell(kill=pid),
            buried=lambda pid: self._tell(spare=pid),
        )
        return self._pool

    def create_stack(self) -> None:
        """Create the bucket and the table, as a deployment does."""
        self.stack.objects.create_bucket()
        self.stack.store.create_table()

    def temporary_folder(self, prefix: str) -> Path:
        """Make a folder that goes with the cloud; it is announced before it exists, so that none is ever left."""
        folder = Path(tempfile.gettempdir()) / f"{prefix}-{secrets.token_hex(8)}"
        self.remove_at_end(folder)
        with translated_os(f"make the temporary folder {folder} (TMPDIR)"):
            folder.mkdir(mode=0o700)
        return folder

    def remove_at_end(self, path: Path) -> None:
        """Have ``path`` removed when the cloud ends, also where this process is killed."""
        self._left.add(path)
        self._tell(remove=str(path))

    def keep(self, path: Path) -> None:
        """Take `remove_at_end` back."""
        self._left.discard(path)
        self._tell(keep=str(path))

    def check(self) -> None:
        """Raise InvariantError if the services are gone."""
        if self._server.poll() is not None:
            raise InvariantError(f"the embedded cloud's server has died (status {self._server.returncode})")

    def close(self) -> None:
        """End all processes and remove everything."""
        if self._pool:
            self._pool.close()
        with contextlib.suppress(BrokenPipeError):  # it is dead already
            if self._server.stdin:
                self._server.stdin.close()
        try:
            self._server.wait(SERVER_END_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        if self._server.stdout:
            self._server.stdout.close()
        for path in self._left:  # the caretaker has done it, unless it was killed
            shutil.rmtree(path, ignore_errors=True)

    def _tell(self, **line: int | str) -> None:
        """Tell the caretaker; if it is dead, `check` says so."""
        pipe = self._server.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            if pipe:
                pipe.write(json.dumps(line).encode() + b"\n")
                pipe.flush()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    return process.stdout.readline() if process.stdout else b""
