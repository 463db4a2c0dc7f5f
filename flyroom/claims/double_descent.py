"""Claim: with noisy labels the test error falls, rises to a peak where all is just fitted, and falls again.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), section 4.3 and
its figure "Deep double descent", and the notebook `deep-double-descent`, whose printed numbers are compared here.

Protocol: MNIST-1D, 16,000 samples of seed 42, a quarter to train on; 15 % of the 4000 training labels drawn anew (577
are wrong), the test labels clean. An MLP 40-n-n-10 and a CNN with c, c, c channels, PyTorch's first weights; SGD with
rate 0.01 and momentum 0.9, batches of 100, shuffled each epoch, 500 epochs = 20,000 updates; the error after the last.
The seed drives first weights and batches; the data, wrong labels included, are the published ones for all seeds.

Compared are widths that the published figures name: n = 16 (first minimum), 47 (peak), 300 (end); c = 10, 18, 50. They
were chosen before any run of ours, so that no minimum and no peak is picked on the seeds that judge it.

Predicted before the first run, from the published figures. Test error with noise: MLP 48 +- 2 % at n = 16, 54 +- 2 % at
47, 45.5 +- 1.5 % at 300; CNN 21 +- 2.5 % at c = 10, 32 +- 2.5 % at 18, 28.7 +- 1.5 % at 50. Without noise: 44.6 +- 2 %,
41 +- 1.5 %, 37.3 +- 1.5 %, no peak. Peak of the MLP at P/N 1.0 to 1.7. All headlines hold. Not published, predicted all
the same: the peak's width falls with fewer examples, to n = 27 for 2000 and n = 16 for 1000; at n = 300 the test error
rises by 3 +- 2 points in the course of training and then falls by 1.5 +- 1.5, so that a fall of a point is not certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import jax
import numpy as np

from flyroom import stats, train
from flyroom.claims import _double_descent_figures as figures
from flyroom.claims import _double_descent_sweeps as sweeps
from flyroom.claims import _runs
from flyroom.claims._double_descent import (
    CHANNELS,
    CNN_FIRST,
    CNN_LAST,
    CNN_PEAK,
    EXAMPLES,
    PROTOCOLS,
    PUBLISHED,
    Protocol,
    data,
    network,
    parameters,
)
from flyroom.claims._double_descent_sweeps import Sweep
from flyroom.claims._statements import against_published, difference, unmeasured, within
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="double-descent",
    version=1,
    title="Double descent in the width of a network",
    sentence="With noisy labels the test error of an MLP and of a CNN falls with their size, rises to a peak where "
    "the training data are just fitted, and falls again.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), figure "
    "Deep double descent, and the notebook deep-double-descent",
    prediction="Test error with 15 % noise: MLP 48 +- 2 % at n = 16, 54 +- 2 % at n = 47, 45.5 +- 1.5 % at n = 300; "
    "CNN 21 +- 2.5 % at 10 channels, 32 +- 2.5 % at 18, 28.7 +- 1.5 % at 50. The MLP ends below its first minimum, the "
    "CNN above. Without noise the MLP has 44.6 +- 2, 41 +- 1.5, 37.3 +- 1.5 % and no peak. The MLP's peak lies at "
    "P/N 1.0 to 1.7; with 2000 examples at n = 27, with 1000 at n = 16. While the widest MLP trains, the test error "
    "rises by 3 +- 2 points and falls by 1.5 +- 1.5.",
    cost_s=540.0,
    shortened="Nine of the 19 published widths and six of the 29 numbers of channels, the largest of them 50 instead "
    "of 100; epochs and examples are the published ones. Check: one seed with 100 channels ended at 27.5 %, with 50 at "
    "28.6 % (published 27.7 and 28.7), so that the fall from the peak is judged where it is smaller.",
)

NO_PEAK = 0.01  # the published figure is in whole per cent: what it cannot show is no peak
A_POINT = 0.01  # the same, for a rise or a fall in the course of training
NEAR = 2.0  # "at the threshold": within a factor 2 in parameters; the published peaks lie at 0.6 to 1 of it
PEAK_P_N = (1.05, 1.7)  # where the published training error reaches zero
FEWER_WIDTHS = (9, 16, 27, 47, 80)  # of the sweeps over numbers of examples


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. The compared sizes are always run; lists name further ones."""

    runs: int = 10  # networks (seeds) of each MLP with noise, and of the three CNNs that are compared
    sweep_runs: int = 8  # networks (seeds) of every other setting
    protocol: str = "mnist1d"  # or udl-8.3, the notebook of the book Understanding Deep Learning (MLP alone)
    epochs: int = 0  # of 4000 examples; 0 means as published: 500, in udl-8.3 1000
    widths: str = "4 9 27 36 61 80"  # further hidden widths, with noise
    clean_widths: str = "4 27"  # further hidden widths, without noise
    channels: str = "4 14 24"  # further numbers of channels
    far_channels: int = 50  # where the CNN's sweep ends; published 100
    fewer_examples: str = "1000 2000"  # further numbers of training examples, for the MLP with noise
    noise: float = 0.15  # share of the training labels drawn anew
    noise_from: str = "published"  # or seed: wrong labels of their own for each seed (takes twice the time)
    batch: int = 100  # examples an update
    learning_rate: float = 0.01  # of SGD with momentum 0.9


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: the compared sizes, two seeds, a few epochs. It decides nothing."""
    few = {"runs": min(settings.runs, 2), "sweep_runs": min(settings.sweep_runs, 2)}
    nothing_else = {"widths": "", "clean_widths": "", "channels": "", "fewer_examples": "", "far_channels": 24}
    return {**few, **nothing_else, "epochs": min(settings.epochs or 4, 4)}


def faithful(settings: Settings) -> dict[str, Any]:
    """All published widths and numbers of channels, ten seeds of each."""
    widths = _text(PROTOCOLS[settings.protocol].widths)
    every = {"widths": widths, "clean_widths": widths, "channels": _text(CHANNELS), "far_channels": CNN_LAST}
    return {**every, "sweep_runs": max(settings.runs, settings.sweep_runs)}


def cells(settings: Settings) -> list[Cell]:
    """All runs that are wanted: for each network, size, kind of labels and number of examples one cell.

    Raises ValueError for a setting that cannot be run; the sentence says what is allowed.
    """
    _check(settings)
    compared = {(one.net, size) for one in _sweeps(settings)[:1] for size in one.sizes}
    compared |= {("cnn", size) for size in (CNN_FIRST, CNN_PEAK, settings.far_channels)}
    wanted = []
    for one in _sweeps(settings):
        for size in one.sizes:
            main = one.labels == "noisy" and one.examples == EXAMPLES and (one.net, size) in compared
            seeds = range(settings.runs if main else settings.sweep_runs)
            wanted.append(Cell(tuple(_run(settings, one, size, seed) for seed in seeds)))
    return wanted


def _check(settings: Settings) -> None:
    _runs.require_positive(settings, "runs", "sweep_runs", "far_channels", "batch")
    if settings.protocol not in PROTOCOLS:
        raise ValueError(f"there is no protocol {settings.protocol!r}; there are {', '.join(PROTOCOLS)}")
    if settings.noise_from not in ("published", "seed"):
        raise ValueError(f"noise_from {settings.noise_from!r} is neither 'published' nor 'seed'")
    if not 0 < settings.noise <= 1:
        raise ValueError(f"noise {settings.noise} must be above 0 and at most 1; 0.15 is the published one")
    if settings.epochs < 0:
        raise ValueError(f"epochs {settings.epochs} must be at least 1, or 0 for as many as were published")
    if settings.far_channels <= CNN_PEAK:
        raise ValueError(f"far_channels {settings.far_channels} must lie beyond the published peak, {CNN_PEAK}")
    if not 0 < settings.learning_rate < float("inf"):
        raise ValueError(f"learning_rate {settings.learning_rate} must be finite and above 0")
    counts = _numbers("fewer_examples", settings.fewer_examples)
    if counts and not max(100, settings.batch) <= min(counts) <= max(counts) < EXAMPLES:
        raise ValueError(
            f"fewer_examples {settings.fewer_examples!r}: each must be below {EXAMPLES}, at least 100, and fill a batch"
        )
    if settings.batch > EXAMPLES:
        raise ValueError(f"a batch of {settings.batch} cannot be taken from {EXAMPLES} examples")


def _numbers(name: str, text: str) -> tuple[int, ...]:
    """Positive whole numbers from a list in one string: "4 9 27", commas allowed."""
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f'{name} {text!r} is not a list of positive whole numbers such as "4 9 27"')
    return tuple(int(word) for word in words)


def _text(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def _sweeps(settings: Settings) -> list[Sweep]:
    """What is swept: the MLP with noise first, then what the protocol has beside it."""
    plan = PROTOCOLS[settings.protocol]
    three = (plan.first, plan.peak, plan.far)

    def of(net: str, labels: str, compared: tuple[int, ...], name: str) -> Sweep:
        further = _numbers(name, getattr(settings, name))
        return Sweep(net, labels, EXAMPLES, tuple(sorted({*compared, *further})))

    if settings.protocol != "mnist1d":
        return [of("mlp", "noisy", three, "widths")]
    return [
        of("mlp", "noisy", three, "widths"),
        of("mlp", "clean", three, "clean_widths"),
        of("cnn", "noisy", (CNN_FIRST, CNN_PEAK, settings.far_channels), "channels"),
        *(Sweep("mlp", "noisy", count, FEWER_WIDTHS) for count in _numbers("fewer_examples", settings.fewer_examples)),
    ]


def _epochs(settings: Settings) -> int:
    return settings.epochs or PROTOCOLS[settings.protocol].epochs


def _run(settings: Settings, one: Sweep, size: int, seed: int) -> Run:
    shown = ("runs", "sweep_runs", "epochs", "widths", "clean_widths", "channels", "far_channels", "fewer_examples")
    changed = _runs.differing(settings, *shown, "noise", "noise_from")  # the noise is in the data's recipe
    if _epochs(settings) != PROTOCOLS[settings.protocol].epochs:
        changed["epochs"] = settings.epochs
    place = {"net": one.net, "size": size, "labels": one.labels, "examples": one.examples}
    return Run(
        ABOUT.id, ABOUT.version, {**place, **changed}, seed, _data(settings, one.labels, one.examples, seed).recipe
    )


def _data(settings: Settings, labels: str, examples: int, seed: int):
    noise = settings.noise if labels == "noisy" else 0.0
    # One entry of the cache for all seeds, unless each has labels of its own.
    return data(
        settings.protocol, noise, settings.noise_from, seed if settings.noise_from == "seed" and noise else 0, examples
    )


def cost(run: Run) -> float:
    """Seconds of one core, roughly: measured at ten sizes."""
    size, plan = run.settings["size"], PROTOCOLS[run.settings.get("protocol", "mnist1d")]
    if run.settings["net"] == "mlp":
        step_us = 60 + 0.007 * parameters("mlp", size)
    else:
        step_us = 70 + 0.0097 * (45 * size**2 + 145 * size)  # products of an example: 45 c^2 + 145 c
    epochs = run.settings.get("epochs", plan.epochs)
    return step_us * 1e-6 * epochs * (EXAMPLES // run.settings.get("batch", Settings().batch))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side; where each seed has its own labels, one after another."""
    first = cell.runs[0].settings
    epochs, per_epoch = _epochs(settings), EXAMPLES // settings.batch
    steps = epochs * per_epoch  # fewer examples are seen more often: the number of updates is the same
    moments = tuple(
        per_epoch * epoch for epoch in sorted({0, *np.geomspace(1, epochs, 15).round().astype(int).tolist()})
    )
    found = []
    for _, group in groupby(cell.runs, key=lambda one: str(one.data)):
        runs = list(group)
        dataset = _data(settings, first["labels"], first["examples"], runs[0].seed)
        trained = _runs.classifiers(
            runs,
            [network(first["net"], first["size"], jax.random.key(one.seed), settings.protocol) for one in runs],
            dataset,
            [train.shuffled(len(dataset.x_train), settings.batch, steps, one.seed) for one in runs],
            learning_rate=settings.learning_rate,
            evaluate_after=moments,
            optimiser=_runs.momentum,
        )
        for one in trained:
            epoch = [step / per_epoch for step in one.curves["step"]]
            left = {f"{part}_error": 1 - one.values[f"{part}_accuracy"] for part in ("train", "test")}
            found.append(replace(one, values={**one.values, **left}, curves={**one.curves, "epoch": epoch}))
    return found


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    plan, (main, *others) = PROTOCOLS[settings.protocol], _sweeps(settings)
    beside = [one for one in others if one.labels == "noisy" and one.examples == EXAMPLES]
    statements = [*_shape(results, main, plan, beside), _at_threshold(results, main, plan.first, headline=True)]
    statements += [_at_threshold(results, one, CNN_FIRST) for one in beside]
    at_peak = sweeps.mean_ratio(sweeps.at_peak(results, main, plan.first) / EXAMPLES)
    low_high = f"{PEAK_P_N[0]} to {PEAK_P_N[1]}"
    statements.append(
        within(
            "mlp-peak-p-n",
            f"MLP: P/N at the peak is {low_high}",
            at_peak,
            low=PEAK_P_N[0],
            high=PEAK_P_N[1],
            unit="times",
        )
    )
    for one in others:
        if one.labels == "clean":
            statements += _without_noise(results, one, plan)
    statements += _fewer(results, main, [one for one in others if one.examples != EXAMPLES])
    statements += _while_training(results, main, plan.far)
    if settings.protocol == "mnist1d":
        statements += _as_published(results, [main, *others])
    nets = "MLP and of the CNN" if settings.protocol == "mnist1d" else "MLP"
    return _runs.judgement(
        ABOUT,
        results,
        statements,
        f"With noisy labels the test error of the {nets} falls, rises to a peak and falls again; the MLP's peak lies "
        "where the training data are just fitted.",
        table=figures.table(results, _sweeps(settings)),
    )


def _shape(results: Sequence[Result], main: Sweep, plan: Protocol, beside: Sequence[Sweep]) -> list[Statement]:
    """First minimum < peak > end, and the end against the first minimum: one family, paired by seed."""
    compared = [(main, "MLP", "n", (plan.first, plan.peak, plan.far))]
    compared += [(one, "CNN", "c", (CNN_FIRST, CNN_PEAK, one.sizes[-1])) for one in beside]
    names, pairs, published = [], [], []
    for one, net, letter, (first, peak, far) in compared:
        # The MLP was published to end below its first minimum, the CNN above.
        ends = (far, first) if net == "MLP" else (first, far)
        for what, low, high in (("rises", first, peak), ("falls", far, peak), ("ends", *ends)):
            names.append((f"{net}-{what}".lower(), f"{net}, noise: {letter} = {low} errs less than {letter} = {high}"))
            pairs.append((sweeps.errors(results, one, low), sweeps.errors(results, one, high)))
            known = PUBLISHED[one.net, one.labels] if plan == PROTOCOLS["mnist1d"] else {}
            both = low in known and high in known
            published.append(f"{known[high] - known[low]:.1f} %" if both else "")
    found = stats.judge_orders(pairs)
    return [
        difference(name, sentence, order, headline=True, published=text)
        for (name, sentence), order, text in zip(names, found, published, strict=True)
    ]


def _at_threshold(results: Sequence[Result], one: Sweep, first: int, *, headline: bool = False) -> Statement:
    """Peak against threshold, in parameters, by seed: both are found in the curve of the same seed."""
    net = one.net.upper()
    name, sentence = f"{one.net}-at-threshold", f"{net}: the peak is within a factor {NEAR:g} of the threshold"
    published = "0.7 times" if one.net == "mlp" else "0.6 times"
    thresholds = sweeps.thresholds(results, one, first)
    if not np.isfinite(thresholds).all():
        left = unmeasured(name, f"{sentence} (not all seeds reach it)", published)
        return replace(left, headline=headline)
    ratio = sweeps.mean_ratio(sweeps.at_peak(results, one, first) / thresholds)
    return within(name, sentence, ratio, low=1 / NEAR, high=NEAR, unit="times", headline=headline, published=published)


def _without_noise(results: Sequence[Result], clean: Sweep, plan: Protocol) -> list[Statement]:
    first, peak, far = (sweeps.errors(results, clean, size) for size in (plan.first, plan.peak, plan.far))
    rise = stats.mean_interval(np.subtract(peak, first))
    (fall,) = stats.judge_orders([(far, peak)])
    known = PUBLISHED["mlp", "clean"]
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


def _fewer(results: Sequence[Result], main: Sweep, fewer: Sequence[Sweep]) -> list[Statement]:
    """Does the peak move with the number of examples? Located seed by seed on the widths that both sweeps have."""
    pairs, statements = [], []
    for one in fewer:
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
        for one, order in zip(fewer, orders, strict=True)
    ]
    return [*moved, *statements]


def _while_training(results: Sequence[Result], main: Sweep, far: int) -> list[Statement]:
    """Epoch-wise double descent of the widest MLP: a rise of a point or more, then a fall of a point or more."""
    rise, fall = sweeps.epoch_wise(results, main, far)
    point = f"{100 * A_POINT:.0f} %"
    return [
        within(
            f"epochs-{name.split()[0]}", f"MLP, n = {far}: in training the error {name} by {point}", found, low=A_POINT
        )
        for name, found in (("rises", rise), ("falls again", fall))
    ]


def _as_published(results: Sequence[Result], every: Sequence[Sweep]) -> list[Statement]:
    """Each published error at a size that is run, beside ours; it is one run, printed without a spread."""
    statements = []
    for one in every:
        known = PUBLISHED.get((one.net, one.labels), {}) if one.examples == EXAMPLES else {}
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


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Error against parameters; against epochs for the widest MLP; against parameters for each number of examples."""
    return figures.draw(results, judgement)
