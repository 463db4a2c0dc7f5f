"""Steps of a network that are affine: what they do to columns of numbers, in float64, and to their absolute values.

Arrays are (*example, column): Taylor coefficients, directions and bounds are all columns. Weights are taken as they
are, float32 ones exactly. `magnitude` is the same map with the absolute values of the weights and no bias: where x
bounds errors, it bounds the errors of what is mapped.
"""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.nets.graph import Node

Columns = Float64[np.ndarray, "*example column"]
WIDENING = {"zero": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def mapped(node: Node, x: Columns) -> Float64[np.ndarray, "*output column"]:
    """The linear part of a step applied to columns."""
    return MAPS[node.op](node, x, lambda weight: weight)


def magnitude(node: Node, x: Columns) -> Float64[np.ndarray, "*output column"]:
    """The absolute values of the linear part applied to columns that are not negative."""
    return MAPS[node.op](node, x, np.abs)


class Bias(NamedTuple):
    """What is added to a column of order 0, and the sum of the absolute values that it was computed from."""

    value: Float64[np.ndarray, "*example"]
    size: Float64[np.ndarray, "*example"]


def bias(node: Node) -> Bias | None:
    """What a step adds, in the shape of an example; None where it adds nothing."""
    if node.op == "batch_norm":
        factor, mean, offset = _norm(node)
        return Bias(offset - factor * mean, np.abs(offset) + np.abs(factor * mean))
    if node.op == "shift":
        given = np.full(node.shape, float(node.attributes["value"]))
    elif "bias" in node.weights:
        given = np.asarray(node.weights["bias"], np.float64)
        given = given.reshape(-1, *(1,) * (len(node.shape) - 1)) if node.op == "conv" else given
        given = np.broadcast_to(given, node.shape)
    else:
        return None
    return Bias(given, np.abs(given))


def operations(node: Node, inputs: tuple[int, ...]) -> int:
    """How many roundings one number of the output may have gone through, bias included; 0 where nothing is computed.

    `inputs` is the shape of one example that comes in.
    """
    if node.op in ("dense", "local"):
        return int(np.shape(node.weights["weight"])[-1]) + 2
    if node.op == "conv":
        return prod(np.shape(node.weights["weight"])[1:]) + 2
    if node.op in ("mean", "sum"):
        return prod(inputs[axis] for axis in node.attributes["axes"]) + 2
    if node.op == "mean_pool":
        return prod(node.attributes["window"]) + 3
    if node.op == "batch_norm":
        return 10  # its factor and its bias are computed too (`_norm`), each in fewer than 8 roundings
    return {"scale": 1, "shift": 1}.get(node.op, 0)


Weights = Callable[[np.ndarray], np.ndarray]
Map = Callable[[Node, np.ndarray, Weights], np.ndarray]


def _dense(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    return np.matmul(taken(np.asarray(node.weights["weight"], np.float64)), x)


def _conv(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    weight, given = taken(np.asarray(node.weights["weight"], np.float64)), node.attributes
    outputs, of_group, *kernel = weight.shape
    groups, width = given["groups"], x.shape[-1]
    padded = _padded(x, ((0, 0), *given["padding"]), given.get("mode", "zero"))
    padded = padded.reshape(groups, of_group, *padded.shape[1:])
    columns = np.stack([padded[(slice(None), *tap)] for tap in _taps(padded.shape[1:], kernel, given)], 1)
    columns = columns.reshape(groups, of_group * prod(kernel), prod(node.shape[1:]) * width)
    rows = weight.transpose(0, *range(2, weight.ndim), 1).reshape(groups, outputs // groups, -1)
    return np.matmul(rows, columns).reshape(*node.shape, width)


def _taps(shape: tuple[int, ...], kernel: list[int], given: dict) -> list[tuple[slice, ...]]:
    """For each place of a kernel, the slices of (channel, *space, column) that it sees."""
    strides = given["stride"]
    dilations = given.get("dilation") or (1,) * len(kernel)
    counts = [
        (length - dilation * (size - 1) - 1) // stride + 1
        for length, size, stride, dilation in zip(shape[1:-1], kernel, strides, dilations, strict=True)
    ]
    return [
        (
            slice(None),
            *(
                slice(i * dilation, i * dilation + (count - 1) * stride + 1, stride)
                for i, dilation, count, stride in zip(place, dilations, counts, strides, strict=True)
            ),
        )
        for place in np.ndindex(*kernel)
    ]


def _padded(x: np.ndarray, widths: tuple, mode: str) -> np.ndarray:
    return np.pad(x, (*widths, (0, 0)), WIDENING[mode]) if any(any(pair) for pair in widths) else x  # pyright: ignore


def _local(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    weight, given = taken(np.asarray(node.weights["weight"], np.float64)), node.attributes
    places, _, seen = weight.shape
    padded = _padded(x, ((0, 0), *given["padding"]), "zero")
    windows = [padded[tap] for tap in _taps(padded.shape, list(given["kernel"]), given)]
    columns = np.stack(windows, 1).reshape(seen, places, x.shape[-1])
    return np.matmul(weight, columns.transpose(1, 0, 2)).transpose(1, 0, 2)


def windows(node: Node, x: np.ndarray, value: float) -> list[np.ndarray]:
    """The places of each pooling window, one array for each of them; `value` stands in the padding."""
    given = node.attributes
    widths = ((0, 0), *given["padding"], *((0, 0),) * (x.ndim - len(given["padding"]) - 1))
    padded = np.pad(x, widths, constant_values=value)
    return [padded[tap] for tap in _taps(padded.shape[: len(given["window"]) + 2], list(given["window"]), given)]


def _mean_pool(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    total = np.sum(windows(node, x, 0.0), 0)
    if node.attributes["count_padding"]:
        return total / prod(node.attributes["window"])
    return total / np.sum(windows(node, np.ones((1, *x.shape[1:-1], 1)), 0.0), 0)


def _norm(node: Node) -> list[np.ndarray]:
    """Batch norm at inference: factor, mean and offset of each channel, in the shape of an example."""
    given = {name: np.asarray(array, np.float64) for name, array in node.weights.items()}
    eps, lecture = float(node.attributes["eps"]), node.attributes["convention"] == "lecture"
    deviation = np.sqrt(given["variance"]) + eps if lecture else np.sqrt(given["variance"] + eps)
    factor = given.get("gain", np.ones_like(deviation)) / deviation
    beside = (-1, *(1,) * (len(node.shape) - 1))
    parts = (factor, given["mean"], given.get("bias", np.zeros_like(deviation)))
    return [np.broadcast_to(part.reshape(beside), node.shape) for part in parts]


def _batch_norm(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    return taken(_norm(node)[0])[..., None] * x


def _over(function: Callable) -> Map:
    return lambda node, x, taken: function(x, axis=tuple(node.attributes["axes"]))


def _slice(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    given = node.attributes
    return x[tuple(slice(*place) for place in zip(given["starts"], given["stops"], given["steps"], strict=True))]


def _broadcast(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    return np.broadcast_to(x, (*node.shape, x.shape[-1]))


def _scale(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    return x * taken(np.asarray(node.attributes["value"], np.float64))


def _pad(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    widths = tuple(node.attributes["widths"])
    widths = ((0, 0), *widths) if len(widths) == x.ndim - 2 else widths
    return _padded(x, widths, node.attributes["mode"])


def _take(node: Node, x: np.ndarray, taken: Weights) -> np.ndarray:
    return np.take(x, np.asarray(node.weights["index"]), axis=node.attributes["axis"])


MAPS: Mapping[str, Map] = MappingProxyType(
    {
        "dense": _dense,
        "conv": _conv,
        "local": _local,
        "mean_pool": _mean_pool,
        "batch_norm": _batch_norm,
        "mean": _over(np.mean),
        "sum": _over(np.sum),
        "scale": _scale,
        "shift": lambda node, x, taken: x,
        "pad": _pad,
        "slice": _slice,
        "take": _take,
        "transpose": lambda node, x, taken: x.transpose(*node.attributes["axes"], x.ndim - 1),
        "reshape": lambda node, x, taken: x.reshape(*node.shape, x.shape[-1]),
        "broadcast": _broadcast,
    }
)
