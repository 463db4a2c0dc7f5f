"""Claim: pooling helps a convolutional network that has few examples, and hinders one that has many.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), the figure on
pooling and its caption, and the printed output of the notebook `pooling`.

Protocol: two convolutions of 20 channels (kernel 3, padding 1, ReLU), each followed by the pooling, then a linear
layer: without pooling 9,310 parameters; with stride 2 in the convolutions, or with max, mean or L2 pooling over windows
of two, 3,310. Adam at 1e-2, batches of 100, 6000 updates, whatever the number of examples. Test accuracy after the last
update. Training sets are nested and independent of the one test set of 50,000 (`_nested`); the seed of a run draws its
first weights and its training examples, so that variants of one seed share the examples.

Predicted before the first run, from the printed output (one trial each, test sets of 1000 that differ):

| n     | none     | stride 2 | max      | mean     | L2       |
| 1000  | 59 +- 3  | 57 +- 3  | 78 +- 3  | 78 +- 3  | 77 +- 3  |
| 10000 | 94 +- 2  | 91 +- 2  | 97 +- 2  | 96 +- 2  | 97 +- 2  |
| 50000 | 96 +- 2  | 95 +- 2  | 98 +- 2  | 97 +- 2  | 97 +- 2  |

Max pooling gains 19 +- 4 points at 1000 examples and 1.8 +- 1 at 50,000, so that the gain shrinks by 17 +- 4. The
caption says that pooling "hindered" with many examples; the printed figures beside it have every pooling ahead by 0.8
to 1.8 points, so this part is expected to be refuted. Striding is below no pooling by 2 +- 4 points at 1000 (this may
stay undecided) and by 1 +- 1 at 50,000.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from flyroom import plot, stats
from flyroom.claims import _nested, trials
from flyroom.claims.statements import against_published, bounds, difference
from flyroom.nets.conv import CNN
from flyroom.nets.pooling import POOLINGS
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="pooling",
    version=1,
    title="When pooling helps",
    sentence="Pooling helps a convolutional network that is trained on few examples; the gain shrinks as examples are "
    "added, and with many examples pooling hinders; striding is no substitute.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), the figure on "
    "pooling, and the notebook pooling",
    prediction="Max pooling gains 19 +- 4 points at 1000 examples (59 without, 78 with) and 1.8 +- 1 at 50,000 (96 "
    "without, 98 with): the gain shrinks by 17 +- 4, and 'hinders with many examples' is refuted, by the figures "
    "printed beside that caption. Striding is below no pooling by 2 +- 4 points at 1000, by 1 +- 1 at 50,000.",
    cost_s=150.0,
    shortened="Between the smallest and the largest set six seeds are trained and not all; mean and L2 pooling are "
    "trained there at 10,000 examples only. No headline rests on what is left out, and a run is the same run in either "
    "form.",
)

LABELS = {"none": "no pooling", "stride": "stride 2", "max": "max", "mean": "mean", "l2": "L2"}
POOLED = ("max", "mean", "l2")
SIZES = (1000, 2000, 5000, 10_000, 20_000, 50_000)
MIDDLE = 10_000  # where mean and L2 pooling are trained between the ends
DATA = "MNIST-1D"

# Final test accuracy as printed, one trial each, n by n.
PUBLISHED: Mapping[str, tuple[float, ...]] = {
    "none": (0.592, 0.820, 0.919, 0.943, 0.944, 0.963),
    "stride": (0.574, 0.817, 0.899, 0.913, 0.922, 0.954),
    "max": (0.782, 0.892, 0.945, 0.970, 0.968, 0.981),
    "mean": (0.780, 0.900, 0.940, 0.960, 0.962, 0.973),
    "l2": (0.772, 0.899, 0.953, 0.966, 0.978, 0.971),
}

# Microseconds of one core a step, measured roughly; only progress depends on them.
COST_US = {"none": 560, "stride": 140, "max": 420, "mean": 370, "l2": 420}


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. Steps, batch, rate and test set are part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind at the smallest and the largest set
    middle_runs: int = 6  # at most so many at the sets between
    all_sizes: bool = False  # mean and L2 pooling at all sizes, not at three
    largest: int = 50_000  # the largest training set: 2000, 5000, 10000, 20000 or 50000
    steps: int = 6000  # updates
    batch: int = 100  # examples an update
    learning_rate: float = 0.01  # Adam's
    test: int = 50_000  # test examples


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: both ends, too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "middle_runs": 0,
        "largest": min(settings.largest, 20_000),
        "steps": min(settings.steps, 100),
        "test": min(settings.test, 1000),
    }


def faithful(settings: Settings) -> dict[str, Any]:
    """Every variant at every size, with all seeds."""
    return {"middle_runs": settings.runs, "all_sizes": True}


def cells(settings: Settings) -> list[Cell]:
    """Each variant at the smallest and the largest set with all seeds, between them with some.

    Raises ValueError for counts below 1, a batch above the smallest set, a rate that is none, and sizes that are not
    offered.
    """
    trials.require_positive(settings, "runs", "steps", "batch")
    trials.require_rate(settings)
    _nested.require_test(settings.test)
    if settings.largest not in SIZES[1:]:
        raise ValueError(f"largest {settings.largest}: choose one of {', '.join(map(str, SIZES[1:]))}")
    if settings.batch > SIZES[0]:
        raise ValueError(f"a batch of {settings.batch} cannot be taken from {SIZES[0]} examples, the smallest set")
    if settings.middle_runs < 0:
        raise ValueError(f"middle_runs {settings.middle_runs} is less than none; 0 leaves the sets between out")
    changed = trials.differing(settings, "runs", "middle_runs", "all_sizes", "largest", "test")
    wanted = []
    for variant in LABELS:
        for place, (n, runs) in enumerate(_sizes(variant, settings)):
            recipe = _nested.recipe(n, settings.test)
            made = (
                Run(ABOUT.id, ABOUT.version, {"pooling": variant, "n": n, **changed}, seed, recipe)
                for seed in range(runs)
            )
            # The sizes of one variant share one program, so that only the first has something to be compiled.
            wanted.append(Cell(tuple(made), ahead=place == 0))
    return wanted


def _sizes(variant: str, settings: Settings) -> list[tuple[int, int]]:
    """The sizes at which a variant is trained, with the number of seeds; the ends first."""
    ends = [(SIZES[0], settings.runs), (settings.largest, settings.runs)]
    few = min(settings.runs, settings.middle_runs)
    between = [n for n in SIZES[1:] if n < settings.largest] if few else []
    if variant in ("mean", "l2") and not settings.all_sizes:
        between = [n for n in between if n == MIDDLE]
    return ends + [(n, few) for n in between]


def cost(run: Run) -> float:
    """Seconds of one core, roughly: the updates, and the test set, of which a batch costs a third of an update."""
    batch = run.settings.get("batch", Settings().batch)
    steps = run.settings.get("steps", Settings().steps) * batch / 100
    return COST_US[run.settings["pooling"]] * 1e-6 * (steps + run.data["test"] / 300)


def network(variant: str, seed: int) -> CNN:
    """The network of a variant, its first weights drawn by the seed."""
    pooled = variant in POOLED
    return CNN.init(
        jax.random.key(seed),
        channels=(20, 20),
        kernels=(3, 3),
        stride=2 if variant == "stride" else 1,
        padding=1,
        pooling=POOLINGS[variant if pooled else "none"],
        window=2 if pooled else 1,
    )


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, each on the training set of its seed, and test each once."""
    first = cell.runs[0].settings
    return _nested.classifiers(
        cell.runs,
        [network(first["pooling"], one.seed) for one in cell.runs],
        first["n"],
        pool=settings.largest,
        test=settings.test,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
    )


def _accuracy(results: Sequence[Result], variant: str, n: int) -> list[float]:
    return trials.by_seed(results, "test_accuracy", pooling=variant, n=n)


def _present(results: Sequence[Result], variant: str) -> list[int]:
    return sorted({one.run.settings["n"] for one in results if one.run.settings["pooling"] == variant})


def _printed(variant: str, n: int) -> float:
    return PUBLISHED[variant][SIZES.index(n)]


def _title(variant: str) -> str:
    return LABELS[variant][0].upper() + LABELS[variant][1:]


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    few, many = SIZES[0], settings.largest
    statements = (*_helps(results, few), _shrinks(results, few, many), *_hinders(results, many))
    statements += (*_striding(results, (few, many)), *_against_published(results, (few, many)))
    supported = "Pooling helps with few examples and hinders with many, and striding does neither."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _helps(results: Sequence[Result], n: int) -> list[Statement]:
    """Each pooling above none at the smallest set; the headline is max pooling's."""
    plain = _accuracy(results, "none", n)
    found = stats.judge_orders([(plain, _accuracy(results, name, n)) for name in POOLED])
    return [
        difference(
            f"helps-{name}",
            f"{_title(name)} pooling helps at {n:,}",
            order,
            headline=name == "max",
            published=f"{100 * (_printed(name, n) - _printed('none', n)):.1f} %",
        )
        for name, order in zip(POOLED, found, strict=True)
    ]


def _gain(results: Sequence[Result], variant: str, n: int) -> np.ndarray:
    """What a variant is ahead of no pooling, by seed."""
    return np.subtract(_accuracy(results, variant, n), _accuracy(results, "none", n))


def _shrinks(results: Sequence[Result], few: int, many: int) -> Statement:
    order = stats.judge_order(_gain(results, "max", many), _gain(results, "max", few))
    printed = [_printed("max", n) - _printed("none", n) for n in (few, many)]
    sentence = f"Max: the gain shrinks, {few:,} to {many:,}"
    return difference("shrinks", sentence, order, headline=True, published=f"{100 * (printed[0] - printed[1]):.1f} %")


def _hinders(results: Sequence[Result], n: int) -> list[Statement]:
    """The caption as it stands: each pooling below none at the largest set; the headline is max pooling's."""
    plain = _accuracy(results, "none", n)
    found = stats.judge_orders([(_accuracy(results, name, n), plain) for name in POOLED])
    return [
        difference(
            f"hinders-{name}",
            f"{_title(name)} pooling hinders at {n:,}",
            order,
            headline=name == "max",
            published=f"{100 * (_printed('none', n) - _printed(name, n)):.1f} %",
        )
        for name, order in zip(POOLED, found, strict=True)
    ]


def _striding(results: Sequence[Result], ends: tuple[int, int]) -> list[Statement]:
    found = stats.judge_orders([(_accuracy(results, "stride", n), _accuracy(results, "none", n)) for n in ends])
    return [
        difference(
            f"striding-{name}",
            f"Striding is below no pooling at {n:,}",
            order,
            headline=True,
            published=f"{100 * (_printed('none', n) - _printed('stride', n)):.1f} %",
        )
        for name, n, order in zip(("few", "many"), ends, found, strict=True)
    ]


def _against_published(results: Sequence[Result], ends: tuple[int, int]) -> list[Statement]:
    return [
        against_published(
            f"published-{variant}-{name}",
            f"{LABELS[variant]}, {n:,}: as published",
            _accuracy(results, variant, n),
            _printed(variant, n),
            0.0,
        )
        for variant in LABELS
        for name, n in zip(("few", "many"), ends, strict=True)
    ]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """Mean test accuracies, the printed ones in brackets."""
    sizes = sorted({one.run.settings["n"] for one in results})
    rows = []
    for variant in LABELS:
        here = _present(results, variant)
        found = {
            n: f"{100 * float(np.mean(_accuracy(results, variant, n))):.1f} ({100 * _printed(variant, n):.1f})"
            for n in here
        }
        rows.append((LABELS[variant], *(found.get(n, "") for n in sizes)))
    return (("test accuracy, %", *(f"{n:,}" for n in sizes)), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against the number of examples with the printed figures; what each variant is ahead of no pooling."""
    rows, gains, published = [], [], []
    for variant, label in LABELS.items():
        for n in _present(results, variant):
            place = {"net": label, "data": DATA, "n": n}
            rows.append(_nested.point(place, _accuracy(results, variant, n)))
            published.append({**place, "mean": _printed(variant, n)})
            if variant != "none":
                # Seeds of a size are the first ones for every variant, so that they pair.
                found = stats.mean_interval(100 * _gain(results, variant, n))
                gains.append({**place, "mean": found.value, **bounds(found)})
    runs = f"{judgement.runs} networks; bands are 95 % intervals of the mean"
    domain = _nested.from_tenth((row["mean"] for row in rows), (row["mean"] for row in published))
    examples = {"x": "n", "x_title": "training examples", "log_x": True, "points": True, "subtitle": runs}
    return {
        "Test accuracy against training examples; diamonds are published, one trial each": plot.curves(
            rows, published=published, y_domain=domain, title="Test accuracy by training examples", **examples
        ),
        "What pooling gains: points of test accuracy above no pooling, paired by seed": plot.curves(
            gains,
            percent=False,
            y_title="points above no pooling",
            title="What pooling gains",
            **examples,
        ),
    }
