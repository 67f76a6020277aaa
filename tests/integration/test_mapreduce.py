"""The seven tests of MIT's 6.5840 lab 1, on books: the output always equals that of a sequential program."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Finished, parts_of
from tests.slow import slow

Run = Callable[..., Finished]
Write = Callable[..., Path]

WORD_COUNT = """
    import re

    def words(source, line):
        for word in re.findall(r"[^\\W\\d_]+", line):
            yield word, 1

    def total(word, counts):
        yield word, sum(counts)

    job = Job(map=words, combine=total, reduce=total)
    plain = Job(map=words, reduce=total)
"""

INDEX = """
    import re

    def words(source, line):
        for word in set(re.findall(r"[^\\W\\d_]+", line)):
            yield word, source

    def documents(word, sources):
        found = sorted(set(sources))
        yield word, f"{len(found)} {','.join(found)}"

    job = Job(map=words, reduce=documents)
"""

# Each task announces itself and waits until it sees another task running at the same time.
MEETING = """
    import os, time
    from pathlib import Path

    def meet(name):
        room = Path(params["room"])
        (room / f"{name}-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(room.glob(f"{name}-*"))) < 2:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} tasks do not run side by side")
            time.sleep(0.01)
"""


def expected_counts(lines_of: list[tuple[str, str]]) -> list[str]:
    counts = Counter(word for _, line in lines_of for word in re.findall(r"[^\W\d_]+", line))
    return sorted(f"{word}\t{count}" for word, count in counts.items())


def assert_output(folder: Path, expected: list[str], parts: int) -> None:
    """The output is complete, and every part is sorted by key."""
    found = parts_of(folder)
    assert len(found) == parts
    assert sorted(line for part in found for line in part) == expected
    for part in found:
        words = [line.split("\t")[0] for line in part]
        assert words == sorted(words)
        assert len(set(words)) == len(words)
    assert (folder / "_SUCCESS").is_file()


ONE_PART = ("--reducers", "1")
SPLIT = ("--reducers", "7", "--split-size", "300KiB", "--layout", "split")
SPILLED = ("--reducers", "7", "--split-size", "300KiB", "--layout", "packed", "--memory", "16MiB")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", ONE_PART),
        ("job", SPLIT),
        ("plain", SPILLED),
        pytest.param("job", ONE_PART, marks=slow),
        pytest.param("plain", SPLIT, marks=slow),
        pytest.param("job", SPILLED, marks=slow),
    ],
)
def test_word_count_equals_a_sequential_program(
    s3mr: Run,
    job_file: Write,
    books: Path,
    tmp_path: Path,
    lines_of: list[tuple[str, str]],
    name: str,
    options: tuple[str, ...],
) -> None:
    job_file(WORD_COUNT)
    done = s3mr("run", f"job.py:{name}", books, "--output", "out", *options)
    assert done.returncode == 0, done.stderr.decode()
    assert_output(tmp_path / "out", expected_counts(lines_of), parts=int(options[1]))


def test_an_inverted_index_equals_a_sequential_program(
    s3mr: Run, job_file: Write, books: Path, tmp_path: Path, lines_of: list[tuple[str, str]]
) -> None:
    job_file(INDEX)
    done = s3mr("run", "job.py", books, "--output", "out", "--reducers", "5", "--split-size", "100KiB")
    assert done.returncode == 0, done.stderr.decode()
    index: dict[str, set[str]] = defaultdict(set)
    for source, line in lines_of:
        for word in re.findall(r"[^\W\d_]+", line):
            index[word].add(source)
    expected = [f"{word}\t{len(found)} {','.join(sorted(found))}" for word, found in index.items()]
    assert_output(tmp_path / "out", sorted(expected), parts=5)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


def test_map_tasks_run_concurrently(s3mr: Run, job_file: Write, books: Path, room: Path) -> None:
    job_file(
        MEETING
        + """
    def meeting(source, text):
        meet("map")
        yield source, 1

    job = Job(map=meeting, reduce=lambda key, values: [(key, sum(values))], input="whole")
    """
    )
    done = s3mr("run", "job.py", books, "--workers", "2", "--split-size", "1", "--param", f"room={room}")
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout.splitlines()) == len(list(books.iterdir()))


def test_reduce_tasks_run_concurrently(s3mr: Run, job_file: Write, books: Path, room: Path) -> None:
    job_file(
        MEETING
        + """
    def meeting(key, values):
        meet("reduce")
        yield key, sum(values)

    job = Job(map=lambda source, text: [(k, 1) for k in range(8)], reduce=meeting, partition=lambda k, r: k % r,
              input="whole")
    """
    )
    done = s3mr("run", "job.py", books, "--workers", "2", "--reducers", "8", "--param", f"room={room}")
    assert done.returncode == 0, done.stderr.decode()
    count = len(list(books.iterdir()))
    assert done.stdout.decode().splitlines() == [f"{key}\t{count}" for key in range(8)]


def test_each_task_runs_exactly_once_if_nothing_fails(s3mr: Run, job_file: Write, books: Path, tmp_path: Path) -> None:
    job_file(
        """
    def log(line):
        with open(params["log"], "a") as file:
            file.write(line + "\\n")

    def mapping(source, text):
        log(f"map {source}")
        yield source, 1

    def reducing(key, values):
        log(f"reduce {key}")
        yield key, sum(values)

    job = Job(map=mapping, reduce=reducing, input="whole")
    """
    )
    log = tmp_path / "log"
    done = s3mr("run", "job.py", books, "--split-size", "1", "--param", f"log={log}", "--workers", "4")
    assert done.returncode == 0, done.stderr.decode()
    sources = [str(path) for path in books.iterdir()]
    expected = [f"{phase} {source}" for phase in ("map", "reduce") for source in sources]
    assert sorted(log.read_text().splitlines()) == sorted(expected)


def test_the_output_is_invisible_until_the_last_task_has_finished(
    s3mr: Run, job_file: Write, books: Path, tmp_path: Path
) -> None:
    job_file(
        """
    import time
    from pathlib import Path

    def slow(key, values):
        if key == 3:
            seen = [name for name in Path(".").iterdir() if name.name == "out"]
            Path("seen").write_text(repr(seen))
            time.sleep(1)  # long enough for the others to finish; if they were committed, the next line would see it
            seen += [name for name in Path(".").iterdir() if name.name == "out"]
            Path("seen").write_text(repr(seen))
        yield key, sum(values)

    job = Job(map=lambda source, text: [(k, 1) for k in range(4)], reduce=slow, partition=lambda k, r: k % r,
              input="whole")
    """
    )
    done = s3mr("run", "job.py", books, "--output", "out", "--reducers", "4", "--workers", "2")
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "seen").read_text() == "[]"
    assert len(parts_of(tmp_path / "out")) == 4


def test_crashes_and_stalls_do_not_change_the_output(
    s3mr: Run, job_file: Write, books: Path, tmp_path: Path, lines_of: list[tuple[str, str]]
) -> None:
    job_file(WORD_COUNT)
    done = s3mr(
        *("run", "job.py:plain", books, "--output", "out", "--split-size", "600KiB", "--reducers", "3", "--json"),
        *("--chaos", "crash=.33,stall=.33,dup=.2,seed=3", "--task-timeout", "2", "--workers", "3"),
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b'"retried":0' not in done.stdout, "the seed drew no fault"
    assert_output(tmp_path / "out", expected_counts(lines_of), parts=3)
