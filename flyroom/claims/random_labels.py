"""Claim: a network that learns signals also learns noise by heart, only more slowly, and knows nothing then.

Source: Prince, Understanding Deep Learning (MIT Press 2023), figure 20.1 and notebook 20.1, after Zhang et al.,
"Understanding deep learning requires rethinking generalization", ICLR 2017 (arXiv 1611.03530), figure 1a. The notebook
asks on MNIST-1D what the figure shows on images, and stores no output.

Protocol: the 4000 training examples of the published data set, as they are; with normal noise of the same mean and
variance for inputs; with their labels permuted. An MLP 40-300-300-300-300-10 with He's uniform first weights and biases
at zero; gradient descent at 0.02 with momentum 0.9, halved every 20 epochs; batches of 100, shuffled anew each epoch;
60 epochs. The seed draws first weights, batches, and the noise or the permutation.

How fast a network learns is the mean of its training loss over all epochs: the area under the curve that is published.

Predicted before the first run: all three are fitted, training error below 1 % after 60 epochs. The order of the figure,
true labels < random inputs < permuted labels in the area under the loss: 0.25 +- 0.1, 0.45 +- 0.15, 0.8 +- 0.25 nats.
Test accuracy 68 +- 4 % with true labels, and chance (10 +- 1.9 %) with either noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims._book import Placed, descent, he_uniform, measure_own
from flyroom.claims.statements import difference, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="random-labels",
    version=1,
    title="Learning noise by heart",
    sentence="A network fits random inputs and permuted labels as it fits the true ones, only more slowly, permuted "
    "labels most slowly of all; and then it is right about test data no more often than by chance.",
    source="Prince, Understanding Deep Learning, MIT Press 2023, figure 20.1 and notebook 20.1, after Zhang et al., "
    "ICLR 2017 (arXiv 1611.03530)",
    prediction="Training error below 1 % after 60 epochs on all three. Mean training loss over the epochs: true labels "
    "0.25 +- 0.1, random inputs 0.45 +- 0.15, permuted labels 0.8 +- 0.25 nats. Test accuracy 68 +- 4 % with true "
    "labels, chance (10 +- 1.9 %) with either noise.",
    cost_s=45.0,
)
KINDS = {"true": "true labels", "inputs": "random inputs", "labels": "permuted labels"}
MOMENTUM, HALVED, BATCH = 0.9, 20, 100  # the notebook's
FITTED = 0.01  # "fits": a training error below this
LEARNT = 0.1  # nats; the table says when the training loss falls below
CHANCE = 1 / 10
EVERY = 5  # epochs between two measurements of training error and test accuracy


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    epochs: int = 60  # passes over the training examples
    width: int = 300  # units of each of the four hidden layers
    learning_rate: float = 0.02  # of gradient descent with momentum 0.9, halved every 20 epochs


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, three epochs."""
    return {"runs": min(settings.runs, 2), "epochs": min(settings.epochs, 3)}


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cells(settings: Settings) -> list[Cell]:
    """One cell for the true labels and for either noise.

    Raises ValueError for counts below 1 and a rate that is none.
    """
    trials.require_positive(settings, "runs", "epochs", "width")
    if not (isfinite(settings.learning_rate) and settings.learning_rate > 0):
        raise ValueError(f"learning_rate {settings.learning_rate} must be finite and above 0; the notebook has 0.02")
    changed, clean = trials.differing(settings, "runs"), _data().recipe
    wanted = []
    for kind in KINDS:
        # What is random is drawn by a run's seed, and the recipe says so.
        recipes = [
            clean if kind == "true" else {"name": f"random {kind}", "seed": seed, "of": dict(clean)}
            for seed in range(settings.runs)
        ]
        made = (
            Run(ABOUT.id, ABOUT.version, {"kind": kind, **changed}, seed, recipe) for seed, recipe in enumerate(recipes)
        )
        # All three share one program, so that only the first has something to be compiled.
        wanted.append(Cell(tuple(made), ahead=kind == "true"))
    return wanted


def training_set(kind: str, seed: int) -> tuple[Float[np.ndarray, "example 40"], Int[np.ndarray, " example"]]:
    """The training examples: as they are, with noise for inputs, or with labels in another order.

    The noise is normal, every place independent, of the mean and the variance of all numbers of the data together.
    """
    x, y = _data().x_train.astype(np.float32), _data().y_train.astype(np.int32)
    random = np.random.default_rng([seed, list(KINDS).index(kind)])
    if kind == "inputs":
        x = random.normal(_data().x_train.mean(), _data().x_train.std(), x.shape).astype(np.float32)
    return x, random.permutation(y) if kind == "labels" else y


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    default = Settings()
    width = run.settings.get("width", default.width)
    epochs = run.settings.get("epochs", default.epochs)
    return epochs * 40 * (1e-4 + 8e-9 * (3 * width**2 + 50 * width))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell, each on its own training set."""
    kind, count = cell.runs[0].settings["kind"], len(_data().x_train)
    epoch = count // BATCH
    steps = settings.epochs * epoch
    moments = trials.moments(steps, EVERY * epoch)
    sets = [training_set(kind, one.seed) for one in cell.runs]
    x, y = np.stack([x for x, _ in sets]), np.stack([y for _, y in sets])
    held = (x, y, _data().x_test.astype(np.float32), _data().y_test.astype(np.int32))
    widths = (40, *(settings.width for _ in range(4)), 10)
    trained = train.train_many(
        [
            Placed(he_uniform(MLP.init(jax.random.key(one.seed), widths)), jnp.asarray(place, jnp.int32))
            for place, one in enumerate(cell.runs)
        ],
        x.reshape(-1, x.shape[-1]),
        y.ravel(),
        [train.shuffled(count, BATCH, steps, one.seed) + place * count for place, one in enumerate(cell.runs)],
        train.Protocol(cross_entropy, descent(MOMENTUM, HALVED * epoch), measure_own, moments),
        learning_rate=settings.learning_rate,
        held=tuple(map(jnp.asarray, held)),
    )
    return [_result(one, net, moments, epoch) for one, net in zip(cell.runs, trained, strict=True)]


def _result(run: Run, trained: train.Trained, moments: Sequence[int], epoch: int) -> Result:
    """The mean loss of each epoch, and what was measured now and then.

    A loss that is not finite counts as ln 10, that of a network that knows nothing; `diverged_at_step` says so.
    """
    losses = np.where(np.isfinite(trained.losses), trained.losses, log(10)).reshape(-1, epoch).mean(1)
    train_accuracy = [int(right) / len(_data().y_train) for right in trained.evaluated["train_right"]]
    test_accuracy = [int(right) / len(_data().y_test) for right in trained.evaluated["test_right"]]
    values = {
        "mean_loss": float(losses.mean()),
        "train_error": 1 - train_accuracy[-1],
        "test_accuracy": test_accuracy[-1],
    }
    below = np.flatnonzero(losses < LEARNT)
    if len(below):
        values["learnt_in_epoch"] = float(below[0] + 1)
    broken = train.diverged(trained)
    if broken is not None:
        values["diverged_at_step"] = float(broken)
    curves = {
        "epoch": [float(number + 1) for number in range(len(losses))],
        "loss": losses.tolist(),
        "measured_at": [step / epoch for step in moments],
        "train_accuracy": train_accuracy,
        "test_accuracy": test_accuracy,
    }
    return Result(run, values, curves)


Values = Mapping[str, list[float]]  # of a kind, by seed


def _by_kind(results: Sequence[Result], value: str) -> Values:
    return {kind: trials.by_seed(results, value, kind=kind) for kind in KINDS}


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (*_fitted(results), *_speed(results), *_ignorance(results))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "All three are fitted, true labels fastest and permuted labels most slowly; with noise nothing is known after.",
        table=_table(results),
    )


def _fitted(results: Sequence[Result]) -> list[Statement]:
    errors = _by_kind(results, "train_error")
    return [
        within(
            f"fits-{kind}",
            f"{label.capitalize()}: training error < {100 * FITTED:.0f} %",
            stats.mean_interval(errors[kind]),
            high=FITTED,
            headline=True,
            published="0 %",
        )
        for kind, label in KINDS.items()
    ]


def _speed(results: Sequence[Result]) -> list[Statement]:
    """The area under the training loss, paired by seed; three comparisons, the last of which follows from two."""
    loss = _by_kind(results, "mean_loss")
    pairs = (("true", "inputs", True), ("inputs", "labels", True), ("true", "labels", False))
    orders = stats.judge_orders([(loss[fast], loss[slow]) for fast, slow, _ in pairs])
    found = []
    for (fast, slow, headline), order in zip(pairs, orders, strict=True):
        sentence = f"{KINDS[fast].capitalize()}: faster than {KINDS[slow]}"
        found.append(_in_nats(difference(f"faster-{fast}-{slow}", sentence, order, headline=headline)))
    return found


def _in_nats(statement: Statement) -> Statement:
    return Statement(**{**vars(statement), "unit": "nats"})


def _ignorance(results: Sequence[Result]) -> list[Statement]:
    """Test accuracy after training on noise: chance, as far as that many test examples can tell (95 %)."""
    half = 1.96 * float(np.sqrt(CHANCE * (1 - CHANCE) / len(_data().y_test)))
    accuracy = _by_kind(results, "test_accuracy")
    found = [
        within(
            f"chance-{kind}",
            f"{KINDS[kind].capitalize()}: test accuracy is chance",
            stats.mean_interval(accuracy[kind]),
            low=CHANCE - half,
            high=CHANCE + half,
            headline=True,
            published="10 %",
        )
        for kind in ("inputs", "labels")
    ]
    knows = stats.mean_interval(accuracy["true"])
    return [*found, within("knows", "True labels: test accuracy above chance", knows, low=CHANCE + half)]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for kind, label in KINDS.items():
        chosen = trials.where(results, kind=kind)
        epochs = [one.values["learnt_in_epoch"] for one in chosen if "learnt_in_epoch" in one.values]
        when = f"{np.mean(epochs):.1f}" if epochs else ""
        some = f" ({len(epochs)} of {len(chosen)})" if len(epochs) < len(chosen) else ""
        lost = sum("diverged_at_step" in one.values for one in chosen)
        errors = percent_with_interval([one.values["train_error"] for one in chosen])
        accuracy = percent_with_interval([one.values["test_accuracy"] for one in chosen])
        area = f"{np.mean([one.values['mean_loss'] for one in chosen]):.3f}"
        rows.append((label, area, when + some, errors + (f", {lost} diverged" if lost else ""), accuracy))
    head = ("data", "mean loss, nats", f"epoch below {LEARNT} nats", "training error, %", "test accuracy, %")
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """The curves of figure 20.1, once more on a logarithmic axis, and the accuracies."""
    losses, accuracies = [], []
    for kind, label in KINDS.items():
        chosen = trials.where(results, kind=kind)
        losses += _band(chosen, "epoch", "loss", {"net": label, "data": "training loss"})
        for part in ("train", "test"):
            place = {"net": label, "data": f"{part} accuracy"}
            accuracies += _band(chosen, "measured_at", f"{part}_accuracy", place)
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    titles = {"x_title": "epoch", "y_title": "training loss, nats", "subtitle": said, "percent": False}
    return {
        "Training loss, the mean of each epoch": plot.curves(losses, title="Learning noise by heart", **titles),
        "The same on a logarithmic axis": plot.curves(losses, title="To the end", log_y=True, **titles),
        "Accuracy on the network's own training set, and on the test set": plot.curves(
            accuracies, x_title="epoch", y_title="accuracy", title="What was learnt", subtitle=said
        ),
    }


def _band(chosen: Sequence[Result], x: str, curve: str, place: Mapping[str, Json]) -> list[dict[str, Json]]:
    values = np.array([one.curves[curve] for one in chosen])
    low, high = stats.mean_band(values) if len(values) > 1 else (values[0], values[0])
    if curve.endswith("accuracy"):
        low, high = np.clip([low, high], 0, 1)
    return [
        {**place, "step": at, "mean": float(values[:, i].mean()), "low": float(low[i]), "high": float(high[i])}
        for i, at in enumerate(chosen[0].curves[x])
    ]
