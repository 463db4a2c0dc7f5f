"""A network, opened for a path: whatever is given becomes a graph."""

import sys
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from flyroom.nets.graph import Graph
from flyroom.nets.reader import read
from flyroom.nets.spec import function


def opened(net: Any, shape: Sequence[int]) -> Graph:
    """The graph of a network here, a JAX function, a graph or a PyTorch module, for examples of that shape.

    Raises ValueError for a graph that takes another shape, and for a PyTorch module that trains (its batch norm would
    look at other examples, its dropout at chance: not a function of x).
    """
    graph = _graph(net, shape)
    for node in graph.nodes:
        for name, weight in node.weights.items():
            if isinstance(weight, jax.ShapeDtypeStruct):
                raise ValueError(f"{node.place}: {name} is only a shape; a length needs the weights themselves")
            if not np.isfinite(np.asarray(weight)).all():
                raise ValueError(
                    f"{node.place}: {name} holds a number that is not finite (NaN or infinity); nothing can be said of "
                    "such a network"
                )
    return graph


def _graph(net: Any, shape: Sequence[int]) -> Graph:
    if isinstance(net, Graph):
        if net.nodes[0].shape != tuple(shape):
            raise ValueError(
                f"the path runs through examples of shape {tuple(shape)}, and this network takes {net.nodes[0].shape}"
            )
        return net
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(net, torch.nn.Module):
        return _converted(net, shape)
    return read(function(net), shape)


def _converted(module: Any, shape: Sequence[int]) -> Graph:
    import torch

    from flyroom.nets.torch import convert

    if module.training:
        raise ValueError("the module is in training mode, in which it is no function of x; call module.eval() first")
    kind = next((weight.dtype for weight in module.parameters()), torch.float32)
    return convert(module, torch.zeros((2, *shape), dtype=kind))


def widened(graph: Graph) -> Graph:
    """The graph with its weights in float64, exactly; to be used under `jax.enable_x64`."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if eqx.is_inexact_array_like(leaf) else leaf, graph)
