"""Paths against exact arithmetic: rationals for straight and cubic ones, Arb (python-flint) for arcs."""

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path as File

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.interpolate import CubicSpline
from scipy.special import ellipe

from flyroom.data import load
from flyroom.measure import paths
from flyroom.measure.paths import _length, _taylor
from flyroom.records import Dataset, Evidence

flint = pytest.importorskip("flint")  # python-flint: balls of any precision
PRECISION = 300  # bits


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def holds(found: paths.Length, true: float, relative: float = 1e-12) -> None:
    """The interval holds the number and is certified and tight."""
    assert found.low <= true <= found.high, (found, true)
    assert found.evidence == Evidence.certified
    assert found.high - found.low <= relative * found.high


# Lengths.


@pytest.mark.parametrize(("start", "end", "true"), [([0.0, 0.0], [3.0, 4.0], 5.0), ([1e-90, 0.0], [0.0, 0.0], 1e-90)])
def test_the_length_of_a_line_is_its_norm(start: list[float], end: list[float], true: float):
    holds(paths.length(paths.line(start, end)), true, 1e-14)


def test_the_length_of_a_polyline_is_the_sum_of_its_sides():
    rows = normal(6, 3, 4)
    sides = [paths.length(paths.line(a, b)) for a, b in zip(rows, np.roll(rows, -1, axis=0), strict=True)]
    found = paths.length(paths.polyline(rows, closed=True))
    assert_allclose([found.low, found.high], [sum(s.low for s in sides), sum(s.high for s in sides)], rtol=1e-15)
    assert found.low < found.high
    # By rationals under a root of 60 digits: what rounding may not move.
    squares = [sum((Fraction(p) - Fraction(q)) ** 2 for p, q in zip(a, b, strict=True)) for a, b in sides_of(rows)]
    true = sum(Fraction(math.isqrt(int(square * 10**120)), 10**60) for square in squares)
    assert Fraction(found.low) <= true <= Fraction(found.high)


def sides_of(rows: np.ndarray) -> list[tuple[list[float], list[float]]]:
    flat = rows.reshape(len(rows), -1)
    return list(zip(flat.tolist(), np.roll(flat, -1, axis=0).tolist(), strict=True))


@pytest.mark.parametrize("radius", [8.0, 1e-60, 3e80])
@pytest.mark.parametrize("n", [2, 64, 784])
def test_a_circle_is_two_pi_r_long(n: int, radius: float):
    holds(paths.length(paths.circle(n, radius, seed=n)), 2 * math.pi * radius)


def test_an_arc_does_not_feel_its_centre_or_direction():
    u, v = [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]
    holds(paths.length(paths.arc([1e9, -1e9, 1e9], u, v, 2.0, 1.0)), 3.0)
    holds(paths.length(paths.arc([0.0, 0.0, 0.0], u, v, 0.0, 100.0)), 300.0)


@pytest.mark.parametrize("seed", range(5))
def test_raghus_trajectory_is_an_elliptic_integral(seed: int):
    """Against Arb: |x'|^2 = m + R cos(2a + f), so the length is E of complex elliptic type between shifted angles."""
    x0, x1 = normal(2, 5, seed=seed) * [[1.0], [0.1 + seed]]
    holds(paths.length(paths.raghu(x0, x1)), elliptic(x0, x1, 0.0, math.pi / 2))


def elliptic(u: np.ndarray, v: np.ndarray, begin: float, end: float) -> float:
    """The length of the arc u cos a + v sin a by `acb.elliptic_e_inc`."""
    with flint.ctx.workprec(PRECISION):
        squares = [sum((flint.arb(p) * flint.arb(q) for p, q in zip(a, b, strict=True)), flint.arb(0))
                   for a, b in ((u, u), (v, v), (u, v))]  # fmt: skip
        mean, half = (squares[0] + squares[1]) / 2, (squares[1] - squares[0]) / 2
        swing = flint.arb(half**2 + squares[2] ** 2).sqrt()
        shift = flint.arb.atan2(squares[2], half)  # speed^2 = mean + swing cos(2a + shift)
        share = 2 * swing / (mean + swing)  # = (mean + swing) (1 - share sin^2(a + shift/2))

        def primitive(angle: float):
            return flint.acb.elliptic_e_inc(flint.acb(flint.arb(angle) + shift / 2), flint.acb(share)).real

        return float(((mean + swing).sqrt() * (primitive(end) - primitive(begin))).mid())


@pytest.mark.parametrize("ratio", [1.0, 0.5, 1e-3, 1e-6])
def test_an_ellipse_is_a_complete_elliptic_integral_long(ratio: float):
    found = paths.length(paths.arc([0.0, 0.0], [2.0, 0.0], [0.0, 2 * ratio], 0.0, 2 * math.pi))
    holds(found, 8 * ellipe(1 - ratio**2))


def test_an_arc_that_turns_back_on_itself():
    """u and v parallel: the path is a segment of half length 5 walked four times, with two points of no speed."""
    holds(paths.length(paths.arc([0.0, 0.0], [3.0, 0.0], [4.0, 0.0], 0.0, 2 * math.pi)), 20.0)


def test_a_tiny_arc_about_a_turning_point():
    """cos a from -e to e: there and back over 1 - cos e = 2 sin(e/2)^2, with all of it near zero speed."""
    found = paths.length(paths.arc([0.0], [1.0], [0.0], -1e-4, 1e-4))
    holds(found, 4 * math.sin(0.5e-4) ** 2, 1e-9)


def test_known_cubics():
    """A loop by quadrature; x = y = 3 s (1 - s), there and back over 3/4 of the diagonal; a cubic that is a line."""
    loop = paths.length(paths.bezier([[0.0, 0.0], [2.0, 1.0], [-1.0, 1.0], [1.0, 0.0]]))
    true = quad(lambda s: math.hypot(6 - 30 * s + 30 * s * s, 3 - 6 * s), 0, 1, epsabs=1e-12, epsrel=1e-12)[0]
    assert loop.low - 1e-11 <= true <= loop.high + 1e-11
    assert loop.high - loop.low < 1e-11
    back = paths.bezier([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    holds(paths.length(back), 1.5 * math.sqrt(2))
    holds(paths.length(paths.bezier([[0.0], [1.0], [2.0], [3.0]])), 3.0)


@pytest.mark.parametrize("closed", [False, True])
def test_a_splines_length_is_that_of_scipys(closed: bool):
    rows = normal(5, 4)
    found = paths.length(paths.spline(rows, closed=closed))
    ends = [*rows, rows[0]] if closed else rows
    slope = CubicSpline(np.linspace(0, 1, len(ends)), ends, bc_type="periodic" if closed else "natural").derivative()
    pieces = np.linspace(0, 1, len(ends))
    true = sum(
        quad(lambda t: float(np.linalg.norm(slope(t))), a, b, epsabs=1e-11, epsrel=1e-11, limit=200)[0]
        for a, b in pairwise(pieces)
    )
    assert found.high - found.low <= 1e-12 * true
    assert found.low - 1e-10 <= true <= found.high + 1e-10


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.floats(0.05, 0.95), stretch=st.sampled_from([1.0, 1e-4, 0.0]))
def test_lengths_add_and_hold_every_chord_sum(seed: int, cut: float, stretch: float):
    centre, u, v = normal(3, 3, seed=seed) * [[1.0], [1.0], [stretch]]
    whole = paths.arc(centre, u, v, -1.0, 5.0)
    parts = [paths.length(paths.arc(centre, u, v, *ends)) for ends in ((-1.0, cut), (cut, 5.0))]
    cubic = paths.bezier(np.concatenate([[centre], u + normal(3, 3, seed=seed + 1)]))
    found = paths.length(whole)
    assert found.low <= sum(p.high for p in parts) and sum(p.low for p in parts) <= found.high
    assert found.high - found.low <= 1e-9 * found.high
    for path in (whole, cubic):
        chords = np.diff(paths.points(path, np.linspace(0, 1, 4001)), axis=0)
        true, length = float(np.linalg.norm(chords, axis=1).sum()), paths.length(path)
        assert length.low * (1 - 1e-5) <= true <= length.high * (1 + 1e-12)


def test_a_bezier_piece_is_as_long_as_its_halves():
    whole = paths.bezier(normal(4, 3))
    left, right = paths.bezier(half(normal(4, 3))), paths.bezier(half(normal(4, 3)[::-1]))
    at = np.linspace(0, 1, 7)
    assert_allclose(paths.points(left, at), paths.points(whole, at / 2), atol=1e-14)
    assert_allclose(paths.points(right, at), paths.points(whole, 1 - at / 2), atol=1e-14)
    parts = [paths.length(left), paths.length(right)]
    holds(paths.length(whole), (sum(p.low for p in parts) + sum(p.high for p in parts)) / 2)


def half(b: np.ndarray) -> np.ndarray:
    """The control points of the first half, by de Casteljau."""
    return np.stack([b[0], (b[0] + b[1]) / 2, (b[0] + 2 * b[1] + b[2]) / 4, (b[0] + 3 * b[1] + 3 * b[2] + b[3]) / 8])


def test_a_callables_length_is_an_estimate():
    path = paths.curve(lambda t: [math.cos(6 * t), math.sin(6 * t), 8 * t], 3)
    found = paths.length(path)
    assert found.evidence == Evidence.estimate
    assert found.low < 10.0 < found.high
    assert found.high - found.low < 1e-4
    with pytest.raises(ValueError, match="a callable has no Taylor model"):
        paths.taylor(path, np.array([0.0]), np.array([1.0]), 4)


def test_the_quadrature_constants():
    """Nodes and weights against Arb, and the error bound against a function that is smooth no further than assumed."""
    with flint.ctx.workprec(PRECISION):
        for k in range(16):
            node, weight = flint.arb.legendre_p_root(16, k, weight=True)
            where = np.argmin(np.abs(_length.NODES - float(node)))
            assert abs(flint.arb(_length.NODES[where]) - node) < _length.NODE_ERROR
            assert abs(flint.arb(_length.WEIGHTS[where]) - weight) < _length.NODE_ERROR
        # 1/(3 - tau) is at most 1 in the ellipse that the disc of radius 2 holds: M = 1 instead of 1.4.
        pairs = [flint.arb.legendre_p_root(16, k, weight=True) for k in range(16)]
        rule = sum((weight / (3 - node) for node, weight in pairs), flint.arb(0))
        assert abs(rule - flint.arb(2).log()) < _length.QUADRATURE_ERROR / 1.4
    rho = 2 + math.sqrt(3)
    assert_allclose(_length.QUADRATURE_ERROR, 11.2 * rho**-32 / (1 - 1 / rho), rtol=0.02)


# Taylor models.


def exactly(path: paths.Path, t: Fraction, piece: int) -> tuple[list[Fraction], list[Fraction]]:
    """x(t) and dx/dt in rationals, on a given piece of a polyline or cubic path."""
    assert isinstance(path, paths.Polyline | paths.Cubic)
    begin, end = Fraction(path.knots[piece]), Fraction(path.knots[piece + 1])
    s, width = (t - begin) / (end - begin), end - begin
    rows = path.points[piece : piece + 2] if isinstance(path, paths.Polyline) else path.control[3 * piece :][:4]
    degree = len(rows) - 1
    values, rates = [], []
    for column in rows.T:
        b = [Fraction(float(number)) for number in column]
        values.append(sum(math.comb(degree, k) * s**k * (1 - s) ** (degree - k) * b[k] for k in range(degree + 1)))
        steps = [q - p for p, q in pairwise(b)]
        rates.append(
            sum(math.comb(degree - 1, k) * s**k * (1 - s) ** (degree - 1 - k) * steps[k] for k in range(degree))
            * degree
            / width
        )
    return values, rates


def polynomial(model: paths.Taylor, tau: Fraction, unit: int) -> tuple[Fraction, Fraction]:
    c = [Fraction(float(number)) for number in model.coefficients[:, unit, 0]]
    return (
        sum((a * tau**k for k, a in enumerate(c)), Fraction()),
        sum((k * a * tau ** (k - 1) for k, a in enumerate(c) if k), Fraction()),
    )


def test_rounding_where_a_line_crosses_zero():
    """Narrow pieces about a zero: neither the value nor the move says how large the numbers were that cancelled."""
    starts = normal(400)
    for start in starts.tolist():
        path = paths.line([start], [-2.1 * start])
        low = 1 / 3.1
        high = low + 2**-50
        model = paths.taylor(path, np.array([low]), np.array([high]), 1)
        (true,), _ = exactly(path, (Fraction(low) + Fraction(high)) / 2, 0)
        assert abs(polynomial(model, Fraction(0), 0)[0] - true) <= Fraction(model.value_errors[0, 0])


SHARES = st.fractions(-1, 1, max_denominator=10**6)
ENDS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda ends: ends[1] - ends[0] > 1e-12)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["polyline", "spline", "closed", "bezier"]),
    seed=st.integers(0, 10**6),
    ends=ENDS,
    tau=st.one_of(st.sampled_from([Fraction(-1), Fraction(1), Fraction(0)]), SHARES),
    order=st.integers(1, 5),
    scale=st.sampled_from([1.0, 1e-40, 1e40]),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_straight_and_cubic_models_hold_in_rationals(kind, seed, ends, tau, order, scale, offset):
    rows = scale * (normal(7, 3, seed=seed) + offset)
    path = {
        "polyline": lambda: paths.polyline(rows),
        "spline": lambda: paths.spline(rows),
        "closed": lambda: paths.spline(rows, closed=True),
        "bezier": lambda: paths.bezier(rows),
    }[kind]()
    at = paths.knots(path)
    piece = seed % (len(at) - 1)
    low, high = np.clip(at[piece] + np.array(ends) * (at[piece + 1] - at[piece]), at[piece], at[piece + 1])
    model = paths.taylor(path, np.array([low]), np.array([high]), order)
    middle, half = (Fraction(low) + Fraction(high)) / 2, (Fraction(high) - Fraction(low)) / 2
    values, rates = exactly(path, middle + tau * half, piece)
    for unit in range(3):
        value, rate = polynomial(model, tau, unit)
        assert abs(value - values[unit]) <= Fraction(model.value_errors[unit, 0])
        assert abs(rate - rates[unit] * half) <= Fraction(model.rate_errors[unit, 0])


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ends=ENDS,
    tau=st.one_of(st.sampled_from([Fraction(-1), Fraction(1), Fraction(0)]), SHARES),
    order=st.integers(1, 24),
    begin=st.floats(-100, 100),
    span=st.sampled_from([2 * math.pi, math.pi / 2, -1.0, 1e-3, 30.0]),
)
def test_models_of_arcs_hold_in_arb(seed, ends, tau, order, begin, span):
    centre, u, v = normal(3, 3, seed=seed) * [[5.0], [1.0], [0.3]]
    path = paths.arc(centre, u, v, begin, begin + span)
    model = paths.taylor(path, np.array([ends[0]]), np.array([ends[1]]), order)
    middle, half = (Fraction(ends[0]) + Fraction(ends[1])) / 2, (Fraction(ends[1]) - Fraction(ends[0])) / 2
    turn = Fraction(path.end) - Fraction(path.begin)
    with flint.ctx.workprec(PRECISION):
        angle = ball(Fraction(path.begin) + (middle + tau * half) * turn)
        for unit in range(3):
            value, rate = polynomial(model, tau, unit)
            x = flint.arb(centre[unit]) + flint.arb(u[unit]) * angle.cos() + flint.arb(v[unit]) * angle.sin()
            slope = (flint.arb(v[unit]) * angle.cos() - flint.arb(u[unit]) * angle.sin()) * ball(turn * half)
            assert abs(x - ball(value)) <= flint.arb(model.value_errors[unit, 0])
            assert abs(slope - ball(rate)) <= flint.arb(model.rate_errors[unit, 0])


def ball(number: Fraction):
    return flint.arb(flint.fmpq(number.numerator, number.denominator))


def test_numpys_cosine_and_sine_are_within_the_ulps_that_are_trusted():
    angles = np.concatenate([normal(3000) * 100, np.linspace(-7, 7, 2001), np.arange(-400, 401) * (math.pi / 2)])
    worst = 0.0
    with flint.ctx.workprec(PRECISION):
        for found, name in ((np.cos(angles), "cos"), (np.sin(angles), "sin")):
            for angle, value in zip(angles.tolist(), found.tolist(), strict=True):
                off = abs(getattr(flint.arb(angle), name)() - flint.arb(value))
                worst = max(worst, float(off.upper()) / math.ulp(value))
    assert 0.4 < worst < _taylor.ULPS


def test_the_bounds_are_not_wide():
    """Rounding alone at scale one; an arc of low order: at most twice what is truly left out."""
    at = np.linspace(0, 1, 65)
    for path in (paths.line(*normal(2, 9)), paths.circle(9, 1.0, 0), paths.bezier(normal(4, 9))):
        model = paths.taylor(path, at[:-1], at[1:], 10)
        assert model.value_errors.max() < 3e-13 and model.rate_errors.max() < 1e-14
    arc = paths.arc([0.0, 0.0], [1.0, 0.0], [0.0, 1.0], -0.5, 0.5)
    model = paths.taylor(arc, np.array([0.0]), np.array([1.0]), 3)
    tau = np.linspace(-1, 1, 101)
    c = model.coefficients[:, :, 0]
    for unit, true in enumerate((np.cos(tau / 2), np.sin(tau / 2))):
        off = np.abs(np.polynomial.polynomial.polyval(tau, c[:, unit]) - true).max()
        assert model.value_errors[:, 0].max() < 1.1 * 0.5**4 / 24
        assert off <= model.value_errors[unit, 0]
    assert np.abs(np.polynomial.polynomial.polyval(tau, c[:, 0]) - np.cos(tau / 2)).max() > 0.5 * 0.5**4 / 24


def test_models_of_many_pieces_are_those_of_each():
    for path in (paths.polyline(normal(5, 3)), paths.circle(3, 2.0, 1), paths.spline(normal(5, 3))):
        at = np.union1d(np.linspace(0, 1, 14), paths.knots(path))
        low, high = at[:-1], at[1:]
        together = paths.taylor(path, low, high, 5)
        alone = paths.taylor(path, low[6:7], high[6:7], 5)
        assert_allclose(together.coefficients[..., 6:7], alone.coefficients, rtol=0, atol=1e-15)
        middles = paths.points(path, (low + high) / 2).T
        assert_allclose(together.coefficients[0], middles, atol=1e-13)
        slopes = paths.velocities(path, (low + high) / 2).T * (high - low) / 2
        assert_allclose(together.coefficients[1], slopes, atol=1e-13)


# What a path is.


def test_knots():
    assert_array_equal(paths.knots(paths.polyline(normal(5, 2))), [0, 0.25, 0.5, 0.75, 1])
    assert_array_equal(paths.knots(paths.polyline(normal(4, 2), closed=True)), [0, 0.25, 0.5, 0.75, 1])
    assert_array_equal(paths.knots(paths.spline(normal(3, 2))), [0, 0.5, 1])
    assert_array_equal(paths.knots(paths.bezier(normal(7, 2))), [0, 0.5, 1])
    for path in (paths.line([0.0], [1.0]), paths.circle(3, 1.0, 0), paths.curve(lambda t: [t], 1)):
        assert_array_equal(paths.knots(path), [0, 1])


@pytest.mark.parametrize("make", [paths.polyline, paths.spline])
@pytest.mark.parametrize("closed", [False, True])
def test_paths_meet_their_points_exactly(make, closed: bool):
    rows = normal(5, 2, 3)
    path = make(rows, closed=closed)
    found = paths.points(path, paths.knots(path)).reshape(-1, 2, 3)
    assert_array_equal(found[:5], rows)
    assert path.shape == (2, 3)
    assert paths.closed(path) == closed
    assert not closed or (found[-1] == rows[0]).all()


def test_a_spline_is_scipys():
    rows, at = normal(6, 3), np.linspace(0, 1, 101)
    true = CubicSpline(np.linspace(0, 1, 6), rows, bc_type="natural")
    assert_allclose(paths.points(paths.spline(rows), at), true(at), atol=1e-13)
    assert_allclose(paths.velocities(paths.spline(rows), at), true(at, 1), atol=1e-11)


def test_velocities_are_slopes():
    at = np.linspace(0.01, 0.99, 28)
    for path in (paths.raghu(*normal(2, 4)), paths.bezier(normal(7, 4)), paths.polyline(normal(4, 4))):
        slopes = (paths.points(path, at + 1e-6) - paths.points(path, at - 1e-6)) / 2e-6
        assert_allclose(paths.velocities(path, at), slopes, atol=1e-6)
    bent = paths.curve(lambda t: [t**2, math.exp(t)], 2)
    assert_allclose(paths.velocities(bent, at), np.stack([2 * at, np.exp(at)], axis=1), atol=1e-8)
    assert_allclose(paths.velocities(bent, np.array([0.0, 1.0])), [[0, 1], [2, math.e]], atol=1e-4)


def test_raghus_trajectory_and_great_circles():
    x0, x1 = normal(2, 2, 3)
    t = np.array([0.0, 1 / 3, 1.0])
    expected = np.cos(np.pi * t / 2)[:, None] * x0.ravel() + np.sin(np.pi * t / 2)[:, None] * x1.ravel()
    assert_allclose(paths.points(paths.raghu(x0, x1), t), expected, atol=1e-15)
    full, part = paths.great_circle(x0, x1), paths.great_circle(x0, x1, full=False)
    radius = float(np.linalg.norm(x0))
    circle = paths.points(full, np.linspace(0, 1, 9))
    assert_allclose(np.linalg.norm(circle, axis=1), radius, rtol=1e-14)
    assert_allclose(circle[0], x0.ravel(), atol=1e-15)
    assert_allclose(paths.points(part, np.array([1.0]))[0], x1.ravel() * radius / np.linalg.norm(x1), atol=1e-14)
    assert np.linalg.matrix_rank(np.concatenate([circle, x0.reshape(1, -1), x1.reshape(1, -1)]), 1e-9) == 2
    between = math.acos(float((x0 * x1).sum() / radius / np.linalg.norm(x1)))
    holds(paths.length(part), radius * between)
    assert paths.closed(full) and not paths.closed(part)
    assert not paths.closed(paths.arc([0.0], [1.0], [0.0], 0.0, 1e-16))
    near = paths.great_circle(x0, x0 + 1e-9 * x1)  # one orthogonalisation alone would be 1e-7 off
    assert abs(near.u @ near.v) < 1e-14 * radius**2
    assert paths.closed(paths.curve(lambda s: [math.cos(2 * math.pi * s), math.sin(2 * math.pi * s)], 2))


def test_random_circles_are_random_and_repeatable():
    first, again, other = (paths.circle((2, 5), 3.0, seed) for seed in (1, 1, 2))
    assert_array_equal(first.u, again.u)
    assert not np.allclose(first.u, other.u) and not np.allclose(first.v, other.v)
    assert first.shape == (2, 5)


@pytest.mark.parametrize(
    ("path", "directions"),
    [
        (paths.line(*normal(2, 5)), 1),
        (paths.polyline(normal(4, 5)), 3),
        (paths.polyline([[0.0, 0.0, 0.0], [1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]]), 1),
        (paths.circle(5, 1e-30, 0), 2),
        (paths.arc([0.0, 0.0], [1.0, 2.0], [2.0, 4.0], 0.0, 1.0), 1),
        (paths.bezier(normal(4, 9)), 3),
        (paths.spline(normal(3, 9)), 2),  # in the plane of its points
        (paths.polyline(normal(9, 5)), None),
        (paths.circle(2, 1.0, 0), None),
        (paths.curve(lambda t: [t, 0.0], 2), None),
    ],
)
def test_tangents_span_all_velocities(path: paths.Path, directions: int | None):
    basis = paths.tangents(path)
    if directions is None:
        assert basis is None
        return
    assert basis is not None and basis.shape[1] == directions
    assert_allclose(basis.T @ basis, np.eye(directions), atol=1e-14)
    v = paths.velocities(path, np.linspace(0, 1, 33)).T
    assert np.linalg.norm(v - basis @ (basis.T @ v), axis=0).max() <= 1e-13 * np.linalg.norm(v, axis=0).max()


# From data and from text.


@pytest.fixture(scope="module")
def moons() -> Dataset:
    return load("moons", n=40)


def test_paths_between_examples(moons: Dataset):
    path = paths.between(moons, 3, 5)
    assert_array_equal(path.points, np.float64(moons.x_train[[3, 5]]))
    assert_array_equal(paths.between(moons, 0, 1, split="test").points, np.float64(moons.x_test[:2]))
    smooth = paths.through(moons, [0, 4, 2], closed=True)
    assert_array_equal(smooth.control[::3], np.float64(moons.x_train[[0, 4, 2, 0]]))
    assert_array_equal(paths.through(moons, [1, 0], split="test").control[::3], np.float64(moons.x_test[[1, 0]]))


def test_text_names_random_paths():
    ends = normal(2, 3, 2, seed=4)
    for text, true in (("line:seed=4", ends), ("line:seed=4,radius=8", scaled(ends, 8.0))):
        path = paths.parse(text, (3, 2))
        assert isinstance(path, paths.Polyline) and path.shape == (3, 2)
        assert_allclose(path.points, true.reshape(2, -1), rtol=1e-14)
    raghu = paths.parse("raghu:seed=4,radius=2", (3, 2))
    assert isinstance(raghu, paths.Arc)
    assert_allclose([raghu.u, raghu.v], scaled(ends, 2.0).reshape(2, -1), rtol=1e-14)
    whole, part = paths.parse("circle:seed=1,radius=8", (6,)), paths.parse("arc:seed=1,radius=8,turn=0.0625", (6,))
    holds(paths.length(whole), 16 * math.pi)
    holds(paths.length(part), math.pi)
    assert isinstance(whole, paths.Arc) and isinstance(part, paths.Arc)
    assert_array_equal(whole.u, part.u)
    holds(paths.length(paths.parse("circle", (16,))), 8 * math.pi)
    holds(paths.length(paths.parse("arc", (16,))), 2 * math.pi)


def scaled(ends: np.ndarray, radius: float) -> np.ndarray:
    return np.stack([radius * end / np.linalg.norm(end) for end in ends])


def test_text_names_data_and_files(tmp_path: File):
    x = load("mnist1d").x_train.astype(np.float64)
    line = paths.parse("data:mnist1d/3,0", (1, 40))
    assert isinstance(line, paths.Polyline) and line.shape == (1, 40)
    assert_array_equal(line.points, x[[3, 0]])
    smooth = paths.parse("spline:mnist1d/0,1,2", (40,))
    assert isinstance(smooth, paths.Cubic)
    assert_array_equal(smooth.control[::3], x[:3])
    rows = normal(4, 2, 2).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    path = paths.parse(str(tmp_path / "rows.npy"), (2, 2))
    assert isinstance(path, paths.Polyline)
    assert_array_equal(path.points, rows.reshape(4, 4).astype(np.float64))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lime:seed=0", r"no path is called 'lime:seed=0' \(did you mean line or spline\?\); give line:seed=0"),
        ("", "no path is called ''"),
        ("line:sed=0", r"line takes no 'sed=0' \(did you mean seed\?\); it takes seed=..., radius=..."),
        ("line:seed", "line takes no 'seed'"),
        ("line:turn=1", "line takes no 'turn=1'"),
        ("line:seed=0,seed=1", "line has seed twice"),
        ("line:seed=-1", "seed is '-1'; give a whole number"),
        ("line:seed=1e3", "seed is '1e3'"),
        ("circle:radius=0", "radius is '0'; give a positive number"),
        ("circle:radius=nan", "radius is 'nan'"),
        ("circle:radius=inf", "radius is 'inf'"),
        ("circle:radius=x", "radius is 'x'"),
        ("arc:turn=1.5", "turn is '1.5'; give a share"),
        ("data:mnist/0,1", r"knows no data set 'mnist' \(did you mean mnist1d\?\); give mnist1d or digits"),
        ("data:mnist1d", "names no examples; give two or more numbers, as in data:mnist1d/0,1"),
        ("data:mnist1d/0", "names no examples"),
        ("data:mnist1d/0,-1", "names no examples"),
        ("data:mnist1d/0,99999", "mnist1d has no train example 99999; it has 4000, give 0 to 3999"),
        ("data:mnist1d/0,0", "points 0 and 1 are equal"),
        ("data:digits/0,1", r"has shape \(2, 8, 8\); the network takes examples of shape \(40,\)"),
        ("absent.npy", "there is no file absent.npy"),
    ],
)
def test_text_that_names_no_path_is_refused(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        paths.parse(text, (40,))


def test_files_that_hold_no_path_are_refused(tmp_path: File, monkeypatch: pytest.MonkeyPatch):
    def refused(said: str, **saved: np.ndarray) -> None:
        for array in saved.values():
            np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=said):
            paths.parse(str(tmp_path / "a.npy"), (2,))

    refused("no NumPy array of numbers", pickled=np.array([{}, None]))
    refused("dtype", words=np.array([["a", "b"], ["c", "d"]]))
    refused(r"has shape \(3, 4\); the network takes examples of shape \(2,\)", wide=np.zeros((3, 4)))
    refused(r"has shape \(\)", scalar=np.array(1.0))
    refused("not finite", broken=np.array([[0.0, 1.0], [np.nan, 0.0]]))
    whole = (tmp_path / "a.npy").read_bytes()
    # A header that promises a million million rows over the same few bytes.
    (tmp_path / "a.npy").write_bytes(whole.replace(b"(2, 2), }" + b" " * 12, b"(1000000000000, 2), }"))
    refused("it promises 16000000000000 bytes and holds 32")
    for damaged in (b"", b"nonsense", whole[:20], whole[:-1], b"PK\x03\x04 nonsense", whole.replace(b"{", b"(")):
        (tmp_path / "a.npy").write_bytes(damaged)
        refused("no NumPy array of numbers")
    monkeypatch.setattr("flyroom.measure.paths._text.LARGEST_FILE", 10)
    refused("at most 10 are read")


# Refusals.

ZERO, ONE = [0.0, 0.0], [1.0, 0.0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: paths.line(ONE, ONE), "points 0 and 1 are equal.*give two different ends"),
        (lambda: paths.line(ONE, [1.0]), r"the shapes differ: start \(2,\), end \(1,\)"),
        (lambda: paths.line(ONE, [math.nan, 0.0]), "not finite"),
        (lambda: paths.line(ONE, [1e101, 0.0]), "beyond 1e.100; scale them down"),
        (lambda: paths.line([], []), "not empty"),
        (lambda: paths.line(["a"], ["b"]), "give real numbers"),
        (lambda: paths.line([1j], [2j]), "dtype complex128; give real numbers"),
        (lambda: paths.polyline([ONE, [1.0]]), "different shapes"),
        (lambda: paths.polyline([ONE]), "at least two points; got 1"),
        (lambda: paths.polyline([ONE, ZERO, ZERO, ONE]), "points 1 and 2 are equal"),
        (lambda: paths.polyline([ONE, ZERO, ONE], closed=True), "the last point equals the first; leave it out"),
        (lambda: paths.polyline([ONE, ZERO], closed=True), "at least three points; got 2"),
        (lambda: paths.polyline(np.float64(3.0)), "not empty"),
        (lambda: paths.spline([ONE]), "at least two points; got 1"),
        (lambda: paths.spline([ONE, ONE, ZERO]), "points 0 and 1 are equal"),
        (lambda: paths.spline([ONE, ZERO], closed=True), "at least three points"),
        (lambda: paths.bezier([ONE, ZERO, ONE]), "4, 7, 10, ... control points; got 3"),
        (lambda: paths.bezier([ONE]), "got 1"),
        (lambda: paths.bezier([ZERO, ONE, ZERO, ONE, ONE, ONE, ONE]), "control points 3 to 6 are equal"),
        (lambda: paths.arc(ZERO, ZERO, ZERO, 0.0, 1.0), "u and v are both zero"),
        (lambda: paths.arc(ZERO, ONE, ZERO, 1.0, 1.0), "begins and ends at the angle 1.0"),
        (lambda: paths.arc(ZERO, ONE, ZERO, 0.0, math.nan), "the angles are 0.0 and nan"),
        (lambda: paths.arc(ZERO, ONE, ZERO, 0.0, 1e5), "give radians between"),
        (lambda: paths.arc([0.0], ONE, ONE, 0.0, 1.0), "the shapes differ"),
        (lambda: paths.raghu(ONE, ONE), "x0 and x1 are equal"),
        (lambda: paths.great_circle(ONE, [-2.0, 0.0]), "parallel"),
        (lambda: paths.great_circle(ZERO, ONE), "zero: they span no plane"),
        (lambda: paths.circle(1, 1.0, 0), "at least two units"),
        (lambda: paths.circle((3, 0), 1.0, 0), "empty; give positive sizes"),
        (lambda: paths.circle(3, -1.0, 0), "the radius is -1.0"),
        (lambda: paths.circle(3, math.inf, 0), "the radius is inf"),
        (lambda: paths.curve(lambda t: [1.0], 1), "nine points of the curve are one"),
        (lambda: paths.curve(lambda t: [t], 2), r"returned shape \(1,\); it was said to return \(2,\)"),
        (lambda: paths.curve(lambda t: [math.nan], 1), "not finite"),
        (lambda: paths.length(paths.arc(ZERO, [1e-200, 0.0], ZERO, 0.0, 1.0)), "squares underflow, scale it up"),
        (lambda: paths.points(paths.line(ZERO, ONE), np.array([1.1])), r"outside \[0, 1\]"),
        (lambda: paths.points(paths.line(ZERO, ONE), np.array([math.nan])), "not a number"),
        (lambda: paths.velocities(paths.line(ZERO, ONE), np.array([-0.1])), r"outside \[0, 1\]"),
    ],
)
def test_what_is_no_path_is_refused(make, said: str):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("low", "high", "order", "said"),
    [
        (0.0, 0.5, 0, "the order is 0; give 1 to 64"),
        (0.0, 0.5, 65, "the order is 65"),
        (0.5, 0.5, 2, "each piece must have"),
        (-0.1, 0.5, 2, "each piece must have"),
        (0.5, 1.1, 2, "each piece must have"),
        (0.0, math.nan, 2, "each piece must have"),
        (0.4, 0.6, 2, "a piece crosses a knot of the path; subdivide at knots"),
    ],
)
def test_pieces_without_a_model_are_refused(low: float, high: float, order: int, said: str):
    path = paths.polyline([ZERO, ONE, ZERO])
    with pytest.raises(ValueError, match=said):
        paths.taylor(path, np.array([low]), np.array([high]), order)


def test_examples_that_do_not_exist_are_refused(moons: Dataset):
    with pytest.raises(ValueError, match="moons has no train example -1; it has 32, give 0 to 31"):
        paths.between(moons, -1, 0)
    with pytest.raises(ValueError, match="moons has no test example 8"):
        paths.between(moons, 0, 8, split="test")
    with pytest.raises(ValueError, match="there is no split 'valid'; give train or test"):
        paths.between(moons, 0, 1, split="valid")
    with pytest.raises(ValueError, match="points 0 and 1 are equal"):
        paths.between(moons, 2, 2)
