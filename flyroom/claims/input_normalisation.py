"""Claim: normalised inputs make a problem better conditioned, and training faster.

Source: the sentence as courses teach it (subtract the mean and divide by the standard deviation, by channel, both taken
from the training set); LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, section 4.3.

Data: MNIST-1D with a unit and a zero of its own at each of its 40 places, as measurements have: x -> s (x + o), with s
from 0.1 to 10, uniform in its logarithm, and o normal with deviation 2, drawn once. And scikit-learn's digits with
pixels as they are, 0 to 16. Ways: as it is; one mean and one deviation for all values ("by channel", of which a grey
image has one); a mean and a deviation for each place; ZCA whitening (epsilon 0, on digits 1.0, in squares of pixel
values); the same whitening fitted on both parts. Normalised in the headlines is what fits the data: each place by
itself on MNIST-1D, where each has its own unit, and by channel on the digits.

Models: the linear softmax classifier, and an MLP with two hidden layers of 64 ReLU units; cross-entropy, batches of 100
shuffled anew each epoch, 1000 updates. A network has arrived when the mean training loss of its last 20 batches is
below a level: linear 1.9 nats on MNIST-1D and 0.2 on digits, MLP 1.0 and 0.1. (What the linear model can represent on
the training part is the same in all ways, so that the level is equally far for all of them.) Gradient descent with
momentum 0.9, its rate c / L, c from .003 to 10 in steps of about 3, L the largest curvature of the linear model; Adam
at .001, .003, .01, .03, .1. Each way has the best rate of its own, chosen on four further seeds; who does not
arrive is censored, and pairs of one seed are compared by who is first (`_speed.py`).

Conditioning, in closed form: at weights zero all k classes are equally probable, and the Hessian of the linear model's
loss is (I - 1 1^T / k) / k, times (Kronecker) the mean of z z^T, z being the input with a 1 for the bias. So its
eigenvalues other than 0 are those of the mean of z z^T, divided by k. The condition number is the largest over the
smallest; directions in which no input varies (constant pixels) are left out.

Predicted before the first run, nothing of the kind having been seen. Condition numbers: MNIST-1D 1e8 (1e6-1e10) as it
is, 1e3 (1e2-1e4) normalised, 1 whitened; digits 5e6 as they are and 3 (2-5) times less by channel, 1e3 (1e2-1e5) by
place. Updates, momentum: MNIST-1D linear never (or above 800) as it is, 150 (50-400) normalised; MLP never, 400
(200-700); digits linear 150 and 80, MLP 150 and 100, a factor of 1.5 (1.1-2.5) each. Whitening is faster still for the
linear model on MNIST-1D. Adam needs it less, and is faster for it too. Whitening fitted on both parts: test accuracy
within half a point.

Version 2, after one run of the first: c = 10 and Adam's 0.1 were added, because the best rate of the MLP on digits as
they are had been the largest of the grid. The prediction is as it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from flyroom import plot, stats, train
from flyroom.claims import _speed, trials
from flyroom.claims.statements import difference, within
from flyroom.data import load, mnist1d
from flyroom.data.normalise import apply, fit_standard, fit_zca
from flyroom.losses import both_parts, cross_entropy
from flyroom.nets.linear import Linear
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Dataset, Evidence, Json, Judgement, Measurement, Result, Run, Statement

ABOUT = About(
    id="input-normalisation",
    version=2,
    title="Normalised inputs",
    sentence="Inputs that are normalised by the mean and the standard deviation of the training set make a problem "
    "better conditioned, and training faster.",
    source="A sentence of courses; LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.3",
    prediction="Condition numbers: MNIST-1D with units 1e8 (1e6-1e10), normalised 1e3 (1e2-1e4); digits 5e6, by "
    "channel 3 (2-5) times less. Updates to a given loss, momentum: MNIST-1D linear never and 150 (50-400), MLP never "
    "and 400 (200-700); digits linear 150 and 80, MLP 150 and 100. Whitening on both parts changes test accuracy by "
    "less than half a point.",
    cost_s=70.0,
)

SETS = {"mnist1d": "MNIST-1D, units", "digits": "digits, 0 to 16"}
WAYS = {"raw": "as it is", "all": "by channel", "feature": "each place", "zca": "ZCA", "both": "ZCA, both parts"}
NORMALISED = {"mnist1d": "feature", "digits": "all"}  # in the headlines
EPSILON = {"mnist1d": 0.0, "digits": 1.0}  # of whitening
MODELS = {"linear": "linear", "mlp": "MLP"}
LEVELS = {("mnist1d", "linear"): 1.9, ("mnist1d", "mlp"): 1.0, ("digits", "linear"): 0.2, ("digits", "mlp"): 0.1}
OPTIMISERS: Mapping[str, train.Optimiser] = {"momentum": trials.momentum, "adam": train.adam}
RATES = {"momentum": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0), "adam": (0.001, 0.003, 0.01, 0.03, 0.1)}
BATCH, WINDOW, HIDDEN = 100, 20, 64
SCALES, OFFSET, DRAWN = (0.1, 10.0), 2.0, 0  # of the units; the seed that they are drawn by
BETTER = 2  # "better conditioned": by a factor that matters
NOTHING = 0.01  # "leaks nothing": a point of test accuracy
TINY = 1e-12  # of the largest eigenvalue: below it a direction does not vary


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind and rate that judge
    choosing: int = 4  # and that choose the rate
    steps: int = 1000  # updates
    adam: bool = True  # as well as momentum


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds that judge and two that choose, few updates, without Adam."""
    few = {"runs": min(settings.runs, 2), "choosing": min(settings.choosing, 2)}
    return {**few, "steps": min(settings.steps, 60), "adam": False}


def distorted(data: Dataset) -> Dataset:
    """The same data with a unit and a zero of its own for each place of an example: x -> s (x + o)."""
    random, count = np.random.default_rng(DRAWN), data.x_train.shape[1]
    low, high = np.log10(SCALES)
    scale = 10 ** random.uniform(low, high, count)
    offset = random.normal(0, OFFSET, count)
    recipe = {"name": "units", "scales": list(SCALES), "offset": OFFSET, "seed": DRAWN, "of": dict(data.recipe)}
    x_train, x_test = (scale * (x + offset) for x in (data.x_train, data.x_test))
    return replace(data, x_train=x_train, x_test=x_test, recipe=recipe)


@cache
def _raw(name: str) -> Dataset:
    """A set as it is: rows of numbers."""
    if name == "mnist1d":
        return distorted(mnist1d.make())
    data = load("digits")
    x_train, x_test = (16 * x.reshape(len(x), -1) for x in (data.x_train, data.x_test))
    recipe = {"name": "pixels 0 to 16", "of": dict(data.recipe)}
    return replace(data, x_train=x_train, x_test=x_test, axes=("pixel",), recipe=recipe)


@cache
def prepared(name: str, way: str) -> Dataset:
    """A set in one of the ways. All but "both" are fitted on the training part."""
    data = _raw(name)
    if way == "raw":
        return data
    if way in ("all", "feature"):
        return apply(fit_standard(data, per="all" if way == "all" else "feature", constant="centre"), data)
    seen = data
    if way == "both":
        x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
        seen = replace(data, x_train=x, y_train=y, recipe={"name": "both parts", "of": dict(data.recipe)})
    return apply(fit_zca(seen, epsilon=EPSILON[name]), data)


def curvatures(x: Float[np.ndarray, "example input"], classes: int) -> Float[np.ndarray, " direction"]:
    """The eigenvalues, falling, of the linear classifier's Hessian at weights zero, each counted once.

    Those of the mean of z z^T, z the input with a 1 for the bias, divided by the number of classes; each stands there
    once less than there are classes. Directions that do not vary are left out.

    >>> curvatures(np.array([[-1.0, 0.0], [1.0, 0.0]]), 2).tolist()
    [0.5, 0.5]
    """
    z = np.column_stack([x, np.ones(len(x))])
    found = np.linalg.eigvalsh(z.T @ z / len(z))[::-1] / classes
    return found[found > TINY * found[0]]


@cache
def _curvatures(name: str, way: str) -> Float[np.ndarray, " direction"]:
    data = prepared(name, way)
    return curvatures(data.x_train, len(data.classes))


def cells(settings: Settings) -> list[Cell]:
    """The curvatures of every set in every way, then every model, way, optimiser and rate.

    Raises ValueError for counts below 1 and fewer updates than the mean is taken over.
    """
    trials.require_positive(settings, "runs", "choosing")
    if settings.steps < WINDOW:
        raise ValueError(f"steps {settings.steps}: the loss is a mean over {WINDOW} batches, so give as many or more")
    changed = trials.differing(settings, "runs", "choosing", "adam")
    wanted = [
        Cell((Run(ABOUT.id, ABOUT.version, {"what": "curvature", "set": name, "way": way}, 0, _recipe(name, way)),))
        for name in SETS
        for way in WAYS
    ]
    for name in SETS:
        for model in MODELS:
            for optimiser, rates in RATES.items():
                for way in WAYS if settings.adam or optimiser != "adam" else ():
                    if way == "both" and (optimiser, model) != ("momentum", "mlp"):
                        continue  # of it only the accuracy of the MLP is asked
                    for rate in rates:
                        place = {"what": "training", "set": name, "way": way, "model": model, "optimiser": optimiser}
                        made = (
                            Run(ABOUT.id, ABOUT.version, {**place, "rate": rate, **changed}, seed, _recipe(name, way))
                            for seed in _speed.seeds(settings.runs, settings.choosing)
                        )
                        # All ways and rates of a model share one program.
                        wanted.append(Cell(tuple(made), ahead=(way, rate) == ("raw", rates[0])))
    return wanted


def _recipe(name: str, way: str) -> Mapping[str, Json]:
    return prepared(name, way).recipe


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    if run.settings["what"] == "curvature":
        return 0.01
    return run.settings.get("steps", Settings().steps) * (1.5e-5 if run.settings["model"] == "linear" else 5e-5)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Take the curvatures, or train the networks of a cell. The seed draws first weights and the order of batches."""
    first = cell.runs[0].settings
    name, data = first["set"], prepared(first["set"], first["way"])
    inputs, classes = data.x_train.shape[1], len(data.classes)
    found = _curvatures(name, first["way"])
    if first["what"] == "curvature":
        values = {"largest": float(found[0]), "condition": float(found[0] / found[-1]), "directions": float(len(found))}
        curves = {"direction": [float(i + 1) for i in range(len(found))], "curvature": found.tolist()}
        return [Result(one, values, curves) for one in cell.runs]
    x, y = train.examples(data)
    trained = train.train_many(
        [_network(first["model"], inputs, classes, one.seed) for one in cell.runs],
        x,
        y,
        [train.shuffled(len(x), BATCH, settings.steps, one.seed) for one in cell.runs],
        train.Protocol(cross_entropy, OPTIMISERS[first["optimiser"]], both_parts, (settings.steps,)),
        learning_rate=first["rate"] / (float(found[0]) if first["optimiser"] == "momentum" else 1.0),
        held=train.both_parts(data),
    )
    return [
        _result(one, net, data, LEVELS[name, first["model"]], settings.steps)
        for one, net in zip(cell.runs, trained, strict=True)
    ]


def _network(model: str, inputs: int, classes: int, seed: int) -> Any:
    key = jax.random.key(seed)
    if model == "linear":
        return Linear.init(key, inputs, classes)
    return MLP.init(key, (inputs, HIDDEN, HIDDEN, classes))


def _result(run: Run, trained: train.Trained, data: Dataset, level: float, budget: int) -> Result:
    """When it arrived, and the accuracies after the last update."""
    found = _speed.result(run, trained.losses, level, WINDOW, budget)
    curves = train.accuracies(trained, data)
    ends = {value: curves[value][-1] for value in ("train_accuracy", "test_accuracy")}
    return replace(found, values={**found.values, **ends})


Kinds = Mapping[tuple[str, str, str, str], list[Result]]  # set, way, model, optimiser


def kinds(results: Sequence[Result]) -> Kinds:
    """The results of each kind of training."""
    found: dict[tuple[str, str, str, str], list[Result]] = {}
    for one in results:
        given = one.run.settings
        if given["what"] == "training":
            found.setdefault((given["set"], given["way"], given["model"], given["optimiser"]), []).append(one)
    return found


def chosen_rate(found: Kinds, name: str, way: str, model: str, optimiser: str) -> float:
    """The best rate of one kind, by the seeds that choose."""
    place = {"set": name, "way": way, "model": model, "optimiser": optimiser}
    return _speed.best_rate(found.get((name, way, model, optimiser), []), RATES[optimiser], **place)


def _of(
    found: Kinds, name: str, way: str, model: str, optimiser: str = "momentum", *, value: str = "steps",
    rate: float | None = None,
) -> list[float]:  # fmt: skip
    """One value by seed, of the runs that judge, at the rate that is given or the best one."""
    place = {"set": name, "way": way, "model": model, "optimiser": optimiser}
    rate = chosen_rate(found, name, way, model, optimiser) if rate is None else rate
    return _speed.judging(found.get((name, way, model, optimiser), []), value, rate=rate, **place)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    found = kinds(results)
    statements = (
        *_conditioned(results),
        *_sooner(found, "momentum", "raw", headline=True),
        *(_sooner(found, "adam", "raw") if settings.adam else ()),
        *_sooner(found, "momentum", None),
        *_accuracy(found),
        *_leak(found),
    )
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Normalised inputs are better conditioned, and the loss is reached sooner by the linear model and by the MLP.",
        table=_table(results, found),
        runs=sum(map(len, found.values())),
    )


def _condition(results: Sequence[Result], name: str, way: str) -> float:
    return trials.by_seed(results, "condition", what="curvature", set=name, way=way)[0]


def _conditioned(results: Sequence[Result]) -> list[Statement]:
    """A factor of two condition numbers, each in closed form."""
    found = []
    for name, label in SETS.items():
        factor = _condition(results, name, "raw") / _condition(results, name, NORMALISED[name])
        exact = Measurement(factor, None, Evidence.exact, 1)
        sentence = f"{_short(label)}: {BETTER} times better conditioned"
        found.append(within(f"condition-{name}", sentence, exact, low=float(BETTER), unit="times", headline=True))
    return found


def _short(label: str) -> str:
    return label.split(",")[0]


def _sooner(found: Kinds, optimiser: str, slow: str | None, *, headline: bool = False) -> list[Statement]:
    """Normalised before as it is; or, with `slow` None, whitened before normalised. One family over sets and models."""
    places = [(name, model) for name in SETS for model in MODELS]
    pairs = [("zca", NORMALISED[name]) if slow is None else (NORMALISED[name], slow) for name, _ in places]
    signs = [
        _speed.sooner(*(_of(found, name, way, model, optimiser) for way in pair))
        for (name, model), pair in zip(places, pairs, strict=True)
    ]
    said = "whitened sooner" if slow is None else "sooner" if optimiser == "momentum" else "sooner with Adam"
    short = "white" if slow is None else optimiser
    return [
        difference(
            f"{short}-{name}-{model}", f"{_short(SETS[name])}, {MODELS[model]}: {said}", order, unit="share",
            headline=headline,
        )
        for (name, model), order in zip(places, _speed.judge_sooner(signs), strict=True)
    ]  # fmt: skip


def _accuracy(found: Kinds) -> list[Statement]:
    """Test accuracy after the last update, each at its best rate."""

    def ends(name: str, way: str) -> list[float]:
        return _of(found, name, way, "mlp", value="test_accuracy")

    orders = stats.judge_orders([(ends(name, "raw"), ends(name, NORMALISED[name])) for name in SETS])
    return [
        difference(f"accuracy-{name}", f"{_short(label)}, MLP: test accuracy higher", order)
        for (name, label), order in zip(SETS.items(), orders, strict=True)
    ]


def _leak(found: Kinds) -> list[Statement]:
    """Whitening that has seen the test part against whitening that has not, at one rate."""
    statements = []
    for name, label in SETS.items():
        rate = chosen_rate(found, name, "zca", "mlp", "momentum")
        clean, seen = (_of(found, name, way, "mlp", value="test_accuracy", rate=rate) for way in ("zca", "both"))
        gain = stats.mean_interval(np.subtract(seen, clean))
        sentence = f"{_short(label)}, MLP: fitted on both, within {100 * NOTHING:.0f} %"
        statements.append(within(f"leak-{name}", sentence, gain, low=-NOTHING, high=NOTHING))
    return statements


def _table(results: Sequence[Result], found: Kinds) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, label in SETS.items():
        for way, called in WAYS.items():
            row = [label, called, f"{_condition(results, name, way):.2g}"]
            for model in MODELS:
                for optimiser in OPTIMISERS:
                    if (name, way, model, optimiser) not in found:
                        row.append("")
                        continue
                    steps, reached = (
                        _of(found, name, way, model, optimiser, value=value) for value in ("steps", "reached")
                    )
                    row.append(_speed.shown(steps, reached, interval=False))
            row.append(f"{100 * np.mean(_of(found, name, way, 'mlp', value='test_accuracy')):.1f}")
            rows.append(tuple(row))
    updates = (f"{model}, {said}" for model in MODELS.values() for said in ("descent", "Adam"))
    return (("data", "inputs", "condition", *updates, "MLP, test %"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Who has arrived when, and the curvatures behind it."""
    found = kinds(results)
    some = next(iter(found.values()))[0].run.settings
    budget = int(some.get("steps", Settings().steps))
    shares, spectra = [], []
    for name, label in SETS.items():
        for way in ("raw", "all", "feature", "zca"):
            (one,) = trials.where(results, what="curvature", set=name, way=way)
            spectra += [
                {"net": WAYS[way], "data": label, "step": place, "mean": value / one.curves["curvature"][0]}
                for place, value in zip(one.curves["direction"], one.curves["curvature"], strict=True)
            ]
            for model, called in MODELS.items():
                place = {"net": WAYS[way], "data": f"{_short(label)}, {called}"}
                steps, reached = (_of(found, name, way, model, value=value) for value in ("steps", "reached"))
                shares += _speed.arrived(steps, reached, budget, place)
    return {
        "Share of networks that have arrived at the loss; momentum, each way at its best rate": plot.curves(
            shares, x_title="updates", y_title="arrived", title="Normalised inputs",
            subtitle=", ".join(f"{MODELS[m]} on {_short(SETS[s])} {level:g}" for (s, m), level in LEVELS.items()),
        ),
        "Curvatures of the linear model at weights zero, the largest as 1": plot.curves(
            spectra, x_title="direction", y_title="curvature", percent=False, log_y=True, title="How it is conditioned",
            subtitle="in closed form",
        ),
    }  # fmt: skip
