"""What is promised to the bit holds as users compile: the other tests compile quickly (see conftest.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Networks beside one another, resumed trainings, other numbers of devices, golden data, stored results.
TO_THE_BIT = ("test_train", "test_fit", "test_ensemble", "test_engine", "nets/test_golden", "nets/test_convolution")


@pytest.mark.slow
@pytest.mark.parametrize("name", TO_THE_BIT)
def test_it_holds_as_users_compile(name):
    words = [*("-m", "pytest", "-q", "-m", "not browser", "-p", "no:cacheprovider"), str(TESTS / f"{name}.py")]
    usual = {**os.environ, "XLA_FLAGS": ""}
    done = subprocess.run([sys.executable, *words], cwd=TESTS.parent, env=usual, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
