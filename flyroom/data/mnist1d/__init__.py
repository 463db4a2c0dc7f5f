"""MNIST-1D: ten hand-drawn digits of twelve points, padded, stretched, scaled, shifted, blurred with noise, sheared.

- `make` is the canonical data, bit for bit what the reference package makes.
- `stream` and `make_indexed` are the same process with random access: fast, nested, independent, endless.
- `stages` has the transformation one step at a time, `templates` the ten digits.
- `get_dataset_args` and `make_dataset` stand in for the reference's functions of the same names.

Reference: Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024.
"""

from flyroom.data.mnist1d import stages
from flyroom.data.mnist1d.canonical import get_dataset_args, make, make_dataset
from flyroom.data.mnist1d.indexed import Examples, Stream, make_indexed, population_moments, stream
from flyroom.data.mnist1d.stages import Draws, Templates, build, templates

__all__ = [
    "Draws",
    "Examples",
    "Stream",
    "Templates",
    "build",
    "get_dataset_args",
    "make",
    "make_dataset",
    "make_indexed",
    "population_moments",
    "stages",
    "stream",
    "templates",
]
