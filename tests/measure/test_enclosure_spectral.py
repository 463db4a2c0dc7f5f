"""Singular values: enclosed against Arb and closed forms, whatever the decomposition returned; and what they bound."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flyroom.measure.enclosure import spectral
from flyroom.measure.enclosure.spectral import at_most, frobenius, injectivity, norm, singular_values

flint = pytest.importorskip("flint")


def by_arb(matrix: np.ndarray) -> list[tuple[float, float]]:
    """Balls that hold the singular values, the largest first: roots of the eigenvalues of the smaller Gram matrix."""
    with flint.ctx.workprec(400):
        a = flint.arb_mat(matrix.tolist())
        gram = a.transpose() * a if matrix.shape[0] >= matrix.shape[1] else a * a.transpose()
        values = [x.real for x in flint.acb_mat(gram).eig(multiple=False)]
        roots = sorted((max(x, flint.arb(0)).sqrt() for x in values), key=lambda x: -float(x.mid()))
        return [(float(x.lower()), float(x.upper())) for x in roots]


@pytest.mark.parametrize("shape", [(6, 6), (7, 4), (4, 7), (12, 3), (1, 5), (5, 1)])
def test_enclosures_hold_the_values_by_arb(shape: tuple[int, int]) -> None:
    for seed in range(5):
        matrix = np.random.default_rng(seed).normal(size=shape)
        low, high = singular_values(matrix)
        exact = by_arb(matrix)
        assert len(exact) == low.size == min(shape)
        for (below, above), a, b in zip(exact, low, high, strict=True):
            assert a <= below * (1 + 1e-15) and above <= b * (1 + 1e-15)
            assert b - a < 1e-11 * high[0]


def test_known_values() -> None:
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    low, high = singular_values(rotation @ np.diag([5.0, 1e-3]) @ rotation)
    np.testing.assert_allclose(low, [5.0, 1e-3], rtol=1e-9)
    np.testing.assert_allclose(high, [5.0, 1e-3], rtol=1e-9)
    ones = np.ones((30, 20))
    low, high = singular_values(ones)
    assert low[0] <= np.sqrt(600) <= high[0]
    assert (low[1:] == 0).all() and (high[1:] < 1e-10).all()


@pytest.mark.parametrize("wrong", ["u", "s", "v", "all zero", "fails"])
def test_a_wrong_decomposition_widens_the_bounds_and_breaks_none(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """What the library returns is a guess: that of power iteration stopped early would be as wrong as these."""
    matrix = np.random.default_rng(0).normal(size=(8, 5))
    exact = by_arb(matrix)
    right = np.linalg.svd

    def svd(a: np.ndarray, full_matrices: bool = True) -> tuple[np.ndarray, ...]:
        if wrong == "fails":
            raise np.linalg.LinAlgError("no convergence")
        u, s, v = right(a, full_matrices=full_matrices)
        bent = np.random.default_rng(1).normal(size=(3, *u.shape)) * 0.05
        parts = {"u": (u + bent[0], s, v), "s": (u, s * 0.9, v), "v": (u, s, v + bent[1][: len(v)])}
        return parts.get(wrong, (u * 0, s * 0, v * 0))

    monkeypatch.setattr(spectral.np.linalg, "svd", svd)
    low, high = singular_values(matrix)
    for (below, above), a, b in zip(exact, low, high, strict=True):
        assert a <= below and above <= b
    assert (high - low).max() > 0.01


@pytest.mark.parametrize("scale", [1e-250, 1e-150, 1.0, 1e150, 1e250])
def test_scaling_neither_overflows_nor_underflows(scale: float) -> None:
    matrix = np.random.default_rng(3).normal(size=(2, 4, 3))
    low, high = singular_values(matrix * scale)
    exact = np.linalg.svd(matrix, compute_uv=False) * scale
    assert (low <= exact * (1 + 1e-14)).all() and (exact * (1 - 1e-14) <= high).all()
    np.testing.assert_allclose(low, high, rtol=1e-9)
    assert (high[:, 0] <= at_most(matrix * scale)).all()
    assert (at_most(matrix * scale) <= frobenius(matrix * scale)).all()


def test_empty_zero_and_unreadable_matrices() -> None:
    assert singular_values(np.zeros((2, 0, 3)))[0].shape == (2, 0)
    low, high = norm(np.zeros((3, 0)))
    assert low == high == 0
    assert norm(np.zeros((3, 3)))[0] == 0 and norm(np.zeros((3, 3)))[1] < 1e-260
    assert frobenius(np.zeros((3, 3))) == 0
    with pytest.raises(ValueError, match="not a number"):
        singular_values(np.array([[np.nan, 1.0]]))


def test_a_matrix_with_fewer_rows_than_columns_is_not_injective() -> None:
    """W = [1 0] sends (0, t) to 0, although the smallest of its min(rows, columns) singular values is 1."""
    wide = np.array([[1.0, 0.0]])
    assert np.linalg.svd(wide, compute_uv=False)[-1] == 1
    assert [float(side) for side in injectivity(wide)] == [0.0, 0.0]
    low, high = injectivity(wide.T)
    assert low <= 1 <= high and high - low < 1e-11


# For products of matrices of these widths: of 300 draws, how many break sigma(AB) >= sigma(A) sigma(B) where sigma is
# the smallest of the min(rows, columns) values. With `injectivity` none does.
PRODUCTS = (((8, 4, 8), 300), ((8, 4, 6), 300), ((8, 6, 4), 0), ((4, 6, 8), 0), ((8, 8, 3), 0), ((3, 8, 8), 0))


@pytest.mark.parametrize(("widths", "broken"), PRODUCTS)
def test_injectivities_of_products(widths: tuple[int, ...], broken: int) -> None:
    draw = np.random.default_rng(0)
    a, b = (draw.normal(size=(300, *shape)) for shape in pairwise(widths))
    values = [np.linalg.svd(m, compute_uv=False)[:, -1] for m in (a, b, a @ b)]
    assert (values[2] < values[0] * values[1] * (1 - 1e-9)).sum() == broken
    assert (injectivity(a @ b)[1] >= injectivity(a)[0] * injectivity(b)[0]).all()


def test_the_smallest_library_value_often_lies_for_bottlenecks_outward() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(300, 4, 8)), draw.normal(size=(300, 8, 4))
    values = [np.linalg.svd(m, compute_uv=False)[:, -1] for m in (a, b, a @ b)]
    assert (values[2] < values[0] * values[1]).sum() > 250
    assert (injectivity(a)[1] == 0).all()


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)), arrays(np.float64, (4,), elements=st.floats(-1e3, 1e3))
)
def test_no_vector_is_stretched_more_or_less(matrix: np.ndarray, vector: np.ndarray) -> None:
    for a in (matrix, matrix.T):
        y = vector[: a.shape[1]]
        stretched, size = np.linalg.norm(a @ y), np.linalg.norm(y)
        slack = 1e-12 * np.linalg.norm(a) * size + 1e-260
        assert stretched <= norm(a)[1] * size + slack
        assert stretched >= injectivity(a)[0] * size - slack
        assert norm(a)[1] <= at_most(a) * (1 + 1e-11) + 1e-260
