"""The integral of the speed of a polynomial curve over [-1, 1], enclosed.

The square of the speed, S(tau) = sum_i P_i'(tau)^2, is one polynomial a piece, whatever the number of coordinates.
Where it varies little around its middle value s, the root is expanded, sqrt(s + d) = sqrt(s) sum_i binom(1/2, i)
(d/s)^i, and integrated term by term. Elsewhere the piece is halved, and where even that does not help (a curve that all
but stops) integral(S) / sqrt(max S) <= integral(sqrt S) <= sqrt(2 integral(S)), the latter by Cauchy and Schwarz.
"""

from math import comb

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure.composition import composed
from flyroom.measure.enclosure.rounding import TINY, UP, down, gamma, up

SMOOTH = 0.25  # of |d|/s: the series then gains at least six decimals in twelve terms
NOTHING = 1e-100  # a length of which nobody asks for more decimals
HALVINGS = 14  # at most; a piece that is cut into 2^14 parts is taken as it is
ORDER = 12
# |binom(1/2, i)| with signs; exact in binary, because the denominators are powers of two
BINOMIAL = np.array([(-1) ** (i + 1) * comb(2 * i, i) / (4**i * (2 * i - 1)) if i else 1.0 for i in range(ORDER + 2)])


def arc_length(
    coefficients: Float64[np.ndarray, "unit order piece"], error: Float64[np.ndarray, " piece"], *, gap: float = 1e-9
) -> tuple[Float64[np.ndarray, " piece"], Float64[np.ndarray, " piece"]]:
    """Lower and upper bounds of the length of a curve on each piece.

    `coefficients` are those of the curve, polynomials in tau from -1 to 1; `error` bounds the Euclidean norm of what
    its velocity may differ from theirs by, everywhere on the piece. A piece is halved until its bounds are `gap` of
    its length apart.
    """
    low, high = travelled(coefficients, error, gap=gap)
    apart = up(2 * error)
    return down(np.maximum(low - apart, 0)), up(high + apart)


def travelled(
    coefficients: Float64[np.ndarray, "unit order piece"], error: Float64[np.ndarray, " piece"], *, gap: float = 1e-9
) -> tuple[Float64[np.ndarray, " piece"], Float64[np.ndarray, " piece"]]:
    """The same of the polynomial curve itself, no sharper than a tenth of what `error` will blur anyhow."""
    squares, lost = squared_speed(coefficients)
    there = np.isfinite(squares).all(0) & np.isfinite(lost) & np.isfinite(error)
    squares, lost = np.where(there, squares, 0), np.where(there, lost, 0)
    rough = np.sqrt(4 * np.abs(squares).sum(0))  # the length is at most this
    enough = gap * np.maximum(rough, max(1e-9 * rough.max(initial=0), NOTHING)) + 0.1 * np.where(there, error, 0)
    low, high = _integrated(squares, lost, enough)
    return low, np.where(there, high, np.inf)  # of what has left the numbers nothing is known


def squared_speed(
    coefficients: Float64[np.ndarray, "unit order piece"],
) -> tuple[Float64[np.ndarray, "power piece"], Float64[np.ndarray, " piece"]]:
    """S as a polynomial (2 order - 3 coefficients), and what rounding may have taken from it anywhere on the piece."""
    units, count, pieces = coefficients.shape
    if count == 1:
        return np.zeros((1, pieces)), np.zeros(pieces)
    rates = coefficients[:, 1:] * np.arange(1.0, count)[:, None]
    by_piece = np.ascontiguousarray(rates.transpose(2, 1, 0))
    products = by_piece @ by_piece.transpose(0, 2, 1)
    squares = np.zeros((2 * count - 3, pieces))
    for j in range(count - 1):
        squares[j : j + count - 1] += products[:, j].T
    norms = np.sqrt(np.maximum(products[:, range(count - 1), range(count - 1)], 0))
    # |<c_j, c_k>| <= |c_j| |c_k|, and the same for the rounding of the products by Cauchy and Schwarz
    return squares, up(gamma(units + count + 4) * norms.sum(1) ** 2 * (UP + 2 * gamma(units)))


def _integrated(squares: np.ndarray, lost: np.ndarray, enough: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the integral of the root over each piece, halved until they are `enough` of each piece apart."""
    pieces = squares.shape[1]
    low, high = np.zeros(pieces), np.zeros(pieces)
    origin, weight = np.arange(pieces), 1.0
    for step in range(HALVINGS + 1):
        low_here, high_here = _bounds(squares, lost)
        done = (high_here - low_here) * weight <= enough[origin] if step < HALVINGS else np.ones(len(origin), bool)
        np.add.at(low, origin[done], low_here[done] * weight)
        np.add.at(high, origin[done], high_here[done] * weight)
        if done.all():
            break
        rest = np.flatnonzero(~done)
        squares, lost = _halved(squares[:, rest], lost[rest])
        origin, weight = np.tile(origin[rest], 2), weight / 2
    summed = gamma(2**HALVINGS + HALVINGS)  # terms, at most
    return low * (1 - summed), high * (1 + summed)


def _halved(squares: np.ndarray, lost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S on both halves of each piece, each again from -1 to 1."""
    count, size = len(squares), np.abs(squares).sum(0)
    halves = []
    for middle in (-0.5, 0.5):
        new = squares.copy()
        for last in range(count - 1, 0, -1):
            new[last - 1 : count - 1] += middle * new[last:]
        halves.append(new * 0.5 ** np.arange(count)[:, None])
    return np.concatenate(halves, 1), np.tile(up(lost + gamma(3 * count) * size), 2)


def _bounds(squares: np.ndarray, lost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the integral of sqrt(S), S given up to `lost`."""
    middle, strays = squares[0], up(np.abs(squares[1:]).sum(0))
    powers = np.arange(len(squares))[:, None]
    whole = (squares / (powers + 1) * (powers % 2 == 0)).sum(0) * 2  # the integral of S
    slack = up(2 * lost + gamma(len(squares) + 3) * 2 * (np.abs(middle) + strays))
    most = up(np.maximum(middle, 0) + strays + lost)
    low = down(np.maximum(whole - slack, 0) / np.sqrt(most + TINY))
    high = up(np.sqrt(up(2 * np.maximum(whole + slack, 0))))
    good = (middle > 0) & (strays + lost < SMOOTH * middle)
    if good.any():
        series_low, series_high = _series(squares[:, good], lost[good])
        low[good], high[good] = np.maximum(low[good], series_low), np.minimum(high[good], series_high)
    return low, high


def _series(squares: np.ndarray, lost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the series of the root around the middle of each piece."""
    order = max(len(squares) - 1, ORDER)
    inner = np.zeros((order + 1, squares.shape[1]))
    inner[: len(squares)] = squares / squares[0]  # each off by a unit of rounding
    stray = up(np.abs(inner[1:]).sum(0))
    outer = np.zeros((order + 1, squares.shape[1]))
    outer[: ORDER + 1] = BINOMIAL[: ORDER + 1, None]
    found = composed(outer, inner)
    powers = np.arange(order + 1)[:, None]
    whole = (found.coefficients / (powers + 1) * (powers % 2 == 0)).sum(0) * 2
    # The root's derivative on [3/4, 5/4] is at most 1 / sqrt(3) < 0.6; the series' remainder is at most its next term
    # times (1 - stray)^(1/2 - ORDER - 1) (Lagrange).
    rest = abs(BINOMIAL[ORDER + 1]) * stray ** (ORDER + 1) * (1 - stray) ** (-ORDER - 1.0)
    off = 0.6 * (lost / squares[0] + 2.0**-52 * stray) + rest + found.value
    slack = up(2 * off + gamma(order + 4) * 2 * np.abs(found.coefficients).sum(0))
    scale = np.sqrt(squares[0])
    return down(scale * np.maximum(whole - slack, 0)), up(scale * (whole + slack))
