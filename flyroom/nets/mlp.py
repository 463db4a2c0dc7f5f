"""Multi-layer perceptrons: of any widths, and the one of the MNIST-1D benchmark with its residual second layer."""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import Activation, relu


class MLP(eqx.Module):
    """Dense layers with an activation between them, none after the last.

    >>> import jax
    >>> from flyroom.nets.activations import tanh
    >>> net = MLP.init(jax.random.key(0), (2, 8, 8, 1), tanh)
    >>> net(jax.numpy.ones((5, 2))).shape
    (5, 1)
    """

    layers: tuple[Dense, ...]
    activation: Activation = eqx.field(static=True)

    @staticmethod
    def init(key: PRNGKeyArray, widths: Sequence[int], activation: Activation = relu) -> "MLP":
        """`widths` from the input to the output, at least two, all positive; ValueError otherwise."""
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths {tuple(widths)} must be two or more positive numbers, input first, output last")
        values = draw(key, [shape for pair in pairwise(widths) for shape in Dense.shapes(*pair)])
        layers = tuple(Dense(next(values), next(values)) for _ in widths[1:])
        return MLP(layers, activation)

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        hidden = x.T
        for layer in self.layers[:-1]:
            hidden = self.activation(layer(hidden))
        return self.layers[-1](hidden).T


class ResidualMLP(eqx.Module):
    """The MLP of the MNIST-1D benchmark: h = relu(W1 x); h + relu(W2 h); then a linear layer.

    15,210 parameters with 40 inputs, 100 hidden units and 10 classes. Often drawn as a plain two-layer network; the
    second layer is added to the first one's output (`models.py` of mnist1d).
    """

    first: Dense
    second: Dense
    last: Dense

    @staticmethod
    def init(key: PRNGKeyArray, inputs: int = 40, hidden: int = 100, outputs: int = 10) -> "ResidualMLP":
        pairs = ((inputs, hidden), (hidden, hidden), (hidden, outputs))
        values = draw(key, [shape for pair in pairs for shape in Dense.shapes(*pair)])
        return ResidualMLP(*(Dense(next(values), next(values)) for _ in pairs))

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        hidden = relu(self.first(x.T))
        hidden = hidden + relu(self.second(hidden))
        return self.last(hidden).T
