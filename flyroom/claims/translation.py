"""Claim: what a CNN is ahead of an MLP on MNIST-1D is the translation of the digits.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), section 3, which
explains the order of Table 1 by spatial priors. The table has one point, digits shifted by 0 to 47 places; the curve is
our own question, and its predictions are ours.

Protocol: the MLP and the CNN of Table 1, 4000 training examples, Adam at 1e-2, batches of 100 in the order of the
data, 6000 updates; test accuracy after the last one. Only `max_translation` of the generator is changed: a digit is
shifted by 0 to max_translation - 1 of 72 places, so that 1 is no shift at all. Then, at the published 48, only the
padding is changed, which stands for how much of the signal is a digit. The indexed stream draws the same random numbers
for every setting. The seed of a run draws its first weights and its training examples; one test set of 10,000 serves
all seeds of a setting.

The published accuracies (MLP 68 +- 2, CNN 94 +- 2) leave a gap of 26 points at 48.

Predicted before the first run: without shifts the MLP has 95 +- 3 % and the CNN 96 +- 3 %, a gap of 1 +- 3 points; at
8 it is 6 +- 4, at 16 13 +- 5, at 24 19 +- 5, at 36 25 +- 5, at 48 28 +- 4. It rises at each of the five steps in the
mean, and by 27 +- 5 points from 1 to 48. Padding of at most 48 in place of 60 (longer digits on a shorter signal, which
now go across the end) gives 25 +- 6, of at most 84 32 +- 8.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from flyroom import plot, stats, train
from flyroom.claims import _nested, trials
from flyroom.claims._book import descent, he_uniform
from flyroom.claims.statements import against_published, bounds, difference, percent_with_interval, within
from flyroom.nets.conv import CNN
from flyroom.nets.mlp import MLP
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="translation",
    version=1,
    title="What translation does to a network without a spatial prior",
    sentence="What a CNN is ahead of an MLP on MNIST-1D comes from the translation of the digits: nearly nothing "
    "without it, and the more the farther they are shifted.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), section 3 and "
    "Table 1, which has the point at 48; the curve is our own question",
    prediction="Our prediction: the gap between CNN and MLP is 1 +- 3 points without shifts (95 and 96 %), 6 +- 4 at "
    "8, 13 +- 5 at 16, 19 +- 5 at 24, 25 +- 5 at 36, 28 +- 4 at 48: it rises at each step, and by 27 +- 5 in all.",
    cost_s=80.0,
)

NETS = ("mnist1d-mlp", "mnist1d-cnn")
LABELS = {"mnist1d-mlp": "MLP", "mnist1d-cnn": "CNN"}
SHIFTS = (1, 8, 16, 24, 36, 48)
PADDINGS = (48, 84)  # most padding; the least is 24 below, as in the published 36 to 60
PUBLISHED_PADDING = 60
PUBLISHED: Mapping[str, tuple[float, float]] = {"mnist1d-mlp": (0.68, 0.02), "mnist1d-cnn": (0.94, 0.02)}

# Of *Understanding Deep Learning*, notebook 10.2 and Figure 10.7: three convolutions, 2,050 parameters, and dense
# layers of as many hidden units, 59,065; gradient descent at 0.05 with momentum 0.9, halved every 20 epochs of 40
# updates.
BOOK_WIDTHS = (40, 285, 135, 60, 10)
BOOK_RATE, BOOK_DESCENT = 0.05, descent(0.9, 20 * 40)
NETWORKS = ("benchmark", "book")

EXAMPLES = 4000
LARGE = 0.10  # the gap at 48 exceeds the gap at 1 by ten points or more: two and a half times the table's +- of a gap
NOTHING = 0.04  # "nearly nothing": the +- 2 of the table for either network

# Microseconds of one core a step, measured roughly; only progress depends on them.
COST_US = {"mnist1d-mlp": 120, "mnist1d-cnn": 290}


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but `runs` and `padding` is part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind at each setting
    networks: str = "benchmark"  # or "book": those of Understanding Deep Learning, notebook 10.2, trained its way
    padding: bool = True  # change the padding as well
    steps: int = 6000  # updates
    batch: int = 100  # examples an update
    learning_rate: float = 0.01  # Adam's; the book's networks have their own
    test: int = 10_000  # test examples


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "padding": False,
        "steps": min(settings.steps, 300),
        "test": min(settings.test, 1000),
    }


def cells(settings: Settings) -> list[Cell]:
    """Both networks at each translation, and at each padding.

    Raises ValueError for counts below 1, a batch above the training set, a rate that is none or has no part, and
    networks that are not offered.
    """
    trials.require_positive(settings, "runs", "steps", "batch")
    trials.require_rate(settings)
    _nested.require_test(settings.test)
    if settings.networks not in NETWORKS:
        raise ValueError(f"networks {settings.networks!r}: choose {' or '.join(NETWORKS)}")
    if settings.networks == "book" and settings.learning_rate != Settings().learning_rate:
        raise ValueError(
            f"learning_rate {settings.learning_rate} has no part in networks=book, which has {BOOK_RATE}; leave it out"
        )
    if settings.batch > EXAMPLES:
        raise ValueError(f"a batch of {settings.batch} cannot be taken from {EXAMPLES} examples")
    changed = trials.differing(settings, "runs", "padding", "test")
    conditions = [(shift, PUBLISHED_PADDING) for shift in SHIFTS]
    if settings.padding:
        conditions += [(SHIFTS[-1], most) for most in PADDINGS]
    wanted = []
    for net in NETS:
        for place, (shift, most) in enumerate(conditions):
            recipe = _nested.recipe(EXAMPLES, settings.test, process(shift, most))
            coordinates = {"net": net, "max_translation": shift, "padding": most, **changed}
            made = (Run(ABOUT.id, ABOUT.version, coordinates, seed, recipe) for seed in range(settings.runs))
            # All settings of one network share one program, so that only the first has something to be compiled.
            wanted.append(Cell(tuple(made), ahead=place == 0))
    return wanted


def process(max_translation: int, most: int) -> _nested.Process:
    """The arguments of the generator for a translation and a most padding."""
    return (("max_translation", max_translation), ("padding", (most - 24, most)))


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    steps = run.settings.get("steps", Settings().steps) * run.settings.get("batch", Settings().batch) / 100
    return COST_US[run.settings["net"]] * 1e-6 * (steps + run.data["test"] / 300)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, each on the training set of its seed."""
    first, book = cell.runs[0].settings, settings.networks == "book"
    init = _book(first["net"]) if book else parse(first["net"]).init
    return _nested.classifiers(
        cell.runs,
        [init(jax.random.key(one.seed)) for one in cell.runs],
        EXAMPLES,
        pool=EXAMPLES,
        test=settings.test,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=BOOK_RATE if book else settings.learning_rate,
        optimiser=BOOK_DESCENT if book else train.adam,
        process=process(first["max_translation"], first["padding"]),
    )


def _book(net: str) -> Callable[[Any], Any]:
    """The book's network in the place of the benchmark's, with He's first weights."""
    if net == "mnist1d-mlp":
        return lambda key: he_uniform(MLP.init(key, BOOK_WIDTHS))
    return lambda key: he_uniform(CNN.init(key, channels=(15, 15, 15), kernels=(3, 3, 3), padding=0))


def _accuracy(results: Sequence[Result], net: str, shift: int, most: int = PUBLISHED_PADDING) -> list[float]:
    return trials.by_seed(results, "test_accuracy", net=net, max_translation=shift, padding=most)


def _gap(results: Sequence[Result], shift: int, most: int = PUBLISHED_PADDING) -> np.ndarray:
    """What the CNN is ahead of the MLP, by seed."""
    mlp, cnn = (_accuracy(results, net, shift, most) for net in NETS)
    return np.subtract(cnn, mlp)


def rises(gaps: Sequence[Sequence[float]]) -> list[float]:
    """Page's trend by seed: the rank correlation (Spearman) of the gaps of one seed with their order, -1 to 1.

    `gaps` has one row a translation, one column a seed. Its sum over seeds is, up to scale, Page's L (Page 1963, J. Am.
    Stat. Assoc. 58:216); under the hypothesis of no trend it is as often positive as negative. Of equal gaps each has
    the mean of their ranks, and a seed of equal gaps has the trend 0.

    >>> rises([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    [1.0, -1.0]
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.asarray(gaps, np.float64), axis=0)
    order = np.arange(len(ranks), dtype=float)
    centred = ranks - ranks.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0) * ((order - order.mean()) ** 2).sum())
    slope = (order - order.mean()) @ centred
    return np.divide(slope, scale, out=np.zeros_like(slope), where=scale > 0).tolist()


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (*_trend(results), *_ends(results), *_steps(results), *_padding(results))
    if settings.networks == "benchmark":
        statements += tuple(_against_published(results))
    supported = "Without translation the CNN is hardly ahead; it is the more so the farther digits are shifted."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _trend(results: Sequence[Result]) -> list[Statement]:
    """The gap grows: from one end to the other, and in rank along the way; corrected together."""
    gaps = [_gap(results, shift).tolist() for shift in SHIFTS]
    trend = rises(gaps)
    ends, along = stats.judge_orders([(gaps[0], gaps[-1]), ([0.0] * len(trend), trend)])
    return [
        difference("grows", f"The gap grows, {SHIFTS[0]} to {SHIFTS[-1]}", ends, headline=True),
        difference("trend", "The gap rises with translation (rank)", along, unit="correlation", headline=True),
    ]


def _ends(results: Sequence[Result]) -> list[Statement]:
    """How much it grows, and how little it is without translation."""
    first, last = (_gap(results, shift) for shift in (SHIFTS[0], SHIFTS[-1]))
    return [
        within(
            "ten-points",
            f"It grows by {100 * LARGE:.0f} % or more",
            stats.mean_interval(last - first),
            low=LARGE,
            headline=True,
        ),
        within(
            "nothing-without",
            f"Without translation the gap is < {100 * NOTHING:.0f} %",
            stats.mean_interval(first),
            high=NOTHING,
            headline=True,
        ),
    ]


def _steps(results: Sequence[Result]) -> list[Statement]:
    """Each step of the translation by itself, corrected together."""
    found = stats.judge_orders([(_gap(results, low), _gap(results, high)) for low, high in pairwise(SHIFTS)])
    return [
        difference(f"step-{low}-{high}", f"The gap grows from {low} to {high}", order)
        for (low, high), order in zip(pairwise(SHIFTS), found, strict=True)
    ]


def _paddings(results: Sequence[Result]) -> list[int]:
    return sorted({one.run.settings["padding"] for one in results})


def _padding(results: Sequence[Result]) -> list[Statement]:
    """The gap at the widest padding against that at the narrowest."""
    found = _paddings(results)
    if len(found) < 2:
        return []
    order = stats.judge_order(_gap(results, SHIFTS[-1], found[0]), _gap(results, SHIFTS[-1], found[-1]))
    return [difference("padding", f"The gap grows with padding, {found[0]} to {found[-1]}", order)]


def _against_published(results: Sequence[Result]) -> list[Statement]:
    return [
        against_published(
            f"published-{LABELS[net]}".lower(),
            f"{LABELS[net]}, {SHIFTS[-1]}: as published",
            _accuracy(results, net, SHIFTS[-1]),
            *PUBLISHED[net],
        )
        for net in NETS
    ]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    places = [(shift, PUBLISHED_PADDING) for shift in SHIFTS]
    places += [(SHIFTS[-1], most) for most in _paddings(results) if most != PUBLISHED_PADDING]
    rows = [
        (
            str(shift),
            f"{most - 24} to {most}",
            *(percent_with_interval(_accuracy(results, net, shift, most)) for net in NETS),
            f"{100 * float(_gap(results, shift, most).mean()):.1f}",
        )
        for shift, most in places
    ]
    return (("max_translation", "padding", "MLP, %", "CNN, %", "gap"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Both accuracies against translation with the published ones; the gap against translation and against padding."""
    rows, published = [], []
    for net in NETS:
        for shift in SHIFTS:
            place = {"net": LABELS[net], "data": "padding 36 to 60", "shift": shift}
            rows.append(_nested.point(place, _accuracy(results, net, shift)))
        if "networks" in results[0].run.settings:
            continue  # the book's have no published figure here
        mean, spread = PUBLISHED[net]
        published.append(
            {"net": LABELS[net], "data": "padding 36 to 60", "shift": SHIFTS[-1], "mean": mean, "plus_minus": spread}
        )
    gaps = [_gap_row({"net": "CNN - MLP", "data": "gap"}, "shift", shift, _gap(results, shift)) for shift in SHIFTS]
    runs = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    places = {"x": "shift", "x_title": "max_translation, of 72 places", "points": True, "subtitle": runs}
    domain = _nested.from_tenth((row["mean"] for row in rows), (row["mean"] for row in published))
    drawn = {
        "Test accuracy against translation; diamonds are the published table": plot.curves(
            rows, published=published, y_domain=domain, title="CNN and MLP by translation", **places
        ),
        "The gap between CNN and MLP against translation": plot.curves(
            gaps, percent=False, y_title="points of test accuracy", title="What the CNN is ahead", **places
        ),
    }
    wide = _paddings(results)
    if len(wide) > 1:
        across = [
            _gap_row({"net": "CNN - MLP", "data": "gap"}, "padding", most, _gap(results, SHIFTS[-1], most))
            for most in wide
        ]
        drawn["The gap between CNN and MLP against padding, at the published translation"] = plot.curves(
            across,
            x="padding",
            x_title="most padding",
            percent=False,
            points=True,
            y_title="points of test accuracy",
            title="What the CNN is ahead, by padding",
            subtitle=runs,
        )
    return drawn


def _gap_row(place: Mapping[str, Json], x: str, value: int, gap: np.ndarray) -> dict[str, Json]:
    found = stats.mean_interval(100 * gap)
    return {**place, x: value, "mean": found.value, **bounds(found)}
