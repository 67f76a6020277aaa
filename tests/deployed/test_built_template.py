"""Lint, build and transform the template with the public tools; create, update and delete a stack of it."""

import subprocess
from pathlib import Path

import pytest

from tests.deployed.harness.building import build, interpreter, sam
from tests.deployed.harness.constants import ARCHITECTURE, ROOT
from tests.deployed.harness.stack import Stack
from tests.slow import slow

OTHER_ARCHITECTURE = "arm64" if ARCHITECTURE == "x86_64" else "x86_64"


def test_the_template_is_valid_and_passes_the_linter() -> None:
    assert "is a valid SAM Template" in sam("validate", "--lint", "--template", ROOT / "template.yaml")


def test_the_package_has_the_code_for_lambda_without_the_command_or_tests(built: Path) -> None:
    package = built.parent / "TickFunction"
    found = {path.name for path in package.iterdir()}
    assert {"tick.py", "record.py", "map_task.py", "reduce_task.py", "s3mr", "boto3"} <= found
    assert not found & {"moto", "click", "rich", "pytest", "tests", "werkzeug"}
    assert not {"cli", "local", "remote"} & {path.name for path in (package / "s3mr").iterdir()}


@pytest.fixture(scope="module")
def foreign_build() -> Path:
    """The template, built for a processor that this machine does not have."""
    return build(OTHER_ARCHITECTURE).parent


@slow
def test_the_functions_can_also_be_built_for_the_other_architecture(foreign_build: Path) -> None:
    compiled = [path.name for path in foreign_build.rglob("*.so")]
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[OTHER_ARCHITECTURE]
    assert compiled
    assert all(machine in name or "abi3" in name for name in compiled if "linux" in name)


@slow
@pytest.mark.parametrize("handler", ["tick", "record", "map_task", "reduce_task"])
def test_a_function_built_for_another_processor_fails_with_that_reason(foreign_build: Path, handler: str) -> None:
    command = [str(interpreter()), "-S", "-c", f"import {handler}"]
    environment = {"PYTHONPATH": str(foreign_build / "TickFunction"), "PYTHONDONTWRITEBYTECODE": "1"}
    tried = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert tried.returncode == 1
    assert "pass the same Runtime and Architecture to sam build and sam deploy" in tried.stderr.splitlines()[-1]


def test_stack_outputs_have_all_that_a_command_needs(stack: Stack) -> None:
    outputs = stack.outputs
    assert outputs["MapArn"].endswith(":function:s3mr-map:live")
    assert outputs["JobsArn"].endswith(":stateMachine:s3mr-jobs")
    assert outputs["FunctionArchitecture"] == ARCHITECTURE
