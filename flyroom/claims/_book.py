"""What the notebooks of *Understanding Deep Learning* share: first weights, and gradient descent in stages.

Source: Prince, Understanding Deep Learning, MIT Press 2023, and its notebooks (github.com/udlbook/udlbook).
"""

from functools import cache
from itertools import pairwise
from math import sqrt
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from flyroom.train import Optimiser


def he_uniform(net: Any) -> Any:
    """A network with He's first weights, uniform on (-sqrt(6 / f), sqrt(6 / f)) with f the fan-in, and biases at zero.

    Takes a network drawn as PyTorch draws it, uniform on (-1 / sqrt(f), 1 / sqrt(f)), and stretches it.
    """
    return jax.tree.map(lambda leaf: leaf * sqrt(6) if leaf.ndim > 1 else jnp.zeros_like(leaf), net)


@cache
def descent(momentum: float, halve_every: int = 0) -> Optimiser:
    """Gradient descent with momentum whose rate is halved after every so many updates (PyTorch's StepLR); 0: never.

    The same arguments give the same function, so that it is compiled once.
    """

    def optimiser(learning_rate: Any) -> optax.GradientTransformation:
        def rate(count):
            return learning_rate * 0.5 ** (count // halve_every) if halve_every else learning_rate

        return optax.sgd(rate, momentum=momentum or None)

    return optimiser


def parameters_of(widths: tuple[int, ...]) -> int:
    """How many parameters an MLP of these widths has.

    >>> parameters_of((40, 298, 10))
    15208
    """
    return sum((before + 1) * after for before, after in pairwise(widths))


class Placed(eqx.Module):
    """A network that knows which of the training sets in a pool is its own, to be measured on that."""

    net: Any
    place: Int[Array, ""]

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        return self.net(x)


def measure_own(net: Placed, held: tuple[Array, Array, Array, Array]) -> dict[str, Array]:
    """Right answers and loss on the network's own training set, and right answers on the test set.

    `held` is the pool of training sets, (set, example, place) and (set, example), and the test set.
    """
    x, y, test_x, test_y = held
    logits, own = net(x[net.place]), y[net.place]
    return {
        "train_right": jnp.sum(jnp.argmax(logits, 1) == own),
        "train_loss": optax.softmax_cross_entropy_with_integer_labels(logits, own).mean(),
        "test_right": jnp.sum(jnp.argmax(net(test_x), 1) == test_y),
    }
