"""Claim: batch statistics need a reasonably large batch, whose mean has a variance that falls as 1 / (H W B) at best.

Source: a lecture on multi-layer perceptrons and convolutional networks ("batch statistics need a reasonably large
batch"; the variance of the mean over N = H W B values is Var / N), after Ioffe and Szegedy 2015 (arXiv 1502.03167). The
comparison follows Wu and He, "Group normalization", ECCV 2018 (arXiv 1803.08494), figure 1: ImageNet error by batch
norm rises from 23.6 % at 32 images a worker to 34.7 % at 2, by group norm it is 24.1 % at both.

Variance: eight channels of a first convolution (kernel 5, PyTorch's first weights) of MNIST-1D signals of 40 positions;
400 mini-batches of each size B, drawn with replacement from 4000 signals that were made with another seed than those
whose autocovariances give the closed form. The variance of a channel's mean over that of its values, averaged over
channels: of B signals; of 40 B values from places of their own; of 1 to 32 neighbouring positions of 16 signals.

Accuracy: the published data set; a dense network 40-100-100-10 with batch norm or layer norm before each ReLU, and a
convolutional one (16 channels, kernels 5 and 3, windows of two after each, mean over the 10 positions left) with batch
norm or group norm (4 groups); N = B in the first, 40 B and 20 B in the second. Equal epochs (20), batches of 2 to 128
shuffled anew each epoch, descent with momentum 0.9 at 0.1 B / 128, the linear rule. Test accuracy after the last
update, batch norm by its running statistics (weight of the new batch 0.1); beside it by the statistics of all training
examples. The seed draws first weights and batches, and for variances the convolution.

Predicted before the first run. Slopes of log variance: -1.00 +- 0.02 in N for independent values and in B for signals,
-0.35 +- 0.15 in the number of positions. 40 positions are worth 5 +- 3 independent ones; measured variances lie within
5 % of the closed form. Dense network with batch norm at 2, 4, 8, 16, 32, 64, 128: 20 +- 10, 45 +- 7, 56 +- 4, 61 +- 3,
63 +- 3, 62 +- 3, 61 +- 3 %; with layer norm 60 +- 3 % throughout, 2 within 2 points of 32. Convolutional network with
batch norm: 62 +- 8 % at 2, 72 +- 6 % from 8 on; with group norm 70 +- 6 % throughout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from flyroom import plot, stats, train
from flyroom.claims import _batch_mean, _normed, trials
from flyroom.claims.statements import bounds, difference, mean_accuracy, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import both_parts
from flyroom.nets.norms import AtInference, BatchNorm, GroupNorm, LayerNorm, absorb
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="batch-norm-batch-size",
    version=1,
    title="How large a batch batch norm needs",
    sentence="Batch statistics need a reasonably large batch: the variance of a mini-batch's mean falls as 1 / N, more "
    "slowly where positions are correlated, and in small batches batch norm costs accuracy, where norms of single "
    "examples do not.",
    source="A lecture on multi-layer perceptrons and convolutional networks (normalisation), after Ioffe and Szegedy "
    "2015 (arXiv 1502.03167); the comparison after Wu and He, ECCV 2018 (arXiv 1803.08494), figure 1",
    prediction="Slopes -1.00 +- 0.02 in independent values and in signals, -0.35 +- 0.15 in positions, 40 of which are "
    "worth 5 +- 3. Dense network, batch norm at 2, 4, 8, 32, 128: 20 +- 10, 45 +- 7, 56 +- 4, 63 +- 3, 61 +- 3 %; "
    "layer norm 60 +- 3 % throughout. Convolutional network, batch norm: 62 +- 8 % at 2, 72 +- 6 % from 8 on; group "
    "norm 70 +- 6 % throughout.",
    cost_s=65.0,
)
WIDTHS, CHANNELS, KERNELS, GROUPS = (40, 100, 100, 10), 16, (5, 3), 4
NETS = {"mlp": "dense", "cnn": "convolutional"}
NORMS = {"batch": "batch norm", "alone": "one example"}
ALONE = {"mlp": "layer norm", "cnn": "group norm"}
WHOLE = 128  # the batch size at which the rate is the settings'; at others it is in proportion
REFERENCE = 32  # the batch size that small ones are compared with: that of the group norm paper
OTHER_SEED = 43  # of the signals that mini-batches are drawn from

FALLS = 0.05  # margin of slopes around -1
SLOWLY = -0.75  # "more slowly": a slope above this
CLOSED = 0.10  # margin of measured variances around the closed form
COSTS = 0.05  # of accuracy: "needs a large batch"
EQUAL = 0.03  # "does not care"


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind, and measurements of variances
    epochs: int = 20  # passes over the training examples
    batches: str = "2-4-8-16-32-64-128"  # examples a batch
    learning_rate: float = 0.1  # at a batch of 128; in proportion to the batch size


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, one epoch, two batch sizes."""
    return {"runs": min(settings.runs, 2), "epochs": 1, "batches": "8-32"}


def sizes(settings: Settings) -> tuple[int, ...]:
    """The batch sizes; ValueError unless there are two or more that batch norm can use and the data fill."""
    try:
        found = tuple(sorted({int(word) for word in settings.batches.split("-")}))
    except ValueError:
        found = ()
    if len(found) < 2 or found[0] < 2 or found[-1] > 1000:
        raise ValueError(f"batches {settings.batches!r}: give two or more numbers of examples, 2 to 1000: 2-8-32-128")
    return found


def reference(found: Sequence[int]) -> int:
    """The batch size that the smallest is compared with: the largest up to 32, but not the smallest itself."""
    return max([size for size in found if size <= REFERENCE][1:] or found[1:2])


def compared(net: str, found: Sequence[int]) -> tuple[int, ...]:
    """The batch sizes of a network: all for the dense one, every second and the reference for the other."""
    return tuple(found) if net == "mlp" else tuple(sorted({*found[::2], reference(found)}))


@cache
def _data() -> Dataset:
    return mnist1d.make()


@cache
def _other() -> Dataset:
    return mnist1d.make(seed=OTHER_SEED)


def cells(settings: Settings) -> list[Cell]:
    """Variances, which need no training, then every network with each norm at every batch size.

    Raises ValueError for counts below 1, batch sizes that are none, and a rate that is none.
    """
    trials.require_positive(settings, "runs", "epochs")
    trials.require_rate(settings)
    found = sizes(settings)
    changed = trials.differing(settings, "runs", "batches")
    seeds = range(settings.runs)
    two = {"name": "two sets", "covariances": dict(_data().recipe), "batches": dict(_other().recipe)}
    place = {"variances": settings.batches}
    wanted = [Cell(tuple(Run(ABOUT.id, ABOUT.version, place, seed, two) for seed in seeds))]
    for net in NETS:
        for norm in NORMS:
            for size in compared(net, found):
                where = {"net": net, "norm": norm, "batch": size, **changed}
                runs = (Run(ABOUT.id, ABOUT.version, where, seed, _data().recipe) for seed in seeds)
                wanted.append(Cell(tuple(runs), ahead=True))
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if "variances" in run.settings:
        return 0.6
    size = run.settings["batch"]
    steps = run.settings.get("epochs", Settings().epochs) * (len(_data().x_train) // size)
    return steps * 1e-6 * (20 + 0.8 * size if run.settings["net"] == "mlp" else 20 + 6.5 * size)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Measure variances, or train the networks of a cell side by side."""
    first, data = cell.runs[0].settings, _data()
    if "variances" in first:
        return [variances(one, sizes(settings)) for one in cell.runs]
    size, x = first["batch"], train.examples(data)[0]
    steps = settings.epochs * (len(data.x_train) // size)
    moments = trials.moments(steps, max(1, steps // 5))
    trained = train.train_many(
        [network(first["net"], first["norm"], one.seed) for one in cell.runs],
        *train.examples(data),
        [train.shuffled(len(data.x_train), size, steps, one.seed) for one in cell.runs],
        train.Protocol(_normed.training_loss, trials.momentum, measure, moments, after=absorb),
        learning_rate=settings.learning_rate * size / WHOLE,
        held=(*train.both_parts(data), x),
    )
    return [_result(one, net, moments) for one, net in zip(cell.runs, trained, strict=True)]


def variances(run: Run, found: Sequence[int]) -> Result:
    """Slopes of variances, the effective number of positions, and measured over expected variance of a batch's mean."""
    spread = _batch_mean.measure(_data().x_train, _other().x_train, found, run.seed)
    expected = [spread.one_signal / size for size in found]
    values = {
        "slope_independent": _batch_mean.slope(found, spread.independent),
        "slope_signals": _batch_mean.slope(found, spread.signals),
        "slope_positions": _batch_mean.slope(_batch_mean.WINDOWS, spread.windows),
        "effective": spread.effective,
        "over_expected": float(np.exp(np.mean(np.log(spread.signals) - np.log(expected)))),
    }
    curves = {
        "batch": [float(size) for size in found],
        "independent": spread.independent,
        "signals": spread.signals,
        "expected": expected,
        "window": [float(size) for size in _batch_mean.WINDOWS],
        "windows": spread.windows,
    }
    return Result(run, values, curves)


def network(net: str, norm: str, seed: int) -> AtInference:
    """A network with its first running statistics; the seed draws its first weights, the same for either norm."""
    key = jax.random.key(seed)
    if net == "mlp":
        made: Any = BatchNorm.init if norm == "batch" else lambda width: _normed.Alone(LayerNorm.init(width))
        return _normed.to_train(_normed.mlp(key, made, WIDTHS))
    groups = partial(GroupNorm.init, groups=GROUPS)
    made = BatchNorm.init if norm == "batch" else lambda channels: _normed.Alone(groups(channels))
    return _normed.to_train(_normed.cnn(key, made, CHANNELS, KERNELS, 10))


def measure(model: AtInference, held: tuple[Array, Array, Array, Array]) -> dict[str, Array]:
    """Accuracies and losses by running statistics; test examples right by those of all training examples."""
    x, y, is_test, known = held
    recomputed = _normed.right(_normed.with_statistics_of(model.net, known), x, y, is_test)
    return {**both_parts(model, (x, y, is_test)), "recomputed_right": recomputed}


def _result(run: Run, trained: train.Trained, moments: Sequence[int]) -> Result:
    made = trials.recorded(run, trained, _data(), moments)
    recomputed = [int(right) / len(_data().y_test) for right in trained.evaluated["recomputed_right"]]
    curves = {**made.curves, "recomputed_accuracy": recomputed}
    return Result(run, {**made.values, "recomputed_accuracy": recomputed[-1]}, curves)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    found = sizes(settings)
    statements = (*_variances(results), *_accuracies(results, found[0], reference(found)))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "The mean over a batch settles as 1 / B, positions count less than their number, and small batches cost "
        "batch norm accuracy.",
        table=_table(results, found),
        runs=sum("net" in one.run.settings for one in results),
    )


def _measured(results: Sequence[Result]) -> list[Result]:
    chosen = sorted((one for one in results if "variances" in one.run.settings), key=lambda one: one.run.seed)
    if not chosen:
        raise ValueError("no run of variances is stored, so the claim cannot be judged; run it again")
    return chosen


def _variances(results: Sequence[Result]) -> list[Statement]:
    def of(value: str) -> Any:
        return stats.mean_interval([one.values[value] for one in _measured(results)])

    low, high = -1 - FALLS, -1 + FALLS
    return [
        within("independent", "Independent values: variance as 1 / N", of("slope_independent"), low=low, high=high,
               unit="slope", headline=True, published="-1"),
        within("signals", "Whole signals: variance as 1 / B", of("slope_signals"), low=low, high=high, unit="slope",
               headline=True, published="-1"),
        within("positions", f"Positions of a signal: slope > {SLOWLY}", of("slope_positions"), low=SLOWLY,
               unit="slope", headline=True, published="> -1"),
        within("closed-form", "Variance as autocovariances say, -+ 10 %", of("over_expected"), low=1 - CLOSED,
               high=1 + CLOSED, unit="times", headline=True, published="1"),
        within("effective", "40 positions are worth < 20", of("effective"), high=20.0, unit="positions"),
    ]  # fmt: skip


def _of(results: Sequence[Result], net: str, norm: str, size: int, value: str = "test_accuracy") -> np.ndarray:
    return np.array(trials.by_seed(results, value, net=net, norm=norm, batch=size))


def _accuracies(results: Sequence[Result], small: int, large: int) -> list[Statement]:
    """What small batches cost, by norm and by network; and what of that the running statistics do."""
    loss = {
        (net, norm): _of(results, net, norm, large) - _of(results, net, norm, small) for net in NETS for norm in NORMS
    }
    costs = stats.mean_interval(loss["mlp", "batch"])
    said = f"Batch norm: {small} costs > {100 * COSTS:.0f} % against {large}"
    found = [within("small-costs", said, costs, low=COSTS, headline=True)]
    for net, headline in (("mlp", True), ("cnn", False)):
        said = f"{ALONE[net].capitalize()}: {small} and {large} within {100 * EQUAL:.0f} %"
        change = stats.mean_interval(loss[net, "alone"])
        name = ALONE[net].replace(" ", "-")
        found.append(within(name, said, change, low=-EQUAL, high=EQUAL, headline=headline))
    order = stats.judge_order(loss["cnn", "batch"], loss["mlp", "batch"])
    found.append(difference("positions-help", "Small batches cost a convolution less", order, headline=True))
    recomputed = _of(results, "mlp", "batch", small, "recomputed_accuracy")
    order = stats.judge_order(_of(results, "mlp", "batch", small), recomputed)
    found.append(difference("running", f"At {small} the running statistics cost some", order))
    still = stats.mean_interval(_of(results, "mlp", "batch", large, "recomputed_accuracy") - recomputed)
    said = f"Without them {small} costs > {100 * COSTS:.0f} % still"
    return [*found, within("training-itself", said, still, low=COSTS)]


def _table(results: Sequence[Result], found: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    columns = (("mlp", "batch", "test_accuracy"), ("mlp", "batch", "recomputed_accuracy"),
               ("mlp", "alone", "test_accuracy"), ("cnn", "batch", "test_accuracy"),
               ("cnn", "alone", "test_accuracy"))  # fmt: skip
    head = ("batch", "dense, batch norm", "statistics of all", "layer norm", "conv., batch norm", "group norm")
    rows = []
    for size in found:
        entries = []
        for net, norm, value in columns:
            chosen = trials.where(results, net=net, norm=norm, batch=size)
            lost = sum("diverged_at_step" in one.values for one in chosen)
            text = percent_with_interval([one.values[value] for one in chosen]) if chosen else ""
            entries.append(text + (f", {lost} diverged" if lost else ""))
        rows.append((str(size), *entries))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against batch size, and variances against the number of values."""
    trained = [one for one in results if "net" in one.run.settings]
    accuracy = []
    for net, label in NETS.items():
        for norm, value, name in (
            ("batch", "test_accuracy", "batch norm"),
            ("batch", "recomputed_accuracy", "statistics of all"),
            ("alone", "test_accuracy", ALONE[net]),
        ):
            chosen = {one.run.settings["batch"] for one in trials.where(trained, net=net, norm=norm)}
            for size in sorted(chosen):
                found = mean_accuracy(_of(results, net, norm, size, value).tolist())
                place = {"net": name, "data": f"{label} network", "step": size}
                accuracy.append({**place, "mean": found.value, **bounds(found)})
    rows = []
    measured = _measured(results)
    positions = _data().x_train.shape[1]
    for curve, name, along, values in (
        ("independent", "independent", "batch", positions),
        ("signals", "whole signals", "batch", positions),
        ("expected", "from autocovariances", "batch", positions),
        ("windows", "neighbours of 16 signals", "window", _batch_mean.WINDOW_BATCH),
    ):
        for number, size in enumerate(measured[0].curves[along]):
            mean = float(np.mean([one.curves[curve][number] for one in measured]))
            rows.append({"net": name, "data": "values of a channel", "step": values * size, "mean": mean})
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    return {
        "Test accuracy against batch size, at equal epochs": plot.curves(
            accuracy, x_title="examples a batch", log_x=True, points=True, title="How large a batch batch norm needs",
            subtitle=said,
        ),
        "Variance of a mini-batch's mean over that of single values": plot.curves(
            rows, x_title="values N in the mean", y_title="variance of the mean", percent=False, log_x=True,
            log_y=True, points=True, title="How a mean settles", subtitle=f"{len(measured)} convolutions",
        ),
    }  # fmt: skip
