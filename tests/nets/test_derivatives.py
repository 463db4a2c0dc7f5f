"""What is known of activations: bounds against 50 digits, and Taylor series against contour integrals and closed forms.

The formulas of derivatives here were worked out by hand. In decimal arithmetic they show, at each extreme, that a bound
is on the outer side of the true value and not far from it; that there are no others is shown over the whole line.
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from flyroom.nets.activations import ACTIVATIONS
from flyroom.nets.derivatives import KNOWN, known, series, taylor

NAMES = sorted(KNOWN)


class Floating:
    """What the formulas need, for NumPy's arrays."""

    pi, exp, erf, sin, cos = np.pi, np.exp, special.erf, np.sin, np.cos  # these are no Python functions, and not bound


class Digits:
    """The same for decimal numbers of fifty digits."""

    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

    @staticmethod
    def exp(x: Decimal) -> Decimal:
        return x.exp()

    @staticmethod
    def erf(x: Decimal) -> Decimal:
        term = total = x
        for n in range(1, 400):
            term = -term * x * x / n
            total += term / (2 * n + 1)
        return 2 * total / Digits.pi.sqrt()

    @staticmethod
    def sin(x: Decimal) -> Decimal:
        term = total = x
        for n in range(1, 200):
            term = -term * x * x / (2 * n * (2 * n + 1))
            total += term
        return total

    @staticmethod
    def cos(x: Decimal) -> Decimal:
        return Digits.sin(x + Digits.pi / 2)


def root(x):
    return x.sqrt() if isinstance(x, Decimal) else x**0.5


def sigmoid(x, m):
    return 1 / (1 + m.exp(-x))


def density(x, m):
    return m.exp(-x * x / 2) / root(2 * m.pi)


def distribution(x, m):
    return (1 + m.erf(x / root(x * 0 + 2))) / 2


def bell(x, m):
    return 2 * m.exp(-x * x) / root(m.pi)


def triple(s):
    """Sigmoid and its first three derivatives from its value."""
    return s, s * (1 - s), s * (1 - s) * (1 - 2 * s), s * (1 - s) * (1 - 6 * s + 6 * s * s)


# (f, f', f'') of the smooth ones, and where each is extreme: starts for a search.
FORMULAS = {
    "erf": lambda x, m: (m.erf(x), bell(x, m), -2 * x * bell(x, m)),
    "gelu": lambda x, m: (
        x * distribution(x, m),
        distribution(x, m) + x * density(x, m),
        (2 - x * x) * density(x, m),
    ),
    "sigmoid": lambda x, m: triple(sigmoid(x, m))[:3],
    "silu": lambda x, m: (
        x * sigmoid(x, m),
        sigmoid(x, m) + x * triple(sigmoid(x, m))[1],
        2 * triple(sigmoid(x, m))[1] + x * triple(sigmoid(x, m))[2],
    ),
    "sin": lambda x, m: (m.sin(x), m.cos(x), -m.sin(x)),
    "softplus": lambda x, m: (x * 0, *triple(sigmoid(x, m))[:2]),  # its value is tested by its Taylor series
    "tanh": lambda x, m: (
        2 * sigmoid(2 * x, m) - 1,
        4 * triple(sigmoid(2 * x, m))[1],
        8 * triple(sigmoid(2 * x, m))[2],
    ),
}
# name, order of the derivative, side, a place within 0.5 of which it is extreme
EXTREMES = [
    ("erf", 1, "high", 0.0),
    ("erf", 2, "high", -0.7),
    ("erf", 2, "low", 0.7),
    ("gelu", 0, "low", -0.75),
    ("gelu", 1, "low", -1.4),
    ("gelu", 1, "high", 1.4),
    ("gelu", 2, "low", 2.0),
    ("gelu", 2, "high", 0.0),
    ("sigmoid", 1, "high", 0.0),
    ("sigmoid", 2, "low", 1.3),
    ("sigmoid", 2, "high", -1.3),
    ("silu", 0, "low", -1.3),
    ("silu", 1, "low", -2.4),
    ("silu", 1, "high", 2.4),
    ("silu", 2, "low", 3.4),
    ("silu", 2, "high", 0.0),
    ("softplus", 2, "high", 0.0),
    ("tanh", 1, "high", 0.0),
    ("tanh", 2, "low", 0.66),
    ("tanh", 2, "high", -0.66),
]


@pytest.mark.parametrize(("name", "order", "side", "near"), EXTREMES)
def test_a_bound_is_just_outside_the_extreme(name, order, side, near):
    """Golden-section search in fifty digits; its error is the square of the last interval, below 1e-40."""
    sign = 1 if side == "high" else -1
    bound = getattr((KNOWN[name].values, KNOWN[name].first, KNOWN[name].second)[order], side)
    with localcontext(prec=50):
        golden = (Decimal(5).sqrt() - 1) / 2
        low, high = Decimal(near) - Decimal("0.5"), Decimal(near) + Decimal("0.5")

        def height(x: Decimal) -> Decimal:
            return sign * FORMULAS[name](x, Digits)[order]

        while high - low > Decimal("1e-20"):
            left, right = high - golden * (high - low), low + golden * (high - low)
            low, high = (low, right) if height(left) > height(right) else (left, high)
        outside = sign * Decimal(bound) - height((low + high) / 2)
    assert -1e-35 < outside < 2e-15  # nothing where the bound is a binary fraction


# Where a bound is approached only: far out, or on one side of a joint.
LIMITS = {
    "elu": {"values": (-1, np.inf), "first": (0, 1), "second": (0, 1)},
    "erf": {"values": (-1, 1), "first": (0, None)},
    "gelu": {"values": (None, np.inf)},
    "sigmoid": {"values": (0, 1), "first": (0, None)},
    "silu": {"values": (None, np.inf)},
    "sin": {"values": (-1, 1), "first": (-1, 1), "second": (-1, 1)},
    "softplus": {"values": (0, np.inf), "first": (0, 1), "second": (0, None)},
    "square": {"values": (0, np.inf), "first": (-np.inf, np.inf), "second": (2, 2)},
    "tanh": {"values": (-1, 1), "first": (0, None)},
}


def test_every_bound_of_a_smooth_one_is_accounted_for():
    for name, limits in LIMITS.items():
        about = KNOWN[name]
        for order, kind in enumerate(("values", "first", "second")):
            for side, limit in zip(("low", "high"), limits.get(kind, (None, None)), strict=True):
                assert (limit is None) == ((name, order, side) in {row[:3] for row in EXTREMES}), (name, kind, side)
                if limit is not None:
                    assert getattr(getattr(about, kind), side) == limit, (name, kind, side)


def line() -> np.ndarray:
    """Half a million places, close together where anything happens."""
    near = np.linspace(-12, 12, 480_001)
    return np.concatenate([near, -np.geomspace(12, 1e4, 10_000), np.geomspace(12, 1e4, 10_000)])


@pytest.mark.parametrize("name", NAMES)
def test_no_bound_is_passed_anywhere_and_all_are_reached_or_approached(name):
    about, x = KNOWN[name], line()
    found = taylor(name, x, 2) * [[1], [1], [2]]
    for values, bounds in zip(found, (about.values, about.first, about.second), strict=True):
        assert values.min() >= bounds.low - 1e-15 and values.max() <= bounds.high + 1e-15
        for reached, bound in ((values.min(), bounds.low), (values.max(), bounds.high)):
            assert abs(reached - bound) < 1e-4 if np.isfinite(bound) else abs(reached) >= 100
    assert about.monotone == bool((found[1] >= 0).all())
    assert about.lipschitz == max(abs(about.first.low), abs(about.first.high))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formulas_above_are_those_of_the_activations(name):
    x = np.linspace(-6, 6, 49)
    found = taylor(name, x, 2) * [[1], [1], [2]]
    for order, expected in enumerate(FORMULAS[name](x, Floating)):
        if (name, order) != ("softplus", 0):
            np.testing.assert_allclose(found[order], expected, rtol=1e-9, atol=1e-15)


# Kinks and pieces. ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if KNOWN[name].piecewise_linear])
def test_straight_pieces_are_the_activation_bit_for_bit(name):
    about = KNOWN[name]
    assert len(about.slopes) == len(about.offsets) == len(about.joints) + 1
    x = np.linspace(-3, 3, 601)
    piece = np.searchsorted(about.joints, x, side="right")
    with jax.enable_x64(True):
        expected = ACTIVATIONS[name](jnp.asarray(x))
    np.testing.assert_array_equal(np.array(about.slopes)[piece] * x + np.array(about.offsets)[piece], expected)
    for i, joint in enumerate(about.joints):  # the pieces meet there, and where the slope jumps is a kink
        assert about.slopes[i] * joint + about.offsets[i] == about.slopes[i + 1] * joint + about.offsets[i + 1]
        assert (joint in about.kinks) == (about.slopes[i] != about.slopes[i + 1])


@pytest.mark.parametrize("name", NAMES)
def test_slopes_jump_at_kinks_and_nowhere_else(name):
    about = KNOWN[name]
    places = np.array([*np.linspace(-3, 3, 25)])  # -1, 0 and 1 among them
    step = 1e-9
    with jax.enable_x64(True):
        slope = jax.vmap(jax.grad(ACTIVATIONS[name]))
        jump = np.abs(np.asarray(slope(jnp.asarray(places + step)) - slope(jnp.asarray(places - step))))
    assert places[jump > 1e-6].tolist() == list(about.kinks)
    assert set(about.kinks) <= set(about.joints)


@pytest.mark.parametrize("name", [name for name in NAMES if KNOWN[name].polynomial])
def test_a_polynomial_has_these_coefficients(name):
    x = np.arange(-5.0, 6.0)
    expected = np.polynomial.polynomial.polyval(x, KNOWN[name].polynomial)
    np.testing.assert_array_equal(ACTIVATIONS[name](jnp.asarray(x)), expected)


# Taylor series. -------------------------------------------------------------------------------------------------------

ORDER, PLACES = 12, 128
COMPLEX = {
    "erf": special.erf,
    "gelu": lambda z: z * (1 + special.erf(z / 2**0.5)) / 2,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "sin": np.sin,
    "softplus": lambda z: np.log1p(np.exp(z)),
    "square": lambda z: z * z,
    "identity": lambda z: z,
    "tanh": np.tanh,
}


def by_contour(function, radius: float = 1.0) -> np.ndarray:
    """Taylor coefficients at 0, times radius^k, by Cauchy's integral over a circle: the error is that of rounding."""
    angle = 2 * np.pi * np.arange(PLACES) / PLACES
    values = function(radius * np.exp(1j * angle))
    rotations = np.exp(-1j * np.outer(np.arange(ORDER + 1), angle))
    return (rotations @ values / PLACES).real


@pytest.mark.parametrize("name", COMPLEX)
@pytest.mark.parametrize("x", [-3.7, -1.0, -0.2, 0.0, 0.5, 1.0, 2.3])
def test_taylor_series_to_order_twelve(name, x):
    expected = by_contour(lambda t: COMPLEX[name](x + t))
    np.testing.assert_allclose(taylor(name, x, ORDER), expected, rtol=1e-11, atol=1e-14)
    assert np.abs(expected[2:]).max() > 1e-9 or name == "identity"


@pytest.mark.parametrize("name", COMPLEX)
def test_what_an_activation_makes_of_a_curve(name):
    random = np.random.default_rng(3)
    inner = random.normal(size=ORDER + 1) / 3.0 ** np.arange(ORDER + 1)
    expected = by_contour(lambda t: COMPLEX[name](np.polynomial.polynomial.polyval(t, inner)), 0.5)
    np.testing.assert_allclose(series(name, inner) * 0.5 ** np.arange(ORDER + 1), expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_derivatives_are_those_of_the_activation_itself(name):
    """By JAX, of the function that networks use; at places that are no joint."""
    x = np.array([-2.6, -0.9, -0.3, 0.4, 0.8, 1.7])
    with jax.enable_x64(True):
        function, expected = ACTIVATIONS[name], []
        for order in range(5):
            expected.append(np.asarray(jax.jit(jax.vmap(function))(jnp.asarray(x))) / math.factorial(order))
            function = jax.grad(function)
    np.testing.assert_allclose(taylor(name, x, 4), expected, rtol=1e-9, atol=1e-12)


def test_taylor_series_with_closed_forms():
    tangent = [0, 1, 0, Fraction(-1, 3), 0, Fraction(2, 15), 0, Fraction(-17, 315), 0, Fraction(62, 2835)]
    np.testing.assert_allclose(taylor("tanh", 0.0, 9), [float(c) for c in tangent], rtol=1e-14)
    sine = [0 if k % 2 == 0 else (-1) ** (k // 2) / math.factorial(k) for k in range(14)]
    np.testing.assert_allclose(taylor("sin", 0.0, 13), sine, rtol=1e-14)
    exponential = [math.exp(-0.7) / math.factorial(k) for k in range(13)]
    np.testing.assert_allclose(taylor("elu", -0.7, 12), [math.expm1(-0.7), *exponential[1:]], rtol=1e-14)
    np.testing.assert_array_equal(taylor("elu", 0.7, 3), [0.7, 1, 0, 0])
    held = taylor("hard_tanh", np.array([-2.0, 0.5, 3.0]), 2)
    np.testing.assert_array_equal(held, [[-1, 0.5, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(taylor("leaky_relu", -2.0, 2, slope=0.25), [-0.5, 0.25, 0])


def test_on_a_joint_the_piece_to_its_right_is_followed():
    assert taylor("relu", 0.0, 2).tolist() == [0, 1, 0]
    assert taylor("hard_tanh", np.array([-1.0, 1.0]), 1).tolist() == [[-1, 1], [1, 0]]
    assert taylor("elu", 0.0, 2).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "x", "derivative"),
    [
        ("tanh", 25.0, 4 * math.exp(-50)),
        ("tanh", -25.0, 4 * math.exp(-50)),
        ("sigmoid", 60.0, math.exp(-60)),
        ("sigmoid", -60.0, math.exp(-60)),
        ("softplus", -60.0, math.exp(-60)),
        ("erf", 7.0, 2 / math.sqrt(math.pi) * math.exp(-49)),
    ],
)
def test_far_out_derivatives_keep_their_digits(name, x, derivative):
    """Where 1 - tanh^2 would be 0."""
    np.testing.assert_allclose(taylor(name, x, 1)[1], derivative, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_series_have_the_shape_of_their_argument_and_are_finite(name):
    for shape in ((), (3,), (2, 0), (2, 3)):
        assert taylor(name, np.zeros(shape), 4).shape == (5, *shape)
    assert taylor(name, 1.0, 0).shape == (1,)
    assert np.isfinite(taylor(name, np.array([-1e4, 1e4]), 6)).all()
    assert taylor(name, np.float32(0.5) * np.ones(2, np.float32), 1).dtype == np.float64


# Names, slopes and errors. --------------------------------------------------------------------------------------------


def test_something_is_known_of_every_activation():
    assert set(KNOWN) == set(ACTIVATIONS)
    assert all(about.name == name for name, about in KNOWN.items() if name != "swish")
    assert known("swish") is known("silu") is KNOWN["silu"]


@pytest.mark.parametrize("slope", [0.2, -0.5, 1.0, 3.0, 0.0])
def test_a_leaky_relu_of_any_slope(slope):
    about, x = known("leaky_relu", slope), np.linspace(-2, 2, 41)
    values = np.where(x >= 0, x, slope * x)
    assert about.first == (min(slope, 1), max(slope, 1)) and about.monotone == bool((np.diff(values) >= 0).all())
    assert about.values == (-math.inf if slope > 0 else 0, math.inf)
    assert bool(about.kinks) == (slope != 1)
    np.testing.assert_array_equal(taylor("leaky_relu", x, 1, slope), [values, np.where(x >= 0, 1, slope)])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: known("tahn"), "nothing is known of an activation 'tahn'; did you mean tanh"),
        (lambda: known("relu", 0.1), "relu has no slope that could be 0.1; only leaky_relu has one"),
        (lambda: known("leaky_relu", math.nan), "slope = nan: the slope of a leaky ReLU is a finite number"),
        (lambda: taylor("tanh", 0.0, -1), "order = -1: a Taylor series begins at order 0"),
        (lambda: taylor("tanh", math.inf, 2), "a coefficient of the series is not finite"),
        (lambda: series("tanh", np.zeros((0, 3))), "a series of no coefficients was given"),
        (lambda: series("relu", np.array([1.0, np.nan])), "a coefficient of the series is not finite"),
    ],
)
def test_what_is_wrong_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()
