"""One emulator and one deployed stack for all tests, which use it in turn. Needs Linux, root or user namespaces."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import botocore.exceptions
import botocore.session
import pytest

from tests.deployed.harness.building import build, sam
from tests.deployed.harness.constants import ARCHITECTURE, ROOT

PYTHON: Final = ROOT / ".venv" / "emulator" / "bin" / "python"
S3MR: Final = Path(sys.executable).with_name("s3mr")
ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
STACK: Final = "s3mr"
INPUTS: Final = "emulator-inputs"
OUTPUTS: Final = "emulator-outputs"
START_S_MAX: Final = 60.0
COMMAND_S_MAX: Final = 200.0
Finished = subprocess.CompletedProcess[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip these tests in the gate: only `make emulator` runs them."""
    if not PYTHON.exists() or "S3MR_EMULATOR" not in os.environ:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="make emulator runs it"))


@dataclass(frozen=True)
class Emulator:
    """Services over TLS at ``url`` with their own ``/tmp``, which belongs to ``process``."""

    url: str
    certificate: Path
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3MR_", "PYTHON"))}
        aws = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return {**ours, **aws}

    def client(self, service: str) -> Any:
        session = botocore.session.Session()
        return session.create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            verify=str(self.certificate),
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def temporary(self) -> Path:
        """The emulator's ``/tmp``, as this process sees it."""
        return Path(f"/proc/{self.process.pid}/root/tmp")

    def run(self, *arguments: str | Path, expect: int | None = 0) -> Finished:
        """Run ``s3mr … --stack`` to its end."""
        finished = subprocess.run(
            [S3MR, *map(str, arguments), "--stack", STACK],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        said = f"s3mr {arguments}: status {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
        assert expect is None or finished.returncode == expect, said
        return finished

    def ask(self, *arguments: str | Path, expect: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

    def job(self, name: str, code: str) -> Path:
        path = self.folder / name
        path.write_text("from s3mr import Job, params\n" + dedent(code))
        return path

    def upload(self, name: str, *texts: str) -> str:
        for number, text in enumerate(texts):
            self.client("s3").put_object(Bucket=INPUTS, Key=f"{name}/{number}.txt", Body=text.encode())
        return f"s3://{INPUTS}/{name}/"

    def lines(self, output: str) -> list[str]:
        """Return the lines of a committed output."""
        s3, prefix = self.client("s3"), output.removeprefix(f"s3://{OUTPUTS}/")
        names = [one["Key"] for one in s3.list_objects_v2(Bucket=OUTPUTS, Prefix=prefix).get("Contents", [])]
        assert f"{prefix}_SUCCESS" in names
        bodies = [s3.get_object(Bucket=OUTPUTS, Key=name)["Body"].read() for name in names if "part-" in name]
        return sorted(line for body in bodies for line in body.decode().splitlines())

    def workers(self, function: str) -> list[int]:
        """Return the processes of a function's environments."""
        script = f"ministack-lambda-{STACK}-{function}-".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it is not a process, or has ended
                if entry.name.isdigit() and script in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    assert not ROOT.is_relative_to("/tmp"), "functions get a /tmp of their own: this checkout must lie elsewhere"  # noqa: S108
    made = ROOT / "build" / "emulator"
    made.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=made))
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", names, "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    port = _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "TMPDIR"))},
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificate),
        "MINISTACK_SSL_KEY": str(key),
        "IOT_MTLS_ENABLED": "0",
        "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
    }
    inside = f"mount -t tmpfs tmpfs /tmp && exec {PYTHON} {Path(__file__).with_name('launcher.py')}"
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*alone, "sh", "-euc", inside], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    started = Emulator(f"https://127.0.0.1:{port}", certificate, folder, process)
    try:
        _wait_for(started)
        yield started
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it leads its own session, together with its functions
        process.wait()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def deployed(emulator: Emulator) -> Emulator:
    """The emulator, with the template deployed by the SAM CLI, and a bucket each for inputs and outputs."""
    for bucket in (INPUTS, OUTPUTS):
        emulator.client("s3").create_bucket(Bucket=bucket)
    said = sam(
        *("deploy", "--template-file", build(), "--stack-name", STACK, "--region", REGION, "--resolve-s3"),
        *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"),
        *("--parameter-overrides", f"Architecture={ARCHITECTURE}", "WorkersMax=4"),
        *(f"InputBuckets={INPUTS}", f"OutputBuckets={OUTPUTS}"),
        environment=emulator.environment,
    )
    assert "Successfully created/updated stack" in said
    return emulator


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(emulator: Emulator) -> None:
    end = time.monotonic() + START_S_MAX
    while True:
        try:
            emulator.client("sts").get_caller_identity()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            if time.monotonic() > end or emulator.process.poll() is not None:
                raise AssertionError((emulator.folder / "log").read_text()) from error
            time.sleep(0.2)
        else:
            return
