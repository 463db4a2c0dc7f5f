"""From seeds to intervals, tests and verdicts: the only place that says p.

Every function takes one number per independent run. SciPy is imported inside the functions: `scipy.stats` alone
takes longer to load than `flyroom --help` may take to answer.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from flyroom.records import Evidence, Measurement, Statement, Verdict

Alternative = Literal["two-sided", "greater", "less"]

LEVEL = 0.05  # of every test; the intervals are at 1 - LEVEL
RESAMPLES = 9_999
LARGEST_EXACT = 14  # sign patterns of up to this many pairs are enumerated: 2 ** 14 = 16,384


class Order(NamedTuple):
    """What became of "low < high": the mean paired difference high - low, its test, and a sentence of why."""

    difference: Measurement
    p: float  # two-sided, Holm-adjusted over the family
    verdict: Verdict
    reason: str


def mean_interval(values: ArrayLike, *, confidence: float = 0.95, seed: int = 0) -> Measurement:
    """The mean of independent values, with its confidence interval.

    The interval is Efron's bias-corrected and accelerated bootstrap (BCa; Efron 1987, JASA 82:171). It never
    leaves the range of the values, and the range of n draws from a symmetric law holds its centre with probability
    1 - 2^(1-n) only: below six values no bootstrap covers 95 %, and Student's t interval is given in its place.
    One value has no interval (`Evidence.single`); equal values have the interval of width zero that they show.

    Not to be confused with `prediction_interval`: this says where the mean over all seeds lies, not where the
    next run will fall.

    >>> mean_interval([0.2, 0.2, 0.2]).interval
    (0.2, 0.2)
    >>> low, high = mean_interval([1, 2, 3, 4, 5, 6, 7, 8]).interval
    >>> 2.5 < low < 4.5 < high < 6.5
    True

    Raises ValueError for empty values, NaN, infinities, and a confidence outside (0, 1).
    """
    x = _sample(values, "values")
    _check_confidence(confidence)
    if x.size == 1:
        return Measurement(float(x[0]), None, Evidence.single, 1)
    low, high = mean_band(x[:, None], confidence=confidence, seed=seed)
    return Measurement(_mean(x), (float(low[0]), float(high[0])), Evidence.estimate, x.size)


def mean_band(
    values: Float[np.ndarray, "run point"], *, confidence: float = 0.95, seed: int = 0
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """The interval of `mean_interval` at every point of a curve at once; needs two runs or more.

    The intervals are pointwise: 95 % of them hold their mean, not 95 % of the curves their whole band.
    """
    x = np.asarray(values, np.float64)
    _check_confidence(confidence)
    if x.ndim != 2 or x.shape[0] < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"values of shape {x.shape} cannot have a band: give finite numbers, (runs, points), two runs or more"
        )
    low, high = x.min(axis=0).copy(), x.max(axis=0).copy()
    spread = high > low
    if spread.any():
        # BCa takes third powers of deviations: centred and scaled, tiny ones do not underflow.
        centre, scale = low[spread], (high - low)[spread]
        inner = _mean_bounds((x[:, spread] - centre) / scale, confidence, seed)
        low[spread], high[spread] = centre + scale * inner[0], centre + scale * inner[1]
    return low, high


def prediction_interval(values: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Where one further run will fall: mean -+ t(n - 1) s sqrt(1 + 1/n), with s the sample standard deviation.

    Source: Hahn and Meeker, Statistical Intervals (1991), chapter 4, prediction of one future observation. Exact
    for normal values; n >= 2. With two runs it is honest, and enormous: t(1) is 12.7.

    >>> low, high = prediction_interval([0.0, 2.0])
    >>> round(low, 3), round(high, 3)
    (-21.008, 23.008)
    """
    from scipy.stats import t

    x = _sample(values, "values")
    _check_confidence(confidence)
    if x.size < 2:
        raise ValueError("one value shows no spread, so nothing can be predicted from it: give two runs or more")
    half = float(t.ppf((1 + confidence) / 2, x.size - 1) * _deviation(x) * math.sqrt(1 + 1 / x.size))
    return _mean(x) - half, _mean(x) + half


def sign_flip(differences: ArrayLike, *, alternative: Alternative = "two-sided", seed: int = 0) -> float:
    """The p-value of the paired sign-flip permutation test of the mean (Fisher 1935, section 21).

    Under the null hypothesis each difference is as likely as its negative. p is the share of sign patterns whose
    mean is at least as extreme as the one seen: all 2^n of them up to 14 differences (exact), 9,999 drawn with
    `seed` beyond (p is then at least 1/10,000 on each side). With n differences no two-sided p lies below
    2^(1-n): five pairs never reach 0.05.

    >>> sign_flip([1.0, 2.0, 3.0])
    0.25
    """
    from scipy.stats import permutation_test

    x = _sample(differences, "differences")
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"alternative {alternative!r} is not one of 'two-sided', 'greater', 'less'")
    if x.size == 1:  # SciPy wants two values; with one there are two patterns, and ties count as extreme
        agrees = {"two-sided": False, "greater": x[0] > 0, "less": x[0] < 0}[alternative]
        return 0.5 if agrees else 1.0
    test = permutation_test(
        (x,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**x.size if x.size <= LARGEST_EXACT else RESAMPLES,
        alternative=alternative,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def holm(p_values: ArrayLike) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979, Scand. J. Statist. 6:65).

    Rejecting what lies at or below 0.05 keeps the chance of one false rejection or more in the family at 5 %,
    whatever the dependence. Never larger than Bonferroni's n p.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = _sample(p_values, "p-values")
    if (p < 0).any() or (p > 1).any():
        raise ValueError(f"p-values lie in [0, 1]; got {p[(p < 0) | (p > 1)][0]:g}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(float(value) for value in adjusted)


def judge_orders(pairs: Sequence[tuple[ArrayLike, ArrayLike]], *, seed: int = 0) -> tuple[Order, ...]:
    """Judge a family of statements "low < high in the mean", each a pair of equally long samples paired by seed.

    Supported if the Holm-adjusted two-sided sign-flip p lies below 0.05 and the 95 % interval of the mean
    difference lies above 0; refuted if p does and the interval lies below 0; else undecided. Where the number of
    pairs alone rules out a decision, the reason says so, whatever the values.
    """
    if not pairs:
        raise ValueError("there is no pair to judge: give at least one (low, high) pair of samples")
    differences = [_differences(low, high) for low, high in pairs]
    adjusted = holm([sign_flip(values, seed=seed) for values in differences])
    reachable = holm([_smallest_p(len(values)) for values in differences])
    return tuple(map(_order, differences, adjusted, reachable, [seed] * len(differences)))


def judge_order(low: ArrayLike, high: ArrayLike, *, seed: int = 0) -> Order:
    """`judge_orders` of one pair alone: a family of one, so that p is the test's own."""
    return judge_orders([(low, high)], seed=seed)[0]


def judge_within(measurement: Measurement, low: float | int = -math.inf, high: float | int = math.inf) -> Verdict:
    """Judge "low <= the true value <= high" by the interval of a measurement.

    Supported if the interval lies inside, refuted if it lies outside, else undecided. So is anything that is not exact
    and has no interval, or fewer than six values behind it: two equal values show an interval of width zero. "At
    least 10 times" is `judge_within(ratio(a, b), low=10)`; "costs nothing" is `judge_within(difference, -0.02, 0.02)`
    with a margin that the claim states.
    """
    if not low <= high:
        raise ValueError(f"the bounds {low:g} and {high:g} hold nothing between them: low must not exceed high")
    interval = measurement.interval
    if measurement.evidence == Evidence.exact:
        interval = (measurement.value, measurement.value)
    elif not _bootstrap_covers(measurement.n, 1 - LEVEL):
        return Verdict.undecided
    if interval is None:
        return Verdict.undecided
    if low <= interval[0] and interval[1] <= high:
        return Verdict.supported
    return Verdict.refuted if interval[1] < low or high < interval[0] else Verdict.undecided


def published(values: ArrayLike, mean: float | int, plus_minus: float | int = 0.0) -> Verdict:
    """Compare our runs with a published figure mean +- plus_minus.

    Published figures are single runs, or few; so `compatible` if mean +- plus_minus meets the 95 % prediction
    interval of one run of ours, else `excluded`; undecided with fewer than two runs.
    """
    x = _sample(values, "values")
    if not (math.isfinite(mean) and math.isfinite(plus_minus) and plus_minus >= 0):
        raise ValueError(f"{mean} +- {plus_minus} is not a published figure: give finite numbers, +- not negative")
    if x.size < 2:
        return Verdict.undecided
    low, high = prediction_interval(x)
    return Verdict.compatible if low <= mean + plus_minus and mean - plus_minus <= high else Verdict.excluded


def ratio(numerator: ArrayLike, denominator: ArrayLike, *, seed: int = 0) -> Measurement:
    """mean(numerator) / mean(denominator), the pairs measured together, with its 95 % BCa interval.

    Below six pairs the interval is Student's, for the linearised ratio (Cochran 1977, Sampling Techniques,
    chapter 6). Pairs must be independent: runs that were trained in one batch share one wall time, and are one
    pair. Not to be confused with the mean of the ratios.

    Raises ValueError unless every denominator is positive.

    >>> ratio([20.0, 30.0], [2.0, 3.0]).value
    10.0
    """
    from scipy.stats import bootstrap

    a, b = _sample(numerator, "numerator"), _sample(denominator, "denominator")
    _check_pairs(a, b)
    if (b <= 0).any():
        raise ValueError(f"a ratio needs positive denominators; got {b.min():g}")
    value = _mean(a) / _mean(b)
    if a.size == 1:
        return Measurement(value, None, Evidence.single, 1)
    residuals = (a - value * b) / _mean(b)
    if np.ptp(residuals) <= 1e-12 * abs(value):  # one ratio throughout, up to rounding
        return Measurement(value, (value, value), Evidence.estimate, a.size)
    if not _bootstrap_covers(a.size, 1 - LEVEL):
        half = float(_student_half(residuals[:, None], 1 - LEVEL)[0])
        return Measurement(value, (value - half, value + half), Evidence.estimate, a.size)
    found = bootstrap(
        (a / _mean(a), b / _mean(b)) if _mean(a) else (a, b),
        lambda x, y, axis: np.mean(x, axis=axis) / np.mean(y, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    scale = value if _mean(a) else 1.0
    low, high = sorted((scale * float(found.low), scale * float(found.high)))
    return Measurement(value, (low, high), Evidence.estimate, a.size)


def combine(statements: Sequence[Statement]) -> Verdict:
    """The verdict on a claim: refuted if a headline statement is refuted, else undecided if one is undecided,
    else supported. Statements that are no headlines inform, and do not decide.
    """
    headlines = [statement for statement in statements if statement.headline]
    if not headlines:
        raise ValueError(f"none of {len(statements)} statements is a headline: mark those that decide the claim")
    for statement in headlines:
        if statement.verdict in (Verdict.compatible, Verdict.excluded):
            raise ValueError(
                f"headline {statement.id!r} is {statement.verdict.value!r}, which compares with a published figure and"
                " decides nothing: judge it supported, refuted or undecided, or let it be no headline"
            )
    verdicts = {statement.verdict for statement in headlines}
    return next((v for v in (Verdict.refuted, Verdict.undecided) if v in verdicts), Verdict.supported)


def _order(differences: np.ndarray, p: float, reachable: float, seed: int) -> Order:
    difference = mean_interval(differences, seed=seed)
    n, interval = differences.size, difference.interval
    if interval is None or reachable >= LEVEL:
        pairs = "1 pair" if n == 1 else f"{n} pairs"
        reason = f"{pairs} cannot decide: no p below {reachable:.2g} can be reached; run more seeds"
        return Order(difference, p, Verdict.undecided, reason)
    test = f"p = {p:.2g} over {n} pairs, interval [{interval[0]:.3g}, {interval[1]:.3g}]"
    if p < LEVEL and interval[0] > 0:
        return Order(difference, p, Verdict.supported, f"the difference is positive: {test}")
    if p < LEVEL and interval[1] < 0:
        return Order(difference, p, Verdict.refuted, f"the difference is negative: {test}")
    return Order(difference, p, Verdict.undecided, f"the difference is not resolved: {test}")


def _smallest_p(n: int) -> float:
    """The smallest two-sided p that `sign_flip` can give: all signs alike, or no drawn pattern as extreme."""
    return 2.0 ** (1 - n) if n <= LARGEST_EXACT else 2 / (RESAMPLES + 1)


def _mean_bounds(x: np.ndarray, confidence: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the mean over axis 0, for columns that are not constant."""
    from scipy.stats import bootstrap

    if not _bootstrap_covers(x.shape[0], confidence):
        half, centre = _student_half(x, confidence), x.mean(axis=0)
        return centre - half, centre + half
    found = bootstrap(
        (x,),
        np.mean,
        axis=0,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        batch=max(1, 10_000_000 // x.size),  # 80 MB at a time
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return found.low, found.high


def _student_half(x: Float[np.ndarray, "run point"], confidence: float) -> Float[np.ndarray, " point"]:
    from scipy.stats import t

    return np.asarray(t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(axis=0, ddof=1) / math.sqrt(len(x)))


def _bootstrap_covers(n: int, confidence: float) -> bool:
    return 1 - 2.0 ** (1 - n) >= confidence


def _sample(values: ArrayLike, what: str) -> Float[np.ndarray, " n"]:
    try:
        x = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be numbers, one per run; got {values!r:.80}") from None
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"{what} must be a row of numbers, one per run, and not empty; got shape {x.shape}")
    if not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x))[0])
        raise ValueError(f"{what} must be finite; number {bad} is {x[bad]}: leave such runs out, and say so")
    return x


def _differences(low: ArrayLike, high: ArrayLike) -> Float[np.ndarray, " n"]:
    a, b = _sample(low, "low"), _sample(high, "high")
    _check_pairs(a, b)
    return b - a


def _check_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if a.size != b.size:
        raise ValueError(f"{a.size} and {b.size} values cannot be paired: give both sides the same seeds, in order")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence:g} does not lie between 0 and 1; did you mean 0.95?")


def _mean(x: np.ndarray) -> float:
    """The mean, exact for equal values (summing and dividing may miss them by a bit)."""
    return float(x[0]) if (x == x[0]).all() else float(x.mean())


def _deviation(x: np.ndarray) -> float:
    return 0.0 if (x == x[0]).all() else float(x.std(ddof=1))
