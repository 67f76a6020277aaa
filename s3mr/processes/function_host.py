"""Host workers in an AWS Lambda function. This process runs no user code: it starts one child for each invocation.

Lambda reuses an environment for other jobs of the same function, and hands out invocations at an address that any
process can reach. So user code must not run longer than its invocation, and must not reach that address. Each
invocation gets a worker forked from a sealed fork server (`s3mr.processes.seal`). Before the response is returned, the
worker and all its descendants are killed. A new bundle gets a new temporary folder. If user code has left other files
behind, or could not be sealed, the environment ends instead, and Lambda creates a new one.
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
_RUNTIME_API: Final = "AWS_LAMBDA_RUNTIME_API"  # the address of invocations, hidden from user code
_REPORT_KEY: Final = "S3MR_REPORT_KEY"  # marks genuine reports, so that `record` can tell forgeries
_GROUPS_FROM: Final = 2**30  # group ids from here on are not used by any system


class WorkerHost:
    """Executes the requests of one environment, one after another. ``show`` is called with what user code prints."""

    def __init__(self, environment: Mapping[str, str], show: Callable[[str], object]) -> None:
        adopt_orphans()
        hide_memory()
        self._show = show
        self._environment = _child_environment(environment)
        self._report_key = environment.get(_REPORT_KEY)
        group = _GROUPS_FROM + secrets.randbelow(_GROUPS_FROM) if os.geteuid() == 0 else None
        self._workers = prepare_workers(self._environment, environment.get(_RUNTIME_API), group)
        if self._workers.unsealed_reason:
            _log(
                "user code is not sealed here, so an environment serves only one bundle: "
                f"{self._workers.unsealed_reason}"
            )
        self._shared = Path(tempfile.gettempdir())  # read early: when the disk is full, Python chooses another folder
        self._own = self._new_folder()
        self._group = group
        self._bundle: str | None = None
        self._left: set[str] = set()  # files that the current bundle has left outside our folder
        atexit.register(self._remove_own)

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Execute the attempt that ``event``, a `TaskRequest` as JSON, asks for; return its `Report` as JSON.

        Raises:
            ValidationError: the event is not a task request.
        """
        request = TaskRequest.model_validate(event)
        if self._bundle not in (None, request.spec.bundle.sha256):
            self._change_or_end()
        self._bundle = request.spec.bundle.sha256
        leftovers = LeftoverFiles(self._own, self._group)
        before = leftovers.scan()
        printed = PrintedLines(self._show)
        child = Child({**self._environment, "TMPDIR": str(self._own)}, printed.descriptor, start=self._workers.start)
        try:
            report = child.run(request)
            self._workers.forbid_processes()
            child.end()
            kill_descendants(self._workers.permanent_pids)
            printed.close()
        except BaseException as error:  # noqa: BLE001 - after any error, user code may still be running
            self._end(f"an invocation could not be cleaned up: {error!r}")
        self._left |= {path for path, _, _ in leftovers.scan() - before}
        return (report.marked(self._report_key) if self._report_key else report).model_dump(mode="json")

    def _change_or_end(self) -> None:
        """Remove everything of the last bundle, or end the environment."""
        if self._workers.unsealed_reason:
            self._end("the next request has another bundle, and user code is not sealed here")
        if self._left:
            self._end(f"the next request has another bundle, and the last one has left {sorted(self._left)[:5]}")
        try:
            _remove(self._own)
            self._own = self._new_folder()
        except (OSError, RecursionError) as error:  # folders may be nested too deep to be walked
            self._end(f"the next request has another bundle, and the temporary folder cannot be removed: {error}")

    def _remove_own(self) -> None:
        if self._own.is_dir():
            shutil.rmtree(self._own, ignore_errors=True)

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="s3mr-", dir=self._shared))

    def _end(self, why: str) -> NoReturn:
        """End the environment. Lambda repeats the invocation in another one; it costs no attempt."""
        _log(f"this environment ends: {why}")
        os._exit(ENVIRONMENT_ENDED_STATUS)


def _log(text: str) -> None:
    os.write(2, f"s3mr: {text}\n".encode("utf-8", "backslashreplace"))


def _child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    path = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    kept = {name: value for name, value in environment.items() if name not in (_RUNTIME_API, _REPORT_KEY)}
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def _remove(folder: Path) -> None:
    """Remove our folder with everything in it, including folders without permissions for their owner.

    Raises:
        OSError: that is not possible, for example because user code has replaced the folder by a link or a pipe.
    """
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.chmod(0o700)
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inside = Path(path, name)
            if not inside.is_symlink():
                inside.chmod(0o700)  # before `walk` lists it
    shutil.rmtree(folder)
