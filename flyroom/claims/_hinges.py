"""Two-layer ReLU networks of one input: one that is constructed with a proved error, and how far any of them is off.

**Construction.** For n hidden units let t_0 = -1, ..., t_n = 1 be equally far apart, h = 2 / n. The network

    g(x) = f(t_0) + sum over i < n of v_i relu(x - t_i),

with v_0 the slope of f from t_0 to t_1 and v_i the change of that slope at t_i, is linear between neighbouring knots
and equals f at all of them.

**Its error.** Let f be twice continuously differentiable on [t, t + h] with |f''| <= M, and p the line through its
values at both ends. Then |f - p| <= M h^2 / 8 there. Proof: take x strictly inside, w(u) = (u - t)(u - t - h), and the
number c for which e(u) = f(u) - p(u) - c w(u) vanishes at u = x. It vanishes at both ends as well, so by Rolle's
theorem e' has two zeros and e'' has one, at some s: 0 = f''(s) - 2 c. So f(x) - p(x) = f''(s) w(x) / 2, and |w| is at
most h^2 / 4.

**With a corner.** Let f be as above but for one place c at which its slope jumps by J: f(x) = s(x) + J relu(x - c) with
s as above. Interpolation is linear in what is interpolated, and of relu(x - c) it is off by at most k (1 - k) h, where
c = t + k h, which is h / 4 or less. So the error is at most M h^2 / 8 + |J| h / 4.

**Enclosure.** Where a network is linear between neighbouring nodes x_j, and f has no corner inside, e = f - g has
|e''| <= M there and is off the line through its two values by at most M d^2 / 8, d the distance of the nodes. So

    max |e(x_j)| <= sup |e| <= max |e(x_j)| + M d^2 / 8,

and what was computed at finitely many nodes encloses the supremum over the interval, rounding added on both sides.

**Enclosure by Taylor models.** Where f is written as a step of a network as well (`Target.form`), g - f is a network of
its own, and its least and greatest value on the interval are enclosed by `measure.trajectory.value_range`: no bound of
f'' is needed, nor the nodes. That is a proof of its own; both must hold, and overlap.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flyroom.measure import paths
from flyroom.measure.trajectory import value_range
from flyroom.nets.graph import Graph, Node
from flyroom.nets.mlp import MLP

LOW, HIGH = -1.0, 1.0  # the interval
BLOCK = 4096  # nodes that are evaluated at once
ULP = 2.0**-52  # twice the largest relative rounding error of one operation in float64


class Target(NamedTuple):
    """A function on [-1, 1], with what is known of it.

    `curvature` bounds |f''|, and `slope` bounds |f'|, wherever they are; at `corner` the slope jumps by `jump`. `form`
    is (step, weight, bias) where f(x) is step(weight x + bias) for a step that networks have, such as sin.
    """

    label: str
    function: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]
    slope: float
    curvature: float
    corner: float | None = None
    jump: float = 0.0
    form: tuple[str, float, float] | None = None


class Hinges(NamedTuple):
    """A two-layer network of one input and one output: offset + sum of out * relu(weight x + bias), in float64."""

    weight: Float[np.ndarray, " unit"]
    bias: Float[np.ndarray, " unit"]
    out: Float[np.ndarray, " unit"]
    offset: float


class Distance(NamedTuple):
    """How far a network is from its target: `at_least` and `at_most` enclose the largest error, `rms` is sampled."""

    at_least: float
    at_most: float
    rms: float


def interpolating(target: Target, units: int) -> Hinges:
    """The constructed network with that many hidden units.

    >>> line = Target("2x + 1", lambda x: 2 * x + 1, 2.0, 0.0)
    >>> outputs(interpolating(line, 4), np.array([-1.0, 0.3, 1.0])).round(12).tolist()
    [-1.0, 1.6, 3.0]
    """
    knots = np.linspace(LOW, HIGH, units + 1)
    values = target.function(knots)
    slopes = np.diff(values) / np.diff(knots)
    return Hinges(np.ones(units), -knots[:-1], np.diff(slopes, prepend=0.0), float(values[0]))


def proved(target: Target, units: int) -> float:
    """The bound of the constructed network's error: M h^2 / 8 + |J| h / 4 with h = 2 / units.

    >>> round(proved(Target("sin 3x", lambda x: np.sin(3 * x), 3.0, 9.0), 20), 12)
    0.01125
    """
    h = (HIGH - LOW) / units
    return target.curvature * h * h / 8 + abs(target.jump) * h / 4


def hinges(net: MLP) -> Hinges:
    """A trained network with one hidden layer of ReLU units, as it stands: the same real numbers, in float64."""
    first, last = net.layers
    weight, bias, out = (np.asarray(leaf, np.float64) for leaf in (first.weight[:, 0], first.bias, last.weight[0]))
    return Hinges(weight, bias, out, float(last.bias[0]))


def bends(net: Hinges) -> Float[np.ndarray, " bend"]:
    """Where, strictly inside the interval, the network's hidden units begin or end."""
    sloped = net.weight != 0
    places = -net.bias[sloped] / net.weight[sloped]
    return np.sort(places[(places > LOW) & (places < HIGH)])


def outputs(net: Hinges, x: Float[np.ndarray, " node"]) -> Float[np.ndarray, " node"]:
    """The network at these places."""
    found = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = np.maximum(np.outer(x[part], net.weight) + net.bias, 0) @ net.out + net.offset
    return found


def distance(net: Hinges, target: Target, pieces: int) -> Distance:
    """The largest error on [-1, 1], enclosed, and the root of the mean square, from `pieces` parts and every bend.

    The rounding that is added holds for sums in any order, with or without fused products: each of n units passes
    through at most n + 8 operations on numbers that add up to the bracket below, and the sine of a library that is off
    by up to four units in the last place (NumPy's) passes for two of them.
    """
    inner = [] if target.corner is None else [target.corner]
    nodes = np.unique(np.concatenate([np.linspace(LOW, HIGH, pieces + 1), bends(net), inner]))
    error = np.abs(outputs(net, nodes) - target.function(nodes))
    size = abs(net.offset) + float(np.abs(net.out) @ (np.abs(net.weight) + np.abs(net.bias)))
    rounding = (len(net.out) + 8) * ULP * (1 + target.slope + size)
    largest, apart = float(error.max()), float(np.diff(nodes).max())
    mean_square = float(np.trapezoid(error**2, nodes)) / (HIGH - LOW)
    return Distance(
        max(0.0, largest - rounding), largest + target.curvature * apart**2 / 8 + rounding, float(np.sqrt(mean_square))
    )


def difference(net: Hinges, target: Target) -> Graph:
    """The network g - f, a graph of one input and one output. Raises ValueError for a target without a form."""
    if target.form is None:
        raise ValueError(f"{target.label} is not written as a step of a network: give the target a form")
    step, weight, bias = target.form
    units = (len(net.out),)
    first = {"weight": net.weight[:, None], "bias": net.bias}
    last = {"weight": net.out[None], "bias": np.array([net.offset])}
    inner = {"weight": np.array([[weight]]), "bias": np.array([bias])}
    return Graph(
        (
            Node("input", (), (1,), "x"),
            Node("dense", (0,), units, "hidden", first),
            Node("activation", (1,), units, "relu", {}, (("name", "relu"),)),
            Node("dense", (2,), (1,), "output", last),
            Node("dense", (0,), (1,), "inner", inner),
            Node("elementwise" if step == "abs" else "activation", (4,), (1,), "target", {}, (("name", step),)),
            Node("subtract", (3, 5), (1,), "error"),
        )
    )


def enclosed(net: Hinges, target: Target) -> tuple[float, float]:
    """Two numbers between which the largest error on [-1, 1] lies, from Taylor models of g - f."""
    ((least, greatest),) = value_range(difference(net, target), paths.line([LOW], [HIGH])).outputs
    return max(greatest.low, -least.high, 0.0), max(greatest.high, -least.low)
