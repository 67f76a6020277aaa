"""IAM access control: identify callers by their credentials, evaluate moto's policies, record used permissions."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.deployed.harness.constants import ACCOUNT, PARTITION, REGION
from tests.deployed.harness.needs import Need
from tests.deployed.harness.policies import Right, Statement, judge, read


class UnknownCaller(Exception):  # noqa: N818 - it is an answer to a request
    """The credentials belong to no user and no session."""


class Refused(Exception):  # noqa: N818 - it is an answer to a request
    """The caller is not allowed to do this."""


@dataclass(frozen=True)
class Principal:
    """A role or a user. Error messages call it ``caller``."""

    arn: str
    caller: str

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True)
class Refusal:
    """A request of a principal that was not allowed."""

    principal: str
    action: str
    resource: str


@dataclass
class Access:
    """IAM as AWS enforces it, on the roles, users and policies that moto keeps."""

    used: dict[str, set[Right]] = field(default_factory=lambda: defaultdict(set))
    refusals: list[Refusal] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def principal(self, key_id: str, token: str) -> Principal:
        """Identify a caller by the credentials of a request.

        Raises:
            UnknownCaller: they belong to no user and no session.
        """
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        for session in sts_backends[ACCOUNT][PARTITION].assumed_roles:
            if session.access_key_id == key_id and session.session_token == token:
                return Principal(session.role_arn, session.arn)
        for user in iam_backends[ACCOUNT][PARTITION].users.values():
            if not token and any(key.access_key_id == key_id for key in user.access_keys):
                return Principal(user.arn, user.arn)
        raise UnknownCaller(key_id)

    def check(self, principal: Principal, needs: Iterable[Need], *, resource_policy: str | None = None) -> None:
        """Check that all of ``needs`` are allowed, and record the permissions that allow them.

        Raises:
            Refused: one of them is not allowed.
        """
        for need in needs:
            if not self.allows(principal, need, resource_policy=resource_policy):
                with self._turn:
                    self.refusals.append(Refusal(principal.name, need.action, need.resource))
                raise Refused(
                    f"User: {principal.caller} is not authorized to perform: {need.action} on resource: {need.resource}"
                )

    def allows(self, principal: Principal, need: Need, *, resource_policy: str | None = None) -> bool:
        """Check if ``principal`` may do this, and record the permissions that allow or deny it."""
        statements = list(statements_of(principal.arn))
        if resource_policy:  # of the same account: only what it denies to everyone matters
            statements += [s for s in read("resource policy", resource_policy) if s.anyone and not s.allows]
        judgement = judge(statements, need.action, need.resource, need.context)
        with self._turn:
            self.used[principal.name].update(judgement.rights)
        return judgement.allowed

    def lets(self, service: str, document: str, need: Need) -> bool:
        """Check if a resource policy or a role's trust policy allows this to an AWS service; record its permissions."""
        given = json.loads(document)["Statement"]
        about = [{"Resource": need.resource, **one} for one in given if service in _listed(one["Principal"]["Service"])]
        judgement = judge(
            read("resource policy", json.dumps({"Statement": about})), need.action, need.resource, need.context
        )
        with self._turn:
            self.used[service].update(judgement.rights)
        return judgement.allowed

    def assume(self, role_arn: str, service: str, session: str) -> Mapping[str, str]:
        """Assume a role as an AWS service does; return the credentials as environment variables.

        Raises:
            Refused: the role does not trust the service.
        """
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        role = iam_backends[ACCOUNT][PARTITION].get_role_by_arn(role_arn)
        source = {} if service == "lambda.amazonaws.com" else {"aws:sourceaccount": (ACCOUNT,)}  # Lambda: none
        if not self.lets(service, role.assume_role_policy_document, Need("sts:AssumeRole", role_arn, source)):
            raise Refused(f"{service} cannot assume {role_arn}")
        taken = sts_backends[ACCOUNT][PARTITION].assume_role(REGION, session, role_arn, None, 43_200, None)
        return {
            "AWS_ACCESS_KEY_ID": taken.access_key_id,
            "AWS_SECRET_ACCESS_KEY": taken.secret_access_key,
            "AWS_SESSION_TOKEN": taken.session_token,
        }


def statements_of(principal_arn: str) -> Iterable[Statement]:
    """Yield all statements of a role's or a user's policies, inline and managed."""
    from moto.iam.models import iam_backends

    backend = iam_backends[ACCOUNT][PARTITION]
    kind, _, name = principal_arn.rpartition(":")[2].partition("/")
    name = name.rpartition("/")[2]
    owner: Any = backend.get_role(name) if kind == "role" else backend.get_user(name)
    for policy, document in sorted(owner.policies.items()):
        yield from read(policy, document if isinstance(document, str) else json.dumps(document))
    for managed in owner.managed_policies.values():
        version = next(version for version in managed.versions if version.is_default)
        yield from read(managed.name, version.document)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]
