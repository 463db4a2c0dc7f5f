"""Intervals, tests and verdicts: closed forms, brute force, textbook examples, small coverage simulations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom import stats
from flyroom.records import Evidence, Measurement, Statement, Verdict

finite = st.floats(-1e6, 1e6, allow_subnormal=False)
samples = st.lists(finite, min_size=2, max_size=12)


def bounds(measurement):
    assert measurement.interval is not None
    return measurement.interval


# mean_interval


def test_one_value_has_no_interval():
    assert stats.mean_interval([0.3]) == Measurement(0.3, None, Evidence.single, 1)


@pytest.mark.parametrize("value", [0.1, 0.0, -3.0, 1e-300])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_equal_values_have_the_interval_that_they_show(value, n):
    assert stats.mean_interval([value] * n) == Measurement(value, (value, value), Evidence.estimate, n)


def test_few_values_get_the_t_interval():
    # n = 3, mean 2, s = 1: 2 -+ 4.302653 / sqrt(3), from any table of Student's t
    low, high = bounds(stats.mean_interval([1, 2, 3]))
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-6)


def bca(x, seed, resamples=20_000):
    """The textbook recipe (Efron and Tibshirani 1993, section 14.3), written out with the standard library."""
    from statistics import NormalDist

    normal = NormalDist()
    rng = np.random.default_rng(seed)
    means = np.sort(x[rng.integers(0, x.size, (resamples, x.size))].mean(axis=1))
    z0 = normal.inv_cdf(((means < x.mean()).mean() + (means <= x.mean()).mean()) / 2)
    jackknife = np.array([np.delete(x, i).mean() for i in range(x.size)])
    d = jackknife.mean() - jackknife
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    found = []
    for level in (0.025, 0.975):
        z = z0 + normal.inv_cdf(level)
        found.append(np.quantile(means, normal.cdf(z0 + z / (1 - a * z))))
    return found


def test_many_values_get_the_textbook_bca_interval():
    x = np.random.default_rng(3).exponential(size=20)  # skewed: BCa is not symmetric here
    low, high = bounds(stats.mean_interval(x))
    assert (low, high) == pytest.approx(bca(x, seed=99), abs=0.02)
    assert high - x.mean() > 1.2 * (x.mean() - low)


@settings(max_examples=40, deadline=None)
@given(st.lists(finite, min_size=6, max_size=12), st.integers(-3, 3))
def test_interval_stays_within_the_values_and_scales_with_them(values, power):
    x = np.array(values)
    found = stats.mean_interval(x)
    assert x.min() <= bounds(found)[0] <= bounds(found)[1] <= x.max()
    scaled = stats.mean_interval(x * 2.0**power).interval  # powers of two: nothing is rounded
    assert scaled == tuple(np.array(found.interval) * 2.0**power)


@pytest.mark.parametrize(("n", "least", "most"), [(4, 0.91, 0.99), (12, 0.87, 0.97)])
def test_interval_covers_the_mean_about_as_often_as_it_says(n, least, most):
    # One band of 400 points is 400 experiments of n runs. BCa at n = 12 is known to cover a little under 95 %.
    low, high = stats.mean_band(np.random.default_rng(n).normal(1.0, 2.0, (n, 400)))
    assert least <= ((low <= 1) & (high >= 1)).mean() <= most


def test_band_is_the_interval_at_every_point():
    x = np.random.default_rng(0).normal(size=(8, 3))
    x[:, 1] = 0.5
    low, high = stats.mean_band(x)
    for point in range(3):
        assert (low[point], high[point]) == pytest.approx(stats.mean_interval(x[:, point]).interval, abs=0.04)


# prediction_interval, published


def test_prediction_interval_closed_form():
    # n = 5, mean 3, s = sqrt(2.5), t(4) = 2.776445
    half = 2.776445 * math.sqrt(2.5) * math.sqrt(1.2)
    assert stats.prediction_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half), abs=1e-5)


@pytest.mark.parametrize("n", [2, 5])
def test_prediction_interval_holds_the_next_run_95_times_in_100(n):
    draws = np.random.default_rng(n).normal(size=(2000, n + 1))
    held = 0
    for *seen, coming in draws:
        low, high = stats.prediction_interval(seen)
        held += low <= coming <= high
    assert 0.935 <= held / 2000 <= 0.965


def test_prediction_interval_needs_two_runs():
    with pytest.raises(ValueError, match="give two runs or more"):
        stats.prediction_interval([0.5])


def test_published_figures():
    ours = [0.62, 0.64, 0.65, 0.63, 0.66]  # 64 +- 1.58; prediction interval 59.2 to 68.8
    assert stats.published(ours, 0.68, 0.02) == Verdict.compatible
    assert stats.published(ours, 0.70, 0.02) == Verdict.compatible  # only the spread reaches
    assert stats.published(ours, 0.70) == Verdict.excluded
    assert stats.published(ours, 0.56, 0.02) == Verdict.excluded
    assert stats.published([0.64], 0.90) == Verdict.undecided
    with pytest.raises(ValueError, match="not negative"):
        stats.published(ours, 0.68, -0.02)


# sign_flip, holm


def brute_force(x, alternative):
    """Over every sign pattern, in exact arithmetic: give it integers."""
    sums = [sum(s * v for s, v in zip(signs, x, strict=True)) for signs in itertools.product((1, -1), repeat=len(x))]
    greater = sum(s >= sum(x) for s in sums) / len(sums)
    less = sum(s <= sum(x) for s in sums) / len(sums)
    return {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=9), st.sampled_from(["two-sided", "greater", "less"]))
def test_sign_flip_enumerates(x, alternative):
    assert stats.sign_flip(x, alternative=alternative) == pytest.approx(brute_force(x, alternative))


def test_sign_flip_on_darwins_maize():
    # Fisher 1935, section 21: 863 of the 32,768 patterns are at least as large; 1,726 count both sides.
    # Fifteen pairs are sampled here, so p comes with a standard error of 0.0023.
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert brute_force(differences, "two-sided") == 1726 / 32768
    assert stats.sign_flip(differences) == pytest.approx(1726 / 32768, abs=0.008)
    assert stats.sign_flip(differences, seed=1) == stats.sign_flip(differences, seed=1)


def test_sampled_sign_flip_is_never_zero():
    assert stats.sign_flip([1.0] * 40) == pytest.approx(2 / 10_000)
    assert stats.sign_flip([1.0] * 40, alternative="greater") == pytest.approx(1 / 10_000)


def test_holm_textbook():
    # Holm 1979 in Wright 1992, Biometrics 48:1005: each p times what is left, never falling, at most 1.
    assert stats.holm([0.01, 0.02, 0.22, 0.09]) == pytest.approx((0.04, 0.06, 0.22, 0.18))
    assert stats.holm([0.6, 0.7]) == (1.0, 1.0)
    assert stats.holm([0.03]) == (0.03,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 7), st.floats(0, 1))
def test_holm_lies_between_p_and_bonferroni_and_rises_with_every_p(p, index, factor):
    adjusted = stats.holm(p)
    assert all(one <= other <= min(1.0, len(p) * one) for one, other in zip(p, adjusted, strict=True))
    assert sorted(range(len(p)), key=lambda i: p[i]) == sorted(range(len(p)), key=lambda i: (adjusted[i], p[i]))
    smaller = [value * factor if i == index % len(p) else value for i, value in enumerate(p)]
    assert all(one <= other for one, other in zip(stats.holm(smaller), adjusted, strict=True))


def test_holm_refuses_what_is_no_p():
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]; got 1.5"):
        stats.holm([0.1, 1.5])


# judging


def test_order_supported_refuted_and_undecided():
    rng = np.random.default_rng(0)
    low, noise = rng.normal(0.6, 0.02, 10), rng.normal(0.0, 0.02, 10)
    up, down = stats.judge_order(low, low + 0.3 + noise), stats.judge_order(low + 0.3 + noise, low)
    assert up.verdict == Verdict.supported and bounds(up.difference)[0] > 0
    assert down.verdict == Verdict.refuted and bounds(down.difference)[1] < 0
    assert up.p == down.p == 2 / 1024
    same = stats.judge_order(low, low + noise - noise.mean())
    assert same.verdict == Verdict.undecided
    assert same.reason.startswith("the difference is not resolved")


@pytest.mark.parametrize(
    ("n", "family", "decided"), [(1, 1, False), (5, 1, False), (6, 1, True), (6, 2, False), (7, 3, True)]
)
def test_too_few_pairs_are_undecided_and_say_so(n, family, decided):
    low, high = np.arange(n) / 100, np.arange(n) / 100 + 0.5 + np.arange(n) ** 2 / 1000
    for order in stats.judge_orders([(low, high)] * family):
        assert (order.verdict == Verdict.supported) == decided
        assert order.p == pytest.approx(min(1.0, family * 2.0 ** (1 - n)))
        assert ("run more seeds" in order.reason) != decided


def test_a_family_is_corrected_together():
    low = np.zeros(6)
    alone = stats.judge_order(low, low + np.arange(1, 7))
    assert alone.verdict == Verdict.supported
    first, second = stats.judge_orders([(low, low + np.arange(1, 7)), (low, [1, -1, 1, -1, 1, -1])])
    assert first.p == pytest.approx(2 * alone.p) and first.verdict == Verdict.undecided
    assert second.p == 1.0


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((10.0, 12.0), "supported"), ((9.9, 12.0), "undecided"), ((8.0, 9.9), "refuted"), (None, "undecided")],
)
def test_judge_within(interval, verdict):
    evidence = Evidence.estimate if interval else Evidence.single
    assert stats.judge_within(Measurement(11.0, interval, evidence, n=6), low=10) == verdict
    assert stats.judge_within(Measurement(11.0, interval, evidence, n=5), low=10) == Verdict.undecided


def test_equal_values_of_few_runs_decide_nothing():
    """Accuracies are multiples of 1/1000: two runs often agree, and show an interval of width zero."""
    assert stats.judge_within(stats.mean_interval([0.025, 0.025]), -0.02, 0.02) == Verdict.undecided
    assert stats.judge_within(stats.mean_interval([0.025] * 6), -0.02, 0.02) == Verdict.refuted


def test_judge_within_other_cases():
    assert stats.judge_within(Measurement(11.0, None, Evidence.exact), low=10) == Verdict.supported
    difference = Measurement(0.0, (-0.01, 0.02), Evidence.estimate, n=10)
    assert stats.judge_within(difference, -0.03, 0.03) == Verdict.supported
    assert stats.judge_within(difference, high=-0.02) == Verdict.refuted
    with pytest.raises(ValueError, match="low must not exceed high"):
        stats.judge_within(difference, 1, 0)


def statement(verdict, headline=True):
    return Statement("a", "A.", Verdict(verdict), headline=headline)


@pytest.mark.parametrize("verdicts", list(itertools.product(["supported", "refuted", "undecided"], repeat=3)))
def test_combine(verdicts):
    expected = "refuted" if "refuted" in verdicts else "undecided" if "undecided" in verdicts else "supported"
    others = [statement("refuted", False), statement("excluded", False)]
    assert stats.combine([*map(statement, verdicts), *others]) == expected


def test_combine_needs_headlines_that_decide():
    with pytest.raises(ValueError, match="mark those that decide"):
        stats.combine([statement("refuted", False)])
    with pytest.raises(ValueError, match="headline 'a' is 'excluded'"):
        stats.combine([statement("supported"), statement("excluded")])


# ratio


def test_ratio_of_proportional_samples_is_known():
    b = np.random.default_rng(0).uniform(1, 2, 10)
    found = stats.ratio(12 * b, b)
    assert found.value == pytest.approx(12) and found.interval == pytest.approx((12, 12))
    assert stats.ratio([0.0, 0.0], [1.0, 2.0]).interval == (0.0, 0.0)


def test_ratio_with_few_pairs_is_linearised():
    a, b = np.array([10.0, 12.0, 11.0]), np.array([1.0, 1.1, 0.9])
    value = 33 / 3
    residuals = (a - value * b) / 1.0
    half = 4.302653 * residuals.std(ddof=1) / math.sqrt(3)
    found = stats.ratio(a, b)
    assert found.value == pytest.approx(value)
    assert found.interval == pytest.approx((value - half, value + half), abs=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("sign", [1, -1])
def test_ratio_interval_agrees_with_the_linearised_one_and_has_no_unit(unit, sign):
    rng = np.random.default_rng(1)
    a, b = rng.normal(20, 1, 30), rng.normal(2, 0.1, 30)
    found = stats.ratio(sign * unit * a, unit * b)
    value = sign * a.mean() / b.mean()
    half = 2.045 * ((sign * a - value * b) / b.mean()).std(ddof=1) / math.sqrt(30)
    assert found.value == pytest.approx(value)
    assert found.interval == pytest.approx((value - half, value + half), abs=0.3 * half)


def test_ratio_single_pair_and_errors():
    assert stats.ratio([20.0], [2.0]) == Measurement(10.0, None, Evidence.single, 1)
    with pytest.raises(ValueError, match="positive denominators; got 0"):
        stats.ratio([1.0, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="2 and 1 values cannot be paired"):
        stats.ratio([1.0, 1.0], [1.0])


# bad input


@pytest.mark.parametrize(
    "function",
    [
        stats.mean_interval,
        stats.prediction_interval,
        stats.sign_flip,
        stats.holm,
        lambda x: stats.published(x, 1),
    ],
)
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, "not empty"),
        ([[1.0, 2.0]], ValueError, "must be a row of numbers"),
        ([0.5, float("nan")], ValueError, "number 1 is nan"),
        ([float("inf"), 0.5], ValueError, "number 0 is inf"),
        (["a", "b"], TypeError, "must be numbers"),
    ],
)
def test_bad_values(function, values, error, message):
    with pytest.raises(error, match=message):
        function(values)


def test_bad_pairs_confidence_and_alternative():
    with pytest.raises(ValueError, match="give both sides the same seeds"):
        stats.judge_order([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="there is no pair to judge"):
        stats.judge_orders([])
    with pytest.raises(ValueError, match=r"did you mean 0\.95"):
        stats.mean_interval([1.0, 2.0], confidence=95.0)
    with pytest.raises(ValueError, match="two runs or more"):
        stats.mean_band(np.zeros((1, 4)))
