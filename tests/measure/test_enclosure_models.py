"""The pieces that enclosures are made of, one by one, against rationals, Arb and quadrature.

Bounds are checked where they are tight: with coefficients of one sign every term that is left out is missed, and where
nothing is cut off all that is left is rounding, which rationals see.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import comb, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.integrate import quad

from flyroom.measure.enclosure import affine, composition, integral, kinks, linear, roots, smooth
from flyroom.measure.enclosure.models import Model, Sources, inherited, restricted, spread
from flyroom.measure.enclosure.rounding import gamma
from flyroom.nets.graph import Node

flint = pytest.importorskip("flint")  # python-flint, which the test extra brings

TAUS = [Fraction(k, 8) for k in range(-8, 9)]
Exact = list[Fraction]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def exact(column: np.ndarray) -> Exact:
    return [Fraction(float(c)) for c in column]


def at(p: Sequence[Fraction], tau: Fraction) -> Fraction:
    return sum((c * tau**k for k, c in enumerate(p)), Fraction(0))


def rate(p: Sequence[Fraction]) -> Exact:
    return [k * c for k, c in enumerate(p)][1:]


def times(p: Sequence[Fraction], q: Sequence[Fraction]) -> Exact:
    found = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            found[i + j] += a * b
    return found


def less(p: Sequence[Fraction], q: Sequence[Fraction]) -> Exact:
    length = max(len(p), len(q))
    p, q = ([*one, *[Fraction(0)] * (length - len(one))] for one in (p, q))
    return [a - b for a, b in zip(p, q, strict=True)]


def substituted(outer: Sequence[Fraction], inner: Sequence[Fraction]) -> Exact:
    """sum_i outer[i] (P - c)^i."""
    moved, found = [Fraction(0), *inner[1:]], [Fraction(0)]
    for a in reversed(outer):
        found = times(found, moved)
        found[0] += a
    return found


def holds(true: Sequence[Fraction], kept: np.ndarray, value: float, pace: float) -> None:
    """All that the true polynomial and its rate differ from the kept one by lies within the bounds."""
    off = less(true, exact(kept))
    assert max(abs(at(off, tau)) for tau in TAUS) <= Fraction(float(value))
    assert max(abs(at(rate(off), tau)) for tau in TAUS) <= Fraction(float(pace))


def bare(coefficients: np.ndarray, value: float = 0.0, pace: float = 0.0, sources: int = 0) -> Model:
    """A model of one group with the same direct errors everywhere."""
    shape = (*coefficients.shape[:-2], coefficients.shape[-1])
    return Model(coefficients, np.full(shape, value), np.full(shape, pace), np.zeros((*shape[:-1], 1, sources)))


def nothing(pieces: int) -> Sources:
    return Sources(np.zeros((0, pieces)), np.zeros((0, pieces)), np.zeros(pieces, int))


# Polynomials of polynomials ------------------------------------------------------------------------------------------

NUMBERS = st.floats(-4, 4, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=6), st.data())
def test_a_composed_polynomial_is_within_its_bounds(outer: list[float], data: st.DataObject):
    count = len(outer)
    inner = data.draw(st.lists(NUMBERS, min_size=count, max_size=count))
    found = composition.composed(np.array(outer)[:, None], np.array(inner)[:, None])
    true = substituted(exact(np.array(outer)), exact(np.array(inner)))
    holds(true, found.coefficients[:, 0], found.value[0], found.rate[0])


def test_the_bounds_of_what_is_cut_off_are_met_by_positive_coefficients():
    """At tau = 1 nothing cancels: what is cut off is the whole bound, and no term of it may be missing."""
    outer, inner = np.abs(draw(6, 1, seed=1)) + 0.1, np.abs(draw(6, 1, seed=2)) + 0.1
    found = composition.composed(outer, inner)
    off = less(substituted(exact(outer[:, 0]), exact(inner[:, 0])), exact(found.coefficients[:, 0]))
    assert at(off, Fraction(1)) <= Fraction(found.value[0]) <= at(off, Fraction(1)) * Fraction(1 + 1e-9)
    assert at(rate(off), Fraction(1)) <= Fraction(found.rate[0]) <= at(rate(off), Fraction(1)) * Fraction(1 + 1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_is_cut_off_rounding_is_counted(seed: int):
    """f(P) = a0 + a1 (P - c), and a product with a constant: all errors are of rounding."""
    outer, inner = draw(6, 1, seed=seed), draw(6, 1, seed=seed + 50)
    outer[2:] = 0
    found = composition.composed(outer, inner)
    true = substituted(exact(outer[:, 0]), exact(inner[:, 0]))
    assert any(less(true, exact(found.coefficients[:, 0])))
    holds(true, found.coefficients[:, 0], found.value[0], found.rate[0])
    factor = np.zeros((6, 1))
    factor[0] = outer[0]
    product = composition.product(factor, inner)
    true = times(exact(factor[:, 0]), exact(inner[:, 0]))
    assert any(less(true, exact(product.coefficients[:, 0])))
    holds(true, product.coefficients[:, 0], product.value[0], product.rate[0])


def test_a_large_constant_does_not_hide_the_rounding_of_small_terms():
    found = composition.composed(np.array([[1.0], [1e-17]]), np.array([[0.0], [1 / 3]]))
    true = substituted([Fraction(1), Fraction(1e-17)], [Fraction(0), Fraction(1 / 3)])
    holds(true, found.coefficients[:, 0], found.value[0], found.rate[0])


@pytest.mark.parametrize("seed", range(5))
def test_a_product_is_within_bounds_that_positive_coefficients_meet(seed: int):
    a, b = draw(5, 1, seed=seed), draw(5, 1, seed=seed + 50)
    found = composition.product(a, b)
    holds(times(exact(a[:, 0]), exact(b[:, 0])), found.coefficients[:, 0], found.value[0], found.rate[0])
    found = composition.product(np.abs(a), np.abs(b))
    off = less(times(exact(np.abs(a[:, 0])), exact(np.abs(b[:, 0]))), exact(found.coefficients[:, 0]))
    assert at(off, Fraction(1)) <= Fraction(found.value[0]) <= at(off, Fraction(1)) * Fraction(1 + 1e-9)
    assert at(rate(off), Fraction(1)) <= Fraction(found.rate[0]) <= at(rate(off), Fraction(1)) * Fraction(1 + 1e-9)


# Parts of pieces, and errors that came from elsewhere ----------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=6), st.integers(-(2**50), 2**50), st.integers(-(2**50), 2**50))
def test_a_part_of_a_piece_is_the_same_polynomial(numbers: list[float], one: int, other: int):
    if one == other:
        return
    low, high = sorted((one, other))
    begin, end = low / 2**50, high / 2**50
    model = restricted(bare(np.array(numbers)[:, None]), np.array([0]), np.array([begin]), np.array([end]))
    middle, half = Fraction(low + high, 2**51), Fraction(high - low, 2**51)
    true = [
        sum((Fraction(numbers[j]) * comb(j, k) * middle ** (j - k) for j in range(k, len(numbers))), Fraction(0))
        * half**k
        for k in range(len(numbers))
    ]
    holds(true, model.coefficients[:, 0], model.value[0], model.rate[0])


def test_a_part_keeps_errors_of_values_and_slows_those_of_rates():
    model = bare(draw(3, 6, 2), 0.5, 0.25)._replace(known=(np.full((3, 2), 0.75), np.full((3, 2), 1.0)))
    found = restricted(model, np.array([1, 1]), np.array([-1.0, 0.5]), np.array([0.5, 1.0]))
    assert (found.value >= 0.5).all() and (found.value < 0.5 + 1e-12).all()
    assert (found.rate >= 0.25 * np.array([0.75, 0.25])).all() and (
        found.rate < 0.25 * np.array([0.75, 0.25]) + 1e-12
    ).all()
    assert found.known is not None
    value, pace = found.known
    assert (value >= 0.75).all() and (value < 0.75 + 1e-12).all()
    assert (pace >= [0.75, 0.25]).all() and (pace < np.array([0.75, 0.25]) + 1e-12).all()
    sources = inherited(
        Sources(np.ones((4, 2)), np.ones((4, 2)), np.array([0, 1])), np.array([1, 1]), np.array([0.75, 0.25])
    )
    assert_array_equal(sources.value, 1)
    assert (sources.rate >= [0.75, 0.25]).all() and (sources.rate < np.array([0.75, 0.25]) + 1e-9).all()
    assert_array_equal(sources.group, [1, 1])


def test_all_errors_together_are_the_direct_ones_and_those_that_reach_here():
    reach, group = draw(3, 2, 5), np.array([0, 0, 1, 1, 1])
    sources = Sources(np.abs(draw(7, 5, seed=1)), np.abs(draw(7, 5, seed=2)), group)  # two of them are younger
    model = Model(np.zeros((3, 4, 5)), np.abs(draw(3, 5, seed=3)), np.abs(draw(3, 5, seed=4)), reach)
    for found, direct, size in zip(spread(model, sources), model[1:3], sources[:2], strict=True):
        for unit, piece in np.ndindex(3, 5):
            true = Fraction(float(direct[unit, piece])) + sum(
                abs(Fraction(reach[unit, group[piece], s])) * Fraction(size[s, piece]) for s in range(5)
            )
            assert true <= Fraction(float(found[unit, piece])) <= true * Fraction(1 + 1e-11)


# Speeds and lengths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 5, 8])
def test_the_square_of_the_speed_is_off_by_no_more_than_is_said(order: int):
    curve = draw(20, order, 3, seed=order)
    squares, lost = integral.squared_speed(curve)
    for piece in range(3):
        true = [Fraction(0)]
        for unit in curve[:, :, piece]:
            true = less(true, [-c for c in times(rate(exact(unit)), rate(exact(unit)))])
        off = less(true, exact(squares[:, piece]))
        worst = max(abs(at(off, tau)) for tau in TAUS)
        assert 0 < worst <= Fraction(lost[piece]) < Fraction(1e-9)


def test_a_point_that_does_not_move_has_no_length():
    low, high = integral.arc_length(np.ones((3, 1, 2)), np.zeros(2))
    assert (low == 0).all() and (high < 1e-100).all()
    low, high = integral.arc_length(np.zeros((3, 5, 2)), np.zeros(2))
    assert (low == 0).all() and (high < 1e-100).all()


@pytest.mark.parametrize("seed", range(4))
def test_lengths_of_polynomial_curves_by_quadrature(seed: int):
    curve = draw(3, 6, 4, seed=seed) * 0.6 ** np.arange(6)[:, None]
    low, high = integral.arc_length(curve, np.zeros(4))
    for piece in range(4):
        rates = [np.polynomial.Polynomial(unit).deriv() for unit in curve[:, :, piece]]
        true, _ = quad(
            lambda t, rates=rates: np.sqrt(sum(p(t) ** 2 for p in rates)), -1, 1, epsabs=0, epsrel=1e-12, limit=200
        )
        assert low[piece] <= true * (1 + 1e-12) and true * (1 - 1e-12) <= high[piece]
        assert high[piece] - low[piece] <= 1e-7 * true


def test_a_curve_that_stops_and_one_that_turns_back():
    """(t^2, t^3) has a cusp at 0: l = 2 (13^(3/2) - 8) / 27; t^2 alone goes one way and back."""
    curve = np.zeros((2, 4, 1))
    curve[0, 2], curve[1, 3] = 1, 1
    low, high = integral.arc_length(curve, np.zeros(1))
    assert low[0] <= 2 * (13**1.5 - 8) / 27 <= high[0] < low[0] + 1e-3
    low, high = integral.arc_length(curve[:1], np.zeros(1))
    assert low[0] <= 2 <= high[0] < 2 + 1e-3


def test_an_error_of_the_velocity_is_counted_on_the_whole_piece():
    line = np.zeros((2, 2, 1))
    line[:, 1, 0] = 3.0, 4.0
    low, high = integral.arc_length(line, np.array([0.5]))
    assert 9 - 1e-6 < low[0] <= 10 - 2 * 0.5 and 10 + 2 * 0.5 <= high[0] < 11 + 1e-6
    low, high = integral.arc_length(line, np.array([6.0]))
    assert low[0] == 0 and high[0] >= 22


@pytest.mark.parametrize(
    "squares", [[4.0, 0.0, 0.0], [1e-6, 0.0, 1.0], [1.0, 0.1, 0.1], [0.0, 0.0, 1.0], [1.0, -2.0, 1.0]]
)
@pytest.mark.parametrize("lost", [0.0, 1e-9, 1e-2])
def test_the_root_of_a_square_that_is_known_up_to_an_error(squares: list[float], lost: float):
    """S + d for every constant d up to the error, wherever that is not negative."""
    low, high = integral._bounds(np.array(squares)[:, None], np.array([lost]))
    for share in (-1.0, 0.0, 1.0):
        s = np.polynomial.Polynomial(squares) + share * lost
        if min(s(np.linspace(-1, 1, 2001))) < 0:
            continue
        parts = (
            quad(lambda t, s=s: np.sqrt(max(s(t), 0)), *ends, epsabs=1e-9, limit=300)[0] for ends in ((-1, 0), (0, 1))
        )
        true = sum(parts)
        assert low[0] <= true + 1e-8 and true - 1e-8 <= high[0], share


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 1e3), st.lists(st.floats(-0.12, 0.12), min_size=1, max_size=8))
def test_the_series_of_the_root_encloses(scale: float, parts: list[float]):
    """Against Arb, to the last place."""
    size = max(1.0, 4.2 * sum(abs(p) for p in parts))
    squares = scale * np.array([1.0, *(p / size for p in parts)])
    low, high = integral._series(squares[:, None], np.zeros(1))
    flint.ctx.prec = 150
    coefficients = [flint.acb(float(c)) for c in squares]

    def root(z, analytic):
        value = flint.acb(0)
        for c in reversed(coefficients):
            value = value * z + c
        return value.sqrt(analytic=analytic)

    true = flint.acb.integral(root, -1, 1).real
    assert flint.arb(float(low[0])) <= true.upper() and true.lower() <= flint.arb(float(high[0]))
    assert high[0] - low[0] <= 0.1 * high[0]  # what lies beyond the order is cut off and counted


def test_halves_of_a_square_are_the_same_polynomial():
    squares = draw(7, 3)
    halves, lost = integral._halved(squares, np.full(3, 0.0))
    for i, middle in enumerate((Fraction(-1, 2), Fraction(1, 2))):
        for piece in range(3):
            p = exact(squares[:, piece])
            true = [
                sum((p[j] * comb(j, k) * middle ** (j - k) for j in range(k, 7)), Fraction(0)) / 2**k for k in range(7)
            ]
            off = less(true, exact(halves[:, 3 * i + piece]))
            assert max(abs(at(off, tau)) for tau in TAUS) <= Fraction(lost[3 * i + piece])
    assert (integral._halved(squares, np.full(3, 0.5))[1] >= 0.5).all()


# Signs and cuts ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([0.0, 1e-17, -1e-17, 0.1, -0.1, 0.3, 1 / 3, -1 / 3, 1.0, -1.0, 2.0]), min_size=2, max_size=5
    ),
    st.sampled_from([0.0, 1e-17, 1e-3]),
    st.sampled_from([0.0, 2.0**-53, -(2.0**-53), 1e-16]),
)
def test_a_side_that_is_claimed_is_true(numbers: list[float], error: float, nudge: float):
    """With a constant that just makes the ends meet zero, or just not."""
    column = np.array(numbers)
    column[0] = np.abs(column[1:]).sum() * (1 + nudge)
    for sign in (1.0, -1.0):
        claim = kinks.sides(sign * column[:, None], np.array([error]))[0]
        least = min(at(exact(sign * column), tau) for tau in TAUS) - Fraction(error)
        most = max(at(exact(sign * column), tau) for tau in TAUS) + Fraction(error)
        assert claim <= 0 or least >= 0
        assert claim >= 0 or most <= 0


def test_sides_are_found_where_a_monotone_value_all_but_reaches_zero():
    column = np.array([[0.6], [1.0], [-0.35], [0.0]])  # 0.6 + t - 0.35 t^2: -0.75 at -1, rises
    assert kinks.sides(column, np.zeros(1))[0] == 0
    assert kinks.sides(column + np.array([[0.76], [0], [0], [0]]), np.zeros(1))[0] == 1  # 0.01 at -1
    assert kinks.sides(column + np.array([[0.76], [0], [0], [0]]), np.array([0.02]))[0] == 0
    assert kinks.sides(-column - np.array([[0.76], [0], [0], [0]]), np.zeros(1))[0] == -1


@pytest.mark.parametrize("order", [2, 3, 6])
def test_cuts_cover_every_piece_and_put_every_crossing_in_a_narrow_window(order: int):
    values = draw(5, order, 4, seed=order)
    errors = np.full((5, 4), 1e-13)
    found = roots.cuts([(values, errors)])
    assert found is not None
    for piece in range(4):
        here = found.parent == piece
        begin, end = found.begin[here], found.end[here]
        assert begin[0] == -1 and end[-1] == 1
        assert_array_equal(begin[1:], end[:-1])
        assert (begin * 2**50 == np.round(begin * 2**50)).all()
        crossing = sorted(
            r.real
            for unit in values[:, :, piece]
            for r in np.polynomial.Polynomial(unit).roots()
            if abs(r.imag) < 1e-12 and abs(r.real) < 1
        )
        assert (found.crossings == piece).sum() == len(crossing)
        for root in crossing:
            window = np.flatnonzero((begin <= root) & (root <= end) & (end - begin < 1e-6))
            assert window.size, root
    model = restricted(bare(values, 1e-13), found.parent, found.begin, found.end)
    wide = found.end - found.begin > 1e-6
    proved = kinks.sides(model.coefficients, model.value)[:, wide] != 0
    assert proved.all() if order == 2 else proved.mean() > 0.8


def test_nothing_is_cut_where_nothing_crosses():
    assert roots.cuts([(np.array([[[2.0], [1.0]]]), np.zeros((1, 1)))]) is None


# Steps that bend -----------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (2 + np.exp(x) + np.exp(-x))),
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "square": (lambda x: x * x, lambda x: 2 * x),
    "softplus": (lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x))),
}
POINTS = np.linspace(-1, 1, 41)


def curve(coefficients: np.ndarray, derivative: int = 0) -> np.ndarray:
    """Values of polynomials (*example, order, piece) at the points, which make the last axis."""
    p = np.moveaxis(coefficients, -2, 0)
    for _ in range(derivative):
        p = p[1:] * np.arange(1.0, len(p)).reshape(-1, *(1,) * (p.ndim - 1))
    return np.moveaxis(
        sum((c * POINTS.reshape(-1, *(1,) * (p.ndim - 1)) ** k for k, c in enumerate(p)), np.zeros(())), 0, -1
    )


def encloses(model: Model, sources: Sources, value: np.ndarray, pace: np.ndarray, slack: float = 1e-12) -> None:
    """The value and its rate at the points are as near to the model as it says."""
    most, most_rate = spread(model, sources)
    assert (np.abs(value - curve(model.coefficients)) <= most[..., None] + slack).all()
    assert (np.abs(pace - curve(model.coefficients, 1)) <= most_rate[..., None] + slack).all()


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(("error", "pace"), [(0.0, 0.0), (1e-3, 0.0), (0.0, 1e-3), (0.05, 0.05), (0.3, 0.0)])
@pytest.mark.parametrize("size", [0.01, 0.3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_smooth_functions_enclose_every_value_within_the_errors(
    name: str, size: float, error: float, pace: float, tracked: bool
):
    f, slope = FUNCTIONS[name]
    inner = draw(6, 3, 2, seed=7) * np.array([1.0, size, size**2])[:, None]
    sources = nothing(2)._replace(tracked=tracked)
    model, made = smooth.applied(name, bare(inner, error, pace), sources)
    for e in (-error, 0.0, error):
        for r in (-pace, pace):
            u, v = curve(inner) + e, curve(inner, 1) + r
            encloses(model, made, f(u), slope(u) * v)


@pytest.mark.parametrize("wrong", [0, 1])
def test_errors_of_taylor_coefficients_are_counted_each(monkeypatch: pytest.MonkeyPatch, wrong: int):
    """With coefficients that are off by as much as they may be, all one way."""
    true = smooth.functions.local

    def worse(name: str, centre: np.ndarray, order: int):
        found = true(name, centre, order)
        if order < 2:  # asked for by ranges
            return found
        off = np.zeros_like(found.coefficients)
        off[wrong] = 0.01
        return type(found)(found.coefficients - off, found.errors + off)

    inner = np.array([[0.3, 0.01, 0.0, 0.0]]).T  # so short that nothing else is left out
    monkeypatch.setattr(smooth.functions, "local", worse)
    model, made = smooth.applied("sin", bare(inner), nothing(1))
    encloses(model, made, np.sin(curve(inner)), np.cos(curve(inner)) * curve(inner, 1))


def test_the_constant_term_of_a_function_is_only_as_good_as_it_is_said_to_be():
    """exp at numbers, against Arb: nothing but the error of the first coefficient is left."""
    centres = draw(400) * 3
    found = smooth.expanded("exp", np.stack([centres, np.zeros(400)])[:, :], np.zeros(400))
    flint.ctx.prec = 120
    misses = [abs(flint.arb(c).exp() - flint.arb(y)) for c, y in zip(centres, found.coefficients[0], strict=True)]
    assert any(miss > 0 for miss in misses)
    assert all(miss <= flint.arb(float(bound)) for miss, bound in zip(misses, found.value, strict=True))


def test_the_range_of_a_function_is_not_rounded_to_its_middle():
    """sin near 1e6, off by less than half a unit in the last place of 1e6: the slope is known no better than that."""
    centre, error = 1e6, 4e-11
    low, high = smooth.expanded("sin", np.array([[centre], [0.0]]), np.array([error])).slopes
    flint.ctx.prec = 120
    for e in (-error, error):
        true = (flint.arb(centre) + flint.arb(e)).cos()
        assert flint.arb(float(low[0])) <= true <= flint.arb(float(high[0]))


def test_slopes_that_differ_within_a_group_are_counted_from_their_middle():
    """Whatever each source is, and whatever slope each piece has, in rationals: rounding of `reach` included."""
    group = np.array([0, 0, 1])
    sources = Sources(np.full((2, 3), 0.1), np.full((2, 3), 0.7), group)
    before = Model(np.zeros((2, 3, 3)), np.full((2, 3), 0.01), np.full((2, 3), 0.02), draw(2, 2, 2))
    for low, high in [
        (np.full((2, 3), 1 / 3), np.full((2, 3), 1 / 3)),
        (draw(2, 3, seed=3) - 1, draw(2, 3, seed=4) + 3),
    ]:
        for direct in (0.0, 0.01):
            source = before._replace(value=np.full((2, 3), direct), rate=np.full((2, 3), 2 * direct))
            none = (np.zeros((2, 3)), np.zeros((2, 3)))
            model, grown = smooth.combined(np.zeros((2, 3, 3)), [((low, high), source)], none, sources, new=True)
            kept, _ = smooth.combined(np.zeros((2, 3, 3)), [((low, high), source)], none, sources, new=False)
            for unit, piece in np.ndindex(2, 3):
                _check_slopes(source, model, grown, kept, sources, (low, high), unit, piece)


def _check_slopes(source, model, grown, kept, sources, bounds, unit: int, piece: int) -> None:
    g = sources.group[piece]
    for which, own, made in ((0, source.value, grown.value), (1, source.rate, grown.rate)):
        direct = Fraction(own[unit, piece])
        for signs in np.ndindex(2, 2, 2):
            s = [(2 * Fraction(sign) - 1) * Fraction(sources[which][i, piece]) for i, sign in enumerate(signs[:2])]
            e = sum((Fraction(source.reach[unit, g, i]) * s[i] for i in range(2)), Fraction(0))
            e += (2 * signs[2] - 1) * direct
            for slope in (Fraction(bound[unit, piece]) for bound in bounds):
                seen = sum((Fraction(model.reach[unit, g, i]) * s[i] for i in range(2)), Fraction(0))
                assert abs(slope * e - seen) <= Fraction(made[2 + unit, piece])
                seen = sum((Fraction(kept.reach[unit, g, i]) * s[i] for i in range(2)), Fraction(0))
                assert abs(slope * e - seen) <= Fraction((kept.value, kept.rate)[which][unit, piece])
                assert abs(slope * e) <= Fraction(spread(model, grown)[which][unit, piece])


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("which", range(16))
def test_products_count_every_pairing_of_errors(which: int, tracked: bool):
    """Positive coefficients and errors one way: at tau = 1 the bounds are met, so that none may be missing."""
    ea, ra, eb, rb = (0.1 * (which >> bit & 1) for bit in range(4))
    a, b = np.abs(draw(2, 4, 1, seed=1)) + 0.1, np.abs(draw(2, 4, 1, seed=2)) + 0.1
    sources = nothing(1)._replace(tracked=tracked)
    model, made = smooth.multiplied(bare(a, ea, ra), bare(b, eb, rb), sources)
    p, q, dp, dq = curve(a), curve(b), curve(a, 1), curve(b, 1)
    for sign in (1, -1):
        value = (p + sign * ea) * (q + sign * eb)
        encloses(model, made, value, (dp + sign * ra) * (q + sign * eb) + (p + sign * ea) * (dq + sign * rb))


# Steps with kinks ----------------------------------------------------------------------------------------------------

KINKED: dict[str, tuple[Callable, Callable]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.3 * x), lambda x: np.where(x > 0, 1, 0.3)),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1) * 1.0),
    "abs": (np.abs, np.sign),
    "identity": (lambda x: x, np.ones_like),
    "elu": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, np.exp(np.minimum(x, 0))),
    ),
    "prelu": (lambda x: np.where(x > 0, x, -1.7 * x), lambda x: np.where(x > 0, 1, -1.7)),
}


def step(name: str, shape: tuple[int, ...]) -> Node:
    if name == "prelu":
        return Node("prelu", (0,), shape, "prelu", {"slope": np.array([-1.7])})
    details = (("name", name), *((("slope", 0.3),) if name == "leaky_relu" else ()))
    return Node("activation", (0,), shape, name, {}, details)


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(("error", "pace"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.4, 0.2)])
@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("name", KINKED)
def test_kinked_functions_enclose_uncut_pieces(name: str, size: float, error: float, pace: float, tracked: bool):
    """Pieces that no one has cut: where nothing is proved of the side, both slopes count."""
    f, slope = KINKED[name]
    inner = draw(8, 4, 3, seed=5) * np.array([size, size, size / 3, size / 9])[:, None]
    sources = nothing(3)._replace(tracked=tracked)
    model, made = kinks.piecewise(step(name, (8,)), [bare(inner, error, pace)], sources)
    for e in (-error, 0.0, error):
        for r in (-pace, pace):
            u, v = curve(inner) + e, curve(inner, 1) + r
            encloses(model, made, f(u), slope(u) * v)


def test_a_slope_that_is_no_power_of_two_rounds():
    inner = draw(50, 3, 1) * 0.01 - np.array([2.0, 0.0, 0.0])[:, None]
    model, _ = kinks.piecewise(step("leaky_relu", (50,)), [bare(inner)], nothing(1))
    slope = Fraction(0.3)
    for unit in range(50):
        true = [slope * c for c in exact(inner[unit, :, 0])]
        assert any(less(true, exact(model.coefficients[unit, :, 0])))
        holds(true, model.coefficients[unit, :, 0], *(part[unit, 0] for part in spread(model, nothing(1))))


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(("error", "pace"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (0.4, 0.2)])
def test_maxima_enclose_uncut_pieces(error: float, pace: float, tracked: bool):
    inner = draw(1, 12, 3, 4, seed=6) * np.array([0.3, 1.0, 0.3])[:, None]
    details = (("window", (3,)), ("stride", (3,)), ("padding", ((0, 0),)))
    node = Node("max_pool", (0,), (1, 4), "max_pool", {}, details)
    sources = nothing(4)._replace(tracked=tracked)
    model, made = kinks.maximum(node, [bare(inner, error, pace)], sources)
    draws = np.random.default_rng(8)
    for _ in range(20):
        e, r = (draws.choice([-1, 1], (1, 12, 4, 1)) * size for size in (error, pace))
        u, v = ((curve(inner, k) + off).reshape(1, 4, 3, 4, -1) for k, off in ((0, e), (1, r)))
        first = u.argmax(2)[:, :, None]
        encloses(model, made, u.max(2), np.take_along_axis(v, first, 2)[:, :, 0])


# Affine steps --------------------------------------------------------------------------------------------------------


def test_dense_layers_count_rounding_of_weights_biases_and_reach():
    weight, offset = draw(3, 5), draw(3, seed=1)
    node = Node("dense", (0,), (3,), "dense", {"weight": weight, "bias": offset})
    inner = draw(5, 4, 1, seed=2)
    found = linear.mapped(node, bare(inner), nothing(1))
    for unit in range(3):
        true = [
            sum((Fraction(w) * Fraction(inner[i, k, 0]) for i, w in enumerate(weight[unit])), Fraction(0))
            for k in range(4)
        ]
        true[0] += Fraction(offset[unit])
        assert any(less(true, exact(found.coefficients[unit, :, 0])))
        holds(true, found.coefficients[unit, :, 0], *(part[unit, 0] for part in spread(found, nothing(1))))
    sources = Sources(np.ones((2, 1)), np.ones((2, 1)), np.zeros(1, int))
    source = bare(np.zeros((5, 4, 1)))._replace(reach=draw(5, 1, 2, seed=3))
    found = linear.mapped(Node("dense", (0,), (3,), "dense", {"weight": weight}), source, sources)
    for unit in range(3):
        off = Fraction(0)
        for s in range(2):
            true = sum((Fraction(weight[unit, i]) * Fraction(source.reach[i, 0, s]) for i in range(5)), Fraction(0))
            off += abs(true - Fraction(found.reach[unit, 0, s]))
        assert 0 < off <= min(Fraction(found.value[unit, 0]), Fraction(found.rate[unit, 0]))


def test_a_bias_that_swallows_a_small_value_counts_as_rounding():
    for node in (
        Node("dense", (0,), (1,), "dense", {"weight": np.ones((1, 1)), "bias": np.ones(1)}),
        Node("shift", (0,), (1,), "shift", {}, (("value", 1.0),)),
    ):
        found = linear.mapped(node, bare(np.array([[[1e-17], [0.0]]])), nothing(1))
        holds([Fraction(1) + Fraction(1e-17)], found.coefficients[0, :, 0], found.value[0, 0], found.rate[0, 0])


@pytest.mark.parametrize("convention", ["pytorch", "lecture"])
def test_batch_norm_counts_the_rounding_of_its_own_factor(convention: str):
    weights = {
        "gain": draw(40),
        "bias": draw(40, seed=1) * 1e-3,
        "mean": draw(40, seed=2) * 1e3,
        "variance": draw(40, seed=3) ** 2,
    }
    node = Node("batch_norm", (0,), (40,), "norm", weights, (("eps", 1e-5), ("convention", convention)))
    found = linear.mapped(
        node, bare(np.concatenate([weights["mean"][:, None, None], np.ones((40, 1, 1))], 1)), nothing(1)
    )
    flint.ctx.prec = 200
    missed = 0
    for unit in range(40):
        gain, offset, variance = (flint.arb(float(weights[name][unit])) for name in ("gain", "bias", "variance"))
        eps = flint.arb(1e-5)
        factor = gain / (variance.sqrt() + eps if convention == "lecture" else (variance + eps).sqrt())
        off = abs(offset - flint.arb(float(found.coefficients[unit, 0, 0])))
        off_rate = abs(factor - flint.arb(float(found.coefficients[unit, 1, 0])))
        missed += bool(off + off_rate > 0)
        assert off_rate <= flint.arb(float(found.rate[unit, 0])) and off <= flint.arb(float(found.value[unit, 0]))
    assert missed > 30


def test_sums_round():
    a, b = draw(30, 4, 1), draw(30, 4, 1, seed=1)
    for sign in (1.0, -1.0):
        found = linear.summed(bare(a, 0.25, 0.5), bare(b, 0.125, 0.25), sign, nothing(1))
        for unit in range(30):
            true = less(exact(a[unit, :, 0]), [-Fraction(sign) * c for c in exact(b[unit, :, 0])])
            off = less(true, exact(found.coefficients[unit, :, 0]))
            assert max(abs(at(off, tau)) for tau in TAUS) + Fraction(0.375) <= Fraction(found.value[unit, 0])
            assert max(abs(at(rate(off), tau)) for tau in TAUS) + Fraction(0.75) <= Fraction(found.rate[unit, 0])
    sources = Sources(np.ones((2, 1)), np.ones((2, 1)), np.zeros(1, int))
    left, right = (bare(np.zeros((30, 2, 1)))._replace(reach=draw(30, 1, 2, seed=seed)) for seed in (2, 3))
    found = linear.summed(left, right, 1.0, sources)
    off = [
        sum(abs(Fraction(x) + Fraction(y) - Fraction(z)) for x, y, z in zip(*rows, strict=True))
        for rows in zip(left.reach[:, 0], right.reach[:, 0], found.reach[:, 0], strict=True)
    ]
    assert any(off) and all(o <= Fraction(v) for o, v in zip(off, found.value[:, 0], strict=True))


def test_the_remainder_of_a_series_is_met():
    """exp to order 1 at tau = 1 misses e^s - 1 - s, which must be covered but by no more than e^s s^2 / 2."""
    for s in (0.01, 0.5, 1.0):
        inner = np.array([[0.0], [s]])
        found = smooth.expanded("exp", inner, np.zeros(1))
        assert np.exp(s) - 1 - s <= found.value[0] <= np.exp(s) * s**2 / factorial(2) * 1.001
        assert s * (np.exp(s) - 1) <= found.rate[0] <= np.exp(s) * s**2 * 1.001


def test_the_bias_of_a_batch_norm_is_known_up_to_what_it_is_made_of():
    """offset - factor * mean all but cancels: what is left is rounding, which only its parts bound."""
    gain, mean = 1 / 3, 0.1
    offset = gain / 2 * mean
    weights = {"gain": gain, "mean": mean, "bias": offset, "variance": 4.0}
    arrays = {name: np.array([value]) for name, value in weights.items()}
    node = Node("batch_norm", (0,), (1,), "norm", arrays, (("convention", "pytorch"), ("eps", 0.0)))
    found = affine.bias(node)
    assert found is not None
    true = Fraction(offset) - Fraction(gain) / 2 * Fraction(mean)
    off = abs(true - Fraction(float(found.value[0])))
    assert 0 < off <= Fraction(gamma(affine.operations(node, (1,))) * float(found.size[0]))
