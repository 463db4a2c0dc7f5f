"""Tests are stricter than users: shapes in the types are checked at every call.

They also compile quickly rather than well, since compiling is most of their time: without optimisation and without
XLA's fusion emitters a compilation takes a third of its time. What the environment says is left alone: tests run as
users compile with `XLA_FLAGS= python3 lab.py test`, and test_as_compiled.py does so for what is promised to the bit.
"""

import os

from jaxtyping import install_import_hook

# Before JAX and NumPy are imported, which read them once; the processes that tests start inherit them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # files of tests run side by side, one to a core

install_import_hook("flyroom", "beartype.beartype")
