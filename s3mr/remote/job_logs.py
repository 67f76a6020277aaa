"""Read the functions' logs of a job: the output of user code, and the outcome of each attempt."""

from collections.abc import Iterator

from s3mr.adapters.aws.function_logs import About, LogLine
from s3mr.remote.job_home import Deployment, job_in

WORKERS = ("map", "reduce")
EVERYTHING = ("tick", "record", *WORKERS)
QUIET = ("DEBUG", "INFO")
CLOCKS_S = 60.0  # clocks may differ this much, and a function may log this long after its job ended
LATE_S = 30.0  # CloudWatch may show a line this long after a newer one
FOLLOW_S = 2.0
LAST_S = 15.0  # after a job's end: by then, CloudWatch shows its last lines, or most of them


def log_lines(at: Deployment, about: About, *, everything: bool = False, follow: bool = False) -> Iterator[LogLine]:
    """Yield the output and errors of user code in order of time; with ``everything``, all log lines.

    With ``follow``, wait for more lines until `LAST_S` after the job ended.

    Raises:
        RequestError: the job does not exist.
    """
    lines = _lines(at, about, everything=everything, follow=follow)
    yield from lines if everything else filter(_is_for_users, lines)


def _is_for_users(line: LogLine) -> bool:
    fields = line.fields
    return fields.get("stream") == "user" or bool(fields.get("failure")) or fields.get("level") not in QUIET


def _lines(at: Deployment, about: About, *, everything: bool, follow: bool) -> Iterator[LogLine]:
    job = job_in(at, about.job_id)
    groups = [at.log_group(function) for function in (EVERYTHING if everything else WORKERS)]
    start_at = job.created_at - CLOCKS_S
    stop_at = None if job.ended_at is None else max(job.ended_at, job.last_lease_until) + CLOCKS_S
    if not follow or stop_at is not None:
        yield from at.logs.lines(groups, about, start_at=start_at, stop_at=stop_at)
        return
    clock = at.stack.clock
    shown: dict[str, float] = {}  # lines of the last `LATE_S`, which are read repeatedly
    last_at: float | None = None  # known once the job has ended
    while True:
        if last_at is None and job_in(at, about.job_id).phase.terminal:
            last_at = clock.now() + LAST_S
        over = last_at is not None and clock.now() >= last_at
        for line in at.logs.lines(groups, about, start_at=start_at):
            if line.id not in shown:
                yield line
            shown[line.id] = line.at
        if over:
            return
        start_at = max([start_at, *(logged_at - LATE_S for logged_at in shown.values())])
        shown = {line: logged_at for line, logged_at in shown.items() if logged_at >= start_at}
        clock.sleep(FOLLOW_S)
