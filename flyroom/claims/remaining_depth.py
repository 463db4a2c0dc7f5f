"""Claim: what the weights of a layer can do depends on how many layers come after it.

Source: Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, ICML 2017, arXiv 1606.05336, figures 4 to 6, and their
experiment with noise in one layer of a trained network.

Protocol, three parts; hard tanh throughout, normal weights of variance s^2 / fan-in, no biases at first; ten seeds.

- Swept (their figure 5: width 128, s^2 = 8, 15 inputs): in a random network of 3 or 6 hidden layers, the weights of
  hidden layer j run through W cos t + W' sin t, t from 0 to pi, with W' another draw; 15 normal inputs, as many units.
  Counted on 1024 values of t, in float64, the mean over 64 random linear outputs: transitions (changes of sign of an
  output, a mean over inputs) and dichotomies (different patterns of signs over the 15 inputs). The remaining depth of
  layer j of n is n - j.
- Trained (figure 6: MNIST, width 100, s^2 = 2): MNIST-1D, 6 hidden layers of 100 units; exactly one hidden layer is
  trained, from the second on, so that each has 10,100 parameters; Adam, batches of 100, 2000 updates; rates 0.001,
  0.003, 0.01, each layer at its best, which is chosen by the mean training accuracy of its ten seeds.
- Noise: the same networks with all layers trained, at 0.003; then normal noise on the weights of one hidden layer, of
  0.25, 0.5 or 1 times the root mean square of that layer's weights; the mean accuracy over 5 draws on the 1000 test
  examples. Layers are compared from the second on, the first informs.

Predicted before the first run. Swept, from mean field: pre-activations of the layer run along half a great circle, so
an output has 1.57 to 1.65 transitions at remaining depth 0 and 2.6, 4.1, 6.4, 10.1, 15.9 at 1 to 5 (1 % less a layer
for finite width): times 1.56 a layer; the same, within 5 %, for 3 and 6 layers. Dichotomies are 1 + 15 times the
transitions less repeats: 25 +- 2, 60 +- 5, 140 +- 15 at 0, 2, 4. Trained, a guess: training accuracy 85, 80, 73, 64, 52
+- 8 % for layers 2 to 6: an earlier layer is better. Noise of 0.5, a guess: layer 2 loses 35 +- 12 points and layer 6
15 +- 8: deviations grow by 1.15 a layer at first weights, and more in a trained network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from flyroom import plot, stats, train
from flyroom.claims import _trajectories, trials
from flyroom.claims._one_layer import OneLayer, Weights, disturbed
from flyroom.claims.statements import bounds, difference, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import both_parts, cross_entropy
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Dataset, Json, Judgement, Measurement, Result, Run, Statement

ABOUT = About(
    id="remaining-depth",
    version=1,
    title="What the layers after a layer are worth",
    sentence="What the weights of one layer can do depends on the remaining depth: sweeping them gives transitions "
    "exponential in it, training an earlier layer alone fits better, and noise in an early layer does more harm.",
    source="Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, On the expressive power of deep neural networks, ICML "
    "2017, figures 4 to 6 and the experiment on noise",
    prediction="Transitions 1.6, 2.6, 4.1, 6.4, 10.1, 15.9 for remaining depths 0 to 5 (times 1.56 a layer), the "
    "same within 5 % for 3 and 6 layers. Layers 2 to 6 trained alone: training accuracy 85, 80, 73, 64, 52 +- 8 %. "
    "Noise of half a layer's weights: layer 2 loses 35 +- 12 points, layer 6 15 +- 8.",
    cost_s=145.0,
    shortened="MNIST-1D in place of MNIST (for noise, of CIFAR-10 and a convolutional network too), and 2000 updates.",
)

SWEPT = (3, 6)  # hidden layers of the networks whose weights are swept
WIDTH, INPUTS, OUTPUTS, SWEPT_STD = 128, 15, 64, sqrt(8)
HIDDEN, UNITS, STD = 6, 100, sqrt(2)  # of the networks that are trained
LAYERS = range(2, HIDDEN + 1)  # hidden layers with equally many parameters
RATES, RATE = (0.001, 0.003, 0.01), 0.003
NOISES, NOISE, DRAWS = (0.25, 0.5, 1.0), 0.5, 5
BATCH = 100
FASTER, ALIKE = 1.2, 0.1  # transitions a layer; difference of ln transitions at one remaining depth
ALL = 0  # "layer" of a network in which every layer is trained


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    points: int = 1024  # values of t
    steps: int = 2000  # updates


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, few points and updates."""
    return {"runs": min(settings.runs, 2), "points": min(settings.points, 128), "steps": min(settings.steps, 40)}


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cells(settings: Settings) -> list[Cell]:
    """Swept networks, then those with one trained layer, then those with all, which get the noise.

    Raises ValueError for counts below 1 and fewer than 16 points.
    """
    trials.require_positive(settings, "runs", "steps")
    if settings.points < 16:
        raise ValueError(f"points {settings.points}: give at least 16 values of t to count transitions between")
    changed = trials.differing(settings, "runs")
    counted, learned = ({k: v for k, v in changed.items() if k != other} for other in ("steps", "points"))
    inputs = {"name": "normal inputs", "count": INPUTS, "units": WIDTH}
    places = [
        ({"part": "swept", "hidden": hidden, "layer": layer, **counted}, inputs)
        for hidden in SWEPT
        for layer in range(1, hidden + 1)
    ]
    places += [
        ({"part": "trained", "layer": layer, "rate": rate, **learned}, _data().recipe)
        for layer in LAYERS
        for rate in RATES
    ]
    places.append(({"part": "noise", "layer": ALL, "rate": RATE, **learned}, _data().recipe))
    return [
        Cell(
            tuple(Run(ABOUT.id, ABOUT.version, place, seed, recipe) for seed in range(settings.runs)),
            ahead=(place["layer"], place.get("rate")) == (LAYERS[0], RATES[0]),  # the others share its program
        )
        for place, recipe in places
    ]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if run.settings["part"] == "swept":
        remaining = run.settings["hidden"] - run.settings["layer"]
        return 6e-5 * run.settings.get("points", Settings().points) * (1 + remaining)
    seconds = 3.5e-4 * run.settings.get("steps", Settings().steps)
    return seconds + (2.0 if run.settings["part"] == "noise" else 0.0)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Sweep, or train one layer of each network, or train all and disturb one at a time."""
    first = cell.runs[0].settings
    if first["part"] == "swept":
        return [_swept(one, settings.points) for one in cell.runs]
    pairs = list(zip(cell.runs, _trained(cell, settings.steps), strict=True))
    if first["part"] == "trained":
        return [trials.recorded(one, net, _data(), (settings.steps,)) for one, net in pairs]
    return [_disturbed(one, net, settings.steps) for one, net in pairs]


def _swept(run: Run, points: int) -> Result:
    """Transitions and dichotomies while one layer's weights turn from W to -W by way of W'."""
    hidden, layer = run.settings["hidden"], run.settings["layer"]
    draw = np.random.default_rng(run.seed)
    x = draw.standard_normal((INPUTS, WIDTH))
    weights = SWEPT_STD / sqrt(WIDTH) * draw.standard_normal((max(SWEPT), WIDTH, WIDTH))
    other = SWEPT_STD / sqrt(WIDTH) * draw.standard_normal((WIDTH, WIDTH))
    outputs = draw.standard_normal((WIDTH, OUTPUTS))
    for weight in weights[: layer - 1]:
        x = np.clip(x @ weight.T, -1, 1)
    t = np.linspace(0, pi, points)[:, None, None]
    z = np.clip(np.cos(t) * (x @ weights[layer - 1].T) + np.sin(t) * (x @ other.T), -1, 1)
    for weight in weights[layer:hidden]:
        z = np.clip(z @ weight.T, -1, 1)
    return Result(run, counted(z @ outputs > 0))


def counted(signs: Bool[np.ndarray, "point input output"]) -> dict[str, float]:
    """Changes of sign, a mean over inputs and outputs; different patterns over the inputs, a mean over outputs."""
    changes = (signs[1:] != signs[:-1]).sum(axis=0).mean()
    places = 2.0 ** np.arange(signs.shape[1])
    codes = np.einsum("pio,i->po", signs.astype(np.float64), places)
    patterns = np.mean([len(np.unique(column)) for column in codes.T])
    return {"transitions": float(changes), "dichotomies": float(patterns)}


def network(layer: int, seed: int) -> OneLayer:
    """A random network of which hidden layer `layer` is to be trained, or every layer for `ALL`."""
    widths = "-".join(["40", *[str(UNITS)] * HIDDEN, "10"])
    net = parse(f"mlp:{widths}:hard_tanh?weight_std={STD!r}&bias_std=0").init(jax.random.key(seed))
    marks = [layer in (ALL, one) for one in range(1, HIDDEN + 2)]
    return OneLayer(net, jnp.asarray(marks, jnp.int32))


def _trained(cell: Cell, steps: int) -> list[train.Trained]:
    place = cell.runs[0].settings
    x, y = train.examples(_data())
    return train.train_many(
        [network(place["layer"], one.seed) for one in cell.runs],
        x,
        y,
        [train.shuffled(len(_data().x_train), BATCH, steps, one.seed) for one in cell.runs],
        train.Protocol(cross_entropy, train.adam, both_parts, (steps,)),
        learning_rate=place["rate"],
        held=train.both_parts(_data()),
    )


def _disturbed(run: Run, trained: train.Trained, steps: int) -> Result:
    """Test accuracy with noise on one hidden layer's weights, for every layer and size of noise."""
    result = trials.recorded(run, trained, _data(), (steps,))
    layers = [(np.asarray(one.weight, np.float64), np.asarray(one.bias, np.float64)) for one in trained.net.net.layers]
    draw = np.random.default_rng(run.seed)
    curves: dict[str, list[float]] = {"layer": [float(layer) for layer in range(1, HIDDEN + 1)]}
    for noise in NOISES:
        curves[_noisy(noise)] = [
            float(np.mean([accuracy(disturbed(layers, place, noise, draw)) for _ in range(DRAWS)]))
            for place in range(HIDDEN)
        ]
    return Result(run, result.values, curves)


def _noisy(noise: float) -> str:
    return f"noise_{noise:g}"


def accuracy(layers: Weights) -> float:
    """The share of test examples that a hard tanh network gets right, in float64."""
    z = _data().x_test.astype(np.float64)
    for weight, bias in layers[:-1]:
        z = np.clip(z @ weight.T + bias, -1, 1)
    weight, bias = layers[-1]
    return float(((z @ weight.T + bias).argmax(axis=1) == _data().y_test).mean())


def swept(results: Sequence[Result], hidden: int, remaining: int, value: str = "transitions") -> list[float]:
    """A count by seed, for the layer with so many hidden layers after it."""
    return trials.by_seed(results, value, part="swept", hidden=hidden, layer=hidden - remaining)


def best_rate(results: Sequence[Result], layer: int) -> float:
    """The rate with the highest mean training accuracy of a layer."""
    means = {
        rate: float(np.mean(trials.by_seed(results, "train_accuracy", part="trained", layer=layer, rate=rate)))
        for rate in RATES
    }
    return max(means, key=lambda rate: means[rate])


def alone(
    results: Sequence[Result], layer: int, value: str = "train_accuracy", rate: float | None = None
) -> list[float]:
    """An accuracy by seed of the networks of which only this layer was trained, at its best rate or the given one."""
    rate = best_rate(results, layer) if rate is None else rate
    return trials.by_seed(results, value, part="trained", layer=layer, rate=rate)


def noisy(results: Sequence[Result], layer: int, noise: float = NOISE) -> list[float]:
    """Test accuracy by seed with noise on one layer's weights."""
    found = trials.where(results, part="noise")
    if not found:
        raise ValueError("no network with noise is stored, so the claim cannot be judged; run it again")
    return [one.curves[_noisy(noise)][layer - 1] for one in found]


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    return trials.judgement(
        ABOUT,
        results,
        (*_sweeps(results), *_alone(results), *_noise(results)),
        "Transitions grow with the remaining depth, an earlier layer fits better, and noise in it does more harm.",
        table=_table(results),
    )


def _sweeps(results: Sequence[Result]) -> list[Statement]:
    """Growth with the remaining depth, and whether the depth of the whole network matters."""
    few, many = SWEPT
    statements = [
        within(f"grows-{value}", f"Swept: {value} grow > 20 % a layer",
               _trajectories.growth(swept(results, many, 0, value), swept(results, many, many - 1, value), many - 1),
               low=FASTER, unit="a layer", headline=value == "transitions")
        for value in ("transitions", "dichotomies")
    ]  # fmt: skip
    for remaining in range(few):
        apart = np.log(np.divide(swept(results, few, remaining), swept(results, many, remaining)))
        sentence = f"Swept, {remaining} left: {few} and {many} layers alike"
        statements.append(
            within(f"alike-{remaining}", sentence, stats.mean_interval(apart), low=-ALIKE, high=ALIKE, unit="ln",
                   headline=True)
        )  # fmt: skip
    pairs = [(swept(results, many, r, "dichotomies"), swept(results, many, r + 1, "dichotomies"))
             for r in range(many - 1)]  # fmt: skip
    for remaining, order in enumerate(stats.judge_orders(pairs)):
        sentence = f"Dichotomies: {remaining + 1} layers left above {remaining}"
        statements.append(difference(f"dichotomies-{remaining + 1}", sentence, order, unit="patterns"))
    return statements


def _alone(results: Sequence[Result]) -> list[Statement]:
    """One layer trained: each against the next, on training examples; first against last in other ways."""
    first, last = LAYERS[0], LAYERS[-1]
    orders = stats.judge_orders([(alone(results, late), alone(results, early)) for early, late in pairwise(LAYERS)])
    statements = [
        difference(f"trained-{early}", f"Layer {early} alone fits better than {late}", order, headline=True)
        for (early, late), order in zip(pairwise(LAYERS), orders, strict=True)
    ]
    for short, said, value, rate in (
        ("ends", "fits better than", "train_accuracy", None),
        ("test", "is better on tests than", "test_accuracy", None),
        ("fixed", f"at {RATE:g} fits better than", "train_accuracy", RATE),
    ):
        order = stats.judge_order(alone(results, last, value, rate), alone(results, first, value, rate))
        statements.append(difference(f"trained-{short}", f"Layer {first} alone {said} {last}", order))
    return statements


def _noise(results: Sequence[Result]) -> list[Statement]:
    """Accuracy with noise in the first layer that is compared against noise in the last, and each against the next."""
    first, last = LAYERS[0], LAYERS[-1]
    statements = []
    for noise in NOISES:
        order = stats.judge_order(noisy(results, first, noise), noisy(results, last, noise))
        sentence = f"Noise {noise:g}: layer {first} suffers more than {last}"
        statements.append(difference(f"noise-{noise:g}", sentence, order, headline=noise == NOISE))
    layers = range(1, HIDDEN + 1)
    orders = stats.judge_orders([(noisy(results, early), noisy(results, late)) for early, late in pairwise(layers)])
    for (early, late), order in zip(pairwise(layers), orders, strict=True):
        sentence = f"Noise {NOISE:g}: layer {early} suffers more than {late}"
        statements.append(difference(f"noise-layer-{early}", sentence, order))
    return statements


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    few, many = SWEPT
    rows = []
    for layer in range(1, HIDDEN + 1):
        left = HIDDEN - layer
        counts = [f"{np.mean(swept(results, hidden, left)):.2f}" if left < hidden else "" for hidden in SWEPT]
        patterns = f"{np.mean(swept(results, many, left, 'dichotomies')):.0f}"
        fits = ["", "", ""]
        if layer in LAYERS:
            fits = [
                percent_with_interval(alone(results, layer, value)) for value in ("train_accuracy", "test_accuracy")
            ]
            fits.append(f"{best_rate(results, layer):g}")
        rows.append((str(layer), str(left), *counts, patterns, *fits, percent_with_interval(noisy(results, layer))))
    head = (
        "layer",
        "left",
        f"transitions, {few}",
        f"of {many}",
        "dichotomies",
        "alone, %",
        "test, %",
        "rate",
        "noise, %",
    )
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Counts against the remaining depth, accuracy against the layer that is trained or disturbed."""
    counts, fits, noises = [], [], []
    for value in ("transitions", "dichotomies"):
        for hidden in SWEPT:
            for left in range(hidden):
                found = stats.mean_interval(swept(results, hidden, left, value))
                counts.append({"net": f"{hidden} layers", "data": value, **_row(left, found)})
    for layer in LAYERS:
        for value, label in (("train_accuracy", "training"), ("test_accuracy", "test")):
            found = stats.mean_interval(alone(results, layer, value))
            fits.append({"net": label, "data": "one layer trained", **_row(layer, found)})
    for layer in range(1, HIDDEN + 1):
        for noise in NOISES:
            found = stats.mean_interval(noisy(results, layer, noise))
            noises.append({"net": f"noise {noise:g}", "data": "one layer disturbed", **_row(layer, found)})
    said = "means over seeds with 95 % intervals"
    return {
        "Counts while one layer's weights are swept, by the number of layers after it": plot.curves(
            counts, x_title="hidden layers after it", y_title="count", percent=False, log_y=True, points=True,
            title="What the layers after a layer are worth", subtitle=said,
        ),
        "Accuracy when only one hidden layer is trained": plot.curves(
            fits, x_title="hidden layer", y_title="accuracy", points=True, title="One layer trained", subtitle=said,
        ),
        "Test accuracy with noise in one hidden layer of a trained network": plot.curves(
            noises, x_title="hidden layer", y_title="test accuracy", points=True, title="One layer disturbed",
            subtitle=f"noise relative to the layer's weights; {said}",
        ),
    }  # fmt: skip


def _row(step: int, found: Measurement) -> dict[str, Json]:
    return {"step": step, "mean": found.value, **bounds(found)}
