"""Rules for convolutions and pooling windows that are written in plain JAX."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from flyroom.nets.reader._steps import Known, Reading, Step, parent


def _conv(equation: Any, inputs: list[Any], state: Reading) -> Step:
    step, kernel = inputs
    params = equation.params
    if isinstance(kernel, Step) or isinstance(step, Known):
        raise state.refuse("a convolution with a kernel that depends on the input has no rule")
    if params["batch_group_count"] != 1 or any(n != 1 for n in params["lhs_dilation"]):
        raise state.refuse("transposed convolutions and groups of the batch have no rule")
    if min(min(pair) for pair in params["padding"]) < 0:
        raise state.refuse(f"a convolution with negative padding {params['padding']} has no rule")
    numbers = params["dimension_numbers"]
    batch, channel, *space = numbers.lhs_spec
    if step.batch != batch:
        raise state.refuse("a convolution takes the batch for an axis of the example")
    axes = tuple(axis if axis < batch else axis - 1 for axis in (channel, *space))
    step = state.batch_last(state.reordered(step, axes))
    out_batch, out_channel, *out_space = numbers.out_spec
    shape = equation.outvars[0].aval.shape
    found = state.add(
        "conv",
        [step],
        tuple(shape[axis] for axis in (out_channel, *out_space)),
        len(space) + 1,
        place=parent(kernel.name),
        weights={"weight": kernel.map(lambda array: array.transpose(numbers.rhs_spec)).array},
        stride=tuple(params["window_strides"]),
        dilation=tuple(params["rhs_dilation"]),
        groups=params["feature_group_count"],
        padding=tuple(tuple(pair) for pair in params["padding"]),
        mode="zero",
    )
    # Back into the order of what was traced: example axis i of the convolution stands at `places[i]` there.
    places = [axis if axis < out_batch else axis - 1 for axis in (out_channel, *out_space)]
    order = tuple(places.index(axis) for axis in range(len(places)))
    return Step(state.reordered(found, order).index, out_batch)


def _window(op: str) -> Callable[[Any, list[Any], Reading], Step]:
    """JAX's window slides over any axes: those that it moves along are space, one of the others holds channels."""

    def rule(equation: Any, inputs: list[Any], state: Reading) -> Step:
        (step, *_), params = inputs, equation.params
        if any(n != 1 for n in (*params["base_dilation"], *params["window_dilation"])):
            raise state.refuse("a dilated pooling window has no rule")
        windows = list(zip(params["window_dimensions"], params["window_strides"], params["padding"], strict=True))
        if isinstance(step, Known) or not _still(windows.pop(step.batch)):
            raise state.refuse("a pooling window over the batch")
        still = [axis for axis, window in enumerate(windows) if _still(window)]
        whole = state.node(step).shape
        if not still:  # an axis of one channel, for the length of this step
            step = state.add("reshape", [step], (1, *whole), 0)
            windows, still = [(1, 1, (0, 0)), *windows], [0]
        moved = [axis for axis in range(len(windows)) if axis != still[0]]
        before = state.batch_last(state.reordered(step, (still[0], *moved)))
        given: dict[str, Any] = {
            name: tuple(tuple(w) if name == "padding" else w for w in values)
            for name, values in zip(
                ("window", "stride", "padding"), zip(*(windows[a] for a in moved), strict=True), strict=True
            )
        }
        more: dict[str, Any] = {"count_padding": True} if op == "mean_pool" else {}
        new = [
            (n + sum(around) - size) // stride + 1
            for n, (size, stride, around) in zip(state.node(before).shape[1:], (windows[a] for a in moved), strict=True)
        ]
        found = state.add(op, [before], (state.node(before).shape[0], *new), len(moved) + 1, **given, **more)
        back = (still[0], *moved)
        found = state.reordered(found, tuple(back.index(axis) for axis in range(len(back))))
        if len(back) > len(whole):
            found = state.add("reshape", [found], state.node(found).shape[1:], 0)
        if op == "mean_pool":  # JAX sums over the window; what it is divided by comes later
            found = state.add("scale", [found], state.node(found).shape, 0, value=float(math.prod(given["window"])))
        return Step(found.index, inputs[0].batch)

    return rule


def _still(window: tuple[int, int, Any]) -> bool:
    """Whether a window does nothing along its axis."""
    return window[:2] == (1, 1) and tuple(window[2]) == (0, 0)


WINDOWS: Mapping[str, Callable[[Any, list[Any], Reading], Step]] = MappingProxyType(
    {
        "conv_general_dilated": _conv,
        "reduce_window_max": _window("max_pool"),
        "reduce_window_sum": _window("mean_pool"),
    }
)
