"""Claim: accuracy rises with the receptive field until that covers the object; resolution costs more and adds little.

Source: courses on convolutional networks, which compute the receptive field of a stack (2k - 1 for two layers, 3k - 2
for three, more with dilation) and leave open how large it should be. The question is put to MNIST-1D, where a digit is
12 to 18 of 72 generated points long, which is 7 to 10 of the 40 positions that are left.

Protocol: convolutions of stride 1 that lose no position (zero padding), ReLU after each, then the mean over all
positions and one dense layer, so that what lies beside what is seen by the convolutions alone. He's uniform first
weights, biases at zero. The receptive field is set in three ways, each time with 1500 parameters within 4 % (all layers
equally wide but the last, whose width makes up the difference):

    kernel      two layers with kernels of 1, 3, 5, 7, 11            fields 1, 5, 9, 13, 21
    depth       1, 2, 3, 5, 7 layers with kernels of 3               fields 3, 5, 7, 11, 15
    dilation    three layers with kernels of 3, dilated by 1-1-1,    fields 7, 11, 15, 21
                1-2-2, 1-2-4, 1-3-6 (none has holes)

Resolution: the generator's `final_seq_length` is 20, 40 or 80, for the dilated networks of fields 7, 11 and 21; the
same draws behind all three. 4000 training examples, Adam at 1e-2, batches of 100 in the order of the data, 2500
updates, accuracy on a test set of 10,000 after the last. The seed of a run draws its first weights and its examples.
Cost is counted in multiply-adds of one example on its way forward.

Predicted before the first run (test accuracy, %), at 40 positions:

    kernel      1: 33 +- 6, 5: 65 +- 8, 9: 80 +- 7, 13: 87 +- 5, 21: 87 +- 5
    depth       3: 45 +- 8, 5: 65 +- 8, 7: 77 +- 7, 11: 87 +- 5, 15: 88 +- 5
    dilation    7: 77 +- 7, 11: 87 +- 5, 15: 88 +- 5, 21: 88 +- 5

So kernels gain 22 +- 8 points from 5 to 13 and 0 +- 2 from there to 21, depth 42 +- 9 from 3 to 11, dilation 10 +- 6
from 7 to 11 and 1 +- 2 from 11 to 21. With field 11, 80 positions are 10 +- 7 points below 40; with field 21 they have
86 +- 6 %. 20 positions have 84 +- 6 % with field 7. The cost at 80 is 2.00 times that at 40, which is arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from flyroom import plot, stats
from flyroom.claims import _nested, trials
from flyroom.claims._book import he_uniform
from flyroom.claims._counted import counted
from flyroom.claims.statements import difference, percent_with_interval, within
from flyroom.nets.stack import Stack
from flyroom.records import About, Cell, Evidence, Json, Judgement, Measurement, Result, Run, Statement

ABOUT = About(
    id="field-and-resolution",
    version=1,
    title="How far a convolutional network should see, and how finely",
    sentence="Accuracy rises with the receptive field until the field covers the digit, and then stops; twice the "
    "resolution with the same field adds nothing and costs twice as much.",
    source="Courses on convolutional networks, which give the receptive field's formula; the measurement is our own",
    prediction="At 40 positions: kernels 65 +- 8 % with field 5, 87 +- 5 with 13, 87 +- 5 with 21; depth 45 +- 8 with "
    "3, 87 +- 5 with 11; dilation 77 +- 7 with 7, 87 +- 5 with 11, 88 +- 5 with 21. Field 11 at 80 positions: 10 +- 7 "
    "points below 40; field 21 there 86 +- 6 %. Twice the positions cost 2.00 times as much.",
    cost_s=115.0,
)

PARAMETERS = 1500
USUAL, LENGTHS = 40, (20, 40, 80)
EXAMPLES, BATCH, RATE = 4000, 100, 0.01
STOPS = 0.02  # "stops": gains less than the widest +- of a network in the published table of MNIST-1D
LITTLE = 0.01  # "adds nothing": gains less than half of that
DIGIT = (7, 10)  # positions of 40: 12 points in 12 + padding of 72, the padding 60 to 36


class Plan(NamedTuple):
    """A network: the kernel of all layers, and the dilation of each."""

    kernel: int
    dilations: tuple[int, ...]

    @property
    def field(self) -> int:
        """Positions that a unit of the last layer sees: 1 + the sum of d (k - 1)."""
        return 1 + (self.kernel - 1) * sum(self.dilations)


PLANS = {
    **{f"kernel {size}": Plan(size, (1, 1)) for size in (1, 3, 5, 7, 11)},
    **{f"depth {layers}": Plan(3, (1,) * layers) for layers in (1, 3, 5, 7)},
    **{f"dilation {'-'.join(map(str, apart))}": Plan(3, apart) for apart in ((1, 2, 2), (1, 2, 4), (1, 3, 6))},
}
# Where two ways meet there is one network.
WAYS = {
    "kernel": ("kernel 1", "kernel 3", "kernel 5", "kernel 7", "kernel 11"),
    "depth": ("depth 1", "kernel 3", "depth 3", "depth 5", "depth 7"),
    "dilation": ("depth 3", "dilation 1-2-2", "dilation 1-2-4", "dilation 1-3-6"),
}
# For each way: too small a field, the first that covers the digit, the largest.
RISE = {"kernel": (5, 13, 21), "depth": (3, 11, 15), "dilation": (7, 11, 21)}
HEADLINE_RISE, HEADLINE_STOP = ("kernel", "depth"), ("kernel", "dilation")
FINE = ("depth 3", "dilation 1-2-2", "dilation 1-3-6")  # fields 7, 11, 21, at all resolutions
COVERS, WIDE = FINE[1], FINE[2]


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but `runs` and `everything` is part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind
    everything: bool = True  # all fields and resolutions, not only those that headlines rest on
    steps: int = 2500  # updates
    test: int = 10_000  # test examples


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: what headlines rest on, too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "everything": False,
        "steps": min(settings.steps, 50),
        "test": min(settings.test, 1000),
    }


def _net_of(way: str, field: int) -> str:
    return next(name for name in WAYS[way] if PLANS[name].field == field)


def widths(plan: Plan, parameters: int = PARAMETERS) -> tuple[int, ...]:
    """The channels of each layer: equal ones, as many as fit, and in the last layer what comes nearest to the total.

    >>> widths(PLANS["kernel 3"]), widths(PLANS["depth 5"])
    ((19, 21), (10, 10, 10, 10, 13))
    """
    depth = len(plan.dilations)

    def total(each: int, last: int) -> int:
        channels = (1, *(each,) * (depth - 1), last)
        inside = sum((plan.kernel * a + 1) * b for a, b in pairwise(channels))
        return inside + 10 * (last + 1)

    each = max(c for c in range(1, parameters) if total(c, c) <= parameters)
    last = min(range(1, parameters), key=lambda c: abs(total(each, c) - parameters))
    return (*(each,) * (depth - 1), last)


def network(name: str, length: int, seed: int) -> Stack:
    """The network of that name with He's first weights, drawn by the seed; the same at every length."""
    plan = PLANS[name]
    depth = len(plan.dilations)
    return he_uniform(
        Stack.init(
            jax.random.key(seed),
            (length,),
            channels=widths(plan),
            kernels=(plan.kernel,) * depth,
            strides=1,
            dilations=plan.dilations,
            padding=None,
            summary="mean",
        )
    )


def _places(settings: Settings) -> list[tuple[str, int]]:
    """Which network at which length."""
    if settings.everything:
        return [(name, USUAL) for name in PLANS] + [(name, n) for n in LENGTHS if n != USUAL for name in FINE]
    judged = {_net_of(way, field): USUAL for way in HEADLINE_RISE for field in RISE[way][:2]}
    judged |= {_net_of(way, field): USUAL for way in HEADLINE_STOP for field in RISE[way][1:]}
    return [*judged.items(), (COVERS, LENGTHS[-1])]


def _process(length: int) -> _nested.Process:
    return (("final_seq_length", length),)


def cells(settings: Settings) -> list[Cell]:
    """Every network at its length; ValueError for counts below 1."""
    trials.require_positive(settings, "runs", "steps")
    _nested.require_test(settings.test)
    changed = trials.differing(settings, "runs", "everything", "test")
    wanted = []
    for name, length in _places(settings):
        recipe = _nested.recipe(EXAMPLES, settings.test, _process(length))
        coordinates = {"net": name, "length": length, **changed}
        runs = (Run(ABOUT.id, ABOUT.version, coordinates, seed, recipe) for seed in range(settings.runs))
        wanted.append(Cell(tuple(runs), ahead=True))
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly: by the multiply-adds, of which most networks have as many."""
    steps = run.settings.get("steps", Settings().steps) + run.data["test"] / 300
    cheap = 0.4 if run.settings["net"] == "depth 1" else 1.0
    return (60 + 11 * cheap * run.settings["length"]) * 1e-6 * steps


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, each on the training set of its seed."""
    first = cell.runs[0].settings
    length = first["length"]
    nets = [network(first["net"], length, one.seed) for one in cell.runs]
    found = _nested.classifiers(
        cell.runs,
        nets,
        EXAMPLES,
        pool=EXAMPLES,
        test=settings.test,
        steps=settings.steps,
        batch=BATCH,
        learning_rate=RATE,
        process=_process(length),
    )
    return counted(found, nets[0], (length,))


def _accuracy(results: Sequence[Result], name: str, length: int = USUAL) -> list[float]:
    return trials.by_seed(results, "test_accuracy", net=name, length=length)


def _spent(results: Sequence[Result], name: str, length: int) -> int:
    return int(trials.by_seed(results, "multiply_adds", net=name, length=length)[0])


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    ways = tuple(WAYS) if settings.everything else HEADLINE_RISE
    statements = [*_rises(results, ways), *_stops(results, settings), *_resolution(results, settings)]
    supported = "Accuracy rises until the field covers the digit, then stops; twice the resolution only costs twice."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _rises(results: Sequence[Result], ways: Sequence[str]) -> list[Statement]:
    """From too small a field to one that covers the digit, for each way, corrected together."""
    pairs = [[_accuracy(results, _net_of(way, field)) for field in RISE[way][:2]] for way in ways]
    orders = stats.judge_orders([(small, covering) for small, covering in pairs])
    return [
        difference(
            f"rises-{way}",
            f"By {way}: field {RISE[way][1]} is above {RISE[way][0]}",
            order,
            headline=way in HEADLINE_RISE,
        )
        for way, order in zip(ways, orders, strict=True)
    ]


def _stops(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """From a field that covers the digit to the largest: less than two points."""
    found = []
    for way in WAYS if settings.everything else HEADLINE_STOP:
        covering, largest = RISE[way][1:]
        far, near = (_accuracy(results, _net_of(way, field)) for field in (largest, covering))
        gain = np.subtract(far, near)
        sentence = f"By {way}: {largest} gains < {100 * STOPS:.0f} % over {covering}"
        headline = way in HEADLINE_STOP
        found.append(within(f"stops-{way}", sentence, stats.mean_interval(gain), high=STOPS, headline=headline))
    return found


def _resolution(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """Twice the positions with the same field, what they cost, and with a field that grows along."""
    fine, usual = LENGTHS[-1], _accuracy(results, COVERS)
    field, wide = PLANS[COVERS].field, PLANS[WIDE].field
    kept = np.subtract(_accuracy(results, COVERS, fine), usual)
    ratio = _spent(results, COVERS, fine) / _spent(results, COVERS, USUAL)
    exact = Measurement(ratio, (ratio, ratio), Evidence.exact, 1)
    found = [
        within("finer", f"{fine} positions, field {field}: gains < {100 * LITTLE:.0f} %", stats.mean_interval(kept),
               high=LITTLE, headline=True),
        within("cost", f"{fine} positions cost twice what {USUAL} do", exact, low=1.9, high=2.1, unit="times",
               headline=True, published="2"),
    ]  # fmt: skip
    if not settings.everything:
        return found
    grown = _accuracy(results, WIDE, fine)
    order = stats.judge_order(_accuracy(results, COVERS, fine), grown)
    gain = stats.mean_interval(np.subtract(grown, usual))
    coarse = stats.mean_interval(np.subtract(_accuracy(results, FINE[0], LENGTHS[0]), usual))
    return [
        *found,
        difference("finer-wider", f"{fine} positions: field {wide} is above {field}", order),
        within("finer-and-wider", f"{fine} with field {wide}: < {100 * LITTLE:.0f} % over {USUAL}", gain, high=LITTLE),
        within("coarser", f"{LENGTHS[0]} with field {PLANS[FINE[0]].field}: loses < {100 * STOPS:.0f} %", coarse,
               low=-STOPS),
    ]  # fmt: skip


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, plan in PLANS.items():
        for length in LENGTHS:
            chosen = trials.where(results, net=name, length=length)
            if chosen:
                counts = (f"{int(chosen[0].values[what]):,}" for what in ("parameters", "multiply_adds"))
                accuracy = percent_with_interval(_accuracy(results, name, length))
                rows.append((name, str(length), str(plan.field), *counts, accuracy))
    return (("network", "positions", "field", "parameters", "multiply-adds", "test accuracy, %"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against the field, a line a way of setting it; and against the part of the signal that it covers."""
    by_way, by_length = [], []
    for way, names in WAYS.items():
        for name in names:
            if trials.where(results, net=name, length=USUAL):
                place = {"net": way, "data": "40 positions", "field": PLANS[name].field}
                by_way.append(_nested.point(place, _accuracy(results, name)))
    for length in LENGTHS:
        for name in FINE:
            if trials.where(results, net=name, length=length):
                field = PLANS[name].field
                place = {"net": f"{length} positions", "data": "three dilated layers", "share": 100 * field / length}
                by_length.append(_nested.point(place, _accuracy(results, name, length)))
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    across = {"points": True, "subtitle": said}
    return {
        "Test accuracy against the receptive field, with 1500 parameters": plot.curves(
            by_way, x="field", x_title="receptive field, positions", title="How far to see",
            y_domain=_nested.from_tenth(row["mean"] for row in by_way),
            rules=[{"field": DIGIT[1], "label": "the longest digit"}], **across,
        ),
        "Test accuracy against the part of the signal that a unit sees": plot.curves(
            by_length, x="share", x_title="receptive field, % of the signal", title="How finely to see",
            y_domain=_nested.from_tenth(row["mean"] for row in by_length),
            rules=[{"share": 100 * DIGIT[1] / USUAL, "label": "the longest digit"}], **across,
        ),
    }  # fmt: skip
