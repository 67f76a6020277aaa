"""One execution environment: a process under AWS's own runtime client that can import only its package.

As on Lambda, it is frozen between invocations and keeps its temporary folder from one to the next. It is killed with
all processes that it started if it takes too long or too much memory, if its runtime ends, or on `close`.
"""

import json
import queue
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.deployed.harness.constants import BUILD, REGION
from tests.deployed.harness.functions import Version
from tests.deployed.harness.logs import LogStream
from tests.deployed.harness.processes import family, kill_all, private_bytes, send
from tests.deployed.harness.runtime_api import Invocation, RuntimeApi, RuntimeEvent

FOLDERS: Final = BUILD / "environments"  # no other process cleans up here while an environment uses its folder
INIT_S_MAX: Final = 60.0  # AWS: 10 s, on a machine that is less busy
IDLE_S_MAX: Final = 10.0


@dataclass(frozen=True)
class InvocationOutcome:
    """The result of an invocation: the function's response, or its error with AWS's ``errorType``."""

    payload: bytes
    failed: bool
    alive: bool

    @property
    def error_type(self) -> str | None:
        return json.loads(self.payload).get("errorType") if self.failed else None


@dataclass(frozen=True)
class EnvironmentSettings:
    """The same for every environment of a cloud: an interpreter, the runtime client's folder, the endpoint."""

    python: Path
    client: Path
    endpoint: str


class Environment:
    """A process that serves one version, one invocation at a time. ``log`` makes its log stream."""

    def __init__(
        self,
        version: Version,
        settings: EnvironmentSettings,
        credentials: Mapping[str, str],
        log: Callable[[Version, str], LogStream],
    ) -> None:
        self.version = version
        self.stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version.number}]{secrets.token_hex(16)}"
        FOLDERS.mkdir(parents=True, exist_ok=True)
        self.temporary = Path(tempfile.mkdtemp(dir=FOLDERS))
        self.busy_since: float | None = None
        self._events: queue.SimpleQueue[RuntimeEvent] = queue.SimpleQueue()
        self._api = RuntimeApi(self._events)
        self._log = log(version, self.stream)
        self._printed = self._log.print
        self._fresh = True
        self._process = subprocess.Popen(
            [settings.python, "-m", "awslambdaric", version.handler],
            cwd=version.package,
            env=self._variables(settings, credentials),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def invoke(self, invocation: Invocation) -> InvocationOutcome:
        """Run one invocation to its end."""
        request_id = invocation.request_id
        if self._fresh:
            self._fresh = False
            event = self._next(INIT_S_MAX)
            if event is None or event.kind != "ready":
                return self._ended(request_id, event, INIT_S_MAX)
        send(family(self.pid), signal.SIGCONT)
        started = self.busy_since = time.monotonic()
        self._printed(f"START RequestId: {request_id} Version: {self.version.number}")
        self._api.invocations.put(invocation)
        event = self._next(self.version.timeout_s)
        self.busy_since = None
        if event is None or event.kind not in ("response", "error"):
            outcome = self._ended(request_id, event, self.version.timeout_s)
        else:
            outcome = InvocationOutcome(event.body, failed=event.kind == "error", alive=True)
            self._freeze()
        self._printed(f"END RequestId: {request_id}")
        spent_ms = (time.monotonic() - started) * 1000
        self._printed(
            f"REPORT RequestId: {request_id}\tDuration: {spent_ms:.2f} ms\tMemory Size: {self.version.memory_mb} MB"
        )
        return outcome

    def is_alive(self) -> bool:
        """Check if its runtime still runs."""
        return self._process.poll() is None

    def used_bytes(self, running: Mapping[int, Sequence[int]]) -> int:
        """Return the memory in use by its processes. ``running`` has each process of the machine with its children."""
        return sum(map(private_bytes, family(self.pid, running)))

    def kill_largest(self) -> None:
        """Kill the largest process, as the system does when an environment's memory is exhausted."""
        send([max(family(self.pid), key=private_bytes)], signal.SIGKILL)

    def close(self) -> None:
        """Kill all processes, and remove the temporary folder."""
        self._kill()
        self._process.wait()
        self._reader.join(IDLE_S_MAX)
        self._api.close()
        self._log.close()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _kill(self) -> None:
        kill_all(f"AWS_LAMBDA_LOG_STREAM_NAME={self.stream}")

    def _next(self, within_s: float) -> RuntimeEvent | None:
        try:
            return self._events.get(timeout=within_s)
        except queue.Empty:
            return None

    def _freeze(self) -> None:
        """Stop all processes as soon as the runtime asks for the next invocation."""
        ready = self._next(IDLE_S_MAX)
        if ready and ready.kind == "ready":
            send(family(self.pid), signal.SIGSTOP)

    def _ended(self, request_id: str, event: RuntimeEvent | None, limit_s: float) -> InvocationOutcome:
        self._kill()
        self._reader.join(IDLE_S_MAX)
        if event is None:
            why, kind = f"Error: Task timed out after {limit_s:.2f} seconds", "Sandbox.Timedout"
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._printed(f"{at} {request_id} Task timed out after {limit_s:.2f} seconds")
        elif event.kind == "init_error":
            return InvocationOutcome(event.body, failed=True, alive=False)
        else:
            why, kind = f"Error: Runtime exited with error: {event.body.decode()}", "Runtime.ExitError"
        self._printed(f"RequestId: {request_id} {why} {kind}")
        body = {"errorType": kind, "errorMessage": f"RequestId: {request_id} {why}"}
        return InvocationOutcome(json.dumps(body).encode(), failed=True, alive=False)

    def _wait(self) -> None:
        status = self._process.wait()
        names = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted"}
        how = f"exit status {status}" if status >= 0 else f"signal: {names.get(signal.Signals(-status), -status)}"
        self._events.put(RuntimeEvent("exit", body=how.encode()))

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip("\n")
                if text:
                    self._printed(text)

    def _variables(self, settings: EnvironmentSettings, credentials: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that Lambda sets, and those that point to this cloud."""
        version = self.version
        reserved = {
            "_HANDLER": version.handler,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{version.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": version.function,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": version.number,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": version.log_format,
            "AWS_LAMBDA_LOG_GROUP_NAME": version.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_TASK_ROOT": str(version.package),
            "LAMBDA_RUNTIME_DIR": str(settings.client),
            "PYTHONPATH": str(settings.client),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
        }
        here = {
            "AWS_ENDPOINT_URL": settings.endpoint,
            "TMPDIR": str(self.temporary),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
        }
        return {**version.environment, **reserved, **credentials, **here}


def until_deadline_ms(version: Version) -> int:
    """Return the deadline of an invocation that begins now, in milliseconds since 1970."""
    return int((time.time() + version.timeout_s) * 1000)
