"""Networks of which one layer learns, and networks of which one layer is disturbed."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from flyroom.nets.mlp import MLP

Weights = Sequence[tuple[Float64[np.ndarray, "_ _"], Float64[np.ndarray, " _"]]]  # each layer has its own shape


class OneLayer(eqx.Module):
    """An MLP of which only the layers with `learns` = 1 have a gradient: the others stay as they are.

    The marks are an array, so that networks in which different layers learn share a program.
    """

    net: MLP
    learns: Int[Array, " layer"]

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        def held(leaf, learns):
            return jnp.where(learns > 0, leaf, jax.lax.stop_gradient(leaf))

        layers = tuple(
            jax.tree.map(lambda leaf, i=i: held(leaf, self.learns[i]), layer) for i, layer in enumerate(self.net.layers)
        )
        return MLP(layers, self.net.activation)(x)


def disturbed(layers: Weights, place: int, noise: float, draw: np.random.Generator) -> Weights:
    """The layers with normal noise on the weights of one, `noise` times their root mean square."""
    weight, bias = layers[place]
    moved = weight + noise * np.sqrt(np.mean(weight**2)) * draw.standard_normal(weight.shape)
    return [*layers[:place], (moved, bias), *layers[place + 1 :]]
