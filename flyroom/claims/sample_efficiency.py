"""Claim: classical methods stop improving with more data, networks go on, and a good prior saves examples.

Source: a sentence of introductions to deep learning, asked here of the networks in Greydanus and Kobak, "Scaling Down
Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), Table 1. Nobody has published these curves; the table has
one point of them, 4000 examples.

Protocol: the four networks of Table 1, Adam at 1e-2, batches of 100, 6000 updates whatever the number of examples (the
updates are fixed, and not the epochs: 250 examples are seen 2400 times, 32,000 nearly 19 times). Beside them
scikit-learn's logistic regression and support vector machine (radial kernel), both at their defaults after scaling each
position. Training sets from 250 to 32,000 examples are nested and independent of the one test set of 10,000
(`_nested`); the seed of a run draws its first weights and its training examples.

The margin: four times the examples bring "nothing" if they bring less than 2 points, the widest +- in Table 1.

Predicted before the first run. From 8000 to 32,000 examples the linear network gains 0.9 +- 0.6 points and logistic
regression 0.7 +- 0.5 (32 % at 4000 with 37 % on the training part leave about 3 points in all); the MLP gains 10 +- 5
points (64 +- 2.5 at 4000); the CNN and the GRU keep 0.6 +- 0.2 of their errors (CNN 93.3 +- 2 at 4000, 97 +- 1.5 at
32,000; GRU 95 +- 3 at 32,000), so fewer than three quarters. With 1000 examples the CNN has 75 +- 6 %, above the MLP
with 4000. The support vector machine is classical, and expected to go on improving: 8 +- 4 points from 2000 to 8000.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from flyroom import plot, stats
from flyroom.claims import _nested, trials
from flyroom.claims.statements import against_published, difference, percent_with_interval, unmeasured, within
from flyroom.measure.accuracy import accuracy
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="sample-efficiency",
    version=1,
    title="What more examples are worth",
    sentence="On MNIST-1D classical methods stop improving with more examples, networks go on, and a convolutional "
    "network does with 1000 examples what an MLP does not do with 4000.",
    source="a sentence of introductions to deep learning, asked of the networks in Greydanus and Kobak, Scaling Down "
    "Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), Table 1",
    prediction="From 8000 to 32,000 examples: linear network +0.9 +- 0.6 points, logistic regression +0.7 +- 0.5, MLP "
    "+10 +- 5; CNN and GRU keep 0.6 +- 0.2 of their errors. The CNN with 1000 examples (75 +- 6 %) is above the MLP "
    "with 4000 (64 +- 2.5 %). The support vector machine goes on improving: +8 +- 4 points from 2000 to 8000.",
    cost_s=170.0,
    shortened="The GRU is trained at every second size, and the support vector machine, of which six seeds are taken, "
    "at up to 8000 examples. No headline rests on what is left out, and a run is the same run in either form.",
)

LABELS = {
    "logistic": "logistic regression",
    "svm": "SVM",
    "mnist1d-linear": "linear",
    "mnist1d-mlp": "MLP",
    "mnist1d-gru": "GRU",
    "mnist1d-cnn": "CNN",
}
CLASSICAL = ("logistic", "svm")
SIZES = (250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)
FOURFOLD = (8000, 32_000)  # where it is judged what four times the examples bring
SMALL_CNN, MLP = 1000, 4000  # examples

NOTHING = 0.02  # less than this is no improvement: the widest +- of Table 1
LEFT = 0.75  # a network goes on if four times the examples leave fewer than this share of its errors

PUBLISHED: Mapping[str, tuple[float, float]] = {
    "mnist1d-linear": (0.32, 0.01),
    "mnist1d-mlp": (0.68, 0.02),
    "mnist1d-gru": (0.91, 0.02),
    "mnist1d-cnn": (0.94, 0.02),
}

# Microseconds of one core a step, and seconds a thousand examples; only progress depends on them.
COST_US = {"mnist1d-linear": 30, "mnist1d-mlp": 120, "mnist1d-gru": 650, "mnist1d-cnn": 290}
COST_S = {"logistic": 0.04, "svm": 1.0}


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change. Steps, batch, rate and test set are part of a run's identity."""

    runs: int = 10  # networks (seeds) of each kind at each size
    svm_runs: int = 6  # at most so many seeds of the support vector machine
    svm_largest: int = 8000  # examples that it is given at most: its time grows with their square
    all_sizes: bool = False  # the GRU at all sizes, not at every second one
    headlines_only: bool = False  # nothing at sizes that no headline needs
    steps: int = 6000  # updates
    batch: int = 100  # examples an update
    learning_rate: float = 0.01  # Adam's
    test: int = 10_000  # test examples


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: the sizes of the headlines, too few updates and seeds to decide anything."""
    return {
        "runs": min(settings.runs, 2),
        "svm_runs": min(settings.svm_runs, 1),
        "svm_largest": min(settings.svm_largest, 1000),
        "headlines_only": True,
        "steps": min(settings.steps, 100),
        "test": min(settings.test, 1000),
    }


def faithful(settings: Settings) -> dict[str, Any]:
    """Everything at every size, with all seeds."""
    return {"svm_runs": settings.runs, "svm_largest": SIZES[-1], "all_sizes": True, "headlines_only": False}


def cells(settings: Settings) -> list[Cell]:
    """Each method at each of its sizes; what trains no network first.

    Raises ValueError for counts below 1, a batch above the smallest set, and a rate that is none.
    """
    trials.require_positive(settings, "runs", "steps", "batch")
    trials.require_rate(settings)
    _nested.require_test(settings.test)
    if settings.svm_runs < 0:
        raise ValueError(f"svm_runs {settings.svm_runs} is less than none; 0 leaves the support vector machine out")
    if settings.batch > SIZES[0]:
        raise ValueError(f"a batch of {settings.batch} cannot be taken from {SIZES[0]} examples, the smallest set")
    changed = trials.differing(settings, "runs", "svm_runs", "svm_largest", "all_sizes", "headlines_only", "test")
    wanted = []
    for method in LABELS:
        own = {} if method in CLASSICAL else changed
        runs = min(settings.runs, settings.svm_runs) if method == "svm" else settings.runs
        for place, n in enumerate(_sizes(method, settings) if runs else ()):
            recipe = _nested.recipe(n, settings.test)
            made = (Run(ABOUT.id, ABOUT.version, {"net": method, "n": n, **own}, seed, recipe) for seed in range(runs))
            # The sizes of one network share one program, so that only the first has something to be compiled.
            wanted.append(Cell(tuple(made), ahead=method not in CLASSICAL and place == 0))
    return wanted


def _sizes(method: str, settings: Settings) -> list[int]:
    """The sizes at which a method is trained."""
    if settings.headlines_only:
        needed = {"mnist1d-cnn": {SMALL_CNN}, "mnist1d-mlp": {MLP}}.get(method, set())
        chosen = sorted({*FOURFOLD, *needed})
    else:
        every_second = method == "mnist1d-gru" and not settings.all_sizes
        chosen = list(SIZES[1::2] if every_second else SIZES)
    return [n for n in chosen if method != "svm" or n <= settings.svm_largest]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    net, n = run.settings["net"], run.settings["n"]
    if net in CLASSICAL:
        return COST_S[net] * n / 1000 * (run.data["test"] / 10_000 if net == "svm" else 1)
    steps = run.settings.get("steps", Settings().steps) * run.settings.get("batch", Settings().batch) / 100
    return COST_US[net] * 1e-6 * (steps + run.data["test"] / 300)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell, or fit its classical method, each run on the training set of its seed."""
    first = cell.runs[0].settings
    net, n = first["net"], first["n"]
    if net in CLASSICAL:
        from threadpoolctl import threadpool_limits

        # One core a fit: threads inside the small products of a logistic regression make it fifty times as slow.
        with threadpool_limits(1), ThreadPoolExecutor(len(cell.runs)) as side_by_side:
            fitted = list(side_by_side.map(lambda one: fit(net, n, one.seed, settings.test), cell.runs))
        return [Result(one, values) for one, values in zip(cell.runs, fitted, strict=True)]
    init = parse(net).init
    return _nested.classifiers(
        cell.runs,
        [init(jax.random.key(one.seed)) for one in cell.runs],
        n,
        pool=SIZES[-1],
        test=settings.test,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
    )


def fit(method: str, n: int, seed: int, test: int) -> dict[str, float]:
    """Fit scikit-learn's method to the first n examples of a seed; accuracies on them and on the test set.

    `not_converged` is 1 where the logistic regression stopped at its limit of iterations, a value and not a warning.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, y = (part[:n] for part in _nested.training_set(seed, SIZES[-1]))
    test_x, test_y = _nested.test_set(test)
    last = LogisticRegression(max_iter=1000) if method == "logistic" else SVC(cache_size=500)
    model = make_pipeline(StandardScaler(), last)
    model.fit(x, y)
    values = {
        "train_accuracy": accuracy(model.predict(x), y).value,
        "test_accuracy": accuracy(model.predict(test_x), test_y).value,
    }
    if method == "logistic" and int(np.max(last.n_iter_)) >= 1000:
        values["not_converged"] = 1.0
    return values


def _accuracy(results: Sequence[Result], net: str, n: int) -> list[float]:
    return trials.by_seed(results, "test_accuracy", net=net, n=n)


def _present(results: Sequence[Result], net: str) -> list[int]:
    return sorted({one.run.settings["n"] for one in results if one.run.settings["net"] == net})


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (
        *_plateaus(results),
        *_goes_on(results),
        _saved(results),
        *_kernel(results),
        *_orders(results),
        *_against_published(results),
    )
    supported = "Linear methods have stopped improving, the networks have not, and a prior is worth examples."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results))


def _gain(results: Sequence[Result], net: str, few: int, many: int) -> list[float]:
    """What more examples bring, by seed."""
    return np.subtract(_accuracy(results, net, many), _accuracy(results, net, few)).tolist()


def _plateaus(results: Sequence[Result]) -> list[Statement]:
    """The linear methods: four times the examples bring less than the margin."""
    return [
        within(
            f"plateau-{LABELS[net].split()[0]}",
            f"{LABELS[net].capitalize()}: 4 x examples < {100 * NOTHING:.0f} %",
            stats.mean_interval(_gain(results, net, *FOURFOLD)),
            high=NOTHING,
            headline=True,
        )
        for net in ("mnist1d-linear", "logistic")
    ]


def _goes_on(results: Sequence[Result]) -> list[Statement]:
    """The networks: the MLP by points; the CNN and the GRU, near the ceiling, by the share of errors that is left."""
    mlp = stats.mean_interval(_gain(results, "mnist1d-mlp", *FOURFOLD))
    sentence = f"MLP: 4 x examples bring > {100 * NOTHING:.0f} %"
    statements = [within("goes-on-mlp", sentence, mlp, low=NOTHING, headline=True)]
    for net in ("mnist1d-gru", "mnist1d-cnn"):
        before, after = (1 - np.array(_accuracy(results, net, n)) for n in FOURFOLD)
        name = f"goes-on-{LABELS[net]}".lower()
        sentence = f"{LABELS[net]}: 4 x examples leave < {100 * LEFT:.0f} % errors"
        if (before <= 0).any():  # nothing is left of nothing
            statements.append(replace(unmeasured(name, sentence), headline=True))
            continue
        left = stats.ratio(after, before)
        statements.append(within(name, sentence, left, high=LEFT, unit="times", headline=True))
    return statements


def _saved(results: Sequence[Result]) -> Statement:
    cnn, mlp = _accuracy(results, "mnist1d-cnn", SMALL_CNN), _accuracy(results, "mnist1d-mlp", MLP)
    sentence = f"CNN with {SMALL_CNN:,} above MLP with {MLP:,}"
    return difference("saved", sentence, stats.judge_order(mlp, cnn), headline=True)


def _kernel(results: Sequence[Result]) -> list[Statement]:
    """Not every classical method is linear: the support vector machine at its largest sizes."""
    sizes = _present(results, "svm")
    if not sizes or sizes[-1] // 4 not in sizes:
        return []
    found = stats.mean_interval(_gain(results, "svm", sizes[-1] // 4, sizes[-1]))
    sentence = f"SVM, {sizes[-1] // 4:,} to {sizes[-1]:,}: < {100 * NOTHING:.0f} %"
    return [within("plateau-svm", sentence, found, high=NOTHING)]


def _orders(results: Sequence[Result]) -> list[Statement]:
    """The order of Table 1 at the largest set, corrected together."""
    n = SIZES[-1]
    nets = ("mnist1d-linear", "mnist1d-mlp", "mnist1d-gru", "mnist1d-cnn")
    pairs = list(pairwise(nets))
    found = stats.judge_orders([(_accuracy(results, low, n), _accuracy(results, high, n)) for low, high in pairs])
    return [
        difference(f"order-{LABELS[low]}-{LABELS[high]}".lower(), f"{LABELS[low]} below {LABELS[high]} at {n:,}", order)
        for (low, high), order in zip(pairs, found, strict=True)
    ]


def _against_published(results: Sequence[Result]) -> list[Statement]:
    """Table 1, 4000 examples; of other samples of the same process."""
    return [
        against_published(
            f"published-{LABELS[net]}".lower(),
            f"{LABELS[net]}, 4,000: as published",
            _accuracy(results, net, 4000),
            *PUBLISHED[net],
        )
        for net in PUBLISHED
        if 4000 in _present(results, net)
    ]


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """Mean test accuracies at some sizes, with intervals."""
    shown = (SMALL_CNN, *FOURFOLD)
    rows = []
    for net, label in LABELS.items():
        here = _present(results, net)
        found = {n: percent_with_interval(_accuracy(results, net, n)) for n in shown if n in here}
        if here:
            rows.append((label, *(found.get(n, "") for n in shown)))
    return (("test accuracy, %", *(f"n = {n:,}" for n in shown)), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against the number of examples; the errors that are left, on two logarithmic axes."""
    rows, errors, published = [], [], []
    for net, label in LABELS.items():
        for n in _present(results, net):
            place = {"net": label, "data": "MNIST-1D", "n": n}
            values = _accuracy(results, net, n)
            rows.append(_nested.point(place, values))
            row = _nested.point(place, [1 - value for value in values])
            if row["mean"] > 0:  # no errors have no place on a logarithmic axis
                errors.append(row)
            if n == MLP and net in PUBLISHED:
                published.append({**place, "mean": PUBLISHED[net][0], "plus_minus": PUBLISHED[net][1]})
    runs = f"{judgement.runs} runs; bands are 95 % intervals of the mean"
    examples = {"x": "n", "x_title": "training examples", "log_x": True, "points": True, "subtitle": runs}
    return {
        "Test accuracy against training examples; diamonds are the published table": plot.curves(
            rows, published=published, title="What more examples are worth", **examples
        ),
        "Test errors against training examples": plot.curves(
            errors, log_y=True, y_title="test error", title="Errors that are left", **examples
        ),
    }
