"""Steps that are several others in a row: norms that look at the example itself, softmax, quotients, L2 pooling."""

from collections.abc import Sequence
from math import prod

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure import affine
from flyroom.measure.enclosure.linear import aligned, mapped, summed
from flyroom.measure.enclosure.models import Model, Sources, rearranged
from flyroom.measure.enclosure.rounding import UNIT, up
from flyroom.measure.enclosure.smooth import applied, multiplied
from flyroom.nets.graph import Node

Made = tuple[Model, Sources]


def constant(value: Float64[np.ndarray, "*example"], order: int, sources: Sources) -> Model:
    """A value that is the same everywhere."""
    pieces, groups = len(sources.group), int(sources.group[-1]) + 1
    coefficients = np.zeros((*value.shape, order + 1, pieces))
    coefficients[..., 0, :] = value[..., None]
    nothing = np.zeros((*value.shape, pieces))
    return Model(coefficients, nothing, nothing, np.zeros((*value.shape, groups, 0)))


def _times(a: Model, b: Model, sources: Sources) -> Made:
    a, b = aligned([a, b])
    return multiplied(a, b, sources)


def _plus(a: Model, b: Model, sign: float, sources: Sources) -> Model:
    a, b = aligned([a, b])
    return summed(a, b, sign, sources)


def multiply(node: Node, inputs: Sequence[Model], sources: Sources) -> Made:
    """The product of two values."""
    return _times(inputs[0], inputs[1], sources)


def divide(node: Node, inputs: Sequence[Model], sources: Sources) -> Made:
    """The quotient of two values; without bounds where the divisor is not proved to be positive."""
    inverse, sources = applied("reciprocal", inputs[1], sources)
    return _times(inputs[0], inverse, sources)


def softmax(node: Node, inputs: Sequence[Model], sources: Sources) -> Made:
    """exp(x) over its sum. On each piece the largest middle value is taken from all first: nothing overflows."""
    (model,), axis = inputs, node.attributes["axis"]
    moved = model.coefficients.copy()
    largest = moved[..., 0, :].max(axis, keepdims=True)
    moved[..., 0, :] -= largest
    lost = UNIT * np.abs(moved[..., 0, :])
    powers, sources = applied(
        "exp", model._replace(coefficients=moved, value=up(model.value + lost), known=None), sources
    )
    total = _over("sum", powers, (axis,), sources)
    inverse, sources = applied("reciprocal", total, sources)
    return _times(powers, inverse, sources)


def layer_norm(node: Node, inputs: Sequence[Model], sources: Sources) -> Made:
    """Mean 0 and variance 1 over the last axes, then gain and bias."""
    weights = {name: np.asarray(array, np.float64) for name, array in node.weights.items()}
    rank = len(node.shape)
    given = next((weights[name].ndim for name in ("gain", "bias") if name in weights), rank)
    model, sources = _normalised(inputs[0], tuple(range(rank - given, rank)), node.attributes["eps"], sources)
    return _scaled(model, weights.get("gain"), weights.get("bias"), node.shape, sources)


def group_norm(node: Node, inputs: Sequence[Model], sources: Sources) -> Made:
    """Mean 0 and variance 1 over each of several runs of channels, then gain and bias by channel."""
    (model,), shape, groups = inputs, node.shape, node.attributes["groups"]
    model = _shaped(model, (groups, prod(shape) // groups))
    model, sources = _normalised(model, (1,), node.attributes["eps"], sources)
    beside = (-1, *(1,) * (len(shape) - 1))
    gain, bias = (
        np.asarray(node.weights[name], np.float64).reshape(beside) if name in node.weights else None
        for name in ("gain", "bias")
    )
    return _scaled(_shaped(model, shape), gain, bias, shape, sources)


def l2_pool(node: Node, inputs: Sequence[Model], sources: Sources) -> Made:
    """The root of the sum of squares of each window; without bounds where a window may be zero throughout."""
    total = None
    for model, there in windows(node, inputs[0]):
        inside = there[:, None]
        held = Model(
            model.coefficients * inside[..., None],
            model.value * inside,
            model.rate * inside,
            model.reach * inside[..., None],
        )
        square, sources = multiplied(held, held, sources)
        total = square if total is None else summed(total, square, 1.0, sources)
    assert total is not None
    root, sources = applied("sqrt", total, sources)
    return _shaped(root, node.shape), sources


def windows(node: Node, model: Model) -> list[tuple[Model, np.ndarray]]:
    """For each place of a pooling window the values there, flattened, and which of them are not padding."""
    shape = model.value.shape[:-1]
    numbers = np.arange(1, prod(shape) + 1, dtype=float).reshape(*shape, 1)
    flat = _shaped(model, (prod(shape),))
    found = []
    for place in affine.windows(node, numbers, 0.0):
        index = place.ravel().astype(int)
        found.append((rearranged(flat, lambda part, index=index: part[np.maximum(index - 1, 0)]), index > 0))
    return found


def _shaped(model: Model, shape: tuple[int, ...]) -> Model:
    rank = model.value.ndim - 1
    return rearranged(model, lambda part: part.reshape(*shape, *part.shape[rank:]))


def _over(op: str, model: Model, axes: tuple[int, ...], sources: Sources) -> Model:
    """A mean or a sum over axes, which stay with length 1."""
    shape = model.value.shape[:-1]
    left = tuple(1 if i in axes else n for i, n in enumerate(shape))
    step = Node(op, (), tuple(n for i, n in enumerate(shape) if i not in axes), "", {}, (("axes", axes),))
    return _shaped(mapped(step, model, sources), left)


def _normalised(model: Model, axes: tuple[int, ...], eps: float, sources: Sources) -> Made:
    centred = _plus(model, _over("mean", model, axes, sources), -1.0, sources)
    square, sources = multiplied(centred, centred, sources)
    variance = _over("mean", square, axes, sources)
    shifted = mapped(Node("shift", (), variance.value.shape[:-1], "", {}, (("value", float(eps)),)), variance, sources)
    inverse, sources = applied("rsqrt", shifted, sources)
    return _times(centred, inverse, sources)


def _scaled(model: Model, gain: np.ndarray | None, bias: np.ndarray | None, shape: tuple, sources: Sources) -> Made:
    order = model.coefficients.shape[-2] - 1
    if gain is not None:
        of_place = constant(np.ascontiguousarray(np.broadcast_to(gain, shape)), order, sources)
        model, sources = _times(model, of_place, sources)
    if bias is not None:
        of_place = constant(np.ascontiguousarray(np.broadcast_to(bias, shape)), order, sources)
        model = _plus(model, of_place, 1.0, sources)
    return model, sources
