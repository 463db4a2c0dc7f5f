"""What the networks here are built of: dense layers, and PyTorch's way of drawing first weights.

The published numbers depend on that draw: PyTorch takes every weight and every bias of a layer from the uniform
distribution on (-1/sqrt(f), 1/sqrt(f)), f the number of inputs that one output sees. This is *not* He's or Glorot's
initialisation (it is He's with gain sqrt(1/3), and biases do not begin at zero).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def uniform(key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int) -> Float[Array, "..."]:
    """PyTorch's default first weights: uniform on (-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = fan_in**-0.5
    return jax.random.uniform(key, shape, jnp.result_type(float), -bound, bound)


class Dense(eqx.Module):
    """y = W x + b for every example, the batch as the *last* axis.

    Batch last: the product is W @ x with nothing transposed, and a bias is added along contiguous memory. The weight
    is laid out as in PyTorch, (outputs, inputs).
    """

    weight: Float[Array, "output input"]
    bias: Float[Array, " output"]

    @staticmethod
    def init(key: PRNGKeyArray, inputs: int, outputs: int) -> "Dense":
        for_weight, for_bias = jax.random.split(key)
        return Dense(uniform(for_weight, (outputs, inputs), inputs), uniform(for_bias, (outputs,), inputs))

    def __call__(self, x: Float[Array, "input batch"]) -> Float[Array, "output batch"]:
        return self.weight @ x + self.bias[:, None]
