"""Claim: the first layers of a convolutional network respond to edges, later ones to parts and wholes.

Source: a sentence of every course on convolutional networks (after Zeiler and Fergus 2014, arXiv 1311.2901, who looked
at large networks on photographs). It is made measurable here on two small ones; the measures are our own.

Protocol: on MNIST-1D the CNN of the benchmark (25 channels, kernels 5, 3, 3, stride 2, padding 1, fields 5, 9 and 17 of
40 positions), 4000 training examples, Adam at 1e-2, 3000 updates; on scikit-learn's digits (8 x 8, half of the 1797 for
training, one split a seed) three convolutions of 16 channels (kernel 3, strides 1, 2, 2, padding 1, fields 3, 5 and 9),
Adam at 3e-3, 1500 updates; shuffled batches of 100. The seed draws first weights, batches and examples. Measured on
held-out examples, 5000 signals and 898 images, for the trained network and for its first weights:

- *edges*: which part of a first-layer filter's energy lies in the space of slopes (`_hierarchy.spaces`), averaged over
  filters, against the same network's first weights, and against a network trained from the same first weights on the
  same examples with their positions shuffled. Random filters have 1/5 (signals) and 2/9 (images).
- *information*: mutual information of a unit's response (after ReLU, at one place) with the class, averaged over units.
- *tolerance*: the correlation of a unit's response with its response to the example moved by two positions, or by one
  pixel, averaged over directions and units.

Predicted before the first run. Edges: signals 0.20 at first weights, 0.25 +- 0.05 trained, 0.20 +- 0.02 shuffled;
images 0.22, 0.27 +- 0.05, 0.22 +- 0.02. Constant, edge and bar together: signals 0.60 at first, 0.72 +- 0.08 trained;
images 0.67, 0.75 +- 0.08. Information in layers 1, 2, 3, bits: signals 0.06 +- 0.04, 0.12 +- 0.06, 0.25 +- 0.1; images
0.25 +- 0.1, 0.4 +- 0.15, 0.6 +- 0.2. It rises at first weights too, by half as much. Tolerance in layers 1, 2, 3:
signals 0.35 +- 0.2, 0.35 +- 0.2, 0.55 +- 0.15; images 0.2 +- 0.15, 0.35 +- 0.15, 0.6 +- 0.15.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flyroom import stats, train
from flyroom.claims import _nested, trials
from flyroom.claims._hierarchy import SPACES, information, shares, shifted, strongest, tolerance
from flyroom.claims._hierarchy_figures import drawn
from flyroom.claims.statements import difference, percent_with_interval
from flyroom.data import digits
from flyroom.losses import cross_entropy
from flyroom.measure.architecture import architecture
from flyroom.nets.stack import Stack
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="feature-hierarchy",
    version=1,
    title="What the first and the later layers respond to",
    sentence="The filters of the first layer are edges more than random ones are; from layer to layer a unit tells "
    "more of the class and minds less where in the input it is.",
    source="A sentence of courses on convolutional networks, after Zeiler and Fergus, 2014 (arXiv 1311.2901); the "
    "measures are our own",
    prediction="Edges: signals 0.20 at first weights, 0.25 +- 0.05 trained, 0.20 +- 0.02 shuffled; images 0.22, 0.27 "
    "+- 0.05, 0.22 +- 0.02. Information a unit, layers 1 to 3: signals 0.06, 0.12, 0.25 bits (+- 0.04, 0.06, 0.1), "
    "images 0.25, 0.4, 0.6 (+- 0.1, 0.15, 0.2). Tolerance: signals 0.35, 0.35, 0.55 (+- 0.2, 0.2, 0.15), images 0.2, "
    "0.35, 0.6 (+- 0.15).",
    cost_s=25.0,
)

LABELS = {"signals": "MNIST-1D", "images": "digits"}
SPACE: Mapping[str, tuple[int, ...]] = {"signals": (40,), "images": (8, 8)}
MOVED = {"signals": 2, "images": 1}  # positions, pixels
RATES = {"signals": 0.01, "images": 0.003}
LAYERS = (1, 2, 3)
BATCH, EXAMPLES = 100, 4000
SHOWN, STIMULI = 8, 10  # channels in the figures; examples whose stimuli are averaged


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but `runs` is part of a run's identity."""

    runs: int = 10  # networks (seeds) on each kind of data
    steps: int = 3000  # updates, on signals
    image_steps: int = 1500  # updates, on images
    test: int = 5000  # held-out signals


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "steps": min(settings.steps, 100),
        "image_steps": min(settings.image_steps, 100),
        "test": min(settings.test, 1000),
    }


def network(data: str, seed: int) -> Stack:
    """The network for a kind of data, its first weights drawn by the seed."""
    key = jax.random.key(seed)
    if data == "signals":
        return Stack.init(key)
    return Stack.init(key, SPACE[data], channels=(16, 16, 16), kernels=(3, 3, 3), strides=(1, 2, 2))


@cache
def fields(data: str) -> tuple[tuple[int, int, int], ...]:
    """(size, jump, start) of the receptive field of each layer's units, along every axis of space."""
    found = architecture(network(data, 0), SPACE[data]).layers
    return tuple((one.receptive_field[0], one.jump[0], one.offset[0]) for one in found if one.op == "conv")


def cells(settings: Settings) -> list[Cell]:
    """Both kinds of data, in order and shuffled; ValueError for counts below 1."""
    trials.require_positive(settings, "runs", "steps", "image_steps")
    _nested.require_test(settings.test)
    wanted = []
    for data in LABELS:
        other = ("image_steps",) if data == "signals" else ("steps", "test")
        changed = trials.differing(settings, "runs", *other)
        if data == "signals":
            recipe = _nested.recipe(EXAMPLES, settings.test)
        else:
            recipe = {**digits.make(train_split=0.5, seed=0).recipe, "seed": "the run's"}
        for shuffled in (False, True):
            coordinates = {"data": data, "shuffled": shuffled, **changed}
            runs = (Run(ABOUT.id, ABOUT.version, coordinates, seed, recipe) for seed in range(settings.runs))
            # Shuffled data are learned by the same program.
            wanted.append(Cell(tuple(runs), ahead=not shuffled))
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly; what is measured afterwards takes about a second."""
    if run.settings["data"] == "signals":
        return 1.0 + 300e-6 * run.settings.get("steps", Settings().steps)
    return 0.5 + 400e-6 * run.settings.get("image_steps", Settings().image_steps)


def examples(data: str, seed: int, test: int, *, mixed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x and y for training, then held out. Where `mixed`, by one permutation of all positions that the seed draws."""
    if data == "signals":
        (x, y), (test_x, test_y) = _nested.training_set(seed, EXAMPLES), _nested.test_set(test)
    else:
        made = digits.make(train_split=0.5, seed=seed)
        x, y, test_x, test_y = made.x_train, made.y_train, made.x_test, made.y_test
    if mixed:
        order = np.random.default_rng([seed, x[0].size]).permutation(x[0].size)
        x, test_x = (one.reshape(len(one), -1)[:, order].reshape(one.shape) for one in (x, test_x))
    return x.astype(np.float32), y.astype(np.int32), test_x.astype(np.float32), test_y.astype(np.int32)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, each on the examples of its seed, and measure each."""
    first = cell.runs[0].settings
    data, mixed = first["data"], first["shuffled"]
    sets = [examples(data, one.seed, settings.test, mixed=mixed) for one in cell.runs]
    nets = [network(data, one.seed) for one in cell.runs]
    count, steps = len(sets[0][0]), settings.steps if data == "signals" else settings.image_steps
    order = [train.shuffled(count, BATCH, steps, one.seed) + np.int32(i * count) for i, one in enumerate(cell.runs)]
    x, y = (np.concatenate([one[part] for one in sets]) for part in (0, 1))
    protocol = train.Protocol(cross_entropy)
    trained = train.train_many(nets, x, y, order, protocol, learning_rate=RATES[data])
    return [
        measured(run, {"first": net, "trained": after.net}, own[2], own[3], train.diverged(after))
        for run, net, after, own in zip(cell.runs, nets, trained, sets, strict=True)
    ]


@eqx.filter_jit
def _answers(net: Stack, x: Any) -> Any:
    return net.responses(x), net(x)


def measured(run: Run, nets: Mapping[str, Stack], x: np.ndarray, y: np.ndarray, broken: int | None) -> Result:
    """The shares of the first layer's filters; on data in order also what each layer's units tell and tolerate.

    Values have the names of spaces, for first weights with `_first` behind. Curves have a point for the input itself
    and for each layer, and `_first` likewise. The first seed's filters and strongest stimuli are kept for the figures.
    """
    data, values, curves = run.settings["data"], {}, {"layer": [0.0, *map(float, LAYERS)]}
    for state, net in nets.items():
        end = "_first" if state == "first" else ""
        filters = np.asarray(net.layers[0].weight)[:, 0]
        values |= {name + end: float(share.mean()) for name, share in shares(filters).items()}
        layers, logits = _answers(net, jnp.asarray(x))
        if state == "trained":
            values["test_accuracy"] = float((np.argmax(np.asarray(logits), 1) == y).mean())
        if run.settings["shuffled"]:
            continue
        by = MOVED[data]
        moved = [shifted(x, axis, way * by) for axis in range(x.ndim - 1) for way in (1, -1)]
        others = [_answers(net, jnp.asarray(one))[0] for one in moved]
        responses = [x.reshape(len(x), -1).T, *(_units(layer) for layer in layers)]
        moves = [[one.reshape(len(one), -1).T for one in moved]]
        moves += [[_units(other[place]) for other in others] for place in range(len(layers))]
        curves["information" + end] = [float(information(one, y).mean()) for one in responses]
        curves["tolerance" + end] = [tolerance(one, there) for one, there in zip(responses, moves, strict=True)]
        if run.seed == 0:
            curves["filters" + end] = filters.ravel().tolist()
            if state == "trained":
                for layer, (answers, field) in enumerate(zip(layers, fields(data), strict=True), 1):
                    kept = strongest(np.asarray(answers)[:SHOWN], x, field, STIMULI)
                    curves[f"stimuli_{layer}"] = kept.ravel().tolist()
    if broken is not None:
        values["diverged_at_step"] = float(broken)
    return Result(run, values, curves)


def _units(layer: Any) -> np.ndarray:
    """(unit, example): every channel at every place is a unit."""
    return np.asarray(layer).reshape(-1, layer.shape[-1])


def _curve(results: Sequence[Result], data: str, name: str, layer: int) -> list[float]:
    chosen = trials.where(results, data=data, shuffled=False)
    if not chosen:
        raise ValueError(
            f"no run of data {data}, shuffled False is stored, so the claim cannot be judged; run it again"
        )
    return [one.curves[name][layer] for one in chosen]


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = [*_edges(results), *_layers(results, "information"), *_layers(results, "tolerance")]
    supported = (
        "First filters are edges more than random ones; later units tell more of the class, and mind place less."
    )
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _edges(results: Sequence[Result]) -> list[Statement]:
    """Edges against first weights and against shuffled positions, four comparisons corrected together; all spaces."""
    pairs, named, smooth = [], [], []
    for data in LABELS:
        ours = trials.by_seed(results, "edge", data=data, shuffled=False)
        pairs.append((trials.by_seed(results, "edge_first", data=data, shuffled=False), ours))
        named.append((f"edges-{data}", f"{data.capitalize()}: more edge than at first weights"))
        pairs.append((trials.by_seed(results, "edge", data=data, shuffled=True), ours))
        named.append((f"edges-shuffled-{data}", f"{data.capitalize()}: more edge than if shuffled"))
        at_first, after = (
            np.sum([trials.by_seed(results, name + end, data=data, shuffled=False) for name in SPACES], axis=0)
            for end in ("_first", "")
        )
        smooth.append((at_first, after))
    found = [
        difference(name, sentence, order, unit="share", headline=True)
        for (name, sentence), order in zip(named, stats.judge_orders(pairs), strict=True)
    ]
    return found + [
        difference(f"smooth-{data}", f"{data.capitalize()}: more constant, edge and bar", order, unit="share")
        for data, order in zip(LABELS, stats.judge_orders(smooth), strict=True)
    ]


WORDS = {  # what a unit does more of, what learning adds, the unit of measurement
    "information": ("tells more", "bits", "bits"),
    "tolerance": ("is more tolerant", "tolerance", "correlation"),
}


def _layers(results: Sequence[Result], what: str) -> list[Statement]:
    """Layer 3 above layer 1 is the headline; each step, first weights, and what learning adds, inform."""
    word, noun, unit = WORDS[what]
    low, high = LAYERS[0], LAYERS[-1]
    ends = [(_curve(results, data, what, low), _curve(results, data, what, high)) for data in LABELS]
    untrained = [tuple(_curve(results, data, f"{what}_first", layer) for layer in (low, high)) for data in LABELS]
    added = [
        tuple(np.subtract(after, before) for after, before in zip(end, first, strict=True))
        for end, first in zip(ends, untrained, strict=True)
    ]
    steps = [(data, layer) for data in LABELS for layer in LAYERS[:-1]]
    climbs = [(_curve(results, data, what, layer), _curve(results, data, what, layer + 1)) for data, layer in steps]
    found = [
        difference(f"{what}-{data}", f"{data.capitalize()}: layer {high} {word} than {low}", order, unit=unit,
                   headline=True)
        for data, order in zip(LABELS, stats.judge_orders(ends), strict=True)
    ]  # fmt: skip
    found += [
        difference(f"{what}-{data}-{layer}", f"{data.capitalize()}: layer {layer + 1} {word} than {layer}", order,
                   unit=unit)
        for (data, layer), order in zip(steps, stats.judge_orders(climbs), strict=True)
    ]  # fmt: skip
    for name, sentence, pairs in (
        ("first", f"untrained: {high} {word} than {low}", untrained),
        ("learned", f"learning adds more {noun} to {high}", added),
    ):
        found += [
            difference(f"{what}-{name}-{data}", f"{data.capitalize()}, {sentence}", order, unit=unit)
            for data, order in zip(LABELS, stats.judge_orders([(a, b) for a, b in pairs]), strict=True)
        ]
    return found


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """What was measured at first weights, after training, and after training on shuffled positions."""
    rows = []
    for data, label in LABELS.items():

        def mean(name: str, *, mixed: bool = False, data: str = data) -> float:
            return float(np.mean(trials.by_seed(results, name, data=data, shuffled=mixed)))

        for name in SPACES:
            found = (mean(f"{name}_first"), mean(name), mean(name, mixed=True))
            rows.append((f"{label}: {name}, % of a filter", *(f"{100 * value:.1f}" for value in found)))
        for what, words in (("information", "bits a unit"), ("tolerance", "tolerance")):
            layers = [
                ", ".join(f"{np.mean(_curve(results, data, what + end, layer)):.2f}" for layer in LAYERS)
                for end in ("_first", "")
            ]
            rows.append((f"{label}: {words}, layers 1, 2, 3", *layers, ""))
        accuracy = (
            percent_with_interval(trials.by_seed(results, "test_accuracy", data=data, shuffled=mixed))
            for mixed in (False, True)
        )
        rows.append((f"{label}: test accuracy, %", "", *accuracy))
    return (("measured", "first weights", "trained", "trained, shuffled"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Information and tolerance against the layer; the first network's filters, and what its units answer to most."""
    chosen = {data: trials.where(results, data=data, shuffled=False) for data in LABELS}
    sizes = {data: [size for size, _, _ in fields(data)] for data in LABELS}
    return drawn(chosen, LABELS, sizes, SHOWN, f"{judgement.runs} networks; bands are 95 % intervals of the mean")
