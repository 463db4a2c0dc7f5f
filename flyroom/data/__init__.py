"""Where examples come from. Each source makes a `Dataset`; `load` finds it by name.

>>> load("moons", n=40).x_train.shape
(32, 2)
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
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


def _card(name: str, title: str, modality: str, licence: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": title,
        "modality": modality,
        "tasks": ["classification"],
        "tier": "offline",
        "licence": licence,
        "offline": True,
    }


CARDS = (
    _card("mnist1d", "MNIST-1D, ten digits as signals of 40 points", "signal", "Apache-2.0 (generated here)"),
    _card("digits", "scikit-learn's handwritten digits, 8x8 pixels", "image", "CC BY 4.0 (UCI)"),
    _card("moons", "two interleaved half circles in the plane", "point", "generated"),
    _card("circles", "two concentric circles in the plane", "point", "generated"),
    _card("blobs", "Gaussian clouds in the plane", "point", "generated"),
)


def maker(name: str, stream: str | None = None) -> Callable[..., Dataset]:
    """The function that makes a data set; its signature says what it takes.

    Raises ValueError for an unknown name or stream, with near matches.
    """
    if name not in _SOURCES:
        raise ValueError(f"no dataset is called {name!r}{_near(name, NAMES)}; there are {', '.join(NAMES)}")
    streams = _SOURCES[name]
    chosen = next(iter(streams)) if stream is None else stream
    if chosen not in streams:
        there_is = f"it has {', '.join(streams)}" if len(streams) > 1 else "it has only one"
        raise ValueError(f"{name} has no stream {chosen!r}{_near(chosen, streams)}; {there_is}")
    module, function = streams[chosen]
    return getattr(importlib.import_module(module), function)


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
    has_streams = len(_SOURCES.get(name, ())) > 1
    make = maker(name, arguments.pop("stream", None) if has_streams else None)
    allowed = (*(["stream"] if has_streams else []), *inspect.signature(make).parameters)
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
