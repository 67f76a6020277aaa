"""The cloud that a template is deployed to: moto's services on 127.0.0.1, with Lambda and IAM as on AWS.

A process has only one, because moto's state is global.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import TracebackType
from typing import Any, Final, Self

import boto3
from botocore.config import Config

from tests.deployed.harness.access import Access
from tests.deployed.harness.building import interpreter, runtime_client
from tests.deployed.harness.constants import ACCOUNT, PARTITION, REGION
from tests.deployed.harness.environment import Environment, EnvironmentSettings
from tests.deployed.harness.environments import Environments
from tests.deployed.harness.events import Rules
from tests.deployed.harness.executions import Executions
from tests.deployed.harness.functions import Version
from tests.deployed.harness.gate import Gate
from tests.deployed.harness.lambda_api import LambdaApi
from tests.deployed.harness.lambda_resources import FUNCTIONS
from tests.deployed.harness.lambda_service import LambdaService
from tests.deployed.harness.logs import LogStream
from tests.deployed.harness.resources import register
from tests.moto_modules import list_modules_once

EVERYTHING: Final = '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
ADMINISTRATOR: Final = "administrator"
NO_RETRIES: Final = Config(retries={"total_max_attempts": 1}, read_timeout=900, max_pool_connections=50)


class Cloud:
    """Starts the cloud, gives access to it, and closes it."""

    def __init__(self) -> None:
        self.access = Access()
        self.environments = Environments(self._environment)
        self._session: Any = boto3.Session(region_name=REGION)  # only one: each session parses the service models again
        self._making = threading.Lock()  # a session is not thread-safe while it creates clients
        self._client_of_role = lru_cache(maxsize=200)(self._make_client)
        self._client_of_administrator = cache(self._make_administrators)
        self.service = LambdaService(
            FUNCTIONS, self.environments, lambda role, name: self.client(role, "lambda.amazonaws.com", name)
        )
        self.gate = Gate(_moto(), self.access, LambdaApi(self.service))
        self._server = _serve(self.gate)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._settings = EnvironmentSettings(interpreter(), runtime_client(), self.endpoint)
        self.executions = Executions(self.client, Rules(self.client, self.access).deliver)
        self.administrator = self.add_user(ADMINISTRATOR)
        _users()[ADMINISTRATOR].put_policy("everything", EVERYTHING)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_user(self, name: str, *policies: str) -> dict[str, str]:
        """Create a user with managed policies; return the environment variables with its credentials."""
        from moto.iam.models import iam_backends

        backend = iam_backends[ACCOUNT][PARTITION]
        backend.create_user(REGION, user_name=name)
        for policy in policies:
            backend.attach_user_policy(policy, name)
        key = backend.create_access_key(name)
        return {
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def administrators(self, service: str) -> Any:
        """Return a client with all permissions."""
        return self._client_of_administrator(service)

    def client(self, role: str, trusted: str, service: str) -> Any:
        """Return a client with the permissions of a role that ``trusted``, an AWS service, has assumed."""
        return self._client_of_role(role, trusted, service)

    def close(self) -> None:
        """Stop everything, and reset moto."""
        self.executions.close()
        self.environments.close()
        self._server.shutdown()
        self._server.server_close()

    def _make_administrators(self, service: str) -> Any:
        return self._signed(service, self.administrator, config=None)

    def _make_client(self, role: str, trusted: str, service: str) -> Any:
        return self._signed(service, self.access.assume(role, trusted, service), config=NO_RETRIES)

    def _signed(self, service: str, credentials: Mapping[str, str], *, config: Config | None) -> Any:
        with self._making:
            return self._session.client(
                service,
                endpoint_url=self.endpoint,
                aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
                config=config,
            )

    def _environment(self, version: Version) -> Environment:
        credentials = self.access.assume(version.role, "lambda.amazonaws.com", version.function)
        return Environment(version, self._settings, credentials, self._stream)

    def _stream(self, version: Version, name: str) -> LogStream:
        def client() -> Any:
            return self.client(version.role, "lambda.amazonaws.com", "logs")

        return LogStream(client, version.log_group, name)


def _users() -> dict[str, Any]:
    from moto.iam.models import iam_backends

    users: dict[str, Any] = iam_backends[ACCOUNT][PARTITION].users
    return users


def _moto() -> Callable[..., Any]:
    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # do not log each request
    logging.getLogger("moto").setLevel(logging.CRITICAL)  # its interpreter logs each retry as an error
    register()
    list_modules_once()
    application: Callable[..., Any] = DomainDispatcherApplication(create_backend_app)
    return application


def _serve(gate: Gate) -> Any:
    from werkzeug.serving import make_server

    server: Any = make_server("127.0.0.1", 0, gate, threaded=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="cloud", daemon=True).start()
    return server
