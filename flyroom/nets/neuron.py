"""A single neuron, the smallest network: linear or logistic regression, by the loss that it is trained with."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from flyroom.nets._layers import Dense, draw

Loss = Callable[["Neuron", Array, Array], Float[Array, ""]]


class Neuron(eqx.Module):
    """w x + b: one output, no activation.

    With `losses.squared_error` it is linear regression, with `losses.binary_cross_entropy` logistic regression: that
    loss takes logits, so that the sigmoid which textbooks draw inside the neuron is in the loss, and `sigmoid` of the
    output is P(y = 1 | x). A network like any other: `train.train_many` trains it. Both losses are convex in w and b,
    and `fit` finds the minimum itself.

    >>> Neuron.init(jax.random.key(0), 3)(jnp.zeros((5, 3))).shape
    (5, 1)
    """

    dense: Dense

    @staticmethod
    def init(key: PRNGKeyArray, inputs: int) -> "Neuron":
        """First weights as PyTorch draws them; ValueError for fewer than one input."""
        if inputs < 1:
            raise ValueError(f"inputs = {inputs}: a neuron has at least one input")
        return Neuron(Dense(*draw(key, Dense.shapes(inputs, 1))))

    def __call__(self, x: Float[Array, "batch input"]) -> Float[Array, "batch output"]:
        return self.dense(x.T).T


def fit(
    neuron: Neuron, x: Float[Array, "example input"], y: Shaped[Array, "example *one"], loss: Loss, *, most: int = 50
) -> Neuron:
    """The neuron at the minimum of a convex loss over all examples, by Newton's method from this neuron on.

    Each step is halved until the loss does not rise; it is done after a step that is shorter than the root of the
    precision, since the next one would be of the size of the precision itself. Give x in float64 (`jax.enable_x64`) for
    more than five digits.

    No penalty is added: what scikit-learn's LogisticRegression finds at its default C = 1 is another neuron, with
    smaller weights. Raises ValueError where there is no single minimum, because inputs depend linearly on each other or
    a plane separates the two classes, and where `most` steps do not reach it.

    >>> from flyroom.losses import squared_error
    >>> x = jnp.asarray([[0.0], [1.0], [2.0]])
    >>> line = fit(Neuron.init(jax.random.key(0), 1), x, 3 * x + 1, squared_error)
    >>> [round(float(number), 3) for number in (line.dense.weight[0, 0], line.dense.bias[0])]
    [3.0, 1.0]
    """
    arrays, rest = eqx.partition(neuron, eqx.is_inexact_array)
    start, back = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), arrays))

    def value(point: Float[Array, " parameter"]) -> Float[Array, ""]:
        return loss(eqx.combine(back(point), rest), x, y)

    height = jax.jit(value)
    slope_and_bend = jax.jit(lambda point: (jax.grad(value)(point), jax.hessian(value)(point)))
    point = np.asarray(start)
    precision = float(np.finfo(point.dtype).eps)
    for _ in range(most):
        slope, bend = slope_and_bend(point)
        step = -_solved(np.asarray(slope), np.asarray(bend), precision)
        before, size = float(height(point)), 1.0
        while float(height(point + point.dtype.type(size) * step)) > before + 4 * precision * abs(before):
            size /= 2
        point = point + point.dtype.type(size) * step
        if np.abs(step).max() <= precision**0.5 * (1 + np.abs(point).max()):
            return eqx.combine(back(jnp.asarray(point)), rest)
    raise ValueError(
        f"{most} Newton steps did not reach a minimum, the largest weight being {np.abs(point).max():.3g}. Where a "
        "plane separates the two classes, weights grow without end and there is none; add examples"
    )


def _solved(
    slope: Float[np.ndarray, " parameter"], bend: Float[np.ndarray, "parameter parameter"], precision: float
) -> Float[np.ndarray, " parameter"]:
    """The solution of bend * step = slope; ValueError where the smallest curvature is none, to the precision."""
    scale = 1 / np.sqrt(np.maximum(np.diag(bend), np.finfo(bend.dtype).tiny))  # inputs may have any units
    curvature, axes = np.linalg.eigh(bend * scale * scale[:, None])
    if not curvature[0] > 10 * len(slope) * precision:
        raise ValueError(
            "the loss has no single minimum, to this precision: some sum of inputs is constant over the examples (an "
            "input twice, or fewer examples than parameters), or a plane separates the two classes; leave inputs out, "
            "or add examples"
        )
    return scale * (axes @ ((axes.T @ (scale * slope)) / curvature))
