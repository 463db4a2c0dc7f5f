"""Claim: transitions along a path are proportional to the length of its image, in hard tanh networks; not with ReLU.

Source: Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, ICML 2017, arXiv 1606.05336, figure 2 (hard tanh); for ReLU
Hanin and Rolnick, ICML 2019, arXiv 1901.09021: the number of linear pieces along a path is about that of neurons.

Protocol: networks of 6 hidden layers, width 32, 32 inputs, no biases, weights of standard deviation s / sqrt(32); hard
tanh with s = 1.5, 2, 3, 4, ReLU with s = sqrt 2 and 2; a whole circle of radius sqrt(32). Ten seeds, which draw weights
and plane; networks of one seed differ by s only. After each hidden layer

- length: of the image, certified to 1 in 1000 (`measure.trajectory`);
- sign transitions: of a random linear output on that layer, the mean over 64 outputs; on 32,768 points in float64;
- kinks: how often a unit of that layer passes to another linear piece of its activation, the sum over units, likewise.

Counts on points are estimates: of two transitions between neighbouring points none is seen. How many are missed is
judged by what half of the points miss. A slope is that of ln transitions against ln length by least squares, for one
seed: over layers 2 to 6, or over the four s at layer 6.

Why: the sign of a random output v z changes once for every crossing of a random hyperplane, so by Crofton's formula its
expected number of transitions is the length of z / |z| over pi: length / (pi |z|) where |z| is constant. That is
judged too, with the root mean square of |z|. In hard tanh networks |z| is constant from layer to layer; in ReLU
networks it grows as the length does, and the number of transitions stays where it is.

Predicted from theory before the first run (only the time of single lengths had been measured). Slope over layers, hard
tanh: 1.04, 1.01, 1.00, 1.00 (s = 1.5, 2, 3, 4; +- 0.03); over s 0.92 +- 0.02, because |z| grows a little with s.
Transitions times pi |z| / length: 1.00 +- 0.02. Transitions after layer 6, mean field 6.3, 12.9, 82 (s = 1.5, 2, 4),
less for width 32: 6.0, 11.7, 65. ReLU: 2.0 after every layer, a little less in later ones; slope -0.05 +- 0.1 with s =
2; kinks 64 +- 8 (two a unit) in each layer, so that layer 6 has 0.9 to 1 times those of layer 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from jaxtyping import Float64

from flyroom import plot, stats
from flyroom.claims import _trajectories, trials
from flyroom.claims.statements import bounds, within
from flyroom.measure import paths
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="transitions-follow-length",
    version=1,
    title="What the length of a path counts",
    sentence="Along a path through a random hard tanh network the number of transitions is proportional to the length "
    "of its image; in ReLU networks the length may grow while the number of transitions does not.",
    source="Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, On the expressive power of deep neural networks, ICML "
    "2017, figure 2; Hanin and Rolnick, Complexity of linear regions in deep networks, ICML 2019",
    prediction="Slope of ln transitions against ln length, hard tanh: over layers 1.04, 1.01, 1.00, 1.00 (+- 0.03) for "
    "weights of 1.5, 2, 3, 4 / sqrt fan-in, over weights 0.92 +- 0.02. Transitions = length / (pi |z|) within 2 %. "
    "ReLU: two transitions after every layer, slope -0.05 +- 0.1, kinks a layer 0.9 to 1 times as many in layer 6 "
    "as in 2.",
    cost_s=35.0,
)

ROOT2 = sqrt(2)
STDS = {"hard_tanh": (1.5, 2.0, 3.0, 4.0), "relu": (ROOT2, 2.0)}
CALLED = {"hard_tanh": "hard tanh", "relu": "ReLU"}
LARGE = (2.0, 3.0, 4.0)  # weights that are large: paths lengthen by more than 10 % a layer
KINKS = {"hard_tanh": (-1.0, 1.0), "relu": (0.0,)}
FIRST = 2  # layer from which slopes count
SLOPE = (0.9, 1.1)  # "proportional"
CROFTON = (0.95, 1.05)
FASTER, FLAT, MISSED = 1.1, 0.1, 0.01
REL_TOL, OUTPUTS = 1e-3, 64


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    depth: int = 6  # hidden layers
    width: int = 32  # units of each
    points: int = 32_768  # on the circle, that transitions are counted on


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, narrow networks, fewer points."""
    few = {"runs": min(settings.runs, 2), "depth": min(settings.depth, 4)}
    return {**few, "width": min(settings.width, 16), "points": min(settings.points, 4096)}


def cells(settings: Settings) -> list[Cell]:
    """The networks of each kind.

    Raises ValueError for counts below 1, fewer than three layers or more than 12, and too few points to count on.
    """
    trials.require_positive(settings, "runs", "width")
    if not FIRST < settings.depth <= 12:
        raise ValueError(f"depth {settings.depth}: slopes are taken from layer {FIRST} on, so give 3 to 12 layers")
    if settings.points < 64 or settings.points % 2:
        raise ValueError(f"points {settings.points}: give an even number of at least 64; half of them show the error")
    changed = trials.differing(settings, "runs")
    data = {"name": "circle", "units": settings.width, "radius": "sqrt(units)"}
    return [
        Cell(
            tuple(
                Run(ABOUT.id, ABOUT.version, {"activation": name, "weight_std": std, **changed}, seed, data)
                for seed in range(settings.runs)
            )
        )
        for name, stds in STDS.items()
        for std in stds
    ]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    given = {name: run.settings.get(name, getattr(Settings(), name)) for name in ("depth", "width", "points")}
    lengths = 0.16 if run.settings["activation"] == "relu" else 0.14 * run.settings["weight_std"]
    return lengths * (given["width"] / 32) ** 2 * 1.6 ** (given["depth"] - 6) + 1e-5 * given["points"]


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Draw the networks of a cell, measure the lengths, and count."""
    return [_measured(one, settings) for one in cell.runs]


def _measured(run: Run, settings: Settings) -> Result:
    name, std, width = run.settings["activation"], run.settings["weight_std"], settings.width
    net = _trajectories.network(name, width, settings.depth, std, 0.0, run.seed)
    path = _trajectories.circle(width, run.seed)
    found = _trajectories.lengths(net, path, width, REL_TOL)
    length = [(float(low) + float(high)) / 2 for low, high in found]
    x = paths.points(path, np.arange(settings.points) / settings.points)
    signs = np.random.default_rng(run.seed).standard_normal((settings.depth, width, OUTPUTS))
    curves: dict[str, list[float]] = {"layer": [float(i + 1) for i in range(settings.depth)], "length": length}
    rows, missed, seen = [], 0.0, 0.0
    for (u, z), v in zip(layers(net, x, KINKS[name]), signs, strict=True):
        output = z @ v
        here, coarse = changes(output > 0), changes(output[::2] > 0)
        # Values on each side of every kink of the activation, so that a change is a step onto another piece.
        kinks = sum(changes(u > kink) for kink in KINKS[name])
        rows.append((here / OUTPUTS, float(kinks), float(np.sqrt(np.mean(np.sum(z * z, axis=1))))))
        missed, seen = missed + here - coarse, seen + here
    for label, column in zip(("transitions", "kinks", "norm"), zip(*rows, strict=True), strict=True):
        curves[label] = list(column)
    gap = max((float(high) - float(low)) / float(high) for low, high in found)
    return Result(run, {"missed": missed / max(seen, 1.0), "gap": gap}, curves)


def layers(net: MLP, x: Float64[np.ndarray, "point unit"], kinks: Sequence[float]):
    """Pre-activations and activations of every hidden layer on these points, in float64, layer by layer.

    Written out here, so that what is counted depends on nothing that measures lengths: clipping at the kinks is hard
    tanh for -1 and 1, and ReLU for 0 alone.
    """
    ends = (kinks[0], kinks[-1] if len(kinks) > 1 else np.inf)
    for layer in net.layers[:-1]:
        weight, bias = np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)
        u = x @ weight.T + bias
        x = np.clip(u, *ends)
        yield u, x


def changes(above: np.ndarray) -> float:
    """How often a column changes from one point to the next, round the circle; the sum over columns."""
    return float((above != np.roll(above, -1, axis=0)).sum())


def curves_of(results: Sequence[Result], name: str, std: float, curve: str) -> Float64[np.ndarray, "seed layer"]:
    """One curve of every network of a kind, by seed."""
    found = trials.where(results, activation=name, weight_std=std)
    if not found:
        raise ValueError(
            f"no run of {CALLED[name]} with {std:g} is stored, so the claim cannot be judged; run it again"
        )
    return np.array([one.curves[curve] for one in found], np.float64)


def over_layers(results: Sequence[Result], name: str, std: float) -> list[float]:
    """The slope of ln transitions against ln length over layers, by seed; half a transition where there is none."""
    length, count = (curves_of(results, name, std, curve)[:, FIRST - 1 :] for curve in ("length", "transitions"))
    return _slopes(length, count)


def over_stds(results: Sequence[Result], layer: int = -1) -> list[float]:
    """The slope over the weights of hard tanh networks, at one layer, by seed."""
    length, count = (
        np.stack([curves_of(results, "hard_tanh", std, curve)[:, layer] for std in STDS["hard_tanh"]], axis=1)
        for curve in ("length", "transitions")
    )
    return _slopes(length, count)


def _slopes(length: np.ndarray, count: np.ndarray) -> list[float]:
    least = 0.5 / OUTPUTS
    return [_trajectories.slope(np.log(x), np.log(np.maximum(y, least))) for x, y in zip(length, count, strict=True)]


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    low, high = SLOPE
    statements = []
    for std in STDS["hard_tanh"]:
        found = stats.mean_interval(over_layers(results, "hard_tanh", std))
        statements.append(
            within(f"layers-{std:g}", f"Hard tanh {std:g}: slope 1 over layers", found, low=low, high=high,
                   unit="slope", headline=std in LARGE, published="1")
        )  # fmt: skip
    found = stats.mean_interval(over_stds(results))
    statements.append(
        within("weights", "Hard tanh: slope 1 over weights", found, low=low, high=high, unit="slope", headline=True,
               published="1")
    )  # fmt: skip
    statements += [*_growth(results, settings.depth), *_relu(results), *_constant(results), _missed(results)]
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Transitions are proportional to length in hard tanh networks; with ReLU length grows, and they do not.",
        table=_table(results),
    )


def _growth(results: Sequence[Result], depth: int) -> list[Statement]:
    """Transitions grow exponentially with depth where lengths do."""
    statements = []
    for std in LARGE:
        count = curves_of(results, "hard_tanh", std, "transitions")
        found = _trajectories.growth(count[:, FIRST - 1].tolist(), count[:, -1].tolist(), depth - FIRST)
        sentence = f"Hard tanh {std:g}: transitions grow > 10 %"
        statements.append(within(f"grow-{std:g}", sentence, found, low=FASTER, unit="a layer", headline=True))
    return statements


def _relu(results: Sequence[Result]) -> list[Statement]:
    """ReLU: slopes, and kinks of the last layer over those of the second."""
    statements = []
    for std in STDS["relu"]:
        big, short = std == STDS["relu"][-1], "root2" if std == ROOT2 else f"{std:g}"
        label = "√2" if std == ROOT2 else f"{std:g}"
        kinks = curves_of(results, "relu", std, "kinks")
        found = stats.ratio(kinks[:, -1], kinks[:, FIRST - 1])
        sentence = f"ReLU {label}: last layer has no more kinks"
        statements.append(within(f"relu-kinks-{short}", sentence, found, high=FASTER, unit="times", headline=big))
        if big:  # where lengths grow
            found = stats.mean_interval(over_layers(results, "relu", std))
            sentence = f"ReLU {label}: slope at most {FLAT:g} over layers"
            statements.append(within(f"relu-slope-{short}", sentence, found, high=FLAT, unit="slope", headline=True))
    return statements


def _constant(results: Sequence[Result]) -> list[Statement]:
    """Transitions over what Crofton's formula makes of length and norm, at the last layer."""
    statements = []
    for name, stds in STDS.items():
        for std in stds:
            length, count, norm = (
                curves_of(results, name, std, curve)[:, -1] for curve in ("length", "transitions", "norm")
            )
            found = stats.mean_interval(count * pi * norm / length)
            short, label = ("root2", "√2") if std == ROOT2 else (f"{std:g}", f"{std:g}")
            sentence = f"{CALLED[name].capitalize() if name != 'relu' else 'ReLU'} {label}: length / (π |z|), 5 %"
            statements.append(
                within(f"crofton-{name.replace('_', '-')}-{short}", sentence, found, low=CROFTON[0], high=CROFTON[1],
                       unit="times")
            )  # fmt: skip
    return statements


def _missed(results: Sequence[Result]) -> Statement:
    """By seed the most that any of its networks misses: those of one seed are no independent values."""
    seeds = sorted({one.run.seed for one in results})
    worst = [max(one.values["missed"] for one in results if one.run.seed == seed) for seed in seeds]
    sentence = "Half of the points miss less than 1 %"
    return within("missed", sentence, stats.mean_interval(worst), high=MISSED, unit="of transitions")


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, stds in STDS.items():
        for std in stds:
            length, count, kinks = (
                curves_of(results, name, std, curve).mean(axis=0) for curve in ("length", "transitions", "kinks")
            )
            slope = stats.mean_interval(over_layers(results, name, std)).value
            ends = (f"{column[FIRST - 1]:.3g} to {column[-1]:.3g}" for column in (length, count, kinks))
            label = "√2" if std == ROOT2 else f"{std:g}"
            rows.append((CALLED[name], label, *ends, f"{slope:.3f}"))
    return (("network", "s", "length", "transitions of an output", "kinks of a layer", "slope"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Transitions against length, and both against depth."""
    against, deep = [], []
    for name, stds in STDS.items():
        for std in stds:
            label = "√2" if std == ROOT2 else f"{std:g}"
            length, count, kinks = (
                curves_of(results, name, std, curve) for curve in ("length", "transitions", "kinks")
            )
            for layer in range(length.shape[1]):
                mean = stats.mean_interval(count[:, layer])
                against.append({"net": f"s = {label}", "data": CALLED[name], "step": float(length[:, layer].mean()),
                                "mean": mean.value, **bounds(mean)})  # fmt: skip
                mean = stats.mean_interval(kinks[:, layer])
                deep.append({"net": f"s = {label}", "data": CALLED[name], "step": layer + 1, "mean": mean.value,
                             **bounds(mean)})  # fmt: skip
    said = f"{judgement.runs} networks of width {results[0].run.settings.get('width', Settings().width)}"
    return {
        "Sign transitions of an output against the length of the image, a point a layer": plot.curves(
            against, x_title="length", y_title="transitions", percent=False, log_x=True, log_y=True, points=True,
            title="What the length of a path counts", subtitle=f"{said}; means over seeds with 95 % intervals",
        ),
        "Kinks of one layer's units along the circle, against depth": plot.curves(
            deep, x_title="hidden layer", y_title="kinks", percent=False, log_y=True, points=True,
            title="Where the kinks are", subtitle=f"{said}; means over seeds with 95 % intervals",
        ),
    }  # fmt: skip
