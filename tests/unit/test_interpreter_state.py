"""What user code may replace is noticed and put back, whichever it is."""

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
def test_each_builtin_that_is_replaced_is_named_and_put_back(name: str, how: str) -> None:
    said = subprocess.run([sys.executable, "-c", CHECK.format(how)], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"['{name}'] True the job's code has replaced builtin")
