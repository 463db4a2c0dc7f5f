"""Convolutional networks on signals. Arrays inside are (channel, position, batch)."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import Activation, relu
from flyroom.nets.convolution import Convolution
from flyroom.nets.padding import output_length
from flyroom.nets.pooling import Pooling, none


class CNN(eqx.Module):
    """Convolutions, each with an activation and a pooling, then one dense layer on all that is left.

    The default is the CNN of the MNIST-1D benchmark: 25 channels, kernels 5, 3, 3, stride 2, padding 1, lengths
    40 -> 19 -> 10 -> 5, 5,210 parameters.
    """

    convolutions: tuple[Convolution, ...]
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
        activation: Activation = relu,
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
            positions = output_length(positions, kernel, stride, padding)
            shapes += Convolution.shapes(inputs, width, kernel)
            positions = jax.eval_shape(
                lambda x: pooling(x, window), jax.ShapeDtypeStruct((1, positions, 1), float)
            ).shape[1]
            inputs = width
        values = draw(key, shapes + Dense.shapes(inputs * positions, outputs))
        layers = tuple(Convolution.of(next(values), next(values), stride=stride, padding=padding) for _ in channels)
        return CNN(layers, Dense(next(values), next(values)), activation, pooling, window)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        hidden = x.T[None]
        for layer in self.convolutions:
            hidden = self.pooling(self.activation(layer(hidden)), self.window)
        return self.last(hidden.reshape(-1, x.shape[0])).T
