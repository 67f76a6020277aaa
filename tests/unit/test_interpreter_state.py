"""Builtins that user code replaces are detected and restored."""

import subprocess
import sys

import pytest

from tests.integration.test_replaced_builtins import REPLACED

CHECK = """
import builtins
from s3mr.usercode.interpreter_state import InterpreterState, replaced_message
before, untouched = dict(builtins.__dict__), InterpreterState()
{}
replaced = untouched.restore()
print(replaced, before == builtins.__dict__, replaced_message(replaced)[:35])
"""


@pytest.mark.parametrize(("name", "how"), REPLACED.items(), ids=REPLACED)
def test_each_replaced_builtin_is_named_and_restored(name: str, how: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", CHECK.format(how)], capture_output=True, text=True, check=True
    ).stdout
    assert printed.startswith(f"['{name}'] True the job's code has replaced builtin")
