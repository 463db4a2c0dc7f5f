"""Claim: a line underfits and a polynomial of order five overfits what a quadratic fits well.

Source: the picture of under- and overfitting as courses draw it: a line, a quadratic and a fifth-order polynomial
through noisy points of a curve. The decomposition: Geman, Bienenstock and Doursat 1992, section 3.

Protocol: the curve cos 2x + x / 2 on [-1, 1], which no order here fits exactly; noise of standard deviation 0.25; eight
points; least squares with polynomials of order 0 to 7. Places of the points: "fixed", equally far apart with both ends,
the same in every draw; "random", drawn uniformly anew in each; "many", 200 fixed ones. A run is 500 draws of the data.
The test error is measured on 100 fresh noisy points a draw, uniform on [-1, 1]. Bias and variance are measured over the
draws of a run at 32 nodes of a quadrature on [-1, 1] (the square of the bias less the variance of the mean, so that it
is not too large), and known in closed form where places are fixed (`_polynomials.py`). With random places the mean test
error of order five is ruled by a few draws whose points lie close together, so the median of the draws is compared.

Predicted before the first run; one measurement of another curve with eight points had been seen (medians of 200 draws:
training .255, .032, .011, test .464, .025, .861 for orders 1, 2, 5). By hand, fixed places, orders 1, 2, 5: training
error .320, .042, .016; bias^2 .213, .004, .000; variance .014, .019, .041 +- .005; test error .289, .086, .104 +- .006.
Of what is left beside the noise 94 % is bias with the line and 98 % or more variance with order five. Random places,
medians: test .32 +- .04, .105 +- .015, .6 (.2-2). With 200 points order five is the best of the three, by .003 +- .001.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from flyroom import plot, stats
from flyroom.claims import trials
from flyroom.claims._polynomials import coefficients, evaluated, expected, quadrature, weights
from flyroom.claims.statements import bounds, difference, within
from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement

ABOUT = About(
    id="fit-by-order",
    version=1,
    title="Under- and overfitting by a polynomial's order",
    sentence="A line underfits and a polynomial of order five overfits what a quadratic fits well: the training error "
    "falls with the order, the test error does not, and what is too much is bias in the one and variance in the other.",
    source="Under- and overfitting as courses draw it; bias and variance: Geman, Bienenstock and Doursat, Neural "
    "Computation 4, 1992",
    prediction="Orders 1, 2, 5 on eight fixed places: training error .320, .042, .016; bias^2 .213, .004, .000; "
    "variance .014, .019, .041 +- .005; test error .289, .086, .104 +- .006. Random places, median test error .32 +- "
    ".04, .105 +- .015, .6 (.2-2). With 200 points order five is the best of the three, by .003 +- .001.",
    cost_s=5.0,
)


def curve(x: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """What the points are taken from."""
    return np.cos(2 * x) + x / 2


ORDERS = {1: "line", 2: "quadratic", 5: "order five"}
ALL = tuple(range(8))
DESIGNS = {"fixed": "fixed places", "random": "random places", "many": "many points"}
MANY = 25  # times as many points
FRESH = 100  # test points of a draw
AGREE = 0.02  # "bias^2 + variance + noise is the test error", relative
CLOSED = 0.03  # a measured bias or variance agrees with the closed form, relative
MOST = 0.8  # "is bias", "is variance": at least this share of both together


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 20  # batches of draws (seeds) for each kind of places
    draws: int = 500  # of data, in a run
    points: int = 8  # of a draw, to fit
    noise: float = 0.25  # standard deviation


def quick(settings: Settings) -> dict[str, Any]:
    """Two runs of fifty draws."""
    return {"runs": min(settings.runs, 2), "draws": min(settings.draws, 50)}


def cells(settings: Settings) -> list[Cell]:
    """One cell for each way of choosing places.

    Raises ValueError for counts below 1, fewer than two draws, fewer than seven points, and a noise not above 0.
    """
    trials.require_positive(settings, "runs")
    if settings.draws < 2 or settings.points <= max(ORDERS) + 1:
        raise ValueError(
            f"draws {settings.draws}, points {settings.points}: give two draws or more, which have a variance, and "
            f"{max(ORDERS) + 2} points or more, so that order {max(ORDERS)} does not meet all of them"
        )
    if not 0 < settings.noise < np.inf:
        raise ValueError(f"noise {settings.noise:g} must be finite and above 0; the default is {Settings().noise:g}")
    changed = trials.differing(settings, "runs")
    recipe = {"name": "curve", "function": "cos 2x + x / 2", "low": -1.0, "high": 1.0}
    return [
        Cell(
            tuple(
                Run(ABOUT.id, ABOUT.version, {"design": design, **changed}, seed, recipe)
                for seed in range(settings.runs)
            )
        )
        for design in DESIGNS
    ]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    return 2e-4 * run.settings.get("draws", Settings().draws) * (3 if run.settings["design"] == "many" else 1)


def places(settings: Settings, design: str) -> Float[np.ndarray, " point"]:
    """Where the points lie, equally far apart on [-1, 1], both ends among them."""
    return np.linspace(-1, 1, settings.points * (MANY if design == "many" else 1))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Draw the data, fit every order, and measure. The seed draws places where they are random, noise, and tests."""
    return [_measured(one, settings) for one in cell.runs]


def _measured(run: Run, settings: Settings) -> Result:
    design, draws = run.settings["design"], settings.draws
    random = np.random.default_rng([run.seed, list(DESIGNS).index(design)])
    x = places(settings, design)
    if design == "random":
        x = random.uniform(-1, 1, (draws, len(x)))
    y = curve(x) + random.normal(0, settings.noise, (draws, x.shape[-1]))
    fresh = random.uniform(-1, 1, (draws, FRESH))
    wanted = curve(fresh) + random.normal(0, settings.noise, fresh.shape)
    curves: dict[str, list[float]] = {"order": [float(order) for order in ALL]}
    for order in ALL:
        found = _fitted(order, x, y, fresh, wanted)
        for name, value in found.items():
            curves.setdefault(name, []).append(value)
    values = {f"{name}_{order}": curves[name][order] for name in curves if name != "order" for order in ORDERS}
    return Result(run, values, curves)


def _fitted(
    order: int,
    x: Float[np.ndarray, "*own point"],
    y: Float[np.ndarray, "draw point"],
    fresh: Float[np.ndarray, "draw test"],
    wanted: Float[np.ndarray, "draw test"],
) -> dict[str, float]:
    """Errors of the fits of one order, and their bias and variance over the draws."""
    nodes, share = quadrature()
    found = coefficients(x, y, order)
    at_points, at_nodes = (evaluated(found, at) for at in (x, nodes))
    train = ((at_points - y) ** 2).mean(axis=1)
    test = ((evaluated(found, fresh) - wanted) ** 2).mean(axis=1)
    variance = at_nodes.var(axis=0, ddof=1)
    # The mean of so many fits is off the true mean by variance / draws, which is no bias.
    bias = (at_nodes.mean(axis=0) - curve(nodes)) ** 2 - variance / len(y)
    return {
        "train": float(train.mean()),
        "test": float(test.mean()),
        "median_train": float(np.median(train)),
        "median_test": float(np.median(test)),
        "bias": float(share @ bias),
        "variance": float(share @ variance),
    }


Values = Mapping[int, np.ndarray]  # by order, one number a run


def _values(results: Sequence[Result], value: str, design: str) -> Values:
    return {order: np.array(trials.by_seed(results, f"{value}_{order}", design=design)) for order in ORDERS}


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (
        *_orders(results), *_blame(results), *_added(results, settings), *_closed(results, settings),
        *_elsewhere(results),
    )  # fmt: skip
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "The training error falls with the order, the test error is least for the quadratic; the line's excess is "
        "bias, that of order five variance.",
        table=_table(results, settings),
    )


def _orders(results: Sequence[Result]) -> list[Statement]:
    """Training errors that fall, and test errors that are least in the middle: a family each."""
    train, test = _values(results, "train", "fixed"), _values(results, "test", "fixed")
    median = _values(results, "median_test", "random")
    families = (
        (
            ("train-quadratic", "Training: quadratic below line", train[2], train[1]),
            ("train-five", "Training: order five below quadratic", train[5], train[2]),
        ),
        (
            ("under-fixed", "Test, fixed places: quadratic below line", test[2], test[1]),
            ("over-fixed", "Test, fixed places: quadratic below five", test[2], test[5]),
            ("under-random", "Test, random places: quadratic below line", median[2], median[1]),
            ("over-random", "Test, random places: quadratic below five", median[2], median[5]),
        ),
    )
    found = []
    for family in families:
        orders = stats.judge_orders([(low, high) for _, _, low, high in family])
        found += [
            difference(name, sentence, order, unit="squared", headline=True)
            for (name, sentence, _, _), order in zip(family, orders, strict=True)
        ]
    return found


def _blame(results: Sequence[Result]) -> list[Statement]:
    """What is left beside the noise: bias with the line, variance with order five."""
    bias, variance = (_values(results, value, "fixed") for value in ("bias", "variance"))
    return [
        within(
            f"{what}-{order}", f"{ORDERS[order].capitalize()}: {what} is {MOST:.0%} of the rest",
            stats.mean_interval(part[order] / (bias[order] + variance[order])), low=MOST, unit="share", headline=True,
        )
        for what, part, order in (("bias", bias, 1), ("variance", variance, 5))
    ]  # fmt: skip


def _added(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """Bias^2 + variance + noise against the test error, relative to what is expected of it."""
    bias, variance, test = (_values(results, value, "fixed") for value in ("bias", "variance", "test"))
    found = []
    for order, label in ORDERS.items():
        known = expected(curve, places(settings, "fixed"), settings.noise, order)
        whole = known.bias + known.variance + settings.noise**2
        away = (bias[order] + variance[order] + settings.noise**2 - test[order]) / whole
        found.append(
            within(
                f"adds-up-{order}", f"{label.capitalize()}: parts add up to the test error",
                stats.mean_interval(away), low=-AGREE, high=AGREE, unit="relative", headline=True, published="0",
            )
        )  # fmt: skip
    return found


def _closed(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """What was measured against the closed form: the larger part of each order's error."""
    found = []
    for order, what in ((1, "bias"), (2, "variance"), (5, "variance")):
        known = getattr(expected(curve, places(settings, "fixed"), settings.noise, order), what)
        ratio = stats.mean_interval(_values(results, what, "fixed")[order] / known)
        sentence = f"{ORDERS[order].capitalize()}: {what} as in closed form"
        found.append(
            within(f"closed-{order}", sentence, ratio, low=1 - CLOSED, high=1 + CLOSED, unit="times", published="1")
        )
    return found


def _elsewhere(results: Sequence[Result]) -> list[Statement]:
    """What changes with the places, and with their number."""
    median, many = _values(results, "median_test", "random"), _values(results, "test", "many")
    return [
        difference(
            "worst-random", "Test, random places: line below order five", stats.judge_order(median[1], median[5]),
            unit="squared",
        ),
        difference(
            "many-points", "Many points: order five below quadratic", stats.judge_order(many[5], many[2]),
            unit="squared",
        ),
    ]  # fmt: skip


def _table(results: Sequence[Result], settings: Settings) -> tuple[tuple[str, ...], ...]:
    """Measured, and in brackets the closed form, which random places have not."""
    rows = []
    for design, label in DESIGNS.items():
        for order, name in ORDERS.items():
            if design == "random":
                measured = [
                    f"{np.mean(_values(results, f'median_{what}', design)[order]):.4f}" for what in ("train", "test")
                ]
                rows.append((f"{label}, medians", name, *measured, "", ""))
                continue
            known = expected(curve, places(settings, design), settings.noise, order)
            exact = (known.train, known.bias + known.variance + settings.noise**2, known.bias, known.variance)
            measured = [
                np.mean(_values(results, what, design)[order]) for what in ("train", "test", "bias", "variance")
            ]
            rows.append((label, name, *(f"{a:.4f} ({b:.4f})" for a, b in zip(measured, exact, strict=True))))
    return (("places", "polynomial", "training error", "test error", "bias²", "variance"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """The error and its parts against the order, and the fits themselves."""
    settings = _settings(results)
    return {
        "Error against the order: measured, and its parts in closed form": _against_order(results, settings),
        "Fits in closed form: their mean over draws, and one standard deviation on either side": _fits(settings),
    }


def _settings(results: Sequence[Result]) -> Settings:
    """The points and the noise of these runs."""
    given = results[0].run.settings
    return Settings(points=given.get("points", Settings().points), noise=given.get("noise", Settings().noise))


def _against_order(results: Sequence[Result], settings: Settings) -> Json:
    rows = []
    for design in ("fixed", "many"):
        x = places(settings, design)
        for value, label in (("train", "training error"), ("test", "test error")):
            curves = np.array([one.curves[value] for one in trials.where(results, design=design)])
            for order in ALL:
                found = stats.mean_interval(curves[:, order])
                place = {"net": label, "data": f"{len(x)} points", "step": order}
                rows.append({**place, "mean": found.value, **bounds(found)})
        for order in ALL:
            known = expected(curve, x, settings.noise, order)
            for value, label in ((known.bias, "bias²"), (known.variance, "variance")):
                rows.append({"net": label, "data": f"{len(x)} points", "step": order, "mean": value})
    return plot.curves(
        rows, x_title="order of the polynomial", y_title="squared error", percent=False, points=True,
        title="Under- and overfitting", subtitle=f"means over {len(results) // len(DESIGNS)} runs, and closed forms",
    )  # fmt: skip


def _fits(settings: Settings) -> Json:
    x, at = places(settings, "fixed"), np.linspace(-1, 1, 101)
    rows = []
    for order, name in ORDERS.items():
        fit = weights(x, at, order)
        mean, spread = fit @ curve(x), settings.noise * np.linalg.norm(fit, axis=1)
        for label, middle, half in (("curve", curve(at), 0 * at), ("fits", mean, spread)):
            rows += [
                {"net": label, "data": name, "step": u, "mean": m, "low": m - s, "high": m + s}
                for u, m, s in zip(at.tolist(), middle.tolist(), half.tolist(), strict=True)
            ]
    return plot.curves(
        rows, x_title="x", y_title="f(x)", percent=False, title=f"What is fitted to {len(x)} points", columns=3,
        subtitle="the band is one standard deviation over draws of the noise",
    )  # fmt: skip
