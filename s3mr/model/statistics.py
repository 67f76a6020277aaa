"""Count the work of tasks, and add the counts up."""

from typing import Annotated, Final

from pydantic import Field

from s3mr import limits
from s3mr.model.frozen_model import FrozenModel

Operation = Annotated[str, Field(pattern=r"^[a-z0-9]+:[A-Za-z0-9]+$", max_length=limits.REQUEST_NAME_MAX)]
OTHERS: Final = "other:Operations"


class Counters(FrozenModel):
    """What was read, shuffled and written. The counters of a job are the sum over its tasks."""

    records_in: int = 0
    bytes_in: int = 0  # of input objects, as stored: compressed if they are
    pairs_mapped: int = 0  # yielded by map
    shuffle_records: int = 0  # shuffled pairs, after combine
    shuffle_bytes: int = 0  # as stored
    records_out: int = 0
    bytes_out: int = 0
    busy_s: float = 0.0  # of workers
    requests: dict[Operation, int] = Field(default_factory=dict, max_length=limits.REQUEST_NAMES_MAX)

    @property
    def of_one_task(self) -> bool:
        """Whether one task can have these counts: none is negative, and sums over all tasks stay exact."""
        counts = self.model_dump()
        return all(0 <= count <= limits.COUNT_MAX for count in (*counts.pop("requests").values(), *counts.values()))

    def __add__(self, other: "Counters") -> "Counters":
        mine, theirs = self.model_dump(), other.model_dump()
        requests = mine.pop("requests")
        for name, count in theirs.pop("requests").items():  # user code may have made names up in any number of tasks
            kept = name if name in requests or len(requests) < limits.REQUEST_NAMES_MAX - 1 else OTHERS
            requests[kept] = requests.get(kept, 0) + count
        return Counters(**{name: mine[name] + theirs[name] for name in mine}, requests=requests)
