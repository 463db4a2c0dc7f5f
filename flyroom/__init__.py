"""Flyroom: a laboratory for the science of deep learning.

Small data that is made in milliseconds (`flyroom.data`), networks that are trained many at once (`flyroom.nets`,
`flyroom.train`), numbers with their evidence (`flyroom.measure`, `flyroom.stats`), and published claims put to the
test (`flyroom.claims`). The rooms are loaded when they are first named, so that `import flyroom` costs nothing.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

ROOMS = [
    "claims",
    "data",
    "engine",
    "ensemble",
    "losses",
    "machine",
    "measure",
    "nets",
    "plot",
    "records",
    "report",
    "stats",
    "store",
    "train",
]


def __getattr__(name: str) -> ModuleType:
    if name in ROOMS:
        return importlib.import_module(f"flyroom.{name}")
    raise AttributeError(f"flyroom has no room {name!r}; there are {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return [*ROOMS, "__version__"]
