"""Claim: training shrinks the trajectories of a network that began with large weights, and lengthens those of others.

Source: Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, "On the expressive power of deep neural networks", ICML
2017, arXiv 1606.05336; figures 8 and 9 of its second version: hard tanh networks on MNIST, weights N(0, sigma^2 / k).
With sigma^2 = 16 training decreases the length of the image of a circular path between two data points, faster than
that between random points; the first layer increases it, in contrast with all later layers. With sigma^2 = 3 training
increases it, more slowly between random points.

Protocol: MNIST-1D (published) and scikit-learn's digits (pixels 0 to 1, flattened, 80 % to train on), in MNIST's place.
MLPs of 4 hidden layers of 50 units, hard tanh; weights N(0, sigma^2 / fan-in) with sigma^2 16 and 3, biases 0; and, as
the standard start, PyTorch's (sigma^2 = 1/3, uniform, biases too). Cross-entropy, Adam at 0.001, 2000 updates with
batches of 100 shuffled anew each epoch. Circular paths x0 cos(pi t / 2) + x1 sin(pi t / 2), one of each kind a network:
between two training examples of different classes; between two Gaussian points scaled to the norms of those two.
Lengths of the path's image after every hidden activation, certified to 0.1 %, before training, after a tenth and after
all updates. The output layer is not judged, as in the source. Ten seeds draw weights, batches and paths.

Judged: the logarithm of the length after over that before training. "Shrinks", "lengthens": at the last hidden layer,
between data points. "Faster": it shrinks by more between data than between random points, network by network. "The
first layer lengthens": with sigma^2 = 16, after the first activation, between data points. Eight headlines, four on
either data set, tested together (sign flips over seeds, Holm).

Predicted before the first run, nothing of the kind having been seen. Length after over before at the last hidden layer,
data and random points: sigma^2 = 16: MNIST-1D 0.95 and 0.98 (each +- 0.15), digits 0.75 and 0.93 (+- 0.15); 3: MNIST-1D
2.0 and 1.8, digits 1.6 and 1.2; PyTorch's: MNIST-1D 15 and 12, digits 10 and 5 (each within a factor of 1.5). At
sigma^2 = 16 the first layer: 1.05 +- 0.05 on both. So the digits are as published, and on MNIST-1D, which networks of
this kind learn by heart, the shrinking and its being faster are not resolved. Weights grow in norm throughout.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims.statements import bounds, difference, percent_with_interval, within
from flyroom.data import digits, mnist1d
from flyroom.losses import both_parts, cross_entropy
from flyroom.measure import paths, trajectory
from flyroom.nets.activations import hard_tanh
from flyroom.nets.mlp import MLP
from flyroom.nets.reader import read
from flyroom.records import About, Cell, Dataset, Evidence, Json, Judgement, Result, Run, Statement, Verdict

ABOUT = About(
    id="training-and-length",
    version=1,
    title="What training does to the length of trajectories",
    sentence="Training shrinks the trajectories of a network with large first weights (faster between data points than "
    "between random points, but for the first layer, which lengthens them) and lengthens those of one with small first "
    "weights.",
    source="Raghu et al., On the expressive power of deep neural networks, ICML 2017 (arXiv 1606.05336), figures 8 and "
    "9 of the second version",
    prediction="Length after over before training at the last hidden layer, data and random points: variance 16: "
    "MNIST-1D 0.95 and 0.98 (each +- 0.15), digits 0.75 and 0.93 (+- 0.15); 3: MNIST-1D 2.0 and 1.8, digits 1.6 and "
    "1.2; PyTorch's: MNIST-1D 15 and 12, digits 10 and 5. First layer at 16: 1.05 +- 0.05. The digits as published; on "
    "MNIST-1D the shrinking is not resolved.",
    cost_s=35.0,
    shortened="MNIST-1D and the digits of scikit-learn in the place of MNIST; depth, width and optimiser, which the "
    "source does not give, are ours.",
)

DATA: Mapping[str, Callable[[], Dataset]] = {"mnist1d": mnist1d.make, "digits": digits.make}
CALLED = {"mnist1d": "MNIST-1D", "digits": "digits"}
STARTS = {"16": "variance 16", "3": "variance 3", "pytorch": "PyTorch's"}  # variance of a weight times the fan-in
KINDS = {"data": "between data", "random": "between random points"}
MOMENTS = ("before", "early", "after")
STAGES = 10  # "early" is after the first of them
BATCH = 100
REL_TOL = 1e-3  # relative width of a certified length
SECONDS = 60.0  # of processor time, for one network's lengths along one path


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind, each with paths of its own
    steps: int = 2000  # updates; "early" is after a tenth
    width: int = 50  # units of each hidden layer
    layers: int = 4  # hidden layers
    learning_rate: float = 0.001  # of Adam


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, few updates, small networks."""
    few = {"runs": min(settings.runs, 2), "steps": min(settings.steps, 50)}
    return {**few, "width": min(settings.width, 16), "layers": min(settings.layers, 2)}


@cache
def _data(name: str) -> Dataset:
    """The data set, each example a row."""
    data = DATA[name]()
    flat = {part: getattr(data, part).reshape(len(getattr(data, part)), -1) for part in ("x_train", "x_test")}
    return Dataset(data.name, flat["x_train"], data.y_train, flat["x_test"], data.y_test, data.classes, (), data.recipe)


def cells(settings: Settings) -> list[Cell]:
    """Networks with each kind of first weights, on either data set.

    Raises ValueError for counts below 1, fewer than 2 layers or more than 30, fewer updates than stages and a rate that
    is none.
    """
    trials.require_positive(settings, "runs", "width")
    trials.require_rate(settings)
    if not 2 <= settings.layers <= 30:
        raise ValueError(f"layers {settings.layers}: the first and the last hidden layer are compared; give 2 to 30")
    if settings.steps < STAGES:
        raise ValueError(f"steps {settings.steps}: lengths are taken after a tenth of them, so give {STAGES} or more")
    changed = trials.differing(settings, "runs")
    wanted = []
    for name in DATA:
        for start in STARTS:
            place = {"data": name, "start": start, **changed}
            made = (Run(ABOUT.id, ABOUT.version, place, seed, _data(name).recipe) for seed in range(settings.runs))
            wanted.append(Cell(tuple(made)))
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly: six paths, and the updates."""
    given, default = run.settings, Settings()
    layers = given.get("layers", default.layers)
    lengths = 6 * layers * 0.014 * given.get("width", default.width) / default.width
    return lengths + given.get("steps", default.steps) * 2e-5 * (1 + layers)


def network(start: str, inputs: int, settings: Settings, seed: int) -> MLP:
    """An MLP with hard tanh; PyTorch's first weights, or Gaussian ones of that variance over the fan-in, biases 0."""
    widths = (inputs, *(settings.width for _ in range(settings.layers)), 10)
    net = MLP.init(jax.random.key(seed), widths, hard_tanh)
    if start == "pytorch":
        return net
    random = np.random.default_rng(seed)

    def drawn(leaf):
        if leaf.ndim < 2:
            return jnp.zeros_like(leaf)
        return jnp.asarray(random.standard_normal(leaf.shape) * sqrt(float(start) / leaf.shape[1]), leaf.dtype)

    return jax.tree.map(drawn, net)


def ends(data: Dataset, seed: int) -> dict[str, Float[np.ndarray, "end input"]]:
    """The two ends of either path: training examples of different classes, and Gaussian points with their norms."""
    random = np.random.default_rng([seed, 1])
    first = random.integers(len(data.x_train))
    other = np.flatnonzero(data.y_train != data.y_train[first])
    known = np.stack([data.x_train[first], data.x_train[random.choice(other)]]).astype(np.float64)
    drawn = random.standard_normal(known.shape)
    norms = np.linalg.norm(known, axis=1, keepdims=True) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return {"data": known, "random": drawn * norms}


def lengths(net: MLP, data: Dataset, seed: int, moment: str) -> tuple[dict[str, list[float]], float]:
    """Certified lengths after every hidden activation, `<kind>_<moment>_low` and `_high`; the widest relative width."""
    graph = read(net, data.x_train.shape[1:], check=False)
    layers = [node.place for node in graph.nodes if node.op == "activation"]
    curves, widest = {}, 0.0
    for kind, (x0, x1) in ends(data, seed).items():
        found = trajectory.length(graph, paths.raghu(x0, x1), rel_tol=REL_TOL, layers=layers, seconds=SECONDS)
        for end in ("low", "high"):
            curves[f"{kind}_{moment}_{end}"] = [getattr(one.length, end) for one in found.layers]
        widths = ((one.length.high - one.length.low) / one.length.high for one in found.layers if one.length.high)
        widest = max(widest, *widths, 0.0)
    return curves, widest


def _size(net: MLP) -> float:
    """The mean logarithm of the norms of the weight matrices."""
    return float(np.mean([np.log(np.linalg.norm(np.asarray(layer.weight, np.float64))) for layer in net.layers]))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell, and take lengths before, early and after.

    A tenth at a time, the optimiser's memory handed in from the beginning, so that every stage is one program.
    """
    given = cell.runs[0].settings
    data = _data(given["data"])
    nets: list[Any] = [network(given["start"], data.x_train.shape[1], settings, one.seed) for one in cell.runs]
    before = [_size(net) for net in nets]
    memories: list[Any] = [train.adam(1.0).init(net) for net in nets]
    orders = [train.shuffled(len(data.x_train), BATCH, settings.steps, one.seed) for one in cell.runs]
    measured = [[lengths(net, data, one.seed, "before")] for one, net in zip(cell.runs, nets, strict=True)]
    (x, y), held = train.examples(data), train.both_parts(data)
    stage, trained = settings.steps // STAGES, []
    losses: list[list[np.ndarray]] = [[] for _ in nets]
    for begin in range(0, settings.steps, stage):
        parts = [order[begin : begin + stage] for order in orders]
        protocol = train.Protocol(cross_entropy, train.adam, both_parts, (len(parts[0]),))
        rate = settings.learning_rate
        trained = train.train_many(nets, x, y, parts, protocol, learning_rate=rate, memories=memories, held=held)
        nets, memories = [one.net for one in trained], [one.memory for one in trained]
        for i, one in enumerate(trained):
            losses[i].append(one.losses)
            moment = {0: "early"}.get(begin, "after" if begin + stage >= settings.steps else "")
            if moment and _finite(nets[i]):
                measured[i].append(lengths(nets[i], data, cell.runs[i].seed, moment))
    found = []
    for i, one in enumerate(cell.runs):
        whole = trained[i]._replace(losses=np.concatenate(losses[i]))
        made = trials.recorded(one, whole, data, [settings.steps])
        if len(measured[i]) == len(MOMENTS):
            curves = {name: curve for part, _ in measured[i] for name, curve in part.items()}
            more = {"widest": max(widest for _, widest in measured[i]), "weights": _size(nets[i]) - before[i]}
            made = Result(one, {**made.values, **more}, {**made.curves, **curves})
        found.append(made)
    return found


def _finite(net: MLP) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(net))


def kept(results: Sequence[Result], data: str, start: str) -> list[Result]:
    """The networks of one kind by seed, without those that broke down and those with an image that is a point.

    Raises ValueError where none is left.
    """
    chosen = trials.where(results, data=data, start=start)
    usable = [one for one in chosen if "widest" in one.values and min(map(min, _lows(one))) > 0]
    if not usable:
        raise ValueError(f"no run of data {data}, start {start} that can be judged is stored; run it again")
    return usable


def _lows(one: Result) -> list[list[float]]:
    return [one.curves[f"{kind}_{moment}_low"] for kind in KINDS for moment in MOMENTS]


def logs(found: Sequence[Result], kind: str, moment: str) -> Float[np.ndarray, "run layer"]:
    """Logarithms of lengths, of the middle of their intervals."""
    low, high = (np.array([one.curves[f"{kind}_{moment}_{end}"] for one in found]) for end in ("low", "high"))
    return np.log((low + high) / 2)


def change(found: Sequence[Result], kind: str, moment: str = "after") -> Float[np.ndarray, "run layer"]:
    """The logarithm of the length at that moment over that before training."""
    return logs(found, kind, moment) - logs(found, kind, "before")


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    found = {(data, start): kept(results, data, start) for data in DATA for start in STARTS}
    statements = [*_headlines(found), *_others(found), _certified(found)]
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Large first weights: training shrinks trajectories, faster between data, but for the first layer; small ones: "
        "it lengthens them.",
        table=_table(results, found),
    )


Found = Mapping[tuple[str, str], Sequence[Result]]


def _headlines(found: Found) -> list[Statement]:
    """What the source's two figures say, on either data set; one family."""
    named, pairs = [], []
    for data, called in CALLED.items():
        large, small = found[data, "16"], found[data, "3"]
        near, far = (change(large, kind)[:, -1] for kind in KINDS)
        nothing = np.zeros(len(large))
        named += [
            (f"shrinks-{data}", f"{called}, 16: training shrinks the length"),
            (f"lengthens-{data}", f"{called}, 3: training lengthens it"),
            (f"faster-{data}", f"{called}, 16: faster between data"),
            (f"first-{data}", f"{called}, 16: the first layer lengthens"),
        ]
        grown = change(small, "data")[:, -1]
        pairs += [(near, nothing), (np.zeros(len(small)), grown), (near, far), (nothing, change(large, "data")[:, 0])]
    orders = stats.judge_orders(pairs)
    return [
        difference(name, sentence, order, unit="ln", headline=True)
        for (name, sentence), order in zip(named, orders, strict=True)
    ]


def _others(found: Found) -> list[Statement]:
    """The standard start, random points, early and later layers, and the weights."""
    statements = []
    for data, called in CALLED.items():
        large, small, usual = (found[data, start] for start in STARTS)
        nothing = np.zeros(len(large))
        judged = (
            ("standard", "PyTorch's start: lengthens", np.zeros(len(usual)), change(usual, "data")[:, -1]),
            ("slower", "3: random points more slowly", change(small, "random")[:, -1], change(small, "data")[:, -1]),
            ("random", "16: shrinks between random points", change(large, "random")[:, -1], nothing),
            ("early", "16: shrinks in the first tenth", change(large, "data", "early")[:, -1], nothing),
            ("later", "16: every later layer shrinks", change(large, "data")[:, 1:].max(1), nothing),
        )
        for name, sentence, low, high in judged:
            order = stats.judge_order(low, high)
            statements.append(difference(f"{name}-{data}", f"{called}, {sentence}", order, unit="ln"))
        weights = stats.mean_interval([one.values["weights"] for one in large])
        said = f"{called}, 16: norms of weights do not fall"
        statements.append(within(f"weights-{data}", said, weights, low=0.0, unit="ln"))
    return statements


def _certified(found: Found) -> Statement:
    """How wide the widest of all intervals is that the lengths are certified by."""
    every = [one for chosen in found.values() for one in chosen]
    widest = max(one.values["widest"] for one in every)
    count = sum(len(curve) for one in every for curve in _lows(one))
    return Statement(
        id="certified",
        sentence=f"Every length is certified to {100 * REL_TOL:g} %",
        verdict=Verdict.supported if widest <= REL_TOL else Verdict.undecided,
        value=widest,
        evidence=Evidence.certified,
        n=count,
        unit="relative width",
    )


def _times(values: Float[np.ndarray, " run"]) -> str:
    """A geometric mean as text, with its interval."""
    found = stats.mean_interval(values)
    text = f"{np.exp(found.value):.3g}"
    if found.interval is None:
        return text
    low, high = np.exp(found.interval)
    return f"{text} [{low:.3g}, {high:.3g}]"


def _table(results: Sequence[Result], found: Found) -> tuple[tuple[str, ...], ...]:
    """Lengths after over before training, and how well the networks have learned."""
    head = ("data", "first weights", "last layer, data", "last layer, random", "first layer, data", "training", "test")
    rows = []
    for (data, start), chosen in found.items():
        near, far = (change(chosen, kind) for kind in KINDS)
        accuracies = (
            percent_with_interval([one.values[f"{part}_accuracy"] for one in chosen]) for part in ("train", "test")
        )
        lost = len(trials.where(results, data=data, start=start)) - len(chosen)
        said = STARTS[start] + (f", {lost} left out" if lost else "")
        rows.append((CALLED[data], said, _times(near[:, -1]), _times(far[:, -1]), _times(near[:, 0]), *accuracies))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Length by layer before and after training; and the change by layer."""
    lines, changes = [], []
    for data, called in CALLED.items():
        for start, weights in STARTS.items():
            chosen = kept(results, data, start)
            place = {"data": f"{called}, {weights}"}
            for moment, said in zip(MOMENTS, ("before", "a tenth", "trained"), strict=True):
                for number, column in enumerate(logs(chosen, "data", moment).T, 1):
                    lines.append({**place, "net": said, "step": number, "mean": float(np.exp(column.mean()))})
            for kind, said in KINDS.items():
                for number, column in enumerate(change(chosen, kind).T, 1):
                    found = stats.mean_interval(column)
                    changes.append({**place, "net": said, "step": number, "mean": found.value, **bounds(found)})
    return {
        "Length of a path between two data points after each hidden layer": plot.curves(
            lines, x_title="hidden layer", y_title="length", percent=False, log_y=True, points=True, columns=3,
            title="What training does to length", subtitle="geometric means over networks; certified to 0.1 %",
        ),
        "Logarithm of the length after over that before training, by hidden layer": plot.curves(
            changes, x_title="hidden layer", y_title="ln(after / before)", percent=False, points=True, columns=3,
            title="What training does to length", subtitle="bands are 95 % intervals of the mean over networks",
        ),
    }  # fmt: skip
