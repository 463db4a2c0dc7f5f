"""Where examples come from. Each source makes a `Dataset`; `load` finds it by name.

>>> load("moons", n=40).x_train.shape
(32, 2)
"""

import difflib
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flyroom.records import Dataset

# Name, and stream where a source has several (the first is the default): the function that makes it.
_SOURCES = {
    "mnist1d": {
        "canonical": ("flyroom.data.mnist1d.canonical", "make"),
        "indexed": ("flyroom.data.mnist1d.indexed", "make_indexed"),
    },
    "digits": {"": ("flyroom.data.digits", "make")},
    "moons": {"": ("flyroom.data.toys", "moons")},
    "circles": {"": ("flyroom.data.toys", "circles")},
    "blobs": {"": ("flyroom.data.toys", "blobs")},
}
NAMES = tuple(_SOURCES)


def load(name: str | Path, **arguments: Any) -> Dataset:
    """A Dataset by name, or from an archive (a path that ends in .npz or .parquet, made by `archive.save`).

    The arguments are those of the function that makes it; `mnist1d` also takes `stream="canonical"` or "indexed". A
    dataset's recipe is such a call: `load(**dataset.recipe)` makes it again. **Raises** ValueError for an unknown name
    and TypeError for an unknown argument, each with near matches.

    >>> load("mnist1d", stream="indexed", num_samples=50, seed=1).x_train.shape
    (40, 40)
    """
    if isinstance(name, Path) or Path(name).suffix in (".npz", ".parquet"):
        if arguments:
            raise TypeError(f"{name} is an archive and takes no arguments; got {', '.join(arguments)}")
        from flyroom.data import archive

        return archive.read(name)
    if name not in _SOURCES:
        raise ValueError(f"no dataset is called {name!r}{_near(name, NAMES)}; there are {', '.join(NAMES)}")
    streams = _SOURCES[name]
    stream = arguments.pop("stream", next(iter(streams))) if len(streams) > 1 else ""
    if stream not in streams:
        raise ValueError(f"{name} has no stream {stream!r}{_near(stream, streams)}; it has {', '.join(streams)}")
    module, function = streams[stream]
    make = getattr(importlib.import_module(module), function)
    allowed = (*(["stream"] if stream else []), *inspect.signature(make).parameters)
    for argument in arguments:
        if argument not in allowed:
            raise TypeError(
                f"{name} takes no argument {argument!r}{_near(argument, allowed)}; it takes {', '.join(allowed)}"
            )
    return make(**arguments)


def _near(given: object, names: Iterable[str]) -> str:
    """A question that holds the nearest names, or nothing."""
    matches = difflib.get_close_matches(str(given), list(names), cutoff=0.6)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
