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


def squared_error(net: Net, x: Float[Array, "batch *input"], y: Float[Array, "batch output"]) -> Float[Array, ""]:
    """Mean over batch and outputs of (output - target)^2, without the factor 1/2 that some texts put in."""
    return jnp.mean((net(x) - y) ** 2)


def both_parts(net: Net, held: tuple[Array, Array, Array]) -> dict[str, Array]:
    """How many examples of the training and of the test part are right, and the mean loss on each.

    `held` is (x, y, is_test) with the two parts in one array, so that the network is applied once; `train.both_parts`
    of a dataset makes it. A tie goes to the lower class.
    """
    x, y, is_test = held
    logits = net(x)
    right = jnp.argmax(logits, axis=1) == y
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    found = {}
    for name, part in (("train", ~is_test), ("test", is_test)):
        found[f"{name}_right"] = jnp.sum(right & part)
        found[f"{name}_loss"] = jnp.sum(losses * part) / jnp.sum(part)
    return found
