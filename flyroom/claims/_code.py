"""What identifies a network that the user wrote: its text names a function, and the function may change."""

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path

from flyroom.records import Json


def code(net: str) -> Mapping[str, Json]:
    """For python:MODULE:NAME the SHA-256 of the module's file, as a setting of a run; nothing for other networks.

    So a network that was edited is trained anew, never mistaken for the one before. What its module imports is not
    followed.
    """
    if not net.startswith("python:"):
        return {}
    file = getattr(importlib.import_module(net.split(":")[1]), "__file__", None)
    return {"net_file": hashlib.sha256(Path(file).read_bytes()).hexdigest()} if file else {}
