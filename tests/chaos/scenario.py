"""Draw a scenario from a seed: a job, its input and output, its splits, and which faults strike when."""

import gzip
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos.jobs import JOBS
from tests.chaos.turnstile import Death, Then

VOCABULARY: Final = ("and", "as", "be", "é", "east", "fleet", "is", "it", "naïve", "of", "sea", "the", "was", "ναῦς")
SPLIT_BYTES: Final = 1500
CHANCES: Final = "crash=.25,stall=.1,dup=.25"
LATER_S_MAX: Final = 0.03
_THEN: Final[tuple[Then, ...]] = ("lost", "unanswered", "answered", "late")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One chaos run of one job."""

    seed: int
    job: str
    sources: dict[str, bytes]
    reducers: int
    layout: str
    in_s3: bool
    into_s3: bool
    deaths: tuple[Death, ...]

    @property
    def options(self) -> list[str]:
        """The options of a run, except ``--output``."""
        reducers = ["--reducers", str(self.reducers), "--layout", self.layout] if self.reducers else []
        return ["--split-size", str(SPLIT_BYTES), "--workers", "2", "--quiet", *reducers]

    def chaos(self, command: int) -> list[str]:
        """The option that makes workers of the run's ``command``-th command fail."""
        return ["--chaos", f"{CHANCES},seed={1000 * self.seed + command}"]


def drawn(seed: int) -> Scenario:
    """Draw a scenario. Ten consecutive seeds cover each job twice or more, and each place, layout and kind of death."""
    random = Random(seed)
    job = list(JOBS)[seed % len(JOBS)]
    sources = {f"{name}.txt": _text(random) for name in "abc"[: random.randint(2, 3)]}
    if random.random() < 0.5:
        sources["z.txt.gz"] = gzip.compress(_text(random), mtime=0)
    return Scenario(
        seed,
        job,
        sources,
        reducers=random.randint(2, 3) if JOBS[job].reduce else 0,
        layout=random.choice(["split", "packed"]),
        in_s3=seed % 3 == 1,
        into_s3=seed % 5 in {1, 3},
        deaths=_deaths(seed, random),
    )


def _text(random: Random) -> bytes:
    lines = [" ".join(random.choices(VOCABULARY, k=random.randint(0, 8))) for _ in range(random.randint(60, 120))]
    ending = random.choice(["\n", "\r\n"])
    return (ending.join(lines) + random.choice(["", ending])).encode()


def _deaths(seed: int, random: Random) -> tuple[Death, ...]:
    """Draw when commands die: while submitting, while tasks run, or in the commit."""
    submitting = [_death(random, 1, 16, late=0)] if seed % 3 == 0 else []
    working = [_death(random, 20, 120) for _ in range(random.randint(1, 2))]
    committing = [_death(random, 0, 20, in_commit=True)] if seed % 2 == 0 else []
    return (*submitting, *working, *committing)


def _death(random: Random, first: int, last: int, *, late: int = 1, in_commit: bool = False) -> Death:
    then = random.choices(_THEN, weights=[2, 2, 2, late])[0]
    return Death(random.randint(first, last), then, in_commit, random.uniform(0, LATER_S_MAX))
