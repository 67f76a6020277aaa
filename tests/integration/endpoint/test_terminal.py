"""Names and failures of other people's jobs cannot send control sequences to the terminal."""

from tests.integration.endpoint.conftest import Place

JOB = """
from s3mr import Job

def fail(source, line):
    raise ValueError("\\x1b]0;owned\\x07 \\x9b31m " + line)
    yield

job = Job(map=fail)
"""


def test_control_characters_in_other_peoples_jobs_are_escaped(place: Place) -> None:
    (place.here / "job.py").write_text(JOB)
    (place.here / "in.txt").write_bytes(b"\x1b[2J\n")
    failed = place.s3mr("run", "job.py", "in.txt", "--output", "out\x1b[31m\nx")
    assert failed.returncode == 1
    job_id = place.newest().spec.job_id
    shown = [failed]
    for command in (
        ("status", job_id),
        ("ls",),
        ("history", job_id, "map/0"),
        ("ls", "--json"),
        ("status", job_id, "--json"),
    ):
        done = place.s3mr(*command)
        assert done.returncode == 0, done.stderr
        shown.append(done)
    for done in shown:
        for text in (done.stdout.decode(), done.stderr.decode()):
            assert not {"\x1b", "\x07", "\x9b", "\r"} & set(text)
    assert b"\\x1b]0;owned\\x07" in shown[1].stdout
    assert shown[2].stdout.count(b"\n") == 2
