"""Which part of the input a step of a network sees, in closed form: intervals along each axis of the input.

A unit's field along an axis of the input is an interval. Where a step keeps that axis as an axis of its own, unit i
sees `size` places from `start + jump * i` on; where it does not (after a dense layer), all its units see the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from flyroom.nets.graph import Node


class Reach(NamedTuple):
    """What the units of a step see along one axis of the input.

    `axis` is the axis of the step's own output that follows the input's, or None where every unit sees the same.
    `start` may lie before the input, and an interval may end after it: that part is padding.
    """

    axis: int | None
    jump: int
    start: int
    size: int


POOLS = ("max_pool", "mean_pool", "l2_pool")
WINDOWED = {
    "conv": "",
    "local": "kernel",
    **dict.fromkeys(POOLS, "window"),
}  # under which attribute the window's size is

Field = tuple[Reach, ...]  # one for each axis of the input; () for a step that does not depend on it
Shapes = Sequence[tuple[int, ...]]
Rule = Callable[[Node, Sequence[Field], Shapes], Field]


def fields(nodes: Sequence[Node]) -> list[Field]:
    """The field of every step of a network, in order.

    Exact along chains of convolutions and poolings; a hull, never too small, where branches with different strides
    meet, where several axes become one, and after a permutation. What lies inside the interval need not be seen:
    dilated kernels leave holes, which the gradient shows (`architecture.gradient_field`).
    """
    found: list[Field] = []
    for node in nodes:
        if node.op == "input":
            found.append(tuple(Reach(axis, 1, 0, 1) for axis in range(len(node.shape))))
            continue
        shapes = [nodes[i].shape for i in node.inputs]
        found.append(RULES.get(node.op, _everything)(node, [found[i] for i in node.inputs], shapes))
    return found


def fixed(reach: Reach, length: int) -> Reach:
    """The hull over all units along an axis of this length: what a step sees that looks at all of them."""
    if reach.axis is None:
        return reach
    ends = sorted((reach.start, reach.start + reach.jump * (length - 1)))
    return Reach(None, 0, ends[0], ends[1] - ends[0] + reach.size)


def union(fields: Sequence[Field], shapes: Shapes, out: tuple[int, ...]) -> Field:
    """What a sum of several steps sees; axes of unequal rank are aligned at their end."""
    aligned = []
    for field, shape in zip(fields, shapes, strict=True):
        if field:
            added = len(out) - len(shape)
            aligned.append(tuple(_aligned(reach, shape, added, out) for reach in field))
    if not aligned:
        return ()
    return tuple(_joined(reaches, out) for reaches in zip(*aligned, strict=True))


def _aligned(reach: Reach, shape: tuple[int, ...], added: int, out: tuple[int, ...]) -> Reach:
    if reach.axis is None:
        return reach
    if shape[reach.axis] != out[reach.axis + added]:  # one place that is repeated
        return fixed(reach, 1)
    return reach._replace(axis=reach.axis + added)


def _joined(reaches: Sequence[Reach], out: tuple[int, ...]) -> Reach:
    kinds = {(reach.axis, reach.jump) for reach in reaches}
    if len(kinds) > 1:
        reaches = [reach if reach.axis is None else fixed(reach, out[reach.axis]) for reach in reaches]
    first = reaches[0]
    start = min(reach.start for reach in reaches)
    return Reach(first.axis, first.jump, start, max(reach.start + reach.size for reach in reaches) - start)


def _same(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    return fields[0]


def _union(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    return union(fields, shapes, node.shape)


def _everything(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    """Every unit sees what any unit of the step before sees."""
    joined = [
        tuple(fixed(r, shape[r.axis]) if r.axis is not None else r for r in field)
        for field, shape in zip(fields, shapes, strict=True)
        if field
    ]
    return union(joined, [node.shape] * len(joined), node.shape)


def _over(axes: Callable[[Node], Sequence[int]], *, dropped: bool = False) -> Rule:
    """A step that looks along whole axes, and drops them or keeps them."""

    def rule(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
        looked = [axis % len(shapes[0]) for axis in axes(node)]

        def seen(reach: Reach) -> Reach:
            if reach.axis is None:
                return reach
            if reach.axis in looked:
                return fixed(reach, shapes[0][reach.axis])
            return reach._replace(axis=reach.axis - sum(a < reach.axis for a in looked)) if dropped else reach

        return tuple(seen(reach) for reach in fields[0])

    return rule


def _moved(reach: Reach, before: int, kernel: int, dilation: int, stride: int) -> Reach:
    start = reach.start - reach.jump * before
    return Reach(reach.axis, reach.jump * stride, start, reach.size + reach.jump * dilation * (kernel - 1))


def window(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel and dilation of a convolution, a local layer or a pooling, along each axis of space."""
    given = node.attributes
    kernel = node.weights["weight"].shape[2:] if node.op == "conv" else given[WINDOWED[node.op]]
    return tuple(kernel), tuple(given.get("dilation", (1,) * len(kernel)))


def _window(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    """A convolution or a pooling: axis 0 holds channels, of which a pooling looks at one."""
    given, channels, (kernel, dilation) = node.attributes, shapes[0][0], window(node)

    def seen(reach: Reach) -> Reach:
        if reach.axis is None:
            return reach
        if reach.axis == 0:
            return reach if node.op in POOLS else fixed(reach, channels)
        i = reach.axis - 1
        return _moved(reach, given["padding"][i][0], kernel[i], dilation[i], given["stride"][i])

    return tuple(seen(reach) for reach in fields[0])


def _pad(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    widths = node.attributes["widths"]
    inner = len(shapes[0]) - len(widths)
    return tuple(
        r if r.axis is None or r.axis < inner else r._replace(start=r.start - r.jump * widths[r.axis - inner][0])
        for r in fields[0]
    )


def _slice(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    starts, steps = node.attributes["starts"], node.attributes["steps"]
    return tuple(
        r if r.axis is None else r._replace(start=r.start + r.jump * starts[r.axis], jump=r.jump * steps[r.axis])
        for r in fields[0]
    )


def _transpose(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    axes = node.attributes["axes"]
    return tuple(r if r.axis is None else r._replace(axis=axes.index(r.axis)) for r in fields[0])


def _concatenate(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    axis = node.attributes["axis"]
    whole = [
        tuple(fixed(r, shape[axis]) if r.axis == axis else r for r in field)
        for field, shape in zip(fields, shapes, strict=True)
        if field
    ]
    return union(whole, [node.shape] * len(whole), node.shape)


def _reshape(node: Node, fields: Sequence[Field], shapes: Shapes) -> Field:
    """Axes that stay whole are followed; where several become one, or one several, all their units see the hull."""
    kept = kept_axes(shapes[0], node.shape)
    return tuple(
        r if r.axis is None else (r._replace(axis=kept[r.axis]) if r.axis in kept else fixed(r, shapes[0][r.axis]))
        for r in fields[0]
    )


def kept_axes(old: tuple[int, ...], new: tuple[int, ...]) -> dict[int, int]:
    """Which axis of the new shape each axis of the old one is, where a reshape leaves it as it is.

    >>> kept_axes((3, 1, 5), (3, 5)), kept_axes((3, 5), (15,))
    ({0: 0, 2: 1}, {})
    """
    before_new = {(math.prod(new[:j]), n): j for j, n in enumerate(new) if n != 1}
    places = {i: before_new.get((math.prod(old[:i]), n)) for i, n in enumerate(old) if n != 1}
    return {i: j for i, j in places.items() if j is not None}


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **dict.fromkeys(("activation", "prelu", "batch_norm", "elementwise", "scale", "shift"), _same),
        **dict.fromkeys(("add", "subtract", "multiply", "divide", "maximum", "minimum", "broadcast"), _union),
        **dict.fromkeys(("conv", "local", *POOLS), _window),
        **dict.fromkeys(("mean", "sum", "max"), _over(lambda node: node.attributes["axes"], dropped=True)),
        **dict.fromkeys(("softmax", "l2_normalise", "take"), _over(lambda node: (node.attributes["axis"],))),
        "constant": lambda node, fields, shapes: (),
        "dense": _over(lambda node: (-1,)),
        "pad": _pad,
        "slice": _slice,
        "transpose": _transpose,
        "concatenate": _concatenate,
        "reshape": _reshape,
    }
)
