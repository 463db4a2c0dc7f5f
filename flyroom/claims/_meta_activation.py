"""Inner training with any activation, and the outer training that learns one through it.

The inner network is an MLP 40-128-10. After the activation each hidden unit is given a small random offset, drawn anew
at every step, one number a unit for the whole batch; RMSprop's running mean of squares begins at 1. The learned
activation's g is itself a network with such noise on its 100 hidden units, which moves the activation up or down.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flyroom.claims._meta import spread
from flyroom.claims._meta_table import SHARE, Curve, Table, exactly, read, tabulate
from flyroom.nets.activations import ACTIVATIONS
from flyroom.nets.conv import CNN
from flyroom.nets.mlp import MLP
from flyroom.nets.pooling import none
from flyroom.records import Dataset

UNITS = 100  # hidden units of g
FIRST = 500  # test examples that the notebook looks at


def pieces(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The published fit of the learned activation by six straight pieces."""
    lines = ((0.15, 0.9), (-0.25, 0.1), (-1.2, -0.85), (-0.5, -0.75), (0.2, -0.85), (1.2, -1.4))
    borders = (-2.0, -1.0, -0.25, 0.1, 0.6)
    value = lines[-1][0] * x + lines[-1][1]
    for (slope, offset), border in reversed(list(zip(lines, borders, strict=False))):
        value = jnp.where(x < border, slope * x + offset, value)
    return value


FIXED: dict[str, Callable[[Array], Array]] = {
    name: ACTIVATIONS[name] for name in ("relu", "swish", "elu", "softplus", "tanh", "sigmoid")
} | {"pieces": pieces}
NAMES = ("learned", *FIXED)


class Inner(NamedTuple):
    """The inner training: what is compiled into a program."""

    steps: int = 301
    last: int = 200  # inner losses that the outer loss is the mean of
    rate: float = 0.01
    decay: float = 0.4  # of RMSprop's running mean of squares


class Outer(NamedTuple):
    """The outer training around it."""

    inner: Inner
    steps: int
    rate: float
    clip: float


class Draw(NamedTuple):
    """All chance of one inner training: first weights (W1, b1, W2, b2), noise of the hidden units and of g's."""

    weights: tuple[Float[np.ndarray, "..."], ...]
    noise: Float[np.ndarray, "moment hidden"]  # one row a step, one for the test
    noise_of_g: Float[np.ndarray, "moment unit"]


class Examples(NamedTuple):
    """Training batches in the order of the data, the batch as the last axis, and the test part."""

    x: Float[Array, "batch input example"]
    y: Int[Array, "batch example"]
    x_test: Float[Array, "input test"]
    y_test: Int[Array, " test"]


def examples(data: Dataset, batch: int) -> Examples:
    """Cut the training part into batches; ValueError where one does not fit."""
    count = len(data.x_train) // batch if batch > 0 else 0
    if count == 0:
        raise ValueError(f"a batch of {batch} cannot be taken from {len(data.x_train)} examples; choose 1 or more")
    x = data.x_train[: count * batch].astype(np.float32).reshape(count, batch, -1).transpose(0, 2, 1)
    y = data.y_train[: count * batch].astype(np.int32).reshape(count, batch)
    return Examples(*map(jnp.asarray, (x, y, data.x_test.astype(np.float32).T, data.y_test.astype(np.int32))))


def draw(seed: int, steps: int, hidden: int, amplitude: float) -> Draw:
    """First weights of an MLP 40-hidden-10 as PyTorch draws them, and noise on (-amplitude, amplitude)."""
    first, last = MLP.init(jax.random.key(seed), (40, hidden, 10)).layers
    weights = tuple(np.asarray(leaf) for leaf in (first.weight, first.bias, last.weight, last.bias))
    random = np.random.default_rng(seed)
    # The noise of a step depends on the seed and the step: a longer training goes on with it.
    both = amplitude * random.uniform(-1, 1, (steps + 1, hidden + UNITS)).astype(np.float32)
    return Draw(weights, both[:, :hidden], both[:, hidden:])


def first_curve(seed: int) -> Curve:
    """First parameters of g, as PyTorch draws those of an MLP 1-100-1."""
    first, last = MLP.init(jax.random.key(seed), (1, UNITS, 1)).layers
    return Curve(*map(np.asarray, (first.weight[:, 0], first.bias, last.weight[0], last.bias[0])))


Activation = Callable[[Float[Array, "hidden example"]], Float[Array, "hidden example"]]


def _logits(weights: tuple, activation: Activation, offset: Array, x: Float[Array, "input example"]) -> Array:
    first, first_bias, last, last_bias = weights
    hidden = activation(first @ x + first_bias[:, None]) + offset[:, None]
    return last @ hidden + last_bias[:, None]


def _cross_entropy(logits: Float[Array, "output example"], y: Int[Array, " example"]) -> Float[Array, ""]:
    chosen = y == jnp.arange(logits.shape[0])[:, None]
    return jnp.mean(jax.nn.logsumexp(logits, axis=0) - jnp.sum(jnp.where(chosen, logits, 0.0), axis=0))


def train_inner(
    inner: Inner, activation: Activation, weights: tuple, offsets: Float[Array, "moment hidden"], given: Examples
) -> tuple[tuple, Float[Array, " step"]]:
    """One inner training: the last weights, and the loss of each batch before its update."""

    def update(carry, inputs):
        weights, squares = carry
        which, offset = inputs
        x, y = given.x[which], given.y[which]
        loss, gradient = jax.value_and_grad(lambda w: _cross_entropy(_logits(w, activation, offset, x), y))(weights)
        squares = jax.tree.map(lambda s, g: inner.decay * s + (1 - inner.decay) * g * g, squares, gradient)
        step = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + 1e-8), gradient, squares)
        return (jax.tree.map(lambda w, s: w - inner.rate * s, weights, step), squares), loss

    which = jnp.arange(inner.steps) % given.x.shape[0]
    begin = (weights, jax.tree.map(jnp.ones_like, weights))
    # Only weights are kept for the way back; the rest is computed again: 16 MB in place of 300.
    (weights, _), losses = jax.lax.scan(jax.checkpoint(update), begin, (which, offsets[: inner.steps]))
    return weights, losses


def _right(weights: tuple, activation: Activation, offset: Array, given: Examples, count: int) -> Int[Array, ""]:
    found = jnp.argmax(_logits(weights, activation, offset, given.x_test[:, :count]), axis=0)
    return jnp.sum(found == given.y_test[:count])


def _offsets(drawn: Draw, curve: Curve) -> Float[Array, "moment hidden"]:
    """Noise of the hidden units, and that of g's, which is the same for all of them."""
    return jnp.asarray(drawn.noise) + SHARE * (drawn.noise_of_g @ jnp.asarray(curve.out))[:, None]


def outer_loss(
    curve: Curve, inner: Inner, drawn: Draw, given: Examples, *, exact: bool = False
) -> tuple[Float[Array, ""], tuple[Array, tuple, Activation, Array]]:
    """The mean of the last inner losses, with what was trained. `exact` computes g instead of reading its table."""
    table = tabulate(curve)
    offsets = _offsets(drawn, curve)

    def activation(z):
        return exactly(curve, z) if exact else read(table, z)

    weights, losses = train_inner(inner, activation, tuple(map(jnp.asarray, drawn.weights)), offsets, given)
    return jnp.mean(losses[-inner.last :]), (losses, weights, activation, offsets[-1])


def _learn(outer: Outer, member: tuple[Curve, Draw], given: Examples) -> dict[str, Any]:
    """Learn one activation: outer steps around inner trainings, each from the same first weights and noise."""
    curve, drawn = member

    def update(curve, _):
        def loss(curve):
            value, (losses, weights, activation, offset) = outer_loss(curve, outer.inner, drawn, given)
            return value, (losses[-1], _right(weights, activation, offset, given, FIRST))

        (value, (last, right)), gradient = jax.value_and_grad(loss, has_aux=True)(curve)
        moved = jax.tree.map(lambda c, g: c - outer.rate * jnp.clip(g, -outer.clip, outer.clip), curve, gradient)
        return moved, {"outer_loss": value, "last_loss": last, "right": right, "curve": curve}

    return jax.lax.scan(update, jax.tree.map(jnp.asarray, curve), None, length=outer.steps)[1]


def learn(outer: Outer, curves: Sequence[Curve], drawn: Sequence[Draw], given: Examples) -> list[dict[str, Any]]:
    """Learn activations, one a core: by outer step the outer loss, the last inner loss, right of FIRST, the curve."""
    return spread(_learn, outer, list(zip(curves, drawn, strict=True)), given)


def _choose(which: Array, table: Table, z: Array) -> Array:
    """The learned activation from its table or a fixed one, by its place in NAMES."""
    branches = [lambda z: read(table, z), *FIXED.values()]
    return jax.lax.switch(which, branches, z)


def _attempt(inner: Inner, member: tuple[Array, Curve, Draw], given: Examples) -> dict[str, Array]:
    which, curve, drawn = member
    table = tabulate(curve)
    learned = which == NAMES.index("learned")
    offsets = jnp.where(learned, _offsets(drawn, curve), jnp.asarray(drawn.noise))

    def activation(z):
        return _choose(which, table, z)

    weights, losses = train_inner(inner, activation, tuple(map(jnp.asarray, drawn.weights)), offsets, given)
    count = given.y_test.shape[0]
    return {
        "mean_loss": jnp.mean(losses),
        "outer_loss": jnp.mean(losses[-inner.last :]),
        "first_right": _right(weights, activation, offsets[-1], given, FIRST),
        "right": _right(weights, activation, offsets[-1], given, count),
    }


def attempt(
    inner: Inner, name: str, curves: Sequence[Curve], drawn: Sequence[Draw], given: Examples
) -> list[dict[str, float]]:
    """Train inner networks with one activation: `mean_loss`, `outer_loss`, `test_accuracy`, `first_accuracy`.

    `curves` hold the learned activations; a fixed one does not look at them. `first_accuracy` is of the first 500
    test examples.
    """
    which = np.int32(NAMES.index(name))
    found = spread(_attempt, inner, [(which, curve, one) for curve, one in zip(curves, drawn, strict=True)], given)
    count = given.y_test.shape[0]
    return [
        {
            "mean_loss": float(one["mean_loss"]),
            "outer_loss": float(one["outer_loss"]),
            "test_accuracy": int(one["right"]) / count,
            "first_accuracy": int(one["first_right"]) / min(FIRST, count),
        }
        for one in found
    ]


class Convolutional(eqx.Module):
    """The CNN of the benchmark with any activation of NAMES; the table of a learned one is not trained."""

    cnn: CNN
    table: Float[Array | np.ndarray, "cell 4"]
    which: Int[Array | np.ndarray, ""]

    @staticmethod
    def init(seed: int, name: str, curve: Curve) -> "Convolutional":
        """First weights as PyTorch draws them."""
        which = np.asarray(NAMES.index(name), np.int32)
        return Convolutional(CNN.init(jax.random.key(seed)), np.asarray(tabulate(curve)), which)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        table = jax.lax.stop_gradient(jnp.asarray(self.table))

        def activation(z):
            return _choose(jnp.asarray(self.which), table, z)

        return CNN(self.cnn.convolutions, self.cnn.last, activation, none, 1)(x)
