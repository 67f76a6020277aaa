"""Wheels for a stack's platform: pip runs on wheels that the tests build, without a package index."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from s3mr.errors import RequestError
from s3mr.model.job import SCHEMA_VERSION, WorkerFunctions
from s3mr.model.stack import StackDescription
from s3mr.remote.function_platform import Platform
from s3mr.remote.package import pack
from s3mr.remote.requirements import resolve
from s3mr.usercode.bundle import make_bundle, open_bundle
from s3mr.usercode.location import Code

ARM = Platform("python3.11", "arm64")
HERE = f"python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels as the only package source, and a pip without the user's configuration."""
    for name, value in {"CONFIG_FILE": "/dev/null", "NO_INDEX": "1", "FIND_LINKS": str(tmp_path / "wheels")}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


def wheel(
    folder: Path,
    name: str,
    tag: str = "py3-none-any",
    *,
    version: str = "1.0",
    needs: str = "",
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Build a wheel of the module ``name``; ``needs`` is a requirement, ``files`` are additional files."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    files = {
        **(files or {}),
        f"{name}/__init__.py": f"VERSION = {version!r}\nTAG = {tag!r}\n".encode(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n".encode(),
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        lines = []
        for file, content in files.items():
            archive.writestr(file, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{file},sha256={digest},{len(content)}\n")
        archive.writestr(f"{info}/RECORD", "".join([*lines, f"{info}/RECORD,,\n"]))


def resolved(folder: Path, *lines: str, platform: Platform = ARM) -> dict[str, str]:
    (folder / "requirements.txt").write_text("\n".join(lines))
    files = resolve(folder / "requirements.txt", platform, folder / f"installed-{hash((lines, platform))}")
    return {name: path.read_text() for name, path in files.items()}


def test_the_wheel_for_the_stacks_platform_is_chosen_not_the_one_for_this_machine(wheels: Path, tmp_path: Path) -> None:
    for machine in ("x86_64", "aarch64"):
        for python in ("cp311", "cp312"):
            wheel(wheels, "lib", f"{python}-{python}-manylinux_2_17_{machine}.manylinux2014_{machine}")
    wheel(wheels, "lib", "cp311-cp311-macosx_11_0_arm64", version="2.0")
    for platform, tag in (
        (ARM, "cp311-cp311-manylinux_2_17_aarch64"),
        (Platform("python3.12", "x86_64"), "cp312-cp312-manylinux_2_17_x86_64"),
    ):
        assert tag in resolved(tmp_path, "lib", platform=platform)["_requirements/lib/__init__.py"]


def test_a_wheel_that_needs_a_newer_glibc_than_the_runtime_is_not_chosen(wheels: Path, tmp_path: Path) -> None:
    for version, glibc in (("1.0", 17), ("2.0", 28), ("3.0", 35)):
        for python in ("cp311", "cp312"):
            wheel(wheels, "lib", f"{python}-{python}-manylinux_2_{glibc}_aarch64", version=version)
    assert "VERSION = '1.0'" in resolved(tmp_path, "lib")["_requirements/lib/__init__.py"]
    newer = resolved(tmp_path, "lib", platform=Platform("python3.12", "arm64"))
    assert "VERSION = '2.0'" in newer["_requirements/lib/__init__.py"]


def test_stable_abi_and_pure_wheels_are_accepted_and_bring_their_dependencies(wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "stable", "cp38-abi3-manylinux2014_aarch64", needs="pure>=1")
    wheel(wheels, "pure")
    assert {"_requirements/stable/__init__.py", "_requirements/pure/__init__.py"} <= set(resolved(tmp_path, "stable"))


def test_markers_are_evaluated_for_the_stack_and_not_for_this_machine(wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "lib", needs='old; python_version < "3.11"')
    for name in ("old", "arm", "intel", "windows"):
        wheel(wheels, name)
    lines = [
        "lib",
        *('arm; platform_machine == "aarch64"', 'intel; platform_machine == "x86_64"'),
        'windows; sys_platform == "win32"',
    ]
    tops = {
        platform: {
            name.split("/")[1] for name in resolved(tmp_path, *lines, platform=platform) if ".dist-info" not in name
        }
        for platform in (Platform("python3.10", "arm64"), Platform("python3.13", "x86_64"))
    }
    assert list(tops.values()) == [{"lib", "old", "arm"}, {"lib", "intel"}]


def test_the_same_wheels_give_the_same_bundle_on_every_machine(wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "lib", needs="other")
    wheel(wheels, "other")
    (tmp_path / "requirements.txt").write_text("lib\n")
    one, two = (resolve(tmp_path / "requirements.txt", ARM, tmp_path / name) for name in ("one", "two-elsewhere"))
    assert make_bundle(one) == make_bundle(two)
    info = "_requirements/lib-1.0.dist-info"
    assert {name for name in one if "lib" in name} == {
        *("_requirements/lib/__init__.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/entry_points.txt")
    }


def test_the_users_own_pip_settings_do_not_interfere(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USER", "REQUIRE_VIRTUALENV"):
        monkeypatch.setenv(f"PIP_{name}", "1")
    for name in ("PREFIX", "ROOT", "TARGET"):
        monkeypatch.setenv(f"PIP_{name}", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    wheel(wheels, "lib")
    assert "_requirements/lib/__init__.py" in resolved(tmp_path, "lib")
    assert not (tmp_path / "elsewhere").exists()


def test_an_empty_requirements_file_adds_nothing(tmp_path: Path) -> None:
    assert resolved(tmp_path, "# nothing") == {}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["lib==9"], r"no wheel of lib==9 for python3.11 on Linux arm64 \(pip sees: 1.0, 2.0\)"),
        (["native"], r"no wheel of native for python3.11 on Linux arm64 \(pip sees: none\)[\s\S]*--find-links"),
        (["source"], r"no wheel of source for"),
        (["lib<2", "needy"], r"conflicting dependencies[\s\S]*needy 1.0 depends on lib>=2"),
        (["not a requirement"], r"Invalid requirement: 'not a requirement'"),
    ],
)
def test_the_error_briefly_explains_why_pip_failed(wheels: Path, tmp_path: Path, lines: list[str], why: str) -> None:
    for version in ("1.0", "2.0"):
        wheel(wheels, "lib", version=version)
    wheel(wheels, "needy", needs="lib>=2")
    wheel(wheels, "native", "cp311-cp311-manylinux2014_x86_64")
    (wheels / "source-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(RequestError, match=rf"--requirements .*requirements.txt: [\s\S]*{why}") as refused:
        resolved(tmp_path, *lines)
    assert len(str(refused.value)) < 600
    assert "Traceback" not in str(refused.value)


def test_an_unreachable_package_index_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(RequestError, match="cannot reach its package index"):
        resolved(tmp_path, "anything")


def test_a_missing_requirements_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"there is no such file"):
        resolve(tmp_path / "missing.txt", ARM, tmp_path / "installed")


def test_an_editable_requirement_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "installed/lib-1.dist-info").mkdir(parents=True)
    direct_url = tmp_path / "installed/lib-1.dist-info/direct_url.json"
    direct_url.write_text('{"url": "file:///home/me/lib", "dir_info": {"editable": true}}')
    with pytest.raises(RequestError, match="lib is editable"):
        resolved_in(tmp_path)


def resolved_in(folder: Path) -> None:
    (folder / "requirements.txt").write_text("")
    resolve(folder / "requirements.txt", ARM, folder / "installed")


@pytest.mark.parametrize(("runtime", "architecture"), [("nodejs22.x", "arm64"), ("python3.11", "riscv")])
def test_an_unknown_platform_is_refused(runtime: str, architecture: str) -> None:
    with pytest.raises(RequestError, match="does not support the Lambda runtime"):
        Platform(runtime, architecture)


def test_wheel_tags_are_those_of_the_runtimes_operating_system() -> None:
    assert ARM.wheel_tags[0] == "manylinux_2_26_aarch64"
    assert ARM.wheel_tags[-2:] == ("manylinux_2_17_aarch64", "manylinux2014_aarch64")
    tags = Platform("python3.13", "x86_64").wheel_tags
    assert tags[0] == "manylinux_2_34_x86_64"
    assert {"manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"} <= set(tags)


@pytest.fixture
def code(tmp_path: Path) -> Code:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/job.py").write_text("job = 1")
    return Code(tmp_path / "root", "job.py", "job")


def stack(runtime: str = HERE, architecture: str = "arm64") -> StackDescription:
    return StackDescription(
        name="s",
        schema_version=SCHEMA_VERSION,
        version="1",
        bucket="b",
        table="t",
        state_machine="arn",
        tick="arn",
        functions=WorkerFunctions(map="arn", reduce="arn"),
        input_buckets=frozenset(),
        output_buckets=frozenset(),
        runtime=runtime,
        architecture=architecture,
        memory_mb=1769,
        timeout_s=900,
        workers_max=100,
    )


def test_a_bundle_for_a_stack_holds_code_includes_and_requirements(wheels: Path, tmp_path: Path, code: Code) -> None:
    wheel(wheels, "lib")
    (tmp_path / "requirements.txt").write_text("lib")
    (tmp_path / "data.json").write_text("{}")
    packed = pack(code, stack(), include=[tmp_path / "data.json"], requirements=tmp_path / "requirements.txt")
    (tmp_path / "zip").write_bytes(packed)
    names = set(zipfile.ZipFile(tmp_path / "zip").namelist())
    assert {"job.py", "data.json", "_requirements/lib/__init__.py"} <= names


def test_a_worker_imports_the_packages_that_the_requirements_installed(
    wheels: Path, tmp_path: Path, code: Code
) -> None:
    wheel(wheels, "brought", needs="along")
    wheel(wheels, "along", version="7")
    (tmp_path / "requirements.txt").write_text("brought")
    importing = (
        "import along, brought\nfrom importlib.metadata import version\nSEEN = along.VERSION, version('along')\n"
    )
    (code.root / "job.py").write_text(importing)
    packed = pack(code, stack(), requirements=tmp_path / "requirements.txt")
    folder = open_bundle(packed, hashlib.sha256(packed).hexdigest(), tmp_path / "bundles")
    run = (
        "from pathlib import Path; from s3mr.usercode.imports import import_from; "
        f"print(*import_from(Path({str(folder)!r}), 'job.py').SEEN)"
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "7"]


def test_a_bundle_without_requirements_does_not_run_pip(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert pack(code, stack())


def test_a_pure_python_bundle_is_the_same_for_every_runtime(code: Code) -> None:
    assert pack(code, stack("python3.9")) == pack(code, stack("python3.14", "x86_64"))


def elf(machine: int) -> bytes:
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little")


def test_compiled_wheels_are_refused_if_this_python_is_not_the_stacks(wheels: Path, tmp_path: Path, code: Code) -> None:
    other = sys.version_info[1] + 1
    name = f"lib/x.cpython-3{other}-aarch64-linux-gnu.so"
    wheel(wheels, "lib", f"cp3{other}-cp3{other}-manylinux2014_aarch64", files={name: elf(183)})
    (tmp_path / "requirements.txt").write_text("lib")
    with pytest.raises(
        RequestError, match=rf"{name}\), and this is Python 3\.{other - 1}, but .* python3\.{other}: run"
    ):
        pack(code, stack(f"python3.{other}"), requirements=tmp_path / "requirements.txt")


def test_a_module_compiled_for_another_platform_is_refused_by_name(code: Code) -> None:
    own = code.root / "fast.cpython-311-darwin.so"
    own.write_bytes(b"\xcf\xfa\xed\xfe")
    with pytest.raises(RequestError, match=r"the stack's platform, .* on Linux arm64: fast.cpython-311-darwin.so"):
        pack(code, stack(), include=[own])
