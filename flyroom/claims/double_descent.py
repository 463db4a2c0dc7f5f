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

from flyroom import train
from flyroom.claims import _double_descent_figures as figures
from flyroom.claims import _double_descent_statements as said
from flyroom.claims import trials
from flyroom.claims._double_descent import (
    CHANNELS,
    CNN_FIRST,
    CNN_LAST,
    CNN_PEAK,
    EXAMPLES,
    NOISE,
    PROTOCOLS,
    data,
    network,
    parameters,
)
from flyroom.claims._double_descent_sweeps import Sweep
from flyroom.records import About, Cell, Json, Judgement, Result, Run

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
    cost_s=250.0,
    shortened="Nine of the 19 published widths and six of the 29 numbers of channels, the largest of them 50 instead "
    "of 100; epochs and examples are the published ones. Check: one seed with 100 channels ended at 27.5 %, with 50 at "
    "28.6 % (published 27.7 and 28.7), so that the fall from the peak is judged where it is smaller.",
)

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
    noise: float = NOISE  # share of the training labels drawn anew
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
    if settings.protocol not in PROTOCOLS:
        return {}  # `cells` says what there is
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
            wanted.append(Cell(tuple(_run(settings, one, size, seed) for seed in seeds), ahead=True))
    return wanted


def _check(settings: Settings) -> None:
    trials.require_positive(settings, "runs", "sweep_runs", "far_channels", "batch")
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
    """Positive whole numbers from a list in one string: "4 9 27", commas allowed; each of them once."""
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ValueError(f'{name} {text!r} is not a list of positive whole numbers such as "4 9 27"')
    return tuple(dict.fromkeys(int(word) for word in words))


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
    changed = trials.differing(settings, *shown, "noise", "noise_from")  # the noise is in the data's recipe
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
        trained = trials.classifiers(
            runs,
            [network(first["net"], first["size"], jax.random.key(one.seed), settings.protocol) for one in runs],
            dataset,
            [train.shuffled(len(dataset.x_train), settings.batch, steps, one.seed) for one in runs],
            learning_rate=settings.learning_rate,
            evaluate_after=moments,
            optimiser=trials.momentum,
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
    statements = [
        *said.shape(results, main, plan, beside, settings.far_channels),
        said.at_threshold(results, main, plan.first),
        *(said.at_threshold(results, one, CNN_FIRST) for one in beside),
        said.peak_p_n(results, main, plan.first),
    ]
    for one in others:
        if one.labels == "clean":
            statements += said.without_noise(results, one, plan)
    statements += said.fewer(results, main, [one for one in others if one.examples != EXAMPLES])
    statements += said.while_training(results, main, plan.far)
    statements += said.as_published(results, [main, *others])
    nets, peaks = ("MLP and of the CNN", "both peaks lie") if beside else ("MLP", "the peak lies")
    descents = sum(one.id.endswith("descends") for one in statements)
    falls = "falls, " if descents == 1 + len(beside) else ""  # no smaller size was run: only the rise was judged
    return trials.judgement(
        ABOUT,
        results,
        statements,
        f"With noisy labels the test error of the {nets} {falls}rises to a peak and falls again; {peaks} where the "
        "training data are just fitted.",
        table=figures.table(results, _sweeps(settings)),
    )


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Error against parameters; against epochs for the widest MLP; against parameters for each number of examples."""
    return figures.draw(results, judgement)
