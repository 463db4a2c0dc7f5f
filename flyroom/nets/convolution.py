"""Convolutions along signals and images. Arrays are (channel, position, batch) and (channel, row, column, batch).

What the field calls a convolution is a cross-correlation: the kernel is laid on the input as it is written, and not
turned round, as in mathematics (and in NumPy's `convolve`). A learned kernel does not care; one that is given does.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Shape, draw
from flyroom.nets._named import named
from flyroom.nets.padding import (
    Padding,
    Widths,
    output_length,
    pad,
    padding_mode,
    padding_widths,
    per_axis,
    taps,
)

Places = Float[Array, "channel *space batch"]
Convolved = Float[Array, "out *place batch"]
Weight = Float[Array | np.ndarray, "out of_group *kernel"]

# So many numbers laid out side by side are 1 GiB in float32, and about twice that while the product is made. A bound of
# memory, not of speed: in a compiled loop of training steps on a CPU, XLA's convolution took 3 to 70 times as long
# as the taps at every size that was tried, up to 24 million numbers. Outside of a loop, where it may use all cores and
# where large columns cost a fault for every page, it was as fast or faster (4 times, forward) above two million, and
# took a fifth to a tenth of the memory. Beyond this bound a slow answer is better than none.
LARGEST_COLUMNS = 1 << 28


def convolve(
    x: Places,
    weight: Weight,
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = 0,
    mode: str = "zero",
) -> Convolved:
    """y[o, i] = sum over c, k of weight[o, c, k] * padded[c, i * stride + k * dilation], and so in two dimensions.

    With `groups`, output channel o sees the channels of its own group only, of which there are as many as `weight`
    has in its second axis; as many groups as channels make a depthwise convolution. `padding` and `mode` are those of
    `padding.padding_widths` and `padding.pad`. The result has `padding.output_length` positions along each axis.

    >>> edge = convolve(jnp.arange(5.0).reshape(1, 5, 1) ** 2, jnp.asarray([[[-1.0, 1.0]]]))
    >>> edge.ravel().tolist()  # x[i + 1] - x[i]; with the kernel turned round it would be x[i] - x[i + 1]
    [1.0, 3.0, 5.0, 7.0]

    Raises ValueError where x, weight and groups do not fit each other, the kernel does not fit the padded input, or
    the padding does not fit the mode.

    On a CPU the way is `by_taps` as long as the columns are at most LARGEST_COLUMNS numbers; else it is `by_xla`.
    """
    axes = _axes(x, weight, groups)
    kernel = weight.shape[2:]
    strides, dilations = per_axis(stride, axes, "stride"), per_axis(dilation, axes, "dilation")
    widths = padding_widths(padding, kernel, strides, dilations)
    counts = [output_length(*each) for each in zip(x.shape[1:-1], kernel, strides, widths, dilations, strict=True)]
    if padding_mode(mode) != "zero":
        x, widths = pad(x, widths, mode), ((0, 0),) * axes
    small = prod(kernel) == 1 or prod(kernel) * x.shape[0] * prod(counts) * x.shape[-1] <= LARGEST_COLUMNS
    way = by_taps if jax.default_backend() == "cpu" and small else by_xla
    return way(x, weight, strides, dilations, groups, widths)


def _axes(x: Places, weight: Weight, groups: int) -> int:
    """How many axes of space x and weight have; ValueError where they do not fit each other."""
    axes = weight.ndim - 2
    if axes not in (1, 2) or x.ndim != weight.ndim:
        raise ValueError(
            f"x of shape {x.shape} and a weight of shape {weight.shape} do not fit; a signal is (channel, position, "
            "batch) with a weight of (out, channel, kernel), an image (channel, row, column, batch) with one of "
            "(out, channel, kernel, kernel)"
        )
    outputs, of_group = weight.shape[:2]
    _divided(x.shape[0], outputs, groups)
    if of_group * groups != x.shape[0]:
        raise ValueError(
            f"{x.shape[0]} channels come in, and a weight of shape {weight.shape} in {groups} "
            f"{'group' if groups == 1 else 'groups'} takes {of_group * groups}"
        )
    return axes


def _divided(inputs: int, outputs: int, groups: int) -> None:
    if min(inputs, outputs, groups) < 1:
        raise ValueError(f"{inputs} channels in, {outputs} out, groups {groups}: all must be at least 1")
    if inputs % groups or outputs % groups:
        raise ValueError(
            f"{groups} groups do not divide {inputs} channels in and {outputs} out; "
            "each group must have as many channels as the others"
        )


def by_taps(
    x: Places,
    weight: Weight,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    padding: Widths,
) -> Convolved:
    """Convolution as one matrix product over the taps of the kernel, side by side; zero padding.

    With the batch as the last axis the taps are copied in long runs and the product has no transposes. On a CPU this
    is an order of magnitude faster than XLA's own convolution in a training loop (benchmarks/training.py), and was
    over twice as fast as the same product with the batch first when the two were tried. Groups are a batch of products.
    """
    outputs, of_group, *kernel = weight.shape
    counts = [output_length(*each) for each in zip(x.shape[1:-1], kernel, stride, padding, dilation, strict=True)]
    seen = prod(kernel) * of_group
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    if groups == 1:
        columns = jnp.concatenate(taps(padded, kernel, stride, dilation)).reshape(seen, -1)
    else:
        padded = padded.reshape(groups, of_group, *padded.shape[1:])
        columns = jnp.concatenate(taps(padded, kernel, stride, dilation), axis=1).reshape(groups, seen, -1)
    rows = jnp.asarray(weight).transpose(0, *range(2, weight.ndim), 1)
    rows = rows.reshape(outputs, seen) if groups == 1 else rows.reshape(groups, outputs // groups, seen)
    return (rows @ columns).reshape(outputs, *counts, x.shape[-1])


def by_xla(
    x: Places,
    weight: Weight,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    padding: Widths,
) -> Convolved:
    """The same through XLA's convolution: what a GPU is fast at."""
    space = "HW"[: len(stride)]
    return jax.lax.conv_general_dilated(
        x,
        jnp.asarray(weight),
        stride,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=(f"C{space}N", f"OI{space}", f"C{space}N"),
        feature_group_count=groups,
    )


def _layer(x: Places, weights: Mapping[str, Any], **geometry: Any) -> Convolved:
    convolved = convolve(x, weights["weight"], **geometry)
    if "bias" not in weights:
        return convolved
    return convolved + weights["bias"][(slice(None), *[None] * (x.ndim - 1))]


class Convolution(eqx.Module):
    """A convolution with its weights, laid out as in PyTorch: (out, channel / groups, *kernel), a bias or none.

    Made by `init` with PyTorch's first weights or by `of` from given ones. K x K x channels x out weights for an image
    (1,728 for 3 x 3 and 3 -> 64), however large the image is; a bias, which is the default, is one more for each
    output channel.
    """

    weight: Float[Array, "out of_group *kernel"]
    bias: Float[Array, " out"] | None
    stride: tuple[int, ...] = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    padding: Widths = eqx.field(static=True)
    mode: str = eqx.field(static=True)

    @staticmethod
    def shapes(
        inputs: int, outputs: int, kernel: int | Sequence[int], *, groups: int = 1, bias: bool = True
    ) -> list[Shape]:
        """What `_layers.draw` draws: the weight and, with a bias, that."""
        _divided(inputs, outputs, groups)
        sizes = per_axis(kernel, 1 if isinstance(kernel, int) else len(kernel), "kernel")
        shape, fan_in = (outputs, inputs // groups, *sizes), inputs // groups * prod(sizes)
        return [(shape, fan_in), ((outputs,), fan_in)] if bias else [(shape, fan_in)]

    @staticmethod
    def of(
        weight: Float[Array, "out of_group *kernel"],
        bias: Float[Array, " out"] | None = None,
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding: Padding = 0,
        mode: str = "zero",
    ) -> "Convolution":
        """The convolution with these weights; ValueError as in `convolve`, as far as it does not need the input."""
        kernel = weight.shape[2:]
        if len(kernel) not in (1, 2):
            raise ValueError(
                f"a weight of shape {weight.shape} is none of a convolution; it is (out, channel, kernel) for "
                "signals, (out, channel, kernel, kernel) for images"
            )
        _divided(weight.shape[1] * groups, weight.shape[0], groups)
        strides, dilations = per_axis(stride, len(kernel), "stride"), per_axis(dilation, len(kernel), "dilation")
        widths = padding_widths(padding, kernel, strides, dilations)
        return Convolution(weight, bias, strides, dilations, groups, widths, padding_mode(mode))

    @staticmethod
    def init(
        key: PRNGKeyArray,
        inputs: int,
        outputs: int,
        kernel: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding: Padding = 0,
        mode: str = "zero",
        bias: bool = True,
    ) -> "Convolution":
        """First weights as PyTorch draws them; a `kernel` of one number is for signals, of two for images.

        >>> layer = Convolution.init(jax.random.key(0), 3, 64, (3, 3), padding="same", bias=False)
        >>> layer.weight.size, layer(jnp.zeros((3, 32, 32, 10))).shape
        (1728, (64, 32, 32, 10))
        """
        values = draw(key, Convolution.shapes(inputs, outputs, kernel, groups=groups, bias=bias))
        weight = next(values)
        return Convolution.of(
            weight, next(values, None), stride=stride, dilation=dilation, groups=groups, padding=padding, mode=mode
        )

    def __call__(self, x: Places) -> Convolved:
        geometry = {
            "stride": self.stride,
            "dilation": self.dilation,
            "groups": self.groups,
            "padding": self.padding,
            "mode": self.mode,
        }
        weights = {"weight": self.weight, "bias": self.bias}
        return named("conv", partial(_layer, **geometry), x, weights, **geometry)
