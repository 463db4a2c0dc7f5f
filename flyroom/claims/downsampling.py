"""Claim: strided or pooled layers reach the same accuracy with less cost.

Source: a sentence of courses on convolutional networks (strided or pooled layers reach the same with less cost).
Whether pooling helps as examples are added is another claim, `pooling`; here the number of examples is fixed and the
cost is not.

Protocol: three convolutions (kernels 5, 3, 3, zero padding that loses no position, ReLU), then one dense layer on all
that is left. "none" keeps 40 positions throughout; "stride" has convolutions of stride 2; "max" and "mean" pool over
windows of two after each activation: these three leave 20, 10 and 5 positions. Cost is counted in multiply-adds of one
example on its way forward; what pooling compares or adds up is not counted. For each of four costs (12,000, 24,000,
48,000, 96,000) every variant has that number of channels, the same in all three layers, whose cost is nearest: all are
within 10 % of it. 4000 training examples of MNIST-1D, Adam at 1e-2, batches of 100 in the order of the data, 4000
updates; accuracy on one test set of 10,000 after the last one. The seed of a run draws its first weights and its
examples; runs of one seed share the examples.

The same on scikit-learn's digits (8 x 8, half of the 1797 for training, one split): two convolutions of 3 x 3 at 20,000
multiply-adds, Adam at 1e-2, shuffled batches of 100, 1500 updates. There the seed draws first weights and batches.

Predicted before the first run (test accuracy, %):

| multiply-adds | 12,000 | 24,000 | 48,000 | 96,000 |
| none          | 80 +- 6 | 86 +- 4 | 89 +- 3 | 90 +- 3 |
| stride 2      | 90 +- 3 | 92 +- 3 | 93 +- 2 | 94 +- 2 |
| max           | 91 +- 3 | 94 +- 2 | 95 +- 2 | 96 +- 2 |
| mean          | 90 +- 3 | 93 +- 2 | 95 +- 2 | 95 +- 2 |

So at equal cost (48,000) striding is ahead of none by 4 +- 3 points, max by 6 +- 3, mean by 6 +- 3; at half the cost of
none (48,000 against 96,000) by 3 +- 3, 5 +- 3 and 5 +- 3. What none reaches at 96,000 striding reaches 2.5 +- 1
doublings of cost below, max and mean 2.8 +- 0.5. Digits: none 96.5 +- 1, stride 96.5 +- 1, max and mean 97.5 +- 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np

from flyroom import plot, stats
from flyroom.claims import _nested, trials
from flyroom.claims._counted import counted
from flyroom.claims.statements import bounds, difference, mean_accuracy, percent_with_interval, within
from flyroom.data import digits
from flyroom.nets.stack import Stack
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement
from flyroom.train import shuffled

ABOUT = About(
    id="downsampling",
    version=1,
    title="What downsampling costs and what it saves",
    sentence="Convolutional networks whose layers are strided or pooled reach the same accuracy with less cost: more "
    "at equal cost, and as much at half of it.",
    source="A sentence of courses on convolutional networks; the comparison at equal multiply-adds is our own",
    prediction="At 48,000 multiply-adds: none 89 +- 3 %, stride 2 93 +- 2, max 95 +- 2, mean 95 +- 2; none at 96,000: "
    "90 +- 3. At equal cost ahead of none by 4 +- 3 (stride), 6 +- 3 (max), 6 +- 3 (mean) points; at half its cost by "
    "3 +- 3, 5 +- 3, 5 +- 3. Saved at equal accuracy: 2.5 +- 1 (stride) and 2.8 +- 0.5 (max, mean) doublings. Digits: "
    "none and stride 96.5 +- 1, max and mean 97.5 +- 1.",
    cost_s=110.0,
)

LABELS = {"none": "none", "stride": "stride 2", "max": "max", "mean": "mean"}
REDUCED = ("stride", "max", "mean")
COSTS = (12_000, 24_000, 48_000, 96_000)  # multiply-adds
HALF, WHOLE = 48_000, 96_000  # where the claim is judged
KERNELS: Mapping[str, tuple[int, ...]] = {"signals": (5, 3, 3), "digits": (3, 3)}
SPACE: Mapping[str, tuple[int, ...]] = {"signals": (40,), "digits": (8, 8)}
DIGITS_COST = 20_000
SAME = 0.01  # "the same": one point, half of the +- 2 that the published table of MNIST-1D gives a network
WIDEST = 100  # channels, of those tried

RATE, BATCH = 0.01, 100


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but `runs`, `ladder` and `digits` is part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind at each cost
    ladder: bool = True  # train at 12,000 and 24,000 as well, to say how much is saved
    digits: bool = True  # the same on images
    steps: int = 4000  # updates, on signals
    digits_steps: int = 1500  # updates, on digits
    examples: int = 4000  # training examples, on signals
    test: int = 10_000  # test examples, on signals


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: the two costs that are judged, too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "ladder": False,
        "digits": False,
        "steps": min(settings.steps, 100),
        "test": min(settings.test, 1000),
    }


def network(data: str, variant: str, channels: int, seed: int) -> Stack:
    """The network of a variant with so many channels in every layer, its first weights drawn by the seed."""
    kernels = KERNELS[data]
    return Stack.init(
        jax.random.key(seed),
        SPACE[data],
        channels=(channels,) * len(kernels),
        kernels=kernels,
        strides=2 if variant == "stride" else 1,
        padding=None,
        pooling=variant if variant in ("max", "mean") else "none",
    )


def cost_of(data: str, variant: str, channels: int) -> int:
    """Multiply-adds of `network`, in closed form: for each layer places x weights, and the dense layer at the end.

    A strided convolution computes only the places that it keeps; a pooled one computes all of them first.

    >>> cost_of("signals", "none", 10), cost_of("signals", "stride", 10)  # 240 C^2 + 600 C; 45 C^2 + 150 C
    (30000, 6000)
    """
    axes, length, inputs, total = len(SPACE[data]), SPACE[data][0], 1, 0
    for kernel in KERNELS[data]:
        halved = length // 2
        convolved = halved if variant == "stride" else length
        total += convolved**axes * inputs * channels * kernel**axes
        length, inputs = length if variant == "none" else halved, channels
    return total + length**axes * channels * 10


def channels_for(data: str, variant: str, cost: int) -> int:
    """The number of channels whose cost is nearest.

    >>> [channels_for("signals", variant, 48_000) for variant in LABELS]
    [13, 31, 22, 22]
    """
    return min(range(1, WIDEST), key=lambda channels: abs(cost_of(data, variant, channels) - cost))


@cache
def _digits() -> Dataset:
    return digits.make(train_split=0.5)


def cells(settings: Settings) -> list[Cell]:
    """Each variant at each cost, then each on the digits.

    Raises ValueError for counts below 1, fewer training examples than a batch, and a test set of broken blocks.
    """
    trials.require_positive(settings, "runs", "steps", "digits_steps")
    _nested.require_test(settings.test)
    if settings.examples < BATCH:
        raise ValueError(f"examples {settings.examples}: a batch of {BATCH} cannot be taken from fewer; give more")
    on_signals = trials.differing(settings, "runs", "ladder", "digits", "digits_steps", "test")
    recipe = _nested.recipe(settings.examples, settings.test)
    places: list[tuple[dict[str, Json], Mapping[str, Json]]] = [
        ({"data": "signals", "variant": variant, "cost": cost, **on_signals}, recipe)
        for variant in LABELS
        for cost in (COSTS if settings.ladder else (HALF, WHOLE))
    ]
    if settings.digits:
        on_digits = {} if settings.digits_steps == Settings().digits_steps else {"digits_steps": settings.digits_steps}
        places += [
            ({"data": "digits", "variant": variant, "cost": DIGITS_COST, **on_digits}, _digits().recipe)
            for variant in LABELS
        ]
    return [
        Cell(
            tuple(Run(ABOUT.id, ABOUT.version, coordinates, seed, data) for seed in range(settings.runs)),
            ahead=True,
        )
        for coordinates, data in places
    ]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if run.settings["data"] == "digits":
        return 400e-6 * run.settings.get("digits_steps", Settings().digits_steps)
    steps = run.settings.get("steps", Settings().steps) + run.data["test"] / 300
    return (60 + 0.009 * run.settings["cost"]) * 1e-6 * steps


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side; on signals each on the training set of its seed."""
    first = cell.runs[0].settings
    data, variant = first["data"], first["variant"]
    channels = channels_for(data, variant, first["cost"])
    nets = [network(data, variant, channels, one.seed) for one in cell.runs]
    if data == "digits":
        steps, examples = settings.digits_steps, len(_digits().x_train)
        found = trials.classifiers(
            cell.runs,
            nets,
            _digits(),
            [shuffled(examples, BATCH, steps, one.seed) for one in cell.runs],
            learning_rate=RATE,
            evaluate_after=(steps,),
        )
    else:
        found = _nested.classifiers(
            cell.runs,
            nets,
            settings.examples,
            pool=settings.examples,
            test=settings.test,
            steps=settings.steps,
            batch=BATCH,
            learning_rate=RATE,
        )
    return counted(found, nets[0], SPACE[data])


def _accuracy(results: Sequence[Result], variant: str, cost: int, data: str = "signals") -> list[float]:
    return trials.by_seed(results, "test_accuracy", data=data, variant=variant, cost=cost)


def _spent(results: Sequence[Result], variant: str, cost: int, data: str = "signals") -> int:
    """Multiply-adds as they were counted on the network itself."""
    return int(trials.by_seed(results, "multiply_adds", data=data, variant=variant, cost=cost)[0])


def saved(costs: Sequence[float], accuracies: Sequence[float], target: float, own: float) -> float:
    """How often the cost `own` can be halved until a ladder of networks no longer reaches the accuracy `target`.

    `costs` rise; between two of them accuracy is taken as linear in the logarithm of cost, and a dearer network as at
    least as good as a cheaper one. A target that the cheapest reaches counts as reached at its cost and not below it;
    one that none reaches counts as no saving at all: both make the saving look smaller than it is, or it is none.

    >>> saved([10.0, 20.0, 40.0], [0.5, 0.7, 0.9], 0.8, 80.0)  # half-way, in doublings, between 20 and 40
    1.5
    """
    best = np.maximum.accumulate(np.asarray(accuracies, float))
    place = int(np.searchsorted(best, target))
    if place == len(best):
        return 0.0
    doublings = np.log2(np.asarray(costs, float))
    needed = doublings[place]
    if place:
        share = (target - best[place - 1]) / (best[place] - best[place - 1])
        needed = doublings[place - 1] + share * (needed - doublings[place - 1])
    return float(np.log2(own) - needed)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = [*_equal_cost(results), *_half_cost(results)]
    if settings.ladder:
        statements += _equal_accuracy(results)
    if settings.digits:
        statements += _on_digits(results)
    supported = "Strided and pooled layers are above none at equal cost and reach as much at half of it."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _equal_cost(results: Sequence[Result]) -> list[Statement]:
    plain = _accuracy(results, "none", HALF)
    orders = stats.judge_orders([(plain, _accuracy(results, variant, HALF)) for variant in REDUCED])
    return [
        difference(
            f"equal-cost-{variant}", f"Equal cost ({HALF:,}): {LABELS[variant]} above none", order, headline=True
        )
        for variant, order in zip(REDUCED, orders, strict=True)
    ]


def _half_cost(results: Sequence[Result]) -> list[Statement]:
    """The same: not more than a point below what no downsampling reaches at twice the cost."""
    dear = _accuracy(results, "none", WHOLE)
    return [
        within(
            f"half-cost-{variant}",
            f"Half the cost, {LABELS[variant]}: >= none - {100 * SAME:.0f} %",
            stats.mean_interval(np.subtract(_accuracy(results, variant, HALF), dear)),
            low=-SAME,
            headline=True,
        )
        for variant in REDUCED
    ]


def _doublings(results: Sequence[Result], variant: str) -> list[float]:
    """What a variant saves at the accuracy of no downsampling at the largest cost, by seed."""
    costs = [float(_spent(results, variant, cost)) for cost in COSTS]
    ladder = np.array([_accuracy(results, variant, cost) for cost in COSTS])
    own, targets = float(_spent(results, "none", WHOLE)), _accuracy(results, "none", WHOLE)
    return [saved(costs, ladder[:, seed].tolist(), target, own) for seed, target in enumerate(targets)]


def _equal_accuracy(results: Sequence[Result]) -> list[Statement]:
    return [
        within(
            f"equal-accuracy-{variant}",
            f"Equal accuracy, {LABELS[variant]}: half the cost",
            stats.mean_interval(_doublings(results, variant)),
            low=1.0,
            unit="doublings",
        )
        for variant in REDUCED
    ]


def _on_digits(results: Sequence[Result]) -> list[Statement]:
    plain = _accuracy(results, "none", DIGITS_COST, "digits")
    pairs = [(plain, _accuracy(results, variant, DIGITS_COST, "digits")) for variant in REDUCED]
    return [
        difference(f"digits-{variant}", f"Digits, equal cost: {LABELS[variant]} above none", order)
        for variant, order in zip(REDUCED, stats.judge_orders(pairs), strict=True)
    ]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """Accuracy, with the channels and the multiply-adds that it was reached with."""
    places = sorted({(one.run.settings["data"], one.run.settings["cost"]) for one in results}, key=_signals_first)

    def entry(data: str, cost: int, variant: str) -> str:
        accuracy = percent_with_interval(_accuracy(results, variant, cost, data))
        channels = channels_for(data, variant, cost)
        return f"{accuracy}; {channels} channels, {_spent(results, variant, cost, data):,}"

    head = ("test accuracy, %", *(f"{'' if data == 'signals' else 'digits, '}{cost:,}" for data, cost in places))
    return (head, *((LABELS[name], *(entry(data, cost, name) for data, cost in places)) for name in LABELS))


def _signals_first(place: tuple[str, int]) -> tuple[bool, int]:
    return place[0] != "signals", place[1]


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against multiply-adds, a line a variant; on the digits every network."""
    rows, dots, means = [], [], []
    for variant, label in LABELS.items():
        chosen = trials.where(results, data="signals", variant=variant)
        for cost in sorted({one.run.settings["cost"] for one in chosen}):
            place = {"net": label, "data": "MNIST-1D", "cost": _spent(results, variant, cost)}
            rows.append(_nested.point(place, _accuracy(results, variant, cost)))
        for one in trials.where(results, data="digits", variant=variant):
            value, where = one.values["test_accuracy"], {"net": label, "data": "digits"}
            dots.append({**where, "value": value, "seed": one.run.seed})
        if any(row["net"] == label for row in dots):
            found = mean_accuracy(_accuracy(results, variant, DIGITS_COST, "digits"))
            means.append({"net": label, "data": "digits", "value": found.value, **bounds(found)})
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    drawn = {
        "Test accuracy against multiply-adds of one example": plot.curves(
            rows, x="cost", x_title="multiply-adds", log_x=True, points=True,
            y_domain=_nested.from_tenth(row["mean"] for row in rows),
            title="Downsampling at equal cost", subtitle=said,
        )
    }  # fmt: skip
    if dots:
        drawn[f"Digits at about {DIGITS_COST:,} multiply-adds"] = plot.finals(
            dots, means, title="Digits at equal cost", subtitle="two convolutions of 3 x 3"
        )
    return drawn
