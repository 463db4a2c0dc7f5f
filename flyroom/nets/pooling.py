"""Pooling: what a window is reduced to. Arrays are (channel, *space, batch).

`maximum`, `mean` and `l2` are for signals, (channel, position, batch), with windows side by side: what the networks
here take by name. `max_pool`, `mean_pool` and `l2_pool` are for signals and images, with any stride and padding. What
does not fill a last window is dropped, as in PyTorch (unless it is told `ceil_mode`).
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from math import prod
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flyroom.nets._named import named
from flyroom.nets.padding import Padding, Widths, effective_input, padding_widths, per_axis, taps

Signal = Float[Array, "channel position batch"]
Pooled = Float[Array, "channel window batch"]
Pooling = Callable[[Signal, int], Pooled]
Places = Float[Array, "channel *space batch"]
Windows = Float[Array, "channel *window batch"]


def _windows(x: Signal, size: int) -> Float[Array, "channel window size batch"]:
    channels, positions, batch = x.shape
    if not 1 <= size <= positions:
        raise ValueError(f"a window of {size} does not fit {positions} positions; choose 1 to {positions}")
    count = positions // size
    return x[:, : count * size].reshape(channels, count, size, batch)


def _side_by_side(kind: str, reduced: Callable[[Array], Array], x: Signal, size: int, **attributes: bool) -> Pooled:
    def pooled(x: Signal, weights: Mapping[str, Any]) -> Pooled:
        return reduced(_windows(x, size))

    return named(kind, pooled, x, {}, window=(size,), stride=(size,), padding=((0, 0),), **attributes)


def none(x: Signal, size: int = 1) -> Signal:
    """No pooling: the signal itself, whatever the size."""
    return x


def maximum(x: Signal, size: int = 2) -> Pooled:
    """The largest value of each window."""
    return _side_by_side("max_pool", lambda windows: windows.max(2), x, size)


def mean(x: Signal, size: int = 2) -> Pooled:
    """The mean of each window."""
    return _side_by_side("mean_pool", lambda windows: windows.mean(2), x, size, count_padding=True)


def l2(x: Signal, size: int = 2) -> Pooled:
    """The Euclidean norm of each window, as PyTorch's `lp_pool1d` with p = 2 (a sum, not a mean, under the root).

    Its gradient where a whole window is zero is taken as 0, not as the NaN that the root's own rule would give.
    """
    return _side_by_side("l2_pool", lambda windows: _root((windows**2).sum(2)), x, size)


def _root(squares: Float[Array, "..."]) -> Float[Array, "..."]:
    safe = jnp.where(squares > 0, squares, 1)
    return jnp.where(squares > 0, jnp.sqrt(safe), 0)


POOLINGS: Mapping[str, Pooling] = MappingProxyType({"none": none, "max": maximum, "mean": mean, "l2": l2})


def pooling(name: str) -> Pooling:
    """The pooling of that name; ValueError with near matches where there is none."""
    if name not in POOLINGS:
        near = get_close_matches(name, POOLINGS, n=2) or sorted(POOLINGS)
        raise ValueError(f"there is no pooling {name!r}; did you mean {' or '.join(near)}?")
    return POOLINGS[name]


# Signals and images, any stride and padding. --------------------------------------------------------------------------


def max_pool(
    x: Places, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> Windows:
    """The largest value of each window, one window every `stride` places (without one: side by side).

    Padding puts minus infinity around the input, not zero: a padded place never wins. Of equal values the first has
    the whole gradient, as in PyTorch; `maximum`, like JAX, divides it among them. A NaN in a window is its maximum.

    >>> max_pool(jnp.asarray([[1.0, 2, 5, 6], [3, 4, 7, 8]]).reshape(1, 2, 4, 1), 2).ravel().tolist()
    [4.0, 8.0]

    Raises ValueError for windows that do not fit, and padding of more than half a window.
    """
    sizes, strides, widths = _geometry(x, window, stride, padding)
    geometry = {"window": sizes, "stride": strides, "padding": widths}
    return named("max_pool", partial(_largest, **geometry), x, {}, **geometry)


def mean_pool(
    x: Places,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Padding = 0,
    *,
    count_padding: bool = True,
) -> Windows:
    """The mean of each window, one window every `stride` places (without one: side by side).

    A window that reaches into the padding counts its zeros, so that means at the border are too small: PyTorch's
    default (`count_include_pad`), and not that of ONNX or TensorFlow. `count_padding=False` divides by the places that
    hold something.

    >>> mean_pool(jnp.asarray([[1.0, 2, 5, 6], [3, 4, 7, 8]]).reshape(1, 2, 4, 1), 2).ravel().tolist()
    [2.5, 6.5]

    Raises ValueError for windows that do not fit, and padding of more than half a window.
    """
    sizes, strides, widths = _geometry(x, window, stride, padding)
    geometry = {"window": sizes, "stride": strides, "padding": widths, "count_padding": count_padding}
    return named("mean_pool", partial(_averaged, **geometry), x, {}, **geometry)


def l2_pool(
    x: Places, window: int | Sequence[int], stride: int | Sequence[int] | None = None, padding: Padding = 0
) -> Windows:
    """The root of the sum of squares of each window, one every `stride` places (without one: side by side).

    A sum, not a mean, under the root: a constant c becomes c times the root of the window's size. As PyTorch's
    `lp_pool1d` and `lp_pool2d` with a norm of 2, which have no padding; here it is zeros, which change no sum. The
    gradient of a window that is zero throughout is 0.

    Raises ValueError for windows that do not fit, and padding of more than half a window.
    """
    sizes, strides, widths = _geometry(x, window, stride, padding)
    geometry = {"window": sizes, "stride": strides, "padding": widths}
    return named("l2_pool", partial(_norms, **geometry), x, {}, **geometry)


def global_mean(x: Places) -> Float[Array, "channel batch"]:
    """The mean over all of space, one number a channel: what makes the layers after it independent of the size.

    Not to be confused with a mean over channels, nor with the vector that flattening makes of all places.
    """
    return x.mean(axis=tuple(range(1, x.ndim - 1)))


def _geometry(
    x: Places, window: int | Sequence[int], stride: int | Sequence[int] | None, padding: Padding
) -> tuple[tuple[int, ...], tuple[int, ...], Widths]:
    """Window, stride and padding for each axis of space; ValueError where they do not fit x."""
    axes = x.ndim - 2
    if axes < 1:
        raise ValueError(
            f"x of shape {x.shape} has no places to pool; a signal is (channel, position, batch), an image "
            "(channel, row, column, batch)"
        )
    sizes = per_axis(window, axes, "window")
    strides = sizes if stride is None else per_axis(stride, axes, "stride")
    widths = padding_widths(padding, sizes, strides)
    for length, size, width in zip(x.shape[1:-1], sizes, widths, strict=True):
        if 2 * max(width) > size:
            raise ValueError(
                f"a padding of {max(width)} is more than half of a window of {size}; choose at most {size // 2}, so "
                "that every window holds something"
            )
        if size > effective_input(length, width):
            raise ValueError(
                f"a window of {size} does not fit {length} positions with padding {width}; "
                f"choose 1 to {effective_input(length, width)}"
            )
    return sizes, strides, widths


def _seen(x: Places, window: tuple[int, ...], stride: tuple[int, ...], padding: Widths, value: float) -> list[Windows]:
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)
    return taps(padded, window, stride)


def _largest(
    x: Places,
    weights: Mapping[str, Any],
    *,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Widths,
) -> Windows:
    largest, *rest = _seen(x, window, stride, padding, -np.inf)
    for tap in rest:
        largest = jnp.where((tap > largest) | jnp.isnan(tap), tap, largest)
    return largest


def _averaged(
    x: Places,
    weights: Mapping[str, Any],
    *,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Widths,
    count_padding: bool,
) -> Windows:
    first, *rest = _seen(x, window, stride, padding, 0.0)
    total = sum(rest, first)
    if count_padding:
        return total / prod(window)
    one, *more = _seen(jnp.ones((1, *x.shape[1:-1], 1), x.dtype), window, stride, padding, 0.0)
    return total / sum(more, one)


def _norms(
    x: Places,
    weights: Mapping[str, Any],
    *,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Widths,
) -> Windows:
    first, *rest = (tap**2 for tap in _seen(x, window, stride, padding, 0.0))
    return _root(sum(rest, first))
