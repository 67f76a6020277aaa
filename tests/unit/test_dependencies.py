"""The imports of s3mr match its declared dependencies."""

import ast
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import s3mr


def imported(tree: ast.AST) -> set[str]:
    """Return the top-level names of all modules that ``tree`` imports at run time, without those for types only."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        found |= imported(node)
    return found


def test_shipped_code_does_not_import_development_dependencies() -> None:
    declared = {
        line.split(";")[0].partition(" ")[0].split("[")[0].split(">")[0].split("<")[0].lower()
        for line in requires("s3mr") or ()
        if 'extra == "dev"' not in line
    }
    direct = {"werkzeug": "flask", "botocore": "boto3"}  # dependencies that these packages guarantee
    names = {
        name for path in Path(s3mr.__file__).parent.rglob("*.py") for name in imported(ast.parse(path.read_text()))
    }
    foreign = names - set(sys.stdlib_module_names) - {"s3mr"}
    owners = packages_distributions()
    missing = {
        name
        for name in foreign
        if direct.get(name, name) not in declared and not {owner.lower() for owner in owners.get(name, ())} & declared
    }
    assert missing == set()
