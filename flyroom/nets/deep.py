"""Networks of any depth, with and without skip connections."""

from math import sqrt
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import relu

Skip = Literal["none", "add", "mean"]


class DeepMLP(eqx.Module):
    """A first dense layer, `depth - 2` layers of one width, a last one; ReLU before each but the first.

    With `skip` "add" a layer's output is added to its input, h + W relu(h): the residual network of the book's chapter
    11, whose activations double in variance with each layer at He's first weights. "mean" divides that sum by the root
    of two, which keeps the variance. The layers of one width are stacked, so that any depth is compiled once as a loop.
    """

    first: Dense
    weights: Float[Array, "layer width width"]
    biases: Float[Array, "layer width"]
    last: Dense
    skip: Skip = eqx.field(static=True)

    @staticmethod
    def init(key: PRNGKeyArray, depth: int, skip: Skip = "none", width: int = 100) -> "DeepMLP":
        """He's first weights; ValueError for fewer than three layers."""
        if depth < 3:
            raise ValueError(f"depth {depth}: a first layer, one or more of one width, and a last one make at least 3")
        inner = depth - 2
        shapes = [
            *Dense.shapes(40, width),
            ((inner, width, width), width),
            ((inner, width), width),
            *Dense.shapes(width, 10),
        ]
        values = [leaf * sqrt(6) for leaf in draw(key, shapes)]
        first, last = (Dense(values[i], jnp.zeros_like(values[i + 1])) for i in (0, 4))
        return DeepMLP(first, values[2], jnp.zeros_like(values[3]), last, skip)

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        def layer(hidden, parameters):
            change = Dense(*parameters)(relu(hidden))
            if self.skip == "none":
                return change, None
            return (hidden + change) * (1.0 if self.skip == "add" else sqrt(0.5)), None

        hidden, _ = jax.lax.scan(layer, self.first(x.T), (self.weights, self.biases))
        return self.last(relu(hidden)).T
