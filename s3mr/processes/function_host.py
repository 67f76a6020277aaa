"""A worker function's process in AWS Lambda. It executes nothing itself: a child does, which lives for one invocation.

Lambda reuses an environment for other jobs of the same function, and has one address at which it gives out invocations
to whoever asks. So user code must not outlive its own invocation, nor reach that address while it runs. Each invocation
gets a worker that is forked from a sealed template (`s3mr.processes.seal`). Before its response is returned, the worker
and all that it has started are dead. For another bundle, its temporary folder is another one, too; where user code has
left something else behind, or could not be sealed, the environment ends instead: Lambda makes a new one.
"""

import atexit
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from s3mr.limits import ENVIRONMENT_ENDED_STATUS
from s3mr.model.report import TaskRequest
from s3mr.processes.child import Child
from s3mr.processes.descendants import adopt_orphans, hide_memory, kill_descendants
from s3mr.processes.leftover_files import LeftoverFiles
from s3mr.processes.printed_lines import PrintedLines
from s3mr.processes.sealed_fork_server import prepare_workers

_ROOT: Final = Path(__file__).parents[2]  # of the deployment package
_RUNTIME_API: Final = "AWS_LAMBDA_RUNTIME_API"  # where invocations come from: user code has no business there
_REPORT_KEY: Final = "S3MR_REPORT_KEY"  # that its reports are marked with, so that record believes nobody else
_GROUPS_FROM: Final = 2**30  # numbers that no system gives to a group of its own


class WorkerHost:
    """Executes the requests of one environment, one after another. ``show`` is given what user code prints."""

    def __init__(self, environment: Mapping[str, str], show: Callable[[str], object]) -> None:
        adopt_orphans()
        hide_memory()
        self._show = show
        self._environment = _childs(environment)
        self._report_key = environment.get(_REPORT_KEY)
        group = _GROUPS_FROM + secrets.randbelow(_GROUPS_FROM) if os.geteuid() == 0 else None
        self._workers = prepare_workers(self._environment, environment.get(_RUNTIME_API), group)
        if self._workers.open_because:
            _say(f"user code is not sealed here, and an environment serves one bundle: {self._workers.open_because}")
        self._shared = Path(tempfile.gettempdir())  # now: later, with no room left there, it would be another one
        self._own = self._new_folder()
        self._group = group
        self._bundle: str | None = None
        self._left: set[str] = set()  # outside of our folder, by the bundle at hand
        atexit.register(self._remove_own)

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Execute the attempt that ``event``, a `TaskRequest` as JSON, asks for; return its `Report` as JSON.

        Raises:
            ValidationError: the event is no such request.
        """
        request = TaskRequest.model_validate(event)
        if self._bundle not in (None, request.spec.bundle.sha256):
            self._change_or_end()
        self._bundle = request.spec.bundle.sha256
        elsewhere = LeftoverFiles(self._own, self._group)
        before = elsewhere.seen()
        printed = PrintedLines(self._show)
        child = Child({**self._environment, "TMPDIR": str(self._own)}, printed.descriptor, start=self._workers.start)
        try:
            report = child.run(request)
            self._workers.stop_starting()
            child.bury()
            kill_descendants(self._workers.kept)
            printed.close()
        except BaseException as error:  # noqa: BLE001 - whatever it is, no user code must be there when we return
            self._end(f"the end of an invocation failed: {error!r}")
        self._left |= {path for path, _, _ in elsewhere.seen() - before}
        return (report.marked(self._report_key) if self._report_key else report).model_dump(mode="json")

    def _change_or_end(self) -> None:
        """Leave nothing of the bundle that was served so far, or end."""
        if self._workers.open_because:
            self._end("another bundle's turn, and user code is not sealed here")
        if self._left:
            self._end(f"another bundle's turn, and the one before has left {sorted(self._left)[:5]}")
        try:
            _remove(self._own)
            self._own = self._new_folder()
        except (OSError, RecursionError) as error:  # folders may lie deeper than can be walked
            self._end(f"another bundle's turn, and the temporary folder cannot be removed: {error}")

    def _remove_own(self) -> None:
        if self._own.is_dir():
            shutil.rmtree(self._own, ignore_errors=True)

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="s3mr-", dir=self._shared))

    def _end(self, why: str) -> NoReturn:
        """End the environment: its invocation is repeated in another one, and has cost no attempt."""
        _say(f"this environment ends: {why}")
        os._exit(ENVIRONMENT_ENDED_STATUS)


def _say(text: str) -> None:
    os.write(2, f"s3mr: {text}\n".encode("utf-8", "backslashreplace"))


def _childs(environment: Mapping[str, str]) -> dict[str, str]:
    path = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    kept = {name: value for name, value in environment.items() if name not in (_RUNTIME_API, _REPORT_KEY)}
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def _remove(folder: Path) -> None:
    """Remove a folder of ours with all in it, also what is closed to its owner.

    Raises:
        OSError: that cannot be done; user code has put a link or a pipe in its place, say.
    """
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.chmod(0o700)
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inside = Path(path, name)
            if not inside.is_symlink():
                inside.chmod(0o700)  # before `walk` looks into it
    shutil.rmtree(folder)
