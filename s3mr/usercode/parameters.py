"""Pass the job's parameters to user code: ``s3mr.params["NAME"]``, in every function and at import."""

from collections.abc import Iterator, Mapping


class Parameters(Mapping[str, str]):
    """A read-only view of the parameters of the job that this process works for."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(sorted(self._values)) or "none"
            raise KeyError(f"no parameter {name!r}: set it with --param {name}=VALUE (known: {known})") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Parameters({self._values!r})"


params = Parameters()


def set_parameters(values: Mapping[str, str]) -> None:
    """Replace the parameters of this process by ``values``."""
    params._values = dict(values)  # noqa: SLF001 - users get a mapping without setters
