"""Claim: at equal data local connections beat dense ones, and shared weights local ones; without order neither does.

Source: courses on convolutional networks, which draw three pictures of one layer: dense, locally connected, convolution
(4 inputs and 3 hidden units: 12 weights, 6, 2), and say that the second and the third are priors about the data.

Protocol: two hidden layers of 160 ReLU units each, then ten classes. "dense" connects all. "local" has 8 units at each
of 20 places and 16 at each of 10, each seeing five places (stride 2) of all channels of the layer before, with weights
of its own; "conv" is the same with the weights of all places shared. So a unit of the second layer sees 13 of the 40
positions, more than a digit is long (7 to 10). First weights as PyTorch draws them, Adam at 1e-2, batches of 100, 6000
updates, whatever the number of examples; accuracy on a test set of 10,000 after the last. Training sets of MNIST-1D are
nested (`_nested`): the seed of a run draws its first weights and its examples, and all kinds of a seed share them.

Shuffled: the positions of all signals are permuted, by one permutation a seed, the same for training and test. In two
further kinds, at 4000 examples, only the first hidden layer is local or convolutional, and the second dense.

Predicted before the first run (test accuracy, %):

| examples | 1000 | 4000 | 16,000 | 64,000 | shuffled, 4000 |
| dense    | 45 +- 4 | 64 +- 3 | 78 +- 4 | 87 +- 4 | 64 +- 3 |
| local    | 50 +- 6 | 70 +- 5 | 82 +- 5 | 88 +- 4 | 55 +- 7 |
| conv     | 62 +- 7 | 82 +- 6 | 89 +- 4 | 91 +- 4 | 47 +- 7 |

The gap of conv to dense is 18 +- 6 points at 4000 and 4 +- 5 at 64,000, so that it shrinks by 14 +- 6. With only the
first layer changed: local 66 +- 4, conv 70 +- 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flyroom import plot, stats
from flyroom.claims import _nested, trials
from flyroom.claims._counted import counted
from flyroom.claims.statements import bounds, difference, percent_with_interval, within
from flyroom.nets.mlp import MLP
from flyroom.nets.stack import Stack
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="weight-sharing",
    version=1,
    title="What local connections and shared weights are worth",
    sentence="With the same examples and as many hidden units, a layer with local connections is more accurate than a "
    "dense one and a convolution more accurate than both; the lead shrinks as examples are added, and without the "
    "order of the positions it is gone.",
    source="Courses on convolutional networks: the pictures of a dense, a locally connected and a convolutional layer; "
    "the comparison at equal data is our own",
    prediction="4000 examples: dense 64 +- 3 %, local 70 +- 5, conv 82 +- 6; 64,000: 87 +- 4, 88 +- 4, 91 +- 4. The "
    "gap of conv to dense shrinks from 18 +- 6 to 4 +- 5 points. Shuffled, 4000: dense 64 +- 3, local 55 +- 7, conv "
    "47 +- 7. Only the first layer: local 66 +- 4, conv 70 +- 5.",
    cost_s=90.0,
)

KINDS = ("dense", "local", "conv")
FIRST_ONLY = ("local first", "conv first")  # the second hidden layer is dense
SIZES = (1000, 4000, 16_000, 64_000)
JUDGED, MANY = 4000, 64_000
UNITS, POSITIONS = 160, 40
CHANNELS, KERNEL, STRIDE = (8, 16), 5, 2  # at 20 and at 10 places: 160 units each
NOTHING = 0.02  # "gone": the widest +- of a network in the published table of MNIST-1D
RATE = 0.01

# Microseconds of one core a step, measured roughly; only progress depends on them.
COST_US = {"dense": 170, "local": 170, "conv": 110, "local first": 170, "conv first": 150}


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. All but `runs`, `sizes` and `first_only` is part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind at each size
    sizes: str = "1000-4000-16000-64000"  # training examples; 4000 and the largest are judged
    first_only: bool = True  # also with only the first hidden layer changed
    steps: int = 6000  # updates
    batch: int = 100  # examples an update
    test: int = 10_000  # test examples


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: two sizes, too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "sizes": "4000-16000",
        "first_only": False,
        "steps": min(settings.steps, 100),
        "test": min(settings.test, 1000),
    }


def sizes_of(settings: Settings) -> tuple[int, ...]:
    """The training sizes, rising; ValueError for words, fewer than two, none of 4000, and 4000 the largest."""
    try:
        sizes = tuple(sorted({int(word) for word in settings.sizes.split("-")}))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or sizes[0] < settings.batch or JUDGED not in sizes[:-1]:
        raise ValueError(
            f"sizes {settings.sizes!r}: give two or more numbers of examples, {JUDGED} among them and a larger one, "
            f"none below a batch of {settings.batch}, such as {Settings().sizes}"
        )
    return sizes


def cells(settings: Settings) -> list[Cell]:
    """Every kind at every size, then shuffled, then with only the first layer changed.

    Raises ValueError for counts below 1 and sizes that are none.
    """
    trials.require_positive(settings, "runs", "steps", "batch")
    _nested.require_test(settings.test)
    sizes = sizes_of(settings)
    changed = trials.differing(settings, "runs", "sizes", "first_only", "test")
    places = [(kind, n, False) for kind in KINDS for n in sizes]
    places += [(kind, n, True) for kind in KINDS for n in (JUDGED, sizes[-1])]
    if settings.first_only:
        places += [(kind, JUDGED, False) for kind in FIRST_ONLY]
    wanted, before = [], None
    for kind, n, shuffled in places:
        coordinates = {"kind": kind, "n": n, "shuffled": shuffled, **changed}
        recipe = _nested.recipe(n, settings.test)
        runs = (Run(ABOUT.id, ABOUT.version, coordinates, seed, recipe) for seed in range(settings.runs))
        # All sizes of one kind share one program, so that only the first has something to be compiled.
        wanted.append(Cell(tuple(runs), ahead=(kind, shuffled) != before))
        before = (kind, shuffled)
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    steps = run.settings.get("steps", Settings().steps) * run.settings.get("batch", Settings().batch) / 100
    return COST_US[run.settings["kind"]] * 1e-6 * (steps + run.data["test"] / 300)


class Shuffled(eqx.Module):
    """A network that sees the positions of a signal in another order: the same as shuffling all signals alike."""

    net: Any
    order: Int[Array, " position"]

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        return self.net(x[:, self.order])


def network(kind: str, seed: int, *, shuffled: bool = False) -> Any:
    """The network of a kind, its first weights (and the order of positions, where shuffled) drawn by the seed."""
    key = jax.random.key(seed)
    if kind == "dense":
        net = MLP.init(key, (POSITIONS, UNITS, UNITS, 10))
    else:
        layers = 1 if kind in FIRST_ONLY else len(CHANNELS)
        net = Stack.init(
            key,
            channels=CHANNELS[:layers],
            kernels=(KERNEL,) * layers,
            strides=STRIDE,
            padding=KERNEL // 2,
            shared=kind.startswith("conv"),
            hidden=(UNITS,) if kind in FIRST_ONLY else (),
        )
    if not shuffled:
        return net
    return Shuffled(net, jnp.asarray(np.random.default_rng([seed, POSITIONS]).permutation(POSITIONS), jnp.int32))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, each on the training set of its seed, and test each once."""
    first = cell.runs[0].settings
    nets = [network(first["kind"], one.seed, shuffled=first["shuffled"]) for one in cell.runs]
    found = _nested.classifiers(
        cell.runs,
        nets,
        first["n"],
        pool=sizes_of(settings)[-1],
        test=settings.test,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=RATE,
    )
    return counted(found, network(first["kind"], 0), (POSITIONS,))


def _accuracy(results: Sequence[Result], kind: str, n: int, *, shuffled: bool = False) -> list[float]:
    return trials.by_seed(results, "test_accuracy", kind=kind, n=n, shuffled=shuffled)


def _gap(results: Sequence[Result], kind: str, n: int, *, shuffled: bool = False) -> np.ndarray:
    """What a kind is ahead of the dense network, by seed."""
    dense = _accuracy(results, "dense", n, shuffled=shuffled)
    return np.subtract(_accuracy(results, kind, n, shuffled=shuffled), dense)


def _sizes(results: Sequence[Result]) -> list[int]:
    return sorted({one.run.settings["n"] for one in results})


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = [*_order(results), *_shrinks(results), *_without_order(results)]
    if settings.first_only:
        statements += _first_layer(results)
    supported = "Sharing beats locality and locality density, less so with more examples, and not without order."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _order(results: Sequence[Result]) -> list[Statement]:
    """Dense below local below shared at 4000, corrected together."""
    dense, local, conv = (_accuracy(results, kind, JUDGED) for kind in KINDS)
    found = stats.judge_orders([(local, conv), (dense, local)])
    return [
        difference("conv-local", f"{JUDGED:,}: shared weights above local ones", found[0], headline=True),
        difference("local-dense", f"{JUDGED:,}: local connections above dense", found[1], headline=True),
    ]


def _shrinks(results: Sequence[Result]) -> list[Statement]:
    """The gap at the largest size against that at 4000; every step between sizes informs."""
    sizes = _sizes(results)
    gaps = {n: _gap(results, "conv", n) for n in sizes}
    whole = stats.judge_order(gaps[sizes[-1]], gaps[JUDGED])
    sentence = f"The gap to dense shrinks, {JUDGED:,} to {sizes[-1]:,}"
    steps = stats.judge_orders([(gaps[high], gaps[low]) for low, high in pairwise(sizes)])
    return [
        difference("shrinks", sentence, whole, headline=True),
        *(
            difference(f"shrinks-{low}", f"The gap shrinks, {low:,} to {high:,}", order)
            for (low, high), order in zip(pairwise(sizes), steps, strict=True)
        ),
    ]


def _without_order(results: Sequence[Result]) -> list[Statement]:
    """Shuffled: gone or reversed, which is a gap that is surely below two points."""
    largest = _sizes(results)[-1]
    words = {"conv": "sharing", "local": "locality"}
    return [
        within(
            f"shuffled-{kind}" if n == JUDGED else f"shuffled-{kind}-many",
            f"Shuffled, {n:,}: {word} is worth < {100 * NOTHING:.0f} %",
            stats.mean_interval(_gap(results, kind, n, shuffled=True)),
            high=NOTHING,
            headline=n == JUDGED,
        )
        for n in (JUDGED, largest)
        for kind, word in words.items()
    ]


def _first_layer(results: Sequence[Result]) -> list[Statement]:
    """The same order with a dense second layer: what the first layer does alone."""
    dense = _accuracy(results, "dense", JUDGED)
    local, conv = (_accuracy(results, kind, JUDGED) for kind in FIRST_ONLY)
    found = stats.judge_orders([(local, conv), (dense, local)])
    return [
        difference("first-conv-local", "First layer alone: shared above local", found[0]),
        difference("first-local-dense", "First layer alone: local above dense", found[1]),
    ]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    sizes = _sizes(results)
    places = [(n, False) for n in sizes] + [(n, True) for n in (JUDGED, sizes[-1])]
    rows = []
    for kind in (*KINDS, *FIRST_ONLY):
        mine = trials.where(results, kind=kind)
        if not mine:
            continue
        there = {(one.run.settings["n"], one.run.settings["shuffled"]) for one in mine}
        rows.append(
            (
                kind,
                *(f"{int(mine[0].values[name]):,}" for name in ("parameters", "multiply_adds")),
                *(
                    percent_with_interval(_accuracy(results, kind, n, shuffled=mixed)) if (n, mixed) in there else ""
                    for n, mixed in places
                ),
            )
        )
    head = (f"{'shuffled, ' if mixed else ''}{n:,}, %" for n, mixed in places)
    return (("hidden layers", "parameters", "multiply-adds", *head), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against the number of examples, in order and shuffled; what each kind is ahead of the dense one."""
    rows, gaps = [], []
    sizes = _sizes(results)
    for kind in KINDS:
        for mixed, name in ((False, "in order"), (True, "shuffled")):
            for n in (JUDGED, sizes[-1]) if mixed else sizes:
                place: Mapping[str, Json] = {"net": kind, "data": name, "n": n}
                rows.append(_nested.point(place, _accuracy(results, kind, n, shuffled=mixed)))
                if kind != "dense":
                    found = stats.mean_interval(100 * _gap(results, kind, n, shuffled=mixed))
                    gaps.append({**place, "mean": found.value, **bounds(found)})
    said = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    across = {"x": "n", "x_title": "training examples", "log_x": True, "points": True, "subtitle": said}
    return {
        "Test accuracy against training examples": plot.curves(
            rows,
            y_domain=_nested.from_tenth(row["mean"] for row in rows),
            title="Dense, local and shared weights",
            **across,
        ),
        "Points of test accuracy above the dense network, paired by seed": plot.curves(
            gaps, percent=False, y_title="points above dense", title="What the prior is worth", **across
        ),
    }
