"""Claim: rolled and scaled copies of the training examples lower the test error of an MLP.

Source: Prince, Understanding Deep Learning (MIT Press 2023), notebook 9.5 (augmentation), with notebook 8.1 (figure
8.2a) beside it. The notebooks store no output; 9.5 says that the best test error without augmentation is about 33 %
and that "you should see an improvement".

Protocol: the published data set (4000 / 1000); an MLP 40-200-200-10 with He's uniform first weights and biases at zero;
gradient descent at 0.05 with momentum 0.9 (9.5 makes a schedule and never uses it), batches of 100, shuffled anew each
epoch, 50 epochs. Augmented: 4000 copies of examples drawn at random, rolled by any number of places and scaled by
[0.8, 1.2]; 50 epochs of 8000 examples are twice as many updates, so that the plain network is also trained for as many.
Further: copies that are rolled only, or scaled only. Notebook 8.1 has 100 units and halves its rate every 10 epochs.

Predicted before the first run: plain 36 +- 2.5 % test error at the end, 34 +- 1.5 % at its best; twice the updates
change it by less than 1.5 points. Augmented 29 +- 3 %, a gain of 7 +- 3 points, of which rolling alone gives 6 +- 3 and
scaling alone 1 +- 1.5. Notebook 8.1: 36 +- 2.5 % test error, training error below 1 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite
from typing import Any

import jax
import numpy as np

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims._book import descent, he_uniform
from flyroom.claims.statements import (
    against_published,
    band,
    bounds,
    difference,
    mean_accuracy,
    percent_with_interval,
    within,
)
from flyroom.data import mnist1d
from flyroom.data.augment import roll_and_scale
from flyroom.losses import both_parts, cross_entropy
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="augmentation",
    version=1,
    title="What rolled and scaled copies are worth",
    sentence="Adding a rolled and scaled copy for each training example lowers the test error of an MLP on MNIST-1D.",
    source="Prince, Understanding Deep Learning, MIT Press 2023, notebook 9.5; notebook 8.1 (figure 8.2a)",
    prediction="Test error without copies 36 +- 2.5 % at the end and 34 +- 1.5 % at its best, twice the updates change "
    "it by less than 1.5 points; with copies 29 +- 3 %, a gain of 7 +- 3 points: rolling alone 6 +- 3, scaling alone "
    "1 +- 1.5. Notebook 8.1: 36 +- 2.5 % test error, training error below 1 %.",
    cost_s=25.0,
)

# What is done to a copy; the plain network has none.
COPIES: Mapping[str, Mapping[str, Any]] = {
    "plain": {"roll": False, "low": 1.0, "high": 1.0},
    "both": {},
    "rolled": {"low": 1.0, "high": 1.0},
    "scaled": {"roll": False},
}
PERFORMANCE = "8.1"  # the notebook "MNIST_1D_Performance"
LABELS = {"plain": "no copies", "both": "rolled and scaled", "rolled": "rolled", "scaled": "scaled"}
WIDTHS = {PERFORMANCE: (40, 100, 100, 10)}
WIDE = (40, 200, 200, 10)
MOMENTUM, HALVED = 0.9, 10  # notebook 8.1 halves its rate every ten epochs
BEST = (0.67, 0.01)  # "about 33 %" test error: a whole per cent either way
NOTHING = 0.015  # what twice the updates may change, from the prediction
FITTED = 0.01  # a training error below this is "fitted", from the prediction
EVERY = 2  # epochs of the plain data between two points of a curve


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    epochs: int = 50  # passes over the training data, copies included
    copies: int = 4000  # further examples
    batch: int = 100  # examples an update
    learning_rate: float = 0.05  # of gradient descent with momentum 0.9


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, four epochs."""
    return {"runs": min(settings.runs, 2), "epochs": min(settings.epochs, 4)}


@cache
def _data() -> Dataset:
    return mnist1d.make()


def _copied(kind: str, seed: int, settings: Settings) -> Dataset:
    return roll_and_scale(_data(), settings.copies, seed=seed, **COPIES[kind])


def _recipe(kind: str, seed: int, settings: Settings) -> Mapping[str, Json]:
    """That of the data, without making the copies."""
    if kind in ("plain", PERFORMANCE):
        return _data().recipe
    return {**roll_and_scale(_data(), 0, seed=seed, **COPIES[kind]).recipe, "copies": settings.copies}


def _steps(kind: str, settings: Settings) -> int:
    """Plain networks go on for as many updates as the others; that of notebook 8.1 does not."""
    examples = len(_data().x_train) + (0 if kind == PERFORMANCE else settings.copies)
    return settings.epochs * (examples // settings.batch)


def _half(settings: Settings) -> int:
    """Updates after which the plain network has had its epochs."""
    return settings.epochs * (len(_data().x_train) // settings.batch)


def cells(settings: Settings) -> list[Cell]:
    """Each kind of copies, and notebook 8.1.

    Raises ValueError for counts below 1, a batch above the number of examples, and a rate that is none.
    """
    trials.require_positive(settings, "runs", "epochs", "copies", "batch")
    if settings.batch > len(_data().x_train):
        raise ValueError(f"a batch of {settings.batch} cannot be taken from {len(_data().x_train)} examples")
    if not (isfinite(settings.learning_rate) and settings.learning_rate > 0):
        raise ValueError(f"learning_rate {settings.learning_rate} must be finite and above 0; the notebook has 0.05")
    changed = trials.differing(settings, "runs")
    wanted = []
    for kind in (*COPIES, PERFORMANCE):
        own = {name: value for name, value in changed.items() if not (kind == PERFORMANCE and name == "copies")}
        made = (
            Run(ABOUT.id, ABOUT.version, {"kind": kind, **own}, seed, _recipe(kind, seed, settings))
            for seed in range(settings.runs)
        )
        # All but the last share one program, so that only the first of them has something to be compiled.
        wanted.append(Cell(tuple(made), ahead=kind in ("plain", PERFORMANCE)))
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    given = {name: value for name, value in run.settings.items() if name != "kind"}
    step_us = 200 if run.settings["kind"] == PERFORMANCE else 470  # evaluation included
    return step_us * 1e-6 * _steps(run.settings["kind"], Settings(**given))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell. The seed draws first weights, the order of batches, and the copies."""
    kind, data = cell.runs[0].settings["kind"], _data()
    steps, count = _steps(kind, settings), len(data.x_train)
    epoch = count // settings.batch
    moments = tuple(sorted({*trials.moments(steps, EVERY * epoch), _half(settings)}))
    nets = [he_uniform(MLP.init(jax.random.key(one.seed), WIDTHS.get(kind, WIDE))) for one in cell.runs]
    if kind == PERFORMANCE:
        orders = [train.shuffled(count, settings.batch, steps, one.seed) for one in cell.runs]
        schedule = descent(MOMENTUM, HALVED * epoch)
        rate = settings.learning_rate
        return trials.classifiers(
            cell.runs, nets, data, orders, learning_rate=rate, evaluate_after=moments, optimiser=schedule
        )
    sets = [_copied(kind, one.seed, settings) for one in cell.runs]
    x = np.concatenate([data.x_train, *(one.x_train[count:] for one in sets)]).astype(np.float32)
    y = np.concatenate([data.y_train, *(one.y_train[count:] for one in sets)]).astype(np.int32)
    orders = [_own(place, one.seed, steps, kind, settings) for place, one in enumerate(cell.runs)]
    protocol = train.Protocol(cross_entropy, descent(MOMENTUM), both_parts, moments)
    held = train.both_parts(data)  # the training part without copies, for all kinds alike
    trained = train.train_many(nets, x, y, orders, protocol, learning_rate=settings.learning_rate, held=held)
    found = [trials.recorded(one, net, data, moments) for one, net in zip(cell.runs, trained, strict=True)]
    return [_with_best(one, settings) for one in found] if kind == "plain" else found


def _own(place: int, seed: int, steps: int, kind: str, settings: Settings) -> np.ndarray:
    """Batches of the network that stands at `place`: the examples, and its own copies among those of all networks."""
    count = len(_data().x_train)
    order = train.shuffled(count + (0 if kind == "plain" else settings.copies), settings.batch, steps, seed)
    return np.where(order < count, order, order + place * settings.copies).astype(np.int32)


def _with_best(result: Result, settings: Settings) -> Result:
    """Of the plain network also where it stands after its epochs, half way, and the best of its points until then."""
    half = result.curves["step"].index(_half(settings))
    reached = result.curves["test_accuracy"][: half + 1]
    return replace(
        result, values={**result.values, "test_accuracy_half": reached[-1], "best_test_accuracy_half": max(reached)}
    )


def _final(results: Sequence[Result], kind: str, value: str = "test_accuracy") -> list[float]:
    return trials.by_seed(results, value, kind=kind)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (*_gains(results), *_beside(results))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Rolled and scaled copies lower the test error, not by the updates that they bring; rolling alone does it.",
        table=_table(results, settings),
    )


def _gains(results: Sequence[Result]) -> list[Statement]:
    """Paired by seed; the headlines are one family."""
    plain, both, rolled, scaled = (_final(results, kind) for kind in COPIES)
    half = _final(results, "plain", "test_accuracy_half")
    headlines = (
        ("copies-help", "Copies raise test accuracy, equal epochs", half, both),
        ("not-by-updates", "Copies raise test accuracy, equal updates", plain, both),
        ("rolling-helps", "Rolled copies raise it, equal updates", plain, rolled),
    )
    further = (
        ("scaling-helps", "Scaled copies raise it, equal updates", plain, scaled),
        ("scaling-adds", "Scaling rolled copies raises it further", rolled, both),
    )
    found = []
    for family, headline in ((headlines, True), (further, False)):
        orders = stats.judge_orders([(low, high) for _, _, low, high in family])
        found += [
            difference(name, said, order, headline=headline)
            for (name, said, _, _), order in zip(family, orders, strict=True)
        ]
    return found


def _beside(results: Sequence[Result]) -> list[Statement]:
    """What twice the updates change; the published figure; notebook 8.1."""
    half = _final(results, "plain", "test_accuracy_half")
    longer = stats.mean_interval(np.subtract(_final(results, "plain"), half))
    best = _final(results, "plain", "best_test_accuracy_half")
    error = stats.mean_interval(1 - np.array(_final(results, PERFORMANCE, "train_accuracy")))
    changed = f"No copies: updates x 2 change < {100 * NOTHING:.1f} %"
    return [
        within("longer", changed, longer, low=-NOTHING, high=NOTHING),
        against_published("published-best", "No copies, best epoch: as published", best, *BEST),
        against_published("published-final", "No copies, last epoch: as published", half, *BEST),
        within("fitted-8.1", f"8.1: training error < {100 * FITTED:.0f} %", error, high=FITTED),
    ]


def _table(results: Sequence[Result], settings: Settings) -> tuple[tuple[str, ...], ...]:
    def row(label: str, kind: str, value: str, steps: int) -> tuple[str, ...]:
        return label, f"{steps:,}", percent_with_interval(_final(results, kind, value))

    half = row(LABELS["plain"], "plain", "test_accuracy_half", _half(settings))
    rest = (row(LABELS[kind], kind, "test_accuracy", _steps(kind, settings)) for kind in COPIES)
    book = row("notebook 8.1", PERFORMANCE, "test_accuracy", _steps(PERFORMANCE, settings))
    return (("copies", "updates", "test accuracy, %"), half, *rest, book)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Where the networks end, and how they get there."""
    dots, means, curves = [], [], []
    for kind, label in LABELS.items():
        values = _final(results, kind)
        place = {"net": label, "data": "equal updates"}
        dots += [{**place, "value": value, "seed": seed} for seed, value in enumerate(values)]
        found = mean_accuracy(values)
        means.append({**place, "value": found.value, **bounds(found)})
        for part in ("test", "train"):
            chosen = trials.where(results, kind=kind)
            curves += band(chosen, f"{part}_accuracy", {"net": label, "data": f"{part} accuracy"})
    book = []
    for part in ("test", "train"):
        chosen = trials.where(results, kind=PERFORMANCE)
        book += band(chosen, f"{part}_accuracy", {"net": part, "data": "two layers of 100"})
    said = f"{len(values)} networks each; bars and bands are 95 % intervals of the mean"
    return {
        "Test accuracy after as many updates, by what is done to the copies": plot.finals(
            dots, means, title="What a copy of each example is worth", subtitle=said
        ),
        "Accuracy while training; the training part is that without copies": plot.curves(
            curves, y_title="accuracy", title="With and without copies", subtitle=said
        ),
        "Notebook 8.1: accuracy of 40-100-100-10 while training": plot.curves(
            book, y_title="accuracy", title="Notebook 8.1", subtitle=said
        ),
    }
