"""Losses: a network, inputs, targets -> one number, the mean over the batch."""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

Net = Callable[[Float[Array, "batch *input"]], Float[Array, "batch output"]]


def cross_entropy(net: Net, x: Float[Array, "batch *input"], y: Int[Array, " batch"]) -> Float[Array, ""]:
    """Mean cross-entropy of the softmax of the logits, in nats. Stable for logits of any finite size.

    Takes logits, not probabilities: a softmax before it is the classic mistake.
    """
    return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()


def squared_error(
    net: Net, x: Float[Array, "batch *input"], y: Float[Array, "batch output"]
) -> Float[Array, ""]:
    """Mean over batch and outputs of (output - target)^2, without the factor 1/2 that some texts put in."""
    return jnp.mean((net(x) - y) ** 2)


def accuracy(net: Net, x: Float[Array, "batch *input"], y: Int[Array, " batch"]) -> Float[Array, ""]:
    """Fraction of examples whose largest logit is the label's; a tie goes to the lower class."""
    return jnp.mean((jnp.argmax(net(x), axis=1) == y).astype(jnp.float32))
