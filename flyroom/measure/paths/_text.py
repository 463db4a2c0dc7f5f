"""A path as text: what the command line takes."""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path as File
from typing import BinaryIO

import numpy as np

from flyroom.data import load
from flyroom.measure.paths._checked import example_shape, units
from flyroom.measure.paths._circular import arc, circle, raghu
from flyroom.measure.paths._cubic import spline
from flyroom.measure.paths._data import examples
from flyroom.measure.paths._records import Path
from flyroom.measure.paths._straight import line, polyline

RANDOM = {  # kind: the settings that it takes
    "line": ("seed", "radius"),
    "circle": ("seed", "radius"),
    "arc": ("seed", "radius", "turn"),
    "raghu": ("seed", "radius"),
}
KINDS = (*RANDOM, "data", "spline")
DATA = ("mnist1d", "digits")
LARGEST_FILE = 2**28  # bytes
FORMS = (
    "line:seed=0,radius=8, circle:seed=0,radius=8, arc:seed=0,radius=8,turn=0.0625, raghu:seed=0, data:mnist1d/0,1, "
    "spline:mnist1d/0,1,2, or a file FILE.npy"
)


def parse(text: str, shape: tuple[int, ...]) -> Path:
    """The path that `text` names, through examples of `shape`.

    - `line:seed=0,radius=8`: between two standard normal points, scaled to norm `radius` where it is given
    - `circle:seed=0,radius=8`: a full circle about the origin in a random plane; the radius is sqrt(units) by default
    - `arc:seed=0,radius=8,turn=0.0625`: the beginning of that circle, `turn` of it (a quarter by default)
    - `raghu:seed=0`: Raghu et al.'s circular path between the two points of `line`
    - `data:mnist1d/0,1,2`: straight from training example to training example; also `digits`
    - `spline:mnist1d/0,1,2`: the cubic spline through them
    - `FILE.npy`: an array (point, *shape) as a polyline; never a pickle, at most 256 MiB

    Seeds are those of `numpy.random.default_rng`, 0 by default. Examples with as many units as `shape` are reshaped.
    Raises ValueError with a sentence for anything else.

    >>> parse("circle:seed=1,radius=8", (4, 4)).shape
    (4, 4)
    """
    shape = example_shape(shape)
    kind, _, rest = text.partition(":")
    if kind in RANDOM:
        return _random(kind, _settings(kind, rest), shape)
    if kind in ("data", "spline"):
        rows = _fitted(_named_examples(kind, rest), shape, text)
        return spline(rows) if kind == "spline" else polyline(rows)
    if text.endswith(".npy"):
        return polyline(_fitted(_file(File(text)), shape, text))
    raise ValueError(f"no path is called {text!r}{_near(kind, KINDS)}; give {FORMS}")


def _random(kind: str, settings: dict[str, float], shape: tuple[int, ...]) -> Path:
    seed, radius = int(settings.get("seed", 0)), settings.get("radius")
    if kind in ("circle", "arc"):
        whole = circle(shape, math.sqrt(units(shape)) if radius is None else radius, seed)
        if kind == "circle":
            return whole
        centre, u, v = (row.reshape(shape) for row in (whole.centre, whole.u, whole.v))
        return arc(centre, u, v, 0.0, 2 * math.pi * settings.get("turn", 0.25))
    ends = np.random.default_rng(seed).standard_normal((2, *shape))
    if radius is not None:
        norms = np.linalg.norm(ends.reshape(2, -1), axis=1)
        ends = ends * (radius / norms).reshape(2, *(1 for _ in shape))
    return (line if kind == "line" else raghu)(ends[0], ends[1])


def _settings(kind: str, rest: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        name, equals, value = part.partition("=")
        allowed = RANDOM[kind]
        if name not in allowed or not equals:
            raise ValueError(
                f"{kind} takes no {part!r}{_near(name, allowed)}; it takes {', '.join(f'{one}=...' for one in allowed)}"
            )
        if name in found:
            raise ValueError(f"{kind} has {name} twice; give it once")
        found[name] = _number(name, value)
    return found


def _number(name: str, value: str) -> float:
    if name == "seed":
        if not (value.isascii() and value.isdigit() and len(value) <= 15):
            raise ValueError(f"seed is {value!r}; give a whole number from 0, of at most 15 digits")
        return float(value)  # exact: fewer than 2^53
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if name == "turn" and not 0 < number <= 1:
        raise ValueError(f"turn is {value!r}; give a share of the full circle, above 0 and at most 1")
    if not 0 < number < math.inf:
        raise ValueError(f"{name} is {value!r}; give a positive number")
    return number


def _named_examples(kind: str, rest: str) -> np.ndarray:
    name, slash, listed = rest.partition("/")
    if name not in DATA:
        raise ValueError(f"{kind} knows no data set {name!r}{_near(name, DATA)}; give {' or '.join(DATA)}")
    parts = listed.split(",")
    if not slash or len(parts) < 2 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise ValueError(f"{kind}:{rest} names no examples; give two or more numbers, as in {kind}:{name}/0,1")
    return examples(load(name), [int(part) for part in parts])


def _file(file: File) -> np.ndarray:
    if not file.is_file():
        raise ValueError(f"there is no file {file}; give an existing .npy file")
    if file.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{file} has {file.stat().st_size} bytes; at most {LARGEST_FILE} are read")
    try:
        with file.open("rb") as opened:
            return _array(opened, file.stat().st_size)
    except Exception as wrong:  # a damaged header fails in many ways
        raise ValueError(f"{file} is no NumPy array of numbers ({wrong}); write it with numpy.save") from wrong


def _array(opened: BinaryIO, size: int) -> np.ndarray:
    """What a .npy file holds; a header that promises more than there is is refused before memory is asked for."""
    npy = np.lib.format
    version = npy.read_magic(opened)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(opened)
    promised, held = math.prod(shape) * dtype.itemsize, size - opened.tell()
    if promised != held and not dtype.hasobject:
        raise ValueError(f"it promises {promised} bytes and holds {held}")
    opened.seek(0)
    return np.load(opened, allow_pickle=False)


def _fitted(rows: np.ndarray, shape: tuple[int, ...], text: str) -> np.ndarray:
    if rows.ndim == 0 or units(rows.shape[1:]) != units(shape):
        wanted = ", ".join(["points", *map(str, shape)])
        raise ValueError(
            f"{text} has shape {rows.shape}; the network takes examples of shape {shape}, so give ({wanted})"
        )
    return rows.reshape(len(rows), *shape)


def _near(given: str, names: Iterable[str]) -> str:
    matches = get_close_matches(given, list(names), n=2)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
