"""What the networks here are built of: dense layers, and PyTorch's way of drawing first weights.

The published numbers depend on that draw: PyTorch takes every weight and every bias of a layer from the uniform
distribution on (-1/sqrt(f), 1/sqrt(f)), f the number of inputs that one output sees. This is *not* He's or Glorot's
initialisation (it is He's with gain sqrt(1/3), and biases do not begin at zero).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._named import named

Shape = tuple[tuple[int, ...], int]  # of one parameter, and its fan-in

ONE_DRAW = 1 << 14  # a draw of any other length costs a compilation of its own, 0.2 s


def draw(key: PRNGKeyArray, shapes: Sequence[Shape]) -> Iterator[Float[Array, "..."]]:
    """All first weights of a network, in order: each uniform on (-1/sqrt(fan-in), 1/sqrt(fan-in)).

    One draw serves the whole network, cut up in order; its length is rounded up, so that most networks share one
    compiled program. Number i of it depends on the key and on i only.
    """
    sizes = [int(np.prod(shape)) for shape, _ in shapes]
    length = max(ONE_DRAW, 1 << (sum(sizes) - 1).bit_length())
    values = jax.random.uniform(key, (length,), jnp.result_type(float), -1, 1)
    if not isinstance(values, Tracer):
        values = np.asarray(values)  # cutting up a NumPy array compiles nothing
    end = 0
    for size, (shape, fan_in) in zip(sizes, shapes, strict=True):
        start, end = end, end + size
        yield jnp.asarray(values[start:end].reshape(shape) * values.dtype.type(fan_in**-0.5))


class Dense(eqx.Module):
    """y = W x + b for every example, the batch as the *last* axis.

    Batch last: the product is W @ x with nothing transposed, and a bias is added along contiguous memory. The weight
    is laid out as in PyTorch, (outputs, inputs).
    """

    weight: Float[Array, "output input"]
    bias: Float[Array, " output"]

    @staticmethod
    def shapes(inputs: int, outputs: int) -> list[Shape]:
        return [((outputs, inputs), inputs), ((outputs,), inputs)]

    def __call__(self, x: Float[Array, "input batch"]) -> Float[Array, "output batch"]:
        return named("dense", _affine, x, {"weight": self.weight, "bias": self.bias})


def _affine(x: Float[Array, "input batch"], weights: dict[str, Any]) -> Float[Array, "output batch"]:
    return weights["weight"] @ x + weights["bias"][:, None]
