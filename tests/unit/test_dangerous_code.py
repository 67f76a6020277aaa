"""Shipped code never executes data from outside: no pickle, no eval, no shell."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*(ROOT / "s3mr").rglob("*.py"), *(ROOT / "lambdas").rglob("*.py")])
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "code",
    "codeop",
    "yaml",
}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
OF_OS = {"system", "popen", "spawnl", "spawnv", "execl", "execv", "execve", "execvp"}
RUFF = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
# Rules of ruff that shipped code may disable, on single lines and with a reason.
EXCUSABLE = {
    "S101",  # asserts on our own values
    "S311",  # random numbers for faults, not for secrets
    "S603",  # our own interpreter, with a list of arguments
}


def dangers(tree: ast.AST) -> Iterator[str]:
    """Yield every import and call that could execute its input."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in MODULES:
                yield f"from {node.module}"
            elif node.module == "os":
                yield from (one.name for one in node.names if one.name in OF_OS)
        elif isinstance(node, ast.Call):
            yield from _of_call(node)


def _of_call(call: ast.Call) -> Iterator[str]:
    function = call.func
    if isinstance(function, ast.Name) and function.id in CALLS:
        yield function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        whole = f"{function.value.id}.{function.attr}"
        if (function.value.id == "builtins" and function.attr in CALLS) or whole in {f"os.{name}" for name in OF_OS}:
            yield whole
    for argument in call.keywords:
        if argument.arg == "shell" and not (isinstance(argument.value, ast.Constant) and argument.value.value is False):
            yield "shell="


def test_shipped_code_never_executes_its_input() -> None:
    found = {
        str(path.relative_to(ROOT)): list(dangers(ast.parse(path.read_text(encoding="utf-8")))) for path in SHIPPED
    }
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml.loader",
        "eval(text)",
        "exec(text)",
        "builtins.eval(text)",
        "os.system(text)",
        "from os import popen",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=asked)",
    ],
)
def test_each_dangerous_construct_would_be_found(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_ruffs_security_rules_are_on_and_are_disabled_only_for_single_lines() -> None:
    assert RUFF["select"] == ["ALL"]
    assert not [rule for rule in RUFF["ignore"] if re.match(r"S\d|S$", rule)]
    for pattern, ignored in RUFF["per-file-ignores"].items():
        if pattern.startswith(("s3mr", "lambdas")):
            assert {rule for rule in ignored if re.match(r"S\d", rule)} <= {"S101"}, pattern
    for path in SHIPPED:
        for line in path.read_text(encoding="utf-8").splitlines():
            if excused := re.search(r"# noqa: ([A-Z0-9, ]+)(.*)", line):
                rules = {rule for rule in re.split(r"[, ]+", excused[1]) if re.match(r"S\d", rule)}
                assert rules <= EXCUSABLE, f"{path}: {line}"
                assert not rules or excused[2].startswith("- "), f"{path}: without its reason: {line}"
