"""Tests are stricter than users: shapes in the types are checked at every call.

They also compile quickly rather than well, since compiling is most of their time: without optimisation and without
XLA's fusion emitters a compilation takes a third of its time. What the environment says is left alone: tests run as
users compile with `XLA_FLAGS= python3 lab.py test`, and test_as_compiled.py does so for what is promised to the bit.
"""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before JAX and NumPy are imported, which read them once; the processes that tests start inherit them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # files of tests run side by side, one to a core

install_import_hook("flyroom", "beartype.beartype")

MAPPED = Path("/proc/self/maps")
MANY = 30_000  # of the 65,530 pieces of memory that Linux lets a process map; every compiled program takes some


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_go_when_there_are_many() -> Iterator[None]:
    """Thousands of tests in one process would otherwise end in LLVM's "cannot allocate memory"."""
    yield
    if "jax" in sys.modules and MAPPED.exists() and MAPPED.read_bytes().count(b"\n") > MANY:
        sys.modules["jax"].clear_caches()
        gc.collect()
