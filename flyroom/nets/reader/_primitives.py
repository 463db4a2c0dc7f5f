"""A rule for each of JAX's primitives that a network may be written in: (equation, inputs, reading) -> one step."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from flyroom.nets.graph import ELEMENTWISE
from flyroom.nets.reader._patterns import averaged, clipped, product, quotient
from flyroom.nets.reader._steps import Known, Reading, Step, parent
from flyroom.nets.reader._windows import WINDOWS

Value = Any  # Known or Step; which of the two stands where, the operation says
Rule = Callable[[Any, list[Value], Reading], Step]


def example_axis(axis: int, batch: int) -> int:
    """The axis of an example that an axis of the traced value is; the batch axis is none."""
    return axis if axis < batch else axis - 1


def example_shape(equation: Any, batch: int) -> tuple[int, ...]:
    shape = equation.outvars[0].aval.shape
    return (*shape[:batch], *shape[batch + 1 :])


# Layers of nets -----------------------------------------------------------------------------------------------------


def _layer(equation: Any, inputs: list[Value], state: Reading) -> Step:
    params = equation.params
    kind, attributes = params["kind"], dict(params["attributes"])
    values, weights = inputs[: params["seen"]], inputs[params["seen"] :]
    if any(isinstance(one, Step) for one in weights):
        raise state.refuse(f"the weights of a {kind} layer depend on the input")
    steps = [one for one in values if isinstance(one, Step)]
    if not steps:
        raise state.refuse(f"a {kind} layer is applied to weights alone")
    rank, batch = len(equation.outvars[0].aval.shape), steps[0].batch
    if kind != "activation" and any(one.batch != len(state.node(one).shape) for one in steps):
        raise state.refuse(f"a {kind} layer takes (..., batch), but here the batch is not the last axis")
    batch = batch if kind == "activation" else rank - 1
    steps = [one if isinstance(one, Step) else _as_constant(one, rank, batch, state) for one in values]
    place = next((parent(one.name) for one in weights if one.name), "")
    arrays = {name: one.array for name, one in zip(params["names"], weights, strict=True)}
    return state.add(kind, steps, example_shape(equation, batch), batch, place=place, weights=arrays, **attributes)


# Products -----------------------------------------------------------------------------------------------------------


def _dot(equation: Any, inputs: list[Value], state: Reading) -> Step:
    """A product with a weight: dense along the axes that are summed over."""
    (left, right), (left_batch, _) = equation.params["dimension_numbers"]
    if left_batch or all(isinstance(one, Step) for one in inputs):
        raise state.refuse("a product of two values that both depend on the input (attention?) has no rule")
    seen_left = isinstance(inputs[0], Step)
    step, weight = inputs if seen_left else inputs[::-1]
    over, weight_over = (left, right) if seen_left else (right, left)
    rank = len(state.node(step).shape) + 1
    if step.batch in over:
        raise state.refuse("a product sums over the batch")
    free = [axis for axis in range(rank) if axis not in over]
    weight_free = [axis for axis in range(len(weight.shape)) if axis not in weight_over]
    outputs = tuple(weight.shape[axis] for axis in weight_free)
    summed = math.prod(weight.shape[axis] for axis in weight_over)
    matrix = weight.map(lambda w: w.transpose(*weight_free, *weight_over).reshape(-1, summed))
    others = [axis for axis in free if axis != step.batch]
    step = state.reordered(step, tuple(example_axis(axis, step.batch) for axis in (*others, *over)))
    kept = tuple(state.node(step).shape[: len(others)])
    if len(over) != 1:
        step = state.add("reshape", [step], (*kept, summed), 0)
    width = math.prod(outputs)
    place, weights = parent(weight.name), {"weight": matrix.array}
    step = state.add("dense", [step], (*kept, width), 0, place=place, weights=weights)
    if len(outputs) != 1:
        step = state.add("reshape", [step], (*kept, *outputs), 0)
    at = free.index(inputs[0 if seen_left else 1].batch)
    if seen_left:
        return Step(step.index, at)
    if others:  # the weight's axes come first in what was traced
        count = len(others)
        step = state.reordered(step, (*range(count, count + len(outputs)), *range(count)))
    return Step(step.index, at + len(outputs))


# Sums and products of values, and with weights ----------------------------------------------------------------------

PATTERNS = {"mul": product, "div": quotient}
OPS = {
    "add": "add",
    "add_any": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "max": "maximum",
    "min": "minimum",
}


def _two(equation: Any, inputs: list[Value], state: Reading) -> Step:
    name = equation.primitive.name
    steps = [one for one in inputs if isinstance(one, Step)]
    if len(steps) == 2:
        if steps[0].batch != steps[1].batch:
            raise state.refuse(f"{name} of two values whose batches lie along different axes")
        if name in PATTERNS and (known := PATTERNS[name](steps, state)) is not None:
            return known
        return state.add(OPS[name], steps, example_shape(equation, steps[0].batch), steps[0].batch)
    step, first = steps[0], isinstance(inputs[0], Step)
    known = state.example(inputs[1] if first else inputs[0], step.batch, len(state.node(step).shape) + 1)
    value = _uniform(known)
    if value is not None and (fused := _with_number(name, step, value, first, state)) is not None:
        return fused
    if name in ("add", "add_any") and (fused := _bias(step, known, state)) is not None:
        return fused
    constant = state.constant(known, tuple(known.shape), step.batch)
    pair = [step, constant] if first else [constant, step]
    return state.add(OPS[name], pair, example_shape(equation, step.batch), step.batch)


def _uniform(known: Known) -> float | None:
    """The one number that a weight consists of; None where it is several, or not known."""
    if known.abstract or np.size(known.array) == 0:
        return None
    flat = np.ravel(known.array)
    return float(flat[0]) if not known.name and (flat == flat[0]).all() else None


def _with_number(name: str, step: Step, value: float, first: bool, state: Reading) -> Step | None:
    node = state.node(step)
    if (held := clipped(name, step, value, state)) is not None:
        return held
    if name == "max" and value == 0:
        return state.add("activation", [step], node.shape, step.batch, name="relu")
    if name == "div" and first and node.op == "sum" and value == _summed(node, state):
        return state.replaced(step, op="mean")
    if name == "div" and first and (mean := averaged(step, value, state)) is not None:
        return mean
    if name in ("add", "add_any", "sub"):
        if name == "sub" and not first:
            step, value = state.add("scale", [step], node.shape, step.batch, value=-1.0), value
        return state.add("shift", [step], node.shape, step.batch, value=value if name != "sub" or not first else -value)
    if name == "mul":
        return state.add("scale", [step], node.shape, step.batch, value=value)
    if name == "div" and first and value != 0 and math.frexp(value)[0] in (0.5, -0.5):
        return state.add("scale", [step], node.shape, step.batch, value=1 / value)  # a power of two: exact
    return None


def _summed(node: Any, state: Reading) -> int:
    before = state.nodes[node.inputs[0]].shape
    return math.prod(before[axis] for axis in node.attributes["axes"])


def _bias(step: Step, known: Known, state: Reading) -> Step | None:
    """A weight that is added right after a dense layer or a convolution, as its bias."""
    node = state.node(step)
    if node.op not in ("dense", "conv") or "bias" in node.weights:
        return None
    channel = len(node.shape) - 1 if node.op == "dense" else 0
    expected = tuple(n if axis == channel else 1 for axis, n in enumerate(node.shape))
    if tuple(known.shape) == expected:
        bias = known.map(lambda array: array.reshape(-1))
    elif tuple(known.shape) == node.shape and _only_along(known, channel):
        bias = known.map(lambda array: np.moveaxis(array, channel, 0).reshape(array.shape[channel], -1)[:, 0])
    else:
        return None
    return state.replaced(step, weights={"bias": bias.array})


def _only_along(known: Known, axis: int) -> bool:
    """Whether a weight varies along one axis only. Of shapes alone this is not seen, but for a single axis."""
    others = tuple(i for i in range(len(known.shape)) if i != axis)
    if known.abstract:
        return not others
    array = np.asarray(known.array)
    return bool((array == array.max(axis=others, keepdims=True)).all())


def _negative(equation: Any, inputs: list[Value], state: Reading) -> Step:
    return state.add("scale", [inputs[0]], state.node(inputs[0]).shape, inputs[0].batch, value=-1.0)


def _activation(name: str) -> Rule:
    def rule(equation: Any, inputs: list[Value], state: Reading) -> Step:
        return state.add("activation", [inputs[0]], state.node(inputs[0]).shape, inputs[0].batch, name=name)

    return rule


def _elementwise(equation: Any, inputs: list[Value], state: Reading) -> Step:
    shape = state.node(inputs[0]).shape
    return state.add("elementwise", [inputs[0]], shape, inputs[0].batch, name=equation.primitive.name)


def _power(equation: Any, inputs: list[Value], state: Reading) -> Step:
    if equation.params["y"] != 2:
        raise state.refuse(f"the power {equation.params['y']} has no rule; the square has")
    return _activation("square")(equation, inputs, state)


def _clamp(equation: Any, inputs: list[Value], state: Reading) -> Step:
    low, x, high = inputs
    bounds = [_uniform(one) if isinstance(one, Known) else None for one in (low, high)]
    if bounds != [-1.0, 1.0] or isinstance(x, Known):
        raise state.refuse(
            f"a value held between {bounds[0]} and {bounds[1]} has no rule; between -1 and 1 it is hard_tanh"
        )
    return state.add("activation", [x], state.node(x).shape, x.batch, name="hard_tanh")


# Shapes -------------------------------------------------------------------------------------------------------------


def _reshape(equation: Any, inputs: list[Value], state: Reading) -> Step:
    (step,), new = inputs, equation.outvars[0].aval.shape
    old = state.node(step).shape
    size, before = (*old[: step.batch], 0, *old[step.batch :]), math.prod(old[: step.batch])
    length = equation.invars[0].aval.shape[step.batch]
    places = [i for i in range(len(new)) if new[i] == length and math.prod(new[:i]) == before]
    if not places:
        raise state.refuse(f"a reshape from {size} mixes the batch (0 there) with the axes of an example")
    batch = places[0]
    shape = (*new[:batch], *new[batch + 1 :])
    return Step(step.index, batch) if shape == old else state.add("reshape", [step], shape, batch)


def _transpose(equation: Any, inputs: list[Value], state: Reading) -> Step:
    (step,), order = inputs, equation.params["permutation"]
    axes = tuple(example_axis(axis, step.batch) for axis in order if axis != step.batch)
    return Step(state.reordered(step, axes).index, order.index(step.batch))


def _broadcast(equation: Any, inputs: list[Value], state: Reading) -> Step:
    (step, *_), places = inputs, equation.params["broadcast_dimensions"]
    new, old, batch = equation.params["shape"], equation.invars[0].aval.shape, places[step.batch]
    widened = [1] * len(new)
    for axis, place in enumerate(places):
        widened[place] = old[axis]
    drop = lambda shape: (*shape[:batch], *shape[batch + 1 :])  # noqa: E731
    if drop(widened) != state.node(step).shape:
        step = state.add("reshape", [step], drop(widened), batch)
    return Step(step.index, batch) if tuple(new) == tuple(widened) else state.add("broadcast", [step], drop(new), batch)


def _reduce(op: str) -> Rule:
    def rule(equation: Any, inputs: list[Value], state: Reading) -> Step:
        (step,), axes = inputs, equation.params["axes"]
        if step.batch in axes:
            raise state.refuse(f"a {op} over the batch (batch norm that trains? read it as it is at inference)")
        batch = step.batch - sum(axis < step.batch for axis in axes)
        over = tuple(example_axis(axis, step.batch) for axis in axes)
        return state.add(op, [step], example_shape(equation, batch), batch, axes=over)

    return rule


def _concatenate(equation: Any, inputs: list[Value], state: Reading) -> Step:
    steps = [one for one in inputs if isinstance(one, Step)]
    batch, axis, rank = steps[0].batch, equation.params["dimension"], len(equation.outvars[0].aval.shape)
    if axis == batch or any(one.batch != batch for one in steps):
        raise state.refuse("a concatenation along the batch")
    whole = [one if isinstance(one, Step) else _as_constant(one, rank, batch, state) for one in inputs]
    return state.add("concatenate", whole, example_shape(equation, batch), batch, axis=example_axis(axis, batch))


def _as_constant(known: Known, rank: int, batch: int, state: Reading) -> Step:
    example = state.example(known, batch, rank)
    return state.constant(example, tuple(example.shape), batch)


def _slice(equation: Any, inputs: list[Value], state: Reading) -> Step:
    (step,), params = inputs, equation.params
    lists = [list(params["start_indices"]), list(params["limit_indices"]), list(params["strides"] or [])]
    lists[2] = lists[2] or [1] * len(lists[0])
    if equation.outvars[0].aval.shape[step.batch] != equation.invars[0].aval.shape[step.batch]:
        raise state.refuse("a slice of the batch")
    starts, stops, steps = (tuple(x for axis, x in enumerate(one) if axis != step.batch) for one in lists)
    return state.add(
        "slice", [step], example_shape(equation, step.batch), step.batch, starts=starts, stops=stops, steps=steps
    )


def _reverse(equation: Any, inputs: list[Value], state: Reading) -> Step:
    (step,) = inputs
    if step.batch in equation.params["dimensions"]:
        raise state.refuse("the batch in reverse order")
    for axis in equation.params["dimensions"]:
        place, shape = example_axis(axis, step.batch), state.node(step).shape
        index = np.arange(shape[place])[::-1]
        step = state.add("take", [step], shape, step.batch, weights={"index": index}, axis=place)
    return step


def _gather(equation: Any, inputs: list[Value], state: Reading) -> Step:
    """Whole slices along one axis, by a fixed index: `x[:, order]`, `jnp.take`."""
    step, index = inputs
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if isinstance(index, Step) or isinstance(step, Known):
        raise state.refuse("places that depend on the input have no rule")
    (axis, *more) = numbers.start_index_map
    whole = all(
        size == (1 if i == axis else n)
        for i, (size, n) in enumerate(zip(sizes, equation.invars[0].aval.shape, strict=True))
    )
    places = np.asarray(index.array)
    if more or not whole or axis == step.batch or numbers.collapsed_slice_dims != (axis,) or places.ndim != 2:
        raise state.refuse("of gathers only whole slices along one axis of an example have a rule")
    found = state.add(
        "take", [step], _taken(state.node(step).shape, example_axis(axis, step.batch), len(places)), step.batch,
        weights={"index": places[:, 0]}, axis=example_axis(axis, step.batch),
    )  # fmt: skip
    # In what was traced the new axis stands where the slices are not; the others keep their order.
    rank = len(equation.outvars[0].aval.shape)
    (new,) = set(range(rank)) - set(numbers.offset_dims)
    traced = [a for a in range(rank) if a != axis]
    traced.insert(new, axis)
    examples = tuple(example_axis(a, step.batch) for a in traced if a != step.batch)
    return Step(state.reordered(found, examples).index, traced.index(step.batch))


def _taken(shape: tuple[int, ...], axis: int, count: int) -> tuple[int, ...]:
    return (*shape[:axis], count, *shape[axis + 1 :])


def _pad(equation: Any, inputs: list[Value], state: Reading) -> Step:
    step, filling = inputs
    widths = [(int(low), int(high)) for low, high, _ in equation.params["padding_config"]]
    inside = any(inner for _, _, inner in equation.params["padding_config"])
    if isinstance(filling, Step) or _uniform(filling) != 0 or inside or min(min(pair) for pair in widths) < 0:
        raise state.refuse("of paddings only zeros at the ends have a rule here")
    if widths.pop(step.batch) != (0, 0):
        raise state.refuse("a padding of the batch")
    return state.add("pad", [step], example_shape(equation, step.batch), step.batch, widths=tuple(widths), mode="zero")


def _itself(equation: Any, inputs: list[Value], state: Reading) -> Step:
    return inputs[0]


def _cast(equation: Any, inputs: list[Value], state: Reading) -> Step:
    before, after = equation.invars[0].aval.dtype, equation.params["new_dtype"]
    if before != after:
        raise state.refuse(f"a cast from {before} to {after} inside the network has no rule; use one precision")
    return inputs[0]


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "flyroom_step": _layer,
        "dot_general": _dot,
        **dict.fromkeys(OPS, _two),
        "neg": _negative,
        "tanh": _activation("tanh"),
        "logistic": _activation("sigmoid"),
        "sin": _activation("sin"),
        "erf": _activation("erf"),
        "square": _activation("square"),
        "integer_pow": _power,
        "clamp": _clamp,
        **dict.fromkeys(ELEMENTWISE, _elementwise),
        "reshape": _reshape,
        "squeeze": _reshape,
        "expand_dims": _reshape,
        "transpose": _transpose,
        "broadcast_in_dim": _broadcast,
        "reduce_sum": _reduce("sum"),
        "reduce_max": _reduce("max"),
        "concatenate": _concatenate,
        "slice": _slice,
        "rev": _reverse,
        "gather": _gather,
        "pad": _pad,
        "copy": _itself,
        "copy_p": _itself,
        "stop_gradient": _itself,
        "optimization_barrier": _itself,
        "convert_element_type": _cast,
        **WINDOWS,
    }
)
