"""Losses: a network, inputs, targets -> one number, the mean over the batch.

A setting of a loss is fixed by `functools.partial(cross_entropy, smoothing=0.1)`. Make it once and pass the same one to
every call of `train_many`: another partial, though equal, is compiled anew.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

Net = Callable[[Float[Array, "batch *input"]], Float[Array, "batch output"]]


def cross_entropy(
    net: Net, x: Float[Array, "batch *input"], y: Int[Array, " batch"], smoothing: float = 0.0
) -> Float[Array, ""]:
    """Mean cross-entropy of the softmax of the logits, in nats. Stable for logits of any finite size.

    Takes logits, not probabilities: a softmax before it is the classic mistake.

    With label smoothing s (Szegedy et al. 2016, section 7) the target is (1 - s) for the labelled class plus s / K for
    each of the K classes, the labelled one included, as in PyTorch; other texts divide s among the K - 1 others. The
    smallest possible loss is then above 0. Raises ValueError for a smoothing outside [0, 1].
    """
    _check_smoothing(smoothing)
    logits = net(x)
    if smoothing == 0:
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
    classes = logits.shape[-1]
    targets = (1 - smoothing) * jax.nn.one_hot(y, classes, dtype=logits.dtype) + smoothing / classes
    return optax.softmax_cross_entropy(logits, targets).mean()


def binary_cross_entropy(
    net: Net, x: Float[Array, "batch *input"], y: Shaped[Array, "batch *output"], smoothing: float = 0.0
) -> Float[Array, ""]:
    """Mean over batch and outputs of -y log p - (1 - y) log(1 - p), p being the sigmoid of the logit, in nats.

    Targets are 0, 1 or a probability; each output is a question of its own, and several may be answered with yes.
    Stable for logits of any finite size. Takes logits: a sigmoid before it is the classic mistake. Two classes by this
    loss and one logit are the same model as by `cross_entropy` and two logits, of which only the difference matters.

    With label smoothing s the target is (1 - s) y + s / 2. Raises ValueError for a smoothing outside [0, 1] and for
    targets that have not the outputs' shape, (batch,) for one output excepted: subtracted as they are, (batch, 1) and
    (batch,) make a square of batch by batch numbers, without an error.
    """
    _check_smoothing(smoothing)
    logits = net(x)
    targets = _aligned(y, logits).astype(logits.dtype)
    if smoothing != 0:
        targets = (1 - smoothing) * targets + smoothing / 2
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean()


def squared_error(net: Net, x: Float[Array, "batch *input"], y: Float[Array, "batch *output"]) -> Float[Array, ""]:
    """Mean over batch and outputs of (output - target)^2, without the factor 1/2 that some texts put in.

    Raises ValueError for targets that have not the outputs' shape, (batch,) for one output excepted.
    """
    outputs = net(x)
    return jnp.mean((outputs - _aligned(y, outputs)) ** 2)


def _aligned(y: Array, outputs: Array) -> Array:
    """The targets in the shape of the outputs; (batch,) stands for (batch, 1)."""
    if y.shape == outputs.shape:
        return y
    if outputs.shape == (*y.shape, 1):
        return y[..., None]
    raise ValueError(f"targets of shape {y.shape} do not fit outputs of shape {outputs.shape}; give one to each output")


def _check_smoothing(smoothing: float) -> None:
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing = {smoothing}: the part of a label that is spread lies between 0 and 1")


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
