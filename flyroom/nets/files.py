"""Networks in files: safetensors, with the network's text in the metadata. Nothing is ever unpickled."""

import json
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from flyroom.nets.spec import parse


def _named(net: PyTree) -> dict[str, np.ndarray]:
    """The parameters under the path by which they are reached: `layers.0.weight`."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(net, eqx.is_inexact_array))
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def save(net: PyTree, spec: str, path: Path, *, notes: dict | None = None) -> None:
    """Write a network and the text that it is built from to a .safetensors file, whole or not at all.

    `notes` (plain JSON values: seed, learning rate, accuracy) go into the metadata beside it.
    """
    metadata = {"flyroom_spec": spec, "flyroom_notes": json.dumps(notes or {}, sort_keys=True)}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file({k: np.ascontiguousarray(v) for k, v in _named(net).items()}, unfinished, metadata)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> PyTree:
    """The network in a file that `save` wrote.

    Raises FileNotFoundError where there is none; ValueError where the file is no safetensors, holds no network's
    text, or its arrays are not the ones that the text asks for (all three named), or are not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; a network is a .safetensors file that flyroom saved")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from None
    if "flyroom_spec" not in metadata:
        raise ValueError(f"{path} holds arrays but not which network they belong to; save it with flyroom")
    spec = metadata["flyroom_spec"]
    if spec.startswith("python:"):
        raise ValueError(f"{path} wants to import {spec!r}; load it in Python, where you choose what is imported")
    empty = eqx.filter_eval_shape(parse(spec).init, jax.random.key(0))
    found = {name: array.shape for name, array in arrays.items()}
    expected = {
        jax.tree_util.keystr(leaf_path, simple=True, separator="."): leaf.shape
        for leaf_path, leaf in jax.tree_util.tree_leaves_with_path(empty)
        if isinstance(leaf, jax.ShapeDtypeStruct)
    }
    if found != expected:
        wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise ValueError(
            f"{path} does not hold the network {spec!r}: {wrong[0]} has the shape {found.get(wrong[0])} "
            f"and should have {expected.get(wrong[0])}"
        )
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} holds values that are not finite; the network diverged or was damaged")
    return jax.tree_util.tree_map_with_path(
        lambda leaf_path, leaf: (
            jax.numpy.asarray(arrays[jax.tree_util.keystr(leaf_path, simple=True, separator=".")])
            if isinstance(leaf, jax.ShapeDtypeStruct)
            else leaf
        ),
        empty,
    )
