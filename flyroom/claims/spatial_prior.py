"""Claim: the better a network's prior fits signals, the better it does on MNIST-1D; shuffling takes that away.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), Table 1 and
section 3, and the notebook `mnist1d-classification`.

Protocol: the published data set (seed 42, 4000 / 1000 examples); Adam at 1e-2, batches of 100 in the order of the
data, round and round; 6000 updates; accuracy on the test part after the last one (nothing is selected on it).
"Shuffled" applies one fixed permutation to the 40 positions of every example.

Predicted before the first run, from the published notebooks' printed output: final test accuracy linear 31.6 +- 0.7 %,
MLP 64 +- 2.5 % (so the published 68 +- 2 is probably not reached), GRU 90.8 +- 2.5 %, CNN 93.3 +- 2 %; shuffled, linear
31.6 +- 0.7 %, MLP 65 +- 4 %, CNN 57.5 +- 3 %, GRU 53 +- 3 %. The order linear < MLP < GRU < CNN holds; shuffling costs
the CNN and the GRU 30 points or more and the other two nothing; "the GRU takes at least 10 times the CNN's time" does
not hold for a trainer that compiles the whole loop.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from flyroom import ensemble, plot, stats
from flyroom.claims import _pytorch, trials
from flyroom.claims._code import code
from flyroom.claims.statements import (
    against_published,
    band,
    bounds,
    difference,
    mean_accuracy,
    percent,
    percent_with_interval,
    unmeasured,
    within,
)
from flyroom.data import mnist1d
from flyroom.measure.accuracy import nearest_neighbours
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement
from flyroom.train import contiguous

ABOUT = About(
    id="spatial-prior",
    version=1,
    title="What a spatial prior is worth on MNIST-1D",
    sentence="On MNIST-1D a linear classifier does worse than an MLP, an MLP worse than a GRU, a GRU worse than a CNN; "
    "when the positions are shuffled, the CNN and the GRU lose what they were ahead, and the others lose nothing.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), Table 1",
    prediction="Final test accuracy: linear 31.6 +- 0.7 %, MLP 64 +- 2.5 % (the published 68 +- 2 is probably not "
    "reached), GRU 90.8 +- 2.5 %, CNN 93.3 +- 2 %; shuffled: 31.6 +- 0.7, 65 +- 4, 53 +- 3, 57.5 +- 3 %. The order "
    "holds. Shuffling costs the CNN and the GRU 30 points or more, the others nothing. The GRU does not take 10 "
    "times the CNN's time here.",
    cost_s=45.0,
)

Accuracies = Mapping[tuple[str, bool], list[float]]  # of (net, shuffled), by seed

LABELS = {
    "mnist1d-linear": "linear",
    "mnist1d-mlp": "MLP",
    "mnist1d-gru": "GRU",
    "mnist1d-cnn": "CNN",
    "knn:10": "kNN (10)",
}
TRAINED = ("mnist1d-linear", "mnist1d-mlp", "mnist1d-gru", "mnist1d-cnn")
KINDS = {False: "plain signals", True: "shuffled signals"}

# Table 1, in per cent, mean and +-; 3 runs each, selected by "early stopping".
PUBLISHED: Mapping[tuple[str, bool], tuple[float, float]] = {
    ("mnist1d-linear", False): (0.32, 0.01),
    ("mnist1d-mlp", False): (0.68, 0.02),
    ("mnist1d-gru", False): (0.91, 0.02),
    ("mnist1d-cnn", False): (0.94, 0.02),
    ("mnist1d-linear", True): (0.32, 0.01),
    ("mnist1d-mlp", True): (0.68, 0.02),
    ("mnist1d-gru", True): (0.57, 0.02),
    ("mnist1d-cnn", True): (0.56, 0.02),
}
# One reader, 383 of 400 distinct test examples (one quiz of 100 was counted twice); the paper says 96 +- 1.
HUMAN = (0.9575, 0.01)
HUMAN_SHUFFLED = (0.30, 0.10)  # the paper's "about 30 +- 10"
TENFOLD = "≥ 10 x"

EXAMPLES = 4000  # of the published training part
NOTHING = 0.02  # "costs nothing": within the half-width that the published table gives for the MLP

# Microseconds of one core a step, measured on a machine with a 137 GFLOP/s core; only progress depends on them.
COST_US = {"mnist1d-linear": 30, "mnist1d-mlp": 120, "mnist1d-gru": 700, "mnist1d-cnn": 290}


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. Steps, batch, rate and curve are part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind
    steps: int = 6000  # updates
    batch: int = 100  # examples an update
    learning_rate: float = 0.01  # Adam's
    evaluate_every: int = 500  # steps between two points of a curve
    time_pytorch: bool = True  # time a step of PyTorch as well, where it is installed
    net: str = ""  # a further network for the table, as `flyroom train` takes it


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: too few steps and seeds for the published figures, enough to see everything work."""
    return {
        "runs": min(settings.runs, 2),
        "steps": min(settings.steps, 600),
        "evaluate_every": 100,
        "time_pytorch": False,
    }


def cells(settings: Settings) -> list[Cell]:
    """All runs that are wanted: each network on plain and on shuffled signals, and the baselines once.

    Raises ValueError for counts below 1, a batch above the training set, a rate that is none, and a network of the
    user's that cannot be trained on these signals.
    """
    trials.require_positive(settings, "runs", "steps", "evaluate_every", "batch")
    trials.require_rate(settings)
    if settings.batch > EXAMPLES:
        raise ValueError(f"a batch of {settings.batch} cannot be taken from {EXAMPLES} examples")
    extra = (settings.net,) if settings.net and settings.net not in TRAINED else ()
    if extra:
        ensemble.check_net(settings.net, _data(False))
    changed = trials.differing(settings, "runs", "net", "time_pytorch")
    wanted = [
        Cell(
            # Not compiled ahead: wall times are compared, and compiling beside another cell would be in that one's.
            tuple(_run({"net": net, "shuffled": shuffled, **code(net), **changed}, s) for s in range(settings.runs))
        )
        for net in (*TRAINED, *extra)
        for shuffled in (False, True)
    ]
    wanted += [Cell((_run({"net": "knn:10", "shuffled": shuffled}, 0),)) for shuffled in (False, True)]
    if settings.time_pytorch and importlib.util.find_spec("torch") is not None:
        wanted.append(Cell((_run({"net": "pytorch-time", "shuffled": False}, 0),)))
    return wanted


def _run(settings: Mapping[str, Json], seed: int) -> Run:
    recipe = _data(bool(settings["shuffled"])).recipe
    return Run(ABOUT.id, ABOUT.version, settings, seed, recipe)


@cache
def _data(shuffled: bool) -> Dataset:
    return mnist1d.make(shuffle_seq=shuffled)


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if run.settings["net"] in ("knn:10", "pytorch-time"):
        return 3.0
    return COST_US.get(run.settings["net"], 300) * 1e-6 * run.settings.get("steps", Settings().steps)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, or measure a baseline."""
    first = cell.runs[0].settings
    data = _data(bool(first["shuffled"]))
    if first["net"] == "knn:10":
        return [Result(one, {"test_accuracy": nearest_neighbours(data, 10).value}) for one in cell.runs]
    if first["net"] == "pytorch-time":
        try:
            return [Result(one, {}, _pytorch.seconds_per_step(data)) for one in cell.runs]
        except (ImportError, OSError):  # an installation that is broken; nothing but this row depends on it
            return [Result(one, {}) for one in cell.runs]
    steps = trials.moments(settings.steps, settings.evaluate_every)
    init = parse(first["net"]).init
    trained = trials.classifiers(
        cell.runs,
        [init(jax.random.key(one.seed)) for one in cell.runs],
        data,
        contiguous(len(data.x_train), settings.batch, settings.steps),
        learning_rate=settings.learning_rate,
        evaluate_after=steps,
    )
    # Runs of one cell share a wall time, and only cells of one size can be compared.
    together = {"cell": float(cell.runs[0].seed), "cell_size": float(len(cell.runs))}
    results = []
    for one in trained:
        best = max(one.curves["test_accuracy"])  # published beside ours by some; never judged
        results.append(replace(one, values={**one.values, "best_test_accuracy": best, **together}))
    return results


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    final = {
        (net, shuffled): _by_seed(results, net, shuffled, "test_accuracy")
        for net in _nets(results)
        for shuffled in (False, True)
    }
    statements = (
        *_orders(final),
        *_costs(final),
        *_against_published(final),
        *_means(final),
        _wall_time(results),
        _wall_time_pytorch(results),
    )
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "The four networks stand in the published order, and shuffling costs what was published: much for the CNN and "
        "the GRU, nothing for the MLP and the linear classifier.",
        table=_table(final, results),
        runs=sum(one.run.settings["net"] in _nets(results) for one in results),
    )


def _nets(results: Sequence[Result]) -> list[str]:
    found = {one.run.settings["net"] for one in results} - {"knn:10", "pytorch-time", *TRAINED}
    return [*TRAINED, *sorted(found)]


def _by_seed(results: Sequence[Result], net: str, shuffled: bool, value: str) -> list[float]:
    return trials.by_seed(results, value, net=net, shuffled=shuffled)


def _label(net: str) -> str:
    return LABELS.get(net, net)


def _orders(final: Accuracies) -> list[Statement]:
    """linear < MLP < GRU < CNN, three comparisons paired by seed and corrected together."""
    pairs = list(pairwise(TRAINED))
    found = stats.judge_orders([(final[low, False], final[high, False]) for low, high in pairs])
    names = [(_label(low), _label(high)) for low, high in pairs]
    return [
        difference(f"{low}-below-{high}".lower(), f"The {low} is below the {high}", order, headline=True)
        for (low, high), order in zip(names, found, strict=True)
    ]


def _costs(final: Accuracies) -> list[Statement]:
    """What shuffling costs: something for CNN and GRU (tested), nothing for MLP and linear (inside a margin)."""
    losers = ("mnist1d-cnn", "mnist1d-gru")
    statements = []
    for net, order in zip(losers, stats.judge_orders([(final[n, True], final[n, False]) for n in losers]), strict=True):
        lost = PUBLISHED[net, False][0] - PUBLISHED[net, True][0]
        sentence = f"Shuffling costs the {_label(net)} accuracy"
        statements.append(
            difference(
                f"shuffling-{_label(net)}".lower(), sentence, order, headline=True, published=f"{100 * lost:.0f} %"
            )
        )
    for net in ("mnist1d-mlp", "mnist1d-linear"):
        lost = stats.mean_interval(np.subtract(final[net, False], final[net, True]))
        sentence = f"Shuffling costs the {_label(net)} < {100 * NOTHING:.0f} %"
        name = f"shuffling-{_label(net)}".lower()
        statements.append(within(name, sentence, lost, low=-NOTHING, high=NOTHING, headline=True, published="0 %"))
    best = stats.judge_orders([(final[net, True], final["mnist1d-mlp", True]) for net in losers])
    for net, order in zip(losers, best, strict=True):
        sentence = f"Shuffled, the MLP is above the {_label(net)}"
        statements.append(difference(f"shuffled-mlp-above-{_label(net)}".lower(), sentence, order))
    return statements


def _against_published(final: Accuracies) -> list[Statement]:
    return [
        against_published(
            f"published-{_label(net)}-{'shuffled' if shuffled else 'plain'}".lower(),
            f"{_label(net)}, {'shuffled' if shuffled else 'plain'}: as published",
            final[net, shuffled],
            *PUBLISHED[net, shuffled],
        )
        for net, shuffled in PUBLISHED
    ]


def _means(final: Accuracies) -> list[Statement]:
    """Where a mean over seeds lies: single MLPs may touch the published figure and their mean miss it."""
    mlp, cnn = (stats.mean_interval(final[net, False]) for net in ("mnist1d-mlp", "mnist1d-cnn"))
    (mean, spread), text = PUBLISHED["mnist1d-mlp", False], f"{percent(*PUBLISHED['mnist1d-mlp', False])} %"
    limit, human = HUMAN[0] - HUMAN[1], f"{percent(*HUMAN)} %"
    return [
        within("mlp-mean-as-published", "The MLP's mean is as published", mlp, low=mean - spread, published=text),
        within("cnn-below-human", "The CNN is below the human reader", cnn, high=limit, published=human),
    ]


def _wall_time(results: Sequence[Result]) -> Statement:
    """One pair a cell that both networks ran, not a seed; a network's first cell includes its compilation."""
    walls: dict[str, dict[tuple, float]] = {"mnist1d-gru": {}, "mnist1d-cnn": {}}
    for one in results:
        if one.run.settings["net"] in walls:
            cell = (one.run.settings["shuffled"], one.values["cell"], one.values["cell_size"])
            walls[one.run.settings["net"]][cell] = one.wall_s
    gru, cnn = walls["mnist1d-gru"], walls["mnist1d-cnn"]
    both = [cell for cell in gru if cell in cnn and cnn[cell] > 0]
    sentence = "GRU time ≥ 10 x CNN time, here"
    if not both:
        return unmeasured("gru-10x-here", sentence, TENFOLD)
    ratio = stats.ratio([gru[cell] for cell in both], [cnn[cell] for cell in both])
    return within("gru-10x-here", sentence, ratio, low=10.0, unit="times", published=TENFOLD)


def _wall_time_pytorch(results: Sequence[Result]) -> Statement:
    timed = [one for one in results if one.run.settings["net"] == "pytorch-time"]
    sentence = "GRU time ≥ 10 x CNN time, PyTorch"
    if not timed or not timed[0].curves:
        return unmeasured("gru-10x-pytorch", f"{sentence} (not timed)", TENFOLD)
    ratio = stats.ratio(timed[0].curves["gru"], timed[0].curves["cnn"])
    return within("gru-10x-pytorch", sentence, ratio, low=10.0, unit="times", published=TENFOLD)


def _table(final: Accuracies, results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    head = ("network", "plain, %", "published", "shuffled, %", "published", "runs")
    nets = dict.fromkeys(net for net, _ in final)
    rows = [
        (
            _label(net),
            percent_with_interval(final[net, False]),
            percent(*PUBLISHED[net, False]) if net in TRAINED else "",
            percent_with_interval(final[net, True]),
            percent(*PUBLISHED[net, True]) if net in TRAINED else "",
            str(len(final[net, False])),
        )
        for net in nets
    ]
    knn = [_by_seed(results, "knn:10", shuffled, "test_accuracy")[0] for shuffled in (False, True)]
    rows.append(("kNN (10)", f"{100 * knn[0]:.1f}", "", f"{100 * knn[1]:.1f}", "", "exact"))
    rows.append(("human", "", percent(*HUMAN), "", percent(*HUMAN_SHUFFLED), "1 reader"))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Final accuracies with the published ones marked, and the curves that lead to them."""
    nets = _nets(results)
    trained = [one for one in results if one.run.settings["net"] in nets]
    trained.sort(key=lambda one: (nets.index(one.run.settings["net"]), one.run.settings["shuffled"], one.run.seed))

    def place(one: Result) -> dict[str, Json]:
        return {"net": _label(one.run.settings["net"]), "data": KINDS[bool(one.run.settings["shuffled"])]}

    dots = [{**place(one), "value": one.values["test_accuracy"], "seed": one.run.seed} for one in trained]
    means, bands = [], []
    for net in nets:
        for shuffled in (False, True):
            here = {"net": _label(net), "data": KINDS[shuffled]}
            chosen = [r for r in trained if r.run.settings["net"] == net and r.run.settings["shuffled"] == shuffled]
            final = mean_accuracy([one.values["test_accuracy"] for one in chosen])
            means.append({**here, "value": final.value, **bounds(final)})
            bands += band(chosen, "test_accuracy", here)
    for one in results:
        if one.run.settings["net"] == "knn:10":
            means.append({**place(one), "value": one.values["test_accuracy"]})
    published = [
        {"net": _label(net), "data": KINDS[shuffled], "value": mean, "plus_minus": plus_minus}
        for (net, shuffled), (mean, plus_minus) in PUBLISHED.items()
    ]
    for shuffled, (mean, plus_minus) in ((False, HUMAN), (True, HUMAN_SHUFFLED)):
        published.append({"net": "human", "data": KINDS[shuffled], "value": mean, "plus_minus": plus_minus})
    runs = f"{judgement.runs} networks; bars and bands are 95 % intervals of the mean"
    return {
        "Final test accuracy: every network, the mean with its interval, the published figure": plot.finals(
            dots, means, published, title="Final test accuracy on MNIST-1D", subtitle=runs
        ),
        "Test accuracy while training": plot.curves(bands, title="Test accuracy while training", subtitle=runs),
    }
