"""How much the network stretches on a piece: bounds of norms, of injectivities, and of their integrals with the speed.

J(tau) is a polynomial up to an error. At the places of a grid its singular values are enclosed; between two places

- the norm of a matrix that is affine in tau is convex, and |integral| <= integral of |.|: trapezoids bound the integral
  of a norm from above, midpoints from below, both up to the second derivative of the matrix;
- the smallest eigenvalue of J^T J is concave in it: the same for its root, the other way round.

With the speed |x'| as a factor the same is done for the Kronecker product of J and x', whose singular values are those
of J times |x'|.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure.integral import arc_length, squared_speed
from flyroom.measure.enclosure.models import Model
from flyroom.measure.enclosure.rounding import TINY, UP, down, gamma, up
from flyroom.measure.enclosure.spectral import at_most, frobenius, singular_values
from flyroom.measure.trajectory._jacobian import Along

CELLS = 2  # of a piece; there are 2 CELLS + 1 places
CELLS_NARROW = 16  # where there are few directions, and a decomposition costs next to nothing
NARROW = 4
DOWN_ROOT = 1 - 2.0**-45


class Stretches(NamedTuple):
    """Bounds for every part of a piece: rows are below and above.

    `most` encloses the supremum of |J B| over the piece, `least` the infimum of its injectivity; the integrals are over
    the path, of each times its speed.
    """

    most: Float64[np.ndarray, "side part"]
    least: Float64[np.ndarray, "side part"]
    norms: Float64[np.ndarray, "side part"]
    injectivities: Float64[np.ndarray, "side part"]
    length: Float64[np.ndarray, "side part"]
    halvings: Float64[np.ndarray, " part"]  # that would make the bounds of `least` sharp to 1 %; infinite where none do


class _Bends(NamedTuple):
    """Above the matrix, its first and its second derivative by tau, everywhere on a piece."""

    size: np.ndarray
    first: np.ndarray
    second: np.ndarray


def stretches(found: Along) -> Stretches:
    """For every part of the pieces; where J is one of several variants, bounds that hold for each of them."""
    columns, of = found.columns, found.of
    q = columns.polynomials.reshape(-1, *columns.polynomials.shape[-3:]).transpose(
        1, 2, 0, 3
    )  # variant, order, row, column
    q = q[np.zeros_like(of)] if len(q) == 1 and q.shape[1] > 1 else q
    lost = np.logical_not(np.isfinite(q).all((1, 2, 3)))  # a function left its domain
    if lost.any():
        q = np.where(lost[:, None, None, None], 0.0, q)
        columns = columns._replace(off=columns.off + np.where(lost, np.inf, 0.0))
    cells = CELLS_NARROW if q.shape[-1] <= NARROW else CELLS
    tau = np.linspace(-1, 1, 2 * cells + 1)
    bends = _bends(q)
    largest, smallest = _at_places(q, tau)
    if len(q) != len(of):  # a constant, the same on all pieces
        bends = _Bends(*(np.broadcast_to(part, of.shape) for part in bends))
        largest, smallest = (np.broadcast_to(part, (*part.shape[:2], len(of))) for part in (largest, smallest))
    path = _path(found.path, tau)
    each = _Piece(bends, path, largest, smallest, columns.off, of, cells, q.shape[-1] == 1, q.shape[-2] < q.shape[-1])
    return _reduced(each, _integrals(each), *_ends(each))


class _Path(NamedTuple):
    speed: Float64[np.ndarray, "side place piece"]  # of the polynomial
    bends: _Bends  # of its velocity
    range: Float64[np.ndarray, "side piece"]  # of the true speed, over the whole piece
    off: Float64[np.ndarray, " piece"]
    length: Float64[np.ndarray, "side piece"]


class _Piece(NamedTuple):
    bends: _Bends
    path: _Path
    largest: Float64[np.ndarray, "side place variant"]
    smallest: Float64[np.ndarray, "side place variant"]
    off: Float64[np.ndarray, " variant"]
    of: np.ndarray
    cells: int
    single: bool  # one direction: norm and injectivity are one
    wide: bool


def _bends(q: np.ndarray) -> _Bends:
    sizes = at_most(q).T  # (order, variant)
    orders = np.arange(len(sizes))[:, None]
    return _Bends(*(up((factor * sizes).sum(0)) for factor in (1.0, orders, orders * (orders - 1.0))))


def _at_places(q: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest and smallest singular value of the polynomial at each place, enclosed."""
    variants, count, rows, width = q.shape
    places = tau if count > 1 else tau[:1]
    powers = places[:, None] ** np.arange(count)
    at = np.matmul(powers, q.reshape(variants, count, rows * width)).reshape(variants, len(places), rows, width)
    low, high = singular_values(at)
    off = (gamma(3 * count + 2) * up(frobenius(q).sum(1)) if count > 1 else np.zeros(variants))[:, None]
    ends = []
    for i in (0, -1):
        side = np.stack([down(np.maximum(low[..., i] - off * UP, 0)), up(high[..., i] + off)])
        ends.append(np.broadcast_to(side.transpose(0, 2, 1), (2, len(tau), variants)))
    return ends[0], ends[1]


def _path(path: Model, tau: np.ndarray) -> _Path:
    x = path.coefficients.reshape(-1, *path.coefficients.shape[-2:])
    count = x.shape[1]
    off = frobenius(path.rate.reshape(len(x), -1).T[:, None])
    rates = x[:, 1:] * np.arange(1.0, count)[:, None]  # coefficients of the velocity
    powers = tau[:, None] ** np.arange(count - 1)
    at = np.einsum("pk,ukn->pnu", powers, rates)
    norms = frobenius(at[:, :, None])
    sizes = frobenius(rates.transpose(1, 2, 0)[:, :, None])  # (order, piece)
    lost = gamma(4 * count) * sizes.sum(0) * UP
    shrunk = norms * (1 - gamma(2 * len(x) + 40))  # norms themselves are rounded up a little
    orders = np.arange(count - 1.0)[:, None]
    bends = _Bends(*(up((factor * sizes).sum(0)) for factor in (1.0, orders, orders * (orders - 1))))
    speed = np.stack([down(np.maximum(shrunk - lost, 0)), up(norms + lost)])
    return _Path(speed, bends, _range(x, off), off, np.stack(arc_length(x, off)))


def _range(x: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Of the speed: from its square, which hardly changes along an arc although the velocity turns."""
    squares, lost = squared_speed(x)
    strays = up(np.abs(squares[1:]).sum(0) + lost)
    low = np.sqrt(np.maximum(squares[0] * DOWN_ROOT - strays, 0)) * DOWN_ROOT
    high = np.sqrt(up(np.maximum(squares[0], 0) + strays)) * UP
    return np.stack([down(np.maximum(low - off * UP, 0)), up(high + off)])


def _integrals(piece: _Piece) -> tuple[np.ndarray, np.ndarray]:
    """Of |J| |x'| and of inj(J) |x'|, for every variant: with the speed as a factor, and by the range of the speed."""
    of, path, s = piece.of, piece.path, piece.bends
    v = _Bends(*(part[of] for part in path.bends))
    rho = path.off[of]
    size = s.size * v.size
    first = up(s.first * v.size + s.size * v.first)
    second = up(s.second * v.size + 2 * s.first * v.first + s.size * v.second)
    apart = up(2 * (piece.off * (v.size + rho) + s.size * rho))  # over the whole piece, which is 2 long
    speed = path.speed[..., of]
    whole = _integrated(piece, piece.largest * speed, piece.smallest * speed, _Bends(size, first, second), apart)
    alone = _integrated(piece, piece.largest, piece.smallest, s, up(2 * piece.off))
    slow, fast = path.range[:, of]
    found = []
    for one, other in zip(whole, alone, strict=True):
        found.append(np.stack([np.maximum(one[0], down(other[0] * slow)), np.minimum(one[1], up(other[1] * fast))]))
    return found[0], found[1]


def _integrated(
    piece: _Piece, largest: np.ndarray, smallest: np.ndarray, bends: _Bends, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The integrals over tau of a matrix's norm and injectivity, known at the places, off by `apart`."""
    step, first, second = 2 / piece.cells, bends.first, bends.second
    high = up(_trapezoid(largest[1]) * step + step * step / 6 * second + apart)
    low = down(np.maximum(down(step * largest[0][1::2].sum(0)) - up(step * step / 12 * second + apart), 0))
    norms = np.stack([low, high])
    if piece.single:
        return norms, norms
    gram = up(2 * bends.size * second + 2 * first * first)
    least = np.sqrt(np.maximum(smallest[0][::2] ** 2 * DOWN_ROOT - up(step * step / 8 * gram), 0)) * DOWN_ROOT
    sure = np.where((least[:-1] > 0) & (least[1:] > 0), (least[:-1] + least[1:]) / 2, 0).sum(0) * step
    by_slope = np.maximum(smallest[0][1::2] - up(step / 4 * first), 0).sum(0) * step
    low = down(np.maximum(down(np.maximum(sure, by_slope)) - apart, 0))
    by_gram = np.sqrt(up(smallest[1][1::2] ** 2 * UP + step * step / 24 * gram)).sum(0) * step * UP
    high = up(np.minimum(by_gram, (smallest[1][1::2] + step / 4 * first).sum(0) * step * UP) + apart)
    return norms, np.stack([low, high])


def _trapezoid(values: np.ndarray) -> np.ndarray:
    ends = values[::2]
    return up((ends[:-1] + ends[1:]).sum(0) / 2)


def _ends(piece: _Piece) -> tuple[np.ndarray, np.ndarray]:
    """The supremum of the norm and the infimum of the injectivity on each piece, above and below, for every variant."""
    s, step, off = piece.bends, 2 / piece.cells, piece.off
    most = up(piece.largest[1][::2].max(0) + step * step / 8 * s.second + off)
    gram = up(2 * s.size * s.second + 2 * s.first * s.first)
    smallest = piece.smallest[0]
    by_gram = np.sqrt(np.maximum(smallest[::2] ** 2 * DOWN_ROOT - up(step * step / 8 * gram), 0)).min(0) * DOWN_ROOT
    by_slope = np.maximum(smallest[1::2] - up(step / 2 * s.first), 0).min(0)
    least = down(np.maximum(np.maximum(by_gram, by_slope) * (1 - 2.0**-45) - off, 0))
    return most, least


def _reduced(piece: _Piece, integrals: tuple[np.ndarray, np.ndarray], most: np.ndarray, least: np.ndarray) -> Stretches:
    """Over variants, and where J hardly changes by the piece's own length."""
    of = piece.of
    starts = np.flatnonzero(np.diff(of, prepend=-1))

    def lowest(x: np.ndarray) -> np.ndarray:
        return np.minimum.reduceat(x, starts, axis=-1)

    def highest(x: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(x, starts, axis=-1)

    off = highest(piece.off)
    reached = down(np.maximum(lowest(piece.largest[0]).max(0) - off, 0))
    stooped = up(highest(piece.smallest[1]).min(0) + off)
    top, bottom = highest(most), lowest(least)
    if piece.wide:
        stooped, bottom = np.zeros_like(stooped), np.zeros_like(bottom)
    length = piece.path.length
    # J may change from one variant to another within a piece: then the integral is none of theirs, and lies between
    # the extremes of J times the piece's length.
    several = np.bincount(of) > 1
    norms, small = (
        np.stack([np.where(several, 0.0, lowest(one[0])), np.where(several, np.inf, highest(one[1]))])
        for one in integrals
    )
    if piece.wide:
        small = np.zeros_like(small)
    norms[0] = np.maximum(norms[0], down(bottom * length[0]))
    norms[1] = np.minimum(norms[1], up(top * length[1]))
    small[0] = np.maximum(small[0], down(bottom * length[0]))
    small[1] = np.minimum(np.minimum(small[1], norms[1]), up(top * length[1]))
    most, least, over, under = (_proved(*pair) for pair in ((reached, top), (bottom, stooped), norms, small))
    return Stretches(most, least, over, under, length, _halvings(piece, stooped, highest))


def _proved(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Both bounds; where one is not finite (a function left its domain) nothing is known."""
    sure = np.isfinite(low) & np.isfinite(high)
    return np.stack([np.where(sure, low, 0), np.where(sure, high, np.inf)])


def _halvings(piece: _Piece, stooped: np.ndarray, highest) -> np.ndarray:
    """How often to halve a piece until the bound from below of the injectivity is within 1 % of that from above."""
    s, step = piece.bends, 2 / piece.cells
    gram = highest(s.size * s.second + s.first * s.first) * step * step / 4
    size = highest(s.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_gram = np.log2(gram / (0.02 * stooped * stooped + TINY)) / 2
        by_slope = np.log2(highest(s.first) * step / 2 / (0.01 * stooped + TINY))
    wanted = np.maximum(np.minimum(by_gram, by_slope), 0)
    return np.where(stooped > 1e-10 * size, wanted, np.inf)
