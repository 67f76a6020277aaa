"""Pass the job's parameters to user code: ``s3mr.params["NAME"]``, in every function and at import."""

from collections.abc import Iterator, Mapping

from s3mr.errors import RequestError


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


def combined(declared: Mapping[str, str | None] | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a job: the ``given`` values, and the ``declared`` values of those that are not given.

    A job that declares parameters accepts no others. One that is declared as None must be given.

    Raises:
        RequestError: a parameter is missing, or is not declared.
    """
    if not declared:
        return dict(given)
    for name in given:
        if name not in declared:
            import difflib  # only here: every start of s3mr would pay for it

            close = difflib.get_close_matches(name, declared, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise RequestError(f"--param {name}: {hint}the job declares only {', '.join(declared)}")
    values = {**declared, **given}
    if missing := [name for name, value in values.items() if value is None]:
        raise RequestError(f"--param {missing[0]}=VALUE is missing: the job needs it")
    return {name: value for name, value in values.items() if value is not None}
