"""Networks of one block with and without a skip, gradients through them, and their closed forms at first weights.

A block is f(h) = W2 a(W1 a(h) + b1) + b2. "plain" hands on f(h), so that the network is an ordinary MLP, "skip" h +
f(h), both with a = ReLU; "norm" hands on h + f(h) with a = ReLU after layer norm (pre-activation, He et al. 2016,
"Identity mappings in deep residual networks", with layer norm in the place of batch norm).

What is expected of a gradient takes first weights as PyTorch draws them, of variance 1 / (3 n) for n units, and treats
the weights on the way back as independent of what went forward (Schoenholz et al. 2017, "Deep information
propagation", ICLR).
"""

from math import log, sqrt
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flyroom.nets.mlp import MLP
from flyroom.nets.norms import normalised_by_layer

Kind = Literal["plain", "skip", "norm"]
EPS = 1e-5  # of the layer norm, which has no gain and no bias


class SkipMLP(eqx.Module):
    """A first dense layer, blocks of two layers, a last one: the weights of an MLP, wired in one of three ways.

    The layers of the blocks are stacked, so that any depth is compiled once as a loop.
    """

    first: Any
    weights: Float[Array, "block 2 width width"]
    biases: Float[Array, "block 2 width"]
    last: Any
    kind: Kind = eqx.field(static=True)

    @staticmethod
    def init(key: PRNGKeyArray, layers: int, kind: Kind, width: int) -> "SkipMLP":
        """PyTorch's first weights, the same for all kinds; ValueError unless `layers` is even and at least 4."""
        if layers < 4 or layers % 2:
            raise ValueError(f"{layers} layers: two at the ends and two in each block make 4, 6, 8 ...")
        first, *inner, last = MLP.init(key, (40, *[width] * (layers - 1), 10)).layers
        weights = np.stack([np.asarray(layer.weight) for layer in inner]).reshape(-1, 2, width, width)
        biases = np.stack([np.asarray(layer.bias) for layer in inner]).reshape(-1, 2, width)
        return SkipMLP(first, jnp.asarray(weights), jnp.asarray(biases), last, kind)

    def __call__(
        self, x: Float[Array, "batch 40"], push: Float[Array, "state width batch"] | None = None
    ) -> Float[Array, "batch 10"]:
        """Logits. `push`, zeros to differentiate by, is added before the first block and after each."""
        hidden = self.first(x.T)
        blocks = (self.weights, self.biases)
        if push is not None:
            hidden, blocks = hidden + push[0], (*blocks, push[1:])

        def block(hidden, given):
            weights, biases, *more = given
            change = hidden
            for weight, bias in zip(weights, biases, strict=True):
                change = weight @ self._active(change) + bias[:, None]
            handed = change if self.kind == "plain" else hidden + change
            return sum(more, handed), None

        hidden, _ = jax.lax.scan(block, hidden, blocks)
        return self.last(self._active(hidden)).T

    def _active(self, hidden: Float[Array, "width batch"]) -> Float[Array, "width batch"]:
        return jax.nn.relu(normalised_by_layer(hidden, eps=EPS) if self.kind == "norm" else hidden)


@eqx.filter_jit
def _gradients(
    net: SkipMLP, x: Float[Array, "example 40"], y: Int[Array, " example"]
) -> Float[Array, "state width example"]:
    blocks, _, width, _ = net.weights.shape

    def loss(push):
        return optax.softmax_cross_entropy_with_integer_labels(net(x, push), y).sum()

    return jax.grad(loss)(jnp.zeros((blocks + 1, width, len(x))))


def log_norms(
    net: SkipMLP, x: Float[Array, "example 40"], y: Int[Array, " example"]
) -> Float[np.ndarray, "state example"]:
    """The logarithm of the norm of each example's gradient by what enters the first block and what each hands on.

    The norms are taken in float64: the squares of a plain network's gradients are too small for float32.
    """
    gradients = np.asarray(_gradients(net, x, y), np.float64)
    return np.log(np.linalg.norm(gradients, axis=1))


def expected_log_gain(
    kind: Kind, blocks: int, width: int, squares: Float[np.ndarray, " example"]
) -> Float[np.ndarray, "block example"]:
    """The expected logarithm of how much a gradient's norm grows on its way back through each block, first block first.

    `squares` are the squared lengths of the inputs. Per layer a plain network keeps 1/3 of a squared gradient at the
    weights and 1/2 at ReLU: 1/6. The ratio of squares has relative variance 5 / n, so that its logarithm is lower than
    that of its mean by 5 / (2 n). With a skip the block adds g = 1/36 to 1; their product has mean zero and variance
    g / n. With the norm g is divided by the variances of what the two norms are given: v = 1/6 + 1 / (3 n) inside, and
    q + k v before block k, with q = (|x|^2 + 1) / 120 the variance after the first layer; terms of order 1 / n are left
    out of g.

    >>> gain = expected_log_gain("skip", 24, 64, np.ones(1))
    >>> round(float(np.exp(gain.sum())), 2)
    1.37
    """
    if kind == "plain":
        return np.full((blocks, len(squares)), -log(6) - 5 / (2 * width))
    gain = np.full((blocks, len(squares)), 1 / 36)
    if kind == "norm":
        inner = 1 / 6 + 1 / (3 * width)
        entering = (squares + 1) / 120 + inner * np.arange(blocks)[:, None]
        gain = gain / (inner * entering)
    return (np.log1p(gain) - (2 * gain + 5 * gain**2) / (width * (1 + gain) ** 2)) / 2


class Block(eqx.Module):
    """One block of two layers, W2 relu(W1 x + b1) + b2, alone; `residual` adds x. Takes and returns (batch, width)."""

    first: Any
    second: Any
    residual: bool = eqx.field(static=True)

    @staticmethod
    def init(key: PRNGKeyArray, width: int, residual: bool) -> "Block":
        """PyTorch's first weights, the same with and without a skip."""
        first, second = MLP.init(key, (width, width, width)).layers
        return Block(first, second, residual)

    def __call__(self, x: Float[Array, "batch width"]) -> Float[Array, "batch width"]:
        change = self.second(jax.nn.relu(self.first(x.T))).T
        return x + change if self.residual else change


def first_error(width: int, residual: bool) -> float:
    """The expected squared error of a block at first weights as a copy of standard normal inputs, per number.

    W1 x + b1 has variance (1 + 1 / n) / 3, its ReLU half of that as mean square, W2 takes a third, b2 adds 1 / (3 n).

    >>> round(first_error(64, residual=True), 3), round(first_error(64, residual=False), 3)
    (0.062, 1.062)
    """
    change = (1 + 1 / width) / 18 + 1 / (3 * width)
    return change if residual else 1 + change


def distance_to_identity(block: Block) -> float:
    """How far the weights of a block are from some that copy every input: at most, if residual; else at least.

    A residual block copies where W2 = 0 and b2 = 0, whatever W1: at most the length of both. Without a skip, and with
    as many hidden units as inputs, a block that copies all of an open set has all of its units active there, so that
    W2 W1 = 1 (the identity has full rank). For weights A, B in the place of W1, W2 and changes X, Y of total length r,
    n = tr (B + Y)(A + X) <= tr BA + s r + r^2 / 2 with s the length of A and B (Cauchy-Schwarz), which bounds r from
    below; the biases would add to it.
    """
    first, second = (np.asarray(layer.weight, np.float64) for layer in (block.first, block.second))
    if block.residual:
        return sqrt((second**2).sum() + (np.asarray(block.second.bias, np.float64) ** 2).sum())
    square = (first**2).sum() + (second**2).sum()
    missing = len(first) - np.trace(second @ first)
    return max(0.0, sqrt(max(0.0, square + 2 * missing)) - sqrt(square))


def moved(before: Any, after: Any) -> float:
    """The length of the change of all parameters together."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return sqrt(sum(float(((np.asarray(b, np.float64) - np.asarray(a, np.float64)) ** 2).sum()) for a, b in pairs))
