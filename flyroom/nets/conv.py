"""Convolutional networks on signals. Arrays inside are (channel, position, batch)."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import Activation
from flyroom.nets.pooling import Pooling, none

Signal = Float[Array, "channel position batch"]
Convolved = Float[Array, "out place batch"]


def output_length(positions: int, kernel: int, stride: int, padding: int) -> int:
    """Positions after a convolution: floor((n + 2p - k) / s) + 1; ValueError where the kernel does not fit."""
    if min(kernel, stride) < 1 or padding < 0 or positions + 2 * padding < kernel:
        raise ValueError(
            f"a kernel of {kernel} with stride {stride} and padding {padding} does not fit {positions} positions; "
            "kernel and stride must be at least 1 and the kernel no longer than the padded signal"
        )
    return (positions + 2 * padding - kernel) // stride + 1


def by_taps(x: Signal, weight: Float[Array | np.ndarray, "out channel kernel"], stride: int, padding: int) -> Convolved:
    """Convolution as one matrix product over the taps of the kernel, side by side.

    With the batch as the last axis the taps are copied in long runs and the product has no transposes. On a CPU this
    is an order of magnitude faster than XLA's own convolution at these sizes (benchmarks/training.py), and was over
    twice as fast as the same product with the batch first when the two were tried.
    """
    outputs, channels, kernel = weight.shape
    count = output_length(x.shape[1], kernel, stride, padding)
    padded = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)))
    taps = [padded[:, j : j + stride * (count - 1) + 1 : stride] for j in range(kernel)]
    columns = jnp.concatenate(taps).reshape(kernel * channels, -1)
    rows = jnp.asarray(weight).transpose(0, 2, 1).reshape(outputs, kernel * channels)
    return (rows @ columns).reshape(outputs, count, -1)


def by_xla(x: Signal, weight: Float[Array | np.ndarray, "out channel kernel"], stride: int, padding: int) -> Convolved:
    """The same through XLA's convolution: what a GPU is fast at."""
    return jax.lax.conv_general_dilated(
        x, jnp.asarray(weight), (stride,), [(padding, padding)], dimension_numbers=("CWN", "OIW", "CWN")
    )


class Conv(eqx.Module):
    """A convolution along positions with zero padding (cross-correlation, as everywhere in the field)."""

    weight: Float[Array, "out channel kernel"]
    bias: Float[Array, " out"]
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)

    def __call__(self, x: Signal) -> Convolved:
        convolve = by_taps if jax.default_backend() == "cpu" else by_xla
        return convolve(x, self.weight, self.stride, self.padding) + self.bias[:, None, None]


class CNN(eqx.Module):
    """Convolutions, each with an activation and a pooling, then one dense layer on all that is left.

    The default is the CNN of the MNIST-1D benchmark: 25 channels, kernels 5, 3, 3, stride 2, padding 1, lengths
    40 -> 19 -> 10 -> 5, 5,210 parameters.
    """

    convolutions: tuple[Conv, ...]
    last: Dense
    activation: Activation = eqx.field(static=True)
    pooling: Pooling = eqx.field(static=True)
    window: int = eqx.field(static=True)

    @staticmethod
    def init(
        key: PRNGKeyArray,
        positions: int = 40,
        outputs: int = 10,
        *,
        channels: Sequence[int] = (25, 25, 25),
        kernels: Sequence[int] = (5, 3, 3),
        stride: int = 2,
        padding: int = 1,
        activation: Activation = jax.nn.relu,
        pooling: Pooling = none,
        window: int = 1,
    ) -> "CNN":
        """One layer for each of `channels` and `kernels`; ValueError where a kernel or a window does not fit."""
        if len(channels) != len(kernels) or not channels:
            raise ValueError(
                f"channels {tuple(channels)} and kernels {tuple(kernels)} must be equally many, at least one"
            )
        shapes, inputs = [], 1
        for width, kernel in zip(channels, kernels, strict=True):
            fan_in = inputs * kernel
            shapes += [((width, inputs, kernel), fan_in), ((width,), fan_in)]
            positions = output_length(positions, kernel, stride, padding)
            positions = jax.eval_shape(
                lambda x: pooling(x, window), jax.ShapeDtypeStruct((1, positions, 1), float)
            ).shape[1]
            inputs = width
        values = draw(key, shapes + Dense.shapes(inputs * positions, outputs))
        layers = tuple(Conv(next(values), next(values), stride, padding) for _ in channels)
        return CNN(layers, Dense(next(values), next(values)), activation, pooling, window)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        hidden = x.T[None]
        for layer in self.convolutions:
            hidden = self.pooling(self.activation(layer(hidden)), self.window)
        return self.last(hidden.reshape(-1, x.shape[0])).T
