"""Double descent: the statements, each a function from results by seed to verdicts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flyroom import stats
from flyroom.claims import _double_descent_figures as figures
from flyroom.claims import _double_descent_sweeps as sweeps
from flyroom.claims._double_descent import CNN_FIRST, CNN_PEAK, EXAMPLES, PUBLISHED, Protocol
from flyroom.claims._double_descent_sweeps import Sweep
from flyroom.claims.statements import against_published, difference, unmeasured, within
from flyroom.records import Result, Statement

NO_PEAK = 0.01  # the published figure is in whole per cent: what it cannot show is no peak
A_POINT = 0.01  # the same, for a rise or a fall in the course of training
NEAR = 2.0  # "at the threshold": within a factor 2 in parameters; the published peaks lie at 0.6 to 1 of it
PEAK_P_N = (1.05, 1.7)  # the published range of the threshold, rounded; n = 61 lies at 1.73


def shape(
    results: Sequence[Result], main: Sweep, plan: Protocol, beside: Sequence[Sweep], far_channels: int
) -> list[Statement]:
    """Start > first minimum < peak > end, and the end against the first minimum: one family, paired by seed.

    The start is the smallest size that is run; where none is smaller than the first minimum, nothing is said of it.
    """
    compared = [(main, "MLP", "n", (plan.first, plan.peak, plan.far))]
    compared += [(one, "CNN", "c", (CNN_FIRST, CNN_PEAK, far_channels)) for one in beside]
    names, pairs, published = [], [], []
    for one, net, letter, (first, peak, far) in compared:
        # The MLP was published to end below its first minimum, the CNN above.
        ends = (far, first) if net == "MLP" else (first, far)
        orders = [("rises", first, peak), ("falls", far, peak), ("ends", *ends)]
        known = figures.published_errors(results, one)
        for what, low, high in [("descends", first, one.sizes[0])] * (one.sizes[0] < first) + orders:
            names.append((f"{net}-{what}".lower(), f"{net}, noise: {letter} = {low} errs less than {letter} = {high}"))
            found = sweeps.table_of_errors(results, one, (low, high))[1]  # of the seeds that both have
            pairs.append((found[:, 0], found[:, 1]))
            both = low in known and high in known
            published.append(f"{known[high] - known[low]:.1f} %" if both else "")
    return [
        difference(name, sentence, order, headline=True, published=text)
        for (name, sentence), order, text in zip(names, stats.judge_orders(pairs), published, strict=True)
    ]


def at_threshold(results: Sequence[Result], one: Sweep, first: int) -> Statement:
    """Peak against threshold, in parameters, by seed: both are found in the curve of the same seed."""
    net = one.net.upper()
    name, sentence = f"{one.net}-at-threshold", f"{net}: the peak is within a factor {NEAR:g} of the threshold"
    published = {"mlp": "0.7 times", "cnn": "0.6 times"}[one.net] if figures.published_errors(results, one) else ""
    thresholds = sweeps.thresholds(results, one, first)
    if not np.isfinite(thresholds).all():
        left = unmeasured(name, f"{sentence} (not all seeds reach it)", published)
        return replace(left, headline=True)
    ratio = sweeps.mean_ratio(sweeps.at_peak(results, one, first) / thresholds)
    return within(name, sentence, ratio, low=1 / NEAR, high=NEAR, unit="times", headline=True, published=published)


def peak_p_n(results: Sequence[Result], main: Sweep, first: int) -> Statement:
    """Parameters per training example at the peak of the MLP."""
    low, high = PEAK_P_N
    found = sweeps.mean_ratio(sweeps.at_peak(results, main, first) / EXAMPLES)
    return within("mlp-peak-p-n", f"MLP: P/N at the peak is {low} to {high}", found, low=low, high=high, unit="times")


def without_noise(results: Sequence[Result], clean: Sweep, plan: Protocol) -> list[Statement]:
    """No peak where there was one with noise, and a fall all the same."""
    first, peak, far = (sweeps.errors(results, clean, size) for size in (plan.first, plan.peak, plan.far))
    rise = stats.mean_interval(np.subtract(peak, first))
    (fall,) = stats.judge_orders([(far, peak)])
    known = PUBLISHED["mlp", "clean"]  # without noise there is the published protocol alone
    return [
        within(
            "mlp-clean-no-peak",
            f"MLP, no noise: n = {plan.peak} is no peak (< {100 * NO_PEAK:.0f} % above n = {plan.first})",
            rise,
            high=NO_PEAK,
            published=f"{known[plan.peak] - known[plan.first]:.1f} %",
        ),
        difference(
            "mlp-clean-falls",
            f"MLP, no noise: n = {plan.far} errs less than n = {plan.peak}",
            fall,
            published=f"{known[plan.peak] - known[plan.far]:.1f} %",
        ),
    ]


def fewer(results: Sequence[Result], main: Sweep, others: Sequence[Sweep]) -> list[Statement]:
    """Does the peak move with the number of examples? Located seed by seed on the widths that both sweeps have."""
    pairs, statements = [], []
    for one in others:
        sizes = tuple(size for size in one.sizes if size in main.sizes)
        few, many = sweeps.paired_peaks(results, one, main, sizes)
        pairs.append((np.log2(few), np.log2(many)))
        ratio = sweeps.mean_ratio((few / one.examples) / (many / main.examples))
        statements.append(
            within(
                f"p-n-{one.examples}",
                f"{one.examples} examples: P/N at the peak is within a factor {NEAR:g} of that with {EXAMPLES}",
                ratio,
                low=1 / NEAR,
                high=NEAR,
                unit="times",
            )
        )
    orders = stats.judge_orders(pairs) if pairs else ()
    moved = [
        replace(
            difference(f"moves-{one.examples}", f"{one.examples} examples: the peak is at fewer parameters", order),
            unit="log2 parameters",
        )
        for one, order in zip(others, orders, strict=True)
    ]
    return [*moved, *statements]


def while_training(results: Sequence[Result], main: Sweep, far: int) -> list[Statement]:
    """Epoch-wise double descent of the widest MLP: a rise of a point or more, then a fall of a point or more."""
    rise, fall = sweeps.epoch_wise(results, main, far)
    point = f"{100 * A_POINT:.0f} %"
    return [
        within(
            f"epochs-{name.split()[0]}", f"MLP, n = {far}: in training the error {name} by {point}", found, low=A_POINT
        )
        for name, found in (("rises", rise), ("falls again", fall))
    ]


def as_published(results: Sequence[Result], every: Sequence[Sweep]) -> list[Statement]:
    """Each published error at a size that is run, beside ours; it is one run, printed without a spread.

    Only where protocol and noise are the published ones.
    """
    statements = []
    for one in every:
        known = figures.published_errors(results, one)
        for size in one.sizes:
            if size in known:
                found = against_published(
                    f"published-{one.net}-{one.labels}-{size}",
                    f"{figures.panel(one)}, {figures.LETTER[one.net]} = {size}: as published",
                    sweeps.errors(results, one, size),
                    known[size] / 100,
                    0.0,
                )
                statements.append(found)
    return statements
