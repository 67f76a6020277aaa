"""Check, step by step, that a job can be submitted to a stack, before anything costs money.

A step is skipped if a step that it depends on failed. The checks start nothing and leave nothing behind: they write one
small object below ``plan/`` and one below ``jobs/``, and delete both.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import version

from s3mr import limits
from s3mr.adapters.aws import clients, probes
from s3mr.adapters.aws.aws_errors import is_denied
from s3mr.adapters.aws.function_logs import About
from s3mr.errors import InvariantError, S3mrError
from s3mr.model.frozen_model import FrozenModel
from s3mr.quantities import format_size
from s3mr.remote.job_home import Deployment, open_deployment
from s3mr.remote.job_logs import EVERYTHING
from s3mr.remote.stack_submission import check_places

RIGHTS_ADVICE = "attach the policy that the stack's output SubmitPolicyArn names to your user or role"
WORKER_RETRIES = 0  # of Lambda itself: the coordinator retries, and counts the attempts


class Outcome(StrEnum):
    """The result of a step."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(FrozenModel):
    """One check: its result, what it found, and what to do about it."""

    name: str
    outcome: Outcome
    found: str
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question to answer: can a job with these inputs and this output be submitted to ``stack``?"""

    stack: str
    inputs: Sequence[str] = ()
    output: str | None = None
    requester_pays: bool = False
    deadline_s: float = limits.DEADLINE_S


class _SkippedError(Exception):
    """The step cannot be checked; the text says why."""


class _MisconfiguredError(S3mrError):
    """A setting or quota is wrong, although no request was refused."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def examine(question: Question) -> Iterator[Step]:
    """Yield each step when it is done. An `S3mrError` is not raised; it makes the step fail."""
    who = _step("credentials", lambda: probes.caller(clients.sts_client(clients.Meter())))
    yield who
    opened: list[Deployment] = []
    if who.outcome is Outcome.OK:
        yield _step("stack", partial(_stack, question, opened))
    else:
        yield _skipped("stack", "fix the credentials first")
    if opened:
        yield from examine_parts(opened[0], question)
    else:
        yield from (_skipped(name, "fix the stack first") for name, _ in _STEPS)


def examine_parts(of: Deployment, question: Question) -> Iterator[Step]:
    """Yield the steps that check the resources of a stack, and the inputs and the output of a job there."""
    for name, ask in _STEPS:
        yield _step(name, partial(ask, of, question))


def _step(name: str, ask: Callable[[], str]) -> Step:
    try:
        return Step(name=name, outcome=Outcome.OK, found=ask())
    except _SkippedError as reason:
        return _skipped(name, str(reason))
    except _MisconfiguredError as error:
        return Step(name=name, outcome=Outcome.FAILED, found=str(error), advice=error.advice)
    except S3mrError as error:
        advice = RIGHTS_ADVICE if is_denied(error.__cause__) else None
        return Step(name=name, outcome=Outcome.FAILED, found=str(error), advice=advice)


def _skipped(name: str, why: str) -> Step:
    return Step(name=name, outcome=Outcome.SKIPPED, found=why)


def _stack(question: Question, opened: list[Deployment]) -> str:
    deployment = open_deployment(question.stack, to_submit=True)
    opened.append(deployment)
    stack, own_version = deployment.description, version("s3mr")
    other = "" if stack.version == own_version else f" (this command is {own_version}; both use the same schema)"
    region = stack.state_machine.split(":")[3]
    return f"{stack.name} in {region}, account {stack.account}, with s3mr {stack.version}{other}"


def _python(at: Deployment, _question: Question) -> str:
    """Compare Python versions. This never fails: packages without compiled code run on any Python."""
    stack = at.description
    here = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = f"the stack runs {stack.runtime} on {stack.architecture}"
    if here != stack.runtime:
        found += f"; this is {here}, so jobs with compiled packages will be refused"
    if importlib.util.find_spec("pip") is None:
        found += "; --requirements needs pip, which is not installed here (python -m ensurepip)"
    return found


def _machine(at: Deployment, _question: Question) -> str:
    probes.check_state_machine(clients.step_functions_client(at.stack.meter), at.description.state_machine)
    return f"{at.description.state_machine.rpartition(':')[2]}: you can start executions"


def _functions(at: Deployment, _question: Question) -> str:
    client = clients.lambda_client(None, at.stack.meter)
    for worker in (at.description.functions.map, at.description.functions.reduce):
        check_settings(worker, probes.invoke_settings(client, worker))
    live = (at.description.tick, at.description.functions.map, at.description.functions.reduce)
    return f"versions {', '.join(':'.join(arn.split(':')[-2:]) for arn in live)}"


def check_settings(worker: str, settings: probes.InvokeSettings) -> None:
    """Check that a worker's reports and deaths are recorded, and that Lambda itself does not retry.

    Raises:
        S3mrError: a setting is wrong.
    """
    destinations = {settings.on_success, settings.on_failure}
    if settings.retries_max != WORKER_RETRIES or None in destinations or len(destinations) != 1:
        raise _MisconfiguredError(
            f"{worker} has lost its asynchronous settings (retries {settings.retries_max}, destinations "
            f"{settings.on_success} and {settings.on_failure}): its reports would be lost",
            "redeploy the stack: sam build && sam deploy",
        )


def _concurrency(at: Deployment, _question: Question) -> str:
    try:
        there = probes.concurrency(clients.lambda_client(None, at.stack.meter))
    except S3mrError as error:
        raise _SkippedError(f"cannot read the account's quota ({error})") from error
    stack = at.description
    reserved = {"MapReservedConcurrency": stack.map_reserved, "ReduceReservedConcurrency": stack.reduce_reserved}
    return room(there, attempts_max=stack.workers_max, reserved=reserved)


def room(there: probes.Concurrency, *, attempts_max: int, reserved: Mapping[str, int | None]) -> str:
    """Check that Lambda has room for all attempts that a job may run at once.

    ``reserved`` maps a stack parameter to the concurrency that it reserves for a worker's function. This is also the
    function's limit.

    Raises:
        S3mrError: there is too little room.
    """
    rooms = {name: there.unreserved if kept is None else kept for name, kept in reserved.items()}
    scarcest, least = min(rooms.items(), key=lambda named: named[1])
    if least >= attempts_max:
        return f"room for {least:,} executions at once; a job may run {attempts_max:,} attempts at once"
    if reserved[scarcest] is None:
        why = f"{least:,} of the account's {there.limit:,} concurrent executions are not reserved"
        more = "raise the account's quota (Service Quotas: AWS Lambda, Concurrent executions, L-B99A9384)"
    else:
        why, more = f"{scarcest} is {least:,}", f"deploy with a higher {scarcest}"
    if least == 0:  # fewer workers would not help either
        raise _MisconfiguredError(f"{why}: no attempt can start", more)
    raise _MisconfiguredError(
        f"a job may run {attempts_max:,} attempts at once (WorkersMax), but {why}: further attempts wait, are dropped "
        "after a minute, and start again",
        f"{more}, deploy with WorkersMax={least}, or submit with --workers {least}",
    )


def _table(at: Deployment, _question: Question) -> str:
    client = clients.dynamodb_client(None, at.stack.meter, connections_max=1)
    probes.check_table(client, at.description.table)
    return f"{at.description.table}: you can read and write jobs"


def _bucket(at: Deployment, _question: Question) -> str:
    """Write, read, list and delete an object below each prefix that submit and resume write to."""
    objects, name = at.stack.objects, f"doctor-{at.stack.entropy.hex(16)}"
    for key in (f"plan/{name}/probe", f"jobs/{name}/map/probe"):
        objects.put(key, b"?")
        b"".join(objects.stream(key))
        list(objects.list(key))
        try:
            objects.delete([key])
        except InvariantError as error:  # S3 reports a denied delete per key, not as a denied request
            raise _MisconfiguredError(str(error), RIGHTS_ADVICE) from error
    return f"{at.description.bucket}: you can write, read and delete plans"


def _logs(at: Deployment, _question: Question) -> str:
    groups = [at.log_group(function) for function in EVERYTHING]
    now = at.stack.clock.now()
    list(at.logs.lines(groups, About(job_id="doctor"), start_at=now, stop_at=now))
    return "you can read them"


def _inputs(at: Deployment, question: Question) -> str:
    if not question.inputs:
        raise _SkippedError("to check that your inputs can be read, add --input s3://…")
    check_places(at.description, question.inputs, f"s3://{at.description.bucket}/output/doctor")
    found = at.stack.inputs(requester_pays=question.requester_pays).find(question.inputs)
    size = format_size(sum(one.size_bytes for one in found.objects))
    return f"{len(found.objects):,} objects, {size}; {found.skipped:,} skipped"


def _output(at: Deployment, question: Question) -> str:
    if question.output is None:
        raise _SkippedError("to check that your output is empty and can be listed, add --output s3://…")
    check_places(at.description, (), question.output)
    at.stack.output_at(question.output, "doctor").check(deadline_s=question.deadline_s)
    return f"{question.output} is empty; the stack's workers can write there"


_STEPS: tuple[tuple[str, Callable[[Deployment, Question], str]], ...] = (
    ("python", _python),
    ("state machine", _machine),
    ("functions", _functions),
    ("concurrency", _concurrency),
    ("table", _table),
    ("bucket", _bucket),
    ("logs", _logs),
    ("input", _inputs),
    ("output", _output),
)
