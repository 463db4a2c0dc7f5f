"""Claim: large learning rates kill ReLU units, GELU and leaky ReLU are spared, and norm with ReLU makes half the zeros.

Source: a lecture on multi-layer perceptrons and convolutional networks. ReLU has "many zeros" and "zero gradient for
z < 0", a leaky ReLU has not, GELU gives a unit "a second chance" before its gradient is zero; "about 50 % of outputs
are zero after BN + ReLU". No figures of its own.

Protocol: the published data set (4000 / 1000), an MLP 40-100-100-10 with PyTorch's first weights, batches of 100
shuffled anew each epoch, 1500 updates of Adam at 1e-3, 1e-2 and 1e-1, with ReLU, leaky ReLU (slope 0.01) and GELU.
Then the same network with batch norm in both hidden layers, before ReLU or after it, at 1e-2. The seed draws first
weights and batches.

A unit is dead when its activation's derivative is below 1e-3 in size at every training example: for ReLU, where its
input is never above 0; for GELU, where it is never above about -3.8; for a leaky ReLU never, by definition. Beside it
stands how many units have no input above 0, whatever the activation. Zeros are counted over all units and training
examples, batch norm taking the statistics of the whole training set.

At first weights half of the outputs are zero after norm and ReLU, in expectation exactly: a weight vector and its
negative are equally likely, and the norm takes the bias out. After ReLU and norm none is zero; if inputs of ReLU are
normal with mean zero, its mean is 0.399 deviations, and Phi(0.399) = 65.5 % of the outputs lie below it.

Seen before, elsewhere, after 1500 updates: 0 %, 32 % and 99 % of the second layer dead with ReLU, test accuracies of
60, 62 and 30 %; 55 % with a leaky ReLU at 1e-1.

Predicted before the first run. Dead in the second layer, ReLU: 0, 32 +- 8, 99 +- 1.5 %; GELU: 0, 3 +- 3, 85 +- 12 %.
In the first layer, ReLU: 0, 5 +- 5, 70 +- 20 %. Inputs never above 0 in the second layer, leaky: 0, 20 +- 15, 40 +- 25
%. Test accuracy, ReLU: 60, 62, 30 (+- 3, 3, 12) %; leaky: 60, 62, 55 (+- 3, 3, 5); GELU: 61, 63, 45 (+- 3, 3, 12).
Norm and ReLU: 50 +- 1 % zeros at first weights, 58 +- 6 % after training; ReLU and norm: none, and 65.5 +- 3 % below
the mean in the second layer at first weights. The share of zeros differs between units (standard deviation, second
layer, first weights) by 5 +- 3 points with norm, by 35 +- 10 without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from flyroom import plot, stats, train
from flyroom.claims import _normed, trials
from flyroom.claims.statements import bounds, difference, mean_accuracy, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import both_parts, cross_entropy
from flyroom.nets.activations import activation
from flyroom.nets.mlp import MLP
from flyroom.nets.norms import AtInference, BatchNorm, absorb
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="dead-relu",
    version=1,
    title="Units that die, and outputs that are zero",
    sentence="The larger the learning rate, the more ReLU units die; GELU gives a second chance, a leaky ReLU keeps "
    "its accuracy; and after norm and ReLU about half of the outputs are zero, in the other order none.",
    source="A lecture on multi-layer perceptrons and convolutional networks (activations; batch norm and skip "
    "connections)",
    prediction="Dead in the second layer at 1e-3, 1e-2, 1e-1, ReLU: 0, 32 +- 8, 99 +- 1.5 %; GELU: 0, 3 +- 3, 85 +- 12 "
    "%. Test accuracy at 1e-1: ReLU 30 +- 12 %, leaky 55 +- 5 %, GELU 45 +- 12 %. Norm and ReLU: 50 +- 1 % zeros at "
    "first weights, 58 +- 6 % after training. ReLU and norm: none, 65.5 +- 3 % below the mean.",
    cost_s=15.0,
)
ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "gelu": "GELU"}
RATES = (0.001, 0.01, 0.1)
ORDERS = ("norm first", "relu first")
NORMED_RATE = 0.01
WIDTHS = (40, 100, 100, 10)
LAYERS = (1, 2)

GRADIENT = 1e-3  # a derivative below this at every example is that of a dead unit
FEW, NEARLY_ALL = 0.05, 0.90  # of a layer: "hardly any die", "nearly all die"
FIRST, TRAINED = 0.05, 0.10  # "about half": 45 to 55 % at first weights, 40 to 60 % after training
NONE = 0.01  # "none are zero": dead units, whose output is constant, may leave a few
BELOW = NormalDist().cdf(NormalDist().pdf(0))  # of max(0, z), z normal: the share below its mean


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but `runs` is part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind
    steps: int = 1500  # updates
    batch: int = 100  # examples an update


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, sixty updates."""
    return {"runs": min(settings.runs, 2), "steps": min(settings.steps, 60)}


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cells(settings: Settings) -> list[Cell]:
    """Every activation at every rate, then batch norm in either order.

    Raises ValueError for counts below 1, and for a batch that the data cannot fill or batch norm cannot use.
    """
    trials.require_positive(settings, "runs", "steps")
    if not 2 <= settings.batch <= len(_data().x_train):
        raise ValueError(
            f"a batch of {settings.batch}: batch norm takes at least 2 of the {len(_data().x_train)} examples"
        )
    changed = trials.differing(settings, "runs")
    places = [{"activation": name, "rate": rate} for name in ACTIVATIONS for rate in RATES]
    places += [{"order": order} for order in ORDERS]
    # One program serves all rates of an activation.
    return [
        Cell(
            tuple(
                Run(ABOUT.id, ABOUT.version, {**place, **changed}, seed, _data().recipe)
                for seed in range(settings.runs)
            ),
            ahead=place.get("rate", RATES[0]) == RATES[0],
        )
        for place in places
    ]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    steps = run.settings.get("steps", Settings().steps) * run.settings.get("batch", Settings().batch) / 100
    return steps * (2.0e-4 if "order" in run.settings else 1.3e-4)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, and count their units now and then."""
    first, data = cell.runs[0].settings, _data()
    x, y = train.examples(data)
    moments = trials.moments(settings.steps, max(1, settings.steps // 10))
    if "order" in first:
        nets: list[Any] = [_normed_net(first["order"], one.seed) for one in cell.runs]
        protocol = train.Protocol(_normed.training_loss, train.adam, measure_normed, moments, after=absorb)
    else:
        nets = [MLP.init(jax.random.key(one.seed), WIDTHS, activation(first["activation"])) for one in cell.runs]
        protocol = train.Protocol(cross_entropy, train.adam, measure, moments)
    trained = train.train_many(
        nets,
        x,
        y,
        [train.shuffled(len(data.x_train), settings.batch, settings.steps, one.seed) for one in cell.runs],
        protocol,
        learning_rate=first.get("rate", NORMED_RATE),
        held=(*train.both_parts(data), x),
    )
    return [_result(one, net, moments) for one, net in zip(cell.runs, trained, strict=True)]


def _normed_net(order: _normed.Order, seed: int) -> AtInference:
    return _normed.to_train(_normed.mlp(jax.random.key(seed), BatchNorm.init, WIDTHS, order=order))


def measure(net: MLP, held: tuple[Array, Array, Array, Array]) -> dict[str, Array]:
    """Accuracies and losses, and the units of every hidden layer at the training examples.

    `dead` and `negative` are shares of the units: with a derivative below `GRADIENT`, with an input of at most 0, at
    every example. A number that is none counts as dead. `zero` is the share of zeros among all outputs, `spread` the
    standard deviation of that share from unit to unit.
    """
    found = both_parts(net, held[:3])
    hidden = held[3].T
    for number, layer in zip(LAYERS, net.layers, strict=False):
        before = layer(hidden)
        hidden, slope = jax.jvp(net.activation, (before,), (jnp.ones_like(before),))
        found[f"dead_{number}"] = jnp.mean(jnp.all(~(jnp.abs(slope) >= GRADIENT), axis=1))
        found[f"negative_{number}"] = jnp.mean(jnp.all(~(before > 0), axis=1))
        found |= _zeros(number, hidden)
    return found


def measure_normed(model: AtInference, held: tuple[Array, Array, Array, Array]) -> dict[str, Array]:
    """Accuracies and losses by running statistics, and what the layers hand on by those of the training examples.

    `below` is the share of ReLU's outputs that lie below their unit's mean.
    """
    found = both_parts(model, held[:3])
    for number, (rectified, handed) in enumerate(model.net.outputs(held[3]), 1):
        found |= _zeros(number, handed)
        found[f"below_{number}"] = jnp.mean(rectified < rectified.mean(1, keepdims=True))
    return found


def _zeros(number: int, outputs: Array) -> dict[str, Array]:
    share = jnp.mean(outputs == 0, axis=1)
    return {f"zero_{number}": share.mean(), f"spread_{number}": share.std()}


def _result(run: Run, trained: train.Trained, moments: Sequence[int]) -> Result:
    """Every measured number before the first update ("first_dead_1") and after the last, and its curve."""
    made = trials.recorded(run, trained, _data(), moments)
    counted = {
        name: [float(value) for value in values]
        for name, values in trained.evaluated.items()
        if name.split("_")[0] in ("dead", "negative", "zero", "spread", "below")
    }
    values = {name: curve[-1] for name, curve in counted.items()}
    values |= {f"first_{name}": curve[0] for name, curve in counted.items()}
    return Result(run, {**made.values, **values}, {**made.curves, **counted})


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (*_deaths(results), *_spared(results), *_half(results), *_reversed(results))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "ReLU units die with the learning rate, others are spared; norm and ReLU leave half of the outputs at zero.",
        table=_table(results),
    )


def _of(results: Sequence[Result], value: str, name: str, rate: float) -> list[float]:
    return trials.by_seed(results, value, activation=name, rate=rate)


def _deaths(results: Sequence[Result]) -> list[Statement]:
    slow, middle, fast = (_of(results, "dead_2", "relu", rate) for rate in RATES)
    orders = stats.judge_orders([(slow, middle), (middle, fast)])
    few = stats.mean_interval(slow)
    most = stats.mean_interval(fast)
    return [
        within("few-die", "1e-3: < 5 % of layer 2 die with ReLU", few, high=FEW, headline=True, published="0 %"),
        difference("more-die", "1e-2: more die than at 1e-3", orders[0], headline=True, published="32 %"),
        difference("most-die", "1e-1: more die than at 1e-2", orders[1], headline=True, published="67 %"),
        within("all-die", "1e-1: > 90 % of layer 2 die", most, low=NEARLY_ALL, headline=True, published="99 %"),
    ]


def _spared(results: Sequence[Result]) -> list[Statement]:
    """GELU by its dead units, at the two rates at which ReLU's die; the leaky ReLU by its accuracy."""
    rates = RATES[1:]
    pairs = [(_of(results, "dead_2", "gelu", rate), _of(results, "dead_2", "relu", rate)) for rate in rates]
    found = [
        difference(f"gelu-{rate:g}", f"{rate:.0e}: fewer die with GELU".replace("e-0", "e-"), order, headline=True)
        for rate, order in zip(rates, stats.judge_orders(pairs), strict=True)
    ]
    accuracy = {name: _of(results, "test_accuracy", name, RATES[-1]) for name in ACTIVATIONS}
    leaky, gelu = stats.judge_orders([(accuracy["relu"], accuracy[name]) for name in ("leaky_relu", "gelu")])
    gain = "1e-1: leaky ReLU is more accurate than ReLU"
    found.append(difference("leaky-accuracy", gain, leaky, headline=True, published="25 %"))
    found.append(difference("gelu-accuracy", "1e-1: GELU is more accurate than ReLU", gelu))
    idle = stats.mean_interval(_of(results, "negative_2", "leaky_relu", RATES[-1]))
    return [*found, within("leaky-negative", "1e-1: > 5 % of leaky units never above 0", idle, low=FEW)]


def _both(results: Sequence[Result], value: str, **place: Json) -> list[float]:
    """The mean over both hidden layers, by seed."""
    return np.mean([trials.by_seed(results, f"{value}_{layer}", **place) for layer in LAYERS], axis=0).tolist()


def _half(results: Sequence[Result]) -> list[Statement]:
    found = []
    for name, moment, margin, when in (
        ("half-first", "first_zero", FIRST, "first weights"),
        ("half-trained", "zero", TRAINED, "trained"),
    ):
        zeros = stats.mean_interval(_both(results, moment, order="norm first"))
        low, high = 0.5 - margin, 0.5 + margin
        said = f"Norm, ReLU, {when}: {100 * low:.0f} to {100 * high:.0f} % zeros"
        found.append(within(name, said, zeros, low=low, high=high, headline=True, published="50 %"))
    spreads = [
        trials.by_seed(results, "first_spread_2", **place)
        for place in ({"order": "norm first"}, {"activation": "relu", "rate": NORMED_RATE})
    ]
    order = stats.judge_order(*spreads)
    return [*found, difference("units-alike", "With norm units are zero equally often", order)]


def _reversed(results: Sequence[Result]) -> list[Statement]:
    zeros = stats.mean_interval(_both(results, "zero", order="relu first"))
    below = stats.mean_interval(trials.by_seed(results, "first_below_2", order="relu first"))
    low, high = BELOW - FIRST, BELOW + FIRST
    said = f"ReLU, norm, first: {100 * low:.1f} to {100 * high:.1f} % below mean"
    return [
        within("none-zero", "ReLU, norm, trained: < 1 % zeros", zeros, high=NONE, headline=True, published="0 %"),
        within("below-mean", said, below, low=low, high=high, published=f"{100 * BELOW:.1f} %"),
    ]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, label in ACTIVATIONS.items():
        for rate in RATES:
            chosen = trials.where(results, activation=name, rate=rate)
            rows.append((f"{label}, {rate:g}", *_entries(chosen, ("dead_1", "dead_2", "zero_2", "test_accuracy"))))
    for order in ORDERS:
        chosen = trials.where(results, order=order)
        rows.append((f"{order}, {NORMED_RATE:g}", "", "", *_entries(chosen, ("zero_2", "test_accuracy"))))
    head = ("network, rate", "dead, layer 1, %", "dead, layer 2, %", "zeros, layer 2, %", "test accuracy, %")
    return (head, *rows)


def _entries(chosen: Sequence[Result], names: Sequence[str]) -> list[str]:
    lost = sum("diverged_at_step" in one.values for one in chosen)
    entries = [percent_with_interval([one.values[name] for one in chosen]) for name in names]
    return [*entries[:-1], entries[-1] + (f", {lost} diverged" if lost else "")]


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Dead units while training, their final shares, and the zeros with batch norm in either order."""
    deaths, dots, means, zeros = [], [], [], []
    for rate in RATES:
        for name, label in ACTIVATIONS.items():
            chosen = trials.where(results, activation=name, rate=rate)
            deaths += _band(chosen, "dead_2", {"net": label, "data": f"Adam at {rate:g}"})
            values = [one.values["test_accuracy"] for one in chosen]
            place, found = {"net": label, "data": f"Adam at {rate:g}"}, mean_accuracy(values)
            dots += [{**place, "value": value, "seed": seed} for seed, value in enumerate(values)]
            means.append({**place, "value": found.value, **bounds(found)})
    labels = {"norm first": "norm, then ReLU", "relu first": "ReLU, then norm"}
    for order, label in labels.items():
        for layer in LAYERS:
            chosen = trials.where(results, order=order)
            zeros += _band(chosen, f"zero_{layer}", {"net": f"zero, layer {layer}", "data": label})
            zeros += _band(chosen, f"below_{layer}", {"net": f"below the mean, layer {layer}", "data": label})
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    return {
        "Dead units of the second layer while training": plot.curves(
            deaths, y_title="dead units, layer 2", title="Units die with the learning rate", subtitle=said, columns=3
        ),
        "Test accuracy after training": plot.finals(dots, means, title="What dead units cost", subtitle=said),
        "Outputs that are zero, and below their unit's mean, with batch norm": plot.curves(
            zeros, y_title="share of outputs", title="Norm and ReLU, in either order", subtitle=said
        ),
    }


def _band(chosen: Sequence[Result], curve: str, place: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Rows of a figure: the mean of a curve of shares with its interval, at every step."""
    values = np.array([one.curves[curve] for one in chosen])
    low, high = np.clip(stats.mean_band(values), 0, 1) if len(values) > 1 else (values[0], values[0])
    return [
        {**place, "step": step, "mean": float(values[:, i].mean()), "low": float(low[i]), "high": float(high[i])}
        for i, step in enumerate(chosen[0].curves["step"])
    ]
