"""Singular values of matrices, enclosed: from a float64 decomposition that is checked afterwards.

With computed U, s, V of A, let R = A - U diag(s) V^T, |U^T U - I| <= a and |V^T V - I| <= b. By Weyl's theorem for R
and Ostrowski's for the factors that make U and V orthonormal, every singular value lies in

    sqrt((1 - a) (1 - b)) s_i - |R|  <=  sigma_i  <=  sqrt((1 + a) (1 + b)) s_i + |R|

(Rump, "Verified bounds for singular values, in particular for the spectral norm of a matrix and its inverse", BIT 51,
2011). How the decomposition was computed does not matter: power iteration alone would bound a norm from below only.
"""

import numpy as np
from jaxtyping import Float, Float64

from flyroom.measure.enclosure.rounding import DOWN, TINY, UNIT, UP, gamma

Matrices = Float[np.ndarray, "*batch row column"]
Bounds = tuple[Float64[np.ndarray, "*batch"], Float64[np.ndarray, "*batch"]]


def singular_values(
    matrices: Matrices,
) -> tuple[Float64[np.ndarray, "*batch value"], Float64[np.ndarray, "*batch value"]]:
    """Below and above each of the min(rows, columns) singular values, the largest first.

    Absolute errors are about 1e-15 sqrt(size) of the Frobenius norm: values that are smaller get the lower bound 0.
    The last one is not what the matrix shrinks vectors by where it has more columns than rows (`injectivity`).

    Raises ValueError for numbers that are not finite.

    >>> low, high = singular_values(np.array([[3.0, 0.0], [0.0, 2.0]]))
    >>> high.round(9).tolist(), bool((high - low < 1e-11).all())
    ([3.0, 2.0], True)
    """
    if not np.isfinite(matrices).all():
        raise ValueError("a matrix has an entry that is infinite or not a number; singular values are of finite ones")
    rows, columns = matrices.shape[-2:]
    values = min(rows, columns)
    if not matrices.size:
        return np.zeros((*matrices.shape[:-2], values)), np.zeros((*matrices.shape[:-2], values))
    a = np.asarray(matrices, np.float64)
    with np.errstate(over="ignore"):
        exponent = _exponent(a)
    a = np.ldexp(a, -exponent[..., None, None]) if exponent.any() else a
    try:
        u, s, v = np.linalg.svd(a, full_matrices=False)
    except np.linalg.LinAlgError:  # it did not converge: then nothing but the Frobenius norm is known
        u, s, v = (np.zeros((*a.shape[:-2], *shape)) for shape in ((rows, values), (values,), (values, columns)))
    size = _frobenius(a)
    scaled = u * s[..., None, :]
    off = _frobenius(a - scaled @ v)
    # |fl(US V) - US V|_F <= gamma |US|_F |V|_F; the product by s rounds once, the difference once.
    off = (off + gamma(values + 4) * (_frobenius(scaled) * _frobenius(v) + size)) * UP + TINY
    of_u, of_v = _defect(np.swapaxes(u, -1, -2) @ u, rows, u), _defect(v @ np.swapaxes(v, -1, -2), columns, v)
    known = (of_u < 0.5) & (of_v < 0.5)
    shrink = np.where(known, np.sqrt(np.maximum((1 - of_u) * (1 - of_v), 0)), 0.0) * DOWN
    low = np.maximum(shrink[..., None] * s - off[..., None] * UP, 0) * DOWN
    high = (np.sqrt((1 + of_u) * (1 + of_v))[..., None] * s + off[..., None]) * UP
    high = np.where(known[..., None], np.minimum(high, size[..., None]), size[..., None])
    low, high = np.sort(low, -1)[..., ::-1], np.sort(high, -1)[..., ::-1]  # bounds of sorted values, sorted
    back = exponent[..., None]
    return np.maximum(np.ldexp(low, back) - TINY, 0), np.ldexp(high, back) + TINY


def norm(matrices: Matrices) -> Bounds:
    """Below and above the spectral norm, max |A y| over |y| = 1."""
    if not min(matrices.shape[-2:]):
        return np.zeros(matrices.shape[:-2]), np.zeros(matrices.shape[:-2])
    low, high = singular_values(matrices)
    return np.asarray(low[..., 0]), np.asarray(high[..., 0])


def injectivity(matrices: Matrices) -> Bounds:
    """Below and above min |A y| over |y| = 1: how little a vector may be stretched.

    The smallest singular value, but 0 for a matrix with fewer rows than columns, which sends some vector to 0: there
    the smallest of the min(rows, columns) values that libraries return bounds nothing.

    >>> low, high = injectivity(np.array([[1.0, 0.0]]))
    >>> float(low), float(high)
    (0.0, 0.0)
    """
    rows, columns = matrices.shape[-2:]
    if rows < columns:
        return np.zeros(matrices.shape[:-2]), np.zeros(matrices.shape[:-2])
    low, high = singular_values(matrices)
    return np.asarray(low[..., -1]), np.asarray(high[..., -1])


def frobenius(matrices: Matrices) -> Float64[np.ndarray, "*batch"]:
    """Above the Frobenius norm, which is above the spectral norm."""
    return _frobenius(np.asarray(matrices, np.float64))


def at_most(matrices: Matrices) -> Float64[np.ndarray, "*batch"]:
    """Above the spectral norm, without a decomposition: |A|^2 = |A^T A| <= its Frobenius norm, or |A|_F^2.

    At most the fourth root of min(rows, columns) times too large.
    """
    a = np.asarray(matrices, np.float64)
    whole = _frobenius(a)
    if min(a.shape[-2:]) <= 1:
        return whole
    with np.errstate(over="ignore"):
        exponent = _exponent(a)
    a = np.ldexp(a, -exponent[..., None, None]) if exponent.any() else a
    flat = np.swapaxes(a, -1, -2)
    gram = flat @ a if a.shape[-1] <= a.shape[-2] else a @ flat
    size = _frobenius(a)
    found = np.sqrt((_frobenius(gram) + gamma(max(a.shape[-2:])) * size * size) * UP + TINY) * UP
    return np.asarray(np.minimum(np.ldexp(found, exponent) + TINY, whole))


def _exponent(a: np.ndarray) -> np.ndarray:
    """The power of two that brings the largest entry of each matrix near 1; 0 where no square over- or underflows."""
    squares = np.asarray(np.einsum("...ij,...ij->...", a, a))
    odd = ~((squares > 1e-150) & (squares < 1e150))
    found = np.zeros(squares.shape, int)
    if odd.any():
        found[odd] = np.frexp(np.abs(a[odd]).max((-2, -1), initial=0.0))[1]
    return found


def _frobenius(a: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        exponent = _exponent(a)
    scaled = np.ldexp(a, -exponent[..., None, None]) if exponent.any() else a
    count = a.shape[-1] * a.shape[-2]
    found = np.sqrt(np.einsum("...ij,...ij->...", scaled, scaled)) * (1 + (count + 8) * UNIT * UP)
    return np.asarray(np.ldexp(found, exponent) + (found > 0) * TINY)


def _defect(gram: np.ndarray, terms: int, factor: np.ndarray) -> np.ndarray:
    """Above the Frobenius norm of G - I, G being what `gram`, a sum of products of so many terms, was computed for."""
    size = _frobenius(factor)
    return np.asarray(
        (_frobenius(gram - np.eye(gram.shape[-1])) + gamma(terms + 2) * (size * size + gram.shape[-1])) * UP
    )
