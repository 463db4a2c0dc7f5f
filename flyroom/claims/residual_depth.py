"""Claim: residual connections let deep networks be trained, and at He's first weights they double the variance.

Source: Prince, Understanding Deep Learning (MIT Press 2023), chapter 11; notebooks 11.2 (residual networks) and 11.3
(batch normalisation), which leave the comparison to the reader.

Protocol: the published data set (4000 / 1000); 40-100-...-100-10 with ReLU before each layer but the first, He's
uniform first weights, biases at zero; gradient descent at 0.05 with momentum 0.9, halved every 20 epochs; batches of
100, shuffled anew each epoch; 100 epochs. The notebook has four layers; 10 and 20 are added. "none" has no skip
connections, "add" is the notebook's residual network, "mean" divides each sum by the root of two.

Predicted before the first run: at 4 layers test accuracy 64 +- 4 % for all three, the residual one ahead of the plain
one in training accuracy after 5 epochs; without skips accuracy falls with depth (20 layers at least 5 points below 4);
"add" at 20 layers has activations 2^9 times too large and is unstable at this rate (below 4 layers, some seeds lost);
"mean" at 20 layers is above the plain network and within 3 points of its own 4 layers. The variance of the activations
doubles per block (2.0 +- 0.1); with batch normalisation each block adds 1.0 +- 0.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from flyroom import plot, stats
from flyroom.claims import trials
from flyroom.claims._book import descent
from flyroom.claims.statements import (
    band,
    bounds,
    difference,
    mean_accuracy,
    percent_with_interval,
    within,
)
from flyroom.data import mnist1d
from flyroom.nets.deep import DeepMLP
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement
from flyroom.train import shuffled

ABOUT = About(
    id="residual-depth",
    version=1,
    title="What residual connections are worth as networks deepen",
    sentence="Without skip connections deep networks train worse than shallow ones; with them depth does no harm, once "
    "the variance that each block doubles is held in check.",
    source="Prince, Understanding Deep Learning, MIT Press 2023, chapter 11; notebooks 11.2 and 11.3",
    prediction="Four layers: 64 +- 4 % whatever the skips, the residual network ahead after 5 epochs. Plain: 20 layers "
    "at least 5 points below 4. Added skips at 20 layers: unstable at this rate. Skips with a mean: 20 layers above "
    "the plain ones and within 3 points of 4. Variance doubles per block (2.0 +- 0.1); with batch normalisation each "
    "adds 1.0 +- 0.1.",
    cost_s=110.0,
)
SKIPS = ("none", "add", "mean")
LABELS = {"none": "plain", "add": "skips, added", "mean": "skips, mean"}
DEPTHS = (4, 10, 20)
RATE, MOMENTUM, BATCH, EPOCH = 0.05, 0.9, 100, 40  # an epoch is 40 updates
EARLY = 5  # epochs after which the speed of training is compared
HARMLESS = 0.03  # "depth does no harm", from the prediction
BLOCKS, WIDTH, EXAMPLES = 5, 100, 200  # notebook 11.3


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    epochs: int = 100  # passes over the training part
    depths: str = "4-10-20"  # numbers of layers


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, two depths, three epochs."""
    return {"runs": min(settings.runs, 2), "epochs": min(settings.epochs, 6), "depths": "4-20"}


def _depths(settings: Settings) -> tuple[int, ...]:
    try:
        depths = tuple(sorted({int(word) for word in settings.depths.split("-")}))
    except ValueError:
        depths = ()
    if len(depths) < 2 or depths[0] < 3 or depths[-1] > 200:
        raise ValueError(f"depths {settings.depths!r}: give two or more numbers of layers, 3 to 200, such as 4-10-20")
    return depths


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cells(settings: Settings) -> list[Cell]:
    """The variances, which need no training, then every depth with each kind of skip.

    Raises ValueError for counts below 1 and for depths that are none.
    """
    trials.require_positive(settings, "runs", "epochs")
    changed, recipe = trials.differing(settings, "runs", "depths"), _data().recipe
    seeds = range(settings.runs)
    wanted = [
        Cell(tuple(Run(ABOUT.id, ABOUT.version, {"variance": kind}, seed, {"name": "normal"}) for seed in seeds))
        for kind in ("plain blocks", "batch norm")
    ]
    for depth in _depths(settings):
        for skip in SKIPS:
            coordinates = {"depth": depth, "skip": skip, **changed}
            runs = (Run(ABOUT.id, ABOUT.version, coordinates, seed, recipe) for seed in seeds)
            wanted.append(Cell(tuple(runs), ahead=True))
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if "variance" in run.settings:
        return 0.01
    steps = EPOCH * run.settings.get("epochs", Settings().epochs)
    return steps * 1e-6 * (50 + 80 * run.settings["depth"])


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell, or measure variances. The seed draws first weights and the order of batches."""
    first = cell.runs[0].settings
    if "variance" in first:
        found = [variances(one.seed, normalised=first["variance"] == "batch norm") for one in cell.runs]
        return [
            Result(
                one,
                {"growth": _growth(v, first["variance"])},
                {"block": [float(block) for block in range(len(v))], "variance": v.tolist()},
            )
            for one, v in zip(cell.runs, found, strict=True)
        ]
    steps = EPOCH * settings.epochs
    return trials.classifiers(
        cell.runs,
        [DeepMLP.init(jax.random.key(one.seed), first["depth"], first["skip"]) for one in cell.runs],
        _data(),
        [shuffled(len(_data().x_train), BATCH, steps, one.seed) for one in cell.runs],
        learning_rate=RATE,
        evaluate_after=trials.moments(steps, max(1, steps // 20)),
        optimiser=descent(MOMENTUM, 20 * EPOCH),
    )


def variances(seed: int, *, normalised: bool) -> Float[np.ndarray, " block"]:
    """The variance of the activations before the first and after each of five residual blocks h + W relu(h).

    He's normal first weights, 100 units, 200 standard normal examples (notebook 11.3). With `normalised` each block
    normalises its input over the examples first (batch normalisation at its first values: gain 1, bias 0). For
    symmetric h the block adds W relu(h), of variance (2 / n) n E[relu(h)^2] = Var h: the variance doubles. After
    normalisation it adds 1.
    """
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((WIDTH, EXAMPLES))
    found = [hidden.var()]
    for _ in range(BLOCKS):
        weight = random.normal(0, np.sqrt(2 / WIDTH), (WIDTH, WIDTH))
        given = hidden
        if normalised:
            given = (hidden - hidden.mean(1, keepdims=True)) / hidden.std(1, keepdims=True)
        hidden = hidden + weight @ np.maximum(given, 0)
        found.append(hidden.var())
    return np.array(found)


def _growth(variance: Float[np.ndarray, " block"], kind: str) -> float:
    """Per block: the factor (geometric mean), or with batch normalisation what is added (mean)."""
    if kind == "batch norm":
        return float((variance[-1] - variance[0]) / BLOCKS)
    return float((variance[-1] / variance[0]) ** (1 / BLOCKS))


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    depths = _depths(settings)
    low, high = depths[0], depths[-1]
    final = {
        (depth, skip): trials.by_seed(results, "test_accuracy", depth=depth, skip=skip)
        for depth in depths
        for skip in SKIPS
    }
    added = stats.judge_order(final[high, "add"], final[high, "mean"])
    unstable = difference("added-unstable", f"At {high} layers added skips are below mean", added)
    statements = (*_depth(final, low, high), _speed(results, low), *_variance(results), unstable)
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Depth harms the plain network and not the one with skips and means; each added skip doubles the variance.",
        table=_table(results, final, depths),
        runs=sum("depth" in one.run.settings for one in results),
    )


Final = Mapping[tuple[int, str], list[float]]


def _depth(final: Final, low: int, high: int) -> list[Statement]:
    orders = stats.judge_orders([(final[high, "none"], final[low, "none"]), (final[high, "none"], final[high, "mean"])])
    sentences = (f"Without skips {high} layers are below {low}", f"At {high} layers skips (mean) are above none")
    names = ("plain-depth", "skips-help")
    found = [difference(n, s, o, headline=True) for n, s, o in zip(names, sentences, orders, strict=True)]
    change = stats.mean_interval(np.subtract(final[high, "mean"], final[low, "mean"]))
    sentence = f"Skips (mean): {high} layers > {low} layers - {100 * HARMLESS:.0f} %"
    return [*found, within("skips-depth", sentence, change, low=-HARMLESS, headline=True)]


def _speed(results: Sequence[Result], depth: int) -> Statement:
    """Training accuracy early on: notebook 11.2 asks who trains faster."""
    early = {}
    for skip in ("none", "add"):
        chosen = trials.where(results, depth=depth, skip=skip)
        step = min(chosen[0].curves["step"], key=lambda s: abs(s - EARLY * EPOCH) if s else np.inf)
        early[skip] = [one.curves["train_accuracy"][one.curves["step"].index(step)] for one in chosen]
    epochs = step / EPOCH
    return difference(
        "residual-faster",
        f"{depth} layers: added skips ahead at {epochs:g} epochs",
        stats.judge_order(early["none"], early["add"]),
        headline=True,
    )


def _variance(results: Sequence[Result]) -> list[Statement]:
    plain, normed = (
        stats.mean_interval(trials.by_seed(results, "growth", variance=kind)) for kind in ("plain blocks", "batch norm")
    )
    return [
        within("variance-doubles", "A residual block doubles the variance", plain, low=1.9, high=2.1, unit="times",
               headline=True, published="2"),
        within("variance-adds", "Batch norm: a block adds 1 to the variance", normed, low=0.9, high=1.1,
               unit="", headline=True, published="1"),
    ]  # fmt: skip


def _table(results: Sequence[Result], final: Final, depths: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    def entry(depth: int, skip: str) -> str:
        lost = sum("diverged_at_step" in one.values for one in trials.where(results, depth=depth, skip=skip))
        return percent_with_interval(final[depth, skip]) + (f", {lost} diverged" if lost else "")

    head = ("test accuracy, %", *(f"{depth} layers" for depth in depths))
    return (head, *((LABELS[skip], *(entry(depth, skip) for depth in depths)) for skip in SKIPS))


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against depth, the way there, and the variance from block to block."""
    trained = [one for one in results if "depth" in one.run.settings]
    depths = sorted({one.run.settings["depth"] for one in trained})
    against, curves = [], []
    for skip in SKIPS:
        for depth in depths:
            chosen = trials.where(trained, depth=depth, skip=skip)
            found = mean_accuracy([one.values["test_accuracy"] for one in chosen])
            place = {"net": LABELS[skip], "data": "test accuracy after training"}
            against.append({**place, "step": depth, "mean": found.value, **bounds(found)})
            curves += band(chosen, "train_accuracy", {"net": LABELS[skip], "data": f"{depth} layers"})
    growth = []
    for kind in ("plain blocks", "batch norm"):
        values = np.array([one.curves["variance"] for one in trials.where(results, variance=kind)])
        low, high = stats.mean_band(values) if len(values) > 1 else (values[0], values[0])
        for block in range(values.shape[1]):
            place = {"net": kind, "data": "variance of activations", "step": block}
            growth.append(
                {**place, "mean": float(values[:, block].mean()), "low": float(low[block]), "high": float(high[block])}
            )
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    return {
        "Test accuracy against the number of layers": plot.curves(
            against, x_title="layers", title="Depth, with and without skips", subtitle=said, points=True
        ),
        "Training accuracy while training": plot.curves(
            curves, y_title="training accuracy", title="Training accuracy", subtitle=said
        ),
        "Variance of the activations after each residual block, at first weights": plot.curves(
            growth, x_title="block", y_title="variance", percent=False, log_y=True, points=True,
            title="Residual blocks at He's first weights", subtitle="100 units, 200 examples",
        ),
    }  # fmt: skip
