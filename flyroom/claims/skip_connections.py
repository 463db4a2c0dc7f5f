"""Claim: skip connections make the identity easy and let gradients flow, so that depth does not hinder training.

Source: a lecture on multi-layer perceptrons and convolutional networks ("skip connections make identity easy and
gradients flow"), after He et al., "Deep residual learning for image recognition", CVPR 2016 (arXiv 1512.03385), and
"Identity mappings in deep residual networks", ECCV 2016 (arXiv 1603.05027). No figures of its own.

Three kinds of network of 64 units, all with PyTorch's first weights, the same ones at the same seed. A block is f(h) =
W2 a(W1 a(h) + b1) + b2; "plain" hands on f(h) and is an ordinary MLP, "skip" h + f(h), both with a = ReLU; "norm" hands
on h + f(h) with a = ReLU after layer norm (pre-activation; layer norm in the place of batch norm).

Gradients: 50 layers (24 blocks), first weights, the cross-entropy of 200 training examples; the norm of each example's
gradient by what enters each block. A run takes eight networks and the geometric mean over them and the examples; the
closed forms are in `_skips.expected_log_gain`. Training: the published data set, 4, 16 and 64 layers, Adam at 1e-3,
batches of 100 shuffled anew each epoch, 1000 updates; training accuracy. Identity: one block without the inner ReLU and
norm, W2 relu(W1 x + b1) + b2, with x added and without, to reproduce 64 standard normal numbers: 4000 examples, the
same optimiser, 1000 updates; squared error on 1000 others. The seed draws first weights and batches.

Seen before, elsewhere: 50 layers, width 64, gradient by the input 6e-17 plain and 2.0 with skips, blocks not described.

Predicted before the first run. Gradients: a plain layer keeps 0.400 of the norm (1e-19 over 48 layers); 24 skip blocks
multiply it by 1.37, 24 with norm by the closed form for these examples, 3.2 +- 0.4; all within the margins. Training
accuracy, plain: 65 +- 8, 20 +- 10, 10.5 +- 1 % at 4, 16, 64 layers; skip: 65 +- 8, 80 +- 10, 90 +- 10; norm: 72 +- 8,
90 +- 8, 93 +- 7. Identity: error 0.062 at first and 1e-5 (10^-5 +- 1) after training with the skip, 1.062 and 0.3 +-
0.15 without; weights move by 5 +- 1 with it, by 10 +- 3 without; at first they are 4.65 at most from a solution with
it, 6.5 at least without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log10
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flyroom import plot, stats, train
from flyroom.claims import _skips, trials
from flyroom.claims.statements import bounds, difference, mean_accuracy, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import squared_error
from flyroom.records import About, Cell, Dataset, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="skip-connections",
    version=1,
    title="What skip connections do for gradients, and for the identity",
    sentence="Skip connections make the identity easy to learn and let gradients flow, so that 64 layers are trained "
    "no worse than 4, where a plain network is not trained at all.",
    source="A lecture on multi-layer perceptrons and convolutional networks (skip connections), after He et al., CVPR "
    "2016 (arXiv 1512.03385) and ECCV 2016 (arXiv 1603.05027)",
    prediction="A plain layer keeps 0.400 of a gradient's norm, 1e-19 over 48 layers; 24 skip blocks multiply it by "
    "1.37, 24 with norm by 3.2 +- 0.4. Training accuracy at 4, 16, 64 layers, plain: 65 +- 8, 20 +- 10, 10.5 +- 1 %; "
    "skip: 65 +- 8, 80 +- 10, 90 +- 10; norm: 72 +- 8, 90 +- 8, 93 +- 7. Identity: an error of 10^(-5 +- 1) with the "
    "skip, 0.3 +- 0.15 without.",
    cost_s=60.0,
)
KINDS: dict[_skips.Kind, str] = {"plain": "plain", "skip": "skip", "norm": "skip and norm"}
BLOCKS = {"residual": "with skip", "plain": "without skip"}  # that learn the identity
WIDTH, RATE, BATCH = 64, 1e-3, 100
DEEP, EXAMPLES, NETWORKS = 24, 200, 8  # blocks, examples and networks a run, of the gradients
COPIED, HELD = 4000, 1000  # examples to learn the identity from, and to test it on

UNTRAINED = 0.15  # training accuracy below this is called none; chance is 10 %
HARMLESS = 0.03  # "no worse": as in residual-depth
PER_LAYER, IN_ALL = 0.03, 0.10  # margins of measured gradients around their closed forms
EASIER = 1.0  # "easy": an error ten times smaller, as a logarithm


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    steps: int = 1000  # updates, of classifiers and of blocks alike
    depths: str = "4-16-64"  # numbers of layers of the classifiers


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, two depths, few updates."""
    return {"runs": min(settings.runs, 2), "steps": min(settings.steps, 40), "depths": "4-16"}


def _depths(settings: Settings) -> tuple[int, ...]:
    try:
        depths = tuple(sorted({int(word) for word in settings.depths.split("-")}))
    except ValueError:
        depths = ()
    if len(depths) < 2 or depths[0] < 4 or depths[-1] > 200 or any(depth % 2 for depth in depths):
        raise ValueError(
            f"depths {settings.depths!r}: give two or more even numbers of layers, 4 to 200, such as 4-16-64"
        )
    return depths


@cache
def _data() -> Dataset:
    return mnist1d.make()


@cache
def _normal() -> tuple[Float[np.ndarray, "train width"], Float[np.ndarray, "test width"]]:
    """What is to be copied: training and test examples."""
    drawn = np.random.default_rng(0).standard_normal((COPIED + HELD, WIDTH)).astype(np.float32)
    return drawn[:COPIED], drawn[COPIED:]


def cells(settings: Settings) -> list[Cell]:
    """Gradients of every kind, blocks that learn the identity, then classifiers of every depth and kind.

    Raises ValueError for counts below 1 and for depths that are none.
    """
    trials.require_positive(settings, "runs", "steps")
    changed, recipe = trials.differing(settings, "runs", "depths"), _data().recipe
    normal = {"name": "normal", "examples": COPIED + HELD, "width": WIDTH, "seed": 0}

    def cell(place: dict[str, Json], data: Any, *, ahead: bool) -> Cell:
        made = (Run(ABOUT.id, ABOUT.version, place, seed, data) for seed in range(settings.runs))
        return Cell(tuple(made), ahead=ahead)

    wanted = [cell({"gradient": kind}, recipe, ahead=False) for kind in KINDS]
    wanted += [cell({"block": block, **changed}, normal, ahead=True) for block in BLOCKS]
    for depth in _depths(settings):
        wanted += [cell({"depth": depth, "kind": kind, **changed}, recipe, ahead=True) for kind in KINDS]
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if "gradient" in run.settings:
        return 0.15
    steps = run.settings.get("steps", Settings().steps)
    return steps * 1e-6 * (30 + 35 * run.settings.get("depth", 1))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Measure gradients, train blocks, or train classifiers, whichever the cell asks for."""
    first = cell.runs[0].settings
    if "gradient" in first:
        return [gradients(one, first["gradient"]) for one in cell.runs]
    if "block" in first:
        return _copies(cell, settings)
    return trials.classifiers(
        cell.runs,
        [_skips.SkipMLP.init(jax.random.key(one.seed), first["depth"], first["kind"], WIDTH) for one in cell.runs],
        _data(),
        [train.shuffled(len(_data().x_train), BATCH, settings.steps, one.seed) for one in cell.runs],
        learning_rate=RATE,
        evaluate_after=trials.moments(settings.steps, max(1, settings.steps // 20)),
    )


def gradients(run: Run, kind: _skips.Kind) -> Result:
    """What is left of a gradient at the first block of that at the last, over several networks of one seed.

    `kept` is the geometric mean over networks and examples, `per_layer` its root; "expected_" are the closed forms. The
    curve has what is left before each block and after the last.
    """
    x, y = (jnp.asarray(array[:EXAMPLES]) for array in train.examples(_data()))
    norms = []
    for key in jax.random.split(jax.random.key(run.seed), NETWORKS):
        found = _skips.log_norms(_skips.SkipMLP.init(key, 2 * DEEP + 2, kind, WIDTH), x, y)
        norms.append(found.mean(1))
    left = np.mean(norms, axis=0)
    left -= left[-1]
    gains = _skips.expected_log_gain(kind, DEEP, WIDTH, (np.asarray(x, np.float64) ** 2).sum(1)).mean(1)
    expected = np.append(np.cumsum(gains[::-1])[::-1], 0.0)
    values = {}
    for name, logs in (("", left), ("expected_", expected)):
        values[f"{name}kept"] = exp(logs[0])
        values[f"{name}per_layer"] = exp(logs[0] / (2 * DEEP))
    curves = {"block": np.arange(DEEP + 1.0), "left": np.exp(left), "expected": np.exp(expected)}
    return Result(run, values, {name: curve.tolist() for name, curve in curves.items()})


def copy_error(net: _skips.Block, held: Float[Array, "example width"]) -> dict[str, Array]:
    """The mean squared difference of a block's output to its input, relative to the inputs' mean square."""
    return {"error": jnp.mean((net(held) - held) ** 2) / jnp.mean(held**2)}


def _copies(cell: Cell, settings: Settings) -> list[Result]:
    residual = cell.runs[0].settings["block"] == "residual"
    x, held = _normal()
    moments = trials.moments(settings.steps, max(1, settings.steps // 50))
    blocks = [_skips.Block.init(jax.random.key(one.seed), WIDTH, residual) for one in cell.runs]
    trained = train.train_many(
        blocks,
        x,
        x,
        [train.shuffled(COPIED, BATCH, settings.steps, one.seed) for one in cell.runs],
        train.Protocol(squared_error, train.adam, copy_error, moments),
        learning_rate=RATE,
        held=jnp.asarray(held),
    )
    found = []
    for one, block, end in zip(cell.runs, blocks, trained, strict=True):
        errors = [float(error) for error in end.evaluated["error"]]
        values = {
            "first_error": errors[0],
            "error": errors[-1],
            "distance": _skips.distance_to_identity(block),
            "moved": _skips.moved(block, end.net),
        }
        found.append(Result(one, values, {"step": [float(step) for step in moments], "error": errors}))
    return found


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    depths = _depths(settings)
    statements = (*_trained(results, depths[0], depths[-1]), *_flow(results), *_identity(results))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Without skips a gradient shrinks by a fixed factor a layer; with them it hardly does, and depth does no harm.",
        table=_table(results, depths),
    )


def _trained(results: Sequence[Result], low: int, high: int) -> list[Statement]:
    accuracy = {
        (depth, kind): trials.by_seed(results, "train_accuracy", depth=depth, kind=kind)
        for depth in (low, high)
        for kind in KINDS
    }
    none = stats.mean_interval(accuracy[high, "plain"])
    said = f"Plain, {high} layers: training accuracy < {100 * UNTRAINED:.0f} %"
    found = [within("plain-deep", said, none, high=UNTRAINED, headline=True, published="chance")]
    for kind in ("skip", "norm"):
        change = stats.mean_interval(np.subtract(accuracy[high, kind], accuracy[low, kind]))
        said = f"{KINDS[kind].capitalize()}: {high} layers > {low} - {100 * HARMLESS:.0f} %"
        found.append(within(f"{kind}-deep", said, change, low=-HARMLESS, headline=True))
    for kind in ("skip", "norm"):
        pair = [trials.by_seed(results, "test_accuracy", depth=depth, kind=kind) for depth in (low, high)]
        change = stats.mean_interval(np.subtract(pair[1], pair[0]))
        said = f"The same of test accuracy, {KINDS[kind]}"
        found.append(within(f"{kind}-deep-test", said, change, low=-HARMLESS))
    return found


def _flow(results: Sequence[Result]) -> list[Statement]:
    """Gradients beside their closed forms: per layer where they vanish, over all blocks where they do not."""
    found = []
    for kind, value, margin, said in (
        ("plain", "per_layer", PER_LAYER, "Plain: a gradient per layer, -+ 3 %"),
        ("skip", "kept", IN_ALL, f"Skip: over {DEEP} blocks, -+ 10 %"),
        ("norm", "kept", IN_ALL, f"Skip and norm: over {DEEP} blocks, -+ 10 %"),
    ):
        expected = trials.by_seed(results, f"expected_{value}", gradient=kind)[0]
        measured = stats.mean_interval(trials.by_seed(results, value, gradient=kind))
        low, high = (1 - margin) * expected, (1 + margin) * expected
        formula = f"{expected:.3g} (formula)"
        found.append(
            within(f"gradient-{kind}", said, measured, low=low, high=high, unit="times", headline=True,
                   published=formula)
        )  # fmt: skip
    digits = stats.mean_interval([log10(value) for value in trials.by_seed(results, "kept", gradient="plain")])
    said = f"Plain: {2 * DEEP} layers keep < 1e-10"
    found.append(within("plain-vanishes", said, digits, high=-10.0, unit="log10", published="6e-17"))
    return found


def _identity(results: Sequence[Result]) -> list[Statement]:
    def of(value: str) -> dict[str, list[float]]:
        return {block: trials.by_seed(results, value, block=block) for block in BLOCKS}

    error, first, distance, travelled = of("error"), of("first_error"), of("distance"), of("moved")
    gain = stats.mean_interval(np.log10(np.divide(error["plain"], error["residual"])))
    found = [
        within("identity-easy", "Identity: with a skip > 10 times closer", gain, low=EASIER, unit="log10",
               headline=True)
    ]  # fmt: skip
    for block in BLOCKS:
        expected = _skips.first_error(WIDTH, block == "residual")
        measured = stats.mean_interval(first[block])
        low, high = (1 - IN_ALL) * expected, (1 + IN_ALL) * expected
        said = f"Identity, {BLOCKS[block]}: first error -+ 10 %"
        shown = f"{expected:.3g} (formula)"
        found.append(within(f"first-{block}", said, measured, low=low, high=high, unit="error", published=shown))
    for name, said, values in (
        ("nearer", "At first the identity is nearer with a skip", distance),
        ("moves-less", "With a skip the weights move less", travelled),
    ):
        order = stats.judge_order(values["residual"], values["plain"])
        found.append(difference(name, said, order, unit="distance"))
    return found


def _table(results: Sequence[Result], depths: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    def entry(depth: int, kind: str) -> str:
        chosen = trials.where(results, depth=depth, kind=kind)
        lost = sum("diverged_at_step" in one.values for one in chosen)
        text = percent_with_interval([one.values["train_accuracy"] for one in chosen])
        return text + (f", {lost} diverged" if lost else "")

    head = ("training accuracy, %", *(f"{depth} layers" for depth in depths), f"gradient over {DEEP} blocks")
    rows = []
    for kind, label in KINDS.items():
        kept = np.exp(np.mean(np.log(trials.by_seed(results, "kept", gradient=kind))))
        expected = trials.by_seed(results, "expected_kept", gradient=kind)[0]
        rows.append((label, *(entry(depth, kind) for depth in depths), f"{kept:.3g} (formula {expected:.3g})"))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Gradients block by block beside their closed forms, accuracy against depth, and blocks that learn to copy."""
    flow, beside, against, copies = [], [], [], []
    for kind, label in KINDS.items():
        chosen = trials.where(results, gradient=kind)
        for block, expected in enumerate(chosen[0].curves["expected"]):
            left = stats.mean_interval([one.curves["left"][block] for one in chosen])
            place = {"step": block, "mean": left.value, **_positive(bounds(left))}
            flow.append({**place, "net": label, "data": "measured"})
            if kind != "plain":
                beside.append({**place, "net": "measured", "data": label})
                beside.append({"net": "closed form", "data": label, "step": block, "mean": expected})
    depths = sorted({one.run.settings["depth"] for one in results if "depth" in one.run.settings})
    for kind, label in KINDS.items():
        for part in ("train", "test"):
            for depth in depths:
                found = mean_accuracy(trials.by_seed(results, f"{part}_accuracy", depth=depth, kind=kind))
                place = {"net": label, "data": f"{part} accuracy", "step": depth}
                against.append({**place, "mean": found.value, **bounds(found)})
    for block, label in BLOCKS.items():
        chosen = trials.where(results, block=block)
        for number, step in enumerate(chosen[0].curves["step"]):
            found = stats.mean_interval([one.curves["error"][number] for one in chosen])
            copies.append({"net": label, "data": "one block of two layers", "step": step, "mean": found.value})
    return {
        f"A gradient on its way back through {DEEP} blocks, relative to the last, at first weights": plot.curves(
            flow, x_title="block", y_title="norm of the gradient", percent=False, log_y=True,
            title="Gradients with and without skips", subtitle=f"{WIDTH} units, PyTorch's first weights",
        ),
        "The same with skips, beside the closed forms": plot.curves(
            beside, x_title="block", y_title="norm of the gradient", percent=False, title="Gradients with skips",
            subtitle="bands are 95 % intervals of the mean",
        ),
        "Accuracy against the number of layers": plot.curves(
            against, x_title="layers", y_title="accuracy", log_x=True, points=True, title="Depth and training",
            subtitle=f"{judgement.runs} runs; bands are 95 % intervals of the mean",
        ),
        "Squared error of a block that learns to reproduce its input": plot.curves(
            copies, y_title="relative squared error", percent=False, log_y=True, title="Learning the identity",
        ),
    }  # fmt: skip


def _positive(between: dict[str, Json]) -> dict[str, Json]:
    """An interval for a logarithmic axis; Student's, of few values, may reach below 0."""
    return {name: max(0.0, value) for name, value in between.items()}
