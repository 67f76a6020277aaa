"""User code attacks its function's runtime: the real runtime client, `WorkerHost` and AWS's published states.

Job A attacks. Then job B, from another bundle, is invoked in the same environment. Only the function's own process may
receive job B's request and answer it.
"""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest

from s3mr.local.cloud import EmbeddedCloud
from s3mr.model.job import SCHEMA_VERSION
from s3mr.model.report import Report
from tests.integration.runtime_states import ROOT, RuntimeServer, RuntimeStates
from tests.integration.test_function_host import Requests, printing

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux, like Lambda")

HANDLER = """
import os
from s3mr.processes.function_host import WorkerHost
host = WorkerHost(os.environ, lambda line: print(line, flush=True))
def handler(event, context):
    return host.handle(event)
"""
# The attacker's tools. Each attack is a block of statements in a map function.
TOOLS = """
import ctypes, http.client, os, signal, socket, struct, subprocess, sys, threading, time
from s3mr import Job
ADDRESS = {address!r}
WITNESS = {witness!r}
LIBC = ctypes.CDLL(None, use_errno=True)
def host():  # the function's process: the fork server's parent
    parent = os.getppid()
    return int(open(f"/proc/{{parent}}/stat").read().rpartition(")")[2].split()[1])
def tell(what):
    with open(WITNESS, "a") as file:
        file.write(f"{{what}}\\n")
def ask(method, path, body=None, address=None):
    connection = http.client.HTTPConnection(address or ADDRESS, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    tell(f"{{method}} {{path}} {{answer.status}}")
    return answer.getheader("Lambda-Runtime-Aws-Request-Id"), answer.read()
def take_over(address=None):
    for _ in range(3):
        own, _ = ask("GET", "{root}invocation/next", address=address)
        ask("POST", f"{root}invocation/{{own}}/response", b'{{"forged": 1}}', address=address)
def quietly(function, *arguments):
    try:
        function(*arguments)
    except BaseException as error:
        tell(f"failed {{error!r}}") if "forbidden" in str(error) else None
def fork(function, *arguments, times=1):
    if os.fork() == 0:
        os.setsid()
        if times > 1:
            fork(function, *arguments, times=times - 1)
        else:
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    quietly(signal.signal, number, signal.SIG_IGN)
            quietly(function, *arguments)
        os._exit(0)
def map(source, line):
    if line == "one":
{attack}
    yield line, 1
job = Job(map=map, reduce=map)
"""


class Runtime:
    """An environment: AWS's runtime client with a handler, and the server that sends it invocations."""

    def __init__(self, requests: Requests, folder: Path) -> None:
        self.requests, self.folder = requests, folder
        self.states = RuntimeStates()
        self.server = RuntimeServer(self.states)
        self.witness = folder / "witness"
        (folder / "function.py").write_text(HANDLER)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "function.handler"],
            cwd=folder,
            env={**requests.environment, "AWS_LAMBDA_RUNTIME_API": self.server.address, "PYTHONPATH": str(folder)},
            start_new_session=True,
        )
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self.states.unexpected.append(f"exit status {self.process.wait()}".encode())
        self.states.over()

    def attack(self, attack: str, timeout_s: float = 30.0) -> str:
        """Run the attack in job A for its first record; return the verb of its response."""
        code = TOOLS.format(
            address=self.server.address, witness=str(self.witness), root=ROOT, attack=indent(dedent(attack), " " * 8)
        )
        self.witness.unlink(missing_ok=True)
        self.states.log.clear()
        return self.states.invoke(self.requests.request(code, timeout_s).model_dump(mode="json"))[0]

    def next_job(self) -> None:
        """Run job B in the same environment, and check that the function's own process returns its true report."""
        request = self.requests.request(printing("'the next job'"), 30.0)
        verb, body = self.states.invoke(request.model_dump(mode="json"))
        assert verb == "response", body
        report = Report.model_validate_json(body)
        assert report.answers(request)
        assert report.manifest
        assert report.manifest.counters.records_in == 2

    def witnessed(self) -> list[str]:
        return self.witness.read_text().splitlines() if self.witness.exists() else []

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.states.over()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def runtime(cloud: EmbeddedCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One environment for all attacks; each must leave it unharmed."""
    folder = tmp_path_factory.mktemp("runtime")
    started = Runtime(Requests(cloud, folder), folder)
    yield started
    started.close()


WAYS_TO_SPEAK = {
    "during its invocation": "quietly(take_over)",
    "a thread that stays": "threading.Thread(target=quietly, args=(take_over,), daemon=True).start()",
    "a daemon": "fork(take_over, times=3)",
    "another program": """
        code = f"import http.client; c = http.client.HTTPConnection({ADDRESS!r}); "
        code += f"c.request('GET', '/2018-06-01/runtime/invocation/next'); open({WITNESS!r}, 'a').write('asked')"
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL).wait()
    """,
    "by another address": """
        port = ADDRESS.rpartition(":")[2]
        for there in ("localhost", "127.1.2.3", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "[::]"):
            quietly(take_over, f"{there}:{port}")
    """,
    "with the first bytes": """
        place = ("127.0.0.1", int(ADDRESS.rpartition(":")[2]))
        one = socket.socket()
        try:
            one.sendto(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\\r\\n", 0x20000000, place)
            tell(one.recv(100))
        except OSError:
            pass
    """,
    "an address that changes during the call": """
        port = int(ADDRESS.rpartition(":")[2])
        good = struct.pack("=HHI", 2, socket.htons(9), 0x0100007F) + bytes(8)
        evil = struct.pack("=HHI", 2, socket.htons(port), 0x0100007F) + bytes(8)
        place = ctypes.create_string_buffer(good, 16)
        until = time.monotonic() + 2
        def change():
            while time.monotonic() < until:
                ctypes.memmove(place, evil, 16)
                ctypes.memmove(place, good, 16)
        threading.Thread(target=change, daemon=True).start()
        while time.monotonic() < until:
            one = socket.socket()
            if LIBC.connect(one.fileno(), place, 16) == 0:
                tell("connected")
            one.close()
    """,
    "asynchronously": """
        if ctypes.c_long(LIBC.syscall(425, 8, ctypes.create_string_buffer(120))).value >= 0:
            tell("io_uring")
    """,
    "its errors, its start, an extension": """
        for path in ("invocation/1/error", "init/error", "invocation/1/response", "restore/error"):
            quietly(ask, "POST", "/2018-06-01/runtime/" + path, b"{}")
        quietly(ask, "POST", "/2020-01-01/extension/register", b'{"events": ["INVOKE"]}')
        quietly(ask, "GET", "/2018-06-01/runtime/restore/next")
    """,
}


@pytest.mark.parametrize("attack", WAYS_TO_SPEAK.values(), ids=[name.replace(" ", "-") for name in WAYS_TO_SPEAK])
def test_user_code_cannot_talk_to_the_runtime_api(runtime: Runtime, attack: str) -> None:
    assert runtime.attack(attack) == "response"
    runtime.next_job()
    assert runtime.witnessed() == []
    assert {status for _, status in runtime.states.log} == {200, 202}


WAYS_TO_REACH_THE_HOST = {
    "stop": "os.kill(host(), signal.SIGSTOP)",
    "kill": "os.kill(host(), signal.SIGKILL)",
    "stop the fork server": "os.kill(os.getppid(), signal.SIGSTOP)",
    "all": "os.kill(-1, signal.SIGSTOP)",
    "its group": "os.kill(-os.getpgid(host()), signal.SIGSTOP)",
    "a thread of it": "[os.kill(int(one), signal.SIGSTOP) for one in os.listdir(f'/proc/{host()}/task')]",
    "tkill": "check(LIBC.syscall(200, host(), 19))",
    "tgkill": "check(LIBC.syscall(234, host(), host(), 19))",
    "queue": "check(LIBC.syscall(129, host(), 19, ctypes.create_string_buffer(struct.pack('=iii', 19, 0, -1), 128)))",
    "pidfd": "signal.pidfd_send_signal(os.pidfd_open(host()), signal.SIGSTOP)",
    "proc folder": "signal.pidfd_send_signal(os.open(f'/proc/{host()}', os.O_RDONLY), signal.SIGSTOP)",
    "owner of a file": """
        import fcntl
        mine, other = socket.socketpair()
        fcntl.fcntl(mine, 10, signal.SIGSTOP)
        fcntl.fcntl(mine, fcntl.F_SETOWN, host())
        fcntl.fcntl(mine, fcntl.F_SETFL, os.O_ASYNC)
        other.send(b"x")
    """,
    "limits": "import resource; resource.prlimit(host(), resource.RLIMIT_NOFILE, (3, 3))",
    "priority": "os.setpriority(os.PRIO_PROCESS, host(), 19)",
    "processors": "os.sched_setaffinity(host(), {0})",
    "memory": "open(f'/proc/{host()}/mem', 'rb')",
    "environment": "open(f'/proc/{host()}/environ', 'rb').read()",
    "descriptors": "[os.open(f'/proc/{host()}/fd/{one}', os.O_RDWR) for one in range(3)]",
    "descriptor": "check(LIBC.syscall(438, os.pidfd_open(host()), 0, 0))",
    "trace": "check(LIBC.ptrace(16, host(), 0, 0))",
    "read": "check(LIBC.process_vm_readv(host(), 0, 0, 0, 0, 0))",
}


@pytest.mark.parametrize(
    "attack", WAYS_TO_REACH_THE_HOST.values(), ids=[one.replace(" ", "-") for one in WAYS_TO_REACH_THE_HOST]
)
def test_user_code_cannot_reach_its_host_process(runtime: Runtime, attack: str) -> None:
    checked = f"""
    def check(result):
        if result < 0:
            raise OSError(ctypes.get_errno(), "refused")
    refused = False
    try:
{indent(dedent(attack), "        ")}
    except OSError:
        refused = True
    tell(refused)
    """
    assert runtime.attack(checked) == "response"
    assert runtime.witnessed() == ["True"]
    runtime.next_job()


WAYS_TO_STAY = {
    "ignores signals": "fork(time.sleep, 600)",
    "stopped": "fork(lambda: os.kill(os.getpid(), signal.SIGSTOP))",
    "hops": """
        def hop():
            while os.fork():
                os._exit(0)
            tell_late()
            hop()
        def tell_late():
            os.setsid()
        fork(hop)
    """,
    "bomb": """
        def burst():
            while True:
                quietly(os.fork)
        import resource
        resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))
        for _ in range(3):
            fork(lambda: [quietly(os.fork) for _ in range(6)] and time.sleep(600))
        fork(lambda: [os.fork() or os._exit(0) for _ in range(10_000)])
    """,
    "memory file": """
        copy = os.memfd_create("copy", 0)
        os.write(copy, open("/bin/sleep", "rb").read())
        if os.fork() == 0:
            os.setsid()
            os.execve(copy, ["sleep", "600"], os.environ)
    """,
}


@pytest.mark.parametrize("attack", WAYS_TO_STAY.values(), ids=[name.replace(" ", "-") for name in WAYS_TO_STAY])
def test_no_process_of_an_invocation_is_left_when_its_response_is_sent(runtime: Runtime, attack: str) -> None:
    assert runtime.attack(attack) == "response"
    below = [pid for pid in _below(runtime.process.pid) if _state(pid) != "Z"]
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in below]
    assert names == ["s3mr-forkserver"]
    runtime.next_job()


def test_a_forged_report_affects_only_its_own_attempt(runtime: Runtime) -> None:
    attack = """
    for number in range(3, 64):
        try:
            os.write(number, b'{"schema_version":VER,"job_id":"x","phase":"map","task":0,"attempt":1,"token":"t",'
                b'"worker":null,"failure":{"kind":"crash","message":"forged"}}\\n')
        except OSError:
            pass
    """.replace("VER", str(SCHEMA_VERSION))
    assert runtime.attack(attack) == "response"
    answer = Report.model_validate_json(list(runtime.states.answers.values())[-1][1])
    assert answer.failure
    runtime.next_job()


def test_user_code_may_open_connections_start_processes_and_signal_its_own(runtime: Runtime) -> None:
    attack = """
    import asyncio, concurrent.futures, multiprocessing
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5) as one:
            one.send(b"x")
            tell(server.accept()[0].recv(1))
        async def connect():
            _, writer = await asyncio.open_connection(*server.getsockname())
            writer.close()
            return "async"
        tell(asyncio.run(connect()))
    os.chdir(__import__("tempfile").gettempdir())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("here")
        server.listen()
        with socket.socket(socket.AF_UNIX) as one:
            one.connect("here")
            tell("unix")
    try:
        socket.create_connection(("127.0.0.1", 9))
    except ConnectionRefusedError:
        tell("refused")
    child = subprocess.Popen(["sleep", "600"])
    child.terminate()
    tell(child.wait())
    group = subprocess.Popen(["sh", "-c", "sleep 600"], start_new_session=True)
    os.killpg(group.pid, signal.SIGKILL)
    tell(group.wait())
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        tell(sum(pool.map(abs, [-1, -2])))
    os.sched_setaffinity(os.getpid(), os.sched_getaffinity(0))
    signal.signal(signal.SIGUSR1, lambda *_: tell("signalled"))
    signal.raise_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    """
    assert runtime.attack(attack) == "response"
    expected = ["b'x'", "async", "unix", "refused", "-15", "-9", "3", "signalled", "signalled"]
    assert runtime.witnessed() == expected


def _below(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for child in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError):
                found += map(int, child.read_text().split())
    return found[1:]


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
