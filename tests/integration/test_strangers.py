"""The embedded cloud refuses other users of the machine and web pages that its user visits."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from s3mr.errors import InvariantError, TransientError
from s3mr.local.cloud import EmbeddedCloud
from s3mr.local.connection_limits import STRANGERS_BYTES_MAX, STRANGERS_MAX
from tests.contract.test_job_store_contract import new_job
from tests.integration.conftest import RUN_S_MAX
from tests.integration.test_processes import until
from tests.warm_commands import WarmCommand, WarmCommands

JOB = new_job()
BUCKET = "s3mr-embedded"
ANSWER_S_MAX = 20.0
BOUNDARY = "xyz"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n\r\nplan/job-1/bundle.zip\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nforged\r\n--{BOUNDARY}--\r\n'
)
# The requests that Chromium sends, without irrelevant headers; older versions leave out Sec-Fetch-*.
SENT_BY_BROWSERS = {
    "an image": ("GET", f"/{BUCKET}/plan/job-1/bundle.zip", {"Sec-Fetch-Dest": "image"}, ""),
    "an image, years ago": ("GET", f"/{BUCKET}/plan/job-1/bundle.zip", {"Referer": "http://evil.example/"}, ""),
    "a listing": ("GET", f"/{BUCKET}?list-type=2", {"Origin": "http://evil.example"}, ""),
    "a preflight": (
        "OPTIONS",
        "/",
        {
            "Origin": "http://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,x-amz-target",
        },
        "",
    ),
    "a form": (
        "POST",
        f"/{BUCKET}",
        {"Origin": "null", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        FORM,
    ),
    "a form, years ago": ("POST", f"/{BUCKET}", {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, FORM),
    "moto's reset": ("POST", "/moto-api/reset", {"Origin": "http://evil.example", "Content-Type": "text/plain"}, ""),
    "moto's reset, without an origin": ("POST", "/moto-api/reset", {}, ""),
    "moto's state": ("GET", "/moto-api/data.json", {}, ""),
    "another service": ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, "Action=ListUsers"),
    "a table": ("POST", "/", {"X-Amz-Target": "DynamoDB_20120810.DeleteTable"}, '{"TableName": "s3mr"}'),
    "an overwrite": ("PUT", f"/{BUCKET}/plan/job-1/bundle.zip", {"Origin": "null"}, "forged"),
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    """A cloud with a bundle and a job, as while a job runs."""
    with EmbeddedCloud() as started:
        started.create_stack()
        started.stack.objects.put("plan/job-1/bundle.zip", b"code")
        assert started.stack.store.create(JOB)
        yield started


def state(cloud: EmbeddedCloud) -> object:
    stack = cloud.stack
    objects = {key: b"".join(stack.objects.stream(key)) for key in stack.objects.list("")}
    return objects, stack.store.read_job(JOB.spec.job_id)


def address(cloud: EmbeddedCloud) -> tuple[str, int]:
    parts = urlsplit(cloud.settings.endpoint_url or "")
    return parts.hostname or "", parts.port or 0


def head(cloud: EmbeddedCloud, method: str, path: str, headers: dict[str, str]) -> bytes:
    host, port = address(cloud)
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}:{port}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def all_of(connection: socket.socket) -> bytes:
    """Everything the server sends until it closes the connection."""
    connection.settimeout(ANSWER_S_MAX)
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(("method", "path", "headers", "body"), SENT_BY_BROWSERS.values(), ids=SENT_BY_BROWSERS)
def test_every_request_that_a_web_page_can_cause_is_refused_and_changes_nothing(
    cloud: EmbeddedCloud, method: str, path: str, headers: dict[str, str], body: str
) -> None:
    before = state(cloud)
    with socket.create_connection(address(cloud)) as connection:
        connection.sendall(head(cloud, method, path, {**headers, "Content-Length": str(len(body))}) + body.encode())
        response = all_of(connection)
    assert response.startswith(b"HTTP/1.1 403 ")
    assert b"access-control-" not in response.lower()
    assert state(cloud) == before


def test_a_request_smuggled_in_the_body_of_a_refused_request_is_not_answered(cloud: EmbeddedCloud) -> None:
    within = head(cloud, "POST", "/moto-api/reset", {"Content-Length": "0"})
    with socket.create_connection(address(cloud)) as connection:
        connection.sendall(head(cloud, "POST", f"/{BUCKET}", {"Content-Length": str(len(within))}) + within)
        assert all_of(connection).count(b"HTTP/1.1 ") == 1


def test_a_host_name_that_resolves_to_this_machine_is_refused(cloud: EmbeddedCloud) -> None:
    rebound = f"GET /{BUCKET} HTTP/1.1\r\nHost: rebound.example:{address(cloud)[1]}\r\n\r\n".encode()
    with socket.create_connection(address(cloud)) as connection:
        connection.sendall(rebound)
        assert all_of(connection).startswith(b"HTTP/1.1 403 ")


def test_idle_connections_of_strangers_do_not_delay_a_job(cloud: EmbeddedCloud) -> None:
    with ExitStack() as held:
        silent = [held.enter_context(socket.create_connection(address(cloud))) for _ in range(STRANGERS_MAX // 2)]
        for connection in silent[::2]:
            connection.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 5")
        silent += [held.enter_context(socket.create_connection(address(cloud))) for _ in range(STRANGERS_MAX // 2 + 50)]
        assert state(cloud)
        assert all_of(silent[0]) == b""  # the server closed the oldest connection
    assert state(cloud)


@pytest.mark.parametrize(
    "start",
    [
        b"PUT /s3mr-embedded/x HTTP/1.1\r\nHost: here\r\nContent-Length: 5000000000\r\n\r\n",
        b"PUT /s3mr-embedded/x HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Long: ",
        b"GET /",
    ],
)
def test_the_server_reads_little_of_what_a_stranger_sends(cloud: EmbeddedCloud, start: bytes) -> None:
    with socket.create_connection(address(cloud), timeout=ANSWER_S_MAX) as connection:
        connection.sendall(start)
        with pytest.raises(ConnectionError):
            send_without_end(connection)
    assert state(cloud)


def send_without_end(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"x" * STRANGERS_BYTES_MAX)


def test_the_port_of_a_dead_server_stays_taken_and_the_command_reports_the_death() -> None:
    with EmbeddedCloud() as cloud:
        cloud.create_stack()
        host, port = address(cloud)
        os.kill(server_of(cloud), signal.SIGKILL)
        until(lambda: broken(host, port), "connections are broken")
        for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            for where in (host, ""):
                with closing(socket.socket()) as squatter:
                    if option is not None:
                        squatter.setsockopt(socket.SOL_SOCKET, option, 1)
                    with pytest.raises(OSError, match="in use"):
                        squatter.bind((where, port))
        with pytest.raises(TransientError):
            cloud.stack.store.read_job("job-1")
        with pytest.raises(InvariantError, match="has died"):
            cloud.check()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))


def server_of(cloud: EmbeddedCloud) -> int:
    mark = f"S3MR_EMBEDDED_KEY={cloud.settings.embedded_key}".encode()
    (found,) = [int(one.name) for one in Path("/proc").glob("[0-9]*") if mark in readable(one / "environ")]
    return found


def readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def broken(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=ANSWER_S_MAX) as connection:
        try:
            return connection.recv(1) == b""
        except ConnectionError:
            return True


WAITING = """
    import os, time
    from pathlib import Path
    from s3mr import Job

    def waiting(source, line):
        Path("runs").write_text(repr("S3MR_EMBEDDED_KEY" in os.environ))
        while not Path("go").exists():
            time.sleep(0.01)
        yield line, 1

    job = Job(map=waiting)
"""
# Tries everything another user of the machine can do, and reports the result. It loads its imports as the current user.
ATTACK = """
import http.client, json, os, sys
from pathlib import Path
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

uid, own, port, temporary = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=20, read_timeout=20)
clients = [
    boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", config=config,
                 aws_access_key_id=key, aws_secret_access_key=secret)
    for key, secret in (("embedded", "embedded"), ("x" * 32, "y" * 64)) for service in ("s3", "dynamodb")
]
"127.0.0.1".encode("idna")
if own == 0:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
won, refused = [], 0

def attempt(what, action):
    global refused
    try:
        action()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
        refused += 1
    except PermissionError:
        refused += 1
    else:
        won.append(what)

def raw(method, path, body=b"", headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers)
    if connection.getresponse().status == 403:
        raise PermissionError

for s3, dynamodb in zip(clients[::2], clients[1::2]):
    attempt("listed", lambda: s3.list_objects_v2(Bucket="s3mr-embedded"))
    attempt("read items", lambda: dynamodb.scan(TableName="s3mr"))
    attempt("wrote", lambda: s3.put_object(Bucket="s3mr-embedded", Key="plan/x/bundle.zip", Body=b"x"))
    attempt("wrote an item", lambda: dynamodb.put_item(TableName="s3mr", Item={"pk": {"S": "x"}, "sk": {"S": "x"}}))
attempt("listed unsigned", lambda: raw("GET", "/s3mr-embedded?list-type=2"))
attempt("wrote unsigned", lambda: raw("PUT", "/s3mr-embedded/plan/x/bundle.zip", b"x"))
attempt("reset", lambda: raw("POST", "/moto-api/reset"))
attempt("deleted the table", lambda: raw("POST", "/", b'{"TableName": "s3mr"}', {
    "X-Amz-Target": "DynamoDB_20120810.DeleteTable", "Content-Type": "application/x-amz-json-1.0"}))
if uid != own:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = [(process / file).read_bytes() for file in ("cmdline", "comm", "status")]
        except OSError:
            continue
        if any(b"S3MR_EMBEDDED_KEY" in each for each in known):
            won.append("saw the key in the list of processes")
        if (process / "environ").stat().st_uid == own:
            attempt("read an environment", (process / "environ").read_bytes)
    private = [one for one in temporary.iterdir() if one.is_dir()]
    for folder in private:
        attempt("looked into a folder", lambda: list(folder.iterdir()))
        attempt("wrote into a folder", (folder / "x").touch)
    assert private
print(json.dumps({"won": won, "refused": refused, "uid": os.getuid()}))
"""


def port_of(command: WarmCommand) -> int:
    """The port on which the services of a command listen."""
    sockets = {str(one.readlink()) for one in Path(f"/proc/{command.pid}/fd").iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next(int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets)


def test_another_user_of_the_machine_can_neither_read_nor_change_a_running_job(
    job_file: Callable[..., Path], tmp_path: Path, warm_commands: WarmCommands
) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("looks for ports in /proc; run on Linux")
    own = os.getuid()
    other = pwd.getpwnam("nobody").pw_uid if own == 0 else own  # only root can act as another user
    job_file(WAITING)
    (tmp_path / "in.txt").write_text("a line\n")
    with tempfile.TemporaryDirectory(prefix="anybody-") as temporary:  # not in `tmp_path`, which is private
        Path(temporary).chmod(0o1777)
        (script := Path(temporary, "attack.py")).write_text(ATTACK)
        with warm_commands.start(
            ["run", "job.py", "in.txt", "--output", "out"],
            folder=tmp_path,
            environment={**os.environ, "TMPDIR": temporary},
        ) as command:
            until((tmp_path / "runs").exists, "a map runs")
            attack = [sys.executable, str(script), str(other), str(own), str(port_of(command)), temporary]
            done = subprocess.run(attack, capture_output=True, timeout=RUN_S_MAX, check=False)
            (tmp_path / "go").touch()
            _, stderr = command.communicate(timeout=RUN_S_MAX)
    assert (command.returncode, done.stderr) == (0, b""), stderr
    found = json.loads(done.stdout)
    assert (found["won"], found["uid"]) == ([], other)
    assert found["refused"] >= 12
    assert (tmp_path / "runs").read_text() == "False", "user code can read the key and could leak it"
    assert (tmp_path / "out/part-00000").read_text() == "a line\t1\n"
