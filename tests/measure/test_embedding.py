"""Representations: votes by hand, silhouettes and probes against their definitions, maps that find what is there."""

import importlib.util
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from flyroom.measure.embedding import Map, leave_one_out, linear_probe, silhouette, tsne, vote


def clouds(n: int = 60, apart: float = 4.0, seed: int = 0, classes: int = 3):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return draw.normal(size=(n, 4)) + apart * np.eye(4)[y], y


def counted(distance: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """The vote as it is defined: sort, count, take the most frequent and of equals the lowest."""
    return np.array([np.bincount(labels[near]).argmax() for near in np.argsort(distance, axis=1, kind="stable")[:, :k]])


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 1 - (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("k", [1, 4, 7])
def test_votes_agree_with_a_count(k):
    x, y = clouds(apart=1.0)
    new, _ = clouds(25, apart=1.0, seed=1)
    euclidean = np.linalg.norm(new[:, None] - x[None], axis=2)
    assert (vote(x, y, new, k) == counted(euclidean, y, k)).all()
    assert (vote(x, y, new, k, metric="cosine") == counted(cosine(new, x), y, k)).all()


def test_cosine_looks_at_directions_only():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3, 8])
    far = np.array([[90.0, 60.0]])  # nearer in direction to the first
    assert vote(x, y, far, 1, metric="cosine").tolist() == [3]
    assert vote(np.array([[1.0, 0.0], [60.0, 90.0]]), y, far, 1).tolist() == [8]
    for factor in (0.01, 100.0):
        assert vote(factor * x, y, far, 1, metric="cosine").tolist() == [3]


@pytest.mark.parametrize("k", [1, 5])
def test_one_left_out_is_a_vote_of_the_others(k):
    x, y = clouds(apart=1.0)
    each = [vote(np.delete(x, i, axis=0), np.delete(y, i), x[i : i + 1], k)[0] for i in range(len(x))]
    assert leave_one_out(x, y, k).tolist() == each
    assert leave_one_out(x, y, k).tolist() != vote(x, y, x, k).tolist()  # an example is not its own neighbour


def test_of_equal_votes_the_lowest_class_wins():
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert vote(x, np.array([5, 2, 2, 5]), np.array([[1.5]]), 4).tolist() == [2]


def test_labels_need_not_begin_at_zero_nor_be_dense():
    x, y = clouds()
    assert (leave_one_out(x, 7 * y + 100, 3) == 7 * leave_one_out(x, y, 3) + 100).all()


def test_silhouette_is_rousseeuws():
    x, y = clouds(30, apart=1.5)
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    each = []
    for i in range(len(x)):
        own = [distance[i, j] for j in range(len(x)) if y[j] == y[i] and j != i]
        other = min(distance[i, y == c].mean() for c in np.unique(y) if c != y[i])
        each.append((other - np.mean(own)) / max(other, np.mean(own)))
    assert silhouette(x, y) == pytest.approx(np.mean(each), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.floats(-5, 5), st.permutations(range(3)))
def test_silhouettes_and_votes_do_not_see_size_place_or_names(size, place, names):
    x, y = clouds(30, apart=2.0)
    moved, renamed = size * x + place, np.array(names)[y]
    assert silhouette(moved, renamed) == pytest.approx(silhouette(x, y), abs=1e-9)
    assert (leave_one_out(moved, renamed, 1) == np.array(names)[leave_one_out(x, y, 1)]).all()


def test_silhouettes_rank_clusters_above_their_mixture():
    x, y = clouds(apart=8.0)
    mixed = np.random.default_rng(3).permutation(y)
    assert silhouette(x, y) > 0.6 and abs(silhouette(x, mixed)) < 0.1


def test_a_probe_minimises_the_loss_it_says():
    """Standardised features, squared weights / 2 + summed cross-entropy: its gradient at the end is below 1e-2."""
    x, y = clouds(120, apart=1.0)
    found = linear_probe(x, y, x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    weights, constants = np.zeros((3, 4)), np.zeros(3)
    for _ in range(4000):  # plain gradient descent, to the same minimum
        logits = z @ weights.T + constants
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error = p - np.eye(3)[y]
        weights -= 0.01 * (error.T @ z + weights)
        constants -= 0.01 * error.sum(axis=0)
    assert (found.predicted == (z @ weights.T + constants).argmax(axis=1)).all()
    assert 1 < found.steps < 200


def test_a_probe_has_the_published_accuracy_on_pixels():
    from flyroom.data import mnist1d

    data = mnist1d.make()
    with threadpool_limits(1):  # on a busy machine threads wait for one another
        found = linear_probe(data.x_train, data.y_train, data.x_test)
        early = linear_probe(data.x_train, data.y_train, data.x_test, tolerance=40.0)  # what `tol=1e-2` means now
    assert np.mean(found.predicted == data.y_test) == pytest.approx(0.328, abs=0.0015)
    assert early.steps < found.steps / 5


def test_a_probe_scales_its_features():
    x, y = clouds(apart=2.0)
    factors = np.array([1e-3, 1.0, 1e3, 1e6])
    assert (linear_probe(x * factors + 5, y, x * factors + 5).predicted == linear_probe(x, y, x).predicted).all()


@pytest.mark.skipif(importlib.util.find_spec("openTSNE") is None, reason="openTSNE is not installed (flyroom[lab])")
def test_a_map_keeps_clusters_together_and_is_the_same_each_time():
    x, y = clouds(99, apart=12.0)
    found = tsne(x, seed=1, perplexity=10)
    assert isinstance(found, Map) and found.points.shape == (99, 2) and found.divergence > 0
    assert np.mean(leave_one_out(found.points, y, 5) == y) == 1.0
    assert silhouette(found.points, y) > 0.5
    again = tsne(x, seed=1, perplexity=10)
    assert (again.points == found.points).all() and again.divergence == found.divergence


def test_without_open_tsne_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(ImportError, match=r"flyroom\[lab\]"):
        tsne(clouds()[0])


X, Y = clouds()
BAD = X.copy()
BAD[3, 1] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vote(X, Y, X, 0), "k = 0 neighbours cannot be found among 60"),
        (lambda: vote(X, Y, X, 61), "k = 61 neighbours cannot be found among 60"),
        (lambda: leave_one_out(X, Y, 60), "k = 60 neighbours cannot be found among 59"),
        (lambda: vote(BAD, Y, X), "not finite"),
        (lambda: vote(X, Y, BAD), "not finite"),
        (lambda: leave_one_out(BAD, Y), "not finite"),
        (lambda: silhouette(BAD, Y), "not finite"),
        (lambda: silhouette(X, np.zeros(60, int)), "1 classes in 60 examples"),
        (lambda: silhouette(X, np.arange(60)), "60 classes in 60 examples"),
        (lambda: linear_probe(BAD, Y, X), "not finite"),
        (lambda: linear_probe(X, Y, BAD), "not finite"),
        (lambda: linear_probe(X, Y, X, tolerance=0.0), "tolerance 0.0 and steps 1000 must be above 0"),
        (lambda: linear_probe(X, Y, X, steps=0), "steps 0 must be above 0"),
        (lambda: linear_probe(X, np.zeros(60, int), X), "at least 2 classes"),
    ],
)
def test_bad_input_yields_no_number(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(importlib.util.find_spec("openTSNE") is None, reason="openTSNE is not installed (flyroom[lab])")
@pytest.mark.parametrize(("x", "perplexity"), [(X, 20), (X, 0), (BAD, 10)])
def test_no_map_of_too_few_examples_or_of_no_numbers(x, perplexity):
    with pytest.raises(ValueError, match=r"3 x it below the examples|not finite"):
        tsne(x, perplexity=perplexity)
