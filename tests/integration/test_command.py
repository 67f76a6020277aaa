"""``s3mr run`` from the user's side: streams, exit statuses, inputs, output and messages."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from s3mr.limits import MIB
from tests.integration.conftest import Finished
from tests.warm_commands import S3MR

Run = Callable[..., Finished]
Write = Callable[..., Path]

COUNT = """
    def words(source, line):
        for word in line.split():
            yield word, 1

    def total(word, counts):
        yield word, sum(counts)

    job = Job(map=words, combine=total, reduce=total)
"""
RECORDS = "job = Job(map=lambda source, record: [(source, record)])\n"
PAIRS = "job = Job(map=lambda source, line: eval(line), reduce=lambda key, values: ((key, v) for v in values))\n"


@pytest.fixture
def s3mr(s3mr_at_services: Run) -> Run:
    return s3mr_at_services


def test_results_go_to_stdout_sorted_within_parts_and_everything_else_to_stderr(
    s3mr: Run, job_file: Write, tmp_path: Path
) -> None:
    job_file(
        """
    print("at import")

    def words(source, line):
        print("in map")
        for word in line.split():
            yield word, 1

    def total(word, counts):
        import subprocess
        subprocess.run(["echo", "from a child"])
        yield word, sum(counts)

    job = Job(map=words, reduce=total, partition=lambda word, reducers: word > "m")
    """.replace('word > "m"', 'int(word > "m")')
    )
    (tmp_path / "in.txt").write_text("z b a\nb m n\n")
    done = s3mr("run", "job.py", "in.txt", "--reducers", "2")
    assert done.returncode == 0
    assert done.stdout == b"a\t1\nb\t2\nm\t1\nn\t1\nz\t1\n"
    for line in (b"at import", b"in map", b"from a child", b"2 records", b"duplicates ignored", b"DynamoDB"):
        assert line in done.stderr
    assert list(tmp_path.iterdir()) != []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_quiet_prints_no_messages_and_json_prints_the_result(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(COUNT)
    (tmp_path / "in.txt").write_text("a a b")
    done = s3mr("run", "job.py:job", "in.txt", "--json", "--quiet", "--output", "deep/out/", "--reducers", "1")
    assert (done.returncode, done.stderr) == (0, b"")
    result = json.loads(done.stdout)
    assert result["output"] == str(tmp_path / "deep/out")
    assert result["counters"]["records_in"] == 1
    assert result["counters"]["bytes_in"] == 5
    assert result["counters"]["records_out"] == 2
    assert result["duplicates_ignored"] == 0
    assert (tmp_path / "deep/out/part-00000").read_text() == "a\t2\nb\t1\n"
    success = json.loads((tmp_path / "deep/out/_SUCCESS").read_text())
    assert success["job_id"] == result["job_id"]
    assert [part["records"] for part in success["parts"]] == [2]
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep/out"]


def test_params_reach_every_function(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(
        """
    at_import = params["x"]

    def mapping(source, line):
        yield params["x"] + params["y"], at_import

    def reducing(key, values):
        yield params["x"], list(values)

    job = Job(map=mapping, reduce=reducing, params={"x": "default", "y": "kept"}, reducers=1)
    """
    )
    (tmp_path / "in.txt").write_text("line\n")
    done = s3mr("run", "job.py", "in.txt", "--param", "x=given=1")
    assert done.stdout == b'given=1\t["given=1"]\n', done.stderr.decode()


def test_records_are_lines_without_their_terminator_at_any_split_size(
    s3mr: Run, job_file: Write, tmp_path: Path
) -> None:
    job_file(RECORDS)
    lines = [
        b"\xef\xbb\xbfbom",
        b"",
        b"crlf\r",
        b"lone\rcr",
        b"\xff\xfe",
        "é\x85\u2028\x0b".encode(),
        b"x" * 30,
        b"\r",
    ]
    (tmp_path / "in.txt").write_bytes(b"\n".join(lines) + b"\nend\r")
    expected = [line.removesuffix(b"\r") for line in lines] + [b"end\r"]
    expected = [b"in.txt\t" + line.replace(b"\r", b"\\r") for line in expected]
    for size in ("1", "7", "64MiB"):
        done = s3mr("run", "job.py", "in.txt", "--split-size", size)
        assert done.stdout.split(b"\n")[:-1] == expected, done.stderr.decode()


def test_folders_globs_hidden_names_gzip_and_files_named_twice(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(RECORDS)
    folder = tmp_path / "in"
    (folder / "deep er").mkdir(parents=True)
    (folder / "_skipped").mkdir()
    for name in ("b.txt", "a.txt", "deep er/ü%20.txt", ".hidden", "_skipped/c.txt"):
        (folder / name).write_text(f"{name}\n")
    (folder / "z.gz").write_bytes(gzip.compress(b"zipped\n") + gzip.compress(b"twice"))
    (folder / "empty").touch()
    done = s3mr("run", "job.py", "in/", "in/b.txt", "in/*.txt", "--split-size", "10")
    assert done.stdout.decode().splitlines() == [
        "in/a.txt\ta.txt",
        "in/b.txt\tb.txt",
        "in/deep er/ü%20.txt\tdeep er/ü%20.txt",
        "in/z.gz\tzipped",
        "in/z.gz\ttwice",
    ]
    assert b"2 skipped" in done.stderr


def test_an_object_is_one_record_in_format_whole(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file("job = Job(map=lambda source, text: [(source, len(text))])\n")
    for name, data in {"a": b"two\nlines\n", "b": b"", "c.gz": gzip.compress(b"1\r\n2")}.items():
        (tmp_path / name).write_bytes(data)
    done = s3mr("run", "job.py", "a", "b", "c.gz", "--input-format", "whole", "--split-size", "1")
    assert done.stdout.decode().splitlines() == ["a\t10", "b\t0", "c.gz\t4"]


@pytest.mark.parametrize(("size_bytes", "workers", "parts"), [(20, 2, 2), (2 * MIB + 20, 2, 3), (2 * MIB + 20, 1, 2)])
def test_the_default_is_one_reducer_per_mebibyte_and_one_to_two_per_worker(
    s3mr: Run, job_file: Write, tmp_path: Path, size_bytes: int, workers: int, parts: int
) -> None:
    job_file("job = Job(map=lambda source, text: [(len(text), 1)], reduce=lambda key, values: [], input='whole')")
    (tmp_path / "in.txt").write_bytes(b"x" * size_bytes)
    done = s3mr("run", "job.py", "in.txt", "--output", "out", "--workers", str(workers))
    assert done.returncode == 0, done.stderr.decode()
    assert len(list((tmp_path / "out").glob("part-*"))) == parts


def test_empty_input_gives_empty_parts(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(COUNT)
    (tmp_path / "empty.txt").touch()
    done = s3mr("run", "job.py", "empty.txt", "--output", "out", "--reducers", "3")
    assert done.returncode == 0, done.stderr.decode()
    assert sorted((path.name, path.stat().st_size > 0) for path in (tmp_path / "out").iterdir()) == [
        ("_SUCCESS", True),
        *((f"part-0000{number}", False) for number in range(3)),
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("[('é\\t\\n\\r\\\\', 'x\\ty')]", "é\\t\\n\\r\\\\\tx\\ty"),
        ("[(b'\\xff\\t', b'\\x00')]", b"\xff\\t\t\x00"),
        ("[(2**70, -1), (-2**70, 0), (3, 2**64)]", f"{-(2**70)}\t0\n3\t{2**64}\n{2**70}\t-1"),
        ("[(1.5, float('inf')), (float('-inf'), 2.0), (-0.0, 1)]", "-Infinity\t2.0\n-0.0\t1\n1.5\tInfinity"),
        ("[(True, None), (False, True)]", "false\ttrue\ntrue\tnull"),
        ("[(('b', 1), (1, [2])), (('a', 2), {'k': ()}), (('a',), 0)]", '["a"]\t0\n["a",2]\t{"k":[]}\n["b",1]\t[1,[2]]'),
    ],
)
def test_keys_and_values_of_every_type_cross_the_shuffle(
    s3mr: Run, job_file: Write, tmp_path: Path, lines: str, expected: str | bytes
) -> None:
    job_file(PAIRS)
    (tmp_path / "in.txt").write_text(lines)
    done = s3mr("run", "job.py", "in.txt", "--reducers", "1")
    wanted = expected.encode() if isinstance(expected, str) else expected
    assert done.stdout == wanted + b"\n", done.stderr.decode()


def test_bytes_that_are_not_utf8_come_out_unchanged(s3mr: Run, job_file: Write, tmp_path: Path) -> None:
    job_file(COUNT)
    (tmp_path / "in.txt").write_bytes(b"\xff\xfe \xc3\xa9 \xe2\x82 \xff\xfe\n")
    done = s3mr("run", "job.py", "in.txt", "--reducers", "1")
    assert sorted(done.stdout.split(b"\n")) == sorted([b"", b"\xc3\xa9\t1", b"\xe2\x82\t1", b"\xff\xfe\t2"])


def test_intermediates_are_kept_in_the_given_folder_named_by_worker_and_task(
    s3mr: Run, job_file: Write, tmp_path: Path
) -> None:
    job_file(COUNT)
    (tmp_path / "in.txt").write_text("a b c d e f g\n" * 10)
    for layout, pieces in (("split", r"worker-*-0-[01]"), ("packed", r"worker-*-0")):
        options = ("--layout", layout, "--keep-intermediate", layout, "--reducers", "2")
        done = s3mr("run", "job.py", "in.txt", *options)
        assert done.returncode == 0, done.stderr.decode()
        (kept,) = (tmp_path / layout / "jobs").iterdir()
        assert len(list(kept.glob(f"map/{pieces}"))) == (2 if layout == "split" else 1)
        assert (tmp_path / layout / "plan" / kept.name / "bundle.zip").is_file()


def test_a_job_in_a_package_and_its_siblings_are_bundled(s3mr: Run, tmp_path: Path) -> None:
    package = tmp_path / "jobs"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "stop.txt").write_text("the")
    (package / "text.py").write_text(
        "from pathlib import Path\nSTOP = Path(__file__).with_name('stop.txt').read_text()\n"
    )
    (tmp_path / "sibling.py").write_text("def total(key, counts):\n    yield key, sum(counts)\n")
    (package / "count.py").write_text(
        "from s3mr import Job\nfrom sibling import total\nfrom .text import STOP\n"
        "def words(source, line):\n    return ((word, 1) for word in line.split() if word != STOP)\n"
        "job = Job(map=words, reduce=total)\n"
    )
    (tmp_path / "in.txt").write_text("the fox\n")
    done = s3mr("run", "jobs.count:job", "in.txt")
    assert done.stdout == b"fox\t1\n", done.stderr.decode()


@pytest.mark.parametrize("name", ["1.py", "word-count.py", "json.py", "ünï côdé.py"])
def test_a_job_file_may_have_any_name(s3mr: Run, job_file: Write, tmp_path: Path, name: str) -> None:
    job_file(COUNT, name)
    (tmp_path / "in.txt").write_text("a")
    done = s3mr("run", name, "in.txt")
    assert done.stdout == b"a\t1\n", done.stderr.decode()


@pytest.mark.parametrize("change", ["sys.stdout = sys.stderr = None", "sys.stdout.close()", "sys.stdout = 7"])
def test_a_job_may_replace_or_close_its_own_streams(s3mr: Run, job_file: Write, tmp_path: Path, change: str) -> None:
    job_file(
        f"""
    import sys
    {change}
    job = Job(map=lambda source, line: [(line, 1)], reduce=lambda key, values: [(key, sum(values))], reducers=1)
    """
    )
    (tmp_path / "in.txt").write_text("a\n")
    done = s3mr("run", "job.py", "in.txt")
    assert (done.returncode, done.stdout) == (0, b"a\t1\n"), done.stderr.decode()


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-"])
def test_a_job_runs_if_standard_error_is_closed(job_file: Write, tmp_path: Path, closed: str) -> None:
    job_file(COUNT.replace("yield word, 1", "print(word); yield word, 1"))
    (tmp_path / "in.txt").write_text("b a b")
    command = f'"$0" run job.py in.txt --reducers 1 {closed}'
    done = subprocess.run(["sh", "-c", command, S3MR], cwd=tmp_path, stdout=subprocess.PIPE, check=False)
    assert (done.stdout, done.returncode) == (b"a\t1\nb\t2\n", 0)


def test_child_processes_have_a_standard_error_even_if_the_command_has_none(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
from s3mr.cli.main import _open_standard_error

_open_standard_error()
assert os.path.samefile(f"/dev/fd/{sys.stderr.fileno()}", os.devnull)
subprocess.run([sys.executable, "-c", "import sys; sys.exit(sys.stderr is None)"], check=True)
"""
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code], cwd=tmp_path, check=False)
    assert done.returncode == 0


def test_a_reader_that_closes_the_pipe_early_ends_the_command_silently(job_file: Write, tmp_path: Path) -> None:
    job_file("job = Job(map=lambda source, line: [(n, 'x' * 100) for n in range(20000)])\n")
    (tmp_path / "in.txt").write_text("a")
    command = '"$0" run job.py in.txt --quiet | head -n 1'
    done = subprocess.run(["sh", "-c", command, S3MR], cwd=tmp_path, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"0\t" + b"x" * 100 + b"\n", b"")


def test_the_garbage_collector_skips_the_modules_that_the_command_imported(job_file: Write, tmp_path: Path) -> None:
    code = """
import atexit, gc, sys
from s3mr.cli import main
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000, file=sys.stderr))
sys.argv = ["s3mr", "run", "job.py", "in.txt", "--quiet"]
main()
"""
    job_file("job = Job(map=lambda source, line: [(line, 1)])\n")
    (tmp_path / "in.txt").write_text("a\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"a\t1\n", b"True True\n")
