"""The Bayes classifier against brute force, against simulation, and against what a posterior must be."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from flyroom.data import mnist1d
from flyroom.data.mnist1d import stages, stream
from flyroom.data.mnist1d.stages import Draws
from flyroom.measure import bayes

# Hard enough to be wrong now and then, with few hypotheses.
HARD: dict[str, Any] = {"padding": (36, 37), "max_translation": 4, "iid_noise_scale": 0.12, "corr_noise_scale": 0.6}
# Fifteen points: the last shift is as long as the signal, and does nothing.
TINY: dict[str, Any] = {"padding": (2, 3), "max_translation": 16, "final_seq_length": 8, "iid_noise_scale": 0.2}


def brute_force(x: np.ndarray, process, mean: float, deviation: float) -> np.ndarray:
    """log p(class | x) by a dense grid over scale and shear for every padding and shift, and SciPy's density.

    Nothing is shared with the classifier but the generator's own stages, which are run on the bare digits.
    """
    nodes, weights = np.polynomial.legendre.leggauss(20)
    uniforms, chances = (nodes + 1) / 2, weights / 2
    u, v = (grid.ravel() for grid in np.meshgrid(uniforms, uniforms))
    log_chance = np.log(np.multiply.outer(chances, chances)).ravel()
    length, out = process.length, np.empty((len(x), 10))
    subsample = stages.subsample(np.eye(length), process.final_seq_length).T
    smooth = stages.smooth(np.eye(length)).T
    low, high = process.padding
    for label in range(10):
        terms = []
        for padding, shift in product(range(low, high + 1), range(process.max_translation)):
            many = len(u)
            draws = Draws(
                np.full(many, padding), u, np.full(many, shift), np.zeros((many, length)), np.zeros((many, length)), v
            )
            built = stages.build(np.repeat(stages.templates().x[label][None], many, 0), draws, process)
            background = np.diag((built["translate"][0] == 0).astype(float))
            noise = process.corr_noise_scale * background @ smooth
            covariance = subsample @ (noise @ noise.T + process.iid_noise_scale**2 * np.eye(length)) @ subsample.T
            normal = multivariate_normal(np.zeros(process.final_seq_length), covariance)
            densities = [np.atleast_1d(normal.logpdf(one * deviation + mean - built["subsample"])) for one in x]
            terms.append([logsumexp(density + log_chance) for density in densities])
        out[:, label] = logsumexp(terms, axis=0)
    return out - np.asarray(logsumexp(out, axis=1))[:, None]


@pytest.mark.parametrize(
    "changed",
    [{}, {"scale_coeff": 0.0}, {"shear_scale": 0.0}, {"scale_coeff": 0.0, "shear_scale": 0.0}, {"scale_coeff": -0.9}],
)
def test_the_posterior_is_that_of_brute_force(changed):
    source = stream(dtype=np.float64, **(TINY | changed))
    moments = mnist1d.population_moments(**(TINY | changed))
    x = source[:3].x
    found = bayes.classifier(source)(x)
    expected = brute_force(x, source.process, *moments)
    assert np.exp(expected).max(axis=1).min() < 0.999  # something is at stake
    np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-6)


def test_far_from_every_digit_it_is_still_that_of_brute_force():
    """Where the best a and b lie outside their ranges, and the first choice of hypotheses is not the last."""
    source = stream(dtype=np.float64, **TINY)
    slope = np.linspace(-3, 3, 8)
    x = np.stack([slope, -slope, 1.5 * np.sin(slope), np.full(8, 2.0)])
    found = bayes.classifier(source)(x)
    expected = brute_force(x, source.process, *mnist1d.population_moments(**TINY))
    np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-5)


def test_leaving_hypotheses_out_changes_nothing(monkeypatch):
    source = stream("any", dtype=np.float64, **HARD)
    x = np.concatenate([source[:20].x, np.random.default_rng(0).normal(size=(3, 40))])
    quick = bayes.classifier(source)(x)
    monkeypatch.setattr(bayes, "FIRST", np.inf)
    np.testing.assert_allclose(np.exp(quick), np.exp(bayes.classifier(source)(x)), atol=1e-8)
    monkeypatch.setattr(bayes, "FIRST", 0.01)  # the second round finds the others
    np.testing.assert_allclose(np.exp(quick), np.exp(bayes.classifier(source)(x)), atol=1e-8)


def test_the_quadrature_is_fine_enough(monkeypatch):
    """Each likelihood, not only the posterior, which is 0 or 1 at the usual noise whatever the quadrature."""
    source = stream("any", dtype=np.float64, padding=(36, 37), max_translation=12)
    whole, found = bayes._log_likelihood, []

    def remembered(*arguments):
        found.append(whole(*arguments))
        return found[-1]

    monkeypatch.setattr(bayes, "_log_likelihood", remembered)
    for nodes, reach in ((bayes.NODES, bayes.REACH), (96, 9.0)):
        monkeypatch.setattr(bayes, "NODES", nodes)
        monkeypatch.setattr(bayes, "REACH", reach)
        bayes.classifier(source)(source[:50].x)
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)


def test_the_covariance_is_that_of_generated_signals():
    process, count = stream().process, 8_000
    draw = np.random.default_rng(1)
    fixed = np.ones(count)
    draws = Draws(
        paddings=np.full(count, 41),
        scales=0.2 * fixed,
        shifts=np.full(count, 17),
        correlated=draw.standard_normal((count, process.length)),
        iid=draw.standard_normal((count, process.length)),
        shears=0.9 * fixed,
    )
    digit = stages.dilator(stages.templates().x, process)(np.full(count, 4), draws.paddings)
    x = stages.signals(digit, draws, process)
    background = (np.roll(digit[0], 17) == 0).astype(float)
    expected = bayes.covariance(process, background)
    spread = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / count)
    assert np.abs((np.cov(x.T) - expected) / spread).max() < 5  # 820 different entries
    assert np.linalg.cond(expected) < 1e4
    wrong = bayes.covariance(process, np.ones(process.length))
    assert np.abs((np.cov(x.T) - wrong) / spread).max() > 50  # no noise but the independent one on the digit


def hard_examples():
    source = stream("calibration", seed=3, dtype=np.float64, **HARD)
    examples = source[:2000]
    return source, examples, bayes.classifier(source)(examples.x)


@pytest.fixture(scope="module")
def hard():
    return hard_examples()


def test_the_posterior_is_calibrated(hard):
    """Of the cases that are given probability p, the share p occurs: all ten probabilities of every example."""
    _, examples, found = hard
    probability = np.exp(found)
    happened = np.eye(10)[examples.y]
    assert 0.5 < (found.argmax(axis=1) == examples.y).mean() < 0.95
    edges = [0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.001]
    for low, high in pairwise(edges):
        chosen = (probability >= low) & (probability < high)
        p = probability[chosen]
        assert abs(happened[chosen].sum() - p.sum()) < 3.5 * np.sqrt((p * (1 - p)).sum()) + 1, (low, high)
    best = probability.max(axis=1)
    right = found.argmax(axis=1) == examples.y
    assert abs(right.sum() - best.sum()) < 3 * np.sqrt((best * (1 - best)).sum())


def test_a_posterior_sums_to_one(hard):
    _, _, found = hard
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-12)


def test_a_wrong_model_does_worse(hard):
    _, examples, found = hard
    own = mnist1d.population_moments(**HARD)
    right = (found[:800].argmax(axis=1) == examples.y[:800]).mean()
    changes: list[dict[str, Any]] = [{"iid_noise_scale": 0.04}, {"corr_noise_scale": 0.05}, {"max_translation": 1}]
    for wrong in changes:
        guessed = bayes.classifier(stream(**(HARD | wrong)), moments=own)(examples.x[:800])
        assert (guessed.argmax(axis=1) == examples.y[:800]).mean() < right - 0.01, wrong


def test_the_order_of_positions_changes_nothing(hard):
    source, examples, found = hard
    shuffled = stream("calibration", seed=3, dtype=np.float64, shuffle_seq=True, **HARD)
    x = shuffled[:50].x
    assert not np.array_equal(x, examples.x[:50])
    np.testing.assert_allclose(np.exp(bayes.classifier(shuffled)(x)), np.exp(found[:50]), atol=1e-12)
    order = np.random.default_rng(2).permutation(40)
    again = bayes.classifier(source, positions=order)(examples.x[:50][:, order])
    np.testing.assert_allclose(np.exp(again), np.exp(found[:50]), atol=1e-12)


def test_on_the_default_process_it_makes_next_to_no_mistake():
    source = stream("test")
    found = bayes.classifier(source)(source[:100].x)
    assert (found.argmax(axis=1) == source[:100].y).all()


@pytest.mark.parametrize("name", ["scale_coeff", "shear_scale"])
@pytest.mark.parametrize("width", [1e-17, -1e-17, 1e-300, 1e-12, 2e-9])
def test_a_range_of_next_to_nothing_is_nothing(name, width):
    """Below 1e-9 it is taken for 0; above it the difference of two ends is still worth something."""
    none: dict[str, Any] = {**TINY, name: 0.0}
    source, moments = stream(dtype=np.float64, **none), mnist1d.population_moments(**none)
    x = source[:5].x
    expected = np.exp(bayes.classifier(source)(x))
    found = np.exp(bayes.classifier(stream(dtype=np.float64, **{**none, name: width}), moments=moments)(x))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_signal_has_no_posterior():
    assert bayes.classifier(stream(**HARD))(np.zeros((0, 40))).shape == (0, 10)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"iid_noise_scale": 0.0}, "iid_noise_scale=0 leaves the digit without noise"),
        ({"final_seq_length": 73}, "final_seq_length=73 is more than the 72 points"),
    ],
)
def test_signals_without_a_density_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        bayes.classifier(stream(**arguments))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"moments": (0.0, 0.0)}, "normalise nothing"),
        ({"moments": (float("nan"), 1.0)}, "normalise nothing"),
        ({"positions": np.zeros(40, np.int64)}, "not an order of 0 to 39"),
        ({"positions": np.arange(39)}, "not an order of 0 to 39"),
    ],
)
def test_what_cannot_be_undone_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        bayes.classifier(stream(**HARD), **given)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [(np.zeros((2, 39)), "signals of 39 positions"), (np.full((1, 40), np.nan), "not finite")],
)
def test_other_signals_are_refused(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        bayes.classifier(stream(**HARD))(x)
