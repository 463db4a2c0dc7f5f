"""Claim: on two moons a hidden layer is worth at least five points of test accuracy.

Source: an example; put here whose sentence it is, with the figure or table where it stands.

Protocol: 500 points, Adam at 0.02, batches of 100, 300 updates; test accuracy after the last one.

Predicted before the first run: linear 87 %, MLP 97 %, so that the difference is about 10 points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax

from flyroom import plot, stats, train
from flyroom.claims.statements import band, difference, percent_with_interval, within
from flyroom.claims.trials import by_seed, classifiers, differing, judgement, moments, require_positive
from flyroom.data import load
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run

ABOUT = About(
    id="hidden-layer",
    version=1,  # raise it when old numbers stop being comparable
    title="What a hidden layer is worth",
    sentence="On two moons a hidden layer is worth at least five points of test accuracy.",
    source="an example",
    prediction="linear 87 %, MLP 97 %",
    cost_s=5.0,
)
NETS = ("mlp:2-2", "mlp:2-16-2")
MARGIN = 0.05  # from the sentence


@dataclass(frozen=True)
class Settings:
    """What `--set NAME=VALUE` may change."""

    runs: int = 10  # networks (seeds) of each kind
    steps: int = 300  # updates
    noise: float = 0.2  # of the points


def quick(settings: Settings) -> dict[str, Any]:
    """What `--quick` changes: enough to see everything work."""
    return {"runs": 2}


@cache
def _data(noise: float) -> Dataset:
    return load("moons", n=500, noise=noise)


def cells(settings: Settings) -> list[Cell]:
    """One cell a network. Its coordinates, and what differs from the defaults, are what a run is known by."""
    require_positive(settings, "runs", "steps")
    changed, recipe = differing(settings, "runs"), _data(settings.noise).recipe
    return [
        Cell(
            tuple(Run(ABOUT.id, ABOUT.version, {"net": net, **changed}, seed, recipe) for seed in range(settings.runs)),
            ahead=True,  # its program may be compiled while the cell before it is trained
        )
        for net in NETS
    ]


def cost(run: Run) -> float:
    """Seconds of one core, roughly: what progress is measured by."""
    return 0.1


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side. A run's numbers depend on nothing but the run."""
    data = _data(settings.noise)
    init = parse(cell.runs[0].settings["net"]).init
    return classifiers(
        cell.runs,
        [init(jax.random.key(one.seed)) for one in cell.runs],
        data,
        train.contiguous(len(data.x_train), 100, settings.steps),
        learning_rate=0.02,
        evaluate_after=moments(settings.steps, 50),
    )


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to a verdict: refuted if a headline is refuted, else undecided if one is, else supported."""
    low, high = (by_seed(results, "test_accuracy", net=net) for net in NETS)
    gain = stats.mean_interval([b - a for a, b in zip(low, high, strict=True)])
    statements = (
        difference("order", "The linear classifier is below the MLP", stats.judge_order(low, high), headline=True),
        within("margin", "A hidden layer is worth five points", gain, low=MARGIN, headline=True, published="5 %"),
    )
    rows = tuple((net, percent_with_interval(by_seed(results, "test_accuracy", net=net))) for net in NETS)
    return judgement(
        ABOUT,
        results,
        statements,
        f"A hidden layer is worth {gain.value:.1%} of test accuracy.",
        table=(("network", "test accuracy, %"), *rows),
    )


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Every figure by its caption; the first one is the thumbnail."""
    dots = [
        {"net": net, "data": "two moons", "value": value, "seed": seed}
        for net in NETS
        for seed, value in enumerate(by_seed(results, "test_accuracy", net=net))
    ]
    bands = []
    for net in NETS:
        chosen = [one for one in results if one.run.settings["net"] == net]
        bands += band(chosen, "test_accuracy", {"net": net, "data": "two moons"})
    return {"Every network": plot.finals(dots, []), "Test accuracy while training": plot.curves(bands)}
