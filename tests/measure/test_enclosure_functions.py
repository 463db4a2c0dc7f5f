"""Bounds of elementwise functions against Arb's ball arithmetic: never violated, and close."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from flyroom.measure.enclosure import _tables, functions
from flyroom.measure.enclosure._local import U
from flyroom.nets.derivatives import KNOWN, taylor

flint = pytest.importorskip("flint")
arb = flint.arb

ORDER = functions.HIGHEST
TABLED = ("tanh", "sigmoid", "softplus", "silu", "gelu", "erf")
POSITIVE = ("log", "rsqrt", "sqrt")
SPECIAL = (0.0, 1e-300, -1e-300, 5e-324, 700.0, -700.0, 1e300, -1e300, 30.0, -30.0, 1.0, -1.0, 0.5, -1.4142135623730951)


@pytest.fixture(autouse=True)
def precision():
    with flint.ctx.workprec(300):
        yield


def truth(name: str, x: float, length: int, bits: int = 300) -> list[Any]:
    """The first coefficients of the series of f at x, as balls."""
    with flint.ctx.workprec(bits):
        flint.ctx.cap = length
        t = flint.arb_series([arb(x), 1], length)
        half = arb(1) / 2
        found = {
            "cos": lambda: t.cos(),
            "erf": lambda: t.erf(),
            "exp": lambda: t.exp(),
            "expm1": lambda: flint.arb_series([arb(x).expm1(), *coefficients(t.exp(), length)[1:]], length),
            "gelu": lambda: t * (-t * half.sqrt()).erfc() / 2,
            "log": lambda: t.log(),
            "log1p": lambda: flint.arb_series([arb(x).log1p(), *coefficients((1 + t).log(), length)[1:]], length),
            "reciprocal": lambda: 1 / t,
            "rsqrt": lambda: t.rsqrt(),
            "sigmoid": lambda: 1 / (1 + (-t).exp()),
            "silu": lambda: t / (1 + (-t).exp()),
            "sin": lambda: t.sin(),
            "softplus": lambda: flint.arb_series(
                [arb(x).exp().log1p(), *(c / (k + 1) for k, c in enumerate(truth("sigmoid", x, length - 1, bits)))],
                length,
            ),
            "sqrt": lambda: t.sqrt(),
            "square": lambda: t * t,
            "tanh": lambda: flint.arb_series(
                [arb(x).tanh(), *coefficients(2 / (1 + (-2 * t).exp()), length)[1:]], length
            ),
        }[name]()
        return coefficients(found, length)


def coefficients(series: Any, length: int) -> list[Any]:
    return [series[k] for k in range(length)]


def centres(name: str, number: int) -> np.ndarray:
    """Random places of several scales, tails and special places included, inside the domain."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(0, 2, number), rng.uniform(-30, 30, number)
    tiny = rng.choice([-1, 1], number // 4) * 10.0 ** rng.uniform(-300, 2, number // 4)
    x = np.concatenate([near, far, tiny, SPECIAL])
    if name in POSITIVE:
        return np.abs(x[x != 0])
    if name == "log1p":
        return x[x > -1]
    if name == "reciprocal":
        return x[x != 0]
    return x[np.abs(x) < 1e6] if name in ("sin", "cos") else x


NAMES = sorted(functions.NAMES - {"swish"})


@pytest.mark.parametrize("name", NAMES)
def test_coefficients_lie_within_their_errors(name: str):
    x = centres(name, 90)
    found = functions.local(name, x, ORDER)
    known = 0
    for i, at in enumerate(x.tolist()):
        # Balls lose digits to exp(1e300) and the like: there the limits say it, in the test of the far tails.
        if abs(at) > 1e5 and name not in (*POSITIVE, "log1p", "reciprocal", "square"):
            continue
        for k, true in enumerate(truth(name, at, ORDER + 1)):
            value, error = found.coefficients[k, i], found.errors[k, i]
            assert error == math.inf or abs(true - value) <= error, (at, k)
            known += error < math.inf
    assert known > 0.8 * (ORDER + 1) * len(x)


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_small(name: str):
    """Against the largest coefficient of the order; and against the largest within one unit, which roots cannot hide.

    Of SiLU beyond |x| = 3 both terms of x s_k + s_(k-1) are much larger than their sum.
    """
    x = np.linspace(-8, 8, 1601) if name not in (*POSITIVE, "log1p", "reciprocal") else np.linspace(0.5, 8, 751)
    found = functions.local(name, x, 8)
    for size, error in zip(np.abs(found.coefficients), found.errors, strict=True):
        assert error.max() < 45 * U * size.max() + 1e-200
        around = np.max([np.roll(size, shift) for shift in range(-100, 101, 10)], 0)
        worst = error[100:-100] / np.maximum(around[100:-100], 1e-30)
        assert worst.max() < (300 if name == "silu" else 60) * U
        assert np.median(worst) < 40 * U


@pytest.mark.parametrize("name", sorted(NAMES & KNOWN.keys()))
def test_coefficients_are_those_of_the_library(name: str):
    x = np.linspace(-6, 6, 101)
    found, other = functions.local(name, x, 6).coefficients, taylor(name, x, 6)
    assert np.allclose(found, other, rtol=1e-9, atol=1e-12)


def test_far_tails_are_the_limits():
    x = np.array([-1e300, -1e4, 1e4, 1e300])
    zero = np.zeros(2)
    for name in TABLED:
        found = functions.local(name, x, 3)
        assert (np.abs(found.coefficients[2:]) + found.errors[2:] < 1e-250).all(), name
    assert functions.local("silu", x, 1).coefficients[0, 2:].tolist() == [1e4, 1e300]
    assert (np.abs(functions.local("silu", x, 1).coefficients[:, :2]) < 1e-250).all()
    assert functions.local("gelu", x, 1).coefficients[1, 2:].tolist() == [1, 1]
    assert np.array_equal(functions.local("erf", x, 1).coefficients[1, :2], zero)
    assert functions.local("tanh", np.array([-math.inf, math.inf]), 0).coefficients[0].tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("name", "x"),
    [("log", 0.0), ("log", -1.0), ("log1p", -1.0), ("sqrt", -1.0), ("rsqrt", 0.0), ("reciprocal", 0.0), ("exp", 800.0)],
)
def test_outside_the_domain_nothing_is_known(name: str, x: float):
    found = functions.local(name, np.array([x, 2.0]), 3)
    assert np.isinf(found.errors[:, 0]).all() and not found.coefficients[:, 0].any()
    assert (found.errors[:, 1] < 1e-12).all()
    assert functions.remainder(name, x, max(2.0, x), 3) == math.inf


def test_swish_is_silu():
    x = np.linspace(-3, 3, 7)
    assert np.array_equal(functions.local("swish", x, 4), functions.local("silu", x, 4))
    assert np.array_equal(functions.remainder("swish", x, x + 1, 4), functions.remainder("silu", x, x + 1, 4))
    assert np.array_equal(functions.slopes("swish", x, x + 1), functions.slopes("silu", x, x + 1))


@pytest.mark.parametrize("name", sorted(functions.ULPS))
def test_base_functions_err_as_little_as_is_assumed(name: str):
    """On this machine; benchmarks/ulps.py asks at many more places."""
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(0, 3, 400), rng.uniform(0, 26, 200), 10.0 ** rng.uniform(-300, 1, 200)])
    x = np.concatenate([x, -x]) if name not in ("log", "log1p", "sqrt", "erfc") else x
    x = x[x >= 1] if name == "erfc" else x
    values = getattr(special if name in ("erf", "erfc") else np, name)(x)
    for at, value in zip(x.tolist(), values.tolist(), strict=True):
        true = getattr(arb(at), name)()
        allowed = functions.ULPS[name] + (2 * at * at if name == "erfc" else 0)
        assert abs(true - value) <= allowed * math.ulp(float(true.mid())) * (1 + 1e-12), at


# The table. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(_tables.TABLES))
def test_entries_of_the_table_are_proved_again(name: str):
    """At 65 places of a cell, in 300 bits: the largest is below the entry, and not far below."""
    table, width = _tables.stored()[f"suprema {name}"], float(_tables.stored()[f"width {name}"])
    orders, count = table.shape[0] - 1, table.shape[1] - 1
    for cell in [0, 1, *np.random.default_rng(1).integers(2, count, 8).tolist()]:
        seen = np.zeros(orders + 1)
        for i in range(65):
            for k, c in enumerate(truth(name, (cell + i / 64) * width, orders + 1)):
                seen[k] = max(seen[k], float(c.abs_lower()))
        kept = slice(_tables.TABLES[name], None)
        assert (table[kept, cell] >= seen[kept] * (1 - 1e-15)).all(), cell
        assert (table[kept, cell] <= np.maximum(seen[kept] * 1.01, 1e-44)).all(), cell


@pytest.mark.parametrize("name", sorted(_tables.TABLES))
def test_the_last_column_holds_everything_beyond(name: str):
    table, width = _tables.stored()[f"suprema {name}"], float(_tables.stored()[f"width {name}"])
    first, end = _tables.TABLES[name], (table.shape[1] - 1) * width
    for x in (end, end + 0.3, end + 5, 3 * end):
        for k, c in enumerate(truth(name, x, table.shape[0])):
            assert k < first or float(c.abs_upper()) <= table[k, -1]
    assert (table[first:, -1] <= table[first:, -2] * 2.5).all()


@pytest.mark.parametrize("name", sorted(_tables.TABLES))
def test_orders_kept_are_even_or_odd(name: str):
    for k, (left, right) in enumerate(zip(truth(name, -1.25, 13), truth(name, 1.25, 13), strict=True)):
        if k >= _tables.TABLES[name]:
            sign = -1 if _tables.odd(name, k) else 1
            assert abs(left - sign * right) < 1e-30 < abs(right)


def test_factors_multiply_out_to_the_derivatives():
    """(w - root) ... at rational places against Arb, and roots that are rounded to nearest."""
    for name, x in (("tanh", 0.75), ("erf", 1.5), ("gelu", 1.5)):
        roots, gaps, leads = _tables.factors(name)
        assert np.nanmax(np.abs(roots + gaps - 1)) < 4e-15
        with flint.ctx.workprec(200):
            y = arb(x).tanh() if name == "tanh" else arb(x)
            weight = {
                "tanh": 1 - y * y,
                "erf": 2 / arb.pi().sqrt() * (-y * y).exp(),
                "gelu": (-y * y / 2).exp() / (2 * arb.pi()).sqrt(),
            }[name]
            for k, true in enumerate(truth(name, x, len(leads))):
                if k >= _tables.TABLES[name] and leads[k]:
                    product = weight * leads[k] * (y if _tables.odd(name, k) else 1)
                    for root in roots[k][np.isfinite(roots[k])].tolist():
                        product *= y * y - root
                    assert abs(product / true - 1) < 1e-13, (name, k)


@pytest.mark.slow
def test_the_script_makes_the_table():
    from golden import make_derivative_bounds as script

    for name in script.CELLS:
        assert np.array_equal(script.table(name), _tables.stored()[f"suprema {name}"])
    for name in ("tanh", "erf", "gelu"):
        with flint.ctx.workprec(200):
            roots, leads = script.factors(name)
        assert np.array_equal(roots, _tables.stored()[f"roots {name}"], equal_nan=True)
        assert np.array_equal(leads, _tables.stored()[f"leads {name}"])


# Intervals. -----------------------------------------------------------------------------------------------------------


@cache
def grid(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Places inside the domain, and coefficients by this module, which other tests hold against Arb."""
    left = {"log": 0.05, "rsqrt": 0.05, "sqrt": 0.05, "log1p": -0.95}.get(name, -22.0)
    x = np.linspace(left, 22, 44001)
    return x, functions.local(name, x, ORDER).coefficients


@settings(deadline=None)  # the first of each function makes its grid
@given(st.sampled_from(NAMES), st.floats(-21, 21), st.floats(-5, 1.6), st.integers(0, ORDER))
def test_intervals_hold_what_is_in_them(name: str, start: float, magnitude: float, order: int):
    x, rows = grid(name)
    low = max(start, float(x[0]))
    high = min(low + 10.0**magnitude, 22.0)
    inside = (x >= low) & (x <= high)
    ends = functions.local(name, np.array([low, high]), ORDER).coefficients
    values = np.concatenate([ends, rows[:, inside]], axis=1)
    slack = 4e-14 * (1 + np.abs(values))  # of the sampled values' own rounding
    sup = functions.remainder(name, low, high, order)
    assert (np.abs(values[order]) <= sup + slack[order]).all()
    for k, bounds in enumerate((functions.ranges(name, low, high), functions.slopes(name, low, high))):
        assert (bounds[0] <= values[k] + slack[k]).all() and (values[k] - slack[k] <= bounds[1]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_point_is_inside_by_arb(name: str):
    """Intervals of no width: the true value lies inside without any slack."""
    x = centres(name, 40)
    x = x[np.abs(x) < 600]
    bounds = [functions.ranges(name, x, x), functions.slopes(name, x, x)]
    sups = np.stack([functions.remainder(name, x, x, k) for k in range(ORDER + 1)])
    for i, at in enumerate(x.tolist()):
        for k, true in enumerate(truth(name, at, ORDER + 1)):
            assert not abs(true) > float(sups[k, i]), (at, k)
            if k < 2:
                assert not true < float(bounds[k][0][i]) and not true > float(bounds[k][1][i]), (at, k)


@pytest.mark.parametrize("name", NAMES)
def test_ranges_and_slopes_are_sharp(name: str):
    x, rows = grid(name)
    rng = np.random.default_rng(3)
    for _ in range(100):
        i = int(rng.integers(0, len(x) - 10))
        j = min(i + int(rng.integers(1, 4000)), len(x) - 1)
        if name == "reciprocal" and x[i] <= 0 <= x[j]:
            continue
        for k, bounds in enumerate((functions.ranges(name, x[i], x[j]), functions.slopes(name, x[i], x[j]))):
            inside = rows[k, i : j + 1]
            spare = 1e-6 * (1 + np.abs(inside).max()) if j > i else 0.0  # the grid may miss an extreme by h^2
            assert bounds[0] >= inside.min() - spare and bounds[1] <= inside.max() + spare


@pytest.mark.parametrize("name", TABLED)
def test_remainders_are_tight(name: str):
    """On intervals of 1/16: against the largest value there, and against the largest within one unit beside a root."""
    x, rows = grid(name)
    starts = np.arange(0, len(x) - 70, 61)
    per = 63  # of steps of 1/1000: about 1/16
    for k in range(2, ORDER + 1):
        inside = np.array([np.abs(rows[k, i : i + per + 1]).max() for i in starts])
        around = np.array([np.abs(rows[k, max(i - 500, 0) : i + 500]).max() for i in starts])
        found = functions.remainder(name, x[starts], x[starts + per], k)
        shown = np.abs(x[starts]) < 7
        ratio = (found / inside)[shown]
        assert np.median(ratio) < 1.08, (k, np.median(ratio))
        assert ((found - inside) / around)[shown].max() < 0.35, k


def test_saturated_remainders_decay():
    for name in TABLED:
        near, far = functions.remainder(name, np.array([0.0, 15.0]), np.array([0.1, 15.1]), 5)
        assert far < 1e-4 * near, name
        assert functions.remainder(name, 1e3, 1e4, 5) < 1e-12
    assert functions.remainder("tanh", -math.inf, math.inf, 2) == pytest.approx(2 / (3 * math.sqrt(3)), rel=0.003)


@pytest.mark.parametrize("name", sorted(_tables.TABLES))
def test_the_largest_cell_is_that_of_a_search(name: str):
    table, width = _tables.stored()[f"suprema {name}"], float(_tables.stored()[f"width {name}"])
    near, far = np.sort(np.random.default_rng(5).uniform(0, 1.1 * table.shape[1] * width, (2, 300)), axis=0)
    far[:100] = near[:100] + width * np.arange(100) / 10
    for order in (2, 7, ORDER):
        found = _tables.supremum(name, order, near, far)
        for i in range(300):
            first, last = (min(int(x / width), table.shape[1] - 1) for x in (near[i], far[i]))
            assert found[i] == table[order, first : last + 1].max()


@pytest.mark.parametrize("name", TABLED)
def test_wide_intervals_have_the_largest_cell(name: str):
    everywhere = [float(functions.remainder(name, -30.0, 30.0, k)) for k in range(2, ORDER + 1)]
    _, rows = grid(name)
    assert everywhere == pytest.approx(np.abs(rows[2:]).max(1).tolist(), rel=0.003)


def test_poles_and_infinite_ends():
    assert [float(x) for x in functions.ranges("reciprocal", -1.0, 2.0)] == [-math.inf, math.inf]
    assert [float(x) for x in functions.slopes("reciprocal", -1.0, 2.0)] == [-math.inf, 0]
    assert [float(x) for x in functions.ranges("sin", -math.inf, 3.0)] == [-1, 1]
    low, high = functions.ranges("tanh", -math.inf, 0.0)
    assert low == -1 and 0 <= high < 1e-15
    assert functions.ranges("exp", 0.0, 1e4)[1] == math.inf
    assert functions.ranges("log", -1.0, 1.0) == (-math.inf, math.inf)


def test_cosine_knows_its_turns():
    assert functions.ranges("cos", 3.0, 3.2)[0] == -1 and functions.ranges("cos", 3.0, 3.2)[1] < -0.98
    assert functions.slopes("cos", 1.5, 1.6)[0] == -1 and functions.slopes("cos", -1.6, -1.5)[1] == 1
    assert functions.ranges("sin", 1e9, 1e9 + 1) == (-1, 1)  # too far out for the place of a turn


def test_refusals_say_what_to_do():
    x = np.zeros(3)
    with pytest.raises(ValueError, match=r"did you mean.*tanh"):
        functions.local("tnah", x, 2)
    with pytest.raises(ValueError, match="from order 0 to 12"):
        functions.local("tanh", x, 13)
    with pytest.raises(ValueError, match="NaN"):
        functions.ranges("tanh", x, np.array([0.0, math.nan, 1.0]))
    with pytest.raises(ValueError, match=r"from 1\.0 to 0\.0 is empty"):
        functions.remainder("tanh", np.ones(3), x, 2)
