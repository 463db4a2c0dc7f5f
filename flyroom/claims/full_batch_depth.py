"""Claim: full-batch gradient descent fits random labels, and of networks of one size the deeper ones need less of it.

Source: Prince, Understanding Deep Learning (MIT Press 2023), figure 20.2 and notebook 20.2.

Protocol: 4000 training examples of the published data set with random labels (the figure; the notebook has the true
ones: `labels=true`). MLPs with 1 to 4 hidden layers of 298, 100, 75, 63 units: 15,208, 15,210, 15,235 and 15,319
parameters (the book has 15,139 for the last). He's uniform first weights, biases at zero; gradient descent on all
examples at once, without momentum, at 0.0025 for 200,000 to 500,000 epochs. The seed draws first weights and labels.

Here the rate is 0.05 for 2500 epochs. For small rates descent follows the gradient flow, and rate x epochs is its time:
125, which the published rate reaches after 50,000 epochs. How fast a network is, is the mean of its training error over
these epochs, the area under the published curve. Whether the networks reach zero is asked of gradient descent with
momentum 0.9 at a rate of 0.1, for 1500 epochs: another path to the end, and much shorter.

Predicted before the first run of this claim, and after one seed of 1 and of 4 layers was seen up to time 100 while the
rate was chosen (with momentum, up to time 400). Mean training error up to time 125: 71, 68, 65, 62 +- 2 % with 1 to 4
layers; error at its end 61 +- 3, 54 +- 4, 48 +- 5, 43 +- 5 %; each layer helps. With momentum all fall below 1 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import isfinite
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims._book import Placed, descent, he_uniform, measure_own, parameters_of
from flyroom.claims.statements import band, difference, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="full-batch-depth",
    version=1,
    title="Depth under full-batch gradient descent",
    sentence="Networks of one to four hidden layers with equally many parameters all fit random labels by full-batch "
    "gradient descent, and the deeper ones need fewer epochs.",
    source="Prince, Understanding Deep Learning, MIT Press 2023, figure 20.2 and notebook 20.2",
    prediction="Mean training error up to rate x epochs = 125: 71, 68, 65, 62 +- 2 % with 1, 2, 3, 4 hidden layers; at "
    "its end 61 +- 3, 54 +- 4, 48 +- 5, 43 +- 5 %: each layer helps. With momentum all fall below 1 %.",
    cost_s=205.0,
    shortened="The rate is 0.05 instead of 0.0025, and the descent ends at rate x epochs = 125 instead of 500 to 1250; "
    "that zero is reached is asked with momentum. Check: one seed with 4 layers at 0.025 and at 0.05 had training "
    "errors within 0.7 points of each other up to rate x epochs = 75; at 100 they were 49.4 and 51.7 %. The larger "
    "rate holds the deepest network back, against what is claimed; at 0.125 it did so from the beginning.",
)
WIDTHS = {1: (40, 298, 10), 2: (40, 100, 100, 10), 3: (40, 75, 75, 75, 10), 4: (40, 63, 63, 63, 63, 10)}
LABELS = ("random", "true")
WAYS = ("descent", "momentum")
MOMENTUM, FIT_RATE = 0.9, 0.1  # of the descent that is to reach zero
FITTED = 0.01  # "reaches zero": a training error below this on the way
POINTS = 50  # of a curve
STAGE = 5000  # updates of one call: what is taken at each of them has to be in memory


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each depth
    epochs: int = 2500  # of gradient descent without momentum
    learning_rate: float = 0.05  # of that
    fit_runs: int = 6  # networks of each depth that are trained with momentum
    fit_epochs: int = 1500  # of gradient descent with momentum, to the end
    labels: str = "random"  # or true


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, twenty epochs."""
    few = {"runs": min(settings.runs, 2), "fit_runs": min(settings.fit_runs, 2)}
    return {**few, "epochs": min(settings.epochs, 20), "fit_epochs": min(settings.fit_epochs, 20)}


def faithful(settings: Settings) -> dict[str, Any]:
    """The published rate and 200,000 epochs, which the book gives all networks but the first (500,000)."""
    return {"learning_rate": 0.0025, "epochs": 200_000}


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cells(settings: Settings) -> list[Cell]:
    """Each depth without momentum and with it.

    Raises ValueError for counts below 1, a rate that is none, and labels that are none.
    """
    trials.require_positive(settings, "runs", "epochs", "fit_runs", "fit_epochs")
    if settings.labels not in LABELS:
        raise ValueError(f"there are no {settings.labels!r} labels; there are {', '.join(LABELS)}")
    if not (isfinite(settings.learning_rate) and settings.learning_rate > 0):
        raise ValueError(f"learning_rate {settings.learning_rate} must be finite and above 0; the book has 0.0025")
    changed = trials.differing(settings, "runs", "fit_runs")
    unused = {"descent": {"fit_epochs"}, "momentum": {"epochs", "learning_rate"}}
    wanted = []
    for way in WAYS:
        own = {name: value for name, value in changed.items() if name not in unused[way]}
        for layers in WIDTHS:
            place = {"layers": layers, "way": way, **own}
            seeds = range(settings.runs if way == "descent" else settings.fit_runs)
            made = (Run(ABOUT.id, ABOUT.version, place, seed, _recipe(settings, seed)) for seed in seeds)
            wanted.append(Cell(tuple(made), ahead=True))
    return wanted


def _recipe(settings: Settings, seed: int) -> dict[str, Json]:
    clean = dict(_data().recipe)
    return clean if settings.labels == "true" else {"name": "random labels", "seed": seed, "of": clean}


def targets(labels: str, seed: int) -> Int[np.ndarray, " example"]:
    """The true labels, or as many drawn uniformly from ten."""
    true = _data().y_train.astype(np.int32)
    return true if labels == "true" else np.random.default_rng(seed).integers(10, size=len(true)).astype(np.int32)


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    default = Settings()
    name = "epochs" if run.settings["way"] == "descent" else "fit_epochs"
    return 4e-3 * run.settings.get(name, getattr(default, name))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell, each on its own labels, all examples at every update."""
    first = cell.runs[0].settings
    plain = first["way"] == "descent"
    epochs = settings.epochs if plain else settings.fit_epochs
    nets: list[Any] = [
        Placed(he_uniform(MLP.init(jax.random.key(one.seed), WIDTHS[first["layers"]])), jnp.asarray(place, jnp.int32))
        for place, one in enumerate(cell.runs)
    ]
    x, count = _data().x_train.astype(np.float32), len(_data().x_train)
    y = np.stack([targets(settings.labels, one.seed) for one in cell.runs])
    pool, labels = np.concatenate([x for _ in cell.runs]), y.ravel()
    test = (_data().x_test.astype(np.float32), _data().y_test.astype(np.int32))
    held = (pool.reshape(len(y), count, -1), y, *test)
    memories, found, losses = None, [[] for _ in nets], [[] for _ in nets]
    moments = trials.moments(epochs, max(1, epochs // POINTS))
    for start in range(0, epochs, STAGE):
        steps = min(STAGE, epochs - start)
        # After an update that ends a stage it is measured there, and not once more where the next begins.
        due = tuple(at - start for at in moments if start <= at <= start + steps and (at > start or not start))
        trained = train.train_many(
            nets,
            pool,
            labels,
            [_everything(place, count, steps) for place in range(len(nets))],
            train.Protocol(cross_entropy, descent(0.0 if plain else MOMENTUM), measure_own, due),
            learning_rate=settings.learning_rate if plain else FIT_RATE,
            memories=memories,
            held=tuple(map(jnp.asarray, held)),
        )
        nets, memories = [one.net for one in trained], [one.memory for one in trained]
        for one, right, loss in zip(trained, found, losses, strict=True):
            right += [1 - int(number) / count for number in one.evaluated["train_right"]]
            loss.append(one.losses)
    return [
        _result(one, errors, np.concatenate(loss), moments)
        for one, errors, loss in zip(cell.runs, found, losses, strict=True)
    ]


def _everything(place: int, count: int, steps: int) -> Int[np.ndarray, "step example"]:
    """All examples, with the labels of the network at `place`, at each of so many updates."""
    return np.tile(np.arange(place * count, (place + 1) * count, dtype=np.int32), (steps, 1))


def _result(run: Run, errors: Sequence[float], losses: np.ndarray, moments: Sequence[int]) -> Result:
    """The mean, the lowest and the last training error; points are equally far apart, the last one may be nearer."""
    over = np.trapezoid(errors, moments) / moments[-1]
    values = {"mean_error": float(over), "lowest_error": min(errors), "train_error": errors[-1]}
    broken = np.flatnonzero(~np.isfinite(losses))
    if len(broken):
        values["diverged_at_step"] = float(broken[0])
    return Result(run, values, {"step": [float(at) for at in moments], "train_error": list(errors)})


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    mean = {layers: _of(results, layers, "descent", "mean_error") for layers in WIDTHS}
    pairs = list(pairwise(WIDTHS))
    orders = stats.judge_orders([(mean[deep], mean[shallow]) for shallow, deep in pairs])
    statements = [
        difference(f"faster-{deep}", f"{deep} layers are faster than {shallow}", order, headline=True)
        for (shallow, deep), order in zip(pairs, orders, strict=True)
    ]
    for layers in WIDTHS:
        lowest = stats.mean_interval(_of(results, layers, "momentum", "lowest_error"))
        sentence = f"{_name(layers)}, momentum: error < {100 * FITTED:.0f} %"
        statements.append(
            within(f"fits-{layers}", sentence, lowest, high=FITTED, headline=True, published="0 %", unit="error")
        )
    statements += _ends(results)
    return trials.judgement(
        ABOUT,
        results,
        statements,
        f"All four networks fit {settings.labels} labels, and each further layer makes the descent faster.",
        table=_table(results),
    )


def _ends(results: Sequence[Result]) -> list[Statement]:
    """Where the descent without momentum ends: the same order, if none has come to zero."""
    last = {layers: _of(results, layers, "descent", "train_error") for layers in (1, 4)}
    return [difference("ends-lower", "4 layers end lower than 1", stats.judge_order(last[4], last[1]))]


def _of(results: Sequence[Result], layers: int, way: str, value: str) -> list[float]:
    return trials.by_seed(results, value, layers=layers, way=way)


def _name(layers: int) -> str:
    return "1 layer" if layers == 1 else f"{layers} layers"


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    head = ("hidden layers", "parameters", "mean error, %", "error at the end, %", "lowest with momentum, %")
    rows = []
    for layers, widths in WIDTHS.items():
        columns = (("descent", "mean_error"), ("descent", "train_error"), ("momentum", "lowest_error"))
        errors = (percent_with_interval(_of(results, layers, way, value)) for way, value in columns)
        lost = sum("diverged_at_step" in one.values for one in trials.where(results, layers=layers))
        said = f", {lost} diverged" if lost else ""
        rows.append((f"{layers}{said}", f"{parameters_of(widths):,}", *errors))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Training error against epochs, without momentum and with it."""
    rows = {way: [] for way in WAYS}
    for way in WAYS:
        for layers in WIDTHS:
            chosen = trials.where(results, layers=layers, way=way)
            rows[way] += band(chosen, "train_error", {"net": _name(layers), "data": "all examples at every update"})
    said = "bands are 95 % intervals of the mean"
    return {
        "Training error, gradient descent without momentum": plot.curves(
            rows["descent"], x_title="epoch", y_title="training error", title="Depth under gradient descent",
            subtitle=said,
        ),
        "Training error, with momentum 0.9 at a rate of 0.1": plot.curves(
            rows["momentum"], x_title="epoch", y_title="training error", title="To the end, with momentum",
            subtitle=said,
        ),
    }  # fmt: skip
