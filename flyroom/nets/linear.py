"""The linear classifier: 410 parameters for 40 inputs and 10 classes. What no network should fall below."""

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw


class Linear(eqx.Module):
    """Logits that are an affine function of the input: multinomial logistic regression once it is trained.

    >>> import jax
    >>> Linear.init(jax.random.key(0))(jax.numpy.zeros((3, 40))).shape
    (3, 10)
    """

    dense: Dense

    @staticmethod
    def init(key: PRNGKeyArray, inputs: int = 40, outputs: int = 10) -> "Linear":
        return Linear(Dense(*draw(key, Dense.shapes(inputs, outputs))))

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        return self.dense(x.T).T
