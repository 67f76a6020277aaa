"""What the functions have logged of a job: what user code has printed, and what became of each attempt."""

from collections.abc import Iterator

from s3mr.adapters.aws_logs import About, LogLine
from s3mr.remote.home import Deployment, job_in

WORKERS = ("map", "reduce")
EVERYTHING = ("tick", "record", *WORKERS)
QUIET = ("DEBUG", "INFO")
CLOCKS_S = 60.0  # by which clocks may differ, and a function's last lines may come after its job's end
LATE_S = 30.0  # by which CloudWatch may show a line after one that is younger
FOLLOW_S = 2.0


def log_lines(at: Deployment, about: About, *, everything: bool = False, follow: bool = False) -> Iterator[LogLine]:
    """Yield what user code has printed, and what went wrong, in the order of time; ``everything`` that was logged.

    With ``follow``, wait for more until the job has ended.

    Raises:
        RequestError: there is no such job.
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
    shown: dict[str, float] = {}  # lines of the last `LATE_S`, which are read again
    while True:
        ended = job_in(at, about.job_id).phase.terminal
        for line in at.logs.lines(groups, about, start_at=start_at):
            if line.id not in shown:
                yield line
            shown[line.id] = line.at
        if ended:
            return
        start_at = max([start_at, *(logged_at - LATE_S for logged_at in shown.values())])
        shown = {line: logged_at for line, logged_at in shown.items() if logged_at >= start_at}
        at.stack.clock.sleep(FOLLOW_S)
