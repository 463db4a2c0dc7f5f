"""A learned function of one variable, ELU + 0.2 g, and its table, which is read where the function is wanted.

g is a network of one input and 100 hidden units, and an inner training applies it to 12,800 values in each of 301
steps. It is a smooth function of one number, so it is computed once an outer step, at the centres of 2048 equal cells
of [-16, 16], with three derivatives; inside a cell it is that Taylor polynomial of degree 3. A cell is 1/64 wide: the
error is at most 2e-10 times g's fourth derivative in the value, 1e-7 times in the slope, 3e-5 times in the curvature.
The kink of ELU's slope at 0 is a border of two cells. Beyond the ends the function goes on as a straight line.

Derivatives by JAX are those of the polynomial: in x, and in the parameters of g through the coefficients.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

REACH = 16.0
CELLS = 2048
SHARE = 0.2  # of g in f = ELU + 0.2 g

Table = Float[Array, "cell 4"]  # value, slope, half the second and a sixth of the third derivative, at the centres


class Curve(NamedTuple):
    """The parameters of g(x) = out . tanh(into x + shift) + end, 301 with 100 hidden units."""

    into: Float[Array | np.ndarray, "*many unit"]
    shift: Float[Array | np.ndarray, "*many unit"]
    out: Float[Array | np.ndarray, "*many unit"]
    end: Float[Array | np.ndarray, "*many"]


def exactly(curve: Curve, x: Float[Array | np.ndarray, "*shape"]) -> Float[Array, "*shape"]:
    """f(x) = ELU(x) + 0.2 g(x), computed as it stands."""
    x = jnp.asarray(x)
    elu = jnp.where(x > 0, x, jnp.expm1(jnp.minimum(x, 0)))
    return elu + SHARE * (jnp.tanh(x[..., None] * curve.into + curve.shift) @ jnp.asarray(curve.out) + curve.end)


def tabulate(curve: Curve) -> Table:
    """The Taylor coefficients of f at the centre of every cell."""
    at = (jnp.arange(CELLS) + 0.5) * (2 * REACH / CELLS) - REACH
    into, out = jnp.asarray(curve.into), jnp.asarray(curve.out)
    t = jnp.tanh(into[:, None] * at + jnp.asarray(curve.shift)[:, None])
    s = 1 - t * t
    bump = [
        out @ t + curve.end,
        (out * into) @ s,
        (out * into**2) @ (-t * s),
        (out * into**3) @ (s * (t * t - 1 / 3)),
    ]
    below, grown = at < 0, jnp.exp(jnp.minimum(at, 0))
    elu = [jnp.where(below, grown - 1, at), jnp.where(below, grown, 1.0)]
    elu += [jnp.where(below, grown / factorial, 0.0) for factorial in (2, 6)]
    return jnp.stack([own + SHARE * more for own, more in zip(elu, bump, strict=True)], axis=1)


def read(table: Table, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """f(x) from its table."""
    width = 2 * REACH / CELLS
    inside = jnp.clip(x, -REACH, REACH)
    # A value that is not a number has no cell; it is given the first, and stays what it is through `inside`.
    cell = jnp.nan_to_num(jnp.clip(jnp.floor((inside + REACH) / width), 0, CELLS - 1)).astype(jnp.int32)
    d = inside - ((cell + 0.5) * width - REACH)
    row = table.at[cell].get(mode="promise_in_bounds")
    c0, c1, c2, c3 = (row[..., i] for i in range(4))
    return c0 + d * (c1 + d * (c2 + d * c3)) + (c1 + d * (2 * c2 + 3 * d * c3)) * (x - inside)


def distance(values: Float[np.ndarray, " point"], other: Sequence[float] | Float[np.ndarray, " point"]) -> float:
    """Root mean square of what is left of `values` after the best a + b * `other`: 0 for the same shape.

    Scale and offset are free, because the layers around an activation absorb them; the argument is not.
    """
    design = np.stack([np.ones(len(values)), np.asarray(other, float)], axis=1)
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(np.sqrt(np.mean(left**2)))
