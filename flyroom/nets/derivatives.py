"""What is known of each activation: bounds, kinks, straight pieces, and what it makes of a Taylor series.

Everything here is float64 in NumPy and needs no JAX: certified measures rest on it. Bounds hold for every real number:
one that is no binary fraction is rounded outward. Bounds of derivatives are those of the function between its joints,
where two formulas meet; at a kink there is no derivative, and any number between the two slopes may stand for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import e, erf, exp, inf, isfinite, pi, sqrt
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from scipy import special


class Bounds(NamedTuple):
    """The smallest and the largest value, reached or approached, rounded outward by at most 2e-15."""

    low: float
    high: float


@dataclass(frozen=True)
class Known:
    """What is known of one activation f on the whole real line.

    `values`, `first` and `second` bound f, f' and f''. `joints` are the places, from left to right, where two formulas
    meet and no Taylor series reaches across; `kinks` those of them at which f' jumps. A piecewise linear activation is
    slopes[i] * x + offsets[i] between joints i - 1 and i, with one piece more than joints; a polynomial has its
    coefficients, the constant first. Both are empty for all others.
    """

    name: str
    values: Bounds
    first: Bounds
    second: Bounds
    monotone: bool  # never falls
    joints: tuple[float, ...] = ()
    kinks: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    polynomial: tuple[float, ...] = ()

    @property
    def piecewise_linear(self) -> bool:
        return bool(self.slopes)

    @property
    def lipschitz(self) -> float:
        """The largest ratio of a change of f to a change of x; infinite for `square`."""
        return max(abs(self.first.low), abs(self.first.high))


# The closed forms below are a handful of operations on numbers below 2, each with an error of at most 2^-53 of its
# result (erf and exp: twice that), in sum less than 2^-51.
def _around(low: float, high: float) -> Bounds:
    return Bounds(low - 2**-50, high + 2**-50)


def _leaky(slope: float) -> Known:
    if not isfinite(slope):
        raise ValueError(f"slope = {slope}: the slope of a leaky ReLU is a finite number")
    return Known(
        "leaky_relu",
        values=Bounds(-inf if slope > 0 else 0.0, inf),
        first=Bounds(min(slope, 1.0), max(slope, 1.0)),
        second=Bounds(0.0, 0.0),
        monotone=slope >= 0,
        joints=(0.0,),
        kinks=(0.0,) if slope != 1 else (),
        slopes=(slope, 1.0),
        offsets=(0.0, 0.0),
    )


_EVERYTHING, _NOTHING, _UNIT = Bounds(-inf, inf), Bounds(0.0, 0.0), Bounds(0.0, 1.0)
_TANH = 4 / (3 * sqrt(3))  # -tanh'' = 2 t (1 - t^2) is largest at t = tanh x = 1/sqrt 3
_NORMAL = sqrt(2 / pi)  # twice the normal density at 0

_TABLE = (
    # exp(x) - 1 meets x with the same slope 1, so that there is a joint and no kink; f'' jumps from 1 to 0.
    Known("elu", Bounds(-1.0, inf), _UNIT, _UNIT, monotone=True, joints=(0.0,)),
    # f' = 2/sqrt(pi) exp(-x^2); |f''| is largest at x^2 = 1/2.
    Known(
        "erf",
        Bounds(-1.0, 1.0),
        Bounds(0.0, _around(0.0, 2 / sqrt(pi)).high),
        _around(-sqrt(8 / (pi * e)), sqrt(8 / (pi * e))),
        monotone=True,
    ),
    # With the normal distribution P and density p: f' = P + x p, f'' = p (2 - x^2), f''' = p (x^3 - 4 x). f' is extreme
    # at -sqrt 2 and sqrt 2, f'' at 0 and at -2 and 2. f is lowest where f' = 0, x = -0.75179152469356445746, found by
    # bisection in 60 digits: f(x) = -0.16997120747990366169, for which there is no closed form.
    Known(
        "gelu",
        Bounds(-0.169971207479904, inf),
        _around((1 - erf(1)) / 2 - 1 / (e * sqrt(pi)), (1 + erf(1)) / 2 + 1 / (e * sqrt(pi))),
        _around(-_NORMAL * exp(-2), _NORMAL),
        monotone=False,
    ),
    Known(
        "hard_tanh",
        Bounds(-1.0, 1.0),
        _UNIT,
        _NOTHING,
        monotone=True,
        joints=(-1.0, 1.0),
        kinks=(-1.0, 1.0),
        slopes=(0.0, 1.0, 0.0),
        offsets=(-1.0, 0.0, 1.0),
    ),
    Known(
        "identity",
        _EVERYTHING,
        Bounds(1.0, 1.0),
        _NOTHING,
        monotone=True,
        slopes=(1.0,),
        offsets=(0.0,),
        polynomial=(0.0, 1.0),
    ),
    _leaky(0.01),
    replace(_leaky(0.0), name="relu"),
    # With s the sigmoid: f' = s (1 - s), f'' = s (1 - s) (1 - 2 s), which is largest at s = (1 - 1/sqrt 3) / 2.
    Known("sigmoid", _UNIT, Bounds(0.0, 0.25), _around(-1 / (6 * sqrt(3)), 1 / (6 * sqrt(3))), monotone=True),
    # f' = s (1 + x (1 - s)), f'' = s (1 - s) (2 - x t), t = tanh(x/2). f is lowest at x = -1 - W(1/e), W being
    # Lambert's function: -W(1/e) = -0.27846454276107379511. f' is extreme where x t = 2, at x = -2.39935728051546766783
    # and 2.39935728051546766783: -0.09983932012886691696 and one minus that. f'' is 1/2 at 0 and lowest where
    # 3 x t^2 = 6 t + x, at x = 3.43584099351511068895: -0.03691437319989318564. By bisection in 60 digits.
    Known(
        "silu",
        Bounds(-0.278464542761074, inf),
        Bounds(-0.099839320128867, 1.099839320128868),
        Bounds(-0.036914373199894, 0.5),
        monotone=False,
    ),
    Known("sin", Bounds(-1.0, 1.0), Bounds(-1.0, 1.0), Bounds(-1.0, 1.0), monotone=False),
    Known("softplus", Bounds(0.0, inf), _UNIT, Bounds(0.0, 0.25), monotone=True),  # its derivative is the sigmoid
    Known("square", Bounds(0.0, inf), _EVERYTHING, Bounds(2.0, 2.0), monotone=False, polynomial=(0.0, 0.0, 1.0)),
    Known("tanh", Bounds(-1.0, 1.0), _UNIT, _around(-_TANH, _TANH), monotone=True),
)

KNOWN: Mapping[str, Known] = MappingProxyType(
    {known.name: known for known in _TABLE} | {"swish": next(known for known in _TABLE if known.name == "silu")}
)


def known(name: str, slope: float | None = None) -> Known:
    """What is known of the activation of that name; `slope` is that of a leaky (or a parametric) ReLU.

    Raises ValueError with near matches where there is none, and for a slope of another activation or one that is not
    finite.

    >>> known("tanh").first, known("leaky_relu", slope=-1.0).monotone
    (Bounds(low=0.0, high=1.0), False)
    """
    if name not in KNOWN:
        near = get_close_matches(name, KNOWN, n=2) or sorted(KNOWN)
        raise ValueError(f"nothing is known of an activation {name!r}; did you mean {' or '.join(near)}?")
    if slope is None:
        return KNOWN[name]
    if name != "leaky_relu":
        raise ValueError(f"{name} has no slope that could be {slope}; only leaky_relu has one")
    return _leaky(slope)


# Taylor series. A series is the list of its coefficients: c[k] belongs to t^k. --------------------------------------

Series = Sequence[np.ndarray]


def taylor(
    name: str, x: Float[np.ndarray, "*shape"] | float, order: int, slope: float | None = None
) -> Float64[np.ndarray, "coefficient *shape"]:
    """Taylor coefficients of an activation at x, elementwise: entry k is the k-th derivative divided by k!.

    On a joint they are those of the piece to its right. Not derivatives: the second derivative is twice entry 2. Raises
    ValueError for an order below 0 and whatever `series` refuses.

    >>> taylor("square", 3.0, 3).tolist()
    [9.0, 6.0, 1.0, 0.0]
    """
    if order < 0:
        raise ValueError(f"order = {order}: a Taylor series begins at order 0, the value itself")
    at = np.asarray(x, np.float64)
    inner = np.zeros((order + 1, *at.shape))
    inner[0] = at
    inner[1:2] = 1
    return series(name, inner, slope)


def series(
    name: str, inner: Float[np.ndarray, "coefficient *shape"], slope: float | None = None
) -> Float64[np.ndarray, "coefficient *shape"]:
    """The series of f(x(t)) from that of x(t), elementwise and to the same order: what an activation does to a curve.

    By the recurrence that the activation's differential equation gives (tanh: y' = (1 - y^2) x'), as in Griewank and
    Walther, *Evaluating Derivatives* (2008), section 13.2: the work grows with the square of the order. Where x(0) lies
    on a joint, the piece to its right is followed.

    Raises ValueError for an unknown name, an empty series and coefficients that are not finite.
    """
    about = known(name, slope)
    coefficients = np.asarray(inner, np.float64)
    if len(coefficients) == 0:
        raise ValueError("a series of no coefficients was given; the first is the value itself")
    if not np.isfinite(coefficients).all():
        raise ValueError("a coefficient of the series is not finite (NaN or infinity); nothing follows from it")
    x = list(coefficients.reshape(len(coefficients), -1))
    if about.piecewise_linear:
        found = _straight(about, x)
    elif about.polynomial:
        found = _horner(about.polynomial, x)
    else:
        found = RULES[about.name](x)
    return np.stack(found).reshape(coefficients.shape)


def _product(a: Series, b: Series, k: int) -> np.ndarray:
    """Coefficient k of a(t) b(t)."""
    return sum((a[j] * b[k - j] for j in range(1, k + 1)), a[0] * b[k])


def _grown(slope: Series, x: Series, k: int) -> np.ndarray:
    """Coefficient k + 1 of what has the derivative slope(t) x'(t)."""
    return sum((j * x[j] * slope[k + 1 - j] for j in range(2, k + 2)), x[1] * slope[k]) / (k + 1)


def _straight(about: Known, x: Series) -> list[np.ndarray]:
    piece = np.searchsorted(about.joints, x[0], side="right")
    slope, offset = np.asarray(about.slopes)[piece], np.asarray(about.offsets)[piece]
    return [slope * x[0] + offset, *(slope * c for c in x[1:])]


def _horner(coefficients: Sequence[float], x: Series) -> list[np.ndarray]:
    found = [np.full_like(x[0], coefficients[-1]), *(np.zeros_like(c) for c in x[1:])]
    for constant in reversed(coefficients[:-1]):
        found = [_product(found, x, k) for k in range(len(x))]
        found[0] = found[0] + constant
    return found


def _exp(x: Series) -> list[np.ndarray]:
    """y' = y x'."""
    y = [np.exp(x[0])]
    for k in range(len(x) - 1):
        y.append(_grown(y, x, k))
    return y


def _tanh(x: Series) -> list[np.ndarray]:
    """y' = u x' and u' = -2 y u x', u being 1 - y^2: carried along, because 1 - y^2 has no digits left at large x."""
    small = np.exp(-2 * np.minimum(np.abs(x[0]), 400))  # 0 beyond
    y, u, bend = [np.tanh(x[0])], [4 * small / (1 + small) ** 2], []
    for k in range(len(x) - 1):
        bend.append(-2 * _product(y, u, k))
        y.append(_grown(u, x, k))
        u.append(_grown(bend, x, k))
    return y


def _sigmoid(x: Series) -> list[np.ndarray]:
    """(1 + tanh(x / 2)) / 2."""
    return [special.expit(x[0]), *(c / 2 for c in _tanh([c / 2 for c in x])[1:])]


def _softplus(x: Series) -> list[np.ndarray]:
    """y' = sigmoid(x) x'."""
    slope = _sigmoid(x)
    return [np.logaddexp(0, x[0]), *(_grown(slope, x, k) for k in range(len(x) - 1))]


def _silu(x: Series) -> list[np.ndarray]:
    factor = _sigmoid(x)
    return [_product(x, factor, k) for k in range(len(x))]


def _erf(x: Series) -> list[np.ndarray]:
    """y' = g x' and g' = -2 x g x', g being 2/sqrt(pi) exp(-x^2)."""
    density = 2 / sqrt(pi) * np.exp(-(np.minimum(np.abs(x[0]), 40) ** 2))  # 0 beyond
    y, g, bend = [special.erf(x[0])], [density], []
    for k in range(len(x) - 1):
        bend.append(-2 * _product(x, g, k))
        y.append(_grown(g, x, k))
        g.append(_grown(bend, x, k))
    return y


def _gelu(x: Series) -> list[np.ndarray]:
    """x times the normal distribution function, (1 + erf(x / sqrt 2)) / 2."""
    factor = [special.ndtr(x[0]), *(c / 2 for c in _erf([c / sqrt(2) for c in x])[1:])]
    return [_product(x, factor, k) for k in range(len(x))]


def _elu(x: Series) -> list[np.ndarray]:
    below = np.minimum(x[0], 0)
    curved = [np.expm1(below), *_exp([below, *x[1:]])[1:]]
    return [np.where(x[0] >= 0, straight, bent) for straight, bent in zip(x, curved, strict=True)]


def _sin(x: Series) -> list[np.ndarray]:
    """y' = c x' and c' = -y x', c being the cosine."""
    y, c = [np.sin(x[0])], [np.cos(x[0])]
    for k in range(len(x) - 1):
        y.append(_grown(c, x, k))
        c.append(-_grown(y, x, k))
    return y


RULES: Mapping[str, Callable[[Series], list[np.ndarray]]] = MappingProxyType(
    {
        "elu": _elu,
        "erf": _erf,
        "gelu": _gelu,
        "sigmoid": _sigmoid,
        "silu": _silu,
        "sin": _sin,
        "softplus": _softplus,
        "tanh": _tanh,
    }
)
