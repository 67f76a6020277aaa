"""Which compiled files the functions of a stack can load."""

from pathlib import Path

import pytest

from s3mr.errors import RequestError
from s3mr.remote.compiled_files import check_compiled, compiled
from s3mr.remote.function_platform import Platform

ARM = Platform("python3.11", "arm64")
AARCH64, X86_64 = 183, 62


def elf(machine: int) -> bytes:
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little")


def check(folder: Path, files: dict[str, bytes], *, python: tuple[int, int] = (3, 11)) -> None:
    paths = {name: folder / name.replace("/", "|") for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    check_compiled(paths, ARM, python=python)


def test_compiled_code_is_recognised_by_its_name() -> None:
    names = ["a.so", "lib/b.so.1.2", "c.pyd", "d.dylib", "so", "e.so.py", "f.py", "g.sock"]
    assert compiled(names) == ["a.so", "c.pyd", "d.dylib", "lib/b.so.1.2"]


def test_a_wheels_files_for_other_systems_are_not_compiled_code_of_the_bundle() -> None:
    assert compiled(["_requirements/x/a.pyd", "_requirements/x/b.dylib", "_requirements/x/c.so"]) == [
        "_requirements/x/c.so"
    ]


@pytest.mark.parametrize(
    "name", ["a.so", "a.abi3.so", "p/a.cpython-311-aarch64-linux-gnu.so", "a.libs/libz.so.1", "_requirements/a.abi3.so"]
)
def test_compatible_code_is_accepted(tmp_path: Path, name: str) -> None:
    check(tmp_path, {name: elf(AARCH64)})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.so", elf(X86_64)),
        ("a.so", b"\xcf\xfa\xed\xfe"),
        ("a.so", b""),
        ("a.pyd", b"MZ"),
        ("a.dylib", b""),
        ("a.abi3.so", elf(X86_64)),
        ("a.cpython-311-x86_64-linux-gnu.so", elf(X86_64)),
        ("a.cpython-311-aarch64-linux-gnu.so", elf(X86_64)),
        ("a.cpython-311-aarch64-linux-musl.so", elf(AARCH64)),
        ("a.cpython-312-aarch64-linux-gnu.so", elf(AARCH64)),
        ("a.cpython-311-darwin.so", b"\xcf\xfa\xed\xfe"),
        ("a.pypy311-pp73-aarch64-linux-gnu.so", elf(AARCH64)),
        ("_requirements/a.cpython-312-aarch64-linux-gnu.so", elf(AARCH64)),
    ],
)
def test_incompatible_code_is_refused_by_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(RequestError, match=rf"python3.11 on Linux arm64: .*{name.rpartition('/')[2]}"):
        check(tmp_path, {"fine.so": elf(AARCH64), name: content})


def test_a_module_built_for_several_pythons_needs_one_that_fits(tmp_path: Path) -> None:
    modules = {f"_requirements/p/a.cpython-{python}-aarch64-linux-gnu.so": elf(AARCH64) for python in (310, 311, 312)}
    check(tmp_path, modules)


def test_a_library_of_another_platform_within_a_wheel_is_ignored(tmp_path: Path) -> None:
    check(tmp_path, {"_requirements/debugger/attach_x86.so": elf(X86_64)})


def test_compiled_code_for_another_python_is_refused_with_both_versions(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"a.abi3.so\), and this is Python 3.12, but the stack runs python3.11"):
        check(tmp_path, {"a.abi3.so": elf(AARCH64)}, python=(3, 12))
    check(tmp_path, {"a.py": b""}, python=(3, 12))
