"""``s3mr verify``: check a committed output against its ``_SUCCESS`` file."""

import json
import re
from typing import TYPE_CHECKING, Final

import click

from s3mr.cli.options import Place, json_option, place_option, quiet_option
from s3mr.cli.streams import say, say_json

if TYPE_CHECKING:
    from s3mr.model.verification_result import Proof
    from s3mr.verification import Expected

EXIT_DIFFERS = 1
_JOB_ID: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")


@click.command()
@click.argument("what", metavar="ID|OUTPUT")
@place_option
@json_option
@quiet_option
@click.pass_context
def verify(context: click.Context, *, what: str, place: Place, as_json: bool, quiet: bool) -> None:
    """Check an output against its _SUCCESS file, by reading all of it.

    Every part must exist, with the size, record count and CRC-32C that _SUCCESS states, and nothing else may be there.
    OUTPUT is a folder or s3://bucket/prefix. With the ID of a job, the output must also match the job's record.
    Exits with 0 if everything matches, with 1 and a list of differences if not, with 2 if there is nothing to verify.

    \b
    s3mr verify s3://results/wc/
    s3mr verify 20260102-030405-0a1b2c3d --stack s3mr
    """  # noqa: D301 - click reads the backspace
    output, expected = _target(what, place)
    proof = _read(output, expected, place.endpoint_url, quiet=quiet)
    if as_json:
        say_json(json.dumps({"output": output, **proof.model_dump(mode="json")}))
    else:
        say(_shown(proof))
    if not proof.proven:
        context.exit(EXIT_DIFFERS)


def _target(what: str, place: Place) -> "tuple[str, Expected | None]":
    """Return the output, and what to expect there. Text in the form of a job id is taken for one."""
    if not _JOB_ID.fullmatch(what):
        return what, None
    from s3mr.remote.recorded_success import expected_of

    return expected_of(place.open(), what)


def _read(output: str, expected: "Expected | None", endpoint_url: str | None, *, quiet: bool) -> "Proof":
    from s3mr.cli.progress import Reading
    from s3mr.verification import verify as prove
    from s3mr.wiring import parallel, published_at

    with Reading(shown=not quiet) as reading:
        return prove(
            published_at(output, endpoint_url=endpoint_url),
            parallel(),
            expected=expected,
            begin=lambda success: reading.begin(sum(part.size_bytes for part in success.parts)),
            read=reading.advance,
        )


def _shown(proof: "Proof") -> str:
    from s3mr.cli.tables import many, table

    if proof.proven:
        read = f"{many(proof.parts, 'part')}, {many(proof.records, 'record')}, {many(proof.size_bytes, 'byte')}"
        return f"verified: {read}, as job {proof.job_id} committed them"
    rows = [(one.name, one.what, str(one.expected), str(one.found)) for one in proof.differences]
    more = proof.differences_count - len(rows)
    last = f"not verified: {many(proof.differences_count, 'difference')}" + (f", {more:,} not shown" if more else "")
    return f"{table(('name', 'what', 'expected', 'found'), rows)}\n{last}"
