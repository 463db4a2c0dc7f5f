"""Networks in files: safetensors, with the network's text in the metadata. Nothing is ever unpickled.

A network with running statistics (a ResNet) is saved and read as `norms.AtInference(net, running)`, which can be called
as every other network can: the weights alone would not say what it computes.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from flyroom.nets.norms import AtInference
from flyroom.nets.spec import parse


def save(net: PyTree, spec: str, path: Path, *, notes: dict | None = None) -> None:
    """Write a network and the text that it is built from to a .safetensors file, whole or not at all.

    Arrays stand under the path by which they are reached: `layers.0.weight`, `net.stem.weight`, `running.norm.mean`.
    `notes` (plain JSON values: seed, learning rate, accuracy) go into the metadata beside it.
    Raises ValueError for a network that needs running statistics and comes without.
    """
    if hasattr(net, "begin"):
        raise ValueError(
            f"a {type(net).__name__} computes with running statistics, which must be saved beside it; "
            "save norms.AtInference(net, running)"
        )
    metadata = {"flyroom_spec": spec, "flyroom_notes": json.dumps(notes or {}, sort_keys=True)}
    kept = {name: np.ascontiguousarray(leaf) for name, leaf in named(net).items()}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file(kept, unfinished, metadata)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> PyTree:
    """The network in a file that `save` wrote; one with running statistics as `norms.AtInference`, see above.

    Raises FileNotFoundError where there is none; ValueError where the file is no safetensors, holds no network's
    text, or its arrays are not the ones that the text asks for (all three named), or are no values to compute with.
    """
    found, metadata = arrays(path)
    if "flyroom_spec" not in metadata:
        raise ValueError(
            f"{path} holds arrays but not which network they belong to; save it with flyroom, or say which "
            "(layouts.read, for the names of PyTorch's ResNets)"
        )
    spec = metadata["flyroom_spec"]
    if spec.startswith("python:"):
        raise ValueError(f"{path} wants to import {spec!r}; load it in Python, where you choose what is imported")
    shapes = empty(parse(spec).init)
    expected = {name: leaf.shape for name, leaf in named(shapes).items()}
    given = {name: array.shape for name, array in found.items()}
    if given != expected:
        wrong = sorted(name for name in {*given, *expected} if given.get(name) != expected.get(name))
        raise ValueError(
            f"{path} does not hold the network {spec!r}: {wrong[0]} has the shape {given.get(wrong[0])} "
            f"and should have {expected.get(wrong[0])}"
        )
    check_values(found, str(path))
    return filled(shapes, {name: jax.numpy.asarray(array) for name, array in found.items()})


def arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Every array of a .safetensors file by its name, and the file's metadata.

    Raises FileNotFoundError where there is none, ValueError where it is something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; a network is a .safetensors file that flyroom saved")
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a safetensors file ({error}); a .pt or .pth is a pickle, which can run code and is never "
            "opened: whoever made it can save it with safetensors.torch.save_file"
        ) from None


def empty(init: Callable[[PRNGKeyArray], PyTree]) -> PyTree:
    """The network that `init` would draw, with shapes in the place of arrays, and what `read` returns for it."""

    def made(key: PRNGKeyArray) -> PyTree:
        net = init(key)
        return AtInference(net, net.begin()) if hasattr(net, "begin") else net

    return eqx.filter_eval_shape(made, jax.random.key(0))


def named(net: PyTree) -> dict[str, Any]:
    """Arrays, or their shapes, under the path by which they are reached: `layers.0.weight`."""
    leaves = jax.tree_util.tree_leaves_with_path(net)
    return {_name(path): leaf for path, leaf in leaves if eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)}


def filled(shapes: PyTree, values: Mapping[str, Any]) -> PyTree:
    """The network with `values`, one for each name of `named(shapes)`, in the place of its arrays or shapes."""
    there = named(shapes)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: values[_name(path)] if _name(path) in there else leaf, shapes
    )


def check_values(found: Mapping[str, np.ndarray], where: str) -> None:
    """Raise ValueError, naming array and place, for what no network can be computed with."""
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{where}: {name} holds values that are not finite; the network diverged or was damaged")
        if name.endswith(("variance", "running_var")) and array.min(initial=0) < 0:
            raise ValueError(f"{where}: {name} holds variances below 0; the file was damaged")


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
