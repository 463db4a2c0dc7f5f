"""Small networks with a norm in every layer, and how they are trained: what the claims on normalisation share.

A layer is dense or a convolution, then a norm and ReLU in either order, then a maximum over windows where there are
positions. The norm is batch norm, or one that sees a single example (`Alone`): both have `begin`, `train` and
`inference`, so that a network is the same but for its norm.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flyroom.losses import cross_entropy
from flyroom.nets.convolution import Convolution
from flyroom.nets.mlp import MLP
from flyroom.nets.norms import AtInference, BatchNorm
from flyroom.nets.pooling import maximum

Order = Literal["norm first", "relu first"]
Running = tuple[Any, ...]  # the running statistics of every norm; None for a norm that has none
Way = Callable[[Any, Array, Any], tuple[Array, Any]]  # norm, array, running -> array, running


class Alone(eqx.Module):
    """A norm that sees one example at a time, with the three functions of batch norm and nothing to remember."""

    norm: Any

    def begin(self) -> None:
        return None

    def train(self, x: Float[Array, "*place batch"], running: None) -> tuple[Float[Array, "*place batch"], None]:
        return self.norm(x), None

    def inference(self, x: Float[Array, "*place batch"], running: None) -> Float[Array, "*place batch"]:
        return self.norm(x)


class Normed(eqx.Module):
    """Layers with a norm each, and a last dense layer without. Takes (batch, position), returns (batch, class).

    `window` is the size of the pooling windows of a network of convolutions; 0: dense layers, which have no positions.
    """

    layers: tuple[Any, ...]
    norms: tuple[Any, ...]
    last: Any
    order: Order = eqx.field(static=True)
    window: int = eqx.field(static=True)

    def begin(self) -> Running:
        """Running statistics before any batch."""
        return tuple(norm.begin() for norm in self.norms)

    def train(self, x: Float[Array, "batch position"], running: Running) -> tuple[Float[Array, "batch class"], Running]:
        """Logits, each norm by the statistics of this batch, and the running statistics that follow."""
        logits, running, _ = self._forward(x, running, lambda norm, given, before: norm.train(given, before))
        return logits, running

    def inference(self, x: Float[Array, "batch position"], running: Running) -> Float[Array, "batch class"]:
        """Logits, each norm by running statistics."""

        def way(norm: Any, given: Array, before: Any) -> tuple[Array, Any]:
            return norm.inference(given, before), before

        return self._forward(x, running, way)[0]

    def outputs(self, x: Float[Array, "batch position"]) -> list[tuple[Array, Array]]:
        """Of every layer the outputs of its ReLU, and what it hands on (the same unless ReLU comes first).

        Batch norm takes the statistics of `x`. Both are (unit, batch), or (channel, position, batch) before pooling.
        """
        return self._forward(x, self.begin(), lambda norm, given, before: norm.train(given, before))[2]

    def _forward(self, x: Array, running: Running, way: Way) -> tuple[Array, Running, list[tuple[Array, Array]]]:
        hidden, now, seen = x.T[None] if self.window else x.T, [], []
        for layer, norm, before in zip(self.layers, self.norms, running, strict=True):
            given = layer(hidden)
            if self.order == "relu first":
                rectified = jax.nn.relu(given)
                hidden, after = way(norm, rectified, before)
            else:
                given, after = way(norm, given, before)
                hidden = rectified = jax.nn.relu(given)
            seen.append((rectified, hidden))
            now.append(after)
            if self.window:
                hidden = maximum(hidden, self.window)
        if self.window:
            hidden = hidden.mean(1)
        return self.last(hidden).T, tuple(now), seen


def mlp(
    key: PRNGKeyArray, norm: Callable[[int], Any], widths: tuple[int, ...], *, order: Order = "norm first"
) -> Normed:
    """Dense layers of these widths, inputs and classes included, with PyTorch's first weights."""
    *layers, last = MLP.init(key, widths).layers
    return Normed(tuple(layers), tuple(norm(width) for width in widths[1:-1]), last, order, 0)


def cnn(key: PRNGKeyArray, norm: Callable[[int], Any], channels: int, kernels: tuple[int, ...], classes: int) -> Normed:
    """Convolutions that keep the length, windows of two after each, the mean over what positions are left."""
    keys = jax.random.split(key, len(kernels) + 1)
    layers = tuple(
        Convolution.init(one, channels if number else 1, channels, kernel, padding="same")
        for number, (one, kernel) in enumerate(zip(keys[:-1], kernels, strict=True))
    )
    (last,) = MLP.init(keys[-1], (channels, classes)).layers
    return Normed(layers, tuple(norm(channels) for _ in kernels), last, "norm first", 2)


def training_loss(
    model: AtInference, x: Float[Array, "batch position"], y: Int[Array, " batch"]
) -> tuple[Float[Array, ""], Running]:
    """Cross-entropy in training, and the running statistics that follow: a loss to be used with `norms.absorb`."""
    logits, running = model.net.train(x, model.running)
    return cross_entropy(lambda _: logits, x, y), running


def with_statistics_of(net: Normed, x: Float[Array, "example position"]) -> AtInference:
    """The network at inference, its statistics those of all these examples at once in place of a running mean."""
    fresh = tuple(replace(norm, new_weight=1.0) if isinstance(norm, BatchNorm) else norm for norm in net.norms)
    _, running = replace(net, norms=fresh).train(x, net.begin())
    return AtInference(net, running)


def to_train(net: Normed) -> AtInference:
    """The network with its first running statistics: what is trained."""
    return AtInference(net, net.begin())


def right(model: Any, x: Array, y: Array, chosen: Array) -> Int[Array, ""]:
    """How many of the chosen examples are classified as they should be."""
    return jnp.sum((jnp.argmax(model(x), axis=1) == y) & chosen)
