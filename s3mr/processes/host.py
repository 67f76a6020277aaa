"""A worker function's process in AWS Lambda: it executes nothing itself, a child does, and a child serves one bundle.

Lambda reuses an environment for other jobs of the same function. Modules, globals, threads, processes and files of one
user's code must not meet another's: for another bundle, the child and all that it has started are killed, the
temporary folder is emptied, and a new child begins.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from s3mr.model.report import TaskRequest
from s3mr.processes.child import Child
from s3mr.processes.descendants import adopt_orphans, hide_memory, kill_descendants
from s3mr.processes.printed import Printed

_ROOT: Final = Path(__file__).parents[2]  # of the deployment package
UNCLEAN_STATUS: Final = 70  # EX_SOFTWARE
_RUNTIME_API: Final = "AWS_LAMBDA_RUNTIME_API"  # where invocations come from: user code has no business there


class WorkerHost:
    """Executes the requests of one environment, one after another. ``show`` is given what user code prints."""

    def __init__(self, environment: Mapping[str, str], show: Callable[[str], object]) -> None:
        adopt_orphans()
        hide_memory()
        self._temporary = Path(tempfile.gettempdir())  # now: later, with no room left there, it would be another one
        self._environment = _childs(environment)
        self._show = show
        self._bundle: str | None = None
        self._printed, self._child = self._new_child()

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Execute the attempt that ``event``, a `TaskRequest` as JSON, asks for; return its `Report` as JSON.

        Raises:
            ValidationError: the event is no such request.
        """
        request = TaskRequest.model_validate(event)
        if self._bundle not in (None, request.spec.bundle.sha256):
            self._forget_or_end()
        self._bundle = request.spec.bundle.sha256
        report = self._child.run(request)
        self._printed.catch_up()
        return report.model_dump(mode="json")

    def _new_child(self) -> tuple[Printed, Child]:
        printed = Printed(self._show)
        child = Child(self._environment, printed.descriptor)
        child.prepare()  # it imports what it needs while Lambda is still starting this process, or this one works
        return printed, child

    def _forget_or_end(self) -> None:
        """Leave nothing of the bundle that was served so far; where that fails, end: Lambda makes a new environment."""
        try:
            self._child.bury()
            kill_descendants()
            self._printed.close()
            _empty(self._temporary)
            self._printed, self._child = self._new_child()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the next user's code must not run here
            os.write(2, f"s3mr: the environment cannot be cleared, and ends: {error!r}\n".encode())
            os._exit(UNCLEAN_STATUS)


def _childs(environment: Mapping[str, str]) -> dict[str, str]:
    path = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    kept = {name: value for name, value in environment.items() if name != _RUNTIME_API}
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def _empty(folder: Path) -> None:
    """Remove all that lies in ``folder``, also from folders that are closed to their owner."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inside = Path(path, name)
            if not inside.is_symlink():
                inside.chmod(0o700)  # before `walk` looks into it
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
