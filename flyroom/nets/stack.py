"""Convolutions one after another, on signals or images, and dense layers at their end.

Arrays inside are (channel, *space, batch). What claims about convolutional networks vary is an argument here: kernels,
strides, dilations, pooling, whether weights are shared, and whether what is left is flattened or averaged.
"""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, Shape, draw
from flyroom.nets.activations import Activation
from flyroom.nets.convolution import Convolution
from flyroom.nets.local import Local
from flyroom.nets.padding import output_length
from flyroom.nets.pooling import global_mean, max_pool, mean_pool

Places = Float[Array, "channel *space batch"]
Pooled = Float[Array, "channel *window batch"]

POOLED = ("none", "max", "mean")
SUMMARIES = ("flatten", "mean")


class Stack(eqx.Module):
    """Convolutions (or `Local` layers), each with an activation and a pooling, then dense layers.

    With the summary "flatten" the first dense layer sees every channel at every place; with "mean" it sees each
    channel's mean over all places, so that nothing but the convolutions can tell what lies beside what.

    The default is the CNN of the MNIST-1D benchmark: `conv.CNN` with the same key has the same weights.

    >>> net = Stack.init(jax.random.key(0), (8, 8), channels=(4, 6), kernels=(3, 3), strides=(1, 2), padding=None)
    >>> [one.shape for one in net.responses(jnp.zeros((5, 8, 8)))]
    [(4, 8, 8, 5), (6, 4, 4, 5)]
    """

    layers: tuple[Convolution | Local, ...]
    dense: tuple[Dense, ...]
    activation: Activation = eqx.field(static=True)
    pooling: str = eqx.field(static=True)
    window: int = eqx.field(static=True)
    summary: str = eqx.field(static=True)

    @staticmethod
    def init(
        key: PRNGKeyArray,
        space: Sequence[int] = (40,),
        outputs: int = 10,
        *,
        channels: Sequence[int] = (25, 25, 25),
        kernels: Sequence[int] = (5, 3, 3),
        strides: int | Sequence[int] = 2,
        dilations: int | Sequence[int] = 1,
        padding: int | None = 1,
        shared: bool = True,
        hidden: Sequence[int] = (),
        activation: Activation = jax.nn.relu,
        pooling: str = "none",
        window: int = 2,
        summary: str = "flatten",
    ) -> "Stack":
        """One layer for each of `channels`; `kernels`, `strides` and `dilations` hold along every axis of space.

        `padding` zeros are put on every side; None is half of the (effective) kernel, which loses no position.
        `shared=False` gives every place of a signal its own weights (`Local`, without dilation). `hidden` are dense
        layers before the last.

        Raises ValueError for counts that do not match, words that are not offered, an even kernel where the padding is
        None, and kernels and windows that do not fit.
        """
        _check(channels, kernels, pooling, summary, padding)
        axes, count = len(space), len(channels)
        steps, apart = _each(strides, count, "strides"), _each(dilations, count, "dilations")
        around = [d * (k // 2) if padding is None else padding for k, d in zip(kernels, apart, strict=True)]
        shapes: list[Shape] = []
        places, inputs = tuple(space), 1
        for width, kernel, step, dilation, pad in zip(channels, kernels, steps, apart, around, strict=True):
            convolved = tuple(output_length(one, kernel, step, pad, dilation) for one in places)
            shapes += _shapes(inputs, width, kernel, convolved, shared=shared, dilation=dilation)
            places, inputs = _pooled(convolved, pooling, window), width
        left = inputs
        if summary == "flatten":
            for one in places:
                left *= one
        widths = (left, *hidden, outputs)
        values = draw(key, shapes + [shape for pair in pairwise(widths) for shape in Dense.shapes(*pair)])
        layers = tuple(
            Convolution.of(next(values), next(values), stride=step, dilation=dilation, padding=((pad, pad),) * axes)
            if shared
            else Local(next(values), next(values), (kernel,), (step,), ((pad, pad),))
            for kernel, step, dilation, pad in zip(kernels, steps, apart, around, strict=True)
        )
        dense = tuple(Dense(next(values), next(values)) for _ in widths[1:])
        return Stack(layers, dense, activation, pooling, window, summary)

    def responses(self, x: Float[Array, "batch *space"]) -> tuple[Float[Array, "..."], ...]:
        """What each layer answers, after its activation and before its pooling: (channel, *space, batch)."""
        found, hidden = [], jnp.moveaxis(x, 0, -1)[None]
        for layer in self.layers:
            found.append(self.activation(layer(hidden)))
            hidden = self._pool(found[-1])
        return tuple(found)

    def _pool(self, x: Places) -> Pooled:
        if self.pooling == "none":
            return x
        return (max_pool if self.pooling == "max" else mean_pool)(x, self.window)

    def __call__(self, x: Float[Array, "batch *space"]) -> Float[Array, "batch output"]:
        hidden = self._pool(self.responses(x)[-1])
        hidden = global_mean(hidden) if self.summary == "mean" else hidden.reshape(-1, x.shape[0])
        for layer in self.dense[:-1]:
            hidden = self.activation(layer(hidden))
        return self.dense[-1](hidden).T


def _check(channels: Sequence[int], kernels: Sequence[int], pooling: str, summary: str, padding: int | None) -> None:
    if len(channels) != len(kernels) or not channels:
        raise ValueError(f"channels {tuple(channels)} and kernels {tuple(kernels)} must be equally many, at least one")
    if pooling not in POOLED or summary not in SUMMARIES:
        raise ValueError(
            f"pooling {pooling!r} and summary {summary!r}: choose {', '.join(POOLED)}, and {' or '.join(SUMMARIES)}"
        )
    if padding is None and any(kernel % 2 == 0 for kernel in kernels):
        raise ValueError(f"kernels {tuple(kernels)} must be odd, or the padding a number: an even one has no middle")


def _each(value: int | Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """One number for each layer, where one may stand for all."""
    each = (value,) * count if isinstance(value, int) else tuple(value)
    if len(each) != count:
        raise ValueError(f"{name} {each}: give one for all, or one for each of {count} layers")
    return each


def _shapes(
    inputs: int, outputs: int, kernel: int, places: tuple[int, ...], *, shared: bool, dilation: int
) -> list[Shape]:
    if shared:
        return Convolution.shapes(inputs, outputs, (kernel,) * len(places))
    if len(places) != 1 or dilation != 1:
        raise ValueError(
            f"layers of unshared weights are for signals without dilation; got {len(places)} axes and {dilation}"
        )
    return Local.shapes(inputs, outputs, places[0], kernel)


def _pooled(places: tuple[int, ...], pooling: str, window: int) -> tuple[int, ...]:
    return places if pooling == "none" else tuple(output_length(one, window, window) for one in places)
