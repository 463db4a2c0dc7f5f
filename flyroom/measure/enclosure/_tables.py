"""The proved numbers of `derivatives.npz`: suprema of derivatives on cells of the line, and factors of polynomials.

Made by tests/golden/make_derivative_bounds.py, which proves each entry with Arb. Suprema are those of |f^(k)| / k! for
x in [i width, (i + 1) width], rounded up; the last column is that of all x beyond. Only functions whose derivatives of
the orders kept are even or odd are there, so that |x| is enough.
"""

from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

PLACE = Path(__file__).with_name("derivatives.npz")
TABLES = MappingProxyType({"tanh": 1, "erf": 1, "gelu": 2, "silu": 2})  # the first order kept


@cache
def stored() -> MappingProxyType[str, np.ndarray]:
    with np.load(PLACE, allow_pickle=False) as archive:
        return MappingProxyType({name: archive[name] for name in archive.files})


@cache
def factors(
    name: str,
) -> tuple[Float64[np.ndarray, "order root"], Float64[np.ndarray, "order root"], Float64[np.ndarray, " order"]]:
    """Of the polynomials in w that `_local` multiplies out: the roots, 1 - root, and leading coefficients.

    All are rounded to nearest. Places without a root are NaN.
    """
    roots, leads = stored()[f"roots {name}"], stored()[f"leads {name}"]
    return roots[0], roots[1], leads


def odd(name: str, order: int) -> int:
    """1 where the derivative of that order is an odd function, 0 where it is even; of gelu and silu from order 2 on."""
    return (order + (name in ("tanh", "erf"))) % 2 if name != "silu" else order % 2


@cache
def _maxima(name: str, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Row j, column i: the largest of the cells i, ..., i + 2^j - 1; and the row to use for each number of cells."""
    cells = stored()[f"suprema {name}"][order].astype(np.float64)
    rows = [cells]
    while 2 ** len(rows) <= len(cells):
        step = 2 ** (len(rows) - 1)
        row = rows[-1].copy()
        row[:-step] = np.maximum(rows[-1][:-step], rows[-1][step:])
        rows.append(row)
    lengths = np.arange(len(cells) + 1)
    return np.stack(rows), np.array([max(int(length).bit_length() - 1, 0) for length in lengths])


def supremum(name: str, order: int, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Above |f^(order)(x)| / order! for all near <= |x| <= far."""
    maxima, row_of = _maxima(name, order)
    beyond = maxima.shape[1] - 1
    per_cell = 1 / float(stored()[f"width {name}"])  # a power of two
    first = np.minimum(near * per_cell, beyond).astype(np.int64)
    last = np.minimum(far * per_cell, beyond).astype(np.int64)
    row = row_of[last - first + 1]
    return np.maximum(maxima[row, first], maxima[row, last + 1 - (1 << row)])
