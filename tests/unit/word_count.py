"""Word count over three small texts and honest fakes: the job, its expected result, and what it must not leave."""

from collections.abc import Iterator

from s3mr.api import Job
from s3mr.model.job import Phase
from tests.world import World

TEXT = {
    "a.txt": b"the quick brown fox\njumps over\nthe lazy dog\n",
    "b.txt": b"the end\n\nof the fox",
    "empty.txt": b"",
}


def words(_source: str, line: str) -> Iterator[tuple[str, int]]:
    for word in line.split():
        yield word, 1


def total(word: str, counts: Iterator[int]) -> Iterator[tuple[str, int]]:
    yield word, sum(counts)


WORD_COUNT = Job(map=words, reduce=total)


def expected_counts() -> list[str]:
    text = b"\n".join(TEXT.values()).decode().split()
    return sorted(f"{word}\t{text.count(word)}" for word in set(text))


def world(job: Job = WORD_COUNT, capacity: int = 1000) -> World:
    return World(job, TEXT, capacity)


def finished(one: World) -> World:
    state = one.finish()
    assert state.phase is Phase.SUCCEEDED, state.failure
    assert sorted(one.output().splitlines()) == expected_counts()
    return one


def assert_nothing_held(one: World) -> None:
    assert one.state().released
    assert not one.folder.objects
    assert not one.folder.uploads
    assert one.real_store.claim_output("mem://out", job_id="another") is None
    seen = one.real_store.observe(one.job_id)
    assert seen is not None
    assert not seen.live
