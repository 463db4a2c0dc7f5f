"""What identifies a network that the user wrote: its text names a function, and the function may change."""

import hashlib
import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flyroom.records import Json


def code(net: str) -> Mapping[str, Json]:
    """For python:MODULE:NAME the SHA-256 of the module's file, as a setting of a run; nothing for other networks.

    So a network that was edited is trained anew by the next command, never mistaken for the one before. What its module
    imports is not followed.
    """
    if not net.startswith("python:"):
        return {}
    digest = _digest(net.split(":")[1])
    return {"net_file": digest} if digest else {}


@cache  # within one process a module is imported once, and an edit after that does not count
def _digest(module: str) -> str | None:
    file = getattr(importlib.import_module(module), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
