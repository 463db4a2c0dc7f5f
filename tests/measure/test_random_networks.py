"""Random networks: the formulas against exact sums, closed forms and Monte Carlo; inequalities that are theorems."""

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from flyroom.measure.random_networks import (
    activation_pattern_bound,
    asymptotic_relu_length,
    correlation_map,
    degree_length_bound,
    expected_first_layer_crossings,
    expected_hard_tanh_growth,
    expected_region_bound,
    expected_relu_growths,
    expected_relu_length,
    mean_field,
    piecewise_length_bound,
    price_tanner_growths,
    price_tanner_length,
    propagate,
    raghu_hard_tanh_base,
    raghu_pattern_order,
    raghu_relu_base,
    raghu_transition_base,
    raghu_upper_base,
    susceptibilities,
)
from flyroom.measure.random_networks._norms import expected_masked_norm, expected_norm
from flyroom.nets.derivatives import KNOWN, taylor

HE = math.sqrt(2)
WIDTHS = st.lists(st.integers(1, 40), min_size=2, max_size=6)
STDS = st.floats(0.1, 10)


def within(values: np.ndarray, expected: float, errors: float = 4) -> bool:
    """Whether the mean of independent values is `expected`, to so many standard errors."""
    return abs(values.mean() - expected) <= errors * values.std(ddof=1) / math.sqrt(len(values))


# Norms ----------------------------------------------------------------------------------------------------------------


def exact_norm(n: int) -> float:
    """Gamma((n + 1) / 2) / Gamma(n / 2) by going down in steps of 1 with fractions, from n = 1 or 2."""
    found, k = Fraction(1), n
    while k > 2:
        found, k = found * Fraction(k - 1, k - 2), k - 2
    return float(found) * math.sqrt(2) * (1 / math.sqrt(math.pi) if k == 1 else math.sqrt(math.pi) / 2)


def test_norms_are_those_of_exact_fractions():
    dimensions = [1, 2, 3, 10, 99, 100, 101, 102, 999, 1000, 5001]
    found = expected_norm(np.array(dimensions, np.float64))
    np.testing.assert_allclose(found, [exact_norm(n) for n in dimensions], rtol=5e-15)
    assert expected_norm(np.array([0.0])) == [0]


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 10), Fraction(9, 10)])
@pytest.mark.parametrize("width", [1, 2, 7, 60])
def test_masked_norms_are_the_whole_binomial_sum(width, share):
    terms = [
        float(math.comb(width, kept) * share**kept * (1 - share) ** (width - kept)) * exact_norm(kept)
        for kept in range(1, width + 1)
    ]
    assert expected_masked_norm(width, float(share)) == pytest.approx(math.fsum(terms), rel=1e-13)


def test_masked_norms_of_all_none_and_a_million():
    assert expected_masked_norm(9, 1.0) == pytest.approx(exact_norm(9), rel=1e-14)
    assert expected_masked_norm(9, 0.0) == 0
    n = 1_000_000
    assert expected_masked_norm(n, 0.5) == pytest.approx(math.sqrt(n / 2) * (1 - 5 / (8 * n)), rel=1e-11)


# ReLU -----------------------------------------------------------------------------------------------------------------


def test_one_narrow_layer_by_hand():
    # One unit is on half the time, and E|w| = sqrt(2 / pi). Two units: none, one or two are on with 1/4, 1/2, 1/4.
    one = math.sqrt(2 / math.pi)
    assert expected_relu_length([1, 1], 1.0, linear_head=False) == pytest.approx(one / 2, rel=1e-14)
    assert expected_relu_length([1, 1], 1.0, linear_head=True) == pytest.approx(one, rel=1e-14)
    two = one / 2 + math.sqrt(math.pi / 2) / 4
    assert expected_relu_length([4, 2], 3.0, linear_head=False) == pytest.approx(1.5 * two, rel=1e-14)


@pytest.mark.parametrize(
    ("widths", "std", "expected", "measured", "error"),
    [
        ([16] * 6, HE, 0.8163, 0.8078, 0.0093),
        ([64] * 7, HE, 0.94257, 0.94374, 0.0054),
        ([64] * 7, 2.0, 7.5405, 7.556, 0.042),
    ],
)
def test_lengths_are_the_figures_of_an_earlier_measurement(widths, std, expected, measured, error):
    found = expected_relu_length(widths, std, linear_head=False)
    assert found == pytest.approx(expected, rel=6e-5)
    assert abs(found - measured) < 4 * error


def relu_speeds(widths: list[int], std: float, bias: float, head: bool, draws: int) -> np.ndarray:
    """Speeds of random networks at one point of a straight path: their mean is that of the ratio of lengths."""
    rng = np.random.default_rng(1)
    z = np.tile(rng.normal(size=widths[0]), (draws, 1))
    v = np.tile(np.eye(widths[0])[0], (draws, 1))
    for layer, (before, width) in enumerate(pairwise(widths)):
        weights = rng.normal(size=(draws, width, before)) * std / math.sqrt(before)
        u = (weights @ z[..., None])[..., 0] + bias * rng.normal(size=(draws, width))
        on = (u > 0) | (head and layer == len(widths) - 2)
        z, v = on * u, on * (weights @ v[..., None])[..., 0]
    return np.linalg.norm(v, axis=1)


@pytest.mark.parametrize(
    ("widths", "std", "bias", "head"),
    [([3, 5, 4, 6], HE, 0.0, False), ([3, 5, 4, 6], 2.0, 0.7, True), ([2, 12, 12, 12, 1], HE, 0.3, True)],
)
def test_expected_lengths_are_those_of_networks(widths, std, bias, head):
    speeds = relu_speeds(widths, std, bias, head, 40_000)
    assert within(speeds, expected_relu_length(widths, std, linear_head=head))
    # A formula without the 1 / n terms is seen to be wrong here.
    naive = math.sqrt(widths[-1] / widths[0]) * math.prod(
        std / (1 if head and layer == len(widths) - 2 else HE) for layer in range(len(widths) - 1)
    )
    assert not within(speeds, naive)


def test_the_mean_is_not_the_median():
    speeds = relu_speeds([16] * 6, HE, 0.0, False, 8000)
    assert np.median(speeds) < 0.75 < expected_relu_length([16] * 6, HE, linear_head=False)


@pytest.mark.parametrize("head", [False, True])
def test_the_asymptotic_form_is_off_by_the_square_of_one_over_the_width(head):
    def off(width: int) -> float:
        widths = [width] * 5
        exact = expected_relu_length(widths, 1.7, linear_head=head)
        return asymptotic_relu_length(widths, 1.7, linear_head=head) / exact - 1

    assert 0 < abs(off(64)) < 1e-3
    assert off(64) / off(256) == pytest.approx(16, rel=0.1)


def test_the_asymptotic_form_with_unequal_widths():
    widths = [1000, 3000, 500, 2000]
    assert asymptotic_relu_length(widths, HE, linear_head=True) == pytest.approx(
        expected_relu_length(widths, HE, linear_head=True), rel=1e-5
    )


@given(WIDTHS, STDS, st.booleans())
def test_price_and_tanner_stay_below_and_the_largest_slope_above(widths, std, head):
    exact = expected_relu_growths(widths, std, linear_head=head)
    # Equal for a head of one unit and for one unit in all, where the norm is an absolute value.
    assert (price_tanner_growths(widths, std, linear_head=head) <= exact * (1 + 1e-12)).all()
    before, after = np.array(widths[:-1]), np.array(widths[1:])
    half = np.full(len(after), 0.5)
    half[-1] = 1 if head else 0.5
    assert (exact <= std * np.sqrt(half * after / before) * (1 + 1e-12)).all()  # Jensen
    assert expected_relu_length(widths, std, linear_head=head) == pytest.approx(math.prod(exact), rel=1e-12)


def test_price_and_tanner_of_one_unit_are_exact_and_equal_widths_have_their_base():
    for head in (False, True):
        assert price_tanner_length([3, 1], 1.5, linear_head=head) == pytest.approx(
            expected_relu_length([3, 1], 1.5, linear_head=head), rel=1e-14
        )
    np.testing.assert_allclose(price_tanner_growths([8] * 3, HE, linear_head=False), 0.5642, atol=5e-5)


@pytest.mark.parametrize("kept", [0.1, 0.5])
def test_the_sparse_bound_holds_in_sparse_networks(kept):
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(40_000, 5, 4)) / 2 * (rng.random((40_000, 5, 4)) < kept)
    speeds = np.linalg.norm(np.maximum(weights[:, :, 0], 0), axis=1)  # at x = e_1 and v = e_1: on where w_1 > 0
    bound = price_tanner_length([4, 5], 1.0, linear_head=False, kept=kept)
    assert bound == pytest.approx(kept * price_tanner_length([4, 5], 1.0, linear_head=False))
    assert speeds.mean() > bound
    # For one coordinate and one unit there is nothing to lose.
    one = np.abs(weights[:, 0, 0]) * (weights[:, 0, 0] > 0)
    assert within(one, price_tanner_length([4, 1], 1.0, linear_head=False, kept=kept))


# Mean field -----------------------------------------------------------------------------------------------------------

VARIANCES = [1e-6, 0.3, 1.0, 7.0, 400.0, 1e6]


@pytest.mark.parametrize("q", VARIANCES)
def test_susceptibilities_in_closed_form(q):
    inside = math.erf(1 / math.sqrt(2 * q))
    closed = {
        "identity": (1.0, 0.0),
        "relu": (0.5, math.inf),
        "leaky_relu": ((1 + 0.01**2) / 2, math.inf),
        "square": (4 * q, 4.0),
        "hard_tanh": (inside, math.inf),
        "sin": ((1 + math.exp(-2 * q)) / 2, -math.expm1(-2 * q) / 2),
        "erf": (4 / math.pi / math.sqrt(1 + 4 * q), 16 * q / math.pi / (1 + 4 * q) ** 1.5),
    }
    for name, expected in closed.items():
        found = susceptibilities(name, 1.5, q)
        assert found == pytest.approx(tuple(1.5**2 * value for value in expected), rel=1e-11), name


@pytest.mark.parametrize("q", [0.0, 0.2, 3.0, 90.0])
@pytest.mark.parametrize("name", sorted(KNOWN))
def test_susceptibilities_of_every_activation_by_the_trapezoidal_rule(name, q):
    step = 1e-4
    z = np.arange(-10, 10, step) + step / 2  # 0 lies between two nodes
    _, first, half = taylor(name, math.sqrt(q) * z + (z * 1e-9 if q == 0 else 0), 2)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * step
    found = susceptibilities(name, 1.0, q)
    assert found[0] == pytest.approx(weight @ first**2, rel=2e-4)
    if KNOWN[name].kinks:
        assert found[1] == math.inf
    else:
        assert found[1] == pytest.approx(weight @ (2 * half) ** 2, rel=2e-4, abs=1e-12)


@pytest.mark.parametrize(("std", "chi1"), [(1.5, 1.061), (2.5, 1.586)])
def test_tanh_has_the_known_growth(std, chi1):
    found = mean_field("tanh", std, 0.3)
    assert found.chi1 == pytest.approx(chi1, abs=1e-3)
    assert found.phase == "chaotic"


def test_fixed_points_in_closed_form():
    assert mean_field("relu", 1.0, 0.5).variance == pytest.approx(0.5, rel=1e-12)  # 1/4 / (1 - 1/2)
    assert mean_field("identity", 0.5, 0.3).variance == pytest.approx(0.09 / 0.75, rel=1e-12)
    erf = mean_field("erf", 2.0, 0.3)
    q = erf.variance
    assert q == pytest.approx(4 * 2 / math.pi * math.asin(2 * q / (1 + 2 * q)) + 0.09, rel=1e-12)
    critical = mean_field("relu", HE, 0.0, variance=3.0)
    assert (critical.variance, critical.phase) == (3.0, "critical")
    assert mean_field("identity", 1.0, 0.0, variance=4.0).curvature == 0.5


@pytest.mark.parametrize("start", [1e-3, 0.5, 40.0])
@pytest.mark.parametrize(
    ("name", "std", "bias"), [("tanh", 1.5, 0.3), ("hard_tanh", 2.0, 0.1), ("sin", 1.2, 0.2), ("sigmoid", 3.0, 0.0)]
)
def test_the_fixed_point_is_where_layers_go(name, std, bias, start):
    found = mean_field(name, std, bias, variance=start)
    assert propagate(name, std, bias, 150, variance=start).variance[-1] == pytest.approx(found.variance, rel=1e-6)


def test_tanh_without_biases_is_ordered_up_to_one():
    ordered, critical, chaotic = (mean_field("tanh", std, 0.0) for std in (0.9, 1.0, 1.001))
    assert (ordered.phase, critical.phase, chaotic.phase) == ("ordered", "critical", "chaotic")
    assert (ordered.variance, ordered.chi1, ordered.correlation, ordered.curvature) == (0, 0.81, 1, math.inf)
    assert chaotic.variance == pytest.approx(1e-3, rel=0.01)  # q = std^2 (q - 2 q^2 + ...)
    assert chaotic.correlation == 0  # odd, no biases
    with_kink_at_zero = mean_field("relu", 1.0, 0.0)
    assert (with_kink_at_zero.variance, with_kink_at_zero.chi1) == (0, pytest.approx(0.5))


def test_curvature_tends_to_its_fixed_point_or_the_turning_does():
    fixed = mean_field("tanh", 2.5, 0.3)
    deep = propagate("tanh", 2.5, 0.3, 60, variance=fixed.variance)
    assert deep.curvature[-1] == pytest.approx(fixed.curvature, rel=1e-9)
    np.testing.assert_allclose(deep.metric[1:] / deep.metric[:-1], fixed.chi1, rtol=1e-11)
    np.testing.assert_allclose(deep.turning, deep.curvature**2 * deep.metric, rtol=1e-12)
    ordered = propagate("tanh", 0.9, 0.3, 200)
    assert ordered.curvature[-1] > 1e3
    assert 1 < ordered.turning[-1] < ordered.turning[100] * (1 + 1e-6)  # it has stopped growing
    line = propagate("identity", 2.0, 0.0, 4)
    np.testing.assert_allclose(line.turning, 1, rtol=1e-12)  # a circle stays a circle
    kinked = propagate("relu", HE, 0.0, 3)
    assert kinked.metric == pytest.approx(1) and kinked.curvature.tolist() == [1, math.inf, math.inf]


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu"])
def test_the_second_layer_of_narrow_networks_has_these_means(name):
    rng = np.random.default_rng(3)
    draws, width, std, bias, q = 60_000, 6, 1.6, 0.4, 1.7
    h, dh = math.sqrt(q) * rng.normal(size=(2, draws, width))
    ddh = -h  # a circle
    value, slope, half = taylor(name, h, 2)
    row = rng.normal(size=(draws, width)) * std / math.sqrt(width)
    u = (row * value).sum(1) + bias * rng.normal(size=draws)
    speed = (row * slope * dh).sum(1)
    acceleration = (row * (2 * half * dh**2 + slope * ddh)).sum(1)
    found = propagate(name, std, bias, 2, variance=q)
    assert within(u**2, found.variance[1])
    assert within(speed**2, found.metric[1])
    assert within(acceleration**2, found.curvature[1] ** 2 * found.metric[1] ** 2)


@pytest.mark.parametrize("c", [-1.0, -0.8, -0.1, 0.0, 0.4, 0.95, 1.0])
def test_correlations_in_closed_form(c):
    q = 1.3
    arc = (math.sqrt(1 - c**2) + c * (math.pi - math.acos(c))) / math.pi  # Cho and Saul 2009
    assert correlation_map("relu", HE, 0.0, q, c) == pytest.approx(arc, abs=1e-5)
    near = (math.sqrt(1 - 0.9999**2) + 0.9999 * (math.pi - math.acos(0.9999))) / math.pi
    assert correlation_map("relu", HE, 0.0, q, 0.9999) == pytest.approx(near, abs=1.3e-6)  # 2.1e-6 without the rest
    sine = math.exp(-q) * math.sinh(q * c)
    whole = math.exp(-q) * math.sinh(q)
    assert correlation_map("sin", 2.0, 0.5, q, c) == pytest.approx((4 * sine + 0.25) / (4 * whole + 0.25), abs=1e-12)
    erf = [2 / math.pi * math.asin(2 * q * r / (1 + 2 * q)) for r in (c, 1)]  # Williams 1997
    assert correlation_map("erf", 1.0, 0.0, q, c) == pytest.approx(erf[0] / erf[1], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "std", "bias"), [("tanh", 1.5, 0.3), ("tanh", 2.5, 0.3), ("erf", 2.0, 0.3), ("hard_tanh", 2.0, 0.5)]
)
def test_a_correlation_that_stays(name, std, bias):
    found = mean_field(name, std, bias)
    kept = correlation_map(name, std, bias, found.variance, found.correlation)
    assert 0 < found.correlation < 1
    assert kept == pytest.approx(found.correlation, abs=1e-11)
    assert found.correlation_error < 1e-9
    for start in (0.0, found.correlation - 0.05, found.correlation + 0.05, 0.999):
        after = correlation_map(name, std, bias, found.variance, start)
        assert (after - start) * (found.correlation - start) > 0  # it is drawn towards the fixed point


@pytest.mark.parametrize(("name", "std"), [("relu", 1.5), ("identity", 1.01), ("square", 1.0)])
def test_a_variance_without_bound_is_refused(name, std):
    with pytest.raises(ValueError, match="no fixed point"):
        mean_field(name, std, 0.1)
    with pytest.raises(ValueError, match="floats do not hold"):
        propagate(name, 10.0, 0.0, 400)


# Hard tanh ------------------------------------------------------------------------------------------------------------


def hard_tanh_speeds(width: int, layers: int, std: float, bias: float, draws: int) -> list[np.ndarray]:
    """Speeds of a unit velocity after each layer, at a point of norm sqrt(width) that is perpendicular to it."""
    rng = np.random.default_rng(4)
    z, v = np.zeros((2, draws, width))
    z[:, 0], v[:, 1] = math.sqrt(width), 1
    found = []
    for _ in range(layers):
        weights = rng.normal(size=(draws, width, width)) * std / math.sqrt(width)
        u = (weights @ z[..., None])[..., 0] + bias * rng.normal(size=(draws, width))
        z, v = np.clip(u, -1, 1), (np.abs(u) < 1) * (weights @ v[..., None])[..., 0]
        found.append(np.linalg.norm(v, axis=1))
    return found


@pytest.mark.parametrize(("width", "std", "bias"), [(3, 1.5, 0.0), (10, 4.0, 1.0)])
def test_one_hard_tanh_layer_is_exact(width, std, bias):
    (speeds,) = hard_tanh_speeds(width, 1, std, bias, 40_000)
    assert within(speeds, expected_hard_tanh_growth(width, width, std, std**2 + bias**2))
    assert not within(speeds, std * math.sqrt(math.erf(1 / math.sqrt(2 * (std**2 + bias**2)))))


@pytest.mark.parametrize(
    ("std", "bias", "measured", "error"),
    [(1.5, 0.0, 1.177, 0.001), (2.0, 0.0, 1.330, 0.002), (4.0, 0.0, 1.798, 0.003), (4.0, 1.0, 1.7644, 0.0025)],
)
def test_deep_hard_tanh_networks_grow_so_and_not_as_printed(std, bias, measured, error):
    found = expected_hard_tanh_growth(64, 64, std, mean_field("hard_tanh", std, bias).variance)
    assert abs(found - measured) < 4 * error
    assert raghu_hard_tanh_base(64, std, bias) > measured + 4 * error
    assert found < math.sqrt(mean_field("hard_tanh", std, bias).chi1) < raghu_upper_base(std)


def test_a_hard_tanh_network_of_width_64_does_grow_so():
    before, after = hard_tanh_speeds(64, 4, 1.5, 0.0, 800)[-2:]
    found = expected_hard_tanh_growth(64, 64, 1.5, mean_field("hard_tanh", 1.5, 0.0).variance)
    assert after.mean() / before.mean() == pytest.approx(found, abs=0.03)


def test_wide_hard_tanh_layers_are_the_mean_field():
    assert expected_hard_tanh_growth(10**6, 10**6, 4.0, 13.7) == pytest.approx(
        math.sqrt(susceptibilities("hard_tanh", 4.0, 13.7)[0]), rel=1e-5
    )


# As printed -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), STDS, st.floats(0, 5))
def test_both_printed_forms_are_one_number(width, std, bias):
    forms = [raghu_hard_tanh_base(width, std, bias, form) for form in ("preprint", "icml")]
    assert forms[0] == pytest.approx(forms[1], rel=1e-13)


def test_printed_figures():
    bases = [(1.5, 0.0, 1.211), (2.0, 0.0, 1.393), (4.0, 0.0, 1.940), (16.0, 0.0, 3.578), (4.0, 1.0, 1.909)]
    for std, bias, base in bases:
        assert raghu_hard_tanh_base(64, std, bias) == pytest.approx(base, abs=6e-4)
    assert raghu_relu_base(64, HE) ** 20 == pytest.approx(877, abs=1)
    assert expected_relu_length([64] * 21, HE, linear_head=False) == pytest.approx(0.829, abs=4 * 0.013)
    assert raghu_transition_base(64, 1.0, 0.0) == 8
    assert raghu_hard_tanh_base(64, 1e3, 1e3) == pytest.approx(1000**0.5 / 2**0.25 * 8 / (1e3 * HE + 64) ** 0.5)
    assert raghu_pattern_order(2, 10, 3, "relu") == 10**6
    assert raghu_pattern_order(2, 10, 3, "hard_tanh") == 20**6


# Pieces ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 2, 7, 32])
def test_chebyshev_polynomials_have_the_largest_length(degree):
    extremes = np.cos(np.pi * np.arange(degree + 1) / degree)
    length = np.abs(np.diff(np.polynomial.chebyshev.chebval(extremes, np.eye(degree + 1)[degree]))).sum()
    bound = degree_length_bound(degree, 1.0, 1)
    assert length < bound == pytest.approx(length, rel=1e-12)  # rounded up


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_no_polynomial_curve_is_longer(dimension, degree, seed):
    coefficients = np.random.default_rng(seed).normal(size=(degree + 1, dimension))
    curve = np.polynomial.chebyshev.chebval(np.linspace(-1, 1, 4001), coefficients).T
    radius = np.linalg.norm(curve, axis=1).max()
    chords = np.linalg.norm(np.diff(curve, axis=0), axis=1).sum()  # at most the length
    assert chords <= degree_length_bound(degree, radius * (1 + 1e-5), dimension)


def test_the_degree_bound_in_many_dimensions_and_for_circles():
    assert degree_length_bound(1, 1.0, 3) == pytest.approx(4, rel=1e-12)  # 2 sqrt(pi) Gamma(2) / Gamma(3/2)
    assert degree_length_bound(4, 3.0, 10_000) == pytest.approx(12 * math.sqrt(2 * math.pi * 10_000), rel=1e-4)
    assert degree_length_bound(2, 1.0, 2) == pytest.approx(2 * math.pi, rel=1e-12)  # a circle, and it is sharp
    assert degree_length_bound(2, 1.0, 2) > 2 * math.pi


def test_straight_pieces():
    assert piecewise_length_bound(3, 2.0) == pytest.approx(12, rel=1e-12)
    assert piecewise_length_bound(3, 2.0) > 12  # rounded up
    with pytest.raises(ValueError, match="larger than any float"):
        piecewise_length_bound(10**9, 1e308)


def test_pattern_bounds_by_hand():
    assert activation_pattern_bound([2, 3], "relu") == 1 + 3 + 3
    assert activation_pattern_bound([5, 3], "relu") == 2**3
    assert activation_pattern_bound([1, 3, 4], "relu") == 4 * 5
    assert activation_pattern_bound([1, 3, 4], "hard_tanh") == 7 * 9
    assert activation_pattern_bound([4, 1, 3], "relu") == 2 * 4  # what is behind one unit is a line


@pytest.mark.parametrize("activation", ["relu", "hard_tanh"])
def test_networks_have_no_more_patterns_than_the_bound(activation):
    rng, widths = np.random.default_rng(5), [2, 3, 2]
    z = np.array(list(product(np.linspace(-6, 6, 400), repeat=2)))
    codes = []
    for before, width in pairwise(widths):
        u = z @ rng.normal(size=(before, width)) + rng.normal(size=width)
        codes.append(np.sign(u) if activation == "relu" else np.trunc(np.clip(u, -1, 1)))
        z = np.maximum(u, 0) if activation == "relu" else np.clip(u, -1, 1)
    found = len(np.unique(np.concatenate(codes, axis=1), axis=0))
    assert 6 < found <= activation_pattern_bound(widths, activation)


@pytest.mark.parametrize(("std", "bias"), [(1.0, 0.0), (2.0, 0.7)])
def test_first_layer_crossings_are_those_of_networks(std, bias):
    rng = np.random.default_rng(6)
    start, end, width = np.array([1.0, 0.2, 0.0]), np.array([-0.3, 1.0, 2.0]), 7
    weights = rng.normal(size=(20_000, width, 3)) * std / math.sqrt(3)
    biases = bias * rng.normal(size=(20_000, width))
    crossed = ((weights @ start + biases > 0) != (weights @ end + biases > 0)).sum(1)
    assert within(crossed.astype(np.float64), expected_first_layer_crossings(start, end, width, std, bias))


def test_crossings_of_a_small_angle_the_opposite_and_huge_points():
    e, f = np.eye(2)
    assert expected_first_layer_crossings(e, e + 1e-12 * f, 1, 1.0, 0.0) == pytest.approx(1e-12 / math.pi, rel=1e-9)
    assert expected_first_layer_crossings(e, -e, 5, 1.0, 0.0) == 5
    assert expected_first_layer_crossings(1e300 * e, 1e300 * f, 5, 1.0, 1.0) == 2.5
    assert expected_first_layer_crossings(e, e, 5, 1.0, 1.0) == 0


def test_the_region_bound_is_linear_along_a_line():
    assert expected_region_bound(384, 1, 2.0) == pytest.approx(768)
    assert expected_region_bound(100, 3, 0.5) == pytest.approx(50**3 / 6)
    assert expected_region_bound(100, 40, 1.0) == pytest.approx(100.0**40 / float(special.factorial(40)), rel=1e-11)


# Refusals -------------------------------------------------------------------------------------------------------------

POINT = np.ones(2)
REFUSED = [
    (lambda: expected_relu_length([4], 1.0, linear_head=False), "at least one layer"),
    (lambda: expected_relu_growths([4, 0], 1.0, linear_head=False), r"widths\[1\] = 0"),
    (lambda: expected_relu_length([4, 4], 0.0, linear_head=False), "weight_std = 0.0"),
    (lambda: expected_relu_length([4, 4], math.nan, linear_head=False), "weight_std = nan"),
    (lambda: expected_relu_length([4] * 500, 900.0, linear_head=False), "no float holds"),
    (lambda: asymptotic_relu_length([4, -1], 1.0, linear_head=False), r"widths\[1\] = -1"),
    (lambda: price_tanner_growths([4, 4], 1.0, linear_head=False, kept=0.0), "kept = 0.0"),
    (lambda: price_tanner_length([4, 4], 1.0, linear_head=False, kept=1.1), "kept = 1.1"),
    (lambda: mean_field("tahn", 1.0, 0.0), "tanh"),
    (lambda: mean_field("tanh", -1.0, 0.0), "weight_std = -1.0"),
    (lambda: mean_field("tanh", 1.0, -0.1), "bias_std = -0.1"),
    (lambda: mean_field("tanh", 1.0, 0.0, variance=0.0), "variance = 0.0"),
    (lambda: susceptibilities("tanh", 1.0, -1.0), "variance = -1.0"),
    (lambda: susceptibilities("tanh", 1.0, math.nan), "variance = nan"),
    (lambda: susceptibilities("sin", 1.0, 1e12), "sine"),
    (lambda: propagate("tanh", 1.0, 0.0, 0), "layers = 0"),
    (lambda: correlation_map("tanh", 1.0, 0.0, 1.0, 1.1), "correlation = 1.1"),
    (lambda: correlation_map("tanh", 1.0, 0.0, 0.0, 0.1), "variance = 0.0"),
    (lambda: expected_hard_tanh_growth(4, 4, 1.0, math.inf), "variance = inf"),
    (lambda: expected_hard_tanh_growth(0, 4, 1.0, 1.0), "fan_in = 0"),
    (lambda: raghu_hard_tanh_base(4, 1.0, math.inf), "bias_std = inf"),
    (lambda: raghu_relu_base(0, 1.0), "width = 0"),
    (lambda: raghu_upper_base(math.inf), "weight_std = inf"),
    (lambda: raghu_pattern_order(0, 2, 2, "relu"), "inputs = 0"),
    (lambda: degree_length_bound(0, 1.0, 2), "degree = 0"),
    (lambda: degree_length_bound(1, math.inf, 2), "radius = inf"),
    (lambda: degree_length_bound(1, 1.0, 0), "dimension = 0"),
    (lambda: piecewise_length_bound(0, 1.0), "pieces = 0"),
    (lambda: activation_pattern_bound([3], "relu"), "at least one layer"),
    (lambda: expected_region_bound(2, 3, 1.0), "as many neurons as inputs"),
    (lambda: expected_region_bound(10**6, 10**3, 1e6), "larger than any float"),
    (lambda: expected_first_layer_crossings(POINT, np.ones(3), 2, 1.0, 0.0), "points of 2 and 3"),
    (lambda: expected_first_layer_crossings(POINT, 0 * POINT, 2, 1.0, 0.0), "origin"),
    (lambda: expected_first_layer_crossings(POINT, math.nan * POINT, 2, 1.0, 0.0), "not finite"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_bad_input_gives_no_number(call, message):
    with pytest.raises(ValueError, match=message):
        call()
