"""Where to cut pieces: guesses of the places where polynomials change their sign, and windows around them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from flyroom.measure.enclosure.models import sizes

GRID = 2.0**50  # cuts are multiples of its inverse: middle and half of each part are exact (`models.restricted`)
WIDEST = 0.25  # a window wider than this part of a half piece says nothing: the value touches rather than crosses
BISECTIONS = 50


class Parts(NamedTuple):
    """Children of pieces, in order: the part of piece `parent` with tau from `begin` to `end`."""

    parent: Int[np.ndarray, " child"]
    begin: Float64[np.ndarray, " child"]
    end: Float64[np.ndarray, " child"]
    crossings: Int[np.ndarray, " crossing"]  # the piece of each crossing


def cuts(
    values: Sequence[tuple[Float64[np.ndarray, "*example order piece"], Float64[np.ndarray, "*example piece"]]],
) -> Parts | None:
    """Windows around every crossing of zero of these polynomials, each given with the error that it is off by."""
    found = [_crossings(*pair) for pair in values]
    if not sum(len(one[0]) for one in found):
        return None
    piece, place, half = (np.concatenate([one[i] for one in found]) for i in range(3))
    pieces = values[0][1].shape[-1]
    begin = np.floor((place - half) * GRID) / GRID
    end = np.ceil((place + half) * GRID) / GRID
    at = np.concatenate([np.full(pieces, -1.0), np.full(pieces, 1.0), begin, end])
    of = np.concatenate([np.arange(pieces), np.arange(pieces), piece, piece])
    inside = (at >= -1) & (at <= 1)
    order = np.lexsort((at[inside], of[inside]))
    at, of = at[inside][order], of[inside][order]
    proper = (of[1:] == of[:-1]) & (at[1:] > at[:-1])
    return Parts(of[:-1][proper], at[:-1][proper], at[1:][proper], piece)


def _crossings(coefficients: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The piece, the place and the half window of each crossing."""
    order, pieces = coefficients.shape[-2:]
    flat, off = coefficients.reshape(-1, order, pieces), error.reshape(-1, pieces)
    stray = sizes(flat)[0]
    near = np.abs(flat[:, 0]) <= stray
    unit, piece = np.nonzero(near & (stray > 4 * off))
    chosen, off = flat[unit, :, piece], off[unit, piece]  # (pair, order)
    if order == 2:
        with np.errstate(divide="ignore", invalid="ignore"):
            place = -chosen[:, 0] / chosen[:, 1]
        pair = np.arange(len(unit))
    else:
        pair, place = _changes(chosen)
    slope = np.abs(_at(chosen[pair] * np.arange(order), place, drop=1))
    with np.errstate(divide="ignore"):
        half = 4 * (off[pair] + 2.0**-49 * np.abs(chosen[pair]).sum(1)) / slope + 2.0**-49
    good = np.isfinite(place) & (np.abs(place) < 1) & (half < WIDEST)
    return piece[pair][good], place[good], half[good]


def _changes(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sign changes between points of a grid, bisected."""
    grid = np.linspace(-1, 1, 4 * chosen.shape[1] + 1)
    signs = np.sign(chosen @ (grid ** np.arange(chosen.shape[1])[:, None]))
    pair, at = np.nonzero(signs[:, :-1] * signs[:, 1:] < 0)
    low, high, side = grid[at], grid[at + 1], signs[pair, at]
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        before = np.sign(_at(chosen[pair], middle)) == side
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return pair, (low + high) / 2


def _at(coefficients: np.ndarray, place: np.ndarray, drop: int = 0) -> np.ndarray:
    """sum_k coefficients[:, k] place^(k - drop), k from `drop` on."""
    value = np.zeros_like(place)
    for k in range(coefficients.shape[1] - 1, drop - 1, -1):
        value = value * place + coefficients[:, k]
    return value
