"""Makes flyroom/measure/enclosure/derivatives.npz: what is proved of the derivatives of smooth activations.

From the folder `tests`, with python-flint installed: python -m golden.make_derivative_bounds
A few seconds on one core; every run makes the same numbers.

Suprema of |f^(k)| / k! on cells are proved in Arb's ball arithmetic: on a piece of a cell, of half width r about m, by
the coefficient c_k of the series at the ball, or by |c_k(m)| + r (k + 1) |c_(k+1) at the ball|, whichever is smaller. A
cell is halved until that is within 0.2 % of the largest value seen, then rounded up to float32. Beyond the cells the
weight falls: 1 - tanh^2 <= 4 exp(-2x), and x^j exp(-x^2) falls where x^2 > j / 2.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import flint
import numpy as np
from flint import arb, arb_poly, arb_series, fmpq_poly

PLACE = Path(__file__).parents[2] / "flyroom" / "measure" / "enclosure" / "derivatives.npz"
BITS = 64
CLOSE = 1.002


class Cells(NamedTuple):
    """`count` cells of 1/`per_unit` from 0 on, and the orders kept."""

    count: int
    per_unit: int
    first: int
    last: int


CELLS = {
    "tanh": Cells(1024, 64, 1, 13),
    "erf": Cells(512, 64, 1, 12),
    "gelu": Cells(768, 64, 2, 12),
    "silu": Cells(1024, 32, 2, 12),
}
HIGHEST, MOST_ROOTS = 13, 6


def series(name: str, x: arb, length: int) -> list[arb]:
    """The first coefficients of f(x + t), for every x in the ball."""
    with flint.ctx.workprec(BITS):
        flint.ctx.cap = length
        t = arb_series([x, 1], length)
        if name == "tanh":
            found = 2 / (1 + (-2 * t).exp()) - 1
        elif name == "sigmoid":
            found = 1 / (1 + (-t).exp())
        elif name == "silu":
            found = t / (1 + (-t).exp())
        elif name == "softplus":
            found = (1 + t.exp()).log()
        elif name == "erf":
            found = t.erf()
        else:
            found = t * (1 + (t * (arb(1) / 2).sqrt()).erf()) / 2
        return [found[k] for k in range(length)]


def supremum(name: str, low: arb, high: arb, orders: int) -> list[arb]:
    """Above |c_0|, ..., |c_orders| on [low, high], each within 0.2 % of the largest value that was seen."""
    seen = [max(pair) for pair in zip(*(_sizes(series(name, x, orders + 1)) for x in (low, high)), strict=True)]
    found, waiting = [arb(0)] * (orders + 1), [(low, high, 0)]
    while waiting:
        left, right, depth = waiting.pop()
        middle, radius = (left + right) / 2, (right - left) / 2
        exact, ball = series(name, middle, orders + 1), series(name, middle + arb(0, radius), orders + 2)
        above = [
            min(ball[k].abs_upper(), (exact[k].abs_upper() + radius * (k + 1) * ball[k + 1].abs_upper()).abs_upper())
            for k in range(orders + 1)
        ]
        seen = [max(pair) for pair in zip(seen, _sizes(exact), strict=True)]
        if depth < 10 and any(one > CLOSE * other for one, other in zip(above, seen, strict=True)):
            waiting += [(left, middle, depth + 1), (middle, right, depth + 1)]
        else:
            found = [max(pair) for pair in zip(found, above, strict=True)]
    return found


def _sizes(coefficients: Sequence[arb]) -> list[arb]:
    return [one.abs_lower() for one in coefficients]


def polynomials(name: str) -> list[fmpq_poly]:
    """f^(k) / k! is a weight times entry k: for tanh 1 - y^2 and a polynomial in y, else a density and one in x.

    The density is 2/sqrt(pi) exp(-x^2) of erf, and the normal one of gelu, from order 2 on.
    """
    x = fmpq_poly([0, 1])
    if name == "tanh":
        whole, weight = [x], 1 - x * x
        for k in range(HIGHEST):
            whole.append(whole[-1].derivative() * weight / (k + 1))
        return [fmpq_poly([0]), *(divmod(one, weight)[0] for one in whole[1:])]
    rate, found = (2, [0 * x, fmpq_poly([1])]) if name == "erf" else (1, [0 * x, 0 * x, (2 - x * x) / 2])
    while len(found) <= HIGHEST:
        found.append((found[-1].derivative() - rate * x * found[-1]) / len(found))
    return found


def factors(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Roots in w, the square of the variable, and 1 - root; and leading coefficients of `polynomials`.

    All are rounded to nearest.
    """
    roots, leads = np.full((2, HIGHEST + 1, MOST_ROOTS), np.nan), np.zeros(HIGHEST + 1)
    first, last = CELLS[name].first, CELLS[name].last
    for k, polynomial in enumerate(polynomials(name)):
        if not first <= k <= last:
            continue
        coefficients = polynomial.coeffs()
        parity = polynomial.degree() % 2
        assert not any(coefficients[1 - parity :: 2])
        halved = fmpq_poly(coefficients[parity::2])
        leads[k] = float(Fraction(int(coefficients[-1].p), int(coefficients[-1].q)))
        found: list[Any] = list(halved.numer().complex_roots())
        assert all(times == 1 and root.imag == 0 and root.real > 0 for root, times in found)
        for i, root in enumerate(sorted((root.real for root, _ in found), key=float)):
            roots[:, k, i] = nearest(root), nearest(1 - root)
    return roots, leads


def nearest(number: arb) -> float:
    """The nearest float64, or one that is as good: within 2^-53 of itself, which is proved."""
    value = float(number.mid())
    assert abs(number - value) <= abs(arb(value)) * arb(2) ** -53
    return value


def beyond(name: str, x: arb) -> list[arb]:
    """Above |c_k| everywhere from x on."""
    if name in ("erf", "gelu"):
        half = 1 if name == "erf" else 2
        density = (-x * x / half).exp() * (2 / arb.pi().sqrt() if name == "erf" else 1 / (2 * arb.pi()).sqrt())
        sizes = [[abs(arb(c)) for c in one.coeffs()] for one in polynomials(name)]
        assert x * x > half * HIGHEST
        return [sum((c * x**j for j, c in enumerate(one)), arb(0)) * density for one in sizes]
    reach = x if name == "tanh" else x / 2
    y = reach.tanh().union(arb(1))
    tanh = [abs(arb_poly(one)(y)) * 4 * (-2 * reach).exp() for one in polynomials("tanh")]
    if name == "tanh":
        return tanh
    sigmoid = [one / 2 ** (k + 1) for k, one in enumerate(tanh)]
    return [x * one + other for one, other in zip(sigmoid, [arb(0), *sigmoid], strict=False)]


def rounded_up(value: arb) -> np.float32:
    return np.nextafter(np.float32(float(value.abs_upper())), np.float32(np.inf))


def table(name: str) -> np.ndarray:
    """Row k, column i: order k on cell i; the last column is for all beyond. Rows below the first order are 0."""
    cells = CELLS[name]
    found = np.zeros((cells.last + 1, cells.count + 1), np.float32)
    columns = [supremum(name, *ends(name, i), cells.last) for i in range(cells.count)]
    columns.append(beyond(name, arb(cells.count) / cells.per_unit))
    for i, column in enumerate(columns):
        for k in range(cells.first, cells.last + 1):
            found[k, i] = rounded_up(column[k])
    return found


def ends(name: str, cell: int) -> tuple[arb, arb]:
    return arb(cell) / CELLS[name].per_unit, arb(cell + 1) / CELLS[name].per_unit


def main() -> None:
    arrays: dict[str, Any] = {}
    with flint.ctx.workprec(200):
        for name in ("tanh", "erf", "gelu"):
            arrays[f"roots {name}"], arrays[f"leads {name}"] = factors(name)
    for name, cells in CELLS.items():
        arrays[f"suprema {name}"] = table(name)
        arrays[f"width {name}"] = np.float64(1 / cells.per_unit)
    np.savez_compressed(PLACE, **arrays)


if __name__ == "__main__":
    main()
