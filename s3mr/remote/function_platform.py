"""The platform of a stack's functions, and the wheels and compiled files that run on it."""

import re
from dataclasses import dataclass
from typing import Final

from s3mr.errors import RequestError

_RUNTIME: Final = re.compile(r"python3\.([0-9]{1,2})")
_MACHINES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}  # AWS's name: Linux's name
_ELF: Final = {"aarch64": 183, "x86_64": 62}  # e_machine
_AL2023_SINCE: Final = 12  # runtimes up to python3.11 run on Amazon Linux 2
_GLIBC_AL2, _GLIBC_AL2023 = 26, 34  # 2.26, 2.34
_OLDEST: Final = {"aarch64": 17, "x86_64": 5}  # manylinux2014, manylinux1


@dataclass(frozen=True, slots=True)
class Platform:
    """A Lambda runtime, such as ``python3.11``, on an architecture, ``arm64`` or ``x86_64``.

    Source: AWS Lambda developer guide, "Lambda runtimes" (the operating systems), and PEP 600 (the names of wheels).
    """

    runtime: str
    architecture: str

    def __post_init__(self) -> None:
        if not _RUNTIME.fullmatch(self.runtime) or self.architecture not in _MACHINES:
            raise RequestError(f"this version of s3mr does not support the Lambda runtime {self}")

    def __str__(self) -> str:
        return f"{self.runtime} on Linux {self.architecture}"

    @property
    def version(self) -> tuple[int, int]:
        """The Python version."""
        return 3, int(self.runtime.removeprefix("python3."))

    @property
    def machine(self) -> str:
        """The architecture as Linux calls it."""
        return _MACHINES[self.architecture]

    @property
    def elf_machine(self) -> int:
        """The ``e_machine`` number of this architecture in an ELF header."""
        return _ELF[self.machine]

    @property
    def wheel_tags(self) -> tuple[str, ...]:
        """The platform tags of the wheels that run there, newest first."""
        newest = _GLIBC_AL2023 if self.version[1] >= _AL2023_SINCE else _GLIBC_AL2
        legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        tags = []
        for minor in range(newest, _OLDEST[self.machine] - 1, -1):
            tags.append(f"manylinux_2_{minor}_{self.machine}")
            tags += [f"{legacy[minor]}_{self.machine}"] if minor in legacy else []
        return tuple(tags)

    @property
    def markers(self) -> dict[str, str]:
        """The values of environment markers there. The patch number is 0, so the choice suits every patch release."""
        version = f"3.{self.version[1]}"
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{version}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{version}.0",
            "python_version": version,
            "sys_platform": "linux",
        }
